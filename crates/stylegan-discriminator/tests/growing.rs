//! Properties of a discriminator that grows.

mod common;

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{discriminator, images, pattern, small, values};
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_ops::autograd;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::{Architecture, FirstGeneration, FusedScale};
use stylegan_ops::{average_pool2d, nearest_upsample2d};

const F64: DType = DType::F64;

/// Every kind of layers in the progressive architecture, with labels.
fn configs() -> [DiscriminatorConfig; 4] {
    let stylegan2 = DiscriminatorConfig {
        architecture: Architecture::Progressive,
        ..DiscriminatorConfig::default()
    };
    let unfused_progan = DiscriminatorConfig {
        first_generation: Some(FirstGeneration {
            fused_scale: FusedScale::Off,
            ..FirstGeneration::progan()
        }),
        ..DiscriminatorConfig::progan()
    };
    [
        stylegan2,
        DiscriminatorConfig::stylegan1(),
        DiscriminatorConfig::progan(),
        unfused_progan,
    ]
    .map(|config| DiscriminatorConfig {
        c_dim: 3,
        ..small(16, config)
    })
}

/// Images and labels.
fn inputs(config: &DiscriminatorConfig) -> Result<(Tensor, Tensor)> {
    Ok((images(4, config, F64)?, pattern(&[4, config.c_dim], F64)?))
}

fn assert_same(got: &Tensor, expected: &Tensor, tolerance: f64) {
    let (got, expected) = (values(got), values(expected));
    let largest = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(&expected) {
        assert!((g - e).abs() <= tolerance * largest, "{got:?} {expected:?}");
    }
}

#[test]
fn a_resolution_enters_with_the_old_network_and_leaves_with_the_new_one() -> Result<()> {
    for config in configs() {
        let network = discriminator(&config, F64)?.1;
        let (x, c) = inputs(&config)?;
        for old in [1., 2.] {
            let logits = |lod: f64| network.at_lod(Lod::new(lod)?)?.forward(&x, Some(&c));
            // The weight of the new resolution is 1e-10, then that of the old one.
            assert_same(&logits(old - 1e-10)?, &logits(old)?, 1e-8);
            assert_same(&logits(old - 1. + 1e-10)?, &logits(old - 1.)?, 1e-8);
            assert_ne!(values(&logits(old)?), values(&logits(old - 1.)?));
            assert_ne!(values(&logits(old)?), values(&logits(old - 0.5)?));
        }
    }
    Ok(())
}

#[test]
fn between_two_doublings_it_is_the_plain_chain_of_the_active_resolution() -> Result<()> {
    let config = &configs()[0];
    let (params, network) = discriminator(config, F64)?;
    let (x, c) = inputs(config)?;
    for halvings in 0..=2 {
        let chain = DiscriminatorConfig {
            architecture: Architecture::Orig,
            img_resolution: 16 >> halvings,
            ..config.clone()
        };
        let chain = Discriminator::new(&chain, params.var_builder())?;
        let active = average_pool2d(&x, 1 << halvings)?;
        let grown = network.at_lod(Lod::new(halvings as f64)?)?;
        let expected = chain.forward(&active, Some(&c))?;
        assert_same(&grown.forward(&x, Some(&c))?, &expected, 0.);
        assert_same(&grown.forward(&active, Some(&c))?, &expected, 0.);
    }
    Ok(())
}

#[test]
fn all_ways_of_computing_the_logits_agree() -> Result<()> {
    for config in configs() {
        let network = discriminator(&config, F64)?.1;
        let (x, c) = inputs(&config)?;
        for lod in [0., 0.25, 1., 1.5, 1.75, 2.] {
            let lod = Lod::new(lod)?;
            let network = network.at_lod(lod)?;
            assert_eq!(network.lod(), lod);
            let factor = 1 << lod.halvings();
            let active = average_pool2d(&x, factor)?;
            let expected = network.forward_linear(&x, Some(&c))?;
            for image in [&x, &active, &nearest_upsample2d(&active, factor)?] {
                assert_same(&network.forward(image, Some(&c))?, &expected, 1e-12);
            }
        }
    }
    Ok(())
}

