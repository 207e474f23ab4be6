//! The channelwise kernels. Every plane (or pixel row) is computed by one task in a fixed order, so
//! results do not depend on the number of threads.

use std::ops::Range;

use crate::kernel::Float;
use crate::parallel::{planes, planes_with};
use crate::sums::{sum, sum_products};

/// Pictures of up to this many pixels are summed over their channels as a whole, larger ones by row.
const WHOLE_PICTURE: usize = 1024;

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

pub(crate) fn pixel_modulate<T: Float>([_, c, h, w]: [usize; 4], x: &[T], s: &[T], out: &mut [T]) {
    planes(out, h * w, |plane, out| {
        let scales = &s[plane / c * h * w..];
        for ((y, &x), &scale) in out.iter_mut().zip(&x[plane * h * w..]).zip(scales) {
            *y = x * scale;
        }
    });
}

pub(crate) fn pixel_dot<T: Float>(dims: [usize; 4], a: &[T], b: &[T], out: &mut [T]) {
    reduce_pixels(dims, out, |start, out| {
        for ((y, &a), &b) in out.iter_mut().zip(&a[start..]).zip(&b[start..]) {
            *y += a * b;
        }
    });
}

pub(super) fn pixel_sum<T: Float>(dims: [usize; 4], x: &[T], out: &mut [T]) {
    reduce_pixels(dims, out, |start, out| {
        for (y, &x) in out.iter_mut().zip(&x[start..]) {
            *y += x;
        }
    });
}

/// Calls `add` for every channel of a run of pixels, with the index of its first element in `[N,C,H,W]`.
fn reduce_pixels<T: Float>(
    [_, c, h, w]: [usize; 4],
    out: &mut [T],
    add: impl Fn(usize, &mut [T]) + Sync,
) {
    let pixels = h * w;
    let run = if pixels <= WHOLE_PICTURE { pixels } else { w };
    planes_with(
        out,
        run,
        run * c,
        || (),
        |_, index, out| {
            out.fill(T::zero());
            let (sample, first) = (index * run / pixels, index * run % pixels);
            for channel in 0..c {
                add((sample * c + channel) * pixels + first, out);
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
