//! Products and sums per sample and channel, and per pixel: the closed families behind modulation,
//! AdaIN and pixel norm.
//!
//! | op | formula | shapes |
//! |---|---|---|
//! | [`modulate`] | `y[n,c,p] = x[n,c,p] s[n,c]` | `[N,C,H,W]`, `[N,C]` -> `[N,C,H,W]` |
//! | [`channel_dot`] | `y[n,c] = sum_p a[n,c,p] b[n,c,p]` | `[N,C,H,W]` twice -> `[N,C]` |
//! | [`channel_sum`] | `y[n,c] = sum_p x[n,c,p]` | `[N,C,H,W]` -> `[N,C]` |
//! | [`channel_affine`] | `y[n,c,p] = x[n,c,p] a[n,c] + b[n,c]` | `[N,C,H,W]`, `[N,C]` twice -> `[N,C,H,W]` |
//! | [`pixel_sum`] | `y[n,0,p] = sum_c x[n,c,p]` | `[N,C,H,W]` -> `[N,1,H,W]` |
//! | [`pixel_modulate`] | `y[n,c,p] = x[n,c,p] s[n,0,p]` | `[N,C,H,W]`, `[N,1,H,W]` -> `[N,C,H,W]` |
//! | [`pixel_dot`] | `y[n,0,p] = sum_c a[n,c,p] b[n,c,p]` | `[N,C,H,W]` twice -> `[N,1,H,W]` |
//!
//! Each gradient is again an op of this table, or a broadcast.

pub(crate) mod cpu;
pub(crate) mod reference;

use candle_core::{Result, Shape, Tensor};

use crate::check::{dims4, expect_shape};
use crate::kernel::{Float, Kernel, apply1, apply2, apply3};

/// Scales every channel of every sample: `y[n,c,p] = x[n,c,p] s[n,c]`.
///
/// `x` is `[N,C,H,W]`, `s` is `[N,C]`. This is the modulation of StyleGAN2 (Karras et al. 2020,
/// section 2.2) moved from the weights to the activations, to which it is equal.
///
/// # Errors
/// On other shapes, and on data types that differ.
pub fn modulate(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("modulate", "x", x)?;
    expect_shape("modulate", "s", s, &[n, c])?;
    if !x.device().is_cpu() {
        return reference::modulate(x, s);
    }
    apply2(Modulate { dims: [n, c, h, w] }, x, s)
}

/// The inner product of two tensors per sample and channel: `y[n,c] = sum_p a[n,c,p] b[n,c,p]`.
///
/// Both are `[N,C,H,W]`; on the CPU, blocks of pixels are added up in `f64`.
///
/// # Errors
/// On other shapes, and on data types that differ.
pub fn channel_dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("channel_dot", "a", a)?;
    expect_shape("channel_dot", "b", b, &[n, c, h, w])?;
    if !a.device().is_cpu() {
        return reference::channel_dot(a, b);
    }
    apply2(ChannelDot { dims: [n, c, h, w] }, a, b)
}

/// The sum over the pixels of every channel: `y[n,c] = sum_p x[n,c,p]`, on the CPU with blocks of pixels added up in `f64`.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`.
pub fn channel_sum(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("channel_sum", "x", x)?;
    if !x.device().is_cpu() {
        return reference::channel_sum(x);
    }
    apply1(ChannelSum { dims: [n, c, h, w] }, x)
}

/// Scales and shifts every channel of every sample: `y[n,c,p] = x[n,c,p] a[n,c] + b[n,c]`.
///
/// # Errors
/// If `x` is not `[N,C,H,W]` or `a` and `b` are not `[N,C]`.
pub fn channel_affine(x: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("channel_affine", "x", x)?;
    expect_shape("channel_affine", "a", a, &[n, c])?;
    expect_shape("channel_affine", "b", b, &[n, c])?;
    if !x.device().is_cpu() {
        return reference::channel_affine(x, a, b);
    }
    apply3(ChannelAffine { dims: [n, c, h, w] }, x, a, b)
}

/// The sum over the channels at every pixel: `y[n,0,p] = sum_c x[n,c,p]`.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`.
pub fn pixel_sum(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("pixel_sum", "x", x)?;
    if !x.device().is_cpu() {
        return reference::pixel_sum(x);
    }
    apply1(PixelSum { dims: [n, c, h, w] }, x)
}

/// Scales the channels of every pixel alike: `y[n,c,p] = x[n,c,p] s[n,0,p]`.
///
/// `x` is `[N,C,H,W]`, `s` is `[N,1,H,W]`.
///
/// # Errors
/// On other shapes, and on data types that differ.
pub fn pixel_modulate(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("pixel_modulate", "x", x)?;
    expect_shape("pixel_modulate", "s", s, &[n, 1, h, w])?;
    if !x.device().is_cpu() {
        return reference::pixel_modulate(x, s);
    }
    apply2(PixelModulate { dims: [n, c, h, w] }, x, s)
}