#[test]
fn feature_maps_go_from_the_active_resolution_to_4_and_make_the_logits() -> Result<()> {
    for config in configs() {
        let (params, network) = discriminator(&config, F64)?;
        let (x, _) = inputs(&config)?;
        for (level, sides) in [(0., &[16, 8, 4][..]), (0.5, &[16, 8, 4]), (1., &[8, 4])] {
            let network = network.at_lod(Lod::new(level)?)?;
            let maps = network.feature_maps(&x)?;
            let found: Vec<usize> = maps.iter().map(|map| map.dims()[3]).collect();
            assert_eq!(found, sides);
            for map in &maps {
                let channels = config.channels(map.dims()[3])?;
                assert_eq!(map.dims()[..3], [4, channels, map.dims()[3]]);
            }
            // Other pictures of the batch have no part in them.
            let alone = network.feature_maps(&x.narrow(0, 2, 1)?)?;
            for (map, alone) in maps.iter().zip(&alone) {
                assert_same(alone, &map.narrow(0, 2, 1)?, 1e-12);
            }
            // Everything but the epilogue takes part in the last maps.
            let last = maps.last().expect("the maps of 4x4");
            let gradients = autograd::backward(&last.sqr()?.sum_all()?)?;
            let names = params.trainable();
            let got: BTreeSet<_> = names
                .filter(|(_, var)| gradients.get(var).is_some())
                .map(|(name, _)| name.to_string())
                .collect();
            let mut expected = active_parameters(&params, network.lod());
            let epilogue = ["b4.conv.", "b4.fc.", "b4.out.", "mapping."];
            expected.retain(|name| !epilogue.iter().any(|part| name.starts_with(part)));
            assert_eq!(got, expected, "lod {level}");
        }
    }
    Ok(())
}

#[test]
fn an_architecture_that_does_not_grow_is_full_only() -> Result<()> {
    for architecture in [Architecture::Skip, Architecture::Resnet, Architecture::Orig] {
        let config = DiscriminatorConfig {
            architecture,
            ..configs()[0].clone()
        };
        let network = discriminator(&config, F64)?.1;
        let (x, c) = inputs(&config)?;
        let expected = network.forward(&x, Some(&c))?;
        assert_eq!(network.lod(), Lod::FULL);
        let full = network.at_lod(Lod::FULL)?;
        assert_same(&full.forward(&x, Some(&c))?, &expected, 0.);
        let linear = full.forward_linear(&x, Some(&c)).unwrap_err().to_string();
        assert!(
            linear.contains("expected the architecture progressive"),
            "{linear}"
        );
        let error = network.at_lod(Lod::new(0.5)?).unwrap_err().to_string();
        let message = format!("lod: expected 0, since the architecture {architecture:?}");
        assert!(error.starts_with(&message), "{error}");
    }
    Ok(())
}

/// The names of the parameters that are computed with at that level of detail.
fn active_parameters(params: &ParamStore, lod: Lod) -> BTreeSet<String> {
    let active = lod.resolution(16);
    let takes_part = |name: &str| {
        let Some((resolution, layer)) = name.strip_prefix('b').and_then(|n| n.split_once('.'))
        else {
            return true;
        };
        let resolution: usize = resolution.parse().expect("a resolution");
        match layer.starts_with("fromrgb.") {
            true => resolution == active || (lod.fade() > 0. && 2 * resolution == active),
            false => resolution <= active,
        }
    };
    let names = params.trainable().map(|(name, _)| name);
    names.filter(|n| takes_part(n)).map(String::from).collect()
}

#[test]
fn every_active_parameter_receives_a_gradient_and_no_other() -> Result<()> {
    for config in configs() {
        let (params, network) = discriminator(&config, F64)?;
        let (x, c) = inputs(&config)?;
        for lod in [0., 0.5, 1., 1.25, 2.] {
            let lod = Lod::new(lod)?;
            let logits = network.at_lod(lod)?.forward(&x, Some(&c))?;
            let gradients = autograd::backward(&logits.sqr()?.sum_all()?)?;
            let mut got = BTreeSet::new();
            for (name, var) in params.trainable() {
                if let Some(gradient) = gradients.get(var) {
                    assert!(values(gradient).iter().any(|&v| v != 0.), "{name}");
                    got.insert(name.to_string());
                }
            }
            assert_eq!(got, active_parameters(&params, lod), "lod {lod}");
        }
    }
    Ok(())
}

