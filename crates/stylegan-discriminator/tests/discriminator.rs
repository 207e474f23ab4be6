//! Properties of the discriminator that need no reference values.

mod common;

use candle_core::{DType, Device, Result, Tensor};
use common::{discriminator, images, pattern, values};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig, LabelHead};
use stylegan_ops::autograd;
use stylegan_ops::nn::Architecture;

const F32: DType = DType::F32;

const ARCHITECTURES: [Architecture; 4] = [
    Architecture::Skip,
    Architecture::Resnet,
    Architecture::Orig,
    Architecture::Progressive,
];

/// Every architecture with StyleGAN2's layers, and the first generation.
fn configs(img_resolution: usize) -> Vec<DiscriminatorConfig> {
    let mut configs: Vec<_> = ARCHITECTURES
        .map(|architecture| small(img_resolution, architecture))
        .into();
    for first in [
        DiscriminatorConfig::stylegan1(),
        DiscriminatorConfig::progan(),
    ] {
        configs.push(common::small(img_resolution, first));
    }
    configs
}

fn small(img_resolution: usize, architecture: Architecture) -> DiscriminatorConfig {
    let config = DiscriminatorConfig {
        architecture,
        ..DiscriminatorConfig::default()
    };
    common::small(img_resolution, config)
}

