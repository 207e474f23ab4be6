use std::ops::Range;

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_mapping::{LabelInput, MappingConfig, Truncation};
use stylegan_ops::nn::{Architecture, FirstGeneration, Pyramid, Scaling};

/// What a synthesis layer is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// StyleGAN2: the style scales the weights of the convolution, which are demodulated.
    #[default]
    Modulated,
    /// ProGAN and StyleGAN: the convolution's output is normalised, then the style scales and shifts it.
    Styled(StyledLayers),
}

/// The layers of ProGAN and StyleGAN: convolution, noise, bias, activation, normalisation, style.
///
/// The default is StyleGAN's (Karras et al. 2019, figure 1b). The switches have the names of the public
/// tools; the paper's table 1 turns them on one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StyledLayers {
    /// Whether every layer has a style: a scale and a shift per channel, from w.
    pub use_styles: bool,
    /// Whether every layer adds noise, with a strength per channel.
    pub use_noise: bool,
    /// Whether the activations of every channel are normalised; with styles this is AdaIN.
    pub use_instance_norm: bool,
    /// Whether the activations of every pixel are normalised.
    pub use_pixel_norm: bool,
    /// Whether the first layer's input is a learned constant, or a fully connected layer of the first w.
    pub const_input_layer: bool,
    /// The convolutions.
    pub convolution: FirstGeneration,
}

impl Default for StyledLayers {
    fn default() -> Self {
        Self {
            use_styles: true,
            use_noise: true,
            use_instance_norm: true,
            use_pixel_norm: false,
            const_input_layer: true,
            convolution: FirstGeneration::default(),
        }
    }
}

impl StyledLayers {
    /// ProGAN's: no styles, no noise, pixels are normalised, and the latent is the first layer's input.
    pub fn progan() -> Self {
        Self {
            use_styles: false,
            use_noise: false,
            use_instance_norm: false,
            use_pixel_norm: true,
            const_input_layer: false,
            convolution: FirstGeneration::progan(),
        }
    }
}

/// What earlier versions, which have no other, don't find in a file.
fn is_true(value: &bool) -> bool {
    *value
}

/// Configuration of a [`Synthesis`](crate::Synthesis) network.
///
/// The default is config F of StyleGAN2 at 1024x1024 pixels, with the clamp of later code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthesisConfig {
    /// Width of w.
    pub w_dim: usize,
    /// Side of the square images in pixels, a power of two from 4 to 1024.
    pub img_resolution: usize,
    /// Channels of the images: 1, 3 or 4.
    pub img_channels: usize,
    /// The block of resolution r has `min(channel_base / r, channel_max)` channels.
    pub channel_base: usize,
    /// The most channels of a block.
    pub channel_max: usize,
    /// How blocks are joined.
    pub architecture: Architecture,
    /// What a layer is.
    pub layers: Layers,
    /// Bound on the magnitude of activations and of the blocks' image outputs; modulated layers only.
    pub conv_clamp: Option<f64>,
    /// Taps of the separable resampling filter; modulated layers only.
    pub resample_filter: Vec<f64>,
    /// Whether every layer adds noise; modulated layers only, [`StyledLayers`] have a switch of their own.
    #[serde(skip_serializing_if = "is_true")]
    pub use_noise: bool,
}

impl Default for SynthesisConfig {
    fn default() -> Self {
        Self {
            w_dim: 512,
            img_resolution: 1024,
            img_channels: 3,
            channel_base: 32768,
            channel_max: 512,
            architecture: Architecture::Skip,
            layers: Layers::Modulated,
            conv_clamp: Some(256.),
            resample_filter: vec![1., 3., 3., 1.],
            use_noise: true,
        }
    }
}

impl SynthesisConfig {
    /// How many w one picture takes: one for every layer, `2 * log2(img_resolution) - 2`, or a single
    /// one where the layers have no styles.
    pub fn num_ws(&self) -> usize {
        self.ws_at(self.img_resolution.max(4)).end
    }

    /// Which w the layers of a resolution take: what style mixing replaces to change its scale of detail.
    ///
    /// Two for every resolution, except that modulated layers have one at 4x4 and three at the image's own
    /// resolution, where the last is that of its image output. All take the same where there are no styles.
    pub fn ws_at(&self, resolution: usize) -> Range<usize> {
        let first = self.first_w(resolution);
        match &self.layers {
            _ if !self.has_styles() => 0..1,
            Layers::Modulated if resolution == self.img_resolution => {
                first..2 * resolution.ilog2() as usize - 2
            }
            Layers::Modulated => first..self.first_w(2 * resolution),
            Layers::Styled(_) => first..first + 2,
        }
    }

