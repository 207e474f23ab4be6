//! The minibatch standard deviation.

use candle_core::{D, Result, Tensor, bail};

use super::EPSILON;
use crate::check::dims4;

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
