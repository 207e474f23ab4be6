//! The discriminators of StyleGAN and ProGAN against the reference values of the TensorFlow networks.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Error, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network, tensorflow};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::{Case, assert_close, device, is_progan};
use stylegan_import::tensorflow::{DiscriminatorKwargs, Implementation, Kwargs};
use stylegan_ops::average_pool2d;
use stylegan_ops::growing::Lod;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Params {
    config: Kwargs,
    lods: Vec<f64>,
    layout: String,
}

fn cases(dtype: DType) -> Result<Vec<Case<Params>>> {
    let mut cases = stylegan_goldens::load("stylegan1", "stylegan1_D", dtype)?;
    cases.extend(stylegan_goldens::load("stylegan1", "progan_D", dtype)?);
    Ok(cases)
}

/// The configuration that the arguments of a TensorFlow discriminator stand for.
fn config(case: &Case<Params>) -> Result<DiscriminatorConfig> {
    let has_transposed_kernels = case.params.layout.contains("[kh,kw,out,in]");
    let implementation = Implementation::new(is_progan(case), has_transposed_kernels);
    let kwargs = DiscriminatorKwargs::new(implementation, &case.params.config)?;
    Ok(kwargs.config(implementation))
}

/// The weights of a case under our names.
fn weights(case: &Case<Params>) -> Result<BTreeMap<String, Tensor>> {
    let variables = BTreeMap::from_iter(case.with_prefix("D."));
    let resolution = tensorflow::resolution(&variables).map_err(Error::wrap)?;
    tensorflow::discriminator(&variables, resolution).map_err(Error::wrap)
}

fn discriminator(case: &Case<Params>, dtype: DType) -> Result<Discriminator> {
    let config = config(case)?;
    let build = |vb: VarBuilder| Discriminator::new(&config, vb);
    let params = load_network(&weights(case)?, dtype, device(), build).map_err(Error::wrap)?;
    build(params.frozen_var_builder())
}

/// The labels that the discriminator of a case knows of.
fn labels<'a>(case: &'a Case<Params>, network: &Discriminator) -> Option<&'a Tensor> {
    match network.config().c_dim {
        0 => None,
        _ => case.tensors.get("labels"),
    }
}

fn check_logits(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let network = discriminator(&case, dtype)?;
        let (images, labels) = (case.get("images")?, labels(&case, &network));
        assert!(!case.params.lods.is_empty(), "{}", case.name);
        for &lod in &case.params.lods {
            let lod = Lod::new(lod)?;
            let network = network.at_lod(lod)?;
            let active = average_pool2d(images, 1 << lod.halvings())?;
            let logits = [
                ("full-size", network.forward(images, labels)?),
                ("active-size", network.forward(&active, labels)?),
                ("linear", network.forward_linear(images, labels)?),
            ];
            let name = format!("logits_lod{lod}");
            for (way, logits) in logits {
                let what = format!("{} {name} {way}", case.name);
                assert_close(&what, &logits, case.get(&name)?, TOLERANCE);
            }
            let name = format!("class_logits_lod{lod}");
            if let Some(expected) = case.tensors.get(&name) {
                let (_, class_logits) = network.forward_with_classes(&active)?;
                let what = format!("{} {name}", case.name);
                assert_close(&what, &class_logits, expected, TOLERANCE);
            }
        }
    }
    Ok(())
}

/// The minibatch standard deviation of a batch that is smaller than its groups.
fn check_logits_of_the_first_images(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let network = discriminator(&case, dtype)?;
        for (name, expected) in &case.tensors {
            let Some((_, lod)) = name
                .strip_prefix("logits_first")
                .and_then(|rest| rest.split_once("_lod"))
            else {
                continue;
            };
            let count = expected.dim(0)?;
            let first = |x: &Tensor| x.narrow(0, 0, count);
            let labels = labels(&case, &network).map(first).transpose()?;
            let network = network.at_lod(Lod::new(lod.parse().map_err(Error::wrap)?)?)?;
            let logits = network.forward(&first(case.get("images")?)?, labels.as_ref())?;
            let what = format!("{} {name}", case.name);
            assert_close(&what, &logits, expected, TOLERANCE);
        }
    }
    Ok(())
}

/// Both checks together compare every result of the reference.
#[test]
fn golden_results_are_all_compared() -> Result<()> {
    for case in cases(DType::F32)? {
        let lods: Vec<String> = case.params.lods.iter().map(f64::to_string).collect();
        let is_compared = |name: &str| {
            let at_lods = name
                .strip_prefix("logits_lod")
                .or(name.strip_prefix("class_logits_lod"));
            match at_lods {
                Some(lod) => lods.iter().any(|known| known == lod),
                None => name.starts_with("logits_first") && name.contains("_lod"),
            }
        };
        let inputs = ["images", "labels"];
        let results: Vec<&String> = case
            .tensors
            .keys()
            .filter(|name| !name.starts_with("D.") && !inputs.contains(&name.as_str()))
            .collect();
        assert!(results.len() >= lods.len(), "{}", case.name);
        for name in results {
            assert!(is_compared(name), "{} {name}", case.name);
        }
    }
    Ok(())
}

#[test]
fn golden_logits_at_every_lod_f32() -> Result<()> {
    check_logits(DType::F32)
}

#[test]
fn golden_logits_at_every_lod_f64() -> Result<()> {
    check_logits(DType::F64)
}

#[test]
fn golden_logits_of_the_first_images_f32() -> Result<()> {
    check_logits_of_the_first_images(DType::F32)
}

#[test]
fn golden_logits_of_the_first_images_f64() -> Result<()> {
    check_logits_of_the_first_images(DType::F64)
}

#[test]
fn golden_parameters_have_the_shapes_of_the_tensorflow_variables() -> Result<()> {
    let shapes = |tensors: BTreeMap<String, Tensor>| -> BTreeSet<(String, Vec<usize>)> {
        let shape = |(name, tensor): (String, Tensor)| (name, tensor.dims().to_vec());
        tensors.into_iter().map(shape).collect()
    };
    for case in cases(DType::F32)? {
        let config = config(&case)?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let params = ParamStore::initialize(DType::F32, device(), &mut rng, |vb| {
            Discriminator::new(&config, vb)
        })?;
        let expected = shapes(weights(&case)?);
        assert_eq!(shapes(params.to_tensors()), expected, "{}", case.name);
    }
    Ok(())
}
