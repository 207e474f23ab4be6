//! What a training step asks of the data.

use candle_core::{Device, Result, Tensor};
use rand::Rng;

/// Real images of one pass.
#[derive(Debug, Clone)]
pub struct Reals {
    /// `[N, C, R, R]` in [-1, 1], f32.
    pub images: Tensor,
    /// `[N, c_dim]`, f32; `None` for networks without labels.
    pub labels: Option<Tensor>,
}

impl Reals {
    pub(super) fn to_device(&self, device: &Device) -> Result<Self> {
        let labels = self.labels.as_ref().map(|c| c.to_device(device));
        Ok(Self {
            images: self.images.to_device(device)?,
            labels: labels.transpose()?,
        })
    }
}

/// A source of training data.
pub trait TrainingData {
    /// The next `n` real images with their labels.
    ///
    /// # Errors
    /// Whatever keeps the data from being read.
    fn reals(&mut self, n: usize) -> Result<Reals>;

    /// Labels `[n, c_dim]` for generated images, drawn with `rng` from the labels of the data set;
    /// `None` for networks without labels.
    ///
    /// # Errors
    /// Whatever keeps the labels from being read.
    fn labels(&mut self, n: usize, rng: &mut dyn Rng) -> Result<Option<Tensor>>;
}
