//! The sizes that belong to one convolution, and their checks.

use candle_core::{Result, Tensor, bail};

use super::{Conv2d, WeightLayout};
use crate::check::dims4;
use crate::pointwise::Pointwise;

fn check_config(op: &str, kernel: [usize; 2], config: &Conv2d) -> Result<()> {
    if config.stride == 0 || kernel.iter().any(|&k| k <= config.padding) {
        bail!(
            "{op}: expected a stride of at least 1 and padding below the kernel size, got {config:?} and kernel {kernel:?}"
        );
    }
    Ok(())
}

/// Channels of y, channels of x, and kernel size.
fn weight_dims(op: &str, w: &Tensor, config: &Conv2d) -> Result<(usize, usize, [usize; 2])> {
    let &[a, b, kh, kw] = w.dims() else {
        bail!("{op}: expected a weight of rank 4, got {:?}", w.dims());
    };
    if w.elem_count() == 0 {
        bail!("{op}: expected a weight with elements, got {:?}", w.dims());
    }
    check_config(op, [kh, kw], config)?;
    Ok(match config.layout {
        WeightLayout::YX => (a, b, [kh, kw]),
        WeightLayout::XY => (b, a, [kh, kw]),
    })
}

/// All sizes of one convolution, whichever of its three tensors is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Geometry {
    pub(super) n: usize,
    /// Channels, height and width of `x`.
    pub(super) x: [usize; 3],
    /// Channels, height and width of `y`.
    pub(super) y: [usize; 3],
    pub(super) kernel: [usize; 2],
    pub(super) config: Conv2d,
}

/// The tensor by which the form is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derivative {
    /// By `x`: a transposed convolution.
    X,
    /// By `y`: a convolution.
    Y,
}

impl Geometry {
    pub(crate) fn of_conv(x: &Tensor, w: &Tensor, config: &Conv2d) -> Result<Self> {
        let (n, channels, h, width) = dims4("conv2d", "x", x)?;
        let (y_channels, x_channels, kernel) = weight_dims("conv2d", w, config)?;
        if channels != x_channels {
            bail!(
                "conv2d: weight {:?} expects {x_channels} input channels, got x {:?}",
                w.dims(),
                x.dims()
            );
        }
        let out = |size: usize, k: usize| {
            Some((size + 2 * config.padding).checked_sub(k)? / config.stride + 1)
        };
        let (Some(rows), Some(columns)) = (out(h, kernel[0]), out(width, kernel[1])) else {
            bail!(
                "conv2d: a {h}x{width} picture with padding {} is smaller than the kernel {kernel:?}",
                config.padding
            );
        };
        Ok(Self {
            n,
            x: [channels, h, width],
            y: [y_channels, rows, columns],
            kernel,
            config: *config,
        })
    }

    pub(crate) fn of_transpose(
        y: &Tensor,
        w: &Tensor,
        size: [usize; 2],
        config: &Conv2d,
    ) -> Result<Self> {
        let (n, channels, h, width) = dims4("conv_transpose2d", "y", y)?;
        let (y_channels, x_channels, kernel) = weight_dims("conv_transpose2d", w, config)?;
        if channels != y_channels {
            bail!(
                "conv_transpose2d: weight {:?} expects {y_channels} input channels, got y {:?}",
                w.dims(),
                y.dims()
            );
        }
        let geometry = Self {
            n,
            x: [x_channels, size[0], size[1]],
            y: [channels, h, width],
            kernel,
            config: *config,
        };
        geometry.check_sizes("conv_transpose2d")?;
        Ok(geometry)
    }

    pub(crate) fn of_weight_gradient(
        x: &Tensor,
        y: &Tensor,
        kernel: [usize; 2],
        config: &Conv2d,
    ) -> Result<Self> {
        let (n, x_channels, h, width) = dims4("conv2d_weight_gradient", "x", x)?;
        let (y_n, y_channels, rows, columns) = dims4("conv2d_weight_gradient", "y", y)?;
        if n != y_n {
            bail!(
                "conv2d_weight_gradient: expected batches of one size, got x {:?} and y {:?}",
                x.dims(),
                y.dims()
            );
        }
        check_config("conv2d_weight_gradient", kernel, config)?;
        let geometry = Self {
            n,
            x: [x_channels, h, width],
            y: [y_channels, rows, columns],
            kernel,
            config: *config,
        };
        geometry.check_sizes("conv2d_weight_gradient")?;
        Ok(geometry)
    }

    fn check_sizes(&self, op: &str) -> Result<()> {
        for axis in 0..2 {
            let (x, y) = (self.x[axis + 1], self.y[axis + 1]);
            let span = (x + 2 * self.config.padding).checked_sub(self.kernel[axis]);
            if span.map(|span| span / self.config.stride + 1) != Some(y) {
                bail!(
                    "{op}: a convolution with kernel {:?}, stride {} and padding {} does not map {}x{} to {}x{}",
                    self.kernel,
                    self.config.stride,
                    self.config.padding,
                    self.x[1],
                    self.x[2],
                    self.y[1],
                    self.y[2]
                );
            }
        }
        Ok(())
    }

    /// The same for another number of samples.
    pub(crate) fn of_samples(self, n: usize) -> Self {
        Self { n, ..self }
    }

    /// From kernel to kernel of the weight, by channels of y and of x.
    pub(super) fn strides(&self) -> (usize, usize) {
        let area = self.kernel[0] * self.kernel[1];
        match self.config.layout {
            WeightLayout::YX => (area * self.x[0], area),
            WeightLayout::XY => (area, area * self.y[0]),
        }
    }

    /// Multiplications of the direct form.
    pub(super) fn products(&self) -> usize {
        let [y_channels, h, w] = self.y;
        self.n * y_channels * h * w * self.x[0] * self.kernel[0] * self.kernel[1]
    }

    /// Channels, height and width of the picture that is computed.
    pub(crate) fn output(&self, by: Derivative) -> [usize; 3] {
        match by {
            Derivative::X => self.x,
            Derivative::Y => self.y,
        }
    }

    /// The sizes of a convolution to y that mixes the channels of single pixels, and the weight's order
    /// `[O,I]`.
    pub(crate) fn pointwise(&self) -> Option<Pointwise> {
        let Conv2d {
            stride,
            layout,
            gain,
            ..
        } = self.config;
        let plain = self.kernel == [1, 1] && stride == 1 && layout == WeightLayout::YX;
        plain.then(|| Pointwise {
            n: self.n,
            inputs: self.x[0],
            outputs: self.y[0],
            pixels: self.x[1] * self.x[2],
            gain,
        })
    }

    /// The shape of the weight, in its layout.
    pub(super) fn weight_shape(&self) -> [usize; 4] {
        let [kh, kw] = self.kernel;
        match self.config.layout {
            WeightLayout::YX => [self.y[0], self.x[0], kh, kw],
            WeightLayout::XY => [self.x[0], self.y[0], kh, kw],
        }
    }
}
