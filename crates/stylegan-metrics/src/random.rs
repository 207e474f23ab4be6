//! Independent random numbers for every use, so that results don't depend on the order of the work.

use candle_core::{Device, Result, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// What random numbers are for; each has a stream of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Where descriptors are taken from a picture of the reals.
    Reals { level: usize, picture: usize },
    /// Where descriptors are taken from a picture of the fakes.
    Fakes { level: usize, picture: usize },
    /// The directions of a level.
    Level { level: usize },
    /// The directions of the layout distance.
    Layout,
}

/// The generator of a purpose.
pub(crate) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let (kind, level, picture) = match purpose {
        Purpose::Reals { level, picture } => (0, level, picture),
        Purpose::Fakes { level, picture } => (1, level, picture),
        Purpose::Level { level } => (2, level, 0),
        Purpose::Layout => (3, 0, 0),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((picture as u64) << 8 | (level as u64) << 2 | kind);
    rng
}

/// Directions `[count, dim]`, each of length 1, uniform on the sphere.
pub(crate) fn directions(count: usize, dim: usize, mut rng: ChaCha8Rng) -> Result<Tensor> {
    let mut values: Vec<f32> = (0..count * dim)
        .map(|_| rng.sample(StandardNormal))
        .collect();
    for direction in values.chunks_exact_mut(dim) {
        let length = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|x| *x /= length);
    }
    Tensor::from_vec(values, (count, dim), &Device::Cpu)
}
