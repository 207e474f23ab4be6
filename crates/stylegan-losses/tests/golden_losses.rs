//! Losses and regularizers of whole networks against the reference values: values, and the
//! gradients of every parameter.

mod common;

use std::collections::BTreeSet;

use candle_core::{DType, Result, Tensor};
use common::{FORWARD_TOLERANCE, GRADIENT_TOLERANCE, in_both_precisions};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::{Case, assert_close, device};
use stylegan_losses::{AdversarialLoss, path_length, r1_penalty, wgan_gp};
use stylegan_ops::autograd::{Gradients, backward};
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{Generator, GeneratorConfig, MappingOptions, NoiseMode, SynthesisConfig};

const LOGISTIC: AdversarialLoss = AdversarialLoss::Logistic;

#[derive(Deserialize)]
struct Params {
    generator: GeneratorParams,
    discriminator: DiscriminatorConfig,
    pl_decay: f64,
    pl_mean_before: f64,
}

#[derive(Deserialize)]
struct GeneratorParams {
    z_dim: usize,
    c_dim: usize,
    w_dim: usize,
    img_resolution: usize,
    img_channels: usize,
    channel_base: usize,
    channel_max: usize,
    architecture: Architecture,
    conv_clamp: Option<f64>,
    mapping_layers: usize,
}

/// Both networks of a case, trainable.
struct Networks {
    g_params: ParamStore,
    d_params: ParamStore,
    g: Generator,
    d: Discriminator,
}

/// Calls `check` for every case of every network file.
fn for_each_case(
    dtype: DType,
    check: impl Fn(&Case<Params>, &Networks) -> Result<()>,
) -> Result<()> {
    for name in stylegan_goldens::names("stylegan2", "network_")? {
        for case in stylegan_goldens::load::<Params>("stylegan2", &name, dtype)? {
            check(&case, &networks(&case, dtype)?)?;
        }
    }
    Ok(())
}

fn networks(case: &Case<Params>, dtype: DType) -> Result<Networks> {
    let params = &case.params.generator;
    let g_config = GeneratorConfig {
        z_dim: params.z_dim,
        c_dim: params.c_dim,
        mapping: MappingOptions {
            num_layers: params.mapping_layers,
            ..MappingOptions::default()
        },
        synthesis: SynthesisConfig {
            w_dim: params.w_dim,
            img_resolution: params.img_resolution,
            img_channels: params.img_channels,
            channel_base: params.channel_base,
            channel_max: params.channel_max,
            architecture: params.architecture,
            conv_clamp: params.conv_clamp,
            ..SynthesisConfig::default()
        },
    };
    let d_config = &case.params.discriminator;
    let sorted = |prefix| case.with_prefix(prefix).into_iter().collect();
    let device = device();
    let g_params = load_network(&sorted("G."), dtype, device, |vb| {
        Generator::new(&g_config, vb)
    })
    .map_err(candle_core::Error::wrap)?;
    let d_params = load_network(&sorted("D."), dtype, device, |vb| {
        Discriminator::new(d_config, vb)
    })
    .map_err(candle_core::Error::wrap)?;
    Ok(Networks {
        g: Generator::new(&g_config, g_params.var_builder())?,
        d: Discriminator::new(d_config, d_params.var_builder())?,
        g_params,
        d_params,
    })
}

/// Compares the gradients of all trainable parameters with the reference values under `prefix`.
fn check_gradients(case: &Case<Params>, prefix: &str, params: &ParamStore, got: &Gradients) {
    let expected = case.with_prefix(prefix).into_iter().collect();
    common::check_gradients(&format!("{} {prefix}*", case.name), &expected, params, got);
}

/// Compares a value, or the values per sample.
fn check_value(case: &str, name: &str, got: &Tensor, expected: &Tensor) {
    assert_close(&format!("{case} {name}"), got, expected, FORWARD_TOLERANCE);
}

fn check_r1(dtype: DType) -> Result<()> {
    for_each_case(dtype, |case, networks| {
        let labels = case.tensors.get("c");
        let r1 = r1_penalty(case.get("real")?, |x| networks.d.forward(x, labels))?;
        check_value(
            &case.name,
            "logits_real",
            &r1.logits,
            case.get("logits_real")?,
        );
        check_value(
            &case.name,
            "r1_penalty",
            &r1.penalty,
            case.get("r1_penalty")?,
        );
        assert_close(
            &format!("{} r1_input_grad", case.name),
            &r1.input_grad,
            case.get("r1_input_grad")?,
            GRADIENT_TOLERANCE,
        );
        let gradients = backward(&r1.penalty.mean_all()?)?;
        check_gradients(case, "r1_grad.", &networks.d_params, &gradients);
        Ok(())
    })
}

