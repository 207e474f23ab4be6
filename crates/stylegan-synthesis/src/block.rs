use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::nn::{Architecture, Conv2dConfig, Conv2dLayer, Resampling, resample_filter};
use stylegan_ops::{BiasAct, Filter, Precision, add};

use crate::NoiseMap;
use crate::layers::{Input, Pass, Setting, SynthesisLayer, ToRgb};

/// All layers of one resolution.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    entry: Entry,
    conv1: SynthesisLayer,
    to_rgb: Option<ToRgb>,
    /// Resamples the previous block's image in the skip architecture.
    pub(crate) image_filter: Filter,
    /// Index of the w of the first layer.
    first_w: usize,
}

/// Where the features of a block come from.
#[derive(Debug, Clone)]
enum Entry {
    Input(Input),
    /// The block before.
    Upsample(Box<Upsample>),
}

#[derive(Debug, Clone)]
struct Upsample {
    conv0: SynthesisLayer,
    skip: Option<Conv2dLayer>,
}

/// What a block gives.
pub(crate) struct Features<'a> {
    /// `[N, C, R, R]`
    pub(crate) x: Tensor,
    /// What the convolutions left over for the image output.
    ws: &'a [Tensor],
}

impl Block {
    pub(crate) fn new(setting: Setting, resolution: usize, vb: VarBuilder) -> Result<Self> {
        let Setting {
            config,
            pyramid,
            filter,
        } = setting;
        let is_first = resolution == 4;
        let is_last = resolution == config.img_resolution;
        // In the resnet architecture both branches of a sum carry sqrt(1/2).
        let has_branches = config.architecture == Architecture::Resnet && !is_first;
        let gain = if has_branches { FRAC_1_SQRT_2 } else { 1. };
        let layer =
            |name: &str, up, gain| SynthesisLayer::new(setting, name, resolution, up, gain, &vb);
        let entry = if is_first {
            Entry::Input(Input::new(setting, &vb)?)
        } else {
            let skip = if has_branches {
                let (input, output) = (
                    pyramid.channels(resolution / 2),
                    pyramid.channels(resolution),
                );
                let skip = Conv2dConfig {
                    bias: false,
                    up: 2,
                    act: BiasAct::linear().scaled(gain),
                    resampling: Resampling::Fir(filter.clone()),
                    ..Conv2dConfig::new(input, output, 1)
                };
                Some(Conv2dLayer::new(skip, vb.pp("skip"))?)
            } else {
                None
            };
            let conv0 = layer("conv0", 2, 1.)?;
            Entry::Upsample(Box::new(Upsample { conv0, skip }))
        };
        let has_image = match config.architecture {
            Architecture::Skip | Architecture::Progressive => true,
            Architecture::Resnet | Architecture::Orig => is_last,
        };
        let to_rgb = match has_image {
            true => Some(ToRgb::new(setting, resolution, &vb)?),
            false => None,
        };
        let image_filter = if config.architecture == Architecture::Skip && !is_first {
            resample_filter(filter, &vb)?
        } else {
            filter.clone()
        };
        Ok(Self {
            entry,
            conv1: layer("conv1", 1, gain)?,
            to_rgb,
            image_filter,
            first_w: config.first_w(resolution),
        })
    }

    /// The same block for parameters that don't change any more.
    pub(crate) fn prepared(self, precision: Precision) -> Result<Self> {
        let entry = match self.entry {
            Entry::Input(input) => Entry::Input(input),
            Entry::Upsample(upsample) => {
                let Upsample { conv0, skip } = *upsample;
                let conv0 = conv0.prepared(precision)?;
                Entry::Upsample(Box::new(Upsample { conv0, skip }))
            }
        };
        Ok(Self {
            entry,
            conv1: self.conv1.prepared(precision)?,
            ..self
        })
    }

    /// The features of this resolution from those of the previous block, which the first has none of.
    ///
    /// `ws` holds one w `[N, w_dim]` per layer of the whole network.
    pub(crate) fn forward<'a>(
        &self,
        x: Option<&Tensor>,
        ws: &'a [Tensor],
        pass: &mut Pass,
    ) -> Result<Features<'a>> {
        let mut ws = &ws[self.first_w..];
        let x = match (&self.entry, x) {
            (Entry::Input(input), _) => {
                let (x, taken) = input.forward(ws, pass)?;
                ws = &ws[taken..];
                self.conv1.forward(&x, &ws[0], pass)?
            }
            (Entry::Upsample(upsample), Some(x)) => {
                let Upsample { conv0, skip } = upsample.as_ref();
                let y = conv0.forward(x, &ws[0], pass)?;
                ws = &ws[1..];
                let y = self.conv1.forward(&y, &ws[0], pass)?;
                match skip {
                    Some(skip) => add(&skip.forward(x)?, &y)?,
                    None => y,
                }
            }
            (Entry::Upsample(_), None) => {
                bail!("synthesis: expected the features of the block before, got none")
            }
        };
        Ok(Features { x, ws: &ws[1..] })
    }

    /// The stored noise maps of its layers, in their order.
    pub(crate) fn noise_maps(&self) -> impl Iterator<Item = NoiseMap> {
        let first = match &self.entry {
            Entry::Input(input) => input.noise_map(),
            Entry::Upsample(upsample) => upsample.conv0.noise_map(),
        };
        first.into_iter().chain(self.conv1.noise_map())
    }

    /// The matrices from w to the styles of the convolutions, in the order in which they take their w.
    pub(crate) fn style_matrices(&self) -> Result<Vec<Tensor>> {
        let entry = match &self.entry {
            Entry::Input(input) => input.style_matrix()?,
            Entry::Upsample(upsample) => upsample.conv0.style_matrix()?,
        };
        Ok(entry
            .into_iter()
            .chain(self.conv1.style_matrix()?)
            .collect())
    }

    /// The matrix from w to the style of the image output, where there is one.
    pub(crate) fn image_style_matrix(&self) -> Result<Option<Tensor>> {
        match &self.to_rgb {
            Some(to_rgb) => to_rgb.style_matrix(),
            None => Ok(None),
        }
    }

    /// The image `[N, img_channels, R, R]` of its features; `None` for blocks without an image output.
    pub(crate) fn image(&self, features: &Features) -> Result<Option<Tensor>> {
        let image = |to_rgb: &ToRgb| to_rgb.forward(&features.x, features.ws);
        self.to_rgb.as_ref().map(image).transpose()
    }
}
