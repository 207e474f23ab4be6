//! Whole steps: schedule, state, errors.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use stylegan_checkpoint::Checkpoint;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::nn::Architecture::{Resnet, Skip};

use super::super::{Phase, Regularization, StepStats, Stepper, d_hyper, g_hyper};
use super::{Toy, config, default_config, magnitude, stepper};
use crate::adam::AdamParams;
use crate::config::TrainingConfig;
use crate::state::TrainingState;

/// All numbers of a state, as they would be saved.
pub(super) fn snapshot(
    config: &TrainingConfig,
    state: &TrainingState,
) -> (serde_json::Value, BTreeMap<String, Vec<u32>>) {
    let checkpoint = state.to_checkpoint(config).expect("checkpoint");
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        let values: Vec<f32> = t.flatten_all()?.to_vec1()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    let tensors = checkpoint.tensors.iter();
    let tensors = tensors.map(|(name, t)| (name.clone(), bits(t).expect("values")));
    (checkpoint.metadata.clone(), tensors.collect())
}

#[test]
fn a_resumed_training_is_bit_identical_to_an_uninterrupted_one() -> Result<()> {
    let config = config(Skip, Resnet, 3);
    let (mut whole, mut data) = (stepper(&config), Toy::new(&config));
    for _ in 0..4 {
        whole.step(&mut data)?;
    }
    let (mut first, mut data) = (stepper(&config), Toy::new(&config));
    for _ in 0..2 {
        first.step(&mut data)?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("state.safetensors");
    let wrap = candle_core::Error::wrap;
    let checkpoint = first.state().to_checkpoint(&config).map_err(wrap)?;
    checkpoint.write(&file).map_err(wrap)?;
    drop(first);
    let checkpoint = Checkpoint::read(&file, &Device::Cpu).map_err(wrap)?;
    let saved = serde_json::to_value(&config).map_err(candle_core::Error::wrap)?;
    assert_eq!(checkpoint.metadata["config"], saved);
    let state = TrainingState::from_checkpoint(&checkpoint, &config, &Device::Cpu).map_err(wrap)?;
    let mut second = Stepper::new(config.clone(), state)?;
    for _ in 0..2 {
        second.step(&mut data)?;
    }
    let expected = snapshot(&config, whole.state());
    assert_eq!(expected, snapshot(&config, second.state()));
    assert_ne!(expected, snapshot(&config, stepper(&config).state()));
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_training_on_any_number_of_threads() -> Result<()> {
    let config = default_config();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(|| {
            let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
            for _ in 0..2 {
                stepper.step(&mut data).expect("step");
            }
            snapshot(&config, stepper.state())
        })
    };
    assert_eq!(run(1), run(3));
    Ok(())
}

#[test]
fn another_seed_gives_other_weights() -> Result<()> {
    let config = default_config();
    let mut other = config.clone();
    other.seed += 1;
    let first = |config: &TrainingConfig| -> Result<Vec<f32>> {
        let stepper = stepper(config);
        stepper.g_params[1].1.flatten_all()?.to_vec1()
    };
    assert_ne!(first(&config)?, first(&other)?);
    Ok(())
}

#[test]
fn regularizers_run_at_their_intervals_and_share_their_networks_optimizer() -> Result<()> {
    let config = default_config();
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    for minibatch in 0..4 {
        let stats = stepper.step(&mut data)?;
        let ran = |phase| stats.seconds.contains_key(&phase);
        assert!(ran(Phase::Gmain) && ran(Phase::Dmain));
        assert_eq!(ran(Phase::Greg), minibatch % 2 == 0);
        assert_eq!(ran(Phase::Dreg), minibatch % 3 == 0);
        assert_eq!(stats.pl_penalty.is_some(), ran(Phase::Greg));
        assert_eq!(stats.r1_penalty.is_some(), ran(Phase::Dreg));
        assert!(stats.gp_penalty.is_none() && stats.r2_penalty.is_none());
        assert!(stats.loss_g > 0. && stats.loss_d > 0.);
        assert!(stats.sign_real.abs() <= 1. && stats.sign_fake.abs() <= 1.);
    }
    let state = stepper.state();
    assert_eq!((state.minibatches, state.images_seen), (4, 32));
    assert_eq!((state.g_adam.steps(), state.d_adam.steps()), (4 + 2, 4 + 2));
    assert!(state.pl_mean > 0.);
    Ok(())
}

#[test]
fn adam_is_corrected_only_for_a_regularizer_of_its_own() {
    let mut config = default_config();
    (config.optimizer.g_lr, config.optimizer.d_lr) = (0.003, 0.004);
    let factor_is = |hyper: AdamParams, lr: f64, factor: f64| {
        let expected = (lr * factor, 0.99f64.powf(factor));
        assert!((hyper.lr - expected.0).abs() < 1e-12, "{hyper:?}");
        assert_eq!(hyper.betas.0, 0.);
        assert!((hyper.betas.1 - expected.1).abs() < 1e-12, "{hyper:?}");
    };
    // Intervals of 2 and 3 minibatches.
    factor_is(g_hyper(&config), 0.003, 2. / 3.);
    factor_is(d_hyper(&config), 0.004, 3. / 4.);

    let mut together = config.clone();
    (together.loss.g_reg_interval, together.loss.d_reg_interval) = (None, None);
    factor_is(g_hyper(&together), 0.003, 1.);
    factor_is(d_hyper(&together), 0.004, 1.);

    let mut off = config.clone();
    (off.loss.pl_weight, off.loss.r1_gamma) = (0., 0.);
    factor_is(g_hyper(&off), 0.003, 1.);
    factor_is(d_hyper(&off), 0.004, 1.);
    off.loss.r2_gamma = 1.;
    factor_is(d_hyper(&off), 0.004, 3. / 4.);

    let mut wasserstein = config;
    wasserstein.loss.adversarial = AdversarialLoss::WganGp;
    factor_is(d_hyper(&wasserstein), 0.004, 1.);
}

#[test]
fn a_regularizer_is_due_at_multiples_of_its_interval() {
    use Regularization::{Alone, Off, WithMain};
    let due = |interval, minibatch| Regularization::due(true, interval, minibatch);
    assert_eq!(
        [0, 1, 2, 3, 4].map(|i| due(Some(4), i)),
        [Alone(4.), Off, Off, Off, Alone(4.)]
    );
    assert_eq!([due(None, 0), due(None, 1)], [WithMain, WithMain]);
    assert_eq!(Regularization::due(false, Some(4), 0), Off);
    assert_eq!(Regularization::due(false, None, 0), Off);
}

#[test]
fn without_intervals_regularizers_join_the_main_step() -> Result<()> {
    let mut config = default_config();
    config.loss.g_reg_interval = None;
    config.loss.d_reg_interval = None;
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    for _ in 0..2 {
        let stats = stepper.step(&mut data)?;
        assert!(stats.pl_penalty.is_some() && stats.r1_penalty.is_some());
    }
    let state = stepper.state();
    assert_eq!((state.g_adam.steps(), state.d_adam.steps()), (2, 2));
    Ok(())
}

#[test]
fn r1_and_r2_in_the_main_step_have_the_gradients_of_passes_of_their_own() -> Result<()> {
    let mut config = default_config();
    config.loss.r2_gamma = 3.;
    let gradients = |interval: Option<usize>| -> Result<Vec<Tensor>> {
        let mut config = config.clone();
        config.loss.d_reg_interval = interval;
        let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
        let (reals, mut stats) = (stepper.draw_reals(&mut data)?, StepStats::default());
        let mut phases = stepper.phases();
        let latents = phases.draw_latents(config.batch_gpu, &mut data)?;
        let random = phases.rng.clone();
        let mut gradients = phases.d_main(&reals, &latents, &mut stats)?;
        if interval.is_some() {
            // The same images as in the main step.
            *phases.rng = random;
            gradients.accumulate(phases.d_reg(1., &reals, &latents, &mut stats)?)?;
        }
        assert!(stats.r1_penalty.is_some() && stats.r2_penalty.is_some());
        let of = |(name, var): &(String, Tensor)| gradients.require(name, var).cloned();
        stepper.d_params.iter().map(of).collect()
    };
    for (joined, separate) in gradients(None)?.iter().zip(&gradients(Some(16))?) {
        let difference = magnitude(&(joined - separate)?);
        assert!(difference <= 1e-4 * magnitude(separate), "{difference}");
    }
    Ok(())
}

#[test]
fn wgan_gp_penalises_in_every_main_step_and_has_no_phase_of_its_own() -> Result<()> {
    let mut config = default_config();
    config.loss.adversarial = AdversarialLoss::WganGp;
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    for _ in 0..2 {
        let stats = stepper.step(&mut data)?;
        assert!(stats.gp_penalty.is_some() && stats.r1_penalty.is_none());
    }
    assert_eq!(stepper.state().d_adam.steps(), 2);
    Ok(())
}

#[test]
fn the_average_is_the_generator_after_the_first_step_under_rampup_and_lags_later() -> Result<()> {
    let config = default_config();
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    let read = |stepper: &Stepper| -> Result<[Vec<f32>; 2]> {
        let name = "synthesis.b4.const";
        let of = |store: &stylegan_checkpoint::ParamStore| {
            store.get(name).expect(name).flatten_all()?.to_vec1()
        };
        Ok([of(&stepper.state().g)?, of(&stepper.state().g_ema)?])
    };
    stepper.step(&mut data)?;
    let [g, ema] = read(&stepper)?;
    assert_eq!(g, ema);
    let before = ema;
    stepper.step(&mut data)?;
    let [g, ema] = read(&stepper)?;
    // 8 images seen, ramp-up 0.05: a half-life of 0.4 images for a batch of 8.
    let beta = 0.5f32.powf(8. / 0.4);
    for ((g, ema), before) in g.iter().zip(&ema).zip(&before) {
        assert!((ema - (g + (before - g) * beta)).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn w_avg_follows_the_mean_w_of_the_whole_minibatch() -> Result<()> {
    let config = default_config();
    let mut stepper = stepper(&config);
    let mut rng = stepper.state().rng.clone();
    let mut data = Toy::new(&config);
    let mut phases = stepper.phases();
    phases.rng = &mut rng;
    let latents = phases.draw_latents(4, &mut data)?;
    let mapping = phases.networks.g_frozen.mapping();
    let w: Result<Vec<_>> = latents
        .iter()
        .map(|l| mapping.forward(Some(&l.z), None))
        .collect();
    let mean = Tensor::cat(&w?, 0)?.mean(0)?;
    let expected: Vec<f32> = (mean * (1. - 0.995))?.to_vec1()?;
    stepper.step(&mut data)?;
    for store in [&stepper.state().g, &stepper.state().g_ema] {
        let w_avg: Vec<f32> = store.get("mapping.w_avg").expect("w_avg").to_vec1()?;
        for (got, expected) in w_avg.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-7, "{got} {expected}");
        }
    }
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_that_names_phase_and_minibatch() -> Result<()> {
    let config = default_config();
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    stepper.step(&mut data)?;
    let bias = stepper.state().d.get("b4.out.bias").expect("bias");
    bias.set(&Tensor::new(&[f32::NAN], &Device::Cpu)?)?;
    let message = stepper.step(&mut data).expect_err("NaN").to_string();
    assert!(
        message.contains("Gmain, minibatch 1: the loss is NaN; the training has diverged: resume"),
        "{message}"
    );
    Ok(())
}

#[test]
fn images_that_do_not_fit_the_networks_are_refused() -> Result<()> {
    let labelled = config(Skip, Resnet, 3);
    let mut stepper = stepper(&labelled);
    let mut unlabelled = Toy { next: 0, c_dim: 0 };
    let message = stepper.step(&mut unlabelled).expect_err("no labels");
    let message = message.to_string();
    assert!(message.contains("expected c [N, 3], got none"), "{message}");
    Ok(())
}

#[test]
fn configurations_that_do_not_fit_together_are_refused_by_field() {
    type Change = fn(&mut TrainingConfig);
    let cases: [(&str, Change); 12] = [
        ("batch: expected at least 1", |c| c.batch = 0),
        ("batch_gpu: expected a divisor of batch 8, found 3", |c| {
            c.batch_gpu = 3
        }),
        ("batch_gpu: expected a multiple of the 4 images", |c| {
            (c.batch, c.batch_gpu) = (12, 6)
        }),
        ("discriminator.c_dim: expected the generator's 0", |c| {
            c.discriminator.c_dim = 2
        }),
        ("discriminator.img_resolution", |c| {
            c.discriminator.img_resolution = 32
        }),
        ("discriminator.img_channels", |c| {
            c.discriminator.img_channels = 1
        }),
        ("loss.r1_gamma", |c| c.loss.r1_gamma = f64::NAN),
        ("loss.style_mixing_prob", |c| c.loss.style_mixing_prob = 1.1),
        ("loss.g_reg_interval", |c| c.loss.g_reg_interval = Some(0)),
        ("loss.pl_batch_shrink", |c| c.loss.pl_batch_shrink = 0),
        ("optimizer.beta2", |c| c.optimizer.beta2 = 1.),
        ("ema.kimg", |c| c.ema.kimg = -1.),
    ];
    assert!(default_config().validate().is_ok());
    for (expected, change) in cases {
        let mut config = default_config();
        change(&mut config);
        let message = config.validate().expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(TrainingState::new(&config, &Device::Cpu).is_err());
    }
}

#[test]
fn a_checkpoint_of_other_networks_is_refused_by_tensor() -> Result<()> {
    let config = default_config();
    let state = TrainingState::new(&config, &Device::Cpu).map_err(candle_core::Error::wrap)?;
    let checkpoint = state
        .to_checkpoint(&config)
        .map_err(candle_core::Error::wrap)?;
    let mut other = config.clone();
    other.generator.synthesis.w_dim = 9;
    let error = TrainingState::from_checkpoint(&checkpoint, &other, &Device::Cpu);
    let message = error.expect_err("other networks").to_string();
    assert!(message.contains("mapping.fc1.weight"), "{message}");

    let mut incomplete = checkpoint.clone();
    incomplete.tensors.remove("D_adam_v.b4.fc.bias");
    let error = TrainingState::from_checkpoint(&incomplete, &config, &Device::Cpu);
    let message = error.expect_err("incomplete").to_string();
    assert!(message.contains("b4.fc.bias"), "{message}");
    Ok(())
}
