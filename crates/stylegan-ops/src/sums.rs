//! Sums of many elements: in blocks of the element type, which are then added up in `f64`.

use crate::kernel::Float;

/// Partial sums of this many elements are formed in the element type before they go into `f64`.
const BLOCK: usize = 256;
/// Independent accumulators, so that the compiler can vectorise a sum.
const LANES: usize = 16;

#[inline(always)]
pub(crate) fn sum<T: Float>(x: &[T]) -> f64 {
    blocks(
        x.len(),
        #[inline(always)]
        |i| x[i],
    )
}

#[inline(always)]
pub(crate) fn sum_products<T: Float>(a: &[T], b: &[T]) -> f64 {
    let b = &b[..a.len()];
    blocks(
        a.len(),
        #[inline(always)]
        |i| a[i] * b[i],
    )
}

/// The sum of `a * b^2`.
#[inline(always)]
pub(crate) fn sum_weighted_squares<T: Float>(a: &[T], b: &[T]) -> f64 {
    let b = &b[..a.len()];
    blocks(
        a.len(),
        #[inline(always)]
        |i| a[i] * (b[i] * b[i]),
    )
}

/// The sum of `(x - centre)^2`.
#[inline(always)]
pub(crate) fn sum_squares_about<T: Float>(x: &[T], centre: T) -> f64 {
    blocks(
        x.len(),
        #[inline(always)]
        |i| {
            let offset = x[i] - centre;
            offset * offset
        },
    )
}

/// Loops, not iterators: their adaptors are functions of their own, compiled for the least machine.
#[inline(always)]
fn blocks<T: Float>(len: usize, term: impl Fn(usize) -> T) -> f64 {
    let mut sum = 0.;
    let mut start = 0;
    while start < len {
        let end = len.min(start + BLOCK);
        let mut partial = [T::zero(); LANES];
        let mut i = start;
        while i + LANES <= end {
            for (lane, sum) in partial.iter_mut().enumerate() {
                *sum += term(i + lane);
            }
            i += LANES;
        }
        for (lane, sum) in partial[..end - i].iter_mut().enumerate() {
            *sum += term(i + lane);
        }
        for partial in partial {
            sum += partial.to_f64();
        }
        start = end;
    }
    sum
}
