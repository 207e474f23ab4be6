//! The channelwise ops as compositions of candle's own: the reference of the tests, and what runs
//! on devices without a kernel.

use candle_core::{Result, Tensor};

fn spread(s: &Tensor) -> Result<Tensor> {
    s.unsqueeze(2)?.unsqueeze(3)
}

pub(crate) fn modulate(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&spread(s)?)
}

pub(crate) fn channel_dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    channel_sum(&(a * b)?)
}

pub(crate) fn channel_sum(x: &Tensor) -> Result<Tensor> {
    x.sum((2, 3))
}

pub(crate) fn channel_affine(x: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    modulate(x, a)?.broadcast_add(&spread(b)?)
}

pub(crate) fn pixel_sum(x: &Tensor) -> Result<Tensor> {
    x.sum_keepdim(1)
}

pub(crate) fn pixel_modulate(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(s)
}

pub(crate) fn pixel_dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    pixel_sum(&(a * b)?)
}
