//! Picture datasets for GAN training: folders, zips, labels and an embedded portrait set.
//!
//! - [`Dataset`] reads a nested folder or a zip of PNG, JPEG or WebP pictures, checks that they
//!   belong together and gives batches of tensors; with no path it is a set of drawn [`portraits`].
//! - [`Sampler`] gives the shuffled, endless order in which to train on them, and can be saved.
//! - [`grid`] turns tensors back into pictures, and [`PictureFormat`] writes them as PNG, WebP or JPEG.
//!
//! Every broken rule is a [`DataError`] that names the file.
//!
//! # Example
//!
//! ```
//! use candle_core::Device;
//! use stylegan_data::{Dataset, DatasetOptions, Sampler, grid};
//!
//! # fn main() -> Result<(), stylegan_data::DataError> {
//! let dataset = Dataset::open(&DatasetOptions {
//!     resolution: Some(32),
//!     ..Default::default()
//! })?;
//! let mut sampler = Sampler::new(dataset.len(), 0)?;
//! let (images, labels) = dataset.batch(&sampler.next_indices(6), &Device::Cpu)?;
//! assert_eq!(images.dims(), [6, 3, 32, 32]);
//! assert!(labels.is_none());
//! assert_eq!(grid::to_image(&images, 3, 2)?.width(), 96);
//! # Ok(())
//! # }
//! ```
//!
//! # Labels
//!
//! A file `dataset.json` at the top of the folder or zip, read where labels are asked for:
//! `{"labels": [["00000/img00000000.png", 3], ...]}`, with one entry for every picture. Labels are
//! class numbers (one-hot encoded over the largest + 1) or vectors of one length.

mod cache;
mod dataset;
mod error;
pub mod grid;
mod labels;
mod picture;
mod picture_file;
pub mod portraits;
mod resize;
mod sampler;
mod single;
mod source;

pub use dataset::{Dataset, DatasetOptions};
pub use error::DataError;
pub use picture::Mode;
pub use picture_file::{PictureFormat, write_file};
pub use sampler::Sampler;
pub use single::{read_picture, to_tensor};

/// Whether the networks take pictures of this side: a power of two from 4 to 1024.
pub fn is_valid_resolution(resolution: usize) -> bool {
    resolution.is_power_of_two() && (4..=1024).contains(&resolution)
}
