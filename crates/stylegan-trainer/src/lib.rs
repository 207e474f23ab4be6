//! Training of StyleGAN, StyleGAN2 and ProGAN: presets, schedule, optimizer, run folders.
//!
//! - [`TrainOptions`] are the options as they were given; a [`Preset`] fills in the rest and makes a
//!   [`Recipe`], which holds the [`TrainingConfig`](config::TrainingConfig).
//! - A [`Plan`] is a run that is ready to start, new or resumed: nothing has been written yet.
//! - [`growing`] says at which resolution progressively grown networks train, and for how long.
//! - [`train`] is the loop. [`step::Stepper`] does the work of one minibatch, a [`Schedule`] says when to
//!   report, save and stop, [`Snapshot`] is what a checkpoint holds, and a [`Reporter`] hears of it all.
//! - [`TrainedGenerator`] loads the result.
//!
//! A complete run, on the portraits that `stylegan-data` draws:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use candle_core::Device;
//! use stylegan_trainer::options::{DataOptions, NetworkOptions, ScheduleOptions, TrainingOptions};
//! use stylegan_trainer::{Plan, Reporter, TickReport, TrainError, TrainOptions, TrainedGenerator, train};
//!
//! struct Print;
//!
//! impl Reporter for Print {
//!     fn note(&mut self, line: &str) -> Result<(), TrainError> {
//!         println!("{line}");
//!         Ok(())
//!     }
//!
//!     fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
//!         println!("{report}");
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = TrainOptions {
//!     data: DataOptions { resolution: Some(8), subset: Some(64), ..DataOptions::default() },
//!     network: NetworkOptions {
//!         channel_base: Some(64),
//!         channel_max: Some(8),
//!         z_dim: Some(8),
//!         w_dim: Some(8),
//!         mapping_layers: None,
//!     },
//!     training: TrainingOptions { batch: Some(4), ..TrainingOptions::default() },
//!     schedule: ScheduleOptions { kimg: Some(0.008), ..ScheduleOptions::default() },
//!     ..TrainOptions::default()
//! };
//! let plan = Plan::new(&options, &Device::Cpu)?;
//! let outdir = tempfile::tempdir()?;
//! let run = train(plan, outdir.path(), &Device::Cpu, Box::new(Print), &AtomicBool::new(false))?;
//! assert!(run.completed && run.folder.reals().exists());
//!
//! let generator = TrainedGenerator::load(&run.snapshot, &Device::Cpu)?;
//! assert_eq!(generator.config.synthesis.img_resolution, 8);
//! # Ok(())
//! # }
//! ```

pub mod adam;
pub mod config;
pub mod ema;
mod error;
mod feed;
pub mod growing;
mod inplace;
mod memory;
mod meter;
pub mod options;
mod plan;
pub mod presets;
mod recipe;
mod report;
mod run_folder;
mod samples;
mod schedule;
mod snapshot;
pub mod state;
pub mod step;
#[cfg(test)]
mod testing;
mod train;
mod transfer;

pub use error::{OptionError, TrainError};
pub use memory::MemoryMeter;
pub use options::TrainOptions;
pub use plan::Plan;
pub use presets::Preset;
pub use recipe::Recipe;
pub use report::{
    Growth, LogFile, Means, Memory, Progress, Reporter, StatsFile, TickReport, Timing, duration,
};
pub use run_folder::{RunFolder, find_snapshot, kimg_label};
pub use schedule::Schedule;
pub use snapshot::{Snapshot, TrainedGenerator};
pub use train::{Outcome, train};
pub use transfer::Pretrained;

/// The examples of the repository's README, so that they run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;