    /// The w of the first layer of a resolution, where every layer takes its own.
    pub(crate) fn first_w(&self, resolution: usize) -> usize {
        let index = resolution.ilog2() as usize - 2;
        match &self.layers {
            // The first block has a single layer.
            Layers::Modulated => (2 * index).saturating_sub(1),
            Layers::Styled(_) => 2 * index,
        }
    }

    /// Whether the layers take a w each.
    pub fn has_styles(&self) -> bool {
        match &self.layers {
            Layers::Modulated => true,
            Layers::Styled(layers) => layers.use_styles,
        }
    }

    /// Whether the layers add noise.
    pub fn has_noise(&self) -> bool {
        match &self.layers {
            Layers::Modulated => self.use_noise,
            Layers::Styled(layers) => layers.use_noise,
        }
    }

    /// Channels of the block of that resolution.
    ///
    /// # Errors
    /// If the configuration is out of range.
    pub fn channels(&self, resolution: usize) -> Result<usize> {
        Ok(self.pyramid()?.channels(resolution))
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        self.pyramid()?;
        if self.w_dim == 0 {
            bail!("w_dim: expected at least 1, got 0")
        }
        match self.conv_clamp {
            Some(clamp) if clamp <= 0. || !clamp.is_finite() => {
                bail!("conv_clamp: expected a positive number or none, got {clamp}")
            }
            _ => {}
        }
        let Layers::Styled(layers) = &self.layers else {
            return Ok(());
        };
        if !self.use_noise {
            bail!(
                "use_noise: expected true for the layers of the first generation, whose own use_noise decides, got false"
            )
        }
        if self.architecture != Architecture::Progressive {
            bail!(
                "architecture: expected progressive for the layers of the first generation, got {:?}",
                self.architecture
            )
        }
        if let Some(clamp) = self.conv_clamp {
            bail!("conv_clamp: expected none for the layers of the first generation, got {clamp}")
        }
        if layers.const_input_layer && !layers.use_styles {
            bail!(
                "const_input_layer: expected false where use_styles is, since nothing would depend on w"
            )
        }
        layers.convolution.validate()
    }

    /// Resolutions and widths of the blocks.
    pub(crate) fn pyramid(&self) -> Result<Pyramid> {
        Pyramid::new(
            self.img_resolution,
            self.img_channels,
            self.channel_base,
            self.channel_max,
        )
    }
}

/// The inner structure of a generator's mapping network; see [`MappingConfig`] for the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingOptions {
    /// Number of fully connected layers.
    pub num_layers: usize,
    /// Width of the embedded label; `w_dim` where not given.
    pub embed_features: Option<usize>,
    /// Width between the layers; `w_dim` where not given.
    pub layer_features: Option<usize>,
    /// Learning rate of the layers relative to the rest of the generator.
    pub lr_multiplier: f64,
    /// Whether a moving average of w is kept, which truncation needs.
    pub w_avg: bool,
    /// Where the gain of the layers is, and their activation.
    pub scaling: Scaling,
    /// How labels enter.
    pub label_input: LabelInput,
    /// Whether the input is normalised to unit mean square.
    pub normalize_latents: bool,
}

impl Default for MappingOptions {
    fn default() -> Self {
        let MappingConfig {
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
            scaling,
            label_input,
            normalize_latents,
            ..
        } = MappingConfig::default();
        Self {
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
            scaling,
            label_input,
            normalize_latents,
        }
    }
}

/// Configuration of a [`Generator`](crate::Generator): the width of w is that of `synthesis`.
///
/// The families are constructors that differ in these fields:
///
/// | | [`progan`](Self::progan) | [`stylegan1`](Self::stylegan1) | [`default`](Self::default): StyleGAN2 |
/// |---|---|---|---|
/// | mapping | none: w is the normalised z | 8 layers | 8 layers |
/// | first input | w | learned constant | learned constant |
/// | layers | pixel norm | noise, AdaIN, blur | modulated weights, noise, FIR filter |
/// | gain of activations | in the weights | in the weights | behind the activation |
/// | image | progressive | progressive | sum of all resolutions (skip) |
/// | labels | beside z | beside z, through a matrix | beside z, embedded and normalised |
///
/// Sources: Karras et al. 2018 (ProGAN), 2019 (StyleGAN), 2020 (StyleGAN2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Width of the latent z.
    pub z_dim: usize,
    /// Width of the label c; 0 for a network without labels.
    pub c_dim: usize,
    /// The mapping network.
    pub mapping: MappingOptions,
    /// The synthesis network.
    pub synthesis: SynthesisConfig,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            z_dim: 512,
            c_dim: 0,
            mapping: MappingOptions::default(),
            synthesis: SynthesisConfig::default(),
        }
    }
}

