//! Bias, noise, activation, gain and clamp in one pass.

pub(crate) mod cpu;
pub(crate) mod reference;

use candle_core::{Result, Shape, Tensor, bail};

use crate::channelwise::{channel_dot, channel_sum, modulate, pixel_sum};
use crate::check::expect_shape;
use crate::kernel::{Float, Kernel, apply2, apply3};

/// The activation functions of StyleGAN2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// act(x) = x
    Linear,
    /// act(x) = x for x > 0, else alpha x
    LeakyRelu,
}

/// What [`bias_act`] does after adding: `y = clamp(act(t) * gain, -clamp, clamp)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BiasAct {
    /// The activation function.
    pub act: Activation,
    /// The slope of the leaky ReLU for negative inputs, at least 0.
    pub alpha: f64,
    /// Multiplies the activation; positive.
    pub gain: f64,
    /// The largest magnitude of a result, or `None` for no limit.
    pub clamp: Option<f64>,
}

impl BiasAct {
    /// No activation, gain 1.
    pub fn linear() -> Self {
        Self {
            act: Activation::Linear,
            alpha: 0.2,
            gain: 1.0,
            clamp: None,
        }
    }

    /// Leaky ReLU with slope 0.2 and gain sqrt(2), which keeps the variance.
    pub fn lrelu() -> Self {
        Self {
            act: Activation::LeakyRelu,
            gain: std::f64::consts::SQRT_2,
            ..Self::linear()
        }
    }

    /// Multiplies the gain and the clamp: the whole result is scaled.
    pub fn scaled(self, gain: f64) -> Self {
        Self {
            gain: self.gain * gain,
            clamp: self.clamp.map(|c| c * gain),
            ..self
        }
    }

    /// Sets the clamp.
    pub fn with_clamp(self, clamp: Option<f64>) -> Self {
        Self { clamp, ..self }
    }

    fn validate(&self) -> Result<()> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        if !positive(self.gain)
            || self.clamp.is_some_and(|c| !positive(c))
            || !(self.alpha >= 0.0 && self.alpha.is_finite())
        {
            bail!(
                "bias_act: expected a positive gain and clamp and a slope of at least 0, got {self:?}"
            );
        }
        Ok(())
    }

    /// The slope of the activation for negative inputs.
    fn negative_slope(&self) -> f64 {
        match self.act {
            Activation::Linear => 1.0,
            Activation::LeakyRelu => self.alpha,
        }
    }
}

/// Adds bias and noise, activates, scales and clamps: `y = clamp(act(x + noise + b) * gain)`.
///
/// | tensor | shape | meaning |
/// |---|---|---|
/// | `x` | `[N,C]` or `[N,C,H,W]` | input |
/// | `b` | `[C]` | bias per channel, optional |
/// | `noise` | `[N,1,H,W]` or `[1,1,H,W]` | added to every channel, optional, already times its strength; `[N,C,H,W]` inputs only |
///
/// The gradient is a masked scale of the upstream gradient, linear in it, and differentiates again.
/// Source: Karras et al. 2020, section 2.1 and appendix B.
///
/// # Errors
/// On other shapes, data types that differ, or a gain or clamp that is not positive.
pub fn bias_act(
    x: &Tensor,
    b: Option<&Tensor>,
    noise: Option<&Tensor>,
    config: &BiasAct,
) -> Result<Tensor> {
    activate(x, Affine::Shift(b), noise, config)
}

/// [`bias_act`] after a scale per sample and channel: `y = clamp(act(x * scale + noise + b) * gain)`,
/// where `scale` is `[N,C]`. With the demodulation coefficients as the scale, it ends a synthesis
/// layer.
///
/// # Errors
/// As [`bias_act`], and if `x` is not `[N,C,H,W]` or `scale` is not `[N,C]`.
pub fn scaled_bias_act(
    x: &Tensor,
    scale: &Tensor,
    b: Option<&Tensor>,
    noise: Option<&Tensor>,
    config: &BiasAct,
) -> Result<Tensor> {
    activate(x, Affine::ScaleShift(scale, b), noise, config)
}

/// What is done to `x` per channel.
enum Affine<'a> {
    Shift(Option<&'a Tensor>),
    ScaleShift(&'a Tensor, Option<&'a Tensor>),
}

fn activate(
    x: &Tensor,
    affine: Affine,
    noise: Option<&Tensor>,
    config: &BiasAct,
) -> Result<Tensor> {
    let (scale, b) = match affine {
        Affine::Shift(b) => (None, b),
        Affine::ScaleShift(scale, b) => (Some(scale), b),
    };
    let dims @ [n, c, _, _] = check(x.dims(), b, scale, noise, config)?;
    if !x.device().is_cpu() {
        return reference::bias_act(x, scale, b, noise, config);
    }
    let b = match b {
        Some(b) => b.clone(),
        None => Tensor::zeros(c, x.dtype(), x.device())?,
    };
    let affine = match scale {
        Some(scale) => Tensor::stack(&[scale, &b.broadcast_as((n, c))?], 0)?,
        None => b,
    };
    let kernel = Activate {
        dims,
        rank: x.rank(),
        scaled: scale.is_some(),
        config: *config,
    };
    match noise {
        Some(noise) => apply3(kernel, x, &affine, noise),
        None => apply2(kernel, x, &affine),
    }
}

