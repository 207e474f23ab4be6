//! The convolution family as sums of matrix products over the kernel's taps, from candle ops that
//! differentiate twice: the reference of the tests, and what runs on devices without a kernel.

use candle_core::{Result, Tensor, bail};

use super::{Geometry, Scale, WeightLayout};
use crate::channelwise::reference::modulate;
use crate::slices::{pad, spread, strided};

/// The picture across the convolution: `y` from `x` if `forward`, else `x` from `y`.
pub(crate) fn convolve(
    g: &Geometry,
    forward: bool,
    input: &Tensor,
    w: &Tensor,
    scale: Option<&Tensor>,
) -> Result<Tensor> {
    let input = match scale {
        Some(scale) => modulate(input, scale)?,
        None => input.clone(),
    };
    // Weights as [channels of y, channels of x, kh, kw].
    let w = match g.config.layout {
        WeightLayout::YX => w.clone(),
        WeightLayout::XY => w.transpose(0, 1)?,
    };
    let [kh, kw] = g.kernel;
    let p = g.config.padding as i64;
    let (padded, stride, w, [channels, h, width]) = if forward {
        (
            pad(&pad(&input, 2, p, p)?, 3, p, p)?,
            g.config.stride,
            w,
            g.y,
        )
    } else {
        // Zeros between the samples, then a correlation with the kernel rotated.
        let spaced = spread(&spread(&input, 2, g.config.stride)?, 3, g.config.stride)?;
        let after = |k: usize, size: usize, spaced: usize| {
            (size + k) as i64 - 1 - (k as i64 - 1 - p) - spaced as i64
        };
        let rows = pad(
            &spaced,
            2,
            kh as i64 - 1 - p,
            after(kh, g.x[1], spaced.dim(2)?),
        )?;
        let columns = pad(
            &rows,
            3,
            kw as i64 - 1 - p,
            after(kw, g.x[2], spaced.dim(3)?),
        )?;
        (columns, 1, w.transpose(0, 1)?, g.x)
    };
    let mut sum: Option<Tensor> = None;
    for ky in 0..kh {
        let rows = strided(&padded, 2, ky, stride, h)?;
        for kx in 0..kw {
            let (ty, tx) = if forward {
                (ky, kx)
            } else {
                (kh - 1 - ky, kw - 1 - kx)
            };
            let tap = w
                .narrow(2, ty, 1)?
                .narrow(3, tx, 1)?
                .squeeze(3)?
                .squeeze(2)?
                .contiguous()?;
            let pixels = strided(&rows, 3, kx, stride, width)?
                .contiguous()?
                .flatten_from(2)?;
            let term = tap.unsqueeze(0)?.broadcast_matmul(&pixels)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
    }
    match sum {
        Some(sum) => sum
            .affine(g.config.gain, 0.0)?
            .reshape((g.n, channels, h, width)),
        None => bail!("conv2d: the kernel has no taps"),
    }
}

/// The weight from both pictures.
pub(crate) fn weight_gradient(
    g: &Geometry,
    x: &Tensor,
    y: &Tensor,
    scale: Option<Scale>,
) -> Result<Tensor> {
    let (x, y) = match scale {
        None => (x.clone(), y.clone()),
        Some(Scale::X(s)) => (modulate(x, s)?, y.clone()),
        Some(Scale::Y(s)) => (x.clone(), modulate(y, s)?),
    };
    let p = g.config.padding as i64;
    let padded = pad(&pad(&x, 2, p, p)?, 3, p, p)?;
    let y = y.contiguous()?.flatten_from(2)?;
    let [kh, kw] = g.kernel;
    let mut taps = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let rows = strided(&padded, 2, ky, g.config.stride, g.y[1])?;
        for kx in 0..kw {
            let pixels = strided(&rows, 3, kx, g.config.stride, g.y[2])?
                .contiguous()?
                .flatten_from(2)?;
            taps.push(y.matmul(&pixels.transpose(1, 2)?.contiguous()?)?.sum(0)?);
        }
    }
    let w = Tensor::stack(&taps, 2)?.affine(g.config.gain, 0.0)?;
    let w = w.reshape((g.y[0], g.x[0], kh, kw))?;
    match g.config.layout {
        WeightLayout::YX => Ok(w),
        WeightLayout::XY => w.transpose(0, 1),
    }
}
