//! Convolution with built-in up- or downsampling.

use candle_core::{Result, Shape, Tensor, bail};

use crate::channelwise::modulate;
use crate::check::dims4;
use crate::conv::{Conv2d, Derivative, Geometry, WeightLayout, conv2d};
use crate::kernel::{Float, Kernel, apply1};
use crate::parallel::planes;
use crate::upfirdn2d::{Filter, UpFirDn2d, upfirdn2d};

/// How [`conv2d_resample`] resamples, pads and scales.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvResample {
    /// 1, or 2 to double the size.
    pub up: usize,
    /// 1, or 2 to halve the size.
    pub down: usize,
    /// Zeros around the picture, counted at the higher resolution.
    pub padding: usize,
    /// Multiplies the result (the equalized learning rate's weight scale).
    pub gain: f64,
}

impl Default for ConvResample {
    fn default() -> Self {
        Self {
            up: 1,
            down: 1,
            padding: 0,
            gain: 1.0,
        }
    }
}

/// A convolution that also resamples the picture.
///
/// `x` is `[N,I,H,W]` and `w` is `[O,I,k,k]`.
///
/// | `up`, `down` | computed as |
/// |---|---|
/// | 1, 1 | a convolution |
/// | 1, 2 | the filter, then a convolution of stride 2; a 1x1 kernel filters and decimates first |
/// | 2, 1 | a transposed convolution of stride 2, then the filter with gain 4; a 1x1 kernel convolves first |
///
/// Without resampling and going down, the kernel is correlated with the picture; going up it is
/// convolved (a transposed convolution), as in the networks of Karras et al. 2020 (appendix B).
///
/// # Errors
/// On other shapes, on factors other than 1 and 2, and on both at once.
pub fn conv2d_resample(
    x: &Tensor,
    w: &Tensor,
    filter: &Filter,
    config: &ConvResample,
) -> Result<Tensor> {
    resample(x, w, None, filter, config)
}

/// [`conv2d_resample`] with an optional scale `[N,I]` for the channels of `x`.
pub(crate) fn resample(
    x: &Tensor,
    w: &Tensor,
    scale: Option<&Tensor>,
    filter: &Filter,
    config: &ConvResample,
) -> Result<Tensor> {
    if (config.up, config.down) != (1, 2) {
        return Ascent::new(x, w, filter, config)?.apply(x, w, scale, filter);
    }
    let &[_, _, kh, kw] = w.dims() else {
        bail!(
            "conv2d_resample: expected a weight of shape [O, I, k, k], got {:?}",
            w.dims()
        );
    };
    dims4("conv2d_resample", "x", x)?;
    let ConvResample { padding, gain, .. } = *config;
    let [fh, fw] = filter.dims().map(|taps| taps as i64);
    let p = padding as i64;
    // Zeros that keep the filter centred between the samples that are kept.
    let around = |taps: i64| (p + (taps - 1) / 2, p + (taps - 2).div_euclid(2));
    let ((x0, x1), (y0, y1)) = (around(fw), around(fh));
    // A 1x1 kernel filters and decimates first.
    let pointwise = kh == 1 && kw == 1 && padding == 0;
    let (down, stride) = if pointwise { (2, 1) } else { (1, 2) };
    let fir = UpFirDn2d {
        down,
        padding: [x0, x1, y0, y1],
        ..Default::default()
    };
    let conv = Conv2d {
        stride,
        gain,
        ..Default::default()
    };
    let scaled = scale.map(|s| modulate(x, s)).transpose()?;
    let x = upfirdn2d(scaled.as_ref().unwrap_or(x), filter, &fir)?;
    conv2d(&x, w, None, &conv)
}

/// A convolution that keeps or doubles the size of the picture, and the filter behind it.
pub(crate) struct Ascent {
    pub(crate) geometry: Geometry,
    pub(crate) by: Derivative,
    /// None where the size is kept.
    pub(crate) fir: Option<UpFirDn2d>,
}

