//! Directions without a meaning.

use nalgebra::DVector;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::direction::{Direction, Method};
use crate::error::Result;
use crate::statistics::WStatistics;

/// Directions that are uniformly distributed on the sphere, called `random0`, `random1`, ...: what others must be
/// better than.
///
/// # Errors
/// If there are fewer than two w.
pub fn random_directions(
    w: &WStatistics,
    layers: &[usize],
    count: usize,
    seed: u64,
) -> Result<Vec<Direction>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let direction = |number: usize| {
        let normal = StandardNormal.sample_iter(&mut rng).take(w.w_dim());
        let vector = DVector::<f64>::from_iterator(w.w_dim(), normal).normalize();
        Ok(Direction {
            name: format!("random{number}"),
            sigma: w.sigma(vector.as_slice())?,
            vector: vector.as_slice().to_vec(),
            layers: layers.to_vec(),
            method: Method::Random { seed },
        })
    };
    (0..count).map(direction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn random_directions_have_length_1_and_are_those_of_their_seed() {
        let mut w = WStatistics::new(3);
        let rows = Tensor::new(&[[1f64, 0., 0.], [0., 2., 0.], [0., 0., 3.]], &Device::Cpu);
        w.push(&rows.unwrap()).unwrap();
        let draw = |seed| random_directions(&w, &[0, 2], 4, seed).unwrap();
        for direction in draw(1) {
            direction.validate(3).unwrap();
            let sigma = w.sigma(&direction.vector).unwrap();
            assert_eq!(
                (direction.sigma, &direction.layers[..]),
                (sigma, &[0, 2][..])
            );
        }
        assert_eq!(draw(1), draw(1));
        assert!(draw(1) != draw(2));
    }
}
