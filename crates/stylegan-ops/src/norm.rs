//! Normalisations: second moment, minibatch standard deviation, instance norm and AdaIN.

use candle_core::{D, Result, Tensor, bail};

use crate::channelwise::{channel_affine, channel_dot, channel_sum, modulate};
use crate::check::{dims4, expect_shape};

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
    let mean_square = (x.sqr()?.sum_keepdim(D::Minus1)? / x.dim(D::Minus1)? as f64)?;
    x.broadcast_mul(&(mean_square + EPSILON)?.sqrt()?.recip()?)
}

/// Appends to every sample how much its group of samples varies.
///
/// The batch of `[N,C,H,W]` is split into `N/G` groups of `G = min(group_size, N)` samples (sample `n`
/// belongs to group `n mod N/G`; `None` means one group), the channels into `F = num_channels` parts.
/// For every group and part the biased standard deviation `sqrt(var + 1e-8)` over the group is
/// averaged over channels and pixels, and appended as `F` constant channels: `[N,C+F,H,W]`.
/// Source: Karras et al. 2018 (ProGAN), section 3.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, or N is not divisible by G, or C by F.
pub fn minibatch_std(x: &Tensor, group_size: Option<usize>, num_channels: usize) -> Result<Tensor> {
    let (n, c, h, w) = dims4("minibatch_std", "x", x)?;
    let group = group_size.map_or(n, |g| g.min(n));
    if group == 0 || n % group != 0 {
        bail!(
            "minibatch_std: expected a batch that is a multiple of the group size {group}, got {n} samples"
        );
    }
    if num_channels == 0 || c % num_channels != 0 {
        bail!(
            "minibatch_std: expected channels that are a multiple of num_channels {num_channels}, got {c}"
        );
    }
    let groups = n / group;
    let features = x.reshape((group, groups, num_channels, c / num_channels * h * w))?;
    let mean = (features.sum_keepdim(0)? / group as f64)?;
    let variance = (features.broadcast_sub(&mean)?.sqr()?.sum(0)? / group as f64)?;
    let deviation = (variance + EPSILON)?.sqrt()?.mean(D::Minus1)?;
    let statistic = deviation.reshape((1, groups, num_channels, 1, 1))?;
    let channels = statistic
        .broadcast_as((group, groups, num_channels, h, w))?
        .reshape((n, num_channels, h, w))?;
    Tensor::cat(&[x, &channels], 1)
}

/// Instance normalisation: `y = (x - mean) / sqrt(var + 1e-8)` per sample and channel of `[N,C,H,W]`,
/// with the biased variance.
///
/// # Errors
/// If `x` is not `[N,C,H,W]` or has no pixels.
pub fn instance_norm(x: &Tensor) -> Result<Tensor> {
    let (centred, inverse_deviation) = standardise("instance_norm", x)?;
    modulate(&centred, &inverse_deviation)
}

/// Adaptive instance normalisation: `y = y_s (x - mean) / sqrt(var + 1e-8) + y_b` per sample and
/// channel.
///
/// `x` is `[N,C,H,W]`; the style's scale `y_s` and bias `y_b` are `[N,C]`.
/// Source: Karras et al. 2019 (StyleGAN), equation 1.
///
/// # Errors
/// On other shapes, and data types that differ.
pub fn adain(x: &Tensor, y_s: &Tensor, y_b: &Tensor) -> Result<Tensor> {
    let (n, c, _, _) = dims4("adain", "x", x)?;
    expect_shape("adain", "y_s", y_s, &[n, c])?;
    expect_shape("adain", "y_b", y_b, &[n, c])?;
    let (centred, inverse_deviation) = standardise("adain", x)?;
    channel_affine(&centred, &(y_s * inverse_deviation)?, y_b)
}

/// `x` minus its mean, and one over its standard deviation, per sample and channel.
fn standardise(op: &str, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, c, h, w) = dims4(op, "x", x)?;
    if h * w == 0 {
        bail!("{op}: expected at least one pixel, got {:?}", x.dims());
    }
    let per_pixel = 1.0 / (h * w) as f64;
    let mean = channel_sum(x)?.affine(per_pixel, 0.0)?;
    let ones = Tensor::ones((n, c), x.dtype(), x.device())?;
    let centred = channel_affine(x, &ones, &mean.neg()?)?;
    let variance = channel_dot(&centred, &centred)?.affine(per_pixel, EPSILON)?;
    Ok((centred, variance.sqrt()?.recip()?))
}