/// Checks what [`bias_act`] is given; N, C, H and W of x.
pub(crate) fn check(
    x: &[usize],
    b: Option<&Tensor>,
    scale: Option<&Tensor>,
    noise: Option<&Tensor>,
    config: &BiasAct,
) -> Result<[usize; 4]> {
    config.validate()?;
    let dims @ [n, c, h, w] = match *x {
        [n, c] => [n, c, 1, 1],
        [n, c, h, w] => [n, c, h, w],
        ref got => bail!("bias_act: expected x of shape [N, C] or [N, C, H, W], got {got:?}"),
    };
    if let Some(b) = b {
        expect_shape("bias_act", "b", b, &[c])?;
    }
    if let Some(scale) = scale {
        expect_shape("bias_act", "scale", scale, &[n, c])?;
    }
    if let Some(noise) = noise {
        if x.len() != 4 {
            bail!("bias_act: expected x of shape [N, C, H, W] beside noise, got {x:?}");
        }
        match *noise.dims() {
            [m, 1, nh, nw] if (m == n || m == 1) && [nh, nw] == [h, w] => {}
            ref got => {
                bail!("bias_act: expected noise of shape [{n} or 1, 1, {h}, {w}], got {got:?}")
            }
        }
    }
    if scale.is_some() && x.len() != 4 {
        bail!("bias_act: expected x of shape [N, C, H, W] beside a scale, got {x:?}");
    }
    Ok(dims)
}

/// `y = clamp(act(x * a + b + noise) * gain)`. The second input is `b` as `[C]`, or `a` and `b` stacked
/// as `[2,N,C]`.
struct Activate {
    dims: [usize; 4],
    rank: usize,
    scaled: bool,
    config: BiasAct,
}

impl Activate {
    fn run<T: Float>(&self, x: &[T], affine: &[T], noise: Option<&[T]>, out: &mut [T]) {
        let [n, c, h, w] = self.dims;
        let (scale, bias) = affine.split_at(if self.scaled { n * c } else { 0 });
        let activator = cpu::Activator {
            channels: c,
            pixels: h * w,
            scale: self.scaled.then_some(scale),
            bias: Some(bias),
            noise: noise.map(|noise| (noise, T::one())),
            curve: cpu::Curve::new(&self.config),
        };
        cpu::activate(x, &activator, out);
    }

    /// The gradients of `x` and of the affine input, from the gradient `dt` of the sum inside the
    /// activation.
    fn input_gradients(
        &self,
        x: &Tensor,
        affine: &Tensor,
        dt: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let sums = |needed: bool| {
            needed
                .then(|| channel_sum(&dt.reshape(self.dims.as_slice())?))
                .transpose()
        };
        if !self.scaled {
            let db = sums(needs[1])?.map(|sums| sums.sum(0)).transpose()?;
            return Ok([needs[0].then(|| dt.clone()), db]);
        }
        let dx = needs[0]
            .then(|| modulate(dt, &affine.get(0)?))
            .transpose()?;
        let stack = |sums| Tensor::stack(&[&channel_dot(dt, x)?, &sums], 0);
        Ok([dx, sums(needs[1])?.map(stack).transpose()?])
    }
}

impl Kernel<2> for Activate {
    const NAME: &'static str = "bias_act";

    fn shape(&self) -> Shape {
        self.dims[..self.rank].into()
    }

    fn cpu<T: Float>(&self, [x, affine]: [&[T]; 2], out: &mut [T]) {
        self.run(x, affine, None, out);
    }

    fn gradients(
        &self,
        [x, affine]: [&Tensor; 2],
        y: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let dt = activation_gradient(dy, y, &self.config)?;
        self.input_gradients(x, affine, &dt, needs)
    }
}

impl Kernel<3> for Activate {
    const NAME: &'static str = "bias_act";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, affine, noise]: [&[T]; 3], out: &mut [T]) {
        self.run(x, affine, Some(noise), out);
    }

    fn gradients(
        &self,
        [x, affine, noise]: [&Tensor; 3],
        y: &Tensor,
        dy: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let dt = activation_gradient(dy, y, &self.config)?;
        let [dx, d_affine] = self.input_gradients(x, affine, &dt, [needs[0], needs[1]])?;
        let shared = noise.dim(0)? == 1;
        let d_noise = || {
            if shared {
                pixel_sum(&dt)?.sum_keepdim(0)
            } else {
                pixel_sum(&dt)
            }
        };
        Ok([dx, d_affine, needs[2].then(d_noise).transpose()?])
    }
}

/// The upstream gradient times the slope of the activation at the result `y`.
///
/// The slope is piecewise constant, so its own derivative is zero almost everywhere and `y` takes
/// part as a constant.
fn activation_gradient(dy: &Tensor, y: &Tensor, config: &BiasAct) -> Result<Tensor> {
    if config.act == Activation::Linear && config.clamp.is_none() {
        return if config.gain == 1.0 {
            Ok(dy.clone())
        } else {
            dy.affine(config.gain, 0.0)
        };
    }
    apply2(
        ActivationGradient {
            shape: y.shape().clone(),
            config: *config,
        },
        dy,
        &y.detach(),
    )
}

/// `dy * gain * slope(y)`, zero where `y` is clamped.
struct ActivationGradient {
    shape: Shape,
    config: BiasAct,
}

impl Kernel<2> for ActivationGradient {
    const NAME: &'static str = "bias_act_gradient";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu<T: Float>(&self, [dy, y]: [&[T]; 2], out: &mut [T]) {
        cpu::gradient(dy, y, &self.config, out);
    }

    fn gradients(
        &self,
        [_, y]: [&Tensor; 2],
        _: &Tensor,
        d_out: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let d_dy = needs[0]
            .then(|| activation_gradient(d_out, y, &self.config))
            .transpose()?;
        Ok([d_dy, None])
    }
}
