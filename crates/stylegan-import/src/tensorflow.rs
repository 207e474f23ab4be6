//! Networks of the TensorFlow implementations: their arguments, and the pickles that they were published as.
//!
//! A generator or discriminator is a function of named arguments ([`GeneratorKwargs`],
//! [`DiscriminatorKwargs`]) whose defaults depend on the [`Implementation`]. What a pickle holds is the
//! arguments that were given, and the variables.

use std::collections::{BTreeMap, HashSet};

use candle_core::Tensor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use stylegan_checkpoint::archive::Archive;
use stylegan_checkpoint::pickle::{ReadErrorKind, Value as PickleValue, View};
use stylegan_checkpoint::tensorflow as variables;
use stylegan_discriminator::{DiscriminatorConfig, LabelHead};
use stylegan_mapping::LabelInput;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::{FirstGeneration, FusedScale, Nonlinearity, Scaling};
use stylegan_synthesis::{GeneratorConfig, Layers, MappingOptions, StyledLayers, SynthesisConfig};

use crate::error::{ImportError, Result};
use crate::network::Network;
use crate::public::{self, Hints};
use crate::shapes::{LARGEST_SIZE, Shapes, Tensors, checked_name};
use crate::{Extra, Family, Format, Imported};

/// The learning rate of the generator's mapping network relative to the rest, where it isn't given.
const G_MAPPING_LRMUL: f64 = 0.01;

/// That of the discriminator's, which ADA has for labels.
const D_MAPPING_LRMUL: f64 = 0.1;

/// Arguments by name.
pub type Kwargs = Map<String, Value>;

/// An implementation of the first generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implementation {
    /// StyleGAN.
    StyleGan,
    /// The ProGAN in StyleGAN's repository: the discriminator takes no notice of labels.
    ProGan,
    /// ProGAN's own repository: kernels of fused upsampling convolutions are `[kh, kw, out, in]`, and
    /// the discriminator classifies.
    OriginalProGan,
}

impl Implementation {
    /// ProGAN's or StyleGAN's. Only ProGAN's own repository stores kernels in `[kh, kw, out, in]`.
    pub fn new(is_progan: bool, has_transposed_kernels: bool) -> Self {
        match (has_transposed_kernels, is_progan) {
            (true, _) => Self::OriginalProGan,
            (false, true) => Self::ProGan,
            (false, false) => Self::StyleGan,
        }
    }

    /// How variables are stored.
    pub fn layout(self) -> variables::Layout {
        match self {
            Self::OriginalProGan => variables::Layout::ProGan,
            Self::StyleGan | Self::ProGan => variables::Layout::StyleGan,
        }
    }

    fn is_progan(self) -> bool {
        self != Self::StyleGan
    }
}

/// Arguments of a generator of the first generation.
///
/// Channels at resolution 2^r: `min(fmap_base / 2^(r-1), fmap_max)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorKwargs {
    /// Color channels.
    pub num_channels: usize,
    /// Width and height of an image.
    pub resolution: usize,
    /// Width of a label; 0 without labels.
    pub label_size: usize,
    /// Width of z; where not given, `min(fmap_base, fmap_max)` (ProGAN).
    pub latent_size: Option<usize>,
    /// Width of w.
    pub dlatent_size: usize,
    /// Number of dense layers of the mapping network; 0 for ProGAN.
    pub mapping_layers: usize,
    /// Width between the dense layers of the mapping network.
    pub mapping_fmaps: usize,
    /// Learning rate of the mapping network relative to the rest.
    pub mapping_lrmul: f64,
    /// In the mapping network.
    pub mapping_nonlinearity: Nonlinearity,
    /// Whether z is normalised.
    pub normalize_latents: bool,
    /// Channels at resolution 2.
    pub fmap_base: usize,
    /// The most channels at any resolution.
    pub fmap_max: usize,
    /// Whether layers are modulated by w.
    pub use_styles: bool,
    /// Whether the first layer is a learned constant rather than a dense layer.
    pub const_input_layer: bool,
    /// Whether layers add noise.
    pub use_noise: bool,
    /// In the layers.
    pub nonlinearity: Nonlinearity,
    /// Whether stored weights are scaled by the He constant at run time.
    pub use_wscale: bool,
    /// Whether layers normalise over channels.
    pub use_pixel_norm: bool,
    /// Whether layers normalise over positions.
    pub use_instance_norm: bool,
    /// Whether resampling and convolution are one operation.
    #[serde(deserialize_with = "fused_scale")]
    pub fused_scale: FusedScale,
    /// Taps of the filter behind upsampling convolutions, if any.
    pub blur_filter: Option<Vec<f64>>,
}

