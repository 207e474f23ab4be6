use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_mapping::MappingConfig;
use stylegan_ops::Filter;
use stylegan_ops::nn::{Architecture, Conv2dConfig, FirstGeneration, Pyramid, Resampling, Scaling};

use crate::LabelHead;

/// That of mapping networks where nothing else is asked for.
const USUAL_LR_MULTIPLIER: f64 = 0.01;

/// What earlier versions, which have no other, don't find in a file.
fn is_usual_lr_multiplier(multiplier: &f64) -> bool {
    *multiplier == USUAL_LR_MULTIPLIER
}

/// Configuration of a [`Discriminator`](crate::Discriminator).
///
/// The default is config F of StyleGAN2 at 1024x1024 pixels, with the clamp of later code;
/// [`stylegan1`](Self::stylegan1) and [`progan`](Self::progan) are the networks before it. What the
/// families differ in is the value of `architecture`, `first_generation`, `pool_after_activation` and
/// `label_head`:
///
/// | | StyleGAN2 | StyleGAN | ProGAN |
/// |---|---|---|---|
/// | blocks | residual | progressive | progressive |
/// | gain of a leaky ReLU | behind it | in the weight | in the weight |
/// | going down | FIR filter | blur, mean of 2x2 pixels | mean of 2x2 pixels |
/// | the mean is taken | | before the bias | behind the activation, if not fused |
/// | width of `b4.fc` | `channels(4)` | `channels(2)` | `channels(2)` |
/// | labels | projection | product | classifier |
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
    /// The layers of ProGAN and StyleGAN, in the progressive architecture only; StyleGAN2's where not given.
    pub first_generation: Option<FirstGeneration>,
    /// Whether the mean of 2x2 pixels is taken behind the activation rather than before the bias, at resolutions
    /// where `first_generation` does not fuse it with the convolution.
    pub pool_after_activation: bool,
    /// Width between the two fully connected layers; where not given, `channels(4)`, or `channels(2)` in the first
    /// generation. The TensorFlow networks of StyleGAN2 have the latter, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fc_features: Option<usize>,
    /// Bound on the magnitude of activations; none in the first generation.
    pub conv_clamp: Option<f64>,
    /// What labels have to do with the logits.
    pub label_head: LabelHead,
    /// Width of the mapped label in a projection; that of the 4x4 block where not given.
    pub cmap_dim: Option<usize>,
    /// Samples per group of the minibatch standard deviation; the whole batch where not given.
    pub mbstd_group_size: Option<usize>,
    /// Feature channels of the minibatch standard deviation; 0 leaves it out.
    pub mbstd_num_channels: usize,
    /// Layers of the label's mapping network in a projection; with none, the label is only embedded.
    pub mapping_layers: usize,
    /// Learning rate of these layers relative to the rest of the discriminator.
    #[serde(skip_serializing_if = "is_usual_lr_multiplier")]
    pub mapping_lr_multiplier: f64,
    /// Taps of the separable resampling filter; the first generation has a blur of its own instead.
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
            first_generation: None,
            pool_after_activation: false,
            fc_features: None,
            conv_clamp: Some(256.),
            label_head: LabelHead::Projection,
            cmap_dim: None,
            mbstd_group_size: Some(4),
            mbstd_num_channels: 1,
            mapping_layers: 8,
            mapping_lr_multiplier: USUAL_LR_MULTIPLIER,
            resample_filter: vec![1., 3., 3., 1.],
        }
    }
}

impl DiscriminatorConfig {
    /// The discriminator of StyleGAN at 1024x1024 pixels (Karras et al. 2019, appendix C).
    pub fn stylegan1() -> Self {
        Self {
            channel_base: 16384,
            architecture: Architecture::Progressive,
            first_generation: Some(FirstGeneration::default()),
            conv_clamp: None,
            label_head: LabelHead::Product,
            ..Self::default()
        }
    }