/// The inner product of two tensors at every pixel: `y[n,0,p] = sum_c a[n,c,p] b[n,c,p]`.
///
/// # Errors
/// Unless both are `[N,C,H,W]`, and on data types that differ.
pub fn pixel_dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("pixel_dot", "a", a)?;
    expect_shape("pixel_dot", "b", b, &[n, c, h, w])?;
    if !a.device().is_cpu() {
        return reference::pixel_dot(a, b);
    }
    apply2(PixelDot { dims: [n, c, h, w] }, a, b)
}

struct Modulate {
    dims: [usize; 4],
}

impl Kernel<2> for Modulate {
    const NAME: &'static str = "modulate";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, s]: [&[T]; 2], out: &mut [T]) {
        cpu::modulate(self.dims, x, s, out);
    }

    fn gradients(
        &self,
        [x, s]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dx = needs[0].then(|| modulate(dy, s)).transpose()?;
        let ds = needs[1].then(|| channel_dot(dy, x)).transpose()?;
        Ok([dx, ds])
    }
}

struct ChannelDot {
    dims: [usize; 4],
}

impl Kernel<2> for ChannelDot {
    const NAME: &'static str = "channel_dot";

    fn shape(&self) -> Shape {
        self.dims[..2].into()
    }

    fn cpu<T: Float>(&self, [a, b]: [&[T]; 2], out: &mut [T]) {
        cpu::channel_dot(self.dims, a, b, out);
    }

    fn gradients(
        &self,
        [a, b]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let da = needs[0].then(|| modulate(b, dy)).transpose()?;
        let db = needs[1].then(|| modulate(a, dy)).transpose()?;
        Ok([da, db])
    }
}

struct ChannelSum {
    dims: [usize; 4],
}

impl Kernel<1> for ChannelSum {
    const NAME: &'static str = "channel_sum";

    fn shape(&self) -> Shape {
        self.dims[..2].into()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        cpu::channel_sum(self.dims, x, out);
    }

    fn gradients(
        &self,
        [x]: [&Tensor; 1],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let ones = || Tensor::ones(x.shape(), x.dtype(), x.device());
        Ok([needs[0].then(|| modulate(&ones()?, dy)).transpose()?])
    }
}

struct ChannelAffine {
    dims: [usize; 4],
}

impl Kernel<3> for ChannelAffine {
    const NAME: &'static str = "channel_affine";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, a, b]: [&[T]; 3], out: &mut [T]) {
        cpu::channel_affine(self.dims, x, a, b, out);
    }

    fn gradients(
        &self,
        [x, a, _]: [&Tensor; 3],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let dx = needs[0].then(|| modulate(dy, a)).transpose()?;
        let da = needs[1].then(|| channel_dot(dy, x)).transpose()?;
        let db = needs[2].then(|| channel_sum(dy)).transpose()?;
        Ok([dx, da, db])
    }
}

struct PixelSum {
    dims: [usize; 4],
}

impl Kernel<1> for PixelSum {
    const NAME: &'static str = "pixel_sum";

    fn shape(&self) -> Shape {
        let [n, _, h, w] = self.dims;
        (n, 1, h, w).into()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        cpu::pixel_sum(self.dims, x, out);
    }

    fn gradients(
        &self,
        [x]: [&Tensor; 1],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        Ok([needs[0].then(|| dy.broadcast_as(x.shape())).transpose()?])
    }
}

struct PixelModulate {
    dims: [usize; 4],
}

impl Kernel<2> for PixelModulate {
    const NAME: &'static str = "pixel_modulate";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, s]: [&[T]; 2], out: &mut [T]) {
        cpu::pixel_modulate(self.dims, x, s, out);
    }

    fn gradients(
        &self,
        [x, s]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dx = needs[0].then(|| pixel_modulate(dy, s)).transpose()?;
        let ds = needs[1].then(|| pixel_dot(dy, x)).transpose()?;
        Ok([dx, ds])
    }
}

struct PixelDot {
    dims: [usize; 4],
}

impl Kernel<2> for PixelDot {
    const NAME: &'static str = "pixel_dot";

    fn shape(&self) -> Shape {
        let [n, _, h, w] = self.dims;
        (n, 1, h, w).into()
    }

    fn cpu<T: Float>(&self, [a, b]: [&[T]; 2], out: &mut [T]) {
        cpu::pixel_dot(self.dims, a, b, out);
    }

    fn gradients(
        &self,
        [a, b]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let da = needs[0].then(|| pixel_modulate(b, dy)).transpose()?;
        let db = needs[1].then(|| pixel_modulate(a, dy)).transpose()?;
        Ok([da, db])
    }
}
