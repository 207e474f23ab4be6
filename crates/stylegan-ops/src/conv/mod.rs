//! The convolution family: convolution, its transpose, and its weight gradient.
//!
//! All three are sides of one form that is linear in each of `x`, `w` and `y`,
//!
//! ```text
//! B(x, w, y) = gain * sum over n,o,i,p,k of  y[n,o,p] * w[o,i,k] * x[n,i, p*stride + k - padding]
//! ```
//!
//! [`conv2d`] is its derivative by `y`, [`conv_transpose2d`] by `x` and [`conv2d_weight_gradient`] by
//! `w`. So the gradients of each are the other two, and the family can be differentiated any number
//! of times. An optional scale `[N,C]` multiplies the channels of the input picture, which is how
//! modulated convolution enters the family without a pass of its own.

pub(crate) mod choice;
pub(crate) mod cpu;
mod direct;
mod epilogue;
mod geometry;
mod grid;
pub(crate) mod reference;
#[cfg(test)]
mod tests;
mod winograd;

use candle_core::{Result, Shape, Tensor};

use crate::autograd::join;
use crate::channelwise::{channel_dot, modulate};
use crate::check::expect_shape;
use crate::kernel::{Float, Kernel, apply2, apply3};
pub(crate) use epilogue::{Epilogue, Plain};
pub(crate) use geometry::{Derivative, Geometry};
pub(crate) use winograd::Packed;
pub use winograd::Precision;

/// Up to so many multiplications the gradients of a convolution are computed at the same time.
const AT_ONCE: usize = 1 << 28;

/// The order of the first two dimensions of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightLayout {
    /// `[channels of y, channels of x, kh, kw]`: output before input for [`conv2d`].
    #[default]
    YX,
    /// `[channels of x, channels of y, kh, kw]`: output before input for [`conv_transpose2d`].
    XY,
}

/// Stride, padding, gain and weight layout of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2d {
    /// Step between the pixels of `x` that neighbouring pixels of `y` see; at least 1.
    pub stride: usize,
    /// Zeros around `x`; less than the kernel size.
    pub padding: usize,
    /// Multiplies the result (the equalized learning rate's weight scale).
    pub gain: f64,
    /// The order of the weight's first two dimensions.
    pub layout: WeightLayout,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            gain: 1.0,
            layout: WeightLayout::YX,
        }
    }
}

/// Convolution (a correlation, as everywhere in deep learning).
///
/// ```text
/// y[n,o,p] = gain * sum_{i,k} w[o,i,k] * s[n,i] * x[n,i, p*stride + k - padding]
/// ```
///
/// `x` is `[N,I,H,W]`, `w` is `[O,I,kh,kw]` (see [`WeightLayout`]), the optional `scale` s is `[N,I]`;
/// the result has `(H + 2*padding - kh) / stride + 1` rows, rounded down.
///
/// # Errors
/// On other shapes, a stride of zero, padding of at least the kernel size, or a kernel larger than
/// the padded picture.
pub fn conv2d(x: &Tensor, w: &Tensor, scale: Option<&Tensor>, config: &Conv2d) -> Result<Tensor> {
    Geometry::of_conv(x, w, config)?.apply(Derivative::Y, x, w, scale)
}

/// Transposed convolution: the gradient of [`conv2d`] with respect to its picture.
///
/// ```text
/// x[n,i,q] = gain * sum over o,p,k with p*stride + k - padding = q of  w[o,i,k] * s[n,o] * y[n,o,p]
/// ```
///
/// `y` is `[N,O,h,w]`, `w` is `[O,I,kh,kw]` (see [`WeightLayout`]), the optional `scale` s is `[N,O]`, and
/// `size` is the height and width of the result; `conv2d` of that size must give `h` and `w`.
///
/// # Errors
/// On other shapes, a stride of zero, or a size that no convolution maps to `y`.
pub fn conv_transpose2d(
    y: &Tensor,
    w: &Tensor,
    scale: Option<&Tensor>,
    size: [usize; 2],
    config: &Conv2d,
) -> Result<Tensor> {
    Geometry::of_transpose(y, w, size, config)?.apply(Derivative::X, y, w, scale)
}