fn check_gradient_penalty(dtype: DType) -> Result<()> {
    for_each_case(dtype, |case, networks| {
        let labels = case.tensors.get("c");
        let (real, fake) = (case.get("real")?, case.get("img_const")?);
        let penalty = wgan_gp(real, fake, case.get("gp_eps")?, 1., |x| {
            networks.d.forward(x, labels)
        })?;
        check_value(
            &case.name,
            "gp_penalty",
            &penalty.penalty,
            case.get("gp_penalty")?,
        );
        let gradients = backward(&penalty.penalty.mean_all()?)?;
        check_gradients(case, "gp_grad.", &networks.d_params, &gradients);
        Ok(())
    })
}

fn check_discriminator_loss(dtype: DType) -> Result<()> {
    for_each_case(dtype, |case, networks| {
        let labels = case.tensors.get("c");
        let logits_fake = networks.d.forward(case.get("img_const")?, labels)?;
        let logits_real = networks.d.forward(case.get("real")?, labels)?;
        let loss = LOGISTIC
            .discriminator(&logits_real, &logits_fake)?
            .mean_all()?;
        check_value(&case.name, "loss_d", &loss, case.get("loss_d")?);
        let gradients = backward(&loss)?;
        check_gradients(case, "loss_d_grad.", &networks.d_params, &gradients);
        Ok(())
    })
}

fn check_generator_loss(dtype: DType) -> Result<()> {
    for_each_case(dtype, |case, networks| {
        let labels = case.tensors.get("c");
        let noise = &mut NoiseMode::Const;
        let images = networks
            .g
            .forward(case.get("z")?, labels, 1., None, noise)?;
        let loss = LOGISTIC
            .generator(&networks.d.forward(&images, labels)?)?
            .mean_all()?;
        check_value(&case.name, "loss_g", &loss, case.get("loss_g")?);
        let gradients = backward(&loss)?;
        check_gradients(case, "loss_g_grad.", &networks.g_params, &gradients);
        Ok(())
    })
}

fn check_path_length(dtype: DType) -> Result<()> {
    for_each_case(dtype, |case, networks| {
        let labels = case.tensors.get("c");
        let ws = networks.g.ws(case.get("z")?, labels, 1., None)?;
        let (mean, decay) = (case.params.pl_mean_before, case.params.pl_decay);
        let result = path_length(&ws, case.get("pl_noise")?, mean, decay, |ws| {
            networks.g.synthesis().forward(ws, &mut NoiseMode::Const)
        })?;
        check_value(
            &case.name,
            "pl_lengths",
            &result.lengths,
            case.get("pl_lengths")?,
        );
        check_value(
            &case.name,
            "pl_penalty",
            &result.penalty,
            case.get("pl_penalty")?,
        );
        let expected_mean = case.get("pl_mean_after")?;
        let mean = Tensor::full(result.mean, expected_mean.dims(), expected_mean.device())?;
        check_value(
            &case.name,
            "pl_mean_after",
            &mean.to_dtype(dtype)?,
            expected_mean,
        );

        let vars: Vec<&Tensor> = networks
            .g_params
            .trainable()
            .map(|(_, var)| var.as_tensor())
            .collect();
        let gradients = result.backward(1., &vars)?;
        check_gradients(case, "pl_grad.", &networks.g_params, &gradients);
        Ok(())
    })
}

in_both_precisions! {
    check_r1 => golden_r1_f32, golden_r1_f64;
    check_gradient_penalty => golden_wgan_gp_f32, golden_wgan_gp_f64;
    check_discriminator_loss => golden_discriminator_loss_f32, golden_discriminator_loss_f64;
    check_generator_loss => golden_generator_loss_f32, golden_generator_loss_f64;
    check_path_length => golden_path_length_f32, golden_path_length_f64;
}

/// The tests above name the sets of gradients that they compare; a file with another set would
/// go unchecked.
#[test]
fn golden_files_hold_exactly_the_gradient_sets_that_are_checked() -> Result<()> {
    for_each_case(DType::F32, |case, _| {
        let sets = gradient_sets(case);
        assert_eq!(
            sets,
            ["gp", "loss_d", "loss_g", "pl", "r1"],
            "{}",
            case.name
        );
        Ok(())
    })
}

/// The sets of parameter gradients that a case has, e.g. `r1` for `r1_grad.NAME`, sorted.
fn gradient_sets(case: &Case<Params>) -> Vec<&str> {
    let set = |name: &'_ String| name.find("_grad.");
    let sets = case
        .tensors
        .keys()
        .filter_map(|name| Some(&name[..set(name)?]));
    let sets: BTreeSet<&str> = sets.collect();
    sets.into_iter().collect()
}
