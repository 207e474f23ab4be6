//! Upsampling, filtering and downsampling in one operator.

pub(crate) mod cpu;
mod filter;
pub(crate) mod reference;

use candle_core::{Result, Shape, Tensor, bail};

use crate::check::dims4;
use crate::conv::Plain;
use crate::kernel::{Float, Kernel, apply1};

pub use filter::Filter;

/// What [`upfirdn2d`] does besides filtering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpFirDn2d {
    /// Every sample is followed by `up - 1` zeros.
    pub up: usize,
    /// Every `down`-th sample of the result is kept.
    pub down: usize,
    /// Zeros added to (or, where negative, samples removed from) the upsampled picture:
    /// left, right, top, bottom.
    pub padding: [i64; 4],
    /// Correlate with the filter as it is, instead of convolving (that is, with the filter rotated).
    pub flip_filter: bool,
    /// Multiplies the result.
    pub gain: f64,
}

impl Default for UpFirDn2d {
    fn default() -> Self {
        Self {
            up: 1,
            down: 1,
            padding: [0; 4],
            flip_filter: false,
            gain: 1.0,
        }
    }
}

/// Upsamples with zeros, pads, filters and downsamples every channel.
///
/// ```text
/// u = x with up-1 zeros after every sample, in both directions, then padded    [H*up+y0+y1, W*up+x0+x1]
/// y[i,j] = gain * sum_{a,b} f[kh-1-a, kw-1-b] u[i*down+a, j*down+b]            (f[a,b] with flip_filter)
/// ```
///
/// `x` is `[N,C,H,W]`; the result has `(H*up + y0 + y1 - kh) / down + 1` rows, rounded down.
/// The gradient is the same operator with up and down exchanged and the filter flipped, so it can be
/// differentiated any number of times. Source: Karras et al. 2020 (StyleGAN2), appendix B; 2021
/// (StyleGAN3), appendix on implementation.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, `up` or `down` is zero, or nothing is left of the picture.
pub fn upfirdn2d(x: &Tensor, filter: &Filter, config: &UpFirDn2d) -> Result<Tensor> {
    let (n, c, h, w) = dims4("upfirdn2d", "x", x)?;
    if config.up == 0 || config.down == 0 {
        bail!(
            "upfirdn2d: expected up and down of at least 1, got {} and {}",
            config.up,
            config.down
        );
    }
    let output = output_size([h, w], filter, config)?;
    if !x.device().is_cpu() {
        return reference::upfirdn2d(x, filter, config, output);
    }
    let kernel = Kernel2d {
        filter: filter.clone(),
        config: *config,
        input: [n, c, h, w],
        output,
    };
    apply1(kernel, x)
}

/// Doubles the size of a picture, keeping its mean.
///
/// [`upfirdn2d`] with `up = 2`, gain 4 and `(k+1)/2`, `(k-2)/2` zeros before and after.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`.
pub fn upsample2d(x: &Tensor, filter: &Filter) -> Result<Tensor> {
    let [kh, kw] = filter.dims().map(|k| k as i64);
    let padding = [
        (kw + 1) / 2,
        (kw - 2).div_euclid(2),
        (kh + 1) / 2,
        (kh - 2).div_euclid(2),
    ];
    upfirdn2d(
        x,
        filter,
        &UpFirDn2d {
            up: 2,
            padding,
            gain: 4.0,
            ..Default::default()
        },
    )
}

/// Halves the size of a picture, keeping its mean.
///
/// [`upfirdn2d`] with `down = 2` and `(k-1)/2`, `(k-2)/2` zeros before and after.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`.
pub fn downsample2d(x: &Tensor, filter: &Filter) -> Result<Tensor> {
    let [kh, kw] = filter.dims().map(|k| k as i64);
    let padding = [
        (kw - 1) / 2,
        (kw - 2).div_euclid(2),
        (kh - 1) / 2,
        (kh - 2).div_euclid(2),
    ];
    upfirdn2d(
        x,
        filter,
        &UpFirDn2d {
            down: 2,
            padding,
            ..Default::default()
        },
    )
}

/// Enlarges a picture by repeating every pixel `factor` times in both directions.
///
/// `y[n,c,i,j] = x[n,c,i/factor,j/factor]`: [`upsample2d`] with the box filter `[1, 1]`, once for each
/// doubling. Values are copied exactly. A factor of 1 gives `x` itself.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, or `factor` is not a power of two.
pub fn nearest_upsample2d(x: &Tensor, factor: usize) -> Result<Tensor> {
    let doublings = doublings("nearest_upsample2d", x, factor)?;
    (0..doublings).try_fold(x.clone(), |x, _| upsample2d(&x, &Filter::mean_of_two()))
}

