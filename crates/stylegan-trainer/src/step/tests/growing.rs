//! Networks that grow: where training stands, what takes part, and what a step computes there.

use candle_core::{Device, Result, Tensor};
use stylegan_checkpoint::Checkpoint;
use stylegan_losses as losses;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::autograd::{Gradients, backward_for};
use stylegan_ops::growing::Lod;
use stylegan_ops::{average_pool2d, nearest_upsample2d};
use stylegan_synthesis::NoiseMode;

use super::super::{Phase, Reals, StepStats, Stepper, fade_reals};
use super::gradients::{names, without_gradient_in};
use super::run::snapshot;
use super::{Toy, images, magnitude, stepper};
use crate::config::TrainingConfig;
use crate::growing::Position;
use crate::presets::Preset;
use crate::state::TrainingState;

/// A preset with small networks for 16x16, which grow within a few minibatches: 16 images as a resolution is,
/// 32 while the next one fades in.
fn config(preset: Preset, c_dim: usize) -> TrainingConfig {
    let mut config = preset.training(16, None);
    let (g, d) = (&mut config.generator, &mut config.discriminator);
    (g.z_dim, g.c_dim, d.c_dim) = (6, c_dim, c_dim);
    g.synthesis.w_dim = match g.mapping.num_layers {
        0 => g.mapping_config().input_features(),
        _ => 8,
    };
    g.mapping.num_layers = g.mapping.num_layers.min(2);
    (g.synthesis.channel_base, g.synthesis.channel_max) = (128, 8);
    (d.channel_base, d.channel_max) = (128, 8);
    let growing = config.growing.as_mut().expect("a preset that grows");
    growing.lod_initial_resolution = 4;
    growing.lod_training_kimg = 0.016;
    growing.lod_transition_kimg = 0.032;
    growing.minibatch_dict = [(4, 8), (8, 8), (16, 4)].into();
    growing.g_lrate_dict = [(16, 0.002)].into();
    growing.minibatch_repeats = 2;
    config.batch_gpu = 4;
    config
}

const FIRST_GENERATION: [Preset; 7] = [
    Preset::Progan,
    Preset::Stylegan1,
    Preset::Stylegan1A,
    Preset::Stylegan1B,
    Preset::Stylegan1C,
    Preset::Stylegan1D,
    Preset::Stylegan1E,
];

/// A stepper whose networks stand at `lod`.
fn stepper_at(config: &TrainingConfig, lod: f64) -> Result<Stepper> {
    let mut stepper = stepper(config);
    let lod = Lod::new(lod)?;
    let resolution = lod.resolution(16);
    stepper.move_to(Position {
        lod,
        resolution,
        ..*stepper.position()
    })?;
    Ok(stepper)
}

/// Parameters with other values than at first, when biases and noise strengths are zero.
fn perturb(stepper: &Stepper) -> Result<()> {
    let state = stepper.state();
    for (name, var) in state.g.trainable().chain(state.d.trainable()) {
        let wave = |i: usize| ((i + name.len()) as f32 * 0.9).sin() * 0.2;
        let noise = Tensor::from_iter((0..var.elem_count()).map(wave), &Device::Cpu)?;
        var.set(&(var.as_tensor() + noise.reshape(var.shape())?)?.detach())?;
    }
    Ok(())
}

fn assert_near(what: &str, got: &Tensor, expected: &Tensor) -> Result<()> {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let difference = magnitude(&(got - expected)?) / magnitude(expected);
    assert!(difference < 1e-5, "{what}: {difference:.2e}");
    Ok(())
}

/// Images and logits of a stepper's networks for the same latents and full-size images.
fn outputs(stepper: &Stepper) -> Result<(Tensor, Tensor)> {
    let networks = &stepper.networks;
    let z = Tensor::from_iter((0..24).map(|i| (i as f32 * 0.7).sin()), &Device::Cpu)?;
    let ws = networks.g.ws(&z.reshape((4, 6))?, None, 1., None)?;
    let fakes = networks
        .g
        .synthesis()
        .forward_active(&ws, &mut NoiseMode::Const)?;
    let reals = fade_reals(&images(0, 4)?, stepper.position().lod)?;
    Ok((fakes, networks.d.forward(&reals, None)?))
}