impl GeneratorConfig {
    /// StyleGAN, the generator F of table 1 of its paper, at 1024x1024 pixels.
    pub fn stylegan1() -> Self {
        Self {
            mapping: MappingOptions {
                scaling: Scaling::FIRST_GENERATION,
                label_input: LabelInput::Matrix,
                ..MappingOptions::default()
            },
            synthesis: SynthesisConfig {
                channel_base: 16384,
                architecture: Architecture::Progressive,
                layers: Layers::Styled(StyledLayers::default()),
                conv_clamp: None,
                ..SynthesisConfig::default()
            },
            ..Self::default()
        }
    }

    /// ProGAN at 1024x1024 pixels.
    ///
    /// With labels, `synthesis.w_dim` is `z_dim + c_dim`.
    pub fn progan() -> Self {
        let stylegan = Self::stylegan1();
        Self {
            mapping: MappingOptions {
                num_layers: 0,
                label_input: LabelInput::Concatenate,
                w_avg: false,
                ..stylegan.mapping
            },
            synthesis: SynthesisConfig {
                layers: Layers::Styled(StyledLayers::progan()),
                ..stylegan.synthesis
            },
            ..stylegan
        }
    }

    /// Width of w.
    pub fn w_dim(&self) -> usize {
        self.synthesis.w_dim
    }

    /// The full configuration of the mapping network.
    pub fn mapping_config(&self) -> MappingConfig {
        let MappingOptions {
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
            scaling,
            label_input,
            normalize_latents,
        } = self.mapping;
        MappingConfig {
            z_dim: self.z_dim,
            c_dim: self.c_dim,
            w_dim: self.synthesis.w_dim,
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
            scaling,
            label_input,
            normalize_latents,
        }
    }

    /// What pictures are made with where nothing else is asked for.
    pub fn truncation(&self) -> Truncation {
        match &self.synthesis.layers {
            Layers::Styled(layers) if layers.use_styles && self.mapping.w_avg => {
                Truncation::STYLEGAN
            }
            _ => Truncation::NONE,
        }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        if self.z_dim == 0 {
            bail!("z_dim: expected at least 1, got 0")
        }
        self.synthesis.validate()?;
        self.mapping_config().validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn num_ws_of_every_resolution() {
        let num_ws = |img_resolution| {
            SynthesisConfig {
                img_resolution,
                ..SynthesisConfig::default()
            }
            .num_ws()
        };
        let got = [4, 8, 16, 32, 64, 128, 256, 512, 1024].map(num_ws);
        assert_eq!(got, [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    }

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = GeneratorConfig::default();
        config.validate().unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<GeneratorConfig>(&json).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        let json = r#"{"synthesis": {"resolution": 64}}"#;
        let error = serde_json::from_str::<GeneratorConfig>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `resolution`"), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_errors_that_name_them() {
        let ok = SynthesisConfig::default();
        let cases = [
            (
                SynthesisConfig {
                    w_dim: 0,
                    ..ok.clone()
                },
                "w_dim",
            ),
            (
                SynthesisConfig {
                    img_resolution: 100,
                    ..ok.clone()
                },
                "img_resolution",
            ),
            (
                SynthesisConfig {
                    img_resolution: 0,
                    ..ok.clone()
                },
                "img_resolution",
            ),
            (
                SynthesisConfig {
                    img_channels: 2,
                    ..ok.clone()
                },
                "img_channels",
            ),
            (
                SynthesisConfig {
                    channel_base: 512,
                    ..ok.clone()
                },
                "channel_base",
            ),
            (
                SynthesisConfig {
                    channel_max: 0,
                    ..ok.clone()
                },
                "channel_max",
            ),
            (
                SynthesisConfig {
                    conv_clamp: Some(-1.),
                    ..ok.clone()
                },
                "conv_clamp",
            ),
        ];
        for (synthesis, name) in cases {
            let config = GeneratorConfig {
                synthesis,
                ..GeneratorConfig::default()
            };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
        let config = GeneratorConfig {
            z_dim: 0,
            ..GeneratorConfig::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("z_dim")
        );
    }
}
