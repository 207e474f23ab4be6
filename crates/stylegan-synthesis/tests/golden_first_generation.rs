//! The generators of StyleGAN and ProGAN against the reference values of whole networks.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Error, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network, tensorflow};
use stylegan_goldens::{Case, assert_close, device, is_progan};
use stylegan_import::tensorflow::{GeneratorKwargs, Implementation, Kwargs};
use stylegan_mapping::{broadcast, truncate, update_w_avg};
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode};

const FORWARD_TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Params {
    config: Kwargs,
    layout: String,
    lods: Vec<f64>,
    /// How many ws a picture takes, of a network that has a mapping.
    layers: Option<usize>,
    dlatent_avg_beta: Option<f64>,
}

/// A case, our configuration of its network, and the network's parameters.
struct Network {
    case: Case<Params>,
    config: GeneratorConfig,
    parameters: BTreeMap<String, Tensor>,
}

impl Network {
    fn new(case: Case<Params>) -> Result<Self> {
        let has_transposed_kernels = case.params.layout.contains("[kh,kw,out,in]");
        let implementation = Implementation::new(is_progan(&case), has_transposed_kernels);
        let kwargs = GeneratorKwargs::new(implementation, &case.params.config)?;
        let variables = BTreeMap::from_iter(case.with_prefix("G."));
        let resolution = tensorflow::resolution(&variables)?;
        Ok(Self {
            config: kwargs.config(implementation),
            parameters: tensorflow::generator(&variables, resolution, implementation.layout())?,
            case,
        })
    }

    fn generator(&self, dtype: DType) -> Result<Generator> {
        let build = |vb: VarBuilder| Generator::new(&self.config, vb);
        let params = load_network(&self.parameters, dtype, device(), build)?;
        build(params.frozen_var_builder())
    }
}

fn networks(dtype: DType) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    for prefix in ["stylegan1_G", "progan_G"] {
        for name in stylegan_goldens::names("stylegan1", prefix)? {
            let cases = stylegan_goldens::load("stylegan1", &name, dtype)?;
            let built = cases.into_iter().map(Network::new);
            networks.extend(built.collect::<Result<Vec<_>>>()?);
        }
    }
    Ok(networks)
}

/// The number at the end of a tensor's name.
fn number<T: std::str::FromStr>(digits: &str) -> Result<T> {
    let value = digits.parse();
    value.map_err(|_| {
        Error::Msg(format!(
            "expected a number in a tensor's name, got {digits}"
        ))
    })
}

/// Checks every reference value of the network.
fn check(network: &Network, dtype: DType) -> Result<()> {
    let Network { case, config, .. } = network;
    let generator = network.generator(dtype)?;
    let (mapping, synthesis) = (generator.mapping(), generator.synthesis());
    let labels = case.tensors.get("labels");
    let w_of = |z: &str| mapping.forward(Some(case.get(z)?), labels);
    let ws_of = |z: &str| broadcast(&w_of(z)?, synthesis.num_ws());
    let w_avg = || {
        let missing = || Error::Msg(format!("{}: the network keeps no average w", case.name));
        mapping.w_avg().ok_or_else(missing)
    };
    let ws = ws_of("z")?;

    // `psi{psi}_cut{cutoff}`
    let truncated = |parameters: &str| {
        let Some((psi, cutoff)) = parameters.split_once("_cut") else {
            bail!("{}: expected psi and cutoff, got {parameters}", case.name)
        };
        truncate(&ws, w_avg()?, number(psi)?, Some(number(cutoff)?))
    };
    // Layers from `first` on take the other ws.
    let mixed = |first: &str| {
        let (first, num_ws) = (number(first)?, synthesis.num_ws());
        let parts = [
            ws.narrow(1, 0, first)?,
            ws_of("z2")?.narrow(1, first, num_ws - first)?,
        ];
        Tensor::cat(&parts, 1)
    };
    let image = |ws: &Tensor| synthesis.forward(ws, &mut NoiseMode::Const);

    let mut lods = Vec::new();
    for (name, expected) in &case.tensors {
        let what = format!("{} {name}", case.name);
        let check = |got: &Tensor| assert_close(&what, got, expected, FORWARD_TOLERANCE);
        if let Some(lod) = name.strip_prefix("img_lod") {
            let lod = Lod::new(number(lod)?)?;
            let at_lod = generator.at_lod(lod)?;
            let image = at_lod.forward(case.get("z")?, labels, 1., None, &mut NoiseMode::Const)?;
            check(&image);
            let linear = at_lod
                .synthesis()
                .forward_linear(&ws, &mut NoiseMode::Const)?;
            check(&linear);
            lods.push(lod.get());
        } else if let Some(parameters) = name.strip_prefix("w_psi") {
            check(&truncated(parameters)?);
        } else if let Some(parameters) = name.strip_prefix("img_psi") {
            check(&image(&truncated(parameters)?)?);
        } else if let Some(first) = name.strip_prefix("w_mix") {
            check(&mixed(first)?);
        } else if let Some(first) = name.strip_prefix("img_mix") {
            check(&image(&mixed(first)?)?);
        } else if name == "dlatent_avg_after" {
            let Some(beta) = case.params.dlatent_avg_beta else {
                bail!("{}: expected a dlatent_avg_beta", case.name)
            };
            check(&update_w_avg(w_avg()?, &w_of("z")?, beta)?);
        } else {
            match name.as_str() {
                "w" => check(&ws),
                "w2" => check(&ws_of("z2")?),
                "z" | "z2" | "labels" => {}
                name if name.starts_with("G.") => {}
                name => bail!("{}: no check of {name}", case.name),
            }
        }
    }
    lods.sort_by(f64::total_cmp);
    assert_eq!(lods, case.params.lods, "{}", case.name);
    if let Some(layers) = case.params.layers {
        assert_eq!(config.synthesis.num_ws(), layers, "{}", case.name);
    }
    Ok(())
}

#[test]
fn golden_ws_and_images_at_every_lod_f32() -> Result<()> {
    networks(DType::F32)?
        .iter()
        .try_for_each(|network| check(network, DType::F32))
}

#[test]
fn golden_ws_and_images_at_every_lod_f64() -> Result<()> {
    networks(DType::F64)?
        .iter()
        .try_for_each(|network| check(network, DType::F64))
}

#[test]
fn golden_parameters_have_the_names_and_shapes_of_a_new_network() -> Result<()> {
    for network in networks(DType::F32)? {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let params = ParamStore::initialize(DType::F32, device(), &mut rng, |vb| {
            Generator::new(&network.config, vb)
        })?;
        let got: BTreeSet<_> = params
            .iter()
            .map(|(name, var)| (name.to_string(), var.dims().to_vec()))
            .collect();
        let expected: BTreeSet<_> = network
            .parameters
            .into_iter()
            .map(|(name, tensor)| (name, tensor.dims().to_vec()))
            .collect();
        assert_eq!(got, expected, "{}", network.case.name);
    }
    Ok(())
}