impl GeneratorKwargs {
    /// `given` over the defaults of that implementation.
    ///
    /// # Errors
    /// If an argument has another type, or is a size beyond that of any network. Arguments that the
    /// structure doesn't have are passed over: they don't change what a trained network computes.
    pub fn new(implementation: Implementation, given: &Kwargs) -> candle_core::Result<Self> {
        let progan = implementation.is_progan();
        let defaults = Self {
            num_channels: 3,
            resolution: 1024,
            label_size: 0,
            latent_size: if progan { None } else { Some(512) },
            dlatent_size: 512,
            mapping_layers: if progan { 0 } else { 8 },
            mapping_fmaps: 512,
            mapping_lrmul: 0.01,
            mapping_nonlinearity: Nonlinearity::Lrelu,
            normalize_latents: true,
            fmap_base: 8192,
            fmap_max: 512,
            use_styles: !progan,
            const_input_layer: !progan,
            use_noise: !progan,
            nonlinearity: Nonlinearity::Lrelu,
            use_wscale: true,
            use_pixel_norm: progan,
            use_instance_norm: !progan,
            fused_scale: default_fused_scale(implementation),
            blur_filter: default_blur_filter(implementation),
        };
        over_defaults(defaults, given)
    }

    /// Width of z.
    pub fn z_dim(&self) -> usize {
        self.latent_size
            .unwrap_or(self.fmap_base.min(self.fmap_max))
    }

    /// Our configuration of the network that these arguments make.
    pub fn config(&self, implementation: Implementation) -> GeneratorConfig {
        let preset = match implementation {
            Implementation::StyleGan => GeneratorConfig::stylegan1(),
            Implementation::ProGan | Implementation::OriginalProGan => GeneratorConfig::progan(),
        };
        let has_mapping = self.mapping_layers > 0;
        let w_dim = match has_mapping {
            true => self.dlatent_size,
            false => self.z_dim() + self.label_size,
        };
        GeneratorConfig {
            z_dim: self.z_dim(),
            c_dim: self.label_size,
            mapping: MappingOptions {
                num_layers: self.mapping_layers,
                layer_features: (has_mapping && self.mapping_fmaps != w_dim)
                    .then_some(self.mapping_fmaps),
                lr_multiplier: self.mapping_lrmul,
                scaling: Scaling::Weight {
                    nonlinearity: self.mapping_nonlinearity,
                    use_wscale: self.use_wscale,
                },
                normalize_latents: self.normalize_latents,
                ..preset.mapping
            },
            synthesis: SynthesisConfig {
                w_dim,
                img_resolution: self.resolution,
                img_channels: self.num_channels,
                channel_base: 2 * self.fmap_base,
                channel_max: self.fmap_max,
                layers: Layers::Styled(StyledLayers {
                    use_styles: self.use_styles,
                    use_noise: self.use_noise,
                    use_instance_norm: self.use_instance_norm,
                    use_pixel_norm: self.use_pixel_norm,
                    const_input_layer: self.const_input_layer,
                    convolution: FirstGeneration {
                        nonlinearity: self.nonlinearity,
                        use_wscale: self.use_wscale,
                        blur_filter: self.blur_filter.clone().unwrap_or_default(),
                        fused_scale: self.fused_scale,
                    },
                }),
                ..preset.synthesis
            },
        }
    }
}

