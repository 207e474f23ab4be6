//! ProGAN and StyleGAN: activations are normalised, then styled.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use stylegan_ops::nn::{
    Conv2dConfig, Conv2dLayer, FullyConnected, FullyConnectedConfig, Scaling, WeightScale,
};
use stylegan_ops::{
    BiasAct, adain, add_noise, bias_act, channel_affine, instance_norm, pixel_norm,
};

use super::Pass;
use crate::StyledLayers;
use crate::noise::NoiseInput;

/// A 3x3 convolution, from the second up with upsampling, and its [`Epilogue`].
///
/// Parameters: `weight` `[O, I, 3, 3]`, and those of the epilogue.
#[derive(Debug, Clone)]
pub(crate) struct StyledLayer {
    conv: Conv2dLayer,
    epilogue: Epilogue,
}

impl StyledLayer {
    pub(crate) fn new(
        config: &StyledLayers,
        in_channels: usize,
        up: usize,
        epilogue: EpilogueConfig,
        vb: VarBuilder,
    ) -> Result<Self> {
        let convolution = &config.convolution;
        let conv = Conv2dConfig {
            bias: false,
            scale: convolution.scaling().nonlinear(),
            up,
            resampling: convolution.resampling(epilogue.resolution)?,
            ..Conv2dConfig::new(in_channels, epilogue.channels, 3)
        };
        Ok(Self {
            conv: Conv2dLayer::new(conv, vb.clone())?,
            epilogue: Epilogue::new(config, epilogue, vb)?,
        })
    }

    pub(crate) fn noise(&self) -> Option<&NoiseInput> {
        self.epilogue.noise.as_ref()
    }

    /// The matrix `[2 O, w_dim]` from w to scale and shift; `None` without styles.
    pub(crate) fn style_matrix(&self) -> Result<Option<Tensor>> {
        self.epilogue.style_matrix()
    }

    /// x `[N, I, H, W]` and w `[N, w_dim]` to `[N, O, H * up, W * up]`.
    pub(crate) fn forward(&self, x: &Tensor, w: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.epilogue.forward(&self.conv.forward(x)?, w, pass)
    }
}

/// The first layer: a learned constant, or a fully connected layer of w, and its [`Epilogue`].
///
/// Parameters: `const` `[C, 4, 4]`, initially 1, of the block, or `weight` `[C * 4 * 4, w_dim]`; and those
/// of the epilogue.
#[derive(Debug, Clone)]
pub(crate) struct StyledInput {
    source: Source,
    epilogue: Epilogue,
}

#[derive(Debug, Clone)]
enum Source {
    Constant(Tensor),
    Latent(FullyConnected),
}

impl StyledInput {
    /// `block` points at the block, and the layer is its `input`.
    pub(crate) fn new(
        config: &StyledLayers,
        epilogue: EpilogueConfig,
        block: &VarBuilder,
    ) -> Result<Self> {
        let EpilogueConfig {
            channels,
            w_dim,
            resolution: side,
        } = epilogue;
        let vb = block.pp("input");
        let source = if config.const_input_layer {
            let shape = (channels, side, side);
            Source::Constant(block.get_with_hints(shape, "const", Init::Const(1.))?)
        } else {
            let scale = config.convolution.scaling().nonlinear();
            let layer = FullyConnectedConfig {
                bias: false,
                // As the paper's networks were trained: a quarter of what their other layers have.
                scale: WeightScale {
                    gain: scale.gain / 4.,
                    ..scale
                },
                ..FullyConnectedConfig::new(w_dim, channels * side * side)
            };
            Source::Latent(FullyConnected::new(layer, vb.clone())?)
        };
        Ok(Self {
            source,
            epilogue: Epilogue::new(config, epilogue, vb)?,
        })
    }

    pub(crate) fn noise(&self) -> Option<&NoiseInput> {
        self.epilogue.noise.as_ref()
    }

    /// The matrix `[2 C, w_dim]` from w to scale and shift; `None` without styles.
    pub(crate) fn style_matrix(&self) -> Result<Option<Tensor>> {
        self.epilogue.style_matrix()
    }

