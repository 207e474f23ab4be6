//! How far generated pictures are from real ones, and what networks do inside.
//!
//! Two distances between a [`PictureSet`] of reals and one of fakes; both are 0 for equal
//! distributions, lower is better, and neither needs a trained network:
//!
//! - [`sliced_wasserstein`]: textures and shapes at every scale, each scale by itself.
//! - [`layout_distance`]: colours and where in the picture they are, which the former leaves out.
//!
//! [`FeatureMapStatistics`] measures the feature maps of a network's layers: their scale, and whether single
//! spots dominate them.
//!
//! [`FactorReader`] reads the factors of the embedded portraits off generated pictures, and [`effects`] measures what
//! an edit does to them.
//!
//! Distances can be compared where resolution and number of pictures are the same. Even two sets of the
//! same kind are some distance apart, more so the fewer pictures they have: the distance between two
//! halves of the reals says how low a number can get.
//!
//! # Example
//!
//! ```
//! use stylegan_data::{Dataset, DatasetOptions};
//! use stylegan_metrics::{PictureSet, layout_distance, sliced_wasserstein};
//!
//! # fn main() -> Result<(), stylegan_metrics::MetricError> {
//! let portraits = |mirror| {
//!     Dataset::open(&DatasetOptions {
//!         resolution: Some(32),
//!         mirror,
//!         ..Default::default()
//!     })
//! };
//! let reals = PictureSet::from_dataset(&portraits(false)?, 40)?;
//! let fakes = PictureSet::from_dataset(&portraits(true)?, 40)?;
//!
//! let seed = 0;
//! let swd = sliced_wasserstein(&reals, &fakes, seed)?;
//! let sides: Vec<usize> = swd.levels.iter().map(|level| level.side).collect();
//! assert_eq!(sides, [32, 16]);
//! println!("SWD {:.2}, layout {:.2}", swd.mean(), layout_distance(&reals, &fakes, seed)?);
//! # Ok(())
//! # }
//! ```

mod descriptors;
mod error;
mod feature_maps;
mod layout;
mod pictures;
mod portrait_factors;
mod pyramid;
mod random;
mod sliced;
mod swd;

pub use error::MetricError;
pub use feature_maps::{FeatureMapStatistics, Quantiles, highest_peak, most_peaked_maps};
pub use layout::layout_distance;
pub use pictures::PictureSet;
pub use portrait_factors::{Effect, Factor, FactorReader, effects};
pub use swd::{LevelDistance, SlicedWasserstein, sliced_wasserstein};
