use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder};

use super::{Resampling, WeightScale, resample_filter};
use crate::resample::rotate180;
use crate::{Activation, BiasAct, ConvResample, Filter, bias_act, blur2d, conv2d_resample};

/// Configuration of a [`Conv2dLayer`].
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Side of the square kernel, odd.
    pub kernel_size: usize,
    /// Whether the layer has a bias.
    pub bias: bool,
    /// Activation, gain and clamp behind the convolution.
    pub act: BiasAct,
    /// How the stored weight becomes the one that is computed with.
    pub scale: WeightScale,
    /// Upsampling factor.
    pub up: usize,
    /// Downsampling factor.
    pub down: usize,
    /// How the layer resamples, where it does.
    pub resampling: Resampling,
}

impl Conv2dConfig {
    /// A linear convolution with bias, without resampling.
    pub fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel_size,
            bias: true,
            act: BiasAct::linear(),
            scale: WeightScale::default(),
            up: 1,
            down: 1,
            resampling: Resampling::default(),
        }
    }
}

/// Convolution with equalized learning rate, optional resampling, bias and activation:
/// `y = bias_act(conv2d_resample(x, gain * w), b)` with `gain = scale.gain / sqrt(in_channels * k * k)`, and a
/// blur beside it where [`Resampling::Blur`] has one.
///
/// x is `[N, in_channels, H, W]`, y is `[N, out_channels, H * up / down, W * up / down]`.
///
/// Parameters: `weight` `[out_channels, in_channels, k, k]`, initially N(0, 1), or N(0, gain^2) without
/// `scale.use_wscale`, and `bias` `[out_channels]`, initially 0. Buffer: `resample_filter`, where the layer resamples and one is
/// stored ([`resample_filter`]).
#[derive(Debug, Clone)]
pub struct Conv2dLayer {
    weight: Tensor,
    bias: Option<Tensor>,
    /// Joined with the strided convolution.
    filter: Filter,
    /// Beside it, before it going down and behind it going up.
    blur: Option<Filter>,
    /// Whether the kernel is correlated where [`conv2d_resample`] convolves, which is going up.
    rotated: bool,
    conv: ConvResample,
    /// None where nothing is left to do behind the convolution.
    act: Option<BiasAct>,
}

impl Conv2dLayer {
    /// Builds the layer from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If `in_channels` is 0, the kernel size is even, or a parameter is missing or has another shape.
    pub fn new(config: Conv2dConfig, vb: VarBuilder) -> Result<Self> {
        let Conv2dConfig {
            in_channels,
            out_channels,
            kernel_size: k,
            act,
            scale,
            up,
            down,
            ..
        } = config;
        if in_channels == 0 {
            bail!("convolution layer: expected at least 1 in_channels, got 0")
        }
        if k.is_multiple_of(2) {
            bail!("convolution layer: expected an odd kernel_size, got {k}")
        }
        let fan_in = in_channels * k * k;
        let init = scale.init(fan_in, 1.);
        let weight = vb.get_with_hints((out_channels, in_channels, k, k), "weight", init)?;
        let bias = if config.bias {
            Some(vb.get_with_hints(out_channels, "bias", Init::Const(0.))?)
        } else {
            None
        };
        let (filter, blur, rotated) = match config.resampling {
            _ if up == 1 && down == 1 => (Filter::default(), None, false),
            Resampling::Fir(filter) => (resample_filter(&filter, &vb)?, None, false),
            // Nearest neighbours up and the mean of 2x2 pixels down are both the filter of two equal taps.
            Resampling::Blur { filter, fused } => (Filter::mean_of_two(), filter, up > 1 && !fused),
        };
        let equalized = scale.runtime(fan_in, 1.);
        // A plain linear layer is one op: its gain joins that of the weight.
        let is_scale = !config.bias && act.act == Activation::Linear && act.clamp.is_none();
        let conv = ConvResample {
            up,
            down,
            padding: k / 2,
            gain: if is_scale {
                equalized * act.gain
            } else {
                equalized
            },
        };
        Ok(Self {
            weight,
            bias,
            filter,
            blur,
            rotated,
            conv,
            act: (!is_scale).then_some(act),
        })
    }
}