impl Ascent {
    pub(crate) fn new(
        x: &Tensor,
        w: &Tensor,
        filter: &Filter,
        config: &ConvResample,
    ) -> Result<Self> {
        let &[_, _, kh, kw] = w.dims() else {
            bail!(
                "conv2d_resample: expected a weight of shape [O, I, k, k], got {:?}",
                w.dims()
            );
        };
        let (_, _, h, width) = dims4("conv2d_resample", "x", x)?;
        let ConvResample {
            up,
            down,
            padding,
            gain,
        } = *config;
        let conv = Conv2d {
            gain,
            ..Default::default()
        };
        match (up, down) {
            (1, 1) => {
                return Ok(Self {
                    geometry: Geometry::of_conv(x, w, &Conv2d { padding, ..conv })?,
                    by: Derivative::Y,
                    fir: None,
                });
            }
            (2, 1) => {}
            _ => bail!(
                "conv2d_resample: expected up and down of 1 or 2 and at most one of them 2, got {up} and {down}"
            ),
        }
        // Zeros around the upsampled picture if it were filtered before the convolution.
        let p = padding as i64;
        let around = |taps: usize| {
            let taps = taps as i64;
            (p + (taps + 1) / 2, p + (taps - 2).div_euclid(2))
        };
        let [fh, fw] = filter.dims();
        let ((x0, x1), (y0, y1)) = (around(fw), around(fh));
        let fir = UpFirDn2d {
            gain: 4.0,
            ..Default::default()
        };
        if kh == 1 && kw == 1 && padding == 0 {
            let fir = UpFirDn2d {
                up: 2,
                padding: [x0, x1, y0, y1],
                ..fir
            };
            return Ok(Self {
                geometry: Geometry::of_conv(x, w, &conv)?,
                by: Derivative::Y,
                fir: Some(fir),
            });
        }
        // A kernel of k taps before the filter adds k - 1 pixels on the left; on the right one of
        // them is the zero that upsampling puts after the last sample.
        let size = [2 * h + kh - 2, 2 * width + kw - 2];
        let conv = Conv2d {
            stride: 2,
            layout: WeightLayout::XY,
            ..conv
        };
        let (kh, kw) = (kh as i64, kw as i64);
        let fir = UpFirDn2d {
            padding: [x0 - kw + 1, x1 - kw + 2, y0 - kh + 1, y1 - kh + 2],
            ..fir
        };
        Ok(Self {
            geometry: Geometry::of_transpose(x, w, size, &conv)?,
            by: Derivative::X,
            fir: Some(fir),
        })
    }

    fn apply(
        self,
        x: &Tensor,
        w: &Tensor,
        scale: Option<&Tensor>,
        filter: &Filter,
    ) -> Result<Tensor> {
        let y = self.geometry.apply(self.by, x, w, scale)?;
        match &self.fir {
            Some(fir) => upfirdn2d(&y, filter, fir),
            None => Ok(y),
        }
    }
}

/// Rotates every kernel of a weight `[O,I,kh,kw]` by 180 degrees:
/// `y[o,i,a,b] = w[o,i,kh-1-a,kw-1-b]`.
///
/// With it, [`conv2d_resample`] correlates going up, too: the result is that of [`conv2d`](crate::conv2d) on
/// the upsampled picture.
///
/// # Errors
/// If `w` is not `[O,I,kh,kw]`.
pub fn rotate180(w: &Tensor) -> Result<Tensor> {
    let (o, i, kh, kw) = dims4("rotate180", "w", w)?;
    if kh * kw == 1 {
        return Ok(w.clone());
    }
    if !w.device().is_cpu() {
        // Tensor::flip takes no strided tensors on GPUs.
        let taps = w.reshape((o, i, kh * kw))?;
        let reversed = (0..kh * kw).rev().map(|tap| taps.narrow(2, tap, 1));
        let reversed = reversed.collect::<Result<Vec<_>>>()?;
        return Tensor::cat(&reversed, 2)?.reshape((o, i, kh, kw));
    }
    let dims = [o, i, kh, kw];
    apply1(Rotate180 { dims }, w)
}

/// Its own inverse and its own transpose.
struct Rotate180 {
    dims: [usize; 4],
}

impl Kernel<1> for Rotate180 {
    const NAME: &'static str = "rotate180";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [w]: [&[T]; 1], out: &mut [T]) {
        let [_, _, kh, kw] = self.dims;
        let taps = kh * kw;
        planes(out, taps, |plane, out| {
            let w = &w[plane * taps..(plane + 1) * taps];
            for (y, &w) in out.iter_mut().zip(w.iter().rev()) {
                *y = w;
            }
        });
    }

    fn gradients(
        &self,
        _: [&Tensor; 1],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([needs[0].then(|| rotate180(dy)).transpose()?])
    }
}