/// The gradient of [`conv2d`] with respect to its weight.
///
/// ```text
/// w[o,i,k] = gain * sum_{n,p} y[n,o,p] * x[n,i, p*stride + k - padding]
/// ```
///
/// `x` is `[N,I,H,W]`, `y` (the upstream gradient) `[N,O,h,w]`, `kernel` the height and width of the
/// result. A `scale` multiplies the channels of one of them.
///
/// # Errors
/// On other shapes, a stride of zero, or sizes that do not belong together.
pub fn conv2d_weight_gradient(
    x: &Tensor,
    y: &Tensor,
    scale: Option<Scale>,
    kernel: [usize; 2],
    config: &Conv2d,
) -> Result<Tensor> {
    Geometry::of_weight_gradient(x, y, kernel, config)?.apply_weight_gradient(x, y, scale)
}

/// A scale of `[N,C]` for one of the pictures of [`conv2d_weight_gradient`].
#[derive(Debug, Clone, Copy)]
pub enum Scale<'a> {
    /// On the channels of `x`.
    X(&'a Tensor),
    /// On the channels of `y`.
    Y(&'a Tensor),
}

impl Geometry {
    /// The derivative by one of the pictures, from the other.
    pub(crate) fn apply(
        self,
        by: Derivative,
        input: &Tensor,
        w: &Tensor,
        scale: Option<&Tensor>,
    ) -> Result<Tensor> {
        if let Some(scale) = scale {
            let op = match by {
                Derivative::Y => "conv2d",
                Derivative::X => "conv_transpose2d",
            };
            expect_shape(op, "scale", scale, &input.dims()[..2])?;
        }
        if !input.device().is_cpu() {
            return reference::convolve(&self, by == Derivative::Y, input, w, scale);
        }
        choice::check()?;
        let kernel = Convolve { geometry: self, by };
        match scale {
            Some(scale) => apply3(kernel, input, w, scale),
            None => apply2(kernel, input, w),
        }
    }

    fn apply_weight_gradient(self, x: &Tensor, y: &Tensor, scale: Option<Scale>) -> Result<Tensor> {
        let (tensor, picture) = match scale {
            None => (None, x),
            Some(Scale::X(s)) => (Some(s), x),
            Some(Scale::Y(s)) => (Some(s), y),
        };
        if let Some(tensor) = tensor {
            expect_shape(
                "conv2d_weight_gradient",
                "scale",
                tensor,
                &picture.dims()[..2],
            )?;
        }
        if !x.device().is_cpu() {
            return reference::weight_gradient(&self, x, y, scale);
        }
        choice::check()?;
        let kernel = WeightGradient {
            geometry: self,
            scale_x: matches!(scale, Some(Scale::X(_))),
        };
        match tensor {
            Some(tensor) => apply3(kernel, x, y, tensor),
            None => apply2(kernel, x, y),
        }
    }

    /// The picture on the other side of the convolution, without scale.
    fn across(self, by: Derivative, input: &Tensor, w: &Tensor) -> Result<Tensor> {
        self.apply(by, input, w, None)
    }
}

/// The derivative of the form by one of the pictures. Inputs: the other picture, the weight, and
/// optionally a scale for the channels of the other picture.
struct Convolve {
    geometry: Geometry,
    by: Derivative,
}

impl Convolve {
    fn out_shape(&self) -> Shape {
        let [c, h, w] = match self.by {
            Derivative::X => self.geometry.x,
            Derivative::Y => self.geometry.y,
        };
        (self.geometry.n, c, h, w).into()
    }

    fn opposite(&self) -> Derivative {
        match self.by {
            Derivative::X => Derivative::Y,
            Derivative::Y => Derivative::X,
        }
    }

    /// Two gradients: those of small convolutions at the same time, because each of them has too little to do for
    /// several threads.
    fn both<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> Result<A> + Send,
        b: impl FnOnce() -> Result<B> + Send,
    ) -> Result<(A, B)> {
        if self.geometry.products() <= AT_ONCE {
            return join(a, b);
        }
        Ok((a()?, b()?))
    }

    fn weight_gradient(
        &self,
        input: &Tensor,
        scale: Option<&Tensor>,
        d_out: &Tensor,
    ) -> Result<Tensor> {
        match self.by {
            Derivative::Y => self
                .geometry
                .apply_weight_gradient(input, d_out, scale.map(Scale::X)),
            Derivative::X => self
                .geometry
                .apply_weight_gradient(d_out, input, scale.map(Scale::Y)),
        }
    }
}

impl Kernel<2> for Convolve {
    const NAME: &'static str = "conv2d";

    fn shape(&self) -> Shape {
        self.out_shape()
    }

    fn cpu<T: Float>(&self, [input, w]: [&[T]; 2], out: &mut [T]) {
        cpu::convolve(&self.geometry, self.by, input, w, None, &Plain, out);
    }