#[test]
fn a_resolution_enters_with_the_old_networks_enlarged_picture_and_ends_with_its_own() -> Result<()>
{
    for preset in [Preset::Stylegan1, Preset::Progan] {
        let config = config(preset, 0);
        let at = |lod: f64| -> Result<(Tensor, Tensor)> {
            let stepper = stepper_at(&config, lod)?;
            perturb(&stepper)?;
            outputs(&stepper)
        };
        for old in [2., 1.] {
            let (old_fakes, old_logits) = at(old)?;
            let (fakes, logits) = at(old - 1e-9)?;
            assert_near("enters", &fakes, &nearest_upsample2d(&old_fakes, 2)?)?;
            assert_near("enters", &logits, &old_logits)?;
            let (fakes, logits) = at(old - 1. + 1e-9)?;
            let (new_fakes, new_logits) = at(old - 1.)?;
            assert_near("ends", &fakes, &new_fakes)?;
            assert_near("ends", &logits, &new_logits)?;
            assert!(magnitude(&(new_fakes - nearest_upsample2d(&old_fakes, 2)?)?) > 0.1);
        }
    }
    Ok(())
}

#[test]
fn every_active_parameter_receives_a_gradient_in_every_phase() -> Result<()> {
    for preset in FIRST_GENERATION {
        for (c_dim, lod) in [(0, 2.), (3, 1.5), (0, 1.), (3, 0.5), (0, 0.25), (3, 0.)] {
            let config = config(preset, c_dim);
            let wasserstein = config.loss.adversarial == AdversarialLoss::WganGp;
            let mut cases = vec![(Phase::Gmain, names(&[])), (Phase::Dmain, names(&[]))];
            if !wasserstein {
                let behind_mbstd = ["b4.conv.bias", "b4.fc.bias", "b4.out.bias"];
                cases.push((Phase::Dreg, names(&behind_mbstd)));
            }
            for (phase, expected) in cases {
                let mut stepper = stepper_at(&config, lod)?;
                perturb(&stepper)?;
                let found = without_gradient_in(&mut stepper, phase)?;
                assert_eq!(found, expected, "{preset}, lod {lod}: {phase}");
            }
        }
    }
    Ok(())
}

#[test]
fn path_length_reaches_every_active_parameter_except_additive_biases() -> Result<()> {
    for preset in [Preset::Stylegan1, Preset::Progan] {
        let mut config = config(preset, 0);
        config.loss.pl_weight = 2.;
        let mut stepper = stepper_at(&config, 0.5)?;
        perturb(&stepper)?;
        let found = without_gradient_in(&mut stepper, Phase::Greg)?;
        let torgb = ["synthesis.b16.torgb.bias", "synthesis.b8.torgb.bias"];
        assert_eq!(found, names(&torgb), "{preset}");
    }
    Ok(())
}

#[test]
fn parameters_that_are_not_active_receive_none_and_do_not_move() -> Result<()> {
    let config = config(Preset::Stylegan1, 0);
    let mut stepper = stepper(&config);
    let values = |stepper: &Stepper| {
        let (_, tensors) = snapshot(&config, stepper.state());
        tensors
    };
    let before = values(&stepper);
    stepper.step(&mut Toy::new(&config))?;
    let inactive = |name: &str| {
        let torgb = name.contains("torgb") || name.contains("fromrgb");
        !name.contains("b4.") && (torgb || name.contains("b8.") || name.contains("b16."))
    };
    let mut unmoved = 0;
    let after = values(&stepper);
    for (name, value) in &after {
        let Some(network) = ["G.", "D."]
            .into_iter()
            .find(|prefix| name.starts_with(prefix))
        else {
            continue;
        };
        let buffer = name.contains("noise_const");
        let is_inactive = inactive(name);
        assert!(buffer || (value == &before[name]) == is_inactive, "{name}");
        let moment = name.replacen(network, &format!("{}_adam_v.", &network[..1]), 1);
        if let Some(moment) = after.get(&moment) {
            let is_zero = moment.iter().all(|bits| *bits == 0);
            assert_eq!(is_zero, is_inactive, "{name}");
            unmoved += usize::from(is_zero);
        }
    }
    assert!(unmoved > 20, "{unmoved}");
    Ok(())
}

