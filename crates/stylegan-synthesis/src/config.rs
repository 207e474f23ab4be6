use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_mapping::MappingConfig;
use stylegan_ops::nn::{Architecture, Pyramid};

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
    /// Bound on the magnitude of activations and of the blocks' image outputs.
    pub conv_clamp: Option<f64>,
    /// Taps of the separable resampling filter.
    pub resample_filter: Vec<f64>,
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
            conv_clamp: Some(256.),
            resample_filter: vec![1., 3., 3., 1.],
        }
    }
}

impl SynthesisConfig {
    /// How many w one picture takes: two per block except the first, whose only convolution takes
    /// one, and one for the last image output; `2 * log2(img_resolution) - 2`.
    pub fn num_ws(&self) -> usize {
        (2 * self.img_resolution.max(4).ilog2() - 2) as usize
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
            _ => Ok(()),
        }
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
}

impl Default for MappingOptions {
    fn default() -> Self {
        let MappingConfig {
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
            ..
        } = MappingConfig::default();
        Self {
            num_layers,
            embed_features,
            layer_features,
            lr_multiplier,
            w_avg,
        }
    }
}

/// Configuration of a [`Generator`](crate::Generator): the width of w is that of `synthesis`.
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