impl Module for Conv2dLayer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = match self.rotated {
            true => rotate180(&self.weight)?,
            false => self.weight.clone(),
        };
        let convolve = |x: &Tensor| conv2d_resample(x, &weight, &self.filter, &self.conv);
        let y = match &self.blur {
            Some(blur) if self.conv.down > 1 => convolve(&blur2d(x, blur)?)?,
            Some(blur) => blur2d(&convolve(x)?, blur)?,
            None => convolve(x)?,
        };
        match &self.act {
            Some(act) => bias_act(&y, self.bias.as_ref(), None, act),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device};

    use super::*;

    fn layer(config: Conv2dConfig, weight: f64, bias: f64) -> Result<Conv2dLayer> {
        let k = config.kernel_size;
        let shape = (config.out_channels, config.in_channels, k, k);
        let tensors = HashMap::from([
            (
                "weight".to_string(),
                Tensor::full(weight, shape, &Device::Cpu)?,
            ),
            (
                "bias".to_string(),
                Tensor::full(bias, config.out_channels, &Device::Cpu)?,
            ),
        ]);
        Conv2dLayer::new(
            config,
            VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu),
        )
    }

    fn value_at(x: &Tensor, position: [usize; 4]) -> Result<f64> {
        let [n, c, h, w] = position;
        x.get(n)?.get(c)?.get(h)?.get(w)?.to_scalar()
    }

    #[test]
    fn the_kernel_is_scaled_by_its_fan_in() -> Result<()> {
        let x = Tensor::ones((1, 2, 5, 5), DType::F64, &Device::Cpu)?;
        let y = layer(Conv2dConfig::new(2, 3, 3), 2., 0.5)?.forward(&x)?;
        assert_eq!(y.dims(), [1, 3, 5, 5]);
        // In the middle 18 products of 2 meet, at the corner 8.
        let gain = 1. / 18f64.sqrt();
        assert!((value_at(&y, [0, 2, 2, 2])? - (36. * gain + 0.5)).abs() < 1e-12);
        assert!((value_at(&y, [0, 0, 0, 0])? - (16. * gain + 0.5)).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn the_gain_of_a_linear_layer_without_bias_is_kept() -> Result<()> {
        let x = Tensor::ones((1, 4, 4, 4), DType::F64, &Device::Cpu)?;
        let config = Conv2dConfig {
            bias: false,
            act: BiasAct::linear().scaled(3.),
            ..Conv2dConfig::new(4, 1, 1)
        };
        let y = layer(config, 1., 7.)?.forward(&x)?;
        assert!((value_at(&y, [0, 0, 1, 1])? - 3. * 4. / 2.).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn resampling_layers_change_the_size() -> Result<()> {
        let x = Tensor::ones((1, 4, 8, 8), DType::F64, &Device::Cpu)?;
        for (kernel_size, up, down, side) in
            [(3, 2, 1, 16), (1, 2, 1, 16), (3, 1, 2, 4), (1, 1, 2, 4)]
        {
            let config = Conv2dConfig {
                up,
                down,
                ..Conv2dConfig::new(4, 2, kernel_size)
            };
            let y = layer(config, 1., 0.)?.forward(&x)?;
            assert_eq!(
                y.dims(),
                [1, 2, side, side],
                "kernel {kernel_size} up {up} down {down}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_layer_without_inputs_is_an_error() {
        let error = layer(Conv2dConfig::new(0, 1, 3), 1., 0.)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at least 1 in_channels, got 0"), "{error}");
    }

    #[test]
    fn an_even_kernel_is_an_error() {
        let error = layer(Conv2dConfig::new(1, 1, 2), 1., 0.)
            .unwrap_err()
            .to_string();
        assert!(error.contains("odd kernel_size, got 2"), "{error}");
    }
}
