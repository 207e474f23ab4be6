//! The largest pixel of every 2x2 square, and what its gradients are made of.
//!
//! Three operators share the places of the largest pixels of a picture `x`: [`max_pool2d`] reads `x` there,
//! a [`Gather`] reads another picture there, and a [`Scatter`] puts values there among zeros. The last two are each
//! other's gradients. candle's own max pooling returns a quarter of the gradient.

use candle_core::{Result, Shape, Tensor, bail};

use crate::check::dims4;
use crate::kernel::{Float, Kernel, apply1, apply2};
use crate::parallel::planes;

/// Shrinks a picture to the largest pixels of its 2x2 squares.
///
/// `y[n,c,i,j] = max_{a,b < 2} x[n,c,2i+a,2j+b]`; the last row or column of an odd side is left out. Where pixels
/// of a square are equal, the whole gradient goes to the first of them (on devices without a kernel it is
/// divided between them). Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
/// Recognition" (2015), section 2.1.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, or a side is shorter than 2.
pub fn max_pool2d(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("max_pool2d", "x", x)?;
    if h < 2 || w < 2 {
        bail!("max_pool2d: expected sides of at least 2, got a {h}x{w} picture");
    }
    if !x.device().is_cpu() {
        return reference::max_pool2d(x);
    }
    apply1(MaxPool(Squares { dims: [n, c, h, w] }), x)
}

/// The 2x2 squares of a picture of these sizes.
#[derive(Debug, Clone, Copy)]
struct Squares {
    dims: [usize; 4],
}

impl Squares {
    /// The shape of one pixel for each square.
    fn pooled(self) -> Shape {
        let [n, c, h, w] = self.dims;
        (n, c, h / 2, w / 2).into()
    }

    /// Elements of a plane of the picture.
    fn plane(self) -> usize {
        self.dims[2] * self.dims[3]
    }

    /// Elements of a plane with one pixel for each square.
    fn pooled_plane(self) -> usize {
        (self.dims[2] / 2) * (self.dims[3] / 2)
    }

    /// Where the largest pixel of a square of a plane is; a value that is not a number counts as the largest.
    #[inline(always)]
    fn largest<T: Float>(self, plane: &[T], square: usize) -> usize {
        let width = self.dims[3];
        let (row, column) = (square / (width / 2), square % (width / 2));
        let first = 2 * row * width + 2 * column;
        let mut largest = first;
        for place in [first + 1, first + width, first + width + 1] {
            if plane[place] > plane[largest] || plane[place].to_f64().is_nan() {
                largest = place;
            }
        }
        largest
    }

    /// Reads `from` at the places of the largest pixels of `x`.
    fn gather<T: Float>(self, x: &[T], from: &[T], out: &mut [T]) {
        let plane = self.plane();
        planes(
            out,
            self.pooled_plane(),
            #[inline(always)]
            |index, out| {
                let range = index * plane..(index + 1) * plane;
                let (x, from) = (&x[range.clone()], &from[range]);
                for (square, y) in out.iter_mut().enumerate() {
                    *y = from[self.largest(x, square)];
                }
            },
        );
    }
}

struct MaxPool(Squares);

impl Kernel<1> for MaxPool {
    const NAME: &'static str = "max_pool2d";

    fn shape(&self) -> Shape {
        self.0.pooled()
    }

    fn cpu<T: Float>(&self, [x]: [&[T]; 1], out: &mut [T]) {
        self.0.gather(x, x, out);
    }

    fn gradients(
        &self,
        [x]: [&Tensor; 1],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 1],
    ) -> Result<[Option<Tensor>; 1]> {
        // The places are constant almost everywhere.
        let scatter = || apply2(Scatter(self.0), &x.detach(), dy);
        Ok([needs[0].then(scatter).transpose()?])
    }
}

/// Inputs: `x`, which is a constant, and the picture to read.
struct Gather(Squares);

impl Kernel<2> for Gather {
    const NAME: &'static str = "max_pool2d_gather";

    fn shape(&self) -> Shape {
        self.0.pooled()
    }

    fn cpu<T: Float>(&self, [x, from]: [&[T]; 2], out: &mut [T]) {
        self.0.gather(x, from, out);
    }

    fn gradients(
        &self,
        [x, _]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let scatter = || apply2(Scatter(self.0), x, dy);
        Ok([None, needs[1].then(scatter).transpose()?])
    }
}

/// Inputs: `x`, which is a constant, and a value for each square.
struct Scatter(Squares);

impl Kernel<2> for Scatter {
    const NAME: &'static str = "max_pool2d_scatter";

    fn shape(&self) -> Shape {
        self.0.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, values]: [&[T]; 2], out: &mut [T]) {
        let (plane, pooled) = (self.0.plane(), self.0.pooled_plane());
        planes(
            out,
            plane,
            #[inline(always)]
            |index, out| {
                let x = &x[index * plane..(index + 1) * plane];
                let values = &values[index * pooled..(index + 1) * pooled];
                out.fill(T::zero());
                for (square, &value) in values.iter().enumerate() {
                    out[self.0.largest(x, square)] = value;
                }
            },
        );
    }

    fn gradients(
        &self,
        [x, _]: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let gather = || apply2(Gather(self.0), x, dy);
        Ok([None, needs[1].then(gather).transpose()?])
    }
}

pub(crate) mod reference {
    //! The same from candle's own ops: the reference of the tests, and what runs on devices without a
    //! kernel.

    use candle_core::{Result, Tensor};

    use crate::slices::strided;

    pub(crate) fn max_pool2d(x: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let corner = |row, column| strided(&strided(x, 2, row, 2, h / 2)?, 3, column, 2, w / 2);
        let upper = corner(0, 0)?.maximum(&corner(0, 1)?)?;
        let lower = corner(1, 0)?.maximum(&corner(1, 1)?)?;
        upper.maximum(&lower)
    }
}
