use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_mapping::MappingConfig;
use stylegan_ops::nn::{Architecture, Pyramid};

/// Configuration of a [`Discriminator`](crate::Discriminator).
///
/// The default is config F of StyleGAN2 at 1024x1024 pixels, with the clamp of later code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorConfig {
    /// Width of the label c; 0 for a network without labels.
    pub c_dim: usize,
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
    /// Bound on the magnitude of activations.
    pub conv_clamp: Option<f64>,
    /// Width of the mapped label; that of the 4x4 block where not given.
    pub cmap_dim: Option<usize>,
    /// Samples per group of the minibatch standard deviation; the whole batch where not given.
    pub mbstd_group_size: Option<usize>,
    /// Feature channels of the minibatch standard deviation; 0 leaves it out.
    pub mbstd_num_channels: usize,
    /// Layers of the label's mapping network.
    pub mapping_layers: usize,
    /// Taps of the separable resampling filter.
    pub resample_filter: Vec<f64>,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self {
            c_dim: 0,
            img_resolution: 1024,
            img_channels: 3,
            channel_base: 32768,
            channel_max: 512,
            architecture: Architecture::Resnet,
            conv_clamp: Some(256.),
            cmap_dim: None,
            mbstd_group_size: Some(4),
            mbstd_num_channels: 1,
            mapping_layers: 8,
            resample_filter: vec![1., 3., 3., 1.],
        }
    }
}

impl DiscriminatorConfig {
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
        let channels = self.channels(4)?;
        match self.conv_clamp {
            Some(clamp) if clamp <= 0. || !clamp.is_finite() => {
                bail!("conv_clamp: expected a positive number or none, got {clamp}")
            }
            _ => {}
        }
        if self.mbstd_group_size == Some(0) {
            bail!("mbstd_group_size: expected at least 1, or none for the whole batch, got 0")
        }
        let features = self.mbstd_num_channels;
        if features > 0 && !channels.is_multiple_of(features) {
            bail!(
                "mbstd_num_channels: expected a divisor of the {channels} channels at 4x4, got \
                 {features}"
            )
        }
        if self.cmap_dim == Some(0) {
            bail!(
                "cmap_dim: expected at least 1, or none for the {channels} channels at 4x4, got 0"
            )
        }
        if self.mapping_layers == 0 {
            bail!("mapping_layers: expected at least 1, got 0")
        }
        Ok(())
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

    /// The mapping network of the labels, where there are any.
    pub(crate) fn mapping_config(&self) -> Result<Option<MappingConfig>> {
        if self.c_dim == 0 {
            return Ok(None);
        }
        let w_dim = match self.cmap_dim {
            Some(cmap_dim) => cmap_dim,
            None => self.channels(4)?,
        };
        Ok(Some(MappingConfig {
            z_dim: 0,
            c_dim: self.c_dim,
            w_dim,
            num_layers: self.mapping_layers,
            w_avg: false,
            ..MappingConfig::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = DiscriminatorConfig::default();
        config.validate().unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<DiscriminatorConfig>(&json).unwrap(),
            config
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        let error = serde_json::from_str::<DiscriminatorConfig>(r#"{"resolution": 64}"#);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("unknown field `resolution`"), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_errors_that_name_them() {
        let ok = DiscriminatorConfig {
            c_dim: 3,
            ..DiscriminatorConfig::default()
        };
        assert!(ok.validate().is_ok());
        type Change = fn(&mut DiscriminatorConfig);
        let cases: [(&str, Change); 9] = [
            ("img_resolution", |c| c.img_resolution = 48),
            ("img_channels", |c| c.img_channels = 2),
            ("channel_base", |c| c.channel_base = 512),
            ("channel_max", |c| c.channel_max = 0),
            ("conv_clamp", |c| c.conv_clamp = Some(0.)),
            ("mbstd_group_size", |c| c.mbstd_group_size = Some(0)),
            ("mbstd_num_channels", |c| c.mbstd_num_channels = 3),
            ("cmap_dim", |c| c.cmap_dim = Some(0)),
            ("mapping_layers", |c| c.mapping_layers = 0),
        ];
        for (name, change) in cases {
            for c_dim in [0, 3] {
                let mut config = DiscriminatorConfig {
                    c_dim,
                    ..ok.clone()
                };
                change(&mut config);
                let error = config.validate().unwrap_err().to_string();
                assert!(error.starts_with(&format!("{name}: expected")), "{error}");
            }
        }
    }
}