/// Arguments of a discriminator of the first generation.
///
/// Channels at resolution 2^r: `min(fmap_base / 2^(r-1), fmap_max)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiscriminatorKwargs {
    /// Color channels.
    pub num_channels: usize,
    /// Width and height of an image.
    pub resolution: usize,
    /// Width of a label; 0 without labels.
    pub label_size: usize,
    /// Channels at resolution 2.
    pub fmap_base: usize,
    /// The most channels at any resolution.
    pub fmap_max: usize,
    /// In the layers.
    pub nonlinearity: Nonlinearity,
    /// Whether stored weights are scaled by the He constant at run time.
    pub use_wscale: bool,
    /// Pictures per group of the minibatch standard deviation; 0 without it.
    pub mbstd_group_size: usize,
    /// Channels that the minibatch standard deviation appends.
    pub mbstd_num_features: usize,
    /// Whether resampling and convolution are one operation.
    #[serde(deserialize_with = "fused_scale")]
    pub fused_scale: FusedScale,
    /// Taps of the filter before downsampling convolutions, if any.
    pub blur_filter: Option<Vec<f64>>,
}

impl DiscriminatorKwargs {
    /// `given` over the defaults of that implementation.
    ///
    /// # Errors
    /// As for [`GeneratorKwargs::new`].
    pub fn new(implementation: Implementation, given: &Kwargs) -> candle_core::Result<Self> {
        let defaults = Self {
            num_channels: 3,
            resolution: 1024,
            label_size: 0,
            fmap_base: 8192,
            fmap_max: 512,
            nonlinearity: Nonlinearity::Lrelu,
            use_wscale: true,
            mbstd_group_size: 4,
            mbstd_num_features: 1,
            fused_scale: default_fused_scale(implementation),
            blur_filter: default_blur_filter(implementation),
        };
        over_defaults(defaults, given)
    }

    /// Our configuration of the network that these arguments make.
    pub fn config(&self, implementation: Implementation) -> DiscriminatorConfig {
        let has_mbstd = self.mbstd_group_size > 1;
        let (family, c_dim) = match implementation {
            Implementation::StyleGan => (DiscriminatorConfig::stylegan1(), self.label_size),
            Implementation::OriginalProGan => (DiscriminatorConfig::progan(), self.label_size),
            Implementation::ProGan => (DiscriminatorConfig::progan(), 0),
        };
        DiscriminatorConfig {
            c_dim,
            img_resolution: self.resolution,
            img_channels: self.num_channels,
            channel_base: 2 * self.fmap_base,
            channel_max: self.fmap_max,
            first_generation: Some(FirstGeneration {
                nonlinearity: self.nonlinearity,
                use_wscale: self.use_wscale,
                blur_filter: self.blur_filter.clone().unwrap_or_default(),
                fused_scale: self.fused_scale,
            }),
            mbstd_group_size: Some(self.mbstd_group_size.max(1)),
            mbstd_num_channels: if has_mbstd {
                self.mbstd_num_features
            } else {
                0
            },
            ..family
        }
    }
}

fn default_fused_scale(implementation: Implementation) -> FusedScale {
    match implementation.is_progan() {
        true => FusedScale::On,
        false => FusedScale::Auto,
    }
}

fn default_blur_filter(implementation: Implementation) -> Option<Vec<f64>> {
    (!implementation.is_progan()).then(|| vec![1., 2., 1.])
}

/// A truth value, `auto`, or one of our own names.
fn fused_scale<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<FusedScale, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(FusedScale::Auto),
        Value::Bool(true) => Ok(FusedScale::On),
        Value::Bool(false) => Ok(FusedScale::Off),
        Value::String(text) if text == "auto" => Ok(FusedScale::Auto),
        Value::String(text) if text == "on" => Ok(FusedScale::On),
        Value::String(text) if text == "off" => Ok(FusedScale::Off),
        other => Err(serde::de::Error::custom(format!(
            "fused_scale: expected true, false or \"auto\", got {other}"
        ))),
    }
}

fn over_defaults<T: Serialize + DeserializeOwned>(
    defaults: T,
    given: &Kwargs,
) -> candle_core::Result<T> {
    let wrong = |what: String| candle_core::Error::Msg(format!("arguments of a network: {what}"));
    let merge = || -> serde_json::Result<T> {
        let mut merged: Kwargs = serde_json::from_value(serde_json::to_value(defaults)?)?;
        for (name, value) in given {
            merged.insert(name.clone(), value.clone());
        }
        serde_json::from_value(Value::Object(merged))
    };
    for (name, value) in given {
        if value
            .as_u64()
            .is_some_and(|size| size > LARGEST_SIZE as u64)
        {
            return Err(wrong(format!(
                "{name}: expected at most {LARGEST_SIZE}, got {value}"
            )));
        }
    }
    merge().map_err(|error| wrong(error.to_string()))
}

