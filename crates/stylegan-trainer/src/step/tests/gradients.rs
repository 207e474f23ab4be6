//! Which parameter receives a gradient in which phase.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor};
use stylegan_losses::AdversarialLoss;
use stylegan_ops::autograd::{Gradients, backward};
use stylegan_ops::nn::Architecture::{Orig, Resnet, Skip};
use stylegan_synthesis::{Generator, NoiseMode};

use super::super::{Phase, StepStats, Stepper};
use super::{Toy, config, default_config, images, magnitude, stepper};
use crate::config::TrainingConfig;

/// The parameters of a phase's network whose gradient is zero or absent.
fn without_gradient(config: &TrainingConfig, phase: Phase) -> Result<BTreeSet<String>> {
    without_gradient_in(&mut stepper(config), phase)
}

/// Of the parameters that take part where the stepper stands, those whose gradient is zero or absent.
pub(super) fn without_gradient_in(stepper: &mut Stepper, phase: Phase) -> Result<BTreeSet<String>> {
    let params = match phase {
        Phase::Gmain | Phase::Greg => stepper.g_params.clone(),
        Phase::Dmain | Phase::Dreg => stepper.d_params.clone(),
    };
    let (mut data, mut stats) = (Toy::new(&stepper.config), StepStats::default());
    let reals = stepper.draw_reals(&mut data)?;
    let gradients = match phase {
        Phase::Gmain => stepper.g_main(&mut data, &mut stats),
        Phase::Greg => stepper.g_reg(1., &mut data, &mut stats),
        Phase::Dmain => stepper.d_main(&reals, &mut data, &mut stats),
        Phase::Dreg => stepper.d_reg(1., &reals, &mut data, &mut stats),
    }?;
    let largest = params.iter().filter_map(|(_, var)| gradients.get(var));
    let largest = largest.map(magnitude).fold(0., f64::max);
    let is_zero = |var: &Tensor| match gradients.get(var) {
        Some(gradient) => magnitude(gradient) <= 1e-12 * largest,
        None => true,
    };
    let zero = params.into_iter().filter(|(_, var)| is_zero(var));
    Ok(zero.map(|(name, _)| name).collect())
}

pub(super) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Checks all phases of a configuration: exactly the parameters of `greg` and `dreg` have none.
fn check(config: &TrainingConfig, greg: &[&str], dreg: &[&str]) -> Result<()> {
    let cases = [
        (Phase::Gmain, names(&[])),
        (Phase::Greg, names(greg)),
        (Phase::Dmain, names(&[])),
        (Phase::Dreg, names(dreg)),
    ];
    for (phase, expected) in cases {
        assert_eq!(without_gradient(config, phase)?, expected, "{phase}");
        for (name, _) in stepper(config).g_params {
            let in_set = phase == Phase::Greg && expected.contains(&name);
            let generator = matches!(phase, Phase::Gmain | Phase::Greg);
            assert!(!generator || phase.may_lack_gradient(&name, config) == in_set);
        }
        for (name, _) in stepper(config).d_params {
            let in_set = phase == Phase::Dreg && expected.contains(&name);
            let discriminator = matches!(phase, Phase::Dmain | Phase::Dreg);
            assert!(!discriminator || phase.may_lack_gradient(&name, config) == in_set);
        }
    }
    Ok(())
}

const BEHIND_MBSTD: [&str; 3] = ["b4.conv.bias", "b4.fc.bias", "b4.out.bias"];

#[test]
fn every_parameter_receives_a_gradient_except_additive_biases_skip_and_resnet() -> Result<()> {
    let torgb = [
        "synthesis.b16.torgb.bias",
        "synthesis.b4.torgb.bias",
        "synthesis.b8.torgb.bias",
    ];
    check(&config(Skip, Resnet, 0), &torgb, &BEHIND_MBSTD)?;
    check(&config(Skip, Resnet, 3), &torgb, &BEHIND_MBSTD)
}

#[test]
fn every_parameter_receives_a_gradient_except_additive_biases_resnet_and_skip() -> Result<()> {
    let torgb = ["synthesis.b16.torgb.bias"];
    check(&config(Resnet, Skip, 0), &torgb, &BEHIND_MBSTD)?;
    check(&config(Resnet, Skip, 3), &torgb, &BEHIND_MBSTD)
}

#[test]
fn every_parameter_receives_a_gradient_except_additive_biases_orig() -> Result<()> {
    let torgb = ["synthesis.b16.torgb.bias"];
    check(&config(Orig, Orig, 0), &torgb, &BEHIND_MBSTD)?;
    check(&config(Orig, Orig, 3), &torgb, &BEHIND_MBSTD)
}

