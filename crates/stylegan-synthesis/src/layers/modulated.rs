//! StyleGAN2: the style scales the weights.

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use stylegan_ops::nn::{FullyConnected, FullyConnectedConfig, resample_filter};
use stylegan_ops::{
    BiasAct, Filter, ModulatedConv2d, Precision, PreparedLayer, modulated_conv2d, modulated_layer,
};

use super::{Pass, STANDARD_NORMAL};
use crate::noise::NoiseInput;

/// The affine map from w to a layer's style, one scale per input channel, initially all 1.
fn affine(w_dim: usize, channels: usize, gain: f64, vb: VarBuilder) -> Result<FullyConnected> {
    let config = FullyConnectedConfig {
        bias_init: 1.,
        act: BiasAct::linear().scaled(gain),
        ..FullyConnectedConfig::new(w_dim, channels)
    };
    FullyConnected::new(config, vb)
}

/// Configuration of a [`ModulatedLayer`].
pub(crate) struct ModulatedLayerConfig<'a> {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) w_dim: usize,
    /// Side of the output.
    pub(crate) resolution: usize,
    pub(crate) up: usize,
    pub(crate) act: BiasAct,
    pub(crate) filter: &'a Filter,
    pub(crate) use_noise: bool,
}

/// A 3x3 modulated, demodulated convolution with noise, where it is used, bias and activation.
///
/// The weight has no equalized gain, because demodulation divides by its norm.
///
/// Parameters: `affine.{weight,bias}`, `weight` `[O, I, 3, 3]`, `bias` `[O]`, `noise_strength` `[]`.
/// Buffers: `noise_const` `[R, R]`, and `resample_filter` where the layer upsamples and one is stored
/// ([`resample_filter`]).
#[derive(Debug, Clone)]
pub(crate) struct ModulatedLayer {
    affine: FullyConnected,
    weight: Tensor,
    bias: Tensor,
    noise: Option<NoiseInput>,
    filter: Filter,
    conv: ModulatedConv2d,
    act: BiasAct,
    /// For a weight that doesn't change any more.
    prepared: Option<PreparedLayer>,
}

impl ModulatedLayer {
    pub(crate) fn new(config: ModulatedLayerConfig, vb: VarBuilder) -> Result<Self> {
        let ModulatedLayerConfig {
            in_channels,
            out_channels,
            w_dim,
            resolution,
            up,
            act,
            filter,
            use_noise,
        } = config;
        let filter = if up > 1 {
            resample_filter(filter, &vb)?
        } else {
            filter.clone()
        };
        let weight_shape = (out_channels, in_channels, 3, 3);
        Ok(Self {
            affine: affine(w_dim, in_channels, 1., vb.pp("affine"))?,
            weight: vb.get_with_hints(weight_shape, "weight", STANDARD_NORMAL)?,
            bias: vb.get_with_hints(out_channels, "bias", Init::Const(0.))?,
            noise: match use_noise {
                true => Some(NoiseInput::new(resolution, (), &vb)?),
                false => None,
            },
            filter,
            conv: ModulatedConv2d {
                up,
                padding: 1,
                demodulate: true,
                gain: 1.,
            },
            act,
            prepared: None,
        })
    }

    /// The same layer for a weight that doesn't change any more.
    pub(crate) fn prepared(self, precision: Precision) -> Result<Self> {
        let prepared = PreparedLayer::new(&self.weight, &self.filter, &self.conv, precision)?;
        Ok(Self {
            weight: prepared.weight().clone(),
            prepared: Some(prepared),
            ..self
        })
    }

    pub(crate) fn noise(&self) -> Option<&NoiseInput> {
        self.noise.as_ref()
    }

    /// The matrix `[I, w_dim]` from w to the style.
    pub(crate) fn style_matrix(&self) -> Result<Tensor> {
        self.affine.matrix()
    }

    /// x `[N, I, H, W]` and w `[N, w_dim]` to `[N, O, H * up, W * up]`.
    pub(crate) fn forward(&self, x: &Tensor, w: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let style = self.affine.forward(w)?;
        let noise = match &self.noise {
            Some(noise) => pass
                .noise_maps(noise, x.dims()[0])?
                .map(|maps| maps.broadcast_mul(noise.strength()))
                .transpose()?,
            None => None,
        };
        pass.observe_before(|| {
            let conv = ModulatedConv2d {
                demodulate: false,
                ..self.conv
            };
            modulated_conv2d(x, &self.weight, &style, &self.filter, &conv)
        })?;
        let (bias, noise) = (Some(&self.bias), noise.as_ref());
        if let Some(prepared) = &self.prepared {
            return prepared.forward(x, &style, bias, noise, &self.act);
        }
        modulated_layer(
            x,
            &self.weight,
            &style,
            &self.filter,
            &self.conv,
            bias,
            noise,
            &self.act,
        )
    }
}

/// A block's image output: a 1x1 modulated convolution without demodulation, bias, no activation.
///
/// Parameters: `affine.{weight,bias}`, `weight` `[C, I, 1, 1]`, `bias` `[C]`.
#[derive(Debug, Clone)]
pub(crate) struct ModulatedToRgb {
    affine: FullyConnected,
    weight: Tensor,
    bias: Tensor,
    filter: Filter,
    conv: ModulatedConv2d,
    act: BiasAct,
}

impl ModulatedToRgb {
    pub(crate) fn new(
        in_channels: usize,
        img_channels: usize,
        w_dim: usize,
        conv_clamp: Option<f64>,
        vb: VarBuilder,
    ) -> Result<Self> {
        // Nothing divides by the weight's norm here, so the style carries the equalized gain.
        let style_gain = 1. / (in_channels as f64).sqrt();
        let weight_shape = (img_channels, in_channels, 1, 1);
        Ok(Self {
            affine: affine(w_dim, in_channels, style_gain, vb.pp("affine"))?,
            weight: vb.get_with_hints(weight_shape, "weight", STANDARD_NORMAL)?,
            bias: vb.get_with_hints(img_channels, "bias", Init::Const(0.))?,
            filter: Filter::default(),
            conv: ModulatedConv2d {
                up: 1,
                padding: 0,
                demodulate: false,
                gain: 1.,
            },
            act: BiasAct::linear().with_clamp(conv_clamp),
        })
    }

    /// The matrix `[I, w_dim]` from w to the style.
    pub(crate) fn style_matrix(&self) -> Result<Tensor> {
        self.affine.matrix()
    }

    /// x `[N, I, R, R]` and w `[N, w_dim]` to an image `[N, C, R, R]`.
    pub(crate) fn forward(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let style = self.affine.forward(w)?;
        modulated_layer(
            x,
            &self.weight,
            &style,
            &self.filter,
            &self.conv,
            Some(&self.bias),
            None,
            &self.act,
        )
    }
}
