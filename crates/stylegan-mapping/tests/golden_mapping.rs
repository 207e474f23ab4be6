//! The mapping network against the reference values of whole networks.

use std::collections::BTreeSet;

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;
use stylegan_checkpoint::ParamStore;
use stylegan_goldens::{Case, assert_close, device};
use stylegan_mapping::{Mapping, MappingConfig, broadcast, truncate};

const FORWARD_TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Params {
    generator: GeneratorParams,
}

#[derive(Deserialize)]
struct GeneratorParams {
    z_dim: usize,
    c_dim: usize,
    w_dim: usize,
    mapping_layers: usize,
}

fn config(case: &Case<Params>) -> MappingConfig {
    let params = &case.params.generator;
    MappingConfig {
        z_dim: params.z_dim,
        c_dim: params.c_dim,
        w_dim: params.w_dim,
        num_layers: params.mapping_layers,
        ..MappingConfig::default()
    }
}

fn cases(dtype: DType) -> Result<Vec<Case<Params>>> {
    let mut cases = Vec::new();
    for name in stylegan_goldens::names("stylegan2", "network_")? {
        cases.extend(stylegan_goldens::load("stylegan2", &name, dtype)?);
    }
    Ok(cases)
}

fn check_ws(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let weights = case.with_prefix("G.mapping.");
        let vb = VarBuilder::from_tensors(weights, dtype, device());
        let mapping = Mapping::new(&config(&case), vb)?;
        let ws = case.get("ws")?;
        let got = mapping.forward(Some(case.get("z")?), case.tensors.get("c"))?;
        let got = broadcast(&got, ws.dims()[1])?;
        let check = |name: &str, got: &Tensor| -> Result<()> {
            let what = format!("{} {name}", case.name);
            assert_close(&what, got, case.get(name)?, FORWARD_TOLERANCE);
            Ok(())
        };
        check("ws", &got)?;
        let w_avg = case.get("G.mapping.w_avg")?;
        check("ws_psi05", &truncate(&got, w_avg, 0.5, None)?)?;
        check("ws_psi07_cut3", &truncate(&got, w_avg, 0.7, Some(3))?)?;
    }
    Ok(())
}

#[test]
fn golden_ws_with_and_without_truncation_f32() -> Result<()> {
    check_ws(DType::F32)
}

#[test]
fn golden_ws_with_and_without_truncation_f64() -> Result<()> {
    check_ws(DType::F64)
}

#[test]
fn golden_parameters_have_the_public_names_and_shapes() -> Result<()> {
    for case in cases(DType::F32)? {
        let config = config(&case);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let params = ParamStore::initialize(DType::F32, device(), &mut rng, |vb| {
            Mapping::new(&config, vb)
        })?;
        let got: BTreeSet<_> = params
            .iter()
            .map(|(name, var)| (name.to_string(), var.dims().to_vec()))
            .collect();
        let expected: BTreeSet<_> = case
            .with_prefix("G.mapping.")
            .into_iter()
            .map(|(name, tensor)| (name, tensor.dims().to_vec()))
            .collect();
        assert_eq!(got, expected, "{}", case.name);
    }
    Ok(())
}