/// Shrinks a picture to the means of its `factor` x `factor` squares.
///
/// `y[n,c,i,j] = mean_{a,b < factor} x[n,c,i*factor+a,j*factor+b]`: [`downsample2d`] with the box filter
/// `[1, 1]`, once for each halving. It inverts [`nearest_upsample2d`] exactly. A factor of 1 gives
/// `x` itself.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, or `factor` is not a power of two that divides both sides.
pub fn average_pool2d(x: &Tensor, factor: usize) -> Result<Tensor> {
    let halvings = doublings("average_pool2d", x, factor)?;
    let (_, _, h, w) = dims4("average_pool2d", "x", x)?;
    if !(h.is_multiple_of(factor) && w.is_multiple_of(factor)) {
        bail!("average_pool2d: expected sides that {factor} divides, got a {h}x{w} picture");
    }
    (0..halvings).try_fold(x.clone(), |x, _| downsample2d(&x, &Filter::mean_of_two()))
}

/// The binary logarithm of a factor.
fn doublings(op: &str, x: &Tensor, factor: usize) -> Result<u32> {
    dims4(op, "x", x)?;
    if !factor.is_power_of_two() {
        bail!("{op}: expected a factor that is a power of two, got {factor}");
    }
    Ok(factor.ilog2())
}

/// Filters a picture without changing its size.
///
/// ```text
/// y[n,c,i,j] = sum_{a,b} f[a,b] x[n,c, i+a-(kh-1)/2, j+b-(kw-1)/2]       (zero outside of the picture)
/// ```
///
/// A correlation: an asymmetric filter is not rotated. Between the layers of StyleGAN it is `[1, 2, 1]`.
/// Source: Karras et al. 2019 (StyleGAN), section 2.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`.
pub fn blur2d(x: &Tensor, filter: &Filter) -> Result<Tensor> {
    let [kh, kw] = filter.dims().map(|k| k as i64);
    let config = UpFirDn2d {
        padding: [(kw - 1) / 2, kw / 2, (kh - 1) / 2, kh / 2],
        flip_filter: true,
        ..Default::default()
    };
    upfirdn2d(x, filter, &config)
}

/// The height and width of the result.
pub(crate) fn output_size(
    [h, w]: [usize; 2],
    filter: &Filter,
    config: &UpFirDn2d,
) -> Result<[usize; 2]> {
    let [x0, x1, y0, y1] = config.padding;
    let [kh, kw] = filter.dims();
    let rows = out_size(h, config, [y0, y1], kh);
    let columns = out_size(w, config, [x0, x1], kw);
    let (Some(rows), Some(columns)) = (rows, columns) else {
        bail!(
            "upfirdn2d: nothing is left of a {h}x{w} picture, or it is too large, with a {kh}x{kw} filter and {config:?}"
        );
    };
    Ok([rows, columns])
}

/// The number of results along one axis, unless there are none or more than can be counted.
fn out_size(size: usize, config: &UpFirDn2d, padding: [i64; 2], taps: usize) -> Option<usize> {
    let padding = padding[0] as i128 + padding[1] as i128;
    let span = size as i128 * config.up as i128 + padding - taps as i128;
    usize::try_from(span)
        .ok()
        .map(|span| span / config.down + 1)
}

struct Kernel2d {
    filter: Filter,
    config: UpFirDn2d,
    input: [usize; 4],
    output: [usize; 2],
}

impl Kernel2d {
    /// The padding before and after, along one axis, with which the transposed operator gives back
    /// `size` samples.
    fn transposed_padding(&self, before: i64, size: usize, out: usize, taps: usize) -> (i64, i64) {
        let UpFirDn2d { up, down, .. } = self.config;
        let after = (size * up) as i64 - (out * down) as i64 + before - up as i64 + 1;
        (taps as i64 - 1 - before, after)
    }
}

impl Kernel<1> for Kernel2d {
    const NAME: &'static str = "upfirdn2d";

    fn shape(&self) -> Shape {
        let [n, c, _, _] = self.input;
        (n, c, self.output[0], self.output[1]).into()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        let [_, c, h, w] = self.input;
        let (filter, config) = (&self.filter, &self.config);
        cpu::upfirdn2d(x, [c, h, w], filter, config, self.output, &Plain, out);
    }

    fn gradients(
        &self,
        _: [&Tensor; 1],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        if !needs[0] {
            return Ok([None]);
        }
        let [x0, _, y0, _] = self.config.padding;
        let [_, _, h, w] = self.input;
        let [kh, kw] = self.filter.dims();
        let (x0, x1) = self.transposed_padding(x0, w, self.output[1], kw);
        let (y0, y1) = self.transposed_padding(y0, h, self.output[0], kh);
        let transposed = UpFirDn2d {
            up: self.config.down,
            down: self.config.up,
            padding: [x0, x1, y0, y1],
            flip_filter: !self.config.flip_filter,
            gain: self.config.gain,
        };
        Ok([Some(upfirdn2d(dy, &self.filter, &transposed)?)])
    }
}