/// A training through both doublings, to the end of the last fade.
fn train(stepper: &mut Stepper, data: &mut Toy, minibatches: usize) -> Result<()> {
    (0..minibatches).try_for_each(|_| stepper.step(data).map(|_| ()))
}

#[test]
fn training_moves_on_when_the_schedule_is_looked_at() -> Result<()> {
    let config = config(Preset::Stylegan1, 0);
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    let mut rows = Vec::new();
    for _ in 0..20 {
        stepper.step(&mut data)?;
        let (at, state) = (stepper.position(), stepper.state());
        let lod = (at.lod.get() * 1e9).round() / 1e9;
        rows.push((lod, at.batch, at.g_lr, state.g_adam.steps()));
    }
    let expected = [
        // lod, batch, learning rate, Adam's steps
        (2., 8, 0.001, 1),
        (2., 8, 0.001, 2),
        (2., 8, 0.001, 3),
        (2., 8, 0.001, 4),
        // 32 images were seen: half of the fade from 16 to 48.
        (1.5, 8, 0.001, 1),
        (1.5, 8, 0.001, 2),
        (1., 8, 0.001, 3),
        (1., 8, 0.001, 4),
        (1., 8, 0.001, 5),
        (1., 8, 0.001, 6),
        (0.5, 4, 0.002, 1),
        (0.5, 4, 0.002, 2),
        (0.25, 4, 0.002, 3),
        (0.25, 4, 0.002, 4),
        (0., 4, 0.002, 5),
        (0., 4, 0.002, 6),
        (0., 4, 0.002, 7),
        (0., 4, 0.002, 8),
        (0., 4, 0.002, 9),
        (0., 4, 0.002, 10),
    ];
    assert_eq!(rows, expected);
    let state = stepper.state();
    assert_eq!((state.images_seen, state.position_at), (120, Some(112)));
    assert_eq!(state.d_adam.steps(), 10);
    Ok(())
}

#[test]
fn the_optimizer_goes_on_where_it_is_not_to_be_reset() -> Result<()> {
    let mut config = config(Preset::Stylegan1, 0);
    config.growing.as_mut().expect("growing").reset_optimizer = false;
    let mut stepper = stepper(&config);
    train(&mut stepper, &mut Toy::new(&config), 6)?;
    assert_eq!(stepper.position().resolution, 8);
    assert_eq!(stepper.state().g_adam.steps(), 6);
    Ok(())
}

#[test]
fn a_training_resumed_while_a_resolution_fades_in_is_bit_identical() -> Result<()> {
    for preset in [Preset::Stylegan1, Preset::Progan] {
        let config = config(preset, 3);
        let (mut whole, mut data) = (stepper(&config), Toy::new(&config));
        train(&mut whole, &mut data, 15)?;
        let expected = snapshot(&config, whole.state());
        // Between two looks at the schedule in a fade, before a doubling, and in the second fade.
        for minibatches in [5, 10, 11] {
            let (mut first, mut data) = (stepper(&config), Toy::new(&config));
            train(&mut first, &mut data, minibatches)?;
            let wrap = candle_core::Error::wrap;
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("state.safetensors");
            let checkpoint = first.state().to_checkpoint(&config).map_err(wrap)?;
            checkpoint.write(&file).map_err(wrap)?;
            drop(first);
            let checkpoint = Checkpoint::read(&file, &Device::Cpu).map_err(wrap)?;
            let state = TrainingState::from_checkpoint(&checkpoint, &config, &Device::Cpu);
            let mut second = Stepper::new(config.clone(), state.map_err(wrap)?)?;
            train(&mut second, &mut data, 15 - minibatches)?;
            let found = snapshot(&config, second.state());
            assert!(found == expected, "{preset} resumed after {minibatches}");
        }
    }
    Ok(())
}

