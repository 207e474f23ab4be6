//! Networks of the first generation while they grow.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use stylegan_checkpoint::ParamStore;
use stylegan_ops::autograd;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::Architecture;
use stylegan_ops::{BiasAct, adain, average_pool2d, nearest_upsample2d, scaled_bias_act};
use stylegan_synthesis::{
    Generator, GeneratorConfig, Layers, NoiseMode, StyledLayers, SynthesisConfig,
};

const SIDE: usize = 32;

/// The smallest network of a family that grows from 4 to 32 pixels.
fn small(mut config: GeneratorConfig) -> GeneratorConfig {
    config.z_dim = 6;
    config.mapping.num_layers = config.mapping.num_layers.min(2);
    config.synthesis = SynthesisConfig {
        w_dim: 6,
        img_resolution: SIDE,
        channel_base: 128,
        channel_max: 8,
        ..config.synthesis
    };
    config
}

/// StyleGAN, ProGAN, their mixtures, and StyleGAN2's layers in a progressive network.
fn families() -> Vec<GeneratorConfig> {
    let styled = |layers| {
        let mut config = GeneratorConfig::stylegan1();
        config.synthesis.layers = Layers::Styled(layers);
        config
    };
    let mut modulated = GeneratorConfig::default();
    modulated.synthesis.architecture = Architecture::Progressive;
    let families = [
        GeneratorConfig::stylegan1(),
        GeneratorConfig::progan(),
        modulated,
        styled(StyledLayers {
            const_input_layer: false,
            use_noise: false,
            ..StyledLayers::default()
        }),
        styled(StyledLayers {
            use_styles: false,
            const_input_layer: false,
            ..StyledLayers::default()
        }),
    ];
    families.map(small).into()
}

/// Weights of which none is at its special initial value.
fn weights(config: &GeneratorConfig) -> Result<ParamStore> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let params = ParamStore::initialize(DType::F64, &Device::Cpu, &mut rng, |vb| {
        Generator::new(config, vb)
    })?;
    for (_, var) in params.iter() {
        let noise = (normal(&mut rng, var.dims())? * 0.3)?;
        var.set(&(var.as_detached_tensor() + noise)?)?;
    }
    Ok(params)
}

fn latents(config: &GeneratorConfig) -> Result<Tensor> {
    normal(&mut ChaCha8Rng::seed_from_u64(4), &[2, config.z_dim])
}

fn normal(rng: &mut ChaCha8Rng, dims: &[usize]) -> Result<Tensor> {
    let count = dims.iter().product();
    let values: Vec<f64> = StandardNormal.sample_iter(rng).take(count).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

fn lod(lod: f64) -> Lod {
    Lod::new(lod).unwrap()
}

fn image(generator: &Generator, lod: Lod, z: &Tensor) -> Result<Tensor> {
    let generator = generator.at_lod(lod)?;
    assert_eq!(generator.lod(), lod);
    generator.forward(z, None, 1., None, &mut NoiseMode::Const)
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar());
    difference.unwrap()
}

#[test]
fn a_resolution_enters_as_the_old_network_enlarged_and_takes_over() -> Result<()> {
    for config in families() {
        let params = weights(&config)?;
        let generator = Generator::new(&config, params.frozen_var_builder())?;
        let z = latents(&config)?;
        for old in [1., 2., 3.] {
            let before = image(&generator, lod(old), &z)?;
            let (moment, middle) = (image(&generator, lod(old - 1e-12), &z)?, lod(old - 0.5));
            assert!(difference(&before, &moment) < 1e-9);
            let after = image(&generator, lod(old - 1.), &z)?;
            assert!(
                difference(&before, &after) > 1e-2,
                "the resolution {old} changes something"
            );
            let halfway = ((&before + &after)? / 2.)?;
            assert!(difference(&image(&generator, middle, &z)?, &halfway) < 1e-9);
        }
    }
    Ok(())
}

