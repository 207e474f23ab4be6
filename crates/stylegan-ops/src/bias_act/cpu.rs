//! The CPU kernels: one pass forward, one pass backward.

use super::BiasAct;
use crate::kernel::Float;
use crate::parallel::{TASK_ELEMENTS, planes};

/// What is applied per channel and pixel before the activation.
pub(super) struct Inputs<'a, T> {
    /// `[N,C]`.
    pub(super) scale: Option<&'a [T]>,
    /// `[C]`, or `[N,C]` beside a scale.
    pub(super) bias: &'a [T],
    /// `[N,1,H,W]` or `[1,1,H,W]`.
    pub(super) noise: Option<&'a [T]>,
}

pub(super) fn activate<T: Float>(
    [_, c, h, w]: [usize; 4],
    x: &[T],
    Inputs { scale, bias, noise }: Inputs<T>,
    config: &BiasAct,
    out: &mut [T],
) {
    let pixels = h * w;
    let curve = Curve::new(config);
    planes(out, pixels, |plane, out| {
        let x = &x[plane * pixels..(plane + 1) * pixels];
        let scale = scale.map_or(T::one(), |s| s[plane]);
        let bias = bias[plane % bias.len()];
        match noise {
            None => {
                for (y, &x) in out.iter_mut().zip(x) {
                    *y = curve.at(x * scale + bias);
                }
            }
            Some(noise) => {
                let start = plane / c * pixels % noise.len();
                for ((y, &x), &noise) in out.iter_mut().zip(x).zip(&noise[start..start + pixels]) {
                    *y = curve.at(x * scale + noise + bias);
                }
            }
        }
    });
}

pub(super) fn gradient<T: Float>(dy: &[T], y: &[T], config: &BiasAct, out: &mut [T]) {
    let curve = Curve::<T>::new(config);
    planes(out, TASK_ELEMENTS, |task, out| {
        let start = task * TASK_ELEMENTS;
        for ((d, &dy), &y) in out.iter_mut().zip(&dy[start..]).zip(&y[start..]) {
            *d = dy * curve.slope(y);
        }
    });
}

/// Activation, gain and clamp as two slopes and a limit.
struct Curve<T> {
    positive: T,
    negative: T,
    limit: T,
}

impl<T: Float> Curve<T> {
    fn new(config: &BiasAct) -> Self {
        Self {
            positive: T::from_f64(config.gain),
            negative: T::from_f64(config.gain * config.negative_slope()),
            limit: T::from_f64(config.clamp.unwrap_or(f64::INFINITY)),
        }
    }

    /// Comparisons are written so that a NaN stays a NaN.
    #[inline(always)]
    fn at(&self, t: T) -> T {
        let y = if t > T::zero() {
            t * self.positive
        } else {
            t * self.negative
        };
        let y = if y > self.limit { self.limit } else { y };
        let lowest = T::zero() - self.limit;
        if y < lowest { lowest } else { y }
    }

    /// The slope where the result is `y`.
    #[inline(always)]
    fn slope(&self, y: T) -> T {
        let slope = if y > T::zero() {
            self.positive
        } else {
            self.negative
        };
        let clamped = y >= self.limit || y <= T::zero() - self.limit;
        if clamped { T::zero() } else { slope }
    }
}
