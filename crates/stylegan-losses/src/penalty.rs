//! Gradient penalties on the discriminator: R1, R2, WGAN-GP, and the drift term.

use candle_core::{DType, Result, Tensor, Var, bail};
use stylegan_ops::autograd;

use crate::adversarial::per_sample;

/// A penalty on the gradient of the logits with respect to the images.
///
/// All tensors are parts of a graph: differentiate [`penalty`](Self::penalty) once more for the
/// gradients of the discriminator's parameters.
#[derive(Debug, Clone)]
pub struct GradientPenalty {
    /// The penalty per sample, `[N]`, without its weight.
    pub penalty: Tensor,
    /// The logits of the images that were penalised, as the closure returned them.
    pub logits: Tensor,
    /// The gradient of the summed logits, in the shape of the images.
    pub input_grad: Tensor,
}

/// The R1 penalty on real images: per sample, the sum of squares of `d(sum of logits)/dx`, `[N]`.
///
/// The loss is `gamma/2` times its mean: the factor 1/2 and gamma are the caller's. `logits` is
/// the discriminator as a function of the images `[N, C, H, W]`.
///
/// A growing discriminator that pools images of `2^f` times the active side takes those of the
/// active side too. The penalty of the larger ones, repeated pixels, is that of the smaller ones
/// divided by `4^f`.
///
/// "Which Training Methods for GANs do actually Converge?" (Mescheder et al. 2018, section 4.1,
/// equation 9).
///
/// # Errors
/// Where `logits` fails or doesn't depend on the images.
pub fn r1_penalty(
    images: &Tensor,
    logits: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<GradientPenalty> {
    let (logits, input_grad) = input_gradient(images, logits)?;
    Ok(GradientPenalty {
        penalty: sum_of_squares(&input_grad)?,
        logits,
        input_grad,
    })
}

/// The R2 penalty: [`r1_penalty`] on generated images (Mescheder et al. 2018, equation 10).
///
/// The images are taken as constants; the generator receives no gradient.
///
/// # Errors
/// As [`r1_penalty`].
pub fn r2_penalty(
    fake_images: &Tensor,
    logits: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<GradientPenalty> {
    r1_penalty(fake_images, logits)
}

/// The gradient penalty of WGAN-GP: `(|d(sum of logits)/dx^| - target)^2 / target^2` per sample,
/// `[N]`, at `x^ = real * eps + fake * (1 - eps)`.
///
/// `eps` is `[N, 1, 1, 1]`, uniform in [0, 1). The loss is lambda (usually 10) times the mean.
/// The norm is `sqrt(sum of squares + 1e-12)`, so that a discriminator that is flat at `x^` has a
/// penalty gradient of zero instead of NaN.
///
/// Where a growing discriminator pools images of `2^f` times the active side, those of the active
/// side have a norm `2^f` times as large: with a target `2^f` times as large the penalty is the same.
///
/// "Improved Training of Wasserstein GANs" (Gulrajani et al. 2017, section 4); the target is from
/// "Progressive Growing of GANs" (Karras et al. 2018, appendix A.1).
///
/// # Errors
/// Where the shapes differ, `target` is not positive, or `logits` fails or doesn't depend on the
/// images.
pub fn wgan_gp(
    real: &Tensor,
    fake: &Tensor,
    eps: &Tensor,
    target: f64,
    logits: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<GradientPenalty> {
    if real.dims() != fake.dims() {
        bail!(
            "wgan_gp: expected fake images of the real ones' shape {:?}, got {:?}",
            real.dims(),
            fake.dims()
        );
    }
    let mix_shape = [real.dim(0)?, 1, 1, 1];
    if eps.dims() != mix_shape {
        bail!(
            "wgan_gp: expected eps of shape {mix_shape:?}, got {:?}",
            eps.dims()
        );
    }
    if target <= 0. || !target.is_finite() {
        bail!("wgan_gp: expected a positive target norm, got {target}");
    }
    let (real, fake) = (real.detach(), fake.detach());
    let mixed = (real.broadcast_mul(eps)? + fake.broadcast_mul(&eps.affine(-1., 1.)?)?)?;
    let (logits, input_grad) = input_gradient(&mixed, logits)?;
    let norm = (sum_of_squares(&input_grad)? + 1e-12)?.sqrt()?;
    Ok(GradientPenalty {
        penalty: norm.affine(1. / target, -1.)?.sqr()?,
        logits,
        input_grad,
    })
}

/// The drift term `D(x)^2` per sample, `[N]`, which keeps the logits of a Wasserstein
/// discriminator near zero; its weight (0.001) is the caller's.
///
/// "Progressive Growing of GANs" (Karras et al. 2018, appendix A.1).
///
/// # Errors
/// Where the logits are not `[N, 1]` or `[N]`.
pub fn drift(logits_real: &Tensor) -> Result<Tensor> {
    per_sample(logits_real)?.sqr()
}

/// The logits of a copy of `images`, and the differentiable gradient of their sum.
fn input_gradient(
    images: &Tensor,
    logits: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<(Tensor, Tensor)> {
    // Only variables keep their gradients.
    let images = Var::from_tensor(&images.detach())?;
    let logits = logits(&images)?;
    let mut grads = autograd::grad(&logits.sum_all()?, &[&images])?;
    match grads.pop() {
        Some(grad) => Ok((logits, grad)),
        None => bail!("gradient penalty: the logits don't depend on the images"),
    }
}

/// Sum of squares over all but the first dimension, in at least f32.
fn sum_of_squares(x: &Tensor) -> Result<Tensor> {
    at_least_f32(x)?.flatten_from(1)?.sqr()?.sum(1)
}

/// `x`, or its f32 copy where sums of squares in its own type would lose or overflow.
pub(crate) fn at_least_f32(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
