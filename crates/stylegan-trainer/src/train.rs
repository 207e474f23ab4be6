//! The training loop: it decides when to step, report, save and stop, and leaves the rest to others.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;

use crate::error::TrainError;
use crate::feed::Feed;
use crate::meter::Meter;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::report::{LogFile, Progress, Reporter, StatsFile};
use crate::run_folder::RunFolder;
use crate::samples::SampleGrid;
use crate::schedule::Schedule;
use crate::snapshot::{Snapshot, TrainedGenerator};
use crate::step::Stepper;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's folder.
    pub folder: RunFolder,
    /// The last checkpoint.
    pub snapshot: PathBuf,
    /// Whether all pictures of the schedule were shown; `false` after a stop.
    pub completed: bool,
}

/// Trains until the schedule is complete, or until `stop` is raised: it is looked at between steps, and
/// the run is saved before this returns.
///
/// A new run is written to a new folder under `outdir`; `console` hears of it beside the folder's log.
///
/// # Errors
/// Pictures that can't be read, a folder that can't be written, or a step with numbers that are not
/// finite. The checkpoints written until then are whole.
pub fn train(
    plan: Plan,
    outdir: &Path,
    device: &Device,
    console: Box<dyn Reporter + '_>,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    plan.verify_pictures()?;
    let mut run = Run::open(plan, outdir, device, console)?;
    let result = run.train(stop);
    if let Err(error) = &result {
        run.reporter.failed(error);
    }
    result
}

/// A run under way.
struct Run<'a> {
    recipe: Recipe,
    schedule: Schedule,
    feed: Feed,
    stepper: Stepper,
    samples: SampleGrid,
    folder: RunFolder,
    reporter: Vec<Box<dyn Reporter + 'a>>,
    meter: Meter,
    /// The newest checkpoint and the number of pictures it had seen.
    saved: Option<(u64, PathBuf)>,
}

impl<'a> Run<'a> {
    /// Makes the run folder and writes what is known before the first step.
    fn open(
        plan: Plan,
        outdir: &Path,
        device: &Device,
        console: Box<dyn Reporter + 'a>,
    ) -> Result<Self, TrainError> {
        let options = plan.to_json()?;
        let notes = plan.notes();
        let is_new_folder = plan.folder.is_none();
        let folder = match plan.folder {
            Some(folder) => folder,
            None => RunFolder::create(outdir, &plan.recipe.description())?,
        };
        folder.write_options(&options)?;
        let reporter: Vec<Box<dyn Reporter + 'a>> = vec![
            console,
            Box::new(LogFile::open(&folder.log())?),
            Box::new(StatsFile::open(&folder.stats())?),
        ];
        let config = plan.recipe.config.clone();
        let mut run = Self {
            samples: SampleGrid::new(&plan.dataset, config.generator.z_dim, device)?,
            meter: Meter::new(plan.state.images_seen),
            stepper: Stepper::new(config, plan.state)?,
            recipe: plan.recipe,
            schedule: plan.schedule,
            feed: Feed {
                dataset: plan.dataset,
                sampler: plan.sampler,
                device: device.clone(),
            },
            folder,
            reporter,
            saved: None,
        };
        run.note(&format!("run folder: {}", run.folder.path().display()))?;
        run.note(&format!("data: {}", run.feed.dataset.describe()))?;
        for note in notes {
            run.note(&note)?;
        }
        if is_new_folder {
            run.samples
                .save_reals(&run.feed.dataset, &run.folder.reals(), device)?;
        }
        match plan.resumed_from {
            Some(path) => run.saved = Some((run.images_seen(), path)),
            // Before any work is lost, this finds out whether the folder has room.
            None => run.save()?,
        }
        Ok(run)
    }

    fn train(&mut self, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        while !self.schedule.is_complete(self.images_seen()) && !stop.load(Ordering::Relaxed) {
            let before = self.images_seen();
            self.step()?;
            if let Some(tick) = self.schedule.tick_reached(before, self.images_seen()) {
                self.report()?;
                if self.schedule.is_snapshot_tick(tick) {
                    self.save()?;
                }
            }
        }
        self.finish()
    }

    /// One minibatch through all phases.
    fn step(&mut self) -> Result<(), TrainError> {
        let stats = self.stepper.step(&mut self.feed)?;
        let images_seen = self.images_seen();
        tracing::debug!(images_seen, ?stats, "step");
        self.meter.add(&stats);
        let progress = Progress {
            images_seen,
            total_images: self.schedule.total_images(),
            sec_per_kimg: self.meter.sec_per_kimg(images_seen),
        };
        self.reporter.step(&progress)
    }

    /// Ends a tick.
    fn report(&mut self) -> Result<(), TrainError> {
        let images_seen = self.images_seen();
        let tick = self.schedule.tick(images_seen);
        let report = self.meter.finish_tick(tick, images_seen);
        self.reporter.tick(&report)
    }

    /// Writes a grid of generated pictures and a checkpoint.
    fn save(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        let (images_seen, batch) = (self.images_seen(), self.recipe.config.batch);
        let state = self.stepper.state();
        let config = self.recipe.config.generator.clone();
        let generator = TrainedGenerator::from_weights(config, &state.g_ema)?;
        let fakes = self.folder.fakes(images_seen, batch);
        self.samples
            .save_fakes(&generator, self.recipe.config.batch_gpu, &fakes)?;
        let path = self.folder.snapshot(images_seen, batch);
        Snapshot::write(&path, &self.recipe, state, &self.feed.sampler)?;
        self.meter.add_maintenance(start.elapsed());
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.saved = Some((images_seen, path));
        self.note(&format!(
            "saved {name} at {} kimg",
            images_seen as f64 / 1000.0
        ))
    }

    /// Reports and saves what the last tick left over.
    fn finish(&mut self) -> Result<Outcome, TrainError> {
        let images_seen = self.images_seen();
        if self.meter.has_steps() {
            self.report()?;
        }
        if self
            .saved
            .as_ref()
            .is_none_or(|(seen, _)| *seen != images_seen)
        {
            self.save()?;
        }
        let completed = self.schedule.is_complete(images_seen);
        self.note(if completed {
            "finished"
        } else {
            "stopped before the end"
        })?;
        let (_, snapshot) = self
            .saved
            .take()
            .ok_or_else(|| TrainError::run(self.folder.path(), "has no snapshot"))?;
        Ok(Outcome {
            folder: self.folder.clone(),
            snapshot,
            completed,
        })
    }

    fn images_seen(&self) -> u64 {
        self.stepper.state().images_seen
    }

    fn note(&mut self, line: &str) -> Result<(), TrainError> {
        self.reporter.note(line)
    }
}
