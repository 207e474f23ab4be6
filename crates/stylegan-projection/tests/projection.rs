//! Searches on small networks with drawn weights.

use candle_core::{DType, Device, Result, Tensor};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_mapping::latents;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::Architecture;
use stylegan_projection::{
    DiscriminatorFeatures, Distance, LearningRate, NoiseMaps, PixelPyramid, Projection,
    ProjectionConfig, Projector, Space, WNoise, autocorrelation,
};
use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode, SynthesisConfig};

const SIDE: usize = 16;

/// A generator of a family with noise that is seen.
fn generator(mut config: GeneratorConfig) -> Result<Generator> {
    config.z_dim = 16;
    config.mapping.num_layers = config.mapping.num_layers.min(2);
    config.synthesis = SynthesisConfig {
        w_dim: 16
            + if config.mapping.num_layers == 0 {
                config.c_dim
            } else {
                0
            },
        img_resolution: SIDE,
        channel_base: 16 * SIDE,
        channel_max: 32,
        ..config.synthesis
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        Generator::new(&config, vb)
    })?;
    for (name, var) in params.iter() {
        if name.ends_with("noise_strength") {
            var.set(&(var.as_detached_tensor() + 0.05)?)?;
        }
    }
    Generator::new(&config, params.frozen_var_builder())
}

fn discriminator() -> Result<Discriminator> {
    let config = DiscriminatorConfig {
        img_resolution: SIDE,
        channel_base: 16 * SIDE,
        channel_max: 16,
        ..DiscriminatorConfig::default()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        Discriminator::new(&config, vb)
    })?;
    Discriminator::new(&config, params.frozen_var_builder())
}

/// The pictures of seeds, with the stored noise.
fn pictures(generator: &Generator, seeds: &[u32], label: Option<&Tensor>) -> Result<Tensor> {
    let z = latents::from_seeds(seeds, 16, &Device::Cpu)?;
    let label = label.map(|label| label.broadcast_as((seeds.len(), label.dim(1)?)));
    let label = label.transpose()?.map(|label| label.contiguous());
    let label = label.transpose()?;
    generator.forward(&z, label.as_ref(), 1., None, &mut NoiseMode::Const)
}

fn config(steps: usize) -> ProjectionConfig {
    ProjectionConfig {
        steps,
        w_samples: 1000,
        ..ProjectionConfig::default()
    }
}

fn project(
    generator: &Generator,
    label: Option<&Tensor>,
    distance: Distance,
    config: &ProjectionConfig,
) -> Result<Projection> {
    let mut projector = Projector::new(generator, label, distance, config)?;
    while projector.step()?.is_some() {}
    projector.projection()
}

fn both_terms(target: &Tensor) -> Result<Distance> {
    Distance::from_target(target)
        .with(1., PixelPyramid)?
        .with(1., DiscriminatorFeatures::new(discriminator()?))
}

