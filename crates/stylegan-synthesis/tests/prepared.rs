//! Generators that were prepared for parameters that don't change any more.

use candle_core::{DType, Device, Result, Tensor};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_mapping::latents;
use stylegan_ops::Precision;
use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode, SynthesisConfig};

fn config() -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 64,
        synthesis: SynthesisConfig {
            w_dim: 64,
            img_resolution: 64,
            channel_base: 4096,
            channel_max: 128,
            ..SynthesisConfig::default()
        },
        ..GeneratorConfig::default()
    }
}

fn params(config: &GeneratorConfig) -> Result<ParamStore> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        Generator::new(config, vb)
    })
}

fn pictures(generator: &Generator) -> Result<Tensor> {
    let z = latents::from_seeds(&[0, 1, 85], 64, &Device::Cpu)?;
    generator.forward(&z, None, 1., None, &mut NoiseMode::Const)
}

/// The mean and the largest difference in levels of 255.
fn levels(a: &Tensor, b: &Tensor) -> Result<[f32; 2]> {
    let difference = ((a - b)?.abs()? * 127.5)?.flatten_all()?;
    Ok([
        difference.mean_all()?.to_scalar()?,
        difference.max(0)?.to_scalar()?,
    ])
}

/// A new network's pictures have a standard deviation of some 100 levels.
#[test]
fn pictures_of_a_prepared_generator_are_the_same_and_in_bf16_nearly() -> Result<()> {
    let config = config();
    let params = params(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let expected = pictures(&generator)?;
    let [_, most] = levels(
        &pictures(&generator.clone().prepared(Precision::F32)?)?,
        &expected,
    )?;
    assert!(most < 0.01, "{most}");
    let [mean, most] = levels(&pictures(&generator.prepared(Precision::Bf16)?)?, &expected)?;
    assert!(mean > 0.01 && mean < 1.0 && most < 8.0, "{mean} {most}");
    Ok(())
}

#[test]
fn a_generator_that_is_trained_is_refused() -> Result<()> {
    let config = config();
    let params = params(&config)?;
    let generator = Generator::new(&config, params.var_builder())?;
    let error = generator.prepared(Precision::F32).unwrap_err().to_string();
    let expected = "prepared layer: expected a weight that doesn't change any more, got a variable";
    assert_eq!(error.lines().next(), Some(expected));
    Ok(())
}

#[test]
fn layers_of_the_first_generation_are_the_same_and_not_in_bf16() -> Result<()> {
    let config = GeneratorConfig {
        z_dim: 64,
        synthesis: SynthesisConfig {
            img_resolution: 16,
            channel_max: 16,
            w_dim: 64,
            ..GeneratorConfig::stylegan1().synthesis
        },
        ..GeneratorConfig::stylegan1()
    };
    let params = params(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let expected = pictures(&generator)?;
    let prepared = generator.clone().prepared(Precision::F32)?;
    assert_eq!(levels(&pictures(&prepared)?, &expected)?, [0.0, 0.0]);
    let error = generator.prepared(Precision::Bf16).unwrap_err().to_string();
    let expected = "synthesis: expected modulated layers for products in bf16, got those of ProGAN or StyleGAN";
    assert_eq!(error.lines().next(), Some(expected));
    Ok(())
}
