//! Tests that go across the operators: kernels against references, gradients against finite
//! differences.

mod fused;
mod gradients;
mod kernels;

use candle_core::{DType, Device, Result, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// N(0,1) tensors from a seed.
struct Normal {
    rng: ChaCha8Rng,
    dtype: DType,
}

impl Normal {
    fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            dtype: DType::F64,
        }
    }

    fn of(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    fn tensor(&mut self, dims: &[usize]) -> Tensor {
        let count = dims.iter().product();
        let values: Vec<f64> = StandardNormal
            .sample_iter(&mut self.rng)
            .take(count)
            .collect();
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu).unwrap();
        tensor.to_dtype(self.dtype).unwrap()
    }
}

/// What `work` gives on so many threads.
pub(crate) fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool").install(work)
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64)
        .and_then(|t| t.flatten_all()?.to_vec1())
        .unwrap()
}

/// The largest difference relative to the largest magnitude.
fn difference(got: &Tensor, expected: &Tensor) -> f64 {
    stylegan_goldens::relative_error(got, expected).unwrap()
}

fn scalar(t: &Tensor) -> Result<f64> {
    t.to_dtype(DType::F64)?.to_scalar()
}
