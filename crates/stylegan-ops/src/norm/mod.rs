//! Normalisations: second moment, pixel norm, instance norm and AdaIN, minibatch standard deviation.
//!
//! Instance norm and pixel norm are one family: a group of P elements is scaled to unit mean square, in
//! instance norm after its mean is taken away (`c(x) = x - mean(x)`; in pixel norm `c(x) = x`).
//!
//! | op | formula | gradient |
//! |---|---|---|
//! | [`Normalise`] | `y = r c(x)` | `dx = project(dy, y, r)` |
//! | [`InverseRoot`] | `r = 1 / sqrt(mean(c(x)^2) + 1e-8)` | `dx = -r^2 y dr / P` |
//! | [`Project`] | `project(v, y, r) = r (c(v) - y mean(y v))` | by `v`: itself, as it is symmetric; by `y` and `r`: products and sums |
//!
//! So the family can be differentiated any number of times.

mod cpu;
mod minibatch_std;
pub(crate) mod reference;

use candle_core::{D, Result, Shape, Tensor, bail};

use crate::channelwise::{
    channel_affine, channel_dot, channel_sum, modulate, pixel_dot, pixel_modulate,
};
use crate::check::{dims4, expect_shape};
use crate::kernel::{Float, Kernel, apply1, apply3};

pub use minibatch_std::minibatch_std;

/// Added to a mean square or variance before its root is taken.
const EPSILON: f64 = 1e-8;

/// Scales every row to unit mean square: `y = x / sqrt(mean(x^2) + 1e-8)` over the last dimension.
///
/// For a latent `z` of shape `[N, z_dim]` this is the pixel norm at the input of the mapping network
/// (Karras et al. 2018, section 4.2; 2019, section 2).
///
/// # Errors
/// On a scalar.
pub fn normalize_2nd_moment(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 0 {
        bail!("normalize_2nd_moment: expected at least one dimension, got a scalar");
    }
    reference::unit_mean_square(x, D::Minus1)
}

/// Pixelwise feature normalisation: `y = x / sqrt(mean(x^2) + 1e-8)`, the mean over the channels.
///
/// `x` is `[N,C,H,W]`, where the feature vector of every pixel gets unit mean square, or `[N,C]`
/// ([`normalize_2nd_moment`]). Source: Karras et al. 2018 (ProGAN), section 4.2.
///
/// # Errors
/// On other shapes.
pub fn pixel_norm(x: &Tensor) -> Result<Tensor> {
    match *x.dims() {
        [_, _] => normalize_2nd_moment(x),
        [_, _, _, _] => {
            let (n, c, h, w) = dims4("pixel_norm", "x", x)?;
            Group::Pixel.normalise([n, c, h, w], x)
        }
        ref got => bail!("pixel_norm: expected x of shape [N, C] or [N, C, H, W], got {got:?}"),
    }
}

/// Instance normalisation: `y = (x - mean) / sqrt(var + 1e-8)` per sample and channel of `[N,C,H,W]`,
/// with the biased variance.
///
/// # Errors
/// If `x` is not `[N,C,H,W]` or has no pixels.
pub fn instance_norm(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("instance_norm", "x", x)?;
    Group::Channel.normalise([n, c, h, w], x)
}

/// Adaptive instance normalisation: `y = y_s (x - mean) / sqrt(var + 1e-8) + y_b` per sample and
/// channel.
///
/// `x` is `[N,C,H,W]`; the style's scale `y_s` and bias `y_b` are `[N,C]`. StyleGAN's layers learn
/// `y_s - 1`: from a dense layer's `s` of `[N,2C]`, `y_s = s[:,..C] + 1` and `y_b = s[:,C..]`.
/// Source: Karras et al. 2019 (StyleGAN), equation 1.
///
/// # Errors
/// On other shapes, and data types that differ.
pub fn adain(x: &Tensor, y_s: &Tensor, y_b: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("adain", "x", x)?;
    expect_shape("adain", "y_s", y_s, &[n, c])?;
    expect_shape("adain", "y_b", y_b, &[n, c])?;
    channel_affine(&Group::Channel.normalise([n, c, h, w], x)?, y_s, y_b)
}

/// The elements of `[N,C,H,W]` that are normalised together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The pixels of one channel of a sample, about their mean.
    Channel,
    /// The channels of one pixel of a sample.
    Pixel,
}

impl Group {
    /// Normalises every group.
    fn normalise(self, dims: [usize; 4], x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return reference::normalise(self, x);
        }
        apply1(Normalise(Groups { group: self, dims }), x)
    }
}

/// All groups of a tensor of shape `dims`.
#[derive(Debug, Clone, Copy)]
struct Groups {
    group: Group,
    dims: [usize; 4],
}