fn bits(x: &Tensor) -> Vec<u32> {
    let values = x.flatten_all().and_then(|x| x.to_vec1::<f32>());
    values.unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_picture_of_the_networks_own_is_found_which_random_latents_do_not_reach() -> Result<()> {
    let generator = generator(GeneratorConfig::default())?;
    let target = pictures(&generator, &[7], None)?;
    let distance = both_terms(&target)?;
    let others: Vec<u32> = (100..300).collect();
    let others = pictures(&generator, &others, None)?;
    let mut closest = f64::INFINITY;
    for number in 0..200 {
        let other = distance.of(&others.narrow(0, number, 1)?)?;
        closest = closest.min(f64::from(other.to_scalar::<f32>()?));
    }
    for (space, bound) in [(Space::W, 0.1), (Space::WPlus, 0.1)] {
        let config = ProjectionConfig {
            space,
            ..config(150)
        };
        let found = project(&generator, None, both_terms(&target)?, &config)?;
        assert!(
            found.distance < bound * closest,
            "{space:?}: {} beside {closest}",
            found.distance
        );
        assert_eq!(found.history.len(), 150);
        assert_eq!(found.ws.dims(), [1, 6, 16]);
        let first = bits(&found.ws.narrow(1, 0, 1)?);
        let same = (1..6).all(|k| bits(&found.ws.narrow(1, k, 1).unwrap()) == first);
        assert_eq!(same, space == Space::W);
    }
    Ok(())
}

#[test]
fn the_result_is_the_picture_of_its_latents_and_its_maps_which_stay_noise() -> Result<()> {
    let generator = generator(GeneratorConfig::default())?;
    let target = pictures(&generator, &[7], None)?;
    let found = project(&generator, None, both_terms(&target)?, &config(100))?;
    let names: Vec<&str> = found.noise_maps.iter().map(|m| m.layer.as_str()).collect();
    let layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"];
    assert_eq!(names, layers);
    let maps = found.noise_maps.iter();
    let maps: Vec<Tensor> = maps
        .map(|map| map.map.unsqueeze(0)?.unsqueeze(0))
        .collect::<Result<_>>()?;
    for map in &maps {
        assert!(map.mean_all()?.to_scalar::<f32>()?.abs() < 1e-5);
        assert!((map.sqr()?.mean_all()?.to_scalar::<f32>()? - 1.).abs() < 1e-5);
        let left = autocorrelation(map)?.to_scalar::<f32>()?;
        assert!(left < 1e-4, "{left}");
    }
    let again = generator
        .synthesis()
        .forward(&found.ws, &mut NoiseMode::Maps(&maps))?;
    assert_eq!(bits(&again), bits(&found.picture));
    let distance = both_terms(&target)?.of(&again)?.to_scalar::<f32>()?;
    assert_eq!(f64::from(distance), found.distance);
    Ok(())
}

#[test]
fn results_are_the_same_for_a_seed_on_any_number_of_threads_and_differ_between_seeds() -> Result<()>
{
    let generator = generator(GeneratorConfig::default())?;
    let target = pictures(&generator, &[7], None)?;
    let run = |threads: usize, seed: u64| -> Result<Vec<u32>> {
        let config = ProjectionConfig { seed, ..config(5) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let found = pool
            .expect("threads")
            .install(|| project(&generator, None, both_terms(&target)?, &config))?;
        Ok([bits(&found.ws), bits(&found.picture)].concat())
    };
    let one = run(1, 0)?;
    for threads in [2, 3] {
        assert!(run(threads, 0)? == one, "{threads} threads");
    }
    assert!(run(1, 1)? != one);
    Ok(())
}

#[test]
fn schedules_are_followed_and_a_search_without_motion_stays_at_the_mean() -> Result<()> {
    let generator = generator(GeneratorConfig::default())?;
    let target = pictures(&generator, &[7], None)?;
    let config = ProjectionConfig {
        noise_maps: NoiseMaps::Const,
        ..config(8)
    };
    let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
    let mut projector = Projector::new(&generator, None, distance, &config)?;
    let sigma = projector.start().sigma;
    let mut steps = Vec::new();
    while let Some(step) = projector.step()? {
        steps.push(step);
    }
    assert_eq!(projector.step()?, None);
    for (taken, step) in steps.iter().enumerate() {
        let t = taken as f64 / 8.;
        assert_eq!(step.number, taken + 1);
        assert_eq!(step.learning_rate, LearningRate::default().at(t));
        assert_eq!(step.w_noise, WNoise::default().at(t, sigma));
        assert_eq!(step.autocorrelation, 0.);
    }
    assert_eq!(projector.projection()?.history, steps);

    // The first step has a learning rate of 0.
    let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
    let mut projector = Projector::new(&generator, None, distance, &config)?;
    projector.step()?;
    let w = projector.ws()?.narrow(1, 0, 1)?;
    assert_eq!(bits(&w), bits(&projector.start().mean));
    Ok(())
}

#[test]
fn every_family_can_be_projected_with_labels_and_while_it_grows() -> Result<()> {
    let label = Tensor::new(&[[0f32, 1.]], &Device::Cpu)?;
    let families = [
        ("StyleGAN2", GeneratorConfig::default()),
        ("StyleGAN", GeneratorConfig::stylegan1()),
        ("ProGAN", GeneratorConfig::progan()),
    ];
    for (name, family) in families {
        let levels = match family.synthesis.architecture {
            Architecture::Progressive => &[0., 0.5, 1.][..],
            _ => &[0.],
        };
        for labels in [0, 2] {
            let grown = generator(GeneratorConfig {
                c_dim: labels,
                ..family.clone()
            })?;
            let label = (labels > 0).then_some(&label);
            for &level in levels {
                let generator = match level > 0. {
                    true => grown.at_lod(Lod::new(level)?)?,
                    false => grown.clone(),
                };
                let target = pictures(&generator, &[7], label)?;
                let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
                let found = project(&generator, label, distance, &config(60))?;
                let start = found.history[0].distance;
                assert!(
                    found.distance < 0.7 * start,
                    "{name} with {labels} labels at lod {level}: {start} to {}",
                    found.distance
                );
                let active = SIDE >> level as usize;
                let sides = found.noise_maps.iter().map(|map| map.map.dims()[0]);
                assert_eq!(sides.max().unwrap_or(active), active);
            }
        }
    }
    Ok(())
}

#[test]
fn wrong_input_is_an_error_that_says_what_was_expected() -> Result<()> {
    let generator = generator(GeneratorConfig::default())?;
    let target = pictures(&generator, &[7], None)?;
    let message = |target: &Tensor, label: Option<&Tensor>, config: ProjectionConfig| {
        let distance = Distance::from_target(target);
        let projector = Projector::new(&generator, label, distance, &config);
        projector.err().expect("an error").to_string()
    };
    let small = target.narrow(2, 0, 8)?;
    let error = message(&small, None, config(5));
    let expected = "projection: expected a target [1, 3, 16, 16], got [1, 3, 8, 16]";
    assert!(error.starts_with(expected), "{error}");
    let error = message(&target, None, config(0));
    assert!(
        error.starts_with("steps: expected at least 1, got 0"),
        "{error}"
    );
    let label = Tensor::ones((1, 2), DType::F32, &Device::Cpu)?;
    let error = message(&target, Some(&label), config(5));
    assert!(error.starts_with("mapping: expected no c"), "{error}");

    let wild = ProjectionConfig {
        learning_rate: LearningRate {
            peak: 1e30,
            ramp_up: 0.,
            ramp_down: 0.,
        },
        ..config(5)
    };
    let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
    let error = project(&generator, None, distance, &wild)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a lower learning rate may help"), "{error}");
    Ok(())
}
