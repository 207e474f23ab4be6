//! The normalisations in their textbook form, from candle's own ops: the reference of the tests, and
//! what runs on devices without a kernel.

use candle_core::shape::Dim;
use candle_core::{Result, Tensor};

use super::{EPSILON, Group};

/// `x / sqrt(mean(x^2) + 1e-8)` over one dimension.
pub(crate) fn unit_mean_square(x: &Tensor, dim: impl Dim) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(dim)?;
    x.broadcast_div(&(mean_square + EPSILON)?.sqrt()?)
}

/// `(x - mean) / sqrt(var + 1e-8)` over the pixels.
pub(crate) fn instance_norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim((2, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((2, 3))?;
    centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)
}

pub(super) fn normalise(group: Group, x: &Tensor) -> Result<Tensor> {
    match group {
        Group::Channel => instance_norm(x),
        Group::Pixel => unit_mean_square(x, 1),
    }
}