    fn gradients(
        &self,
        [input, w]: [&Tensor; 2],
        _: &Tensor,
        d_out: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let (d_input, dw) = self.both(
            || {
                let across = || self.geometry.across(self.opposite(), d_out, w);
                needs[0].then(across).transpose()
            },
            || {
                let weight_gradient = || self.weight_gradient(input, None, d_out);
                needs[1].then(weight_gradient).transpose()
            },
        )?;
        Ok([d_input, dw])
    }
}

impl Kernel<3> for Convolve {
    const NAME: &'static str = "conv2d";

    fn shape(&self) -> Shape {
        self.out_shape()
    }

    fn cpu<T: Float>(&self, [input, w, scale]: [&[T]; 3], out: &mut [T]) {
        cpu::convolve(&self.geometry, self.by, input, w, Some(scale), &Plain, out);
    }

    fn gradients(
        &self,
        [input, w, scale]: [&Tensor; 3],
        _: &Tensor,
        d_out: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let ([d_input, d_scale], dw) = self.both(
            || {
                if !(needs[0] || needs[2]) {
                    return Ok([None, None]);
                }
                let d_scaled = self.geometry.across(self.opposite(), d_out, w)?;
                scaled_gradients(input, scale, &d_scaled, [needs[0], needs[2]])
            },
            || {
                let weight_gradient = || self.weight_gradient(input, Some(scale), d_out);
                needs[1].then(weight_gradient).transpose()
            },
        )?;
        Ok([d_input, dw, d_scale])
    }
}

/// The derivative of the form by the weight. Inputs: `x`, `y`, and optionally a scale for one of them.
struct WeightGradient {
    geometry: Geometry,
    scale_x: bool,
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "conv2d_weight_gradient";

    fn shape(&self) -> Shape {
        self.geometry.weight_shape().as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, y]: [&[T]; 2], out: &mut [T]) {
        cpu::weight_gradient(&self.geometry, x, y, [None, None], out);
    }

    fn gradients(
        &self,
        [x, y]: [&Tensor; 2],
        _: &Tensor,
        dw: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dx = needs[0]
            .then(|| self.geometry.across(Derivative::X, y, dw))
            .transpose()?;
        let dy = needs[1]
            .then(|| self.geometry.across(Derivative::Y, x, dw))
            .transpose()?;
        Ok([dx, dy])
    }
}

impl Kernel<3> for WeightGradient {
    const NAME: &'static str = "conv2d_weight_gradient";

    fn shape(&self) -> Shape {
        self.geometry.weight_shape().as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, y, scale]: [&[T]; 3], out: &mut [T]) {
        let scales = if self.scale_x {
            [Some(scale), None]
        } else {
            [None, Some(scale)]
        };
        cpu::weight_gradient(&self.geometry, x, y, scales, out);
    }

    fn gradients(
        &self,
        [x, y, scale]: [&Tensor; 3],
        _: &Tensor,
        dw: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        // The scaled picture, the plain one, and the derivatives that give their gradients.
        let ((scaled, needs_scaled, by_scaled), (plain, needs_plain, by_plain)) = match self.scale_x
        {
            true => ((x, needs[0], Derivative::X), (y, needs[1], Derivative::Y)),
            false => ((y, needs[1], Derivative::Y), (x, needs[0], Derivative::X)),
        };
        let d_plain = needs_plain
            .then(|| self.geometry.apply(by_plain, scaled, dw, Some(scale)))
            .transpose()?;
        let [d_scaled, d_scale] = if needs_scaled || needs[2] {
            let gradient = self.geometry.across(by_scaled, plain, dw)?;
            scaled_gradients(scaled, scale, &gradient, [needs_scaled, needs[2]])?
        } else {
            [None, None]
        };
        Ok(if self.scale_x {
            [d_scaled, d_plain, d_scale]
        } else {
            [d_plain, d_scaled, d_scale]
        })
    }
}

/// The gradients of a picture and its scale from the gradient of their product.
fn scaled_gradients(
    picture: &Tensor,
    scale: &Tensor,
    gradient: &Tensor,
    needs: [bool; 2],
) -> Result<[Option<Tensor>; 2]> {
    let d_picture = needs[0].then(|| modulate(gradient, scale)).transpose()?;
    let d_scale = needs[1]
        .then(|| channel_dot(picture, gradient))
        .transpose()?;
    Ok([d_picture, d_scale])
}
