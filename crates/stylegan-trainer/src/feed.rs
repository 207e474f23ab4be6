//! The pictures of a run as its training steps ask for them.

use candle_core::{Device, Result, Tensor};
use rand::{Rng, RngExt};
use stylegan_data::{Dataset, Sampler};

use crate::step::{Reals, TrainingData};

/// A dataset, and how far a run has come in it.
pub(crate) struct Feed {
    pub(crate) dataset: Dataset,
    pub(crate) sampler: Sampler,
    pub(crate) device: Device,
}

impl TrainingData for Feed {
    fn reals(&mut self, n: usize) -> Result<Reals> {
        let indices = self.sampler.next_indices(n);
        let batch = self.dataset.batch(&indices, &self.device);
        let (images, labels) = batch.map_err(candle_core::Error::wrap)?;
        Ok(Reals { images, labels })
    }

    fn labels(&mut self, n: usize, rng: &mut dyn Rng) -> Result<Option<Tensor>> {
        let dim = self.dataset.label_dim();
        if dim == 0 {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(n * dim);
        for _ in 0..n {
            let index = rng.random_range(0..self.dataset.len());
            let label = self
                .dataset
                .label(index)
                .map_err(candle_core::Error::wrap)?;
            values.extend(label.into_iter().flatten());
        }
        Tensor::from_vec(values, (n, dim), &self.device).map(Some)
    }
}
