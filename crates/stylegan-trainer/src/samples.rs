//! The grids of pictures in a run folder.

use std::path::Path;

use candle_core::{Device, Tensor};
use stylegan_data::{Dataset, PictureFormat, grid};
use stylegan_mapping::latents;
use stylegan_synthesis::NoiseMode;

use crate::error::TrainError;
use crate::snapshot::TrainedGenerator;

/// What the grids of a run show: the same latents and labels from its start to its end.
///
/// Tile k of a grid of fakes is the picture of seed k, and has the label of tile k of the reals.
pub(crate) struct SampleGrid {
    columns: usize,
    rows: usize,
    reals: Vec<usize>,
    z: Tensor,
    labels: Option<Tensor>,
}

impl SampleGrid {
    pub(crate) fn new(
        dataset: &Dataset,
        z_dim: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (columns, rows) = grid_size(dataset.resolution());
        let tiles = columns * rows;
        let reals: Vec<usize> = (0..tiles)
            .map(|tile| tile * dataset.len() / tiles)
            .collect();
        let (_, labels) = dataset.batch(&reals, device)?;
        let seeds: Vec<u32> = (0..).take(tiles).collect();
        let z = latents::from_seeds(&seeds, z_dim, device)?;
        Ok(Self {
            columns,
            rows,
            reals,
            z,
            labels,
        })
    }

    /// Training pictures, spread evenly over the data.
    pub(crate) fn save_reals(
        &self,
        dataset: &Dataset,
        path: &Path,
        device: &Device,
    ) -> Result<(), TrainError> {
        let (images, _) = dataset.batch(&self.reals, device)?;
        self.save(&images, path)
    }

    /// Generated pictures, `batch` at a time.
    pub(crate) fn save_fakes(
        &self,
        generator: &TrainedGenerator,
        batch: usize,
        path: &Path,
    ) -> Result<(), TrainError> {
        let mut images = Vec::new();
        for start in (0..self.reals.len()).step_by(batch) {
            let count = batch.min(self.reals.len() - start);
            let z = self.z.narrow(0, start, count)?;
            let labels = self.labels.as_ref().map(|l| l.narrow(0, start, count));
            let labels = labels.transpose()?;
            let network = &generator.network;
            images.push(network.forward(&z, labels.as_ref(), 1.0, None, &mut NoiseMode::Const)?);
        }
        self.save(&Tensor::cat(&images, 0)?, path)
    }

    fn save(&self, images: &Tensor, path: &Path) -> Result<(), TrainError> {
        let picture = grid::to_image(images, self.columns, self.rows)?;
        Ok(PictureFormat::Png.save(&picture, path)?)
    }
}

/// Columns and rows of about 1024x512 pixels, with enough tiles to judge and few enough to be quick.
fn grid_size(resolution: usize) -> (usize, usize) {
    (
        (1024 / resolution).clamp(4, 16),
        (512 / resolution).clamp(3, 8),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_a_sensible_number_of_tiles_at_every_resolution() {
        assert_eq!(grid_size(4), (16, 8));
        assert_eq!(grid_size(64), (16, 8));
        assert_eq!(grid_size(256), (4, 3));
        assert_eq!(grid_size(1024), (4, 3));
    }
}
