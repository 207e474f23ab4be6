//! Properties of the discriminator that need no reference values.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_ops::autograd;
use stylegan_ops::nn::Architecture;

const ARCHITECTURES: [Architecture; 3] =
    [Architecture::Skip, Architecture::Resnet, Architecture::Orig];

fn small(img_resolution: usize, architecture: Architecture) -> DiscriminatorConfig {
    DiscriminatorConfig {
        img_resolution,
        channel_base: 4 * img_resolution,
        channel_max: 6,
        architecture,
        mapping_layers: 2,
        ..DiscriminatorConfig::default()
    }
}

fn discriminator(config: &DiscriminatorConfig) -> Result<(ParamStore, Discriminator)> {
    let build = |vb: VarBuilder| Discriminator::new(config, vb);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, build)?;
    let network = build(params.var_builder())?;
    Ok((params, network))
}

fn pattern(shape: &[usize]) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

fn images(n: usize, config: &DiscriminatorConfig) -> Result<Tensor> {
    let side = config.img_resolution;
    pattern(&[n, config.img_channels, side, side])
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_resolution_architecture_and_channel_count_gives_logits() -> Result<()> {
    for architecture in ARCHITECTURES {
        for img_resolution in [4, 8, 16, 32, 64] {
            for img_channels in [1, 3, 4] {
                let config = DiscriminatorConfig {
                    img_channels,
                    ..small(img_resolution, architecture)
                };
                let (_, network) = discriminator(&config)?;
                let logits = network.forward(&images(2, &config)?, None)?;
                assert_eq!(logits.dims(), [2, 1], "{config:?}");
                assert!(values(&logits).iter().all(|v| v.is_finite()), "{config:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_network_for_1024_pixels_can_be_built() -> Result<()> {
    let config = DiscriminatorConfig {
        channel_base: 2048,
        channel_max: 4,
        ..DiscriminatorConfig::default()
    };
    let (params, _) = discriminator(&config)?;
    let weight = params.get("b1024.fromrgb.weight").expect("the first block");
    assert_eq!(weight.dims(), [2, 3, 1, 1]);
    Ok(())
}

#[test]
fn every_parameter_receives_a_gradient() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = DiscriminatorConfig {
            c_dim: 3,
            ..small(16, architecture)
        };
        let (params, network) = discriminator(&config)?;
        let logits = network.forward(&images(4, &config)?, Some(&pattern(&[4, 3])?))?;
        let gradients = autograd::backward(&logits.sqr()?.sum_all()?)?;
        for (name, var) in params.trainable() {
            let gradient = gradients.require(name, var)?;
            assert_eq!(gradient.dims(), var.dims(), "{name}");
            assert!(
                values(gradient).iter().any(|&v| v != 0.),
                "{architecture:?} {name}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_label_decides_the_logit() -> Result<()> {
    let config = DiscriminatorConfig {
        c_dim: 2,
        cmap_dim: Some(5),
        ..small(8, Architecture::Resnet)
    };
    let (params, network) = discriminator(&config)?;
    assert_eq!(
        params.get("b4.out.weight").expect("the last layer").dims(),
        [5, 6]
    );
    let images = images(1, &config)?;
    let logit = |c: [f32; 2]| -> Result<f32> {
        let c = Tensor::new(&[c], &Device::Cpu)?;
        network
            .forward(&images, Some(&c))?
            .squeeze(1)?
            .get(0)?
            .to_scalar()
    };
    assert_ne!(logit([1., 0.])?, logit([0., 1.])?);
    Ok(())
}

#[test]
fn the_minibatch_statistic_can_be_left_out() -> Result<()> {
    let config = DiscriminatorConfig {
        mbstd_num_channels: 0,
        ..small(8, Architecture::Resnet)
    };
    let (_, network) = discriminator(&config)?;
    let batch = images(5, &config)?;
    let together = values(&network.forward(&batch, None)?);
    for (i, together) in together.into_iter().enumerate() {
        let alone = values(&network.forward(&batch.narrow(0, i, 1)?, None)?)[0];
        assert!((alone - together).abs() < 1e-4, "{alone} and {together}");
    }
    Ok(())
}

#[test]
fn wrong_inputs_are_errors_that_name_them() -> Result<()> {
    let plain = discriminator(&small(8, Architecture::Resnet))?.1;
    let labelled = DiscriminatorConfig {
        c_dim: 3,
        ..small(8, Architecture::Resnet)
    };
    let labelled = discriminator(&labelled)?.1;
    let x = pattern(&[4, 3, 8, 8])?;
    let c = pattern(&[4, 3])?;
    let cases = [
        (
            plain.forward(&pattern(&[4, 3, 8, 4])?, None),
            "expected image [N, 3, 8, 8], got [4, 3, 8, 4]",
        ),
        (
            plain.forward(&pattern(&[4, 1, 8, 8])?, None),
            "expected image [N, 3, 8, 8], got [4, 1, 8, 8]",
        ),
        (
            plain.forward(&pattern(&[3, 8, 8])?, None),
            "expected image [N, 3, 8, 8], got [3, 8, 8]",
        ),
        (plain.forward(&x, Some(&c)), "expected no c"),
        (labelled.forward(&x, None), "expected c [4, 3], got none"),
        (
            labelled.forward(&x, Some(&pattern(&[4, 2])?)),
            "expected c [4, 3], got [4, 2]",
        ),
        (
            plain.forward(&pattern(&[6, 3, 8, 8])?, None),
            "expected a batch that is a multiple of the group size 4, got 6 samples",
        ),
        (
            plain.forward(
                &Tensor::zeros((0, 3, 8, 8), DType::F32, &Device::Cpu)?,
                None,
            ),
            "expected x with at least one sample",
        ),
    ];
    for (result, message) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    Ok(())
}