/// One network of a pickle.
struct Pickled {
    name: &'static str,
    kwargs: Kwargs,
    variables: Tensors,
    /// Whether it is of ProGAN's own repository.
    is_original: bool,
}

/// Whether a value is a network of the TensorFlow tools.
pub(crate) fn is_network(value: &View) -> bool {
    value.object().is_some()
        && matches!(value.callee(), Some((module, "Network")) if {
            let last = module.rsplit('.').next();
            matches!(last, Some("network" | "tfutil" | "tfutils"))
        })
}

/// The networks of a file whose root is a tuple of them, (G, D, Gs), or one alone.
pub(crate) fn import(archive: &Archive) -> Result<Imported> {
    let root = archive.root();
    let roots = match is_network(&root) {
        true => vec![root],
        false => root.elements()?,
    };
    let names: &[&'static str] = match roots.len() {
        1 => &["Gs"],
        3 => &["G", "D", "Gs"],
        n => {
            let found = format!("{n} TensorFlow networks, not the usual three: G, D and Gs");
            return Err(ImportError::no_network(found));
        }
    };
    let mut networks = BTreeMap::new();
    for (&name, value) in names.iter().zip(roots) {
        let value = value.named(name);
        networks.insert(name, Pickled::new(archive, name, &value)?);
    }
    let family = networks.values().find_map(Pickled::family);
    let family =
        family.ok_or_else(|| ImportError::no_network("TensorFlow networks of another kind"))?;

    let mut notes = Vec::new();
    let generator = |name: &str, notes: &mut Vec<String>| {
        let network = networks.get(name)?;
        Some(match family {
            Family::StyleGan2 => network.stylegan2_generator(notes),
            _ => network.first_generator(family, notes),
        })
    };
    let g_ema = generator("Gs", &mut notes).transpose()?;
    let g = generator("G", &mut notes).transpose()?;
    let d = networks.get("D").map(|network| match family {
        Family::StyleGan2 => network.stylegan2_discriminator(&mut notes),
        _ => network.first_discriminator(family),
    });
    let d = d.transpose()?;
    if archive.trailing_bytes() > 0 {
        let bytes = archive.trailing_bytes();
        notes.push(format!("{bytes} bytes behind the pickle were passed over"));
    }
    let is_original = networks.values().any(|network| network.is_original);
    let extras = networks.values().map(|network| Extra {
        name: format!("{} arguments", network.name),
        content: Value::Object(network.kwargs.clone()),
    });
    Ok(Imported {
        family,
        format: Format::TensorFlow,
        origin: match (family, is_original) {
            (Family::StyleGan2, _) => "the StyleGAN2 tools in TensorFlow",
            (Family::StyleGan, _) => "the StyleGAN tools in TensorFlow",
            (Family::ProGan, true) => "the ProGAN tools in TensorFlow",
            (Family::ProGan, false) => "ProGAN in the StyleGAN tools in TensorFlow",
        }
        .to_string(),
        g,
        d,
        g_ema,
        extras: extras.collect(),
        notes,
    })
}

impl Pickled {
    fn new(archive: &Archive, name: &'static str, value: &View) -> Result<Self> {
        if !is_network(value) {
            return Err(value.expected("a TensorFlow network").into());
        }
        let state = value
            .state()
            .ok_or_else(|| value.expected("a network with a state"))?;
        let kwargs = state.field("static_kwargs")?.named(name).items()?;
        let kwargs = kwargs
            .into_iter()
            .map(|(name, value)| Ok((checked_name(name.to_string())?, value.to_json())));
        let kwargs = kwargs.collect::<Result<Kwargs>>()?;
        let mut variables = Tensors::new();
        collect(archive, &state, "", &mut HashSet::new(), &mut variables)?;
        let module = value.callee().map_or("", |(module, _)| module);
        Ok(Self {
            name,
            kwargs,
            variables,
            is_original: module.starts_with("tfutil"),
        })
    }

