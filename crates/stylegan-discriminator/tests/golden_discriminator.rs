//! The discriminator against the reference values of whole networks.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Result, Var};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::{Case, assert_close, device};
use stylegan_ops::autograd;
use stylegan_ops::nn::Architecture;

const FORWARD_TOLERANCE: f64 = 1e-4;
const GRADIENT_TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Params {
    discriminator: DiscriminatorConfig,
}

fn cases(dtype: DType) -> Result<Vec<Case<Params>>> {
    let mut cases = Vec::new();
    for name in stylegan_goldens::names("stylegan2", "network_")? {
        cases.extend(stylegan_goldens::load("stylegan2", &name, dtype)?);
    }
    Ok(cases)
}

fn discriminator(case: &Case<Params>, dtype: DType) -> Result<Discriminator> {
    let vb = VarBuilder::from_tensors(case.with_prefix("D."), dtype, device());
    Discriminator::new(&case.params.discriminator, vb)
}

fn check_logits(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let discriminator = discriminator(&case, dtype)?;
        for (images, logits) in [("img_const", "logits_fake"), ("real", "logits_real")] {
            let got = discriminator.forward(case.get(images)?, case.tensors.get("c"))?;
            let what = format!("{} {logits}", case.name);
            assert_close(&what, &got, case.get(logits)?, FORWARD_TOLERANCE);
        }
    }
    Ok(())
}

fn check_input_gradient(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let discriminator = discriminator(&case, dtype)?;
        let real = Var::from_tensor(case.get("real")?)?;
        let logits = discriminator.forward(&real, case.tensors.get("c"))?;
        let gradient = autograd::grad(&logits.sum_all()?, &[&real])?.remove(0);
        let what = format!("{} r1_input_grad", case.name);
        assert_close(
            &what,
            &gradient,
            case.get("r1_input_grad")?,
            GRADIENT_TOLERANCE,
        );
    }
    Ok(())
}

#[test]
fn golden_logits_f32() -> Result<()> {
    check_logits(DType::F32)
}

#[test]
fn golden_logits_f64() -> Result<()> {
    check_logits(DType::F64)
}

#[test]
fn golden_gradient_of_the_logits_for_the_images_f32() -> Result<()> {
    check_input_gradient(DType::F32)
}

#[test]
fn golden_gradient_of_the_logits_for_the_images_f64() -> Result<()> {
    check_input_gradient(DType::F64)
}

/// New networks take their filters from the configuration (`stylegan_ops::nn::resample_filter`).
#[test]
fn golden_parameters_have_the_public_names_and_shapes_filters_aside() -> Result<()> {
    for case in cases(DType::F32)? {
        let config = &case.params.discriminator;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let params = ParamStore::initialize(DType::F32, device(), &mut rng, |vb| {
            Discriminator::new(config, vb)
        })?;
        let got: BTreeSet<_> = params
            .iter()
            .map(|(name, var)| (name.to_string(), var.dims().to_vec()))
            .collect();
        let expected: BTreeSet<_> = case
            .with_prefix("D.")
            .into_iter()
            .filter(|(name, _)| !name.ends_with("resample_filter"))
            .map(|(name, tensor)| (name, tensor.dims().to_vec()))
            .collect();
        assert_eq!(got, expected, "{}", case.name);
    }
    Ok(())
}

#[test]
fn golden_filters_are_loaded_where_a_layer_resamples() -> Result<()> {
    for case in cases(DType::F32)? {
        let config = &case.params.discriminator;
        let mut tensors = BTreeMap::from_iter(case.with_prefix("D."));
        let build = |vb: VarBuilder| Discriminator::new(config, vb);
        let loaded = load_network(&tensors, DType::F32, device(), build)
            .map_err(candle_core::Error::wrap)?;
        let layers: &[&str] = match config.architecture {
            Architecture::Skip => &["conv1.", ""],
            Architecture::Resnet => &["conv1.", "skip."],
            Architecture::Orig | Architecture::Progressive => &["conv1."],
        };
        tensors.retain(|name, _| !name.ends_with("resample_filter"));
        let mut expected: BTreeSet<_> = tensors.keys().cloned().collect();
        for (resolution, layer) in [8, 16]
            .iter()
            .flat_map(|r| layers.iter().map(move |l| (r, l)))
        {
            expected.insert(format!("b{resolution}.{layer}resample_filter"));
        }
        let got: BTreeSet<_> = loaded.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(got, expected, "{}", case.name);

        let without = load_network(&tensors, DType::F32, device(), build)
            .map_err(candle_core::Error::wrap)?;
        assert_eq!(without.len(), tensors.len(), "{}", case.name);
    }
    Ok(())
}
