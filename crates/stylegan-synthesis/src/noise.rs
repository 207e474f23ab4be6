use candle_core::{DType, Device, Result, Tensor};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Where the noise of the synthesis layers comes from.
pub enum NoiseMode<'a> {
    /// The stored maps: the same for every picture.
    Const,
    /// No noise.
    None,
    /// Fresh N(0, 1) maps for every picture and layer, drawn on the CPU.
    Random(&'a mut dyn Rng),
}

/// N(0, 1) maps `[n, 1, side, side]`: the same numbers on every device.
pub(crate) fn normal_maps(
    rng: &mut dyn Rng,
    n: usize,
    side: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let values: Vec<f32> = StandardNormal
        .sample_iter(rng)
        .take(n * side * side)
        .collect();
    Tensor::from_vec(values, (n, 1, side, side), device)?.to_dtype(dtype)
}