    /// Discriminators of ProGAN and StyleGAN look the same: only generators tell, and all of StyleGAN2.
    fn family(&self) -> Option<Family> {
        let has = |part: &str| self.variables.keys().any(|name| name.contains(part));
        if has("/mod_weight") || has("Output/weight") {
            Some(Family::StyleGan2)
        } else if has("G_synthesis/") {
            Some(Family::StyleGan)
        } else if has("ToRGB_lod") {
            Some(Family::ProGan)
        } else {
            None
        }
    }

    fn error(&self, problem: impl Into<String>) -> ImportError {
        ImportError::network(self.name, problem)
    }

    fn resolution(&self) -> Result<usize> {
        let resolution = variables::resolution(&self.variables);
        resolution.map_err(|source| ImportError::tensors(self.name, source))
    }

    /// Where the network stands in its growth.
    fn lod(&self) -> Result<Lod> {
        // G assigns its own to that of its synthesis network before every run.
        match self.variables.get("lod") {
            Some(lod) => {
                let lod = lod
                    .to_dtype(candle_core::DType::F64)?
                    .flatten_all()?
                    .to_vec1()?;
                let lod = lod.first().copied().unwrap_or(0.);
                Lod::new(lod).map_err(|error| self.error(error.to_string()))
            }
            None => Ok(Lod::FULL),
        }
    }

    fn implementation(&self, family: Family) -> Implementation {
        Implementation::new(family == Family::ProGan, self.is_original)
    }

    fn growing(&self, notes: &mut Vec<String>) -> Result<Lod> {
        let lod = self.lod()?;
        if lod != Lod::FULL {
            notes.push(format!(
                "{}: still growing, at lod {lod}: pictures have {} pixels a side",
                self.name,
                lod.resolution(self.resolution()?)
            ));
        }
        Ok(lod)
    }

    fn first_generator(
        &self,
        family: Family,
        notes: &mut Vec<String>,
    ) -> Result<Network<GeneratorConfig>> {
        let implementation = self.implementation(family);
        let resolution = self.resolution()?;
        let mut kwargs = GeneratorKwargs::new(implementation, &self.kwargs)?;
        // Counted rather than claimed.
        let layer = |i: &usize| {
            self.variables
                .contains_key(&format!("G_mapping/Dense{i}/weight"))
        };
        kwargs.mapping_layers = (0..self.variables.len()).take_while(layer).count();
        kwargs.resolution = resolution;
        if self
            .variables
            .keys()
            .any(|name| name.ends_with("/Conv0/weight"))
        {
            kwargs.fused_scale = FusedScale::Off;
        }
        let mut config = kwargs.config(implementation);
        config.mapping.w_avg = self.variables.contains_key("dlatent_avg");
        let mut without_copies = self.variables.clone();
        without_copies.remove("G_synthesis/lod");
        let tensors = variables::generator(&without_copies, resolution, implementation.layout())
            .map_err(|source| ImportError::tensors(self.name, source))?;
        Network::new(self.name, config, tensors, self.growing(notes)?)
    }

    fn first_discriminator(&self, family: Family) -> Result<Network<DiscriminatorConfig>> {
        let implementation = self.implementation(family);
        let resolution = self.resolution()?;
        let mut kwargs = DiscriminatorKwargs::new(implementation, &self.kwargs)?;
        kwargs.resolution = resolution;
        let config = kwargs.config(implementation);
        let tensors = variables::discriminator(&self.variables, resolution)
            .map_err(|source| ImportError::tensors(self.name, source))?;
        Network::new(self.name, config, tensors, self.lod()?)
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.kwargs.get(name)?.as_u64()?.try_into().ok()
    }

