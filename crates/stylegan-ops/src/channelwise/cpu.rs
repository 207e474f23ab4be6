//! The channelwise kernels. Every plane (or pixel row) is computed by one task in a fixed order, so
//! results do not depend on the number of threads.

use std::ops::Range;

use crate::kernel::Float;
use crate::parallel::{planes_with, runs, runs_with};
use crate::sums::{sum, sum_products};

/// Pixels that a task sums over all channels.
const PIXELS: usize = 512;
/// Elements of a plane that a task sums.
const PART: usize = 64 * 1024;

pub(super) fn modulate<T: Float>([_, _, h, w]: [usize; 4], x: &[T], s: &[T], out: &mut [T]) {
    runs(
        out,
        h * w,
        #[inline(always)]
        |plane, first, out| {
            let scale = s[plane];
            for (y, &x) in out.iter_mut().zip(&x[plane * h * w + first..]) {
                *y = x * scale;
            }
        },
    );
}

pub(super) fn channel_affine<T: Float>(
    [_, _, h, w]: [usize; 4],
    x: &[T],
    a: &[T],
    b: &[T],
    out: &mut [T],
) {
    runs(
        out,
        h * w,
        #[inline(always)]
        |plane, first, out| {
            let (scale, shift) = (a[plane], b[plane]);
            for (y, &x) in out.iter_mut().zip(&x[plane * h * w + first..]) {
                *y = x * scale + shift;
            }
        },
    );
}

pub(super) fn channel_dot<T: Float>([_, _, h, w]: [usize; 4], a: &[T], b: &[T], out: &mut [T]) {
    reduce_planes(
        h * w,
        out,
        #[inline(always)]
        |range| sum_products(&a[range.clone()], &b[range]),
    );
}

pub(super) fn channel_sum<T: Float>([_, _, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    reduce_planes(
        h * w,
        out,
        #[inline(always)]
        |range| sum(&x[range]),
    );
}

pub(crate) fn pixel_modulate<T: Float>([_, c, h, w]: [usize; 4], x: &[T], s: &[T], out: &mut [T]) {
    runs(
        out,
        h * w,
        #[inline(always)]
        |plane, first, out| {
            let scales = &s[plane / c * h * w + first..];
            let x = &x[plane * h * w + first..];
            for ((y, &x), &scale) in out.iter_mut().zip(x).zip(scales) {
                *y = x * scale;
            }
        },
    );
}

pub(crate) fn pixel_dot<T: Float>(dims: [usize; 4], a: &[T], b: &[T], out: &mut [T]) {
    reduce_pixels(
        dims,
        out,
        #[inline(always)]
        |start, out| {
            for ((y, &a), &b) in out.iter_mut().zip(&a[start..]).zip(&b[start..]) {
                *y += a * b;
            }
        },
    );
}

pub(super) fn pixel_sum<T: Float>(dims: [usize; 4], x: &[T], out: &mut [T]) {
    reduce_pixels(
        dims,
        out,
        #[inline(always)]
        |start, out| {
            for (y, &x) in out.iter_mut().zip(&x[start..]) {
                *y += x;
            }
        },
    );
}

/// Calls `add` for every channel of a run of pixels, with the index of its first element in `[N,C,H,W]`.
fn reduce_pixels<T: Float>(
    [_, c, h, w]: [usize; 4],
    out: &mut [T],
    add: impl Fn(usize, &mut [T]) + Sync,
) {
    let pixels = h * w;
    runs_with(
        out,
        pixels,
        PIXELS,
        c,
        #[inline(always)]
        |sample, first, out| {
            out.fill(T::zero());
            for channel in 0..c {
                add((sample * c + channel) * pixels + first, out);
            }
        },
    );
}

/// `out[i]` is the sum of `part` over parts of at most [`PART`] elements of plane `i`.
fn reduce_planes<T: Float>(
    pixels: usize,
    out: &mut [T],
    part: impl Fn(Range<usize>) -> f64 + Sync,
) {
    let parts = pixels.div_ceil(PART);
    let sum = |plane: usize, i: usize| {
        let end = ((i + 1) * PART).min(pixels);
        part(plane * pixels + i * PART..plane * pixels + end)
    };
    if parts == 1 {
        return planes_with(
            out,
            1,
            pixels,
            || (),
            #[inline(always)]
            |_, i, out| out.fill(T::from_f64(sum(i, 0))),
        );
    }
    let mut sums = vec![0.; out.len() * parts];
    planes_with(
        &mut sums,
        1,
        PART,
        || (),
        #[inline(always)]
        |_, i, out| out.fill(sum(i / parts, i % parts)),
    );
    for (y, sums) in out.iter_mut().zip(sums.chunks_exact(parts)) {
        *y = T::from_f64(sums.iter().sum());
    }
}
