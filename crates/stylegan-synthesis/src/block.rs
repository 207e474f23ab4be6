use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::nn::{Architecture, Conv2dConfig, Conv2dLayer, Pyramid, resample_filter};
use stylegan_ops::{BiasAct, Filter, upsample2d};

use crate::SynthesisConfig;
use crate::layers::{SynthesisLayer, SynthesisLayerConfig, ToRgb};
use crate::noise::NoiseMode;

/// All layers of one resolution.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// What turns the previous block's features into this resolution; none in the first block.
    upsample: Option<Upsample>,
    conv1: SynthesisLayer,
    to_rgb: Option<ToRgb>,
    /// Resamples the previous block's image.
    image_filter: Filter,
    /// Index of the w of the first convolution.
    first_w: usize,
}

#[derive(Debug, Clone)]
struct Upsample {
    conv0: SynthesisLayer,
    skip: Option<Conv2dLayer>,
}

impl Block {
    pub(crate) fn new(
        config: &SynthesisConfig,
        pyramid: &Pyramid,
        filter: &Filter,
        resolution: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let out_channels = pyramid.channels(resolution);
        let act = BiasAct::lrelu().with_clamp(config.conv_clamp);
        let is_skip = config.architecture == Architecture::Skip;
        let is_first = resolution == 4;
        let is_last = resolution == config.img_resolution;
        // In the resnet architecture both branches of a sum carry sqrt(1/2).
        let has_branches = config.architecture == Architecture::Resnet && !is_first;
        let upsample = if is_first {
            None
        } else {
            let in_channels = pyramid.channels(resolution / 2);
            let conv0 = SynthesisLayerConfig {
                in_channels,
                out_channels,
                w_dim: config.w_dim,
                resolution,
                up: 2,
                act,
                filter,
            };
            let skip = if has_branches {
                let skip = Conv2dConfig {
                    bias: false,
                    up: 2,
                    act: BiasAct::linear().scaled(FRAC_1_SQRT_2),
                    filter: filter.clone(),
                    ..Conv2dConfig::new(in_channels, out_channels, 1)
                };
                Some(Conv2dLayer::new(skip, vb.pp("skip"))?)
            } else {
                None
            };
            let conv0 = SynthesisLayer::new(conv0, vb.pp("conv0"))?;
            Some(Upsample { conv0, skip })
        };
        let conv1 = SynthesisLayerConfig {
            in_channels: out_channels,
            out_channels,
            w_dim: config.w_dim,
            resolution,
            up: 1,
            act: if has_branches {
                act.scaled(FRAC_1_SQRT_2)
            } else {
                act
            },
            filter,
        };
        let to_rgb = if is_skip || is_last {
            let (img_channels, clamp) = (config.img_channels, config.conv_clamp);
            let vb = vb.pp("torgb");
            Some(ToRgb::new(
                out_channels,
                img_channels,
                config.w_dim,
                clamp,
                vb,
            )?)
        } else {
            None
        };
        let image_filter = if is_skip && !is_first {
            resample_filter(filter, &vb)?
        } else {
            filter.clone()
        };
        // The first block has one convolution, all others two.
        let first_w = match resolution.ilog2() as usize - 2 {
            0 => 0,
            index => 2 * index - 1,
        };
        Ok(Self {
            upsample,
            conv1: SynthesisLayer::new(conv1, vb.pp("conv1"))?,
            to_rgb,
            image_filter,
            first_w,
        })
    }

    /// The features and the image of this resolution from those of the previous block.
    ///
    /// `ws` holds one w `[N, w_dim]` per layer of the whole network.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        image: Option<Tensor>,
        ws: &[Tensor],
        noise: &mut NoiseMode,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut ws = &ws[self.first_w..];
        let x = match &self.upsample {
            Some(Upsample { conv0, skip }) => {
                let y = conv0.forward(x, &ws[0], noise)?;
                ws = &ws[1..];
                let y = self.conv1.forward(&y, &ws[0], noise)?;
                match skip {
                    Some(skip) => (skip.forward(x)? + y)?,
                    None => y,
                }
            }
            None => self.conv1.forward(x, &ws[0], noise)?,
        };
        let Some(to_rgb) = &self.to_rgb else {
            return Ok((x, image));
        };
        let rgb = to_rgb.forward(&x, &ws[1])?;
        let image = match image {
            Some(image) => (upsample2d(&image, &self.image_filter)? + rgb)?,
            None => rgb,
        };
        Ok((x, Some(image)))
    }
}