/// The squared norm of the gradient of the logits for the images, which R1 penalizes.
fn penalty(network: &Discriminator, x: &Tensor, c: &Tensor) -> Result<Tensor> {
    let x = Var::from_tensor(x)?;
    let logits = network.forward(&x, Some(c))?;
    let gradient = autograd::grad(&logits.sum_all()?, &[&x])?.remove(0);
    gradient.sqr()?.sum_all()
}

#[test]
fn the_gradient_of_a_gradient_agrees_with_finite_differences_in_mid_fade() -> Result<()> {
    const STEP: f64 = 1e-5;
    for config in configs() {
        let (params, network) = discriminator(&config, F64)?;
        let (x, c) = inputs(&config)?;
        for lod in [0.5, 1.25] {
            let network = network.at_lod(Lod::new(lod)?)?;
            let gradients = autograd::backward(&penalty(&network, &x, &c)?)?;
            let value = || penalty(&network, &x, &c)?.to_scalar::<f64>();
            for (name, var) in params.trainable() {
                let gradient = match gradients.get(var) {
                    Some(gradient) => values(gradient),
                    None => vec![0.; var.elem_count()],
                };
                let start = var.copy()?;
                // The first element, and one in the middle.
                for element in [0, gradient.len() / 2] {
                    let moved = |by: f64| -> Result<f64> {
                        let mut elements = values(&start);
                        elements[element] += by;
                        var.set(&Tensor::from_vec(elements, var.dims(), &Device::Cpu)?)?;
                        value()
                    };
                    let difference = (moved(STEP)? - moved(-STEP)?) / (2. * STEP);
                    let error = (difference - gradient[element]).abs();
                    let largest = gradient.iter().fold(1f64, |m, v| m.max(v.abs()));
                    assert!(error < 1e-6 * largest, "lod {lod} {name}: {error:.1e}");
                }
                var.set(&start)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_penalty_on_images_of_the_active_size_is_that_of_full_size_ones_times_a_power_of_4()
-> Result<()> {
    for config in configs() {
        let network = discriminator(&config, F64)?.1;
        let (x, c) = inputs(&config)?;
        for lod in [0.5, 1.25, 2.] {
            let lod = Lod::new(lod)?;
            let network = network.at_lod(lod)?;
            let active = average_pool2d(&x, 1 << lod.halvings())?;
            let full = penalty(&network, &x, &c)?.affine(4f64.powi(lod.halvings() as i32), 0.)?;
            assert_same(&penalty(&network, &active, &c)?, &full, 1e-10);
        }
    }
    Ok(())
}

#[test]
fn levels_and_images_out_of_range_are_errors_that_name_them() -> Result<()> {
    let config = configs()[1].clone();
    let network = discriminator(&config, F64)?.1;
    for lod in [2.5, 3., 1e300] {
        let error = network.at_lod(Lod::new(lod)?).unwrap_err().to_string();
        assert!(error.starts_with("lod: expected at most 2"), "{error}");
    }
    let (x, c) = inputs(&config)?;
    let network = network.at_lod(Lod::new(0.5)?)?;
    let grown = network.at_lod(Lod::new(1.5)?)?;
    let half = average_pool2d(&x, 2)?;
    let quarter = average_pool2d(&x, 4)?;
    let expected = "expected image [N, 3, 16, 16] or [N, 3, 8, 8], got [4, 3, 4, 4]";
    let cases = [
        (
            network.forward(&half, Some(&c)),
            "expected image [N, 3, 16, 16], got [4, 3, 8, 8]",
        ),
        (grown.forward(&quarter, Some(&c)), expected),
        (
            grown.forward_linear(&half, Some(&c)),
            "expected image [N, 3, 16, 16], got [4, 3, 8, 8]",
        ),
        (grown.forward(&half.get(0)?, Some(&c)), "got [3, 8, 8]"),
        (grown.forward(&half, None), "expected c [4, 3], got none"),
        (
            grown.forward_linear(&x, None),
            "expected c [4, 3], got none",
        ),
    ];
    for (result, message) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    Ok(())
}
