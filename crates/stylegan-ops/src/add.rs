//! The sum of two tensors of one shape.

use candle_core::{Result, Shape, Tensor};

use crate::check::expect_shape;
use crate::kernel::{Float, Kernel, apply2};
use crate::parallel::{TASK_ELEMENTS, planes};

/// The sum of two tensors of one shape, on all cores: `y = a + b`.
///
/// # Errors
/// On shapes or data types that differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    expect_shape("add", "b", b, a.dims())?;
    if !a.device().is_cpu() {
        return a + b;
    }
    let shape = a.shape().clone();
    apply2(Add { shape }, a, b)
}

struct Add {
    shape: Shape,
}

impl Kernel<2> for Add {
    const NAME: &'static str = "add";

    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    fn cpu<T: Float>(&self, [a, b]: [&[T]; 2], out: &mut [T]) {
        planes(out, TASK_ELEMENTS, |task, out| {
            let start = task * TASK_ELEMENTS;
            for ((y, &a), &b) in out.iter_mut().zip(&a[start..]).zip(&b[start..]) {
                *y = a + b;
            }
        });
    }

    fn gradients(
        &self,
        _: [&Tensor; 2],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        Ok(needs.map(|needed| needed.then(|| dy.clone())))
    }
}
