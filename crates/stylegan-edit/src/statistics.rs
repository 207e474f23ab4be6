//! Mean and covariance of w.

use candle_core::Tensor;
use nalgebra::{DMatrix, DVector};

use crate::error::{EditError, Result};
use crate::linalg;

/// The distribution of w, from as many samples as one likes: its mean and covariance, in f64.
///
/// [`sigma`](Self::sigma) says how far the w of a network spread along a direction, which makes the strengths of
/// edits comparable.
#[derive(Debug, Clone)]
pub struct WStatistics {
    count: usize,
    mean: DVector<f64>,
    /// Sum of the outer products of the deviations from the mean.
    scatter: DMatrix<f64>,
}

impl WStatistics {
    /// Of no w yet.
    pub fn new(w_dim: usize) -> Self {
        Self {
            count: 0,
            mean: DVector::zeros(w_dim),
            scatter: DMatrix::zeros(w_dim, w_dim),
        }
    }

    /// Adds w `[N, w_dim]`.
    ///
    /// # Errors
    /// If w has another shape or a value that isn't finite.
    pub fn push(&mut self, w: &Tensor) -> Result<()> {
        let w_dim = self.w_dim();
        if w.rank() != 2 || w.dims()[1] != w_dim {
            return Err(EditError::Shape {
                expected: format!("[N, {w_dim}]"),
                found: w.dims().to_vec(),
            });
        }
        let mut w = linalg::matrix(w, "the latents")?;
        if w.nrows() == 0 {
            return Ok(());
        }
        let mean = w.row_mean();
        for mut row in w.row_iter_mut() {
            row -= &mean;
        }
        // The scatter of two sets together is that of both, and that of their means.
        let (old, new) = (self.count as f64, w.nrows() as f64);
        let step = mean.transpose() - &self.mean;
        self.scatter += w.transpose() * &w + &step * step.transpose() * (old * new / (old + new));
        self.mean += step * (new / (old + new));
        self.count += w.nrows();
        Ok(())
    }

    /// How many w were added.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Width of w.
    pub fn w_dim(&self) -> usize {
        self.mean.len()
    }

    /// The mean of all w.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// The standard deviation of w along a direction of length 1: of the products `w . direction`.
    ///
    /// # Errors
    /// If there are fewer than two w, or the direction isn't as wide as they are.
    pub fn sigma(&self, direction: &[f64]) -> Result<f64> {
        if direction.len() != self.w_dim() {
            return Err(EditError::Shape {
                expected: format!("[{}]", self.w_dim()),
                found: vec![direction.len()],
            });
        }
        let direction = DVector::from_row_slice(direction);
        let variance = direction.dot(&(self.covariance()? * &direction));
        Ok(variance.max(0.).sqrt())
    }

    /// The covariance `[w_dim, w_dim]`, without bias.
    pub(crate) fn covariance(&self) -> Result<DMatrix<f64>> {
        if self.count < 2 {
            return Err(EditError::TooFewLatents {
                expected: 2,
                found: self.count,
            });
        }
        Ok(&self.scatter / (self.count - 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn batches_add_up_to_the_covariance_of_all() {
        let rows = [[1., 2.], [3., -1.], [0., 0.5], [7., 4.], [2., 2.]];
        let mut statistics = WStatistics::new(2);
        for batch in [&rows[..2], &rows[2..2], &rows[2..]] {
            let values: Vec<f64> = batch.iter().flatten().copied().collect();
            let w = Tensor::from_vec(values, (batch.len(), 2), &Device::Cpu).unwrap();
            statistics.push(&w).unwrap();
        }
        assert_eq!(statistics.count(), 5);
        let mean = [2.6, 1.5];
        for (found, expected) in statistics.mean().iter().zip(mean) {
            assert!((found - expected).abs() < 1e-12);
        }
        let moment = |i: usize, j: usize| {
            rows.iter()
                .map(|r| (r[i] - mean[i]) * (r[j] - mean[j]))
                .sum::<f64>()
                / 4.
        };
        let covariance = statistics.covariance().unwrap();
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert!((covariance[(i, j)] - moment(i, j)).abs() < 1e-12);
        }
        let sigma = statistics.sigma(&[1., 0.]).unwrap();
        assert!((sigma - moment(0, 0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_single_latent_and_other_shapes_are_errors() {
        let mut statistics = WStatistics::new(2);
        let w =
            |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        statistics.push(&w(&[1, 2])).unwrap();
        let error = |error: EditError| error.to_string();
        assert_eq!(
            error(statistics.sigma(&[1., 0.]).unwrap_err()),
            "expected at least 2 latents, found 1"
        );
        assert_eq!(
            error(statistics.push(&w(&[1, 3])).unwrap_err()),
            "expected latents [N, 2], found [1, 3]"
        );
        assert_eq!(
            error(statistics.sigma(&[1.]).unwrap_err()),
            "expected latents [2], found [1]"
        );
    }
}
