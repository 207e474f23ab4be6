//! Modulated convolution, the heart of the StyleGAN2 generator.

use candle_core::{Result, Tensor, bail};

use crate::bias_act::{BiasAct, bias_act, scaled_bias_act};
use crate::channelwise::{channel_dot, modulate};
use crate::check::expect_shape;
use crate::fused::ModulatedLayer;
use crate::resample::{ConvResample, resample};
use crate::upfirdn2d::Filter;

/// Added to the sum of squares of a modulated kernel before its inverse square root is taken.
pub(crate) const DEMODULATION_EPSILON: f64 = 1e-8;

/// How [`modulated_conv2d`] resamples, pads and normalises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModulatedConv2d {
    /// 1, or 2 to double the size of the picture.
    pub up: usize,
    /// Zeros around the picture.
    pub padding: usize,
    /// Whether each output channel is scaled back to unit expected variance.
    pub demodulate: bool,
    /// Multiplies the weight (the equalized learning rate's weight scale).
    pub gain: f64,
}

impl ModulatedConv2d {
    pub(crate) fn resampling(&self) -> ConvResample {
        ConvResample {
            up: self.up,
            down: 1,
            padding: self.padding,
            gain: self.gain,
        }
    }
}

/// Convolution with weights that are scaled per sample by a style.
///
/// ```text
/// w'[n,o,i,k]  = s[n,i] * gain * w[o,i,k]
/// w''[n,o,i,k] = w'[n,o,i,k] / sqrt(sum_{i,k} w'[n,o,i,k]^2 + 1e-8)      (if demodulate)
/// y[n]         = conv2d_resample(x[n], w''[n])
/// ```
///
/// `x` is `[N,I,H,W]`, `w` is `[O,I,k,k]`, `s` is `[N,I]`; the result is `[N,O,H*up,W*up]` for a padding of
/// `(k-1)/2`. Instead of one weight per sample, the input is scaled by the style and the output by the
/// demodulation coefficient, which gives the same result with one weight for the whole batch.
/// Source: Karras et al. 2020, section 2.2, equations 1 and 3.
///
/// # Errors
/// On other shapes, and as [`conv2d_resample`](crate::conv2d_resample).
pub fn modulated_conv2d(
    x: &Tensor,
    w: &Tensor,
    s: &Tensor,
    filter: &Filter,
    config: &ModulatedConv2d,
) -> Result<Tensor> {
    check(x, w, s)?;
    let y = resample(x, w, Some(s), filter, &config.resampling())?;
    match config.demodulate {
        true => modulate(&y, &demodulation(w, s, config.gain)?),
        false => Ok(y),
    }
}

/// A whole synthesis layer: [`modulated_conv2d`], then noise, bias, activation and clamp as
/// [`bias_act`] describes them.
///
/// On the CPU it is a single op where no input needs a gradient.
///
/// # Errors
/// As [`modulated_conv2d`] and [`bias_act`].
#[expect(
    clippy::too_many_arguments,
    reason = "the tensors and settings of the two ops that it fuses"
)]
pub fn modulated_layer(
    x: &Tensor,
    w: &Tensor,
    s: &Tensor,
    filter: &Filter,
    config: &ModulatedConv2d,
    b: Option<&Tensor>,
    noise: Option<&Tensor>,
    act: &BiasAct,
) -> Result<Tensor> {
    layer(&ModulatedLayer {
        x,
        w,
        s,
        filter,
        config,
        b,
        noise,
        act,
        prepared: None,
    })
}

/// [`modulated_layer`], of a weight that may be prepared.
pub(crate) fn layer(layer: &ModulatedLayer) -> Result<Tensor> {
    let &ModulatedLayer {
        x,
        w,
        s,
        filter,
        config,
        b,
        noise,
        act,
        ..
    } = layer;
    check(x, w, s)?;
    if layer.without_graph() {
        return layer.forward();
    }
    let y = resample(x, w, Some(s), filter, &config.resampling())?;
    match config.demodulate {
        true => scaled_bias_act(&y, &demodulation(w, s, config.gain)?, b, noise, act),
        false => bias_act(&y, b, noise, act),
    }
}

fn check(x: &Tensor, w: &Tensor, s: &Tensor) -> Result<()> {
    let (&[n, i, _, _], &[_, inputs, _, _]) = (x.dims(), w.dims()) else {
        bail!(
            "modulated_conv2d: expected x and w of rank 4, got {:?} and {:?}",
            x.dims(),
            w.dims()
        );
    };
    if i != inputs {
        bail!(
            "modulated_conv2d: weight {:?} expects {inputs} input channels, got x {:?}",
            w.dims(),
            x.dims()
        );
    }
    expect_shape("modulated_conv2d", "s", s, &[n, i])
}

/// The demodulation coefficients `[N,O]`: `1 / sqrt(gain^2 sum_{i,k} s[n,i]^2 w[o,i,k]^2 + 1e-8)`.
fn demodulation(w: &Tensor, s: &Tensor, gain: f64) -> Result<Tensor> {
    let energy = s.sqr()?.matmul(&channel_dot(w, w)?.t()?)?;
    energy
        .affine(gain * gain, DEMODULATION_EPSILON)?
        .sqrt()?
        .recip()
}

#[cfg(test)]
pub(crate) mod reference {
    //! The textbook form: one weight per sample.

    use super::*;
    use crate::resample::conv2d_resample;

    pub(crate) fn modulated_conv2d(
        x: &Tensor,
        w: &Tensor,
        s: &Tensor,
        filter: &Filter,
        config: &ModulatedConv2d,
    ) -> Result<Tensor> {
        let resampling = ConvResample {
            up: config.up,
            down: 1,
            padding: config.padding,
            gain: 1.0,
        };
        let mut samples = Vec::new();
        for n in 0..x.dim(0)? {
            let style = s.narrow(0, n, 1)?.unsqueeze(2)?.unsqueeze(3)?;
            let mut weight = w.affine(config.gain, 0.0)?.broadcast_mul(&style)?;
            if config.demodulate {
                let energy = weight.sqr()?.sum_keepdim((1, 2, 3))?;
                weight =
                    weight.broadcast_mul(&(energy + DEMODULATION_EPSILON)?.sqrt()?.recip()?)?;
            }
            samples.push(conv2d_resample(
                &x.narrow(0, n, 1)?,
                &weight,
                filter,
                &resampling,
            )?);
        }
        Tensor::cat(&samples, 0)
    }
}