#[test]
fn r1_reaches_no_bias_of_the_blocks_without_minibatch_standard_deviation() -> Result<()> {
    let torgb = ["synthesis.b16.torgb.bias"];
    let dreg = [
        "b16.conv0.bias",
        "b16.conv1.bias",
        "b16.fromrgb.bias",
        "b4.conv.bias",
        "b4.fc.bias",
        "b4.out.bias",
        "b8.conv0.bias",
        "b8.conv1.bias",
    ];
    let mut none = config(Orig, Orig, 3);
    none.discriminator.mbstd_num_channels = 0;
    check(&none, &torgb, &dreg)?;
    let mut single = config(Orig, Orig, 0);
    single.batch_gpu = 1;
    check(&single, &torgb, &dreg)
}

#[test]
fn every_parameter_receives_a_gradient_from_the_other_losses() -> Result<()> {
    // Inside the margin, the hinge loss is D(fake) - D(x): the last bias cancels out.
    let cases: [(AdversarialLoss, &[&str]); 2] = [
        (AdversarialLoss::WganGp, &[]),
        (AdversarialLoss::Hinge, &["b4.out.bias"]),
    ];
    for (adversarial, dmain) in cases {
        let mut config = default_config();
        config.loss.adversarial = adversarial;
        assert_eq!(without_gradient(&config, Phase::Gmain)?, names(&[]));
        assert_eq!(without_gradient(&config, Phase::Dmain)?, names(dmain));
    }
    let mut config = default_config();
    (config.loss.r1_gamma, config.loss.r2_gamma) = (0., 1.);
    assert_eq!(
        without_gradient(&config, Phase::Dreg)?,
        names(&BEHIND_MBSTD)
    );
    Ok(())
}

/// These views share weights that change in place: whatever a kernel kept of a weight would be stale.
#[test]
fn frozen_networks_see_every_change_of_the_weights() -> Result<()> {
    let config = default_config();
    let (mut stepper, mut data) = (stepper(&config), Toy::new(&config));
    let ema = &stepper.state().g_ema;
    let ema = Generator::new(&config.generator, ema.frozen_var_builder())?;
    for _ in 0..2 {
        stepper.step(&mut data)?;
        let (networks, state) = (&stepper.networks, stepper.state());
        for (view, store) in [(&networks.g_frozen, &state.g), (&ema, &state.g_ema)] {
            let copy = store.deep_copy().map_err(candle_core::Error::wrap)?;
            let copy = Generator::new(&config.generator, copy.frozen_var_builder())?;
            let images = |g: &Generator| -> Result<Vec<f32>> {
                let z = Tensor::ones((2, config.generator.z_dim), DType::F32, &Device::Cpu)?;
                let images = g.forward(&z, None, 1., None, &mut NoiseMode::Const)?;
                images.flatten_all()?.to_vec1()
            };
            assert!(images(view)? == images(&copy)?);
        }
    }
    Ok(())
}

#[test]
fn frozen_networks_record_no_graph() -> Result<()> {
    let config = default_config();
    let mut stepper = stepper(&config);
    let logits = stepper.networks.d_frozen.forward(&images(0, 4)?, None)?;
    assert!(!logits.track_op());
    let mut phases = stepper.phases();
    let latents = phases.draw_latents(4, &mut Toy::new(&config))?;
    let fakes = phases.generate(&latents[0])?;
    assert!(!fakes.track_op());
    let logits = stepper.networks.d.forward(&fakes, None)?;
    assert!(logits.track_op());
    Ok(())
}

#[test]
fn a_gradient_that_is_absent_or_not_finite_is_an_error_that_names_it() -> Result<()> {
    let stepper = stepper(&default_config());
    let message = |gradients: &Gradients| {
        let error = stepper.check(Phase::Gmain, gradients).expect_err("error");
        error.to_string()
    };
    let missing = message(&Gradients::default());
    assert!(
        missing.contains("Gmain, minibatch 0: mapping.fc0.bias received no gradient"),
        "{missing}"
    );
    let (name, var) = &stepper.g_params[0];
    let infinite = backward(&(var * f64::INFINITY)?.sum_all()?)?;
    let infinite = message(&infinite);
    let expected = format!("Gmain, minibatch 0: the gradient of {name} is not finite");
    assert!(infinite.contains(&expected), "{infinite}");
    Ok(())
}