    /// w `[N, w_dim]` to `[N, C, 4, 4]`.
    pub(crate) fn forward(&self, w: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let n = w.dims()[0];
        let x = match &self.source {
            Source::Constant(constant) => {
                let (channels, height, width) = constant.dims3()?;
                constant
                    .unsqueeze(0)?
                    .broadcast_as((n, channels, height, width))?
                    .contiguous()?
            }
            Source::Latent(layer) => layer.forward(w)?.reshape((n, (), 4, 4))?,
        };
        self.epilogue.forward(&x, w, pass)
    }
}

/// Sizes of an [`Epilogue`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpilogueConfig {
    pub(crate) channels: usize,
    pub(crate) w_dim: usize,
    pub(crate) resolution: usize,
}

/// What follows the weights of a layer, in this order: noise, bias, activation, normalisation, style.
///
/// The style is `y = x (s[:C] + 1) + s[C:]` with `s = affine(w)`; behind instance norm that is AdaIN, with
/// `y_s = s[:C] + 1` and `y_b = s[C:]` (Karras et al. 2019, equation 1).
///
/// Parameters: `bias` `[C]`; with noise `noise_strength` `[C]`; with styles `affine.weight`
/// `[2 C, w_dim]` and `affine.bias` `[2 C]`. Buffer: `noise_const` `[R, R]`.
#[derive(Debug, Clone)]
struct Epilogue {
    noise: Option<NoiseInput>,
    bias: Tensor,
    act: BiasAct,
    pixel_norm: bool,
    instance_norm: bool,
    affine: Option<FullyConnected>,
}

impl Epilogue {
    fn new(config: &StyledLayers, sizes: EpilogueConfig, vb: VarBuilder) -> Result<Self> {
        let EpilogueConfig {
            channels,
            w_dim,
            resolution,
        } = sizes;
        let scaling = config.convolution.scaling();
        let noise = match config.use_noise {
            true => Some(NoiseInput::new(resolution, channels, &vb)?),
            false => None,
        };
        let affine = match config.use_styles {
            true => Some(affine(scaling, w_dim, channels, vb.pp("affine"))?),
            false => None,
        };
        Ok(Self {
            noise,
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.))?,
            act: scaling.act(),
            pixel_norm: config.use_pixel_norm,
            instance_norm: config.use_instance_norm,
            affine,
        })
    }

    fn style_matrix(&self) -> Result<Option<Tensor>> {
        self.affine.as_ref().map(FullyConnected::matrix).transpose()
    }

    fn forward(&self, x: &Tensor, w: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let maps = match &self.noise {
            Some(noise) => pass
                .noise_maps(noise, x.dims()[0])?
                .map(|maps| (maps, noise.strength())),
            None => None,
        };
        let x = match maps {
            Some((maps, strength)) => add_noise(x, &maps, strength)?,
            None => x.clone(),
        };
        let mut x = bias_act(&x, Some(&self.bias), None, &self.act)?;
        pass.observe_before(|| Ok(x.clone()))?;
        if self.pixel_norm {
            x = pixel_norm(&x)?;
        }
        let Some(affine) = &self.affine else {
            return match self.instance_norm {
                true => instance_norm(&x),
                false => Ok(x),
            };
        };
        let channels = x.dims()[1];
        let style = affine.forward(w)?;
        let scale = (style.narrow(1, 0, channels)? + 1.)?;
        let shift = style.narrow(1, channels, channels)?.contiguous()?;
        match self.instance_norm {
            true => adain(&x, &scale, &shift),
            false => channel_affine(&x, &scale, &shift),
        }
    }
}

/// The affine map from w to a layer's style, scale and shift per channel, initially 0.
fn affine(
    scaling: Scaling,
    w_dim: usize,
    channels: usize,
    vb: VarBuilder,
) -> Result<FullyConnected> {
    let config = FullyConnectedConfig {
        scale: scaling.linear(),
        ..FullyConnectedConfig::new(w_dim, 2 * channels)
    };
    FullyConnected::new(config, vb)
}

/// A block's image output: a 1x1 convolution with bias, no activation.
///
/// Parameters: `weight` `[C, I, 1, 1]`, `bias` `[C]`.
pub(crate) fn to_rgb(
    scaling: Scaling,
    in_channels: usize,
    img_channels: usize,
    vb: VarBuilder,
) -> Result<Conv2dLayer> {
    let config = Conv2dConfig {
        scale: scaling.linear(),
        ..Conv2dConfig::new(in_channels, img_channels, 1)
    };
    Conv2dLayer::new(config, vb)
}