#[test]
fn every_resolution_architecture_and_channel_count_gives_logits() -> Result<()> {
    for img_resolution in [4, 8, 16, 32, 64] {
        for config in configs(img_resolution) {
            for img_channels in [1, 3, 4] {
                let config = DiscriminatorConfig {
                    img_channels,
                    ..config.clone()
                };
                let (_, network) = discriminator(&config, F32)?;
                let logits = network.forward(&images(2, &config, F32)?, None)?;
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
    let (params, _) = discriminator(&config, F32)?;
    let weight = params.get("b1024.fromrgb.weight").expect("the first block");
    assert_eq!(weight.dims(), [2, 3, 1, 1]);
    Ok(())
}

#[test]
fn every_parameter_receives_a_gradient() -> Result<()> {
    let grows = |config: &DiscriminatorConfig| config.architecture == Architecture::Progressive;
    for config in configs(16).into_iter().filter(|config| !grows(config)) {
        let config = DiscriminatorConfig { c_dim: 3, ..config };
        let (params, network) = discriminator(&config, F32)?;
        let c = pattern(&[4, 3], F32)?;
        let logits = network.forward(&images(4, &config, F32)?, Some(&c))?;
        let gradients = autograd::backward(&logits.sqr()?.sum_all()?)?;
        for (name, var) in params.trainable() {
            let gradient = gradients.require(name, var)?;
            assert_eq!(gradient.dims(), var.dims(), "{name}");
            assert!(
                values(gradient).iter().any(|&v| v != 0.),
                "{:?} {name}",
                config.architecture
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
    let (params, network) = discriminator(&config, F32)?;
    assert_eq!(
        params.get("b4.out.weight").expect("the last layer").dims(),
        [5, 6]
    );
    let images = images(1, &config, F32)?;
    assert_ne!(
        logit(&network, &images, [1., 0.])?,
        logit(&network, &images, [0., 1.])?
    );
    Ok(())
}

/// The logit of one image with a label of two classes.
fn logit(network: &Discriminator, image: &Tensor, c: [f32; 2]) -> Result<f64> {
    let c = Tensor::new(&[c], &Device::Cpu)?;
    Ok(values(&network.forward(image, Some(&c))?)[0])
}

#[test]
fn a_product_is_linear_in_the_label() -> Result<()> {
    let config = DiscriminatorConfig {
        c_dim: 2,
        ..common::small(8, DiscriminatorConfig::stylegan1())
    };
    let (params, network) = discriminator(&config, F32)?;
    let out = params.get("b4.out.weight").expect("the last layer");
    assert_eq!(out.dims(), [2, 6]);
    let images = images(1, &config, F32)?;
    let [both, one, other] = [[3., -1.], [1., 0.], [0., 1.]].map(|c| logit(&network, &images, c));
    let (one, other) = (one?, other?);
    assert!((both? - (3. * one - other)).abs() < 1e-5);
    assert_ne!(one, other);
    Ok(())
}

#[test]
fn a_classifier_has_one_output_more_than_classes_and_asks_for_no_labels() -> Result<()> {
    let config = DiscriminatorConfig {
        c_dim: 2,
        ..common::small(8, DiscriminatorConfig::progan())
    };
    let (params, network) = discriminator(&config, F32)?;
    let out = params.get("b4.out.weight").expect("the last layer");
    assert_eq!(out.dims(), [3, 6]);
    let images = images(4, &config, F32)?;
    let (logits, class_logits) = network.forward_with_classes(&images)?;
    assert_eq!(class_logits.dims(), [4, 2]);
    assert_eq!(values(&network.forward(&images, None)?), values(&logits));
    let c = pattern(&[4, 2], F32)?;
    assert_eq!(
        values(&network.forward(&images, Some(&c))?),
        values(&logits)
    );
    let error = network.forward(&images, Some(&pattern(&[4, 3], F32)?));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("expected c [4, 2], got [4, 3]"), "{error}");

    for (label_head, c_dim) in [(LabelHead::Classifier, 0), (LabelHead::Product, 2)] {
        let config = DiscriminatorConfig {
            label_head,
            c_dim,
            ..config.clone()
        };
        let error = discriminator(&config, F32)?
            .1
            .forward_with_classes(&images)
            .unwrap_err()
            .to_string();
        let message = format!(
            "expected label_head Classifier and c_dim of at least 1 for class \
                               logits, got {label_head:?} and {c_dim}"
        );
        assert!(error.contains(&message), "{error}");
    }
    Ok(())
}

#[test]
fn the_minibatch_statistic_can_be_left_out() -> Result<()> {
    let config = DiscriminatorConfig {
        mbstd_num_channels: 0,
        ..small(8, Architecture::Resnet)
    };
    let (_, network) = discriminator(&config, F32)?;
    let batch = images(5, &config, F32)?;
    let together = values(&network.forward(&batch, None)?);
    for (i, together) in together.into_iter().enumerate() {
        let alone = values(&network.forward(&batch.narrow(0, i, 1)?, None)?)[0];
        assert!((alone - together).abs() < 1e-4, "{alone} and {together}");
    }
    Ok(())
}

#[test]
fn wrong_inputs_are_errors_that_name_them() -> Result<()> {
    let plain = discriminator(&small(8, Architecture::Resnet), F32)?.1;
    let labelled = DiscriminatorConfig {
        c_dim: 3,
        ..small(8, Architecture::Resnet)
    };
    let labelled = discriminator(&labelled, F32)?.1;
    let x = pattern(&[4, 3, 8, 8], F32)?;
    let c = pattern(&[4, 3], F32)?;
    let cases = [
        (
            plain.forward(&pattern(&[4, 3, 8, 4], F32)?, None),
            "expected image [N, 3, 8, 8], got [4, 3, 8, 4]",
        ),
        (
            plain.forward(&pattern(&[4, 1, 8, 8], F32)?, None),
            "expected image [N, 3, 8, 8], got [4, 1, 8, 8]",
        ),
        (
            plain.forward(&pattern(&[3, 8, 8], F32)?, None),
            "expected image [N, 3, 8, 8], got [3, 8, 8]",
        ),
        (plain.forward(&x, Some(&c)), "expected no c"),
        (labelled.forward(&x, None), "expected c [4, 3], got none"),
        (
            labelled.forward(&x, Some(&pattern(&[4, 2], F32)?)),
            "expected c [4, 3], got [4, 2]",
        ),
        (
            plain.forward(&pattern(&[6, 3, 8, 8], F32)?, None),
            "expected a batch that is a multiple of the group size 4, got 6 samples",
        ),
        (
            plain.forward(&Tensor::zeros((0, 3, 8, 8), F32, &Device::Cpu)?, None),
            "expected x with at least one sample",
        ),
    ];
    for (result, message) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    Ok(())
}
