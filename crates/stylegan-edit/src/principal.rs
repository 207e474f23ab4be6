//! Principal components of w.

use crate::direction::{Direction, Method};
use crate::error::Result;
use crate::factorize::first;
use crate::linalg::{self, EigenPair};
use crate::statistics::WStatistics;

/// The directions along which w varies the most: eigenvectors of its covariance, with the variances as eigenvalues.
///
/// They are called `pca0`, `pca1`, ..., and meant for `layers`, e.g. all. Their [`sigma`](Direction::sigma) is the
/// standard deviation that they were found with, so that strengths are counted in it as in the paper.
///
/// Source: Härkönen et al., "GANSpace: Discovering Interpretable GAN Controls" (2020), section 2.1. For networks
/// without a mapping network (ProGAN), whose w varies alike in all directions, there is nothing to be found.
///
/// # Errors
/// If there are fewer than two w or fewer than `count` dimensions.
pub fn principal_components(
    w: &WStatistics,
    layers: &[usize],
    count: usize,
) -> Result<Vec<Direction>> {
    let covariance = w.covariance()?;
    let total = covariance.trace();
    let pairs = first(linalg::eigen(covariance)?, count)?;
    let direction = |(number, EigenPair { value, vector }): (usize, EigenPair)| Direction {
        name: format!("pca{number}"),
        vector: vector.as_slice().to_vec(),
        layers: layers.to_vec(),
        sigma: value.sqrt(),
        method: Method::PrincipalComponent {
            share: value / total,
            samples: w.count(),
        },
    };
    Ok(pairs.into_iter().enumerate().map(direction).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_planted_covariance_is_recovered() {
        // Standard deviations 5, 2 and 0.5 along three axes at right angles.
        let axes = [[0.6, 0.8, 0.], [0.8, -0.6, 0.], [0., 0., 1.]];
        let sigmas = [2., 5., 0.5];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut w = WStatistics::new(3);
        for _ in 0..40 {
            let mut rows = Vec::new();
            for _ in 0..500 {
                // Uniform numbers of unit variance.
                let s: [f64; 3] =
                    std::array::from_fn(|i| sigmas[i] * rng.random_range(-1f64..1.) * 3f64.sqrt());
                rows.extend((0..3).map(|k| 10. + (0..3).map(|i| s[i] * axes[i][k]).sum::<f64>()));
            }
            let batch = Tensor::from_vec(rows, (500, 3), &Device::Cpu).unwrap();
            w.push(&batch).unwrap();
        }
        let found = principal_components(&w, &[0, 1], 3).unwrap();
        let order = [1, 0, 2];
        for (number, (direction, planted)) in found.iter().zip(order).enumerate() {
            assert_eq!(direction.name, format!("pca{number}"));
            assert_eq!(direction.layers, [0, 1]);
            assert!(
                (direction.sigma / sigmas[planted] - 1.).abs() < 0.02,
                "{direction:?}"
            );
            let cosine: f64 = (direction.vector.iter().zip(axes[planted]))
                .map(|(a, b)| a * b)
                .sum();
            assert!(cosine > 0.999, "{direction:?}");
        }
        let shares: f64 = found
            .iter()
            .map(|direction| match direction.method {
                Method::PrincipalComponent {
                    share,
                    samples: 20_000,
                } => share,
                _ => panic!("{direction:?}"),
            })
            .sum();
        assert!((shares - 1.).abs() < 1e-12);
    }
}