    /// The discriminator of ProGAN at 1024x1024 pixels (Karras et al. 2018, table 2): StyleGAN's without
    /// the blur, and labels are predicted instead of given.
    pub fn progan() -> Self {
        Self {
            first_generation: Some(FirstGeneration::progan()),
            pool_after_activation: true,
            label_head: LabelHead::Classifier,
            ..Self::stylegan1()
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
        let channels = self.channels(4)?;
        match self.conv_clamp {
            Some(clamp) if clamp <= 0. || !clamp.is_finite() => {
                bail!("conv_clamp: expected a positive number or none, got {clamp}")
            }
            Some(clamp) if self.first_generation.is_some() => {
                bail!(
                    "conv_clamp: expected none for the layers of the first generation, got {clamp}"
                )
            }
            _ => {}
        }
        if self.pool_after_activation && self.first_generation.is_none() {
            bail!("pool_after_activation: expected false without first_generation, got true")
        }
        if let Some(first_generation) = &self.first_generation {
            if self.architecture != Architecture::Progressive {
                bail!(
                    "architecture: expected progressive for the layers of the first generation, got {:?}",
                    self.architecture
                )
            }
            first_generation.validate()?;
            let blur = &first_generation.blur_filter;
            if self.pool_after_activation && !blur.is_empty() {
                bail!("blur_filter: expected no taps with pool_after_activation, got {blur:?}")
            }
        }
        if self.fc_features == Some(0) {
            bail!("fc_features: expected at least 1, or none for the usual width, got 0")
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
        let lr_multiplier = self.mapping_lr_multiplier;
        if !(lr_multiplier.is_finite() && lr_multiplier > 0.) {
            bail!("mapping_lr_multiplier: expected a positive number, got {lr_multiplier}")
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

    /// A convolution with the activation, and the gain where this generation has it.
    pub(crate) fn nonlinear_conv(
        &self,
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
    ) -> Conv2dConfig {
        let scaling = self.scaling();
        Conv2dConfig {
            act: scaling.act().with_clamp(self.conv_clamp),
            scale: scaling.nonlinear(),
            ..Conv2dConfig::new(in_channels, out_channels, kernel_size)
        }
    }

    /// Where the layers have their gain, and the activation.
    pub(crate) fn scaling(&self) -> Scaling {
        match &self.first_generation {
            Some(first_generation) => first_generation.scaling(),
            None => Scaling::Activation,
        }
    }

    /// How the block of that resolution goes down.
    pub(crate) fn resampling(&self, resolution: usize) -> Result<Resampling> {
        match &self.first_generation {
            Some(first_generation) => first_generation.resampling(resolution),
            None => Ok(Resampling::Fir(self.filter()?)),
        }
    }

    /// Whether the block of that resolution goes down in a step of its own, behind the activation.
    pub(crate) fn pools_activations(&self, resolution: usize) -> bool {
        let unfused = |first: &FirstGeneration| !first.fused_scale.at(resolution);
        self.pool_after_activation && self.first_generation.as_ref().is_some_and(unfused)
    }

    /// Width between the two fully connected layers at the end.
    pub(crate) fn fc_features(&self, pyramid: &Pyramid) -> usize {
        match (self.fc_features, &self.first_generation) {
            (Some(features), _) => features,
            // One step further in the series of the blocks' widths.
            (None, Some(_)) => pyramid.channels(2),
            (None, None) => pyramid.channels(4),
        }
    }

    /// StyleGAN2's resampling filter.
    pub(crate) fn filter(&self) -> Result<Filter> {
        Filter::separable(&self.resample_filter)
    }

    /// The mapping network of the labels that are projected on.
    pub(crate) fn mapping_config(&self) -> Result<MappingConfig> {
        let w_dim = match self.cmap_dim {
            Some(cmap_dim) => cmap_dim,
            None => self.channels(4)?,
        };
        Ok(MappingConfig {
            z_dim: 0,
            c_dim: self.c_dim,
            w_dim,
            num_layers: self.mapping_layers,
            lr_multiplier: self.mapping_lr_multiplier,
            w_avg: false,
            ..MappingConfig::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_of_the_papers_are_valid_and_survive_json() {
        for config in [
            DiscriminatorConfig::default(),
            DiscriminatorConfig::stylegan1(),
            DiscriminatorConfig::progan(),
        ] {
            config.validate().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(
                serde_json::from_str::<DiscriminatorConfig>(&json).unwrap(),
                config
            );
        }
    }

    #[test]
    fn the_first_generation_has_the_widths_of_the_paper() {
        for config in [
            DiscriminatorConfig::stylegan1(),
            DiscriminatorConfig::progan(),
        ] {
            let pyramid = config.pyramid().unwrap();
            let widths = [4, 32, 64, 128, 1024].map(|r| pyramid.channels(r));
            assert_eq!(widths, [512, 512, 256, 128, 16]);
            assert_eq!(config.fc_features(&pyramid), 512);
        }
        let narrow = DiscriminatorConfig {
            channel_base: 64,
            img_resolution: 16,
            ..DiscriminatorConfig::stylegan1()
        };
        let pyramid = narrow.pyramid().unwrap();
        assert_eq!(narrow.fc_features(&pyramid), 32);
        let stylegan2 = DiscriminatorConfig {
            first_generation: None,
            ..narrow
        };
        assert_eq!(stylegan2.fc_features(&pyramid), 16);
        let given = DiscriminatorConfig {
            fc_features: Some(7),
            ..stylegan2
        };
        assert_eq!(given.fc_features(&pyramid), 7);
    }

    #[test]
    fn a_configuration_from_before_the_first_generation_is_stylegan2s() {
        let config: DiscriminatorConfig = serde_json::from_str(r#"{"c_dim": 3}"#).unwrap();
        assert_eq!(config.first_generation, None);
        assert_eq!(config.label_head, LabelHead::Projection);
    }

    #[test]
    fn the_first_generation_is_progressive_and_has_no_clamp() {
        let error = |config: DiscriminatorConfig| config.validate().unwrap_err().to_string();
        for architecture in [Architecture::Skip, Architecture::Resnet, Architecture::Orig] {
            let error = error(DiscriminatorConfig {
                architecture,
                ..DiscriminatorConfig::stylegan1()
            });
            let message = format!(
                "architecture: expected progressive for the layers of the first generation, got {architecture:?}"
            );
            assert!(error.starts_with(&message), "{error}");
        }
        let clamped = DiscriminatorConfig {
            conv_clamp: Some(256.),
            ..DiscriminatorConfig::progan()
        };
        let error_of_clamp = error(clamped);
        let message = "conv_clamp: expected none for the layers of the first generation, got 256";
        assert!(error_of_clamp.starts_with(message), "{error_of_clamp}");
        let blurred = DiscriminatorConfig {
            pool_after_activation: true,
            ..DiscriminatorConfig::stylegan1()
        };
        let error_of_blur = error(blurred);
        let message =
            "blur_filter: expected no taps with pool_after_activation, got [1.0, 2.0, 1.0]";
        assert!(error_of_blur.starts_with(message), "{error_of_blur}");
        let even = DiscriminatorConfig {
            first_generation: Some(FirstGeneration {
                blur_filter: vec![1., 1.],
                ..FirstGeneration::default()
            }),
            ..DiscriminatorConfig::stylegan1()
        };
        assert!(error(even).starts_with("blur_filter: expected"));
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
        let cases: [(&str, Change); 10] = [
            ("img_resolution", |c| c.img_resolution = 48),
            ("img_channels", |c| c.img_channels = 2),
            ("channel_base", |c| c.channel_base = 512),
            ("channel_max", |c| c.channel_max = 0),
            ("conv_clamp", |c| c.conv_clamp = Some(0.)),
            ("fc_features", |c| c.fc_features = Some(0)),
            ("mbstd_group_size", |c| c.mbstd_group_size = Some(0)),
            ("mbstd_num_channels", |c| c.mbstd_num_channels = 3),
            ("cmap_dim", |c| c.cmap_dim = Some(0)),
            ("mapping_lr_multiplier", |c| c.mapping_lr_multiplier = 0.),
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
