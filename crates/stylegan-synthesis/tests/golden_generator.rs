//! The generator against the reference values of whole networks.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_goldens::{Case, assert_close, device};
use stylegan_ops::Precision;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{Generator, GeneratorConfig, MappingOptions, NoiseMode, SynthesisConfig};

const FORWARD_TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Params {
    generator: GeneratorParams,
    mix_layer: usize,
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

fn config(params: &GeneratorParams) -> GeneratorConfig {
    GeneratorConfig {
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
    }
}

fn cases(dtype: DType) -> Result<Vec<Case<Params>>> {
    let mut cases = Vec::new();
    for name in stylegan_goldens::names("stylegan2", "network_")? {
        cases.extend(stylegan_goldens::load("stylegan2", &name, dtype)?);
    }
    Ok(cases)
}

/// ws with the layers from `layer` on in the reverse order of the batch.
fn mixed(ws: &Tensor, layer: usize) -> Result<Tensor> {
    let (n, num_ws, _) = ws.dims3()?;
    let reverse: Vec<u32> = (0..n as u32).rev().collect();
    let reverse = ws.index_select(&Tensor::new(reverse, ws.device())?, 0)?;
    let parts = [
        ws.narrow(1, 0, layer)?,
        reverse.narrow(1, layer, num_ws - layer)?,
    ];
    Tensor::cat(&parts, 1)
}

fn check_images(dtype: DType) -> Result<()> {
    for case in cases(dtype)? {
        let config = config(&case.params.generator);
        let vb = VarBuilder::from_tensors(case.with_prefix("G."), dtype, device());
        let generator = Generator::new(&config, vb)?;
        check_generator(&case, &generator)?;
        check_generator(&case, &generator.prepared(Precision::F32)?)?;
    }
    Ok(())
}

fn check_generator(case: &Case<Params>, generator: &Generator) -> Result<()> {
    let (z, c) = (case.get("z")?, case.tensors.get("c"));
    let check = |name: &str, got: Tensor| -> Result<()> {
        let what = format!("{} {name}", case.name);
        assert_close(&what, &got, case.get(name)?, FORWARD_TOLERANCE);
        Ok(())
    };
    let ws = generator.ws(z, c, 1., None)?;
    check("ws_psi05", generator.ws(z, c, 0.5, None)?)?;
    check("ws_psi07_cut3", generator.ws(z, c, 0.7, Some(3))?)?;
    let mut noise = NoiseMode::Const;
    check("img_const", generator.forward(z, c, 1., None, &mut noise)?)?;
    check(
        "img_psi05_const",
        generator.forward(z, c, 0.5, None, &mut noise)?,
    )?;
    let mixed = mixed(&ws, case.params.mix_layer)?;
    check(
        "img_mix4_const",
        generator.synthesis().forward(&mixed, &mut noise)?,
    )?;
    check(
        "img_none",
        generator.synthesis().forward(&ws, &mut NoiseMode::None)?,
    )?;
    check("ws", ws)?;
    Ok(())
}

#[test]
fn golden_images_with_truncation_mixing_and_noise_modes_f32() -> Result<()> {
    check_images(DType::F32)
}

#[test]
fn golden_images_with_truncation_mixing_and_noise_modes_f64() -> Result<()> {
    check_images(DType::F64)
}

/// New networks take their filters from the configuration (`stylegan_ops::nn::resample_filter`).
#[test]
fn golden_parameters_have_the_public_names_and_shapes_filters_aside() -> Result<()> {
    for case in cases(DType::F32)? {
        let config = config(&case.params.generator);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let params = ParamStore::initialize(DType::F32, device(), &mut rng, |vb| {
            Generator::new(&config, vb)
        })?;
        let got: BTreeSet<_> = params
            .iter()
            .map(|(name, var)| (name.to_string(), var.dims().to_vec()))
            .collect();
        let expected: BTreeSet<_> = case
            .with_prefix("G.")
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
        let config = config(&case.params.generator);
        let mut tensors = BTreeMap::from_iter(case.with_prefix("G."));
        let build = |vb: VarBuilder| Generator::new(&config, vb);
        let loaded = load_network(&tensors, DType::F32, device(), build)
            .map_err(candle_core::Error::wrap)?;
        let layers: &[&str] = match config.synthesis.architecture {
            Architecture::Skip => &["conv0.", ""],
            Architecture::Resnet => &["conv0.", "skip."],
            Architecture::Orig | Architecture::Progressive => &["conv0."],
        };
        tensors.retain(|name, _| !name.ends_with("resample_filter"));
        let mut expected: BTreeSet<_> = tensors.keys().cloned().collect();
        for (resolution, layer) in [8, 16]
            .iter()
            .flat_map(|r| layers.iter().map(move |l| (r, l)))
        {
            expected.insert(format!("synthesis.b{resolution}.{layer}resample_filter"));
        }
        let got: BTreeSet<_> = loaded.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(got, expected, "{}", case.name);

        let without = load_network(&tensors, DType::F32, device(), build)
            .map_err(candle_core::Error::wrap)?;
        assert_eq!(without.len(), tensors.len(), "{}", case.name);
    }
    Ok(())
}
