//! Sums of many elements: in blocks of the element type, which are then added up in `f64`.

use crate::kernel::Float;

/// Partial sums of this many elements are formed in the element type before they go into `f64`.
const BLOCK: usize = 256;
/// Independent accumulators, so that the compiler can vectorise a sum.
const LANES: usize = 16;

#[inline(always)]
pub(crate) fn sum<T: Float>(x: &[T]) -> f64 {
    x.chunks(BLOCK).map(|x| lanes(x.len(), |i| x[i])).sum()
}

#[inline(always)]
pub(crate) fn sum_products<T: Float>(a: &[T], b: &[T]) -> f64 {
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
    blocks.map(|(a, b)| lanes(a.len(), |i| a[i] * b[i])).sum()
}

/// The sum of `a * b^2`.
#[inline(always)]
pub(crate) fn sum_weighted_squares<T: Float>(a: &[T], b: &[T]) -> f64 {
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
    blocks
        .map(|(a, b)| lanes(a.len(), |i| a[i] * (b[i] * b[i])))
        .sum()
}

/// The sum of `(x - centre)^2`.
#[inline(always)]
pub(crate) fn sum_squares_about<T: Float>(x: &[T], centre: T) -> f64 {
    let squares = |x: &[T]| {
        lanes(x.len(), |i| {
            let offset = x[i] - centre;
            offset * offset
        })
    };
    x.chunks(BLOCK).map(squares).sum()
}

#[inline(always)]
fn lanes<T: Float>(len: usize, term: impl Fn(usize) -> T) -> f64 {
    let mut partial = [T::zero(); LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in partial.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    for i in whole..len {
        partial[i - whole] += term(i);
    }
    partial.iter().map(|p| p.to_f64()).sum()
}
