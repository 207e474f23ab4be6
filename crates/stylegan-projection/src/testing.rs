//! Small networks with drawn weights, for the tests of this crate.

use candle_core::{DType, Device, Result, Tensor};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_lpips::{Lpips, Vgg16Config};
use stylegan_synthesis::{Generator, GeneratorConfig, SynthesisConfig};

use crate::start::normal;

pub(crate) fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(3)
}

/// A generator of 8x8 pictures in f32.
pub(crate) fn generator(config: GeneratorConfig) -> Result<(GeneratorConfig, Generator)> {
    generator_of(config, 8, DType::F32)
}

/// A generator of the family of `config`, with noise that is seen.
pub(crate) fn generator_of(
    mut config: GeneratorConfig,
    side: usize,
    dtype: DType,
) -> Result<(GeneratorConfig, Generator)> {
    config.z_dim = 8;
    config.mapping.num_layers = config.mapping.num_layers.min(2);
    config.synthesis = SynthesisConfig {
        w_dim: 8,
        img_resolution: side,
        channel_base: 8 * side,
        channel_max: 12,
        ..config.synthesis
    };
    let params = ParamStore::initialize(dtype, &Device::Cpu, &mut rng(), |vb| {
        Generator::new(&config, vb)
    })?;
    for (name, var) in params.iter() {
        if name.ends_with("noise_strength") {
            var.set(&(var.as_detached_tensor() + 0.1)?)?;
        }
    }
    let network = Generator::new(&config, params.frozen_var_builder())?;
    Ok((config, network))
}

/// A discriminator of 8x8 pictures.
pub(crate) fn discriminator(dtype: DType) -> Result<Discriminator> {
    discriminator_of(8, dtype)
}

pub(crate) fn discriminator_of(side: usize, dtype: DType) -> Result<Discriminator> {
    let config = DiscriminatorConfig {
        img_resolution: side,
        channel_base: 8 * side,
        channel_max: 12,
        ..DiscriminatorConfig::default()
    };
    let params = ParamStore::initialize(dtype, &Device::Cpu, &mut rng(), |vb| {
        Discriminator::new(&config, vb)
    })?;
    Discriminator::new(&config, params.frozen_var_builder())
}

pub(crate) fn lpips(dtype: DType) -> Result<Lpips> {
    let config = Vgg16Config {
        widths: [4, 4, 6, 6, 6],
    };
    let params = ParamStore::initialize(dtype, &Device::Cpu, &mut rng(), |vb| {
        Lpips::new(&config, vb)
    })?;
    Lpips::new(&config, params.frozen_var_builder())
}

/// A picture `[1, 3, side, side]` of noise.
pub(crate) fn picture(seed: u64, side: usize, dtype: DType) -> Result<Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = normal(&[1, 3, side, side], &Device::Cpu, &mut rng)?;
    (noise * 0.5)?.to_dtype(dtype)
}
