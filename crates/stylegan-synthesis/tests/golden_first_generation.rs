//! The generators of StyleGAN and ProGAN against the reference values of whole networks.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Error, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network, tensorflow};
use stylegan_goldens::tensorflow_kwargs::{GeneratorKwargs, Implementation, Kwargs};
use stylegan_goldens::{Case, assert_close};
use stylegan_mapping::{broadcast, truncate, update_w_avg};
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::{FirstGeneration, FusedScale, Nonlinearity, Scaling};
use stylegan_synthesis::{
    Generator, GeneratorConfig, Layers, MappingOptions, NoiseMode, StyledLayers, SynthesisConfig,
};

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

fn nonlinearity(name: &str) -> Result<Nonlinearity> {
    serde_json::from_value(name.into()).map_err(Error::wrap)
}

/// Our configuration of the network that those arguments make.
fn config(implementation: Implementation, kwargs: &Kwargs) -> Result<GeneratorConfig> {
    let kwargs = GeneratorKwargs::new(implementation, kwargs)?;
    let preset = match implementation {
        Implementation::StyleGan => GeneratorConfig::stylegan1(),
        Implementation::ProGan | Implementation::OriginalProGan => GeneratorConfig::progan(),
    };
    let has_mapping = kwargs.mapping_layers > 0;
    let z_dim = kwargs.z_dim();
    Ok(GeneratorConfig {
        z_dim,
        c_dim: kwargs.label_size,
        mapping: MappingOptions {
            num_layers: kwargs.mapping_layers,
            layer_features: has_mapping.then_some(kwargs.mapping_fmaps),
            lr_multiplier: kwargs.mapping_lrmul,
            scaling: Scaling::Weight {
                nonlinearity: nonlinearity(&kwargs.mapping_nonlinearity)?,
                use_wscale: kwargs.use_wscale,
            },
            normalize_latents: kwargs.normalize_latents,
            ..preset.mapping
        },
        synthesis: SynthesisConfig {
            w_dim: match has_mapping {
                true => kwargs.dlatent_size,
                false => z_dim + kwargs.label_size,
            },
            img_resolution: kwargs.resolution,
            img_channels: kwargs.num_channels,
            channel_base: 2 * kwargs.fmap_base,
            channel_max: kwargs.fmap_max,
            layers: Layers::Styled(StyledLayers {
                use_styles: kwargs.use_styles,
                use_noise: kwargs.use_noise,
                use_instance_norm: kwargs.use_instance_norm,
                use_pixel_norm: kwargs.use_pixel_norm,
                const_input_layer: kwargs.const_input_layer,
                convolution: FirstGeneration {
                    nonlinearity: nonlinearity(&kwargs.nonlinearity)?,
                    use_wscale: kwargs.use_wscale,
                    blur_filter: kwargs.blur_filter.unwrap_or_default(),
                    fused_scale: match kwargs.fused_scale {
                        None => FusedScale::Auto,
                        Some(true) => FusedScale::On,
                        Some(false) => FusedScale::Off,
                    },
                },
            }),
            ..preset.synthesis
        },
    })
}

/// A case, our configuration of its network, and the network's parameters.
struct Network {
    case: Case<Params>,
    config: GeneratorConfig,
    parameters: BTreeMap<String, Tensor>,
}

impl Network {
    fn new(case: Case<Params>) -> Result<Self> {
        let implementation = Implementation::of(&case, &case.params.layout);
        let layout = match implementation {
            Implementation::OriginalProGan => tensorflow::Layout::ProGan,
            Implementation::StyleGan | Implementation::ProGan => tensorflow::Layout::StyleGan,
        };
        let variables = BTreeMap::from_iter(case.with_prefix("G."));
        let resolution = tensorflow::resolution(&variables)?;
        Ok(Self {
            config: config(implementation, &case.params.config)?,
            parameters: tensorflow::generator(&variables, resolution, layout)?,
            case,
        })
    }

    fn generator(&self, dtype: DType) -> Result<Generator> {
        let build = |vb: VarBuilder| Generator::new(&self.config, vb);
        let params = load_network(&self.parameters, dtype, &Device::Cpu, build)?;
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
        let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
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

#[test]
fn the_published_defaults_are_our_presets() -> Result<()> {
    let published = |implementation| {
        let mut config = config(implementation, &Kwargs::new())?;
        // 512 by default, as w is wide.
        config.mapping.layer_features = None;
        Ok::<_, Error>(config)
    };
    assert_eq!(
        published(Implementation::StyleGan)?,
        GeneratorConfig::stylegan1()
    );
    assert_eq!(
        published(Implementation::OriginalProGan)?,
        GeneratorConfig::progan()
    );
    Ok(())
}