impl Groups {
    /// The shape of a tensor with one element per group.
    fn statistic_shape(&self) -> Shape {
        let [n, c, h, w] = self.dims;
        match self.group {
            Group::Channel => (n, c).into(),
            Group::Pixel => (n, 1, h, w).into(),
        }
    }

    /// One over the size of a group.
    fn per_element(&self) -> f64 {
        let [_, c, h, w] = self.dims;
        match self.group {
            Group::Channel => 1.0 / (h * w) as f64,
            Group::Pixel => 1.0 / c as f64,
        }
    }

    fn inverse_root(self, x: &Tensor) -> Result<Tensor> {
        apply1(InverseRoot(self), x)
    }

    fn project(self, v: &Tensor, y: &Tensor, r: &Tensor) -> Result<Tensor> {
        apply3(Project(self), v, y, r)
    }

    /// Multiplies every group by its own factor.
    fn scale(&self, x: &Tensor, s: &Tensor) -> Result<Tensor> {
        match self.group {
            Group::Channel => modulate(x, s),
            Group::Pixel => pixel_modulate(x, s),
        }
    }

    /// The inner product of every group of `a` with that of `b`.
    fn dot(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self.group {
            Group::Channel => channel_dot(a, b),
            Group::Pixel => pixel_dot(a, b),
        }
    }

    /// The inner product of every group of `c(a)` with that of `c(b)`.
    fn centred_dot(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let dot = self.dot(a, b)?;
        match self.group {
            Group::Channel => {
                dot - (channel_sum(a)? * channel_sum(b)?)?.affine(self.per_element(), 0.0)?
            }
            Group::Pixel => Ok(dot),
        }
    }
}

struct Normalise(Groups);

impl Kernel<1> for Normalise {
    const NAME: &'static str = "normalise";
    const DIFFERENTIATES_RESULT: bool = true;

    fn shape(&self) -> Shape {
        self.0.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        match self.0.group {
            Group::Channel => cpu::channel_normalise(self.0.dims, x, out),
            Group::Pixel => cpu::pixel_normalise(self.0.dims, x, out),
        }
    }

    fn gradients(
        &self,
        [x]: [&Tensor; 1],
        y: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let dx = || self.0.project(dy, y, &self.0.inverse_root(x)?);
        Ok([needs[0].then(dx).transpose()?])
    }
}

struct InverseRoot(Groups);

impl Kernel<1> for InverseRoot {
    const NAME: &'static str = "inverse_root";
    const DIFFERENTIATES_RESULT: bool = true;

    fn shape(&self) -> Shape {
        self.0.statistic_shape()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        match self.0.group {
            Group::Channel => cpu::channel_inverse_root(self.0.dims, x, out),
            Group::Pixel => cpu::pixel_inverse_root(self.0.dims, x, out),
        }
    }

    fn gradients(
        &self,
        [x]: [&Tensor; 1],
        r: &Tensor,
        dr: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        let dx = || {
            let y = self.0.group.normalise(self.0.dims, x)?;
            let factor = (r.sqr()? * dr)?.affine(-self.0.per_element(), 0.0)?;
            self.0.scale(&y, &factor)
        };
        Ok([needs[0].then(dx).transpose()?])
    }
}

struct Project(Groups);

impl Kernel<3> for Project {
    const NAME: &'static str = "normalise_gradient";

    fn shape(&self) -> Shape {
        self.0.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, inputs: [&[T]; 3], out: &mut [T]) {
        match self.0.group {
            Group::Channel => cpu::channel_project(self.0.dims, inputs, out),
            Group::Pixel => cpu::pixel_project(self.0.dims, inputs, out),
        }
    }

    fn gradients(
        &self,
        [v, y, r]: [&Tensor; 3],
        _: &Tensor,
        d_out: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let groups = &self.0;
        let dv = needs[0].then(|| groups.project(d_out, y, r)).transpose()?;
        if !(needs[1] || needs[2]) {
            return Ok([dv, None, None]);
        }
        let along_v = groups.dot(y, v)?.affine(groups.per_element(), 0.0)?;
        let along_out = groups.dot(y, d_out)?;
        let dy = || {
            let along_out = along_out.affine(groups.per_element(), 0.0)?;
            let by_v = groups.scale(d_out, &(r * &along_v)?)?;
            let by_out = groups.scale(v, &(r * along_out)?)?;
            (by_v + by_out)?.neg()
        };
        let dr = || groups.centred_dot(v, d_out)? - (&along_out * &along_v)?;
        Ok([
            dv,
            needs[1].then(dy).transpose()?,
            needs[2].then(dr).transpose()?,
        ])
    }
}
