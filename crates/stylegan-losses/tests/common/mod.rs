//! Whole networks from the reference values, and the comparison of their gradients.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::Case;
use stylegan_ops::autograd::Gradients;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{Generator, GeneratorConfig, MappingOptions, SynthesisConfig};

/// Allowed error of values, of the largest magnitude.
pub const FORWARD_TOLERANCE: f64 = 1e-4;
/// Allowed error of gradients, of the largest magnitude.
pub const GRADIENT_TOLERANCE: f64 = 1e-3;
/// A gradient whose largest magnitude is below this share of the largest one of its set is the
/// small rest of terms that cancel: its reference value, from f32, is known only to the rounding
/// errors of those terms. It is compared as if its magnitude were this share of the set's.
const CANCELLED: f64 = 1e-4;
/// A gradient that is zero by mathematics may be this share of the largest one of its set.
const ZERO: f64 = 1e-9;

#[derive(Deserialize)]
pub struct Params {
    generator: GeneratorParams,
    discriminator: DiscriminatorConfig,
    pub pl_decay: f64,
    pub pl_mean_before: f64,
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
pub struct Networks {
    pub g_params: ParamStore,
    pub d_params: ParamStore,
    pub g: Generator,
    pub d: Discriminator,
}

/// Calls `check` for every case of every network file.
pub fn for_each_case(
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
    let device = Device::Cpu;
    let g_params = load_network(&sorted("G."), dtype, &device, |vb| {
        Generator::new(&g_config, vb)
    })
    .map_err(candle_core::Error::wrap)?;
    let d_params = load_network(&sorted("D."), dtype, &device, |vb| {
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
///
/// Every reference value must belong to a parameter, and every parameter without one (or with
/// one that is zero throughout) must have a gradient of zero, or none.
pub fn check_gradients(case: &Case<Params>, prefix: &str, params: &ParamStore, got: &Gradients) {
    let expected = case.with_prefix(prefix);
    assert!(!expected.is_empty(), "{} has no {prefix}*", case.name);
    for name in expected.keys() {
        let known = params.trainable().any(|(parameter, _)| parameter == name);
        assert!(known, "{} {prefix}{name}: no such parameter", case.name);
    }
    let largest = expected.values().map(magnitude).fold(0., f64::max);
    let mut failures = Vec::new();
    for (name, var) in params.trainable() {
        if let Err(problem) = compare(name, expected.get(name), got.get(var), largest) {
            failures.push(problem);
        }
    }
    let (case, failures) = (&case.name, failures.join("\n  "));
    assert!(failures.is_empty(), "{case} {prefix}*:\n  {failures}");
}

fn compare(
    name: &str,
    expected: Option<&Tensor>,
    got: Option<&Tensor>,
    largest: f64,
) -> std::result::Result<(), String> {
    let expected = expected.filter(|expected| magnitude(expected) > 0.);
    match (expected, got) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("{name}: no gradient")),
        (None, Some(got)) if magnitude(got) <= ZERO * largest => Ok(()),
        (None, Some(got)) => Err(format!(
            "{name}: expected zero, got up to {:.2e}",
            magnitude(got)
        )),
        (Some(expected), Some(got)) => {
            let difference = (got - expected).map_err(|e| format!("{name}: {e}"))?;
            let scale = magnitude(expected).max(CANCELLED * largest);
            let error = magnitude(&difference) / scale;
            if error <= GRADIENT_TOLERANCE {
                return Ok(());
            }
            Err(format!("{name}: relative error {error:.2e}"))
        }
    }
}

/// The largest magnitude; infinite where a number is not finite.
fn magnitude(tensor: &Tensor) -> f64 {
    let values: Vec<f64> = tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(DType::F64)?.to_vec1())
        .expect("values of a tensor");
    values.iter().fold(0., |largest, value| {
        if value.is_finite() {
            value.abs().max(largest)
        } else {
            f64::INFINITY
        }
    })
}

/// The sets of parameter gradients that a case has, e.g. `r1` for `r1_grad.NAME`, sorted.
pub fn gradient_sets(case: &Case<Params>) -> Vec<&str> {
    let set = |name: &'_ String| name.find("_grad.");
    let sets = case
        .tensors
        .keys()
        .filter_map(|name| Some(&name[..set(name)?]));
    let sets: BTreeSet<&str> = sets.collect();
    sets.into_iter().collect()
}
