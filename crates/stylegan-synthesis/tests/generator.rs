//! Properties of synthesis network and generator that need no reference values.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_ops::autograd;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{
    Generator, GeneratorConfig, MappingOptions, NoiseMode, Synthesis, SynthesisConfig,
};

const ARCHITECTURES: [Architecture; 3] =
    [Architecture::Skip, Architecture::Resnet, Architecture::Orig];

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn small(img_resolution: usize, architecture: Architecture) -> SynthesisConfig {
    SynthesisConfig {
        w_dim: 6,
        img_resolution,
        channel_base: 4 * img_resolution,
        channel_max: 6,
        architecture,
        ..SynthesisConfig::default()
    }
}

fn synthesis(config: &SynthesisConfig) -> Result<(ParamStore, Synthesis)> {
    let build = |vb: VarBuilder| Synthesis::new(config, vb);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng(), build)?;
    let network = build(params.var_builder())?;
    Ok((params, network))
}

fn ws(n: usize, config: &SynthesisConfig) -> Result<Tensor> {
    let count = n * config.num_ws() * config.w_dim;
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, (n, config.num_ws(), config.w_dim), &Device::Cpu)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_resolution_architecture_and_channel_count_gives_images() -> Result<()> {
    for architecture in ARCHITECTURES {
        for img_resolution in [4, 8, 16, 32, 64] {
            for img_channels in [1, 3, 4] {
                let config = SynthesisConfig {
                    img_channels,
                    ..small(img_resolution, architecture)
                };
                let (_, network) = synthesis(&config)?;
                let image = network.forward(&ws(2, &config)?, &mut NoiseMode::Const)?;
                let side = img_resolution;
                assert_eq!(image.dims(), [2, img_channels, side, side], "{config:?}");
                assert!(values(&image).iter().all(|v| v.is_finite()), "{config:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_network_for_1024_pixels_can_be_built() -> Result<()> {
    let config = SynthesisConfig {
        channel_base: 2048,
        channel_max: 4,
        ..SynthesisConfig::default()
    };
    let (params, network) = synthesis(&config)?;
    assert_eq!(network.num_ws(), 18);
    let noise = params
        .get("b1024.conv1.noise_const")
        .expect("the last block");
    assert_eq!(noise.dims(), [1024, 1024]);
    Ok(())
}

#[test]
fn every_parameter_receives_a_gradient() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = small(16, architecture);
        let (params, network) = synthesis(&config)?;
        let image = network.forward(&ws(2, &config)?, &mut NoiseMode::Random(&mut rng()))?;
        let gradients = autograd::backward(&image.sqr()?.sum_all()?)?;
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
fn every_layer_takes_its_own_w() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = small(16, architecture);
        let (_, network) = synthesis(&config)?;
        let ws = ws(1, &config)?;
        let image = network.forward(&ws, &mut NoiseMode::None)?;
        for layer in 0..config.num_ws() {
            let step = (0..config.num_ws()).map(|k| f32::from(k == layer));
            let step = Tensor::from_iter(step, &Device::Cpu)?.reshape((1, config.num_ws(), 1))?;
            let changed = network.forward(&ws.broadcast_add(&step)?, &mut NoiseMode::None)?;
            assert_ne!(
                values(&changed),
                values(&image),
                "{architecture:?} layer {layer}"
            );
        }
    }
    Ok(())
}

#[test]
fn noise_modes_differ_once_noise_has_a_strength() -> Result<()> {
    let config = small(8, Architecture::Skip);
    let (params, network) = synthesis(&config)?;
    let ws = ws(2, &config)?;
    let image = |noise: &mut NoiseMode| network.forward(&ws, noise).map(|x| values(&x));
    let silent = image(&mut NoiseMode::None)?;
    assert_eq!(
        image(&mut NoiseMode::Const)?,
        silent,
        "the initial strength is 0"
    );

    for (name, var) in params.trainable() {
        if name.ends_with("noise_strength") {
            var.set(&Tensor::new(0.5f32, &Device::Cpu)?)?;
        }
    }
    let constant = image(&mut NoiseMode::Const)?;
    let random = image(&mut NoiseMode::Random(&mut rng()))?;
    assert_eq!(image(&mut NoiseMode::None)?, silent);
    assert_eq!(image(&mut NoiseMode::Const)?, constant);
    assert_eq!(
        image(&mut NoiseMode::Random(&mut rng()))?,
        random,
        "same seed"
    );
    let mut advanced = rng();
    image(&mut NoiseMode::Random(&mut advanced))?;
    assert_ne!(
        image(&mut NoiseMode::Random(&mut advanced))?,
        random,
        "the generator moves on"
    );
    assert!(silent != constant && silent != random && constant != random);
    Ok(())
}

#[test]
fn random_noise_differs_between_the_pictures_of_a_batch() -> Result<()> {
    let config = small(8, Architecture::Skip);
    let (params, network) = synthesis(&config)?;
    let strength = params
        .get("b8.conv1.noise_strength")
        .expect("a layer of the network");
    strength.set(&Tensor::new(1f32, &Device::Cpu)?)?;
    let one = ws(1, &config)?;
    let same = Tensor::cat(&[&one, &one], 0)?;
    let differ = |noise: &mut NoiseMode| -> Result<bool> {
        let images = network.forward(&same, noise)?;
        Ok(values(&images.get(0)?) != values(&images.get(1)?))
    };
    assert!(!differ(&mut NoiseMode::Const)?);
    assert!(differ(&mut NoiseMode::Random(&mut rng()))?);
    Ok(())
}

#[test]
fn ws_of_another_shape_are_an_error_that_names_both() -> Result<()> {
    let (_, network) = synthesis(&small(8, Architecture::Skip))?;
    for shape in [vec![2, 5, 6], vec![2, 4, 7], vec![2, 6]] {
        let wrong = Tensor::zeros(shape.as_slice(), DType::F32, &Device::Cpu)?;
        let error = network
            .forward(&wrong, &mut NoiseMode::None)
            .unwrap_err()
            .to_string();
        let expected = format!("expected ws [N, 4, 6], got {shape:?}");
        assert!(error.contains(&expected), "{error}");
    }
    Ok(())
}

#[test]
fn truncation_without_an_average_is_an_error_unless_psi_is_1() -> Result<()> {
    let config = GeneratorConfig {
        z_dim: 5,
        c_dim: 0,
        mapping: MappingOptions {
            w_avg: false,
            ..MappingOptions::default()
        },
        synthesis: small(8, Architecture::Skip),
    };
    let build = |vb: VarBuilder| Generator::new(&config, vb);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng(), build)?;
    assert!(params.get("mapping.w_avg").is_none());
    let generator = build(params.frozen_var_builder())?;
    let z = Tensor::ones((1, 5), DType::F32, &Device::Cpu)?;
    assert_eq!(generator.ws(&z, None, 1., Some(2))?.dims(), [1, 4, 6]);
    let error = generator.ws(&z, None, 0.7, None).unwrap_err().to_string();
    assert!(error.contains("psi 0.7"), "{error}");
    Ok(())
}

#[test]
fn a_frozen_generator_records_no_graph_and_follows_its_weights() -> Result<()> {
    let config = small(8, Architecture::Skip);
    let (params, _) = synthesis(&config)?;
    let network = Synthesis::new(&config, params.frozen_var_builder())?;
    let ws = ws(1, &config)?;
    let before = network.forward(&ws, &mut NoiseMode::None)?;
    assert!(!before.track_op());
    let bias = params.get("b8.torgb.bias").expect("the last image output");
    bias.set(&Tensor::ones(3, DType::F32, &Device::Cpu)?)?;
    let after = network.forward(&ws, &mut NoiseMode::None)?;
    for (after, before) in values(&after).iter().zip(values(&before)) {
        assert!((after - before - 1.).abs() < 1e-5);
    }
    Ok(())
}

#[test]
fn every_w_has_the_style_matrix_of_its_layer() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = small(16, architecture);
        let (params, network) = synthesis(&config)?;
        let layers = [
            "b4.conv1",
            "b8.conv0",
            "b8.conv1",
            "b16.conv0",
            "b16.conv1",
            "b16.torgb",
        ];
        let matrices = network.style_matrices()?;
        assert_eq!(matrices.len(), config.num_ws());
        for (matrix, layer) in matrices.iter().zip(layers) {
            let name = format!("{layer}.affine.weight");
            let weight = params.get(&name).expect("every layer has a style");
            assert_eq!(matrix.dims(), weight.dims());
            // The style of an image output has the gain of the output's weight, too.
            let inputs = if layer == "b16.torgb" {
                6. * weight.dim(0)? as f64
            } else {
                6.
            };
            let expected = (weight.as_tensor() / inputs.sqrt())?;
            let error = (matrix - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error < 1e-6, "{layer}: {error}");
        }
    }
    let stylegan = GeneratorConfig::stylegan1().synthesis;
    let (_, network) = synthesis(&SynthesisConfig {
        w_dim: 6,
        img_resolution: 8,
        channel_base: 64,
        channel_max: 5,
        ..stylegan
    })?;
    let shapes: Vec<_> = network
        .style_matrices()?
        .iter()
        .map(|m| m.dims().to_vec())
        .collect();
    assert_eq!(
        shapes,
        vec![vec![10, 6]; 4],
        "scale and shift of four layers"
    );
    let progan = GeneratorConfig::progan().synthesis;
    let (_, network) = synthesis(&SynthesisConfig {
        w_dim: 6,
        img_resolution: 8,
        channel_base: 64,
        channel_max: 5,
        ..progan
    })?;
    let error = network.style_matrices().unwrap_err().to_string();
    assert!(error.contains("expected layers with styles"), "{error}");
    Ok(())
}