#[test]
fn growing_gives_the_same_on_any_number_of_threads() -> Result<()> {
    let config = config(Preset::Stylegan1, 0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(|| {
            let mut stepper = stepper(&config);
            train(&mut stepper, &mut Toy::new(&config), 12).expect("training");
            snapshot(&config, stepper.state())
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
    Ok(())
}

fn assert_same_gradients(stepper: &Stepper, got: &Gradients, expected: &Gradients) -> Result<()> {
    let largest = stepper
        .d_params
        .iter()
        .filter_map(|(_, var)| expected.get(var));
    let largest = largest.map(magnitude).fold(0., f64::max);
    assert!(largest > 0.);
    for (name, var) in &stepper.d_params {
        match (got.get(var), expected.get(var)) {
            (Some(got), Some(expected)) => {
                let difference = magnitude(&(got - expected)?);
                assert!(difference < 1e-5 * largest, "{name}: {difference:.2e}");
            }
            (None, None) => {}
            _ => panic!("{name}: a gradient in one of the two only"),
        }
    }
    Ok(())
}

#[test]
fn penalties_are_those_of_full_size_images() -> Result<()> {
    let config = config(Preset::Stylegan1, 0);
    for lod in [2., 1.25, 0.5] {
        let mut stepper = stepper_at(&config, lod)?;
        let lod = stepper.position().lod;
        let enlarged = |x: &Tensor| nearest_upsample2d(x, 1 << lod.halvings());
        let real = fade_reals(&images(0, 4)?, lod)?;
        let fake = fade_reals(&images(4, 4)?, lod)?;
        let reals = Reals {
            images: real.clone(),
            labels: None,
        };
        let d = stepper.networks.d.clone();
        let weigh = |penalty: &Tensor, weight: f64, stepper: &Stepper| {
            let params: Vec<&Tensor> = stepper.d_params.iter().map(|(_, var)| var).collect();
            backward_for(&(penalty.mean_all()? * weight)?, &params)
        };

        let mut stats = StepStats::default();
        let all = std::slice::from_ref(&reals);
        let got = stepper.phases().d_reg(3., all, &[], &mut stats)?;
        let full = losses::r1_penalty(&enlarged(&real)?, |x| d.forward(x, None))?;
        let expected = weigh(&full.penalty, 3. * config.loss.r1_gamma / 2., &stepper)?;
        assert_same_gradients(&stepper, &got, &expected)?;
        let full: f32 = full.penalty.mean_all()?.to_scalar()?;
        let found = stats.r1_penalty.expect("R1");
        assert!(
            (found / f64::from(full) - 1.).abs() < 1e-5,
            "{found} {full}"
        );

        // R1 within the main step, as StyleGAN has it: what it adds to the step without it.
        let latents = stepper.phases().draw_latents(4, &mut Toy::new(&config))?;
        let mut main = |r1_gamma: f64| {
            let mut config = stepper.current.clone();
            config.loss.r1_gamma = r1_gamma;
            let mut rng = stepper.state().rng.clone();
            let mut stats = StepStats::default();
            let mut phases = stepper.phases();
            (phases.rng, phases.config) = (&mut rng, &config);
            let gradients = phases.d_main(all, &latents[..1], &mut stats)?;
            Ok::<_, candle_core::Error>((gradients, stats.r1_penalty))
        };
        let ((with, found), (mut without, none)) = (main(10.)?, main(0.)?);
        assert!(none.is_none());
        let found = found.expect("R1");
        assert!(
            (found / f64::from(full) - 1.).abs() < 1e-5,
            "{found} {full}"
        );
        without.accumulate(stepper.phases().d_reg(
            10. / config.loss.r1_gamma,
            all,
            &[],
            &mut stats,
        )?)?;
        assert_same_gradients(&stepper, &with, &without)?;

        let mut rng = stepper.state().rng.clone();
        let mut phases = stepper.phases();
        phases.rng = &mut rng;
        let got = phases.wgan_penalty(&reals, &fake)?;
        let mut rng = stepper.state().rng.clone();
        let eps: Vec<f32> = (0..4).map(|_| rand::RngExt::random(&mut rng)).collect();
        let eps = Tensor::from_vec(eps, (4, 1, 1, 1), &Device::Cpu)?;
        let (real, fake) = (enlarged(&real)?, enlarged(&fake)?);
        let full = losses::wgan_gp(&real, &fake, &eps, 1., |x| d.forward(x, None))?;
        assert_near("WGAN-GP", &got, &full.penalty.mean_all()?)?;
        let [got, expected] = [got, full.penalty].map(|penalty| weigh(&penalty, 10., &stepper));
        assert_same_gradients(&stepper, &got?, &expected?)?;
    }
    Ok(())
}

#[test]
fn styles_are_mixed_among_active_layers_only() -> Result<()> {
    let mut config = config(Preset::Stylegan1, 0);
    config.loss.style_mixing_prob = 1.;
    for (lod, layers) in [(2., 2), (1.5, 4), (1., 4), (0.5, 6), (0., 6)] {
        let mut stepper = stepper_at(&config, lod)?;
        let mut phases = stepper.phases();
        let cutoffs: Result<Vec<_>> = (0..100).map(|_| phases.draw_cutoff()).collect();
        let mut cutoffs: Vec<usize> = cutoffs?.into_iter().flatten().collect();
        cutoffs.sort();
        cutoffs.dedup();
        assert_eq!(cutoffs, (1..layers).collect::<Vec<_>>(), "lod {lod}");
    }
    Ok(())
}

#[test]
fn real_images_are_those_of_the_active_resolution() -> Result<()> {
    let full = images(0, 2)?;
    let faded = fade_reals(&full, Lod::new(1.)?)?;
    assert_near("stable", &faded, &average_pool2d(&full, 2)?)?;
    let half = nearest_upsample2d(&average_pool2d(&full, 2)?, 2)?;
    let faded = fade_reals(&full, Lod::new(0.25)?)?;
    assert_near("fading", &faded, &((&full * 0.75)? + (half * 0.25)?)?)?;
    assert_near("full", &fade_reals(&full, Lod::FULL)?, &full)
}

#[test]
fn configurations_that_cannot_grow_are_refused_by_field() {
    type Change = fn(&mut TrainingConfig);
    fn growing(config: &mut TrainingConfig) -> &mut crate::growing::GrowingConfig {
        config.growing.as_mut().expect("growing")
    }
    let cases: [(&str, Change); 10] = [
        (
            "growing.lod_initial_resolution: expected a power of two from 4 to the images' 16, found 32",
            |c| growing(c).lod_initial_resolution = 32,
        ),
        ("growing.lod_training_kimg: expected a finite", |c| {
            growing(c).lod_training_kimg = f64::NAN
        }),
        ("networks would never grow", |c| {
            (growing(c).lod_training_kimg, growing(c).lod_transition_kimg) = (0., 0.)
        }),
        ("growing.g_lrate_dict: expected a finite", |c| {
            growing(c).g_lrate_dict.insert(8, -1.);
        }),
        ("growing.minibatch_dict: expected at least 1", |c| {
            growing(c).minibatch_dict.insert(8, 0);
        }),
        ("growing.minibatch_repeats", |c| {
            growing(c).minibatch_repeats = 0
        }),
        ("batch_gpu: expected a divisor of batch 6, found 4", |c| {
            growing(c).minibatch_dict.insert(8, 6);
        }),
        ("discriminator.architecture: expected progressive", |c| {
            c.discriminator = Preset::Auto.training(16, None).discriminator
        }),
        ("batch: expected at least 1", |c| {
            growing(c).minibatch_dict.remove(&16);
            c.batch = 0;
        }),
        ("loss.classifier_weight", |c| c.loss.classifier_weight = -1.),
    ];
    assert!(config(Preset::Stylegan1, 0).validate().is_ok());
    for (expected, change) in cases {
        let mut config = config(Preset::Stylegan1, 0);
        change(&mut config);
        let message = config.validate().expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
    let mut unstyled = config(Preset::Progan, 0);
    unstyled.loss.style_mixing_prob = 0.5;
    let message = unstyled.validate().expect_err("no styles").to_string();
    assert!(
        message.starts_with("loss.style_mixing_prob: expected 0"),
        "{message}"
    );
}
