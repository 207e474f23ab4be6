use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::nn::{Architecture, Conv2dConfig, Conv2dLayer, Pyramid, resample_filter};
use stylegan_ops::{BiasAct, Filter, downsample2d};

use crate::DiscriminatorConfig;

/// The image input of a block: a 1x1 convolution with leaky ReLU.
pub(crate) fn from_rgb(
    config: &DiscriminatorConfig,
    out_channels: usize,
    vb: VarBuilder,
) -> Result<Conv2dLayer> {
    let layer = Conv2dConfig {
        act: BiasAct::lrelu().with_clamp(config.conv_clamp),
        ..Conv2dConfig::new(config.img_channels, out_channels, 1)
    };
    Conv2dLayer::new(layer, vb)
}

/// Two convolutions, the second of which halves the resolution.
///
/// Parameters: `conv0.{weight,bias}`, `conv1.{weight,bias}` and, in the resnet architecture,
/// `skip.weight`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    conv0: Conv2dLayer,
    conv1: Conv2dLayer,
    skip: Option<Conv2dLayer>,
}

impl Block {
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        pyramid: &Pyramid,
        filter: &Filter,
        resolution: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let in_channels = pyramid.channels(resolution);
        let out_channels = pyramid.channels(resolution / 2);
        let act = BiasAct::lrelu().with_clamp(config.conv_clamp);
        // In the resnet architecture both branches of a sum carry sqrt(1/2).
        let has_branches = config.architecture == Architecture::Resnet;
        let conv0 = Conv2dConfig {
            act,
            ..Conv2dConfig::new(in_channels, in_channels, 3)
        };
        let conv1 = Conv2dConfig {
            act: if has_branches {
                act.scaled(FRAC_1_SQRT_2)
            } else {
                act
            },
            down: 2,
            filter: filter.clone(),
            ..Conv2dConfig::new(in_channels, out_channels, 3)
        };
        let skip = if has_branches {
            let skip = Conv2dConfig {
                bias: false,
                act: BiasAct::linear().scaled(FRAC_1_SQRT_2),
                down: 2,
                filter: filter.clone(),
                ..Conv2dConfig::new(in_channels, out_channels, 1)
            };
            Some(Conv2dLayer::new(skip, vb.pp("skip"))?)
        } else {
            None
        };
        Ok(Self {
            conv0: Conv2dLayer::new(conv0, vb.pp("conv0"))?,
            conv1: Conv2dLayer::new(conv1, vb.pp("conv1"))?,
            skip,
        })
    }
}

impl Module for Block {
    /// x `[N, channels(r), r, r]` to `[N, channels(r / 2), r / 2, r / 2]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv1.forward(&self.conv0.forward(x)?)?;
        match &self.skip {
            Some(skip) => skip.forward(x)? + y,
            None => Ok(y),
        }
    }
}

/// What the skip architecture has between two blocks: the image is halved and enters again.
#[derive(Debug, Clone)]
pub(crate) struct ImageInput {
    /// That of the block before.
    filter: Filter,
    /// That of the block after.
    from_rgb: Conv2dLayer,
}

impl ImageInput {
    /// `resolution` is that of the block before, `vb` points at the whole discriminator.
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        pyramid: &Pyramid,
        filter: &Filter,
        resolution: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let next = resolution / 2;
        let from_rgb_vb = vb.pp(format!("b{next}")).pp("fromrgb");
        Ok(Self {
            filter: resample_filter(filter, &vb.pp(format!("b{resolution}")))?,
            from_rgb: from_rgb(config, pyramid.channels(next), from_rgb_vb)?,
        })
    }

    /// The features with those of the halved image added, and the halved image.
    pub(crate) fn forward(&self, x: &Tensor, image: &Tensor) -> Result<(Tensor, Tensor)> {
        let image = downsample2d(image, &self.filter)?;
        Ok(((x + self.from_rgb.forward(&image)?)?, image))
    }
}
