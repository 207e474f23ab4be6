//! The channelwise kernels. Every plane (or pixel row) is computed by one task in a fixed order, so
//! results do not depend on the number of threads.

use std::ops::Range;

use crate::kernel::Float;
use crate::parallel::{planes, planes_with};

/// Partial sums of this many elements are formed in the element type before they go into `f64`.
const BLOCK: usize = 256;
/// Independent accumulators, so that the compiler can vectorise a sum.
const LANES: usize = 16;

pub(super) fn modulate<T: Float>([_, _, h, w]: [usize; 4], x: &[T], s: &[T], out: &mut [T]) {
    planes(out, h * w, |plane, out| {
        let scale = s[plane];
        for (y, &x) in out.iter_mut().zip(&x[plane * h * w..]) {
            *y = x * scale;
        }
    });
}

pub(super) fn channel_affine<T: Float>(
    [_, _, h, w]: [usize; 4],
    x: &[T],
    a: &[T],
    b: &[T],
    out: &mut [T],
) {
    planes(out, h * w, |plane, out| {
        let (scale, shift) = (a[plane], b[plane]);
        for (y, &x) in out.iter_mut().zip(&x[plane * h * w..]) {
            *y = x * scale + shift;
        }
    });
}

pub(super) fn channel_dot<T: Float>([_, _, h, w]: [usize; 4], a: &[T], b: &[T], out: &mut [T]) {
    reduce_planes(h * w, out, |range| {
        sum_products(&a[range.clone()], &b[range])
    });
}

pub(super) fn channel_sum<T: Float>([_, _, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    reduce_planes(h * w, out, |range| sum(&x[range]));
}

pub(super) fn pixel_sum<T: Float>([_, c, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    planes_with(
        out,
        w,
        w * c,
        || (),
        |_, row, out| {
            let (sample, y) = (row / h, row % h);
            for channel in 0..c {
                let start = ((sample * c + channel) * h + y) * w;
                for (y, &x) in out.iter_mut().zip(&x[start..]) {
                    *y += x;
                }
            }
        },
    );
}

/// `out[i] = plane(elements of plane i)`.
fn reduce_planes<T: Float>(
    pixels: usize,
    out: &mut [T],
    plane: impl Fn(Range<usize>) -> f64 + Sync,
) {
    planes_with(
        out,
        1,
        pixels,
        || (),
        |_, i, out| {
            let sum = plane(i * pixels..(i + 1) * pixels);
            out.fill(T::from_f64(sum));
        },
    );
}

#[inline(always)]
fn sum<T: Float>(x: &[T]) -> f64 {
    x.chunks(BLOCK).map(|x| lanes(x.len(), |i| x[i])).sum()
}

#[inline(always)]
fn sum_products<T: Float>(a: &[T], b: &[T]) -> f64 {
    let blocks = a.chunks(BLOCK).zip(b.chunks(BLOCK));
    blocks.map(|(a, b)| lanes(a.len(), |i| a[i] * b[i])).sum()
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