    /// What StyleGAN2's variables don't tell.
    fn hints(&self) -> Result<Hints> {
        for name in ["nonlinearity", "act", "mapping_nonlinearity"] {
            match self.kwargs.get(name).and_then(Value::as_str) {
                None | Some("lrelu") => {}
                Some(other) => {
                    return Err(self.error(format!("expected {name} lrelu, found {other:?}")));
                }
            }
        }
        let number = |name: &str| self.kwargs.get(name).and_then(Value::as_f64);
        let has = |name: &str| self.variables.contains_key(name);
        // Labels are embedded since ADA, in both networks.
        let is_embedding = has("G_mapping/LabelEmbed/weight") || has("LabelEmbed/weight");
        let usual_lr_multiplier = match has("Mapping0/weight") {
            true => D_MAPPING_LRMUL,
            false => G_MAPPING_LRMUL,
        };
        let resample_filter = match self.kwargs.get("resample_kernel") {
            None => vec![1., 3., 3., 1.],
            Some(taps) => Vec::<f64>::deserialize(taps)
                .map_err(|error| self.error(format!("resample_kernel: {error}")))?,
        };
        Ok(Hints {
            channels: self
                .number("fmap_base")
                .zip(self.number("fmap_max"))
                .and_then(|(base, max)| Some((base.checked_mul(2)?, max))),
            conv_clamp: number("conv_clamp"),
            lr_multiplier: number("mapping_lrmul").unwrap_or(usual_lr_multiplier),
            label_input: match is_embedding {
                true => LabelInput::Embed,
                false => LabelInput::Matrix,
            },
            label_head: match self.number("label_size") {
                Some(1..) if !is_embedding => LabelHead::Product,
                _ => LabelHead::Projection,
            },
            normalize_latents: self
                .kwargs
                .get("normalize_latents")
                .and_then(Value::as_bool)
                != Some(false),
            mbstd_group_size: match self.kwargs.get("mbstd_group_size") {
                Some(Value::Null) => None,
                _ => Some(self.number("mbstd_group_size").unwrap_or(4).max(1)),
            },
            resample_filter: Some(resample_filter),
        })
    }

    /// Most of StyleGAN2 doesn't grow, but keeps the variable. The networks between StyleGAN and StyleGAN2 are those
    /// of one architecture when they are grown, and of none before.
    fn check_lod(&self, notes: &mut Vec<String>) -> Result<()> {
        let (name, lod) = (self.name, self.lod()?);
        let growing = ["G_synthesis/ToRGB_lod", "FromRGB_lod"];
        let grows = |variable: &String| growing.iter().any(|start| variable.starts_with(start));
        match (self.variables.keys().any(grows), lod == Lod::FULL) {
            (true, true) => notes.push(format!(
                "{name}: of configuration B, C or D, which grow: the image layers of lower resolutions were left out"
            )),
            (true, false) => {
                let problem = format!(
                    "expected a grown network, since those of configuration B, C or D are read at full resolution only, found one at lod {lod}"
                );
                return Err(self.error(problem));
            }
            (false, true) => {}
            (false, false) => notes.push(format!(
                "{name}: lod {lod} was passed over, since StyleGAN2 doesn't grow"
            )),
        }
        Ok(())
    }

    fn shapes<'a>(&self, tensors: &'a Tensors) -> Shapes<'a> {
        Shapes {
            network: self.name,
            tensors,
        }
    }

    fn stylegan2_generator(&self, notes: &mut Vec<String>) -> Result<Network<GeneratorConfig>> {
        self.check_lod(notes)?;
        let mut own = self.variables.clone();
        own.remove("G_synthesis/lod");
        let tensors = variables::stylegan2_generator(&own, self.resolution()?)
            .map_err(|source| ImportError::tensors(self.name, source))?;
        let config = public::generator_config(&self.shapes(&tensors), &self.hints()?)?;
        Network::new(self.name, config, tensors, Lod::FULL)
    }

    fn stylegan2_discriminator(
        &self,
        notes: &mut Vec<String>,
    ) -> Result<Network<DiscriminatorConfig>> {
        self.check_lod(notes)?;
        let tensors = variables::stylegan2_discriminator(&self.variables, self.resolution()?)
            .map_err(|source| ImportError::tensors(self.name, source))?;
        let config = public::discriminator_config(&self.shapes(&tensors), &self.hints()?)?;
        Network::new(self.name, config, tensors, Lod::FULL)
    }
}

