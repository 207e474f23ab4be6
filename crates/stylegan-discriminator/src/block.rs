use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::growing::cross_fade;
use stylegan_ops::nn::{Architecture, Conv2dConfig, Conv2dLayer, Pyramid, resample_filter};
use stylegan_ops::{BiasAct, Filter, add, average_pool2d, downsample2d};

use crate::DiscriminatorConfig;

/// The image input of a block: a 1x1 convolution with the activation.
pub(crate) fn from_rgb(
    config: &DiscriminatorConfig,
    out_channels: usize,
    vb: VarBuilder,
) -> Result<Conv2dLayer> {
    let layer = config.nonlinear_conv(config.img_channels, out_channels, 1);
    Conv2dLayer::new(layer, vb)
}

/// Two convolutions, and half the resolution.
///
/// Parameters: `conv0.{weight,bias}`, `conv1.{weight,bias}` and, in the resnet architecture,
/// `skip.weight`.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    conv0: Conv2dLayer,
    conv1: Conv2dLayer,
    /// Whether `conv1` leaves it to the block to halve the resolution.
    pools: bool,
    skip: Option<Conv2dLayer>,
}

impl Block {
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        pyramid: &Pyramid,
        resolution: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let in_channels = pyramid.channels(resolution);
        let out_channels = pyramid.channels(resolution / 2);
        let resampling = config.resampling(resolution)?;
        // In the resnet architecture both branches of a sum carry sqrt(1/2).
        let has_branches = config.architecture == Architecture::Resnet;
        let pools = config.pools_activations(resolution);
        let conv0 = config.nonlinear_conv(in_channels, in_channels, 3);
        let conv1 = config.nonlinear_conv(in_channels, out_channels, 3);
        let conv1 = Conv2dConfig {
            act: if has_branches {
                conv1.act.scaled(FRAC_1_SQRT_2)
            } else {
                conv1.act
            },
            down: if pools { 1 } else { 2 },
            resampling: resampling.clone(),
            ..conv1
        };
        let skip = if has_branches {
            let skip = Conv2dConfig {
                bias: false,
                act: BiasAct::linear().scaled(FRAC_1_SQRT_2),
                down: 2,
                resampling,
                ..Conv2dConfig::new(in_channels, out_channels, 1)
            };
            Some(Conv2dLayer::new(skip, vb.pp("skip"))?)
        } else {
            None
        };
        Ok(Self {
            conv0: Conv2dLayer::new(conv0, vb.pp("conv0"))?,
            conv1: Conv2dLayer::new(conv1, vb.pp("conv1"))?,
            pools,
            skip,
        })
    }
}

impl Module for Block {
    /// x `[N, channels(r), r, r]` to `[N, channels(r / 2), r / 2, r / 2]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = self.conv1.forward(&self.conv0.forward(x)?)?;
        if self.pools {
            y = average_pool2d(&y, 2)?;
        }
        match &self.skip {
            Some(skip) => add(&skip.forward(x)?, &y),
            None => Ok(y),
        }
    }
}

/// The halved image, which enters between two blocks.
#[derive(Debug, Clone)]
pub(crate) struct ImageInput {
    join: Join,
    /// That of the block after.
    pub(crate) from_rgb: Conv2dLayer,
}

/// How the image is halved, and how its features meet those of the block before.
#[derive(Debug, Clone)]
enum Join {
    /// Skip: with the filter of the block before, and they are summed.
    Sum(Filter),
    /// Progressive: by the mean of 2x2 pixels, and they fade out while the block before fades in.
    Fade,
}

impl ImageInput {
    /// `resolution` is that of the block before, `vb` points at the whole discriminator.
    ///
    /// None in the architectures where the image enters at one resolution only.
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        pyramid: &Pyramid,
        resolution: usize,
        vb: &VarBuilder,
    ) -> Result<Option<Self>> {
        let join = match config.architecture {
            Architecture::Skip => {
                let block_vb = vb.pp(format!("b{resolution}"));
                Join::Sum(resample_filter(&config.filter()?, &block_vb)?)
            }
            Architecture::Progressive => Join::Fade,
            Architecture::Resnet | Architecture::Orig => return Ok(None),
        };
        let next = resolution / 2;
        let from_rgb_vb = vb.pp(format!("b{next}")).pp("fromrgb");
        let from_rgb = from_rgb(config, pyramid.channels(next), from_rgb_vb)?;
        Ok(Some(Self { join, from_rgb }))
    }

    /// The features with those of the halved image, and the halved image.
    ///
    /// `fade`, from 0 to 1, is the weight of the image in the progressive architecture. At 0 it isn't
    /// looked at: neither is it at any lower resolution, so it is handed back as it came.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        image: &Tensor,
        fade: f64,
    ) -> Result<(Tensor, Tensor)> {
        match &self.join {
            Join::Sum(filter) => {
                let image = downsample2d(image, filter)?;
                Ok((add(x, &self.from_rgb.forward(&image)?)?, image))
            }
            Join::Fade if fade > 0. => {
                let image = average_pool2d(image, 2)?;
                let x = cross_fade(x, &self.from_rgb.forward(&image)?, fade)?;
                Ok((x, image))
            }
            Join::Fade => Ok((x.clone(), image.clone())),
        }
    }
}
