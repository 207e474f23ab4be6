//! Gradient accumulation: two passes of 8 images against one of 16.

use candle_core::{Device, Result, Tensor};
use stylegan_losses::AdversarialLoss;
use stylegan_ops::autograd::Gradients;

use super::super::phases::Latents;
use super::super::{Reals, StepStats, Stepper};
use super::{Toy, default_config, images, magnitude, stepper};
use crate::config::TrainingConfig;

/// The images of each pass. The minibatch standard deviation takes every fourth of 16 images as a
/// group, and every second of 8: this order gives the same groups.
fn passes(n: usize) -> Vec<Vec<u32>> {
    match n {
        1 => vec![(0..16).collect()],
        _ => (0..2)
            .map(|pass| (0..8).map(|i| i / 2 * 4 + 2 * pass + i % 2).collect())
            .collect(),
    }
}

/// 16 images' worth of inputs, split into passes.
struct Inputs {
    reals: Vec<Reals>,
    latents: Vec<Latents>,
    noise: Vec<Tensor>,
}

fn inputs(n: usize) -> Result<Inputs> {
    // One pass of 16, whatever the configuration under test.
    let mut whole = default_config();
    (whole.batch, whole.batch_gpu, whole.seed) = (16, 16, 3);
    let mut stepper = stepper(&whole);
    let mut phases = stepper.phases();
    let latents = phases.draw_latents(16, &mut Toy::new(&whole))?;
    let noise = phases.draw_image_noise(16)?;
    let images = images(0, 16)?;
    let mut inputs = Inputs {
        reals: Vec::new(),
        latents: Vec::new(),
        noise: Vec::new(),
    };
    for rows in passes(n) {
        let rows = Tensor::new(rows, &Device::Cpu)?;
        inputs.reals.push(Reals {
            images: images.index_select(&rows, 0)?,
            labels: None,
        });
        inputs.latents.push(Latents {
            z: latents[0].z.index_select(&rows, 0)?,
            labels: None,
            mixing: None,
        });
        inputs.noise.push(noise[0].index_select(&rows, 0)?);
    }
    Ok(inputs)
}

/// What one phase computes: gradients by name, and its statistics.
type Outcome = (Vec<(String, Tensor)>, StepStats);

fn run(
    config: &TrainingConfig,
    n: usize,
    phase: impl Fn(&mut Stepper, &Inputs, &mut StepStats) -> Result<Gradients>,
) -> Result<Outcome> {
    let mut stepper = stepper(config);
    let mut stats = StepStats::default();
    let gradients = phase(&mut stepper, &inputs(n)?, &mut stats)?;
    let params = stepper.g_params.iter().chain(&stepper.d_params);
    let named = params.filter_map(|(name, var)| Some((name.clone(), gradients.get(var)?.clone())));
    Ok((named.collect(), stats))
}

fn assert_same(whole: Outcome, parts: Outcome) -> Result<()> {
    let largest = whole.0.iter().map(|(_, g)| magnitude(g)).fold(0., f64::max);
    assert!(whole.0.len() > 10 && whole.0.len() == parts.0.len());
    let mut compared = 0;
    for ((name, whole), (other, part)) in whole.0.iter().zip(&parts.0) {
        assert_eq!(name, other);
        // The noise itself is drawn per pass, so its strength's gradient differs; the strengths
        // are zero at first, so nothing else depends on it.
        if name.ends_with("noise_strength") {
            continue;
        }
        let difference = magnitude(&(whole - part)?);
        let allowed = 1e-4 * magnitude(whole) + 1e-6 * largest;
        assert!(difference <= allowed, "{name}: {difference:.2e}");
        compared += 1;
    }
    assert!(compared > 10);
    let numbers = |s: &StepStats| {
        let optional = [s.r1_penalty, s.gp_penalty, s.pl_penalty, s.pl_length];
        let optional = optional.map(Option::unwrap_or_default);
        let always = [s.loss_g, s.loss_d, s.score_real, s.score_fake, s.sign_fake];
        [always.as_slice(), &optional].concat()
    };
    for (whole, part) in numbers(&whole.1).iter().zip(numbers(&parts.1)) {
        assert!((whole - part).abs() <= 1e-5 * whole.abs().max(1e-3));
    }
    Ok(())
}

fn check(
    config: &TrainingConfig,
    phase: impl Fn(&mut Stepper, &Inputs, &mut StepStats) -> Result<Gradients>,
) -> Result<()> {
    assert_same(run(config, 1, &phase)?, run(config, 2, &phase)?)
}

#[test]
fn two_passes_of_8_give_the_generator_gradients_of_one_of_16() -> Result<()> {
    check(&default_config(), |stepper, inputs, stats| {
        let (gradients, w) = stepper.phases().g_main(&inputs.latents, stats)?;
        assert_eq!(w.dims(), [16, 8]);
        Ok(gradients)
    })
}

#[test]
fn two_passes_of_8_give_the_path_length_gradients_of_one_of_16() -> Result<()> {
    let mut config = default_config();
    // With decay, each pass compares its lengths with a mean that has seen only them.
    config.loss.pl_decay = 0.;
    check(&config, |stepper, inputs, stats| {
        let mut phases = stepper.phases();
        let (gradients, mean) = phases.g_reg(4., 0.3, &inputs.latents, &inputs.noise, stats)?;
        assert!((mean - 0.3).abs() < 1e-12);
        Ok(gradients)
    })
}

#[test]
fn the_path_length_mean_advances_once_per_step_however_many_passes() -> Result<()> {
    let mean = |passes: usize| -> Result<f64> {
        let (mut stepper, inputs) = (stepper(&default_config()), inputs(passes)?);
        let mut stats = StepStats::default();
        let mut phases = stepper.phases();
        let (_, mean) = phases.g_reg(4., 0.3, &inputs.latents, &inputs.noise, &mut stats)?;
        let length = stats.pl_length.expect("length");
        assert!((mean - (0.3 + 0.01 * (length - 0.3))).abs() < 1e-9);
        Ok(mean)
    };
    assert!((mean(1)? - mean(2)?).abs() < 1e-7);
    Ok(())
}

#[test]
fn two_passes_of_8_give_the_discriminator_gradients_of_one_of_16() -> Result<()> {
    for adversarial in [AdversarialLoss::Logistic, AdversarialLoss::Hinge] {
        let mut config = default_config();
        config.loss.adversarial = adversarial;
        check(&config, |stepper, inputs, stats| {
            let mut phases = stepper.phases();
            phases.d_main(&inputs.reals, &inputs.latents, stats)
        })?;
    }
    Ok(())
}

#[test]
fn two_passes_of_8_give_the_r1_and_r2_gradients_of_one_of_16() -> Result<()> {
    let mut config = default_config();
    config.loss.r2_gamma = 3.;
    check(&config, |stepper, inputs, stats| {
        let mut phases = stepper.phases();
        phases.d_reg(16., &inputs.reals, &inputs.latents, stats)
    })
}
