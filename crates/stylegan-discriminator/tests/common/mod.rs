//! Small discriminators with drawn weights, and inputs for them.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::device;

/// `config` with few channels and, where it projects on labels, a short mapping network.
pub fn small(img_resolution: usize, config: DiscriminatorConfig) -> DiscriminatorConfig {
    DiscriminatorConfig {
        img_resolution,
        channel_base: 4 * img_resolution,
        channel_max: 6,
        mapping_layers: 2,
        ..config
    }
}

pub fn discriminator(
    config: &DiscriminatorConfig,
    dtype: DType,
) -> Result<(ParamStore, Discriminator)> {
    let build = |vb: VarBuilder| Discriminator::new(config, vb);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let params = ParamStore::initialize(dtype, device(), &mut rng, build)?;
    let network = build(params.var_builder())?;
    Ok((params, network))
}

pub fn pattern(shape: &[usize], dtype: DType) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, device())?.to_dtype(dtype)
}

pub fn images(n: usize, config: &DiscriminatorConfig, dtype: DType) -> Result<Tensor> {
    let side = config.img_resolution;
    pattern(&[n, config.img_channels, side, side], dtype)
}

pub fn values(x: &Tensor) -> Vec<f64> {
    let flat = x.to_dtype(DType::F64).and_then(|x| x.flatten_all());
    flat.unwrap().to_vec1().unwrap()
}