#[test]
fn linear_and_recursive_evaluation_agree() -> Result<()> {
    for config in families() {
        let params = weights(&config)?;
        let generator = Generator::new(&config, params.frozen_var_builder())?;
        let ws = generator.ws(&latents(&config)?, None, 1., None)?;
        for at in [0., 0.25, 1., 1.7, 2., 2.999, 3.] {
            let synthesis = generator.synthesis().at_lod(lod(at))?;
            let recursive = synthesis.forward(&ws, &mut NoiseMode::Const)?;
            let linear = synthesis.forward_linear(&ws, &mut NoiseMode::Const)?;
            assert_eq!(recursive.dims(), [2, 3, SIDE, SIDE]);
            assert!(difference(&recursive, &linear) < 1e-12, "lod {at}");
        }
    }
    Ok(())
}

#[test]
fn the_active_image_is_the_full_one_without_repeated_pixels() -> Result<()> {
    let config = small(GeneratorConfig::stylegan1());
    let params = weights(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let ws = generator.ws(&latents(&config)?, None, 1., None)?;
    for (at, side) in [(0., 32), (0.5, 32), (1., 16), (2.25, 8), (3., 4)] {
        let synthesis = generator.synthesis().at_lod(lod(at))?;
        let active = synthesis.forward_active(&ws, &mut NoiseMode::Const)?;
        let full = synthesis.forward(&ws, &mut NoiseMode::Const)?;
        assert_eq!(active.dims(), [2, 3, side, side]);
        assert_eq!(
            difference(&nearest_upsample2d(&active, SIDE / side)?, &full),
            0.
        );
        assert_eq!(
            difference(&average_pool2d(&full, SIDE / side)?, &active),
            0.
        );
    }
    Ok(())
}

/// The side of the block that a parameter belongs to; none for the mapping network's.
fn side(name: &str) -> Option<usize> {
    let block = name.strip_prefix("synthesis.b")?;
    block.split('.').next()?.parse().ok()
}

#[test]
fn exactly_the_active_parameters_receive_a_gradient() -> Result<()> {
    for config in families() {
        let params = weights(&config)?;
        let generator = Generator::new(&config, params.var_builder())?;
        let z = latents(&config)?;
        for (at, active, outputs) in [
            (0., 32, vec![32]),
            (0.5, 32, vec![32, 16]),
            (1., 16, vec![16]),
            (2.5, 8, vec![8, 4]),
            (3., 4, vec![4]),
        ] {
            let image = image(&generator, lod(at), &z)?;
            let gradients = autograd::backward(&image.powf(3.)?.sum_all()?)?;
            for (name, var) in params.trainable() {
                let is_active = match side(name) {
                    Some(side) if name.contains("torgb") => outputs.contains(&side),
                    Some(side) => side <= active,
                    None => true,
                };
                let found = gradients.get(var).is_some();
                assert_eq!(found, is_active, "{name} at lod {at}");
            }
        }
    }
    Ok(())
}

#[test]
fn feature_maps_are_those_of_the_active_layers_before_and_after_normalisation() -> Result<()> {
    let config = small(GeneratorConfig::stylegan1());
    let params = weights(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let ws = generator.ws(&latents(&config)?, None, 1., None)?;
    let synthesis = generator.synthesis().at_lod(lod(2.))?;
    let maps = synthesis.feature_maps(&ws, &mut NoiseMode::Const)?;
    let names: Vec<_> = maps.iter().map(|m| m.layer.as_str()).collect();
    assert_eq!(names, ["b4.input", "b4.conv1", "b8.conv0", "b8.conv1"]);
    for maps in &maps {
        let style = |name: &str| params.get(&format!("synthesis.{}.affine.{name}", maps.layer));
        assert_eq!(maps.before.dims(), maps.after.dims());
        // The scale of every map is that of its style, whatever it was before.
        let (weight, bias) = (style("weight").unwrap(), style("bias").unwrap());
        let w = ws.narrow(1, names.iter().position(|n| *n == maps.layer).unwrap(), 1)?;
        let gain = 1. / (config.w_dim() as f64).sqrt();
        let style = (w.squeeze(1)?.matmul(&weight.t()?)? * gain)?.broadcast_add(bias)?;
        let channels = maps.after.dims()[1];
        let scale = (style.narrow(1, 0, channels)? + 1.)?;
        let shift = style.narrow(1, channels, channels)?.contiguous()?;
        let again = adain(&maps.before, &scale, &shift)?;
        assert!(difference(&again, &maps.after) < 1e-12, "{}", maps.layer);
        let expected = scale.abs()?;
        let flat = maps.after.flatten_from(2)?;
        let mean = flat.mean_keepdim(2)?;
        let deviation = flat.broadcast_sub(&mean)?.sqr()?.mean(2)?.sqrt()?;
        assert!(difference(&deviation, &expected) < 1e-6, "{}", maps.layer);
    }

    let config = small(GeneratorConfig::default());
    let params = weights(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let ws = generator.ws(&latents(&config)?, None, 1., None)?;
    let maps = generator
        .synthesis()
        .feature_maps(&ws, &mut NoiseMode::None)?;
    assert_eq!(maps.len(), 7);
    assert_eq!(
        (maps[0].layer.as_str(), maps[6].layer.as_str()),
        ("b4.conv1", "b32.conv1")
    );
    // The last layer: demodulation, bias and activation are all between the two.
    let last = &maps[6];
    let get = |name: &str| params.get(&format!("synthesis.b32.conv1.{name}")).unwrap();
    let w = ws.narrow(1, 6, 1)?.squeeze(1)?;
    let gain = 1. / (config.w_dim() as f64).sqrt();
    let style =
        (w.matmul(&get("affine.weight").t()?)? * gain)?.broadcast_add(get("affine.bias"))?;
    let squares = get("weight").sqr()?.sum(3)?.sum(2)?;
    let norm = (style.sqr()?.matmul(&squares.t()?)? + 1e-8)?.sqrt()?;
    let act = BiasAct::lrelu().with_clamp(config.synthesis.conv_clamp);
    let again = scaled_bias_act(&last.before, &norm.recip()?, Some(get("bias")), None, &act)?;
    assert!(difference(&again, &last.after) < 1e-9);
    Ok(())
}

#[test]
fn maps_of_the_caller_take_the_place_of_the_stored_ones() -> Result<()> {
    for config in families() {
        let params = weights(&config)?;
        let generator = Generator::new(&config, params.frozen_var_builder())?;
        let ws = generator.ws(&latents(&config)?, None, 1., None)?;
        let stored = generator.synthesis().noise_maps();
        let names = params.iter().map(|(name, _)| name);
        let has_map = names.filter(|name| name.ends_with("noise_const")).count();
        assert_eq!(stored.len(), has_map);
        let reshaped = stored.iter().map(|map| map.map.unsqueeze(0)?.unsqueeze(0));
        let maps: Vec<Tensor> = reshaped.collect::<Result<_>>()?;
        for level in [0., 1.5] {
            let network = generator.synthesis().at_lod(lod(level))?;
            let constant = network.forward(&ws, &mut NoiseMode::Const)?;
            let own = network.forward(&ws, &mut NoiseMode::Maps(&maps))?;
            assert_eq!(difference(&own, &constant), 0.);
            let active = lod(level).resolution(SIDE);
            for (number, map) in stored.iter().enumerate() {
                let mut others = maps.clone();
                others[number] = (&maps[number] + 1.)?;
                let other = network.forward(&ws, &mut NoiseMode::Maps(&others))?;
                let is_active = map.map.dims()[0] <= active;
                assert_eq!(
                    difference(&other, &constant) > 0.,
                    is_active,
                    "{}",
                    map.layer
                );
            }
        }
    }
    Ok(())
}

#[test]
fn every_picture_may_have_a_map_of_its_own_that_gradients_reach() -> Result<()> {
    let config = small(GeneratorConfig::default());
    let params = weights(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let network = generator.synthesis();
    let ws = generator.ws(&latents(&config)?, None, 1., None)?;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let vars = network
        .noise_maps()
        .iter()
        .map(|map| {
            let side = map.map.dims()[0];
            Ok(Var::from_tensor(&normal(&mut rng, &[2, 1, side, side])?)?.into_inner())
        })
        .collect::<Result<Vec<Tensor>>>()?;
    let images = network.forward(&ws, &mut NoiseMode::Maps(&vars))?;
    let gradients = autograd::backward(&images.sqr()?.sum_all()?)?;
    for (number, var) in vars.iter().enumerate() {
        let gradient = gradients.require(&number.to_string(), var)?;
        for picture in 0..2 {
            let largest = gradient.get(picture)?.abs()?.max_all()?;
            assert!(largest.to_scalar::<f64>()? > 0., "map {number}");
        }
    }
    for picture in 0..2 {
        let own: Vec<Tensor> = vars
            .iter()
            .map(|maps| maps.narrow(0, picture, 1))
            .collect::<Result<_>>()?;
        let alone = network.forward(&ws.narrow(0, picture, 1)?, &mut NoiseMode::Maps(&own))?;
        assert!(difference(&alone, &images.narrow(0, picture, 1)?) < 1e-12);
    }
    Ok(())
}

#[test]
fn wrong_noise_maps_are_errors_that_name_them() -> Result<()> {
    let config = small(GeneratorConfig::stylegan1());
    let params = weights(&config)?;
    let generator = Generator::new(&config, params.frozen_var_builder())?;
    let ws = generator.ws(&latents(&config)?, None, 1., None)?;
    let maps = |sides: &[usize]| -> Result<Vec<Tensor>> {
        let map = |&side| Tensor::zeros((1, 1, side, side), DType::F64, &Device::Cpu);
        sides.iter().map(map).collect()
    };
    let error = |maps: &[Tensor]| {
        let image = generator
            .synthesis()
            .forward(&ws, &mut NoiseMode::Maps(maps));
        image.unwrap_err().to_string()
    };
    let message = error(&maps(&[4, 4, 8, 4, 16, 16, 32, 32])?);
    let expected = "noise: expected map 3 of shape [1, 1, 8, 8] or [2, 1, 8, 8], got [1, 1, 4, 4]";
    assert!(message.starts_with(expected), "{message}");
    for sides in [&[4, 4, 8][..], &[4, 4, 8, 8, 16, 16, 32, 32, 32][..]] {
        let message = error(&maps(sides)?);
        let count = sides.len();
        let expected =
            format!("noise: expected 8 maps, one for every layer with noise, got {count}");
        assert!(message.starts_with(&expected), "{message}");
    }
    Ok(())
}

#[test]
fn networks_that_do_not_grow_and_levels_below_4_pixels_are_refused() -> Result<()> {
    let error = |config: GeneratorConfig, at| -> String {
        let params = weights(&config).unwrap();
        let generator = Generator::new(&config, params.frozen_var_builder()).unwrap();
        generator.at_lod(lod(at)).unwrap_err().to_string()
    };
    let stylegan2 = error(small(GeneratorConfig::default()), 1.);
    assert!(
        stylegan2.starts_with("lod: expected 0, since the architecture Skip"),
        "{stylegan2}"
    );
    let deep = error(small(GeneratorConfig::progan()), 3.5);
    assert!(deep.starts_with("lod: expected at most 3"), "{deep}");

    let mut config = small(GeneratorConfig::stylegan1());
    config.synthesis.architecture = Architecture::Skip;
    let error = config.validate().unwrap_err().to_string();
    assert!(
        error.starts_with("architecture: expected progressive"),
        "{error}"
    );

    let mut config = small(GeneratorConfig::stylegan1());
    config.synthesis.layers = Layers::Styled(StyledLayers {
        use_styles: false,
        ..StyledLayers::default()
    });
    let error = config.validate().unwrap_err().to_string();
    assert!(
        error.starts_with("const_input_layer: expected false"),
        "{error}"
    );
    Ok(())
}

#[test]
fn the_ws_of_a_resolution_are_those_that_change_its_layers() {
    let ranges = |config: &SynthesisConfig| [4, 8, 16, 32].map(|r| config.ws_at(r));
    let stylegan = small(GeneratorConfig::stylegan1()).synthesis;
    assert_eq!(ranges(&stylegan), [0..2, 2..4, 4..6, 6..8]);
    let stylegan2 = small(GeneratorConfig::default()).synthesis;
    assert_eq!(ranges(&stylegan2), [0..1, 1..3, 3..5, 5..8]);
    let progan = small(GeneratorConfig::progan()).synthesis;
    assert_eq!((progan.num_ws(), progan.has_styles()), (1, false));
    assert_eq!((stylegan.num_ws(), stylegan2.num_ws()), (8, 8));
    assert_eq!(GeneratorConfig::stylegan1().synthesis.num_ws(), 18);
}