/// The variables of a network and its components, by the names that they had in the graph.
fn collect(
    archive: &Archive,
    state: &View,
    prefix: &str,
    seen: &mut HashSet<u32>,
    variables: &mut Tensors,
) -> Result<()> {
    // Networks have one level of components. More would be harmless, but the same ones again and again not.
    if let PickleValue::Node(node) = state.value()
        && !seen.insert(node)
    {
        let message =
            "expected components of their own, found one that is used twice or contains itself";
        return Err(state.error(ReadErrorKind::Damaged, message).into());
    }
    for variable in state.field("variables")?.elements()? {
        let parts = variable.elements()?;
        let [name, value] = &parts[..] else {
            return Err(variable.expected("a name and a value").into());
        };
        let name = checked_name(format!("{prefix}{}", name.to_text()?))?;
        let value = value.clone().named(format!("{}.{name}", state.path()));
        let array = archive
            .tensor(&value)?
            .ok_or_else(|| value.expected("an array"))?;
        let array: Tensor = archive.load(&array)?;
        if variables.insert(name, array).is_some() {
            return Err(value
                .error(ReadErrorKind::Damaged, "expected one value, found two")
                .into());
        }
    }
    let Some(components) = state.get("components") else {
        return Ok(());
    };
    for (name, component) in components.named(state.path()).items()? {
        let inner = component.state().filter(|_| is_network(&component));
        let inner = inner.ok_or_else(|| component.expected("a TensorFlow network"))?;
        collect(
            archive,
            &inner,
            &checked_name(format!("{prefix}G_{name}/"))?,
            seen,
            variables,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Result;
    use serde_json::json;

    use super::*;

    fn generator(implementation: Implementation, given: Value) -> Result<GeneratorKwargs> {
        GeneratorKwargs::new(implementation, given.as_object().unwrap())
    }

    #[test]
    fn arguments_that_are_not_given_have_the_defaults_of_the_implementation() -> Result<()> {
        let stylegan = generator(Implementation::StyleGan, json!({ "fmap_base": 64 }))?;
        assert_eq!((stylegan.fmap_base, stylegan.fmap_max), (64, 512));
        assert_eq!(stylegan.z_dim(), 512);
        assert_eq!(stylegan.mapping_layers, 8);
        assert_eq!(stylegan.fused_scale, FusedScale::Auto);
        assert_eq!(stylegan.blur_filter, Some(vec![1., 2., 1.]));
        let progan = generator(Implementation::ProGan, json!({ "fmap_base": 64 }))?;
        assert_eq!((progan.z_dim(), progan.mapping_layers), (64, 0));
        assert_eq!(progan.fused_scale, FusedScale::On);
        assert_eq!(progan.blur_filter, None);
        let d = DiscriminatorKwargs::new(Implementation::OriginalProGan, &Kwargs::new())?;
        assert_eq!((d.mbstd_group_size, d.mbstd_num_features), (4, 1));
        assert_eq!((d.fused_scale, d.blur_filter), (FusedScale::On, None));
        Ok(())
    }

    #[test]
    fn given_arguments_win_and_unknown_ones_are_passed_over() -> Result<()> {
        let given = json!({
            "blur_filter": null,
            "fused_scale": false,
            "latent_size": 12,
            "use_pixel_norm": false,
            "style_mixing_prob": null,
        });
        let kwargs = generator(Implementation::ProGan, given)?;
        assert_eq!(
            (kwargs.fused_scale, kwargs.blur_filter.as_ref()),
            (FusedScale::Off, None)
        );
        assert_eq!((kwargs.z_dim(), kwargs.use_pixel_norm), (12, false));
        let kwargs = generator(Implementation::ProGan, json!({ "fused_scale": "auto" }))?;
        assert_eq!(kwargs.fused_scale, FusedScale::Auto);
        Ok(())
    }

    #[test]
    fn an_argument_of_another_type_is_an_error_that_names_it() {
        let error = generator(Implementation::StyleGan, json!({ "fused_scale": "no" }));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("fused_scale: expected true, false or \"auto\", got \"no\""),
            "{error}"
        );
    }

    #[test]
    fn the_published_defaults_are_our_presets() -> Result<()> {
        for (implementation, generator, discriminator) in [
            (
                Implementation::StyleGan,
                GeneratorConfig::stylegan1(),
                DiscriminatorConfig::stylegan1(),
            ),
            (
                Implementation::OriginalProGan,
                GeneratorConfig::progan(),
                DiscriminatorConfig::progan(),
            ),
        ] {
            let kwargs = GeneratorKwargs::new(implementation, &Kwargs::new())?;
            assert_eq!(kwargs.config(implementation), generator);
            let kwargs = DiscriminatorKwargs::new(implementation, &Kwargs::new())?;
            assert_eq!(kwargs.config(implementation), discriminator);
        }
        Ok(())
    }
}
