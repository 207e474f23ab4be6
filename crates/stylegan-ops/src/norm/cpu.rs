//! The CPU kernels. Whole planes stay in the cache between their passes, so instance norm reads and
//! writes memory once; pixel norm goes through its channels twice.

use super::EPSILON;
use crate::buffer::unspecified;
use crate::channelwise::cpu::{pixel_dot, pixel_modulate};
use crate::kernel::Float;
use crate::parallel::{TASK_ELEMENTS, planes, planes_with, runs};
use crate::sums::{sum, sum_products, sum_squares_about};

/// `1 / sqrt(mean_square + 1e-8)`.
fn inverse_root<T: Float>(mean_square: f64) -> T {
    T::from_f64((mean_square + EPSILON).sqrt().recip())
}

/// The mean of a plane, and one over its standard deviation.
#[inline(always)]
fn moments<T: Float>(x: &[T]) -> (T, T) {
    let per_pixel = 1.0 / x.len() as f64;
    let mean = T::from_f64(sum(x) * per_pixel);
    (mean, inverse_root(sum_squares_about(x, mean) * per_pixel))
}

pub(super) fn channel_normalise<T: Float>([_, _, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    let pixels = h * w;
    planes(
        out,
        pixels,
        #[inline(always)]
        |plane, out| {
            let x = &x[plane * pixels..(plane + 1) * pixels];
            let (mean, r) = moments(x);
            for (y, &x) in out.iter_mut().zip(x) {
                *y = (x - mean) * r;
            }
        },
    );
}

pub(super) fn channel_inverse_root<T: Float>([_, _, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    let pixels = h * w;
    planes_with(
        out,
        1,
        pixels,
        || (),
        #[inline(always)]
        |_, plane, out| {
            let (_, r) = moments(&x[plane * pixels..(plane + 1) * pixels]);
            out.fill(r);
        },
    );
}

pub(super) fn channel_project<T: Float>(
    [_, _, h, w]: [usize; 4],
    [v, y, r]: [&[T]; 3],
    out: &mut [T],
) {
    let pixels = h * w;
    let per_pixel = 1.0 / pixels as f64;
    planes(
        out,
        pixels,
        #[inline(always)]
        |plane, out| {
            let range = plane * pixels..(plane + 1) * pixels;
            let (v, y, r) = (&v[range.clone()], &y[range], r[plane]);
            let mean = T::from_f64(sum(v) * per_pixel);
            let along = T::from_f64(sum_products(v, y) * per_pixel);
            for ((d, &v), &y) in out.iter_mut().zip(v).zip(y) {
                *d = r * (v - mean - y * along);
            }
        },
    );
}

pub(super) fn pixel_normalise<T: Float>(dims @ [n, _, h, w]: [usize; 4], x: &[T], out: &mut [T]) {
    let mut r = unspecified(n * h * w);
    pixel_inverse_root(dims, x, &mut r);
    pixel_modulate(dims, x, &r, out);
}

pub(super) fn pixel_inverse_root<T: Float>(dims: [usize; 4], x: &[T], out: &mut [T]) {
    pixel_dot(dims, x, x, out);
    let per_channel = 1.0 / dims[1] as f64;
    planes(
        out,
        TASK_ELEMENTS,
        #[inline(always)]
        |_, out| {
            for r in out {
                *r = inverse_root(r.to_f64() * per_channel);
            }
        },
    );
}

pub(super) fn pixel_project<T: Float>(
    dims @ [n, c, h, w]: [usize; 4],
    [v, y, r]: [&[T]; 3],
    out: &mut [T],
) {
    let pixels = h * w;
    let mut along = unspecified(n * pixels);
    pixel_dot(dims, v, y, &mut along);
    let per_channel = T::from_f64(1.0 / c as f64);
    runs(
        out,
        pixels,
        #[inline(always)]
        |plane, first, out| {
            let of_sample = plane / c * pixels + first;
            let (along, r) = (&along[of_sample..], &r[of_sample..]);
            let start = plane * pixels + first;
            let inputs = v[start..].iter().zip(&y[start..]);
            for (((d, (&v, &y)), &along), &r) in out.iter_mut().zip(inputs).zip(along).zip(r) {
                *d = r * (v - y * (along * per_channel));
            }
        },
    );
}
