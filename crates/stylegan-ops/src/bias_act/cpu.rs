//! The CPU kernels: one pass forward, one pass backward.

use super::BiasAct;
use crate::conv::Epilogue;
use crate::kernel::Float;
use crate::parallel::{TASK_ELEMENTS, planes, runs, wide};

/// What is done to the channels of `[N,C,H,W]`: `clamp(act(x * scale + noise * strength + b) * gain)`.
pub(crate) struct Activator<'a, T> {
    /// C and H * W.
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
    /// `[N,C]`.
    pub(crate) scale: Option<&'a [T]>,
    /// `[C]`, or `[N,C]`.
    pub(crate) bias: Option<&'a [T]>,
    /// `[N,1,H,W]` or `[1,1,H,W]`, and what it is multiplied by.
    pub(crate) noise: Option<(&'a [T], T)>,
    pub(crate) curve: Curve<T>,
}

impl<T: Float> Activator<'_, T> {
    /// Pixels of one plane, from `first` on.
    #[inline(always)]
    fn activate(&self, sample: usize, channel: usize, first: usize, row: &mut [T]) {
        let plane = sample * self.channels + channel;
        // In registers: a slope that is chosen by its address would keep the loop scalar.
        let curve = self.curve;
        let scale = self.scale.map_or(T::one(), |s| s[plane]);
        let bias = self
            .bias
            .map_or(T::zero(), |b| match b.len() == self.channels {
                true => b[channel],
                false => b[plane],
            });
        match self.noise {
            None => {
                for y in row {
                    *y = curve.at(*y * scale + bias);
                }
            }
            Some((noise, strength)) => {
                let start = match noise.len() == self.pixels {
                    true => first,
                    false => sample * self.pixels + first,
                };
                for (y, &noise) in row.iter_mut().zip(&noise[start..]) {
                    *y = curve.at(*y * scale + noise * strength + bias);
                }
            }
        }
    }
}

impl<T: Float> Epilogue<T> for Activator<'_, T> {
    fn finish(&self, sample: usize, channel: usize, first_pixel: usize, row: &mut [T]) {
        wide(
            #[inline(always)]
            || self.activate(sample, channel, first_pixel, row),
        );
    }
}

/// Applies an activator to `x`.
pub(super) fn activate<T: Float>(x: &[T], activator: &Activator<T>, out: &mut [T]) {
    let pixels = activator.pixels;
    runs(
        out,
        pixels,
        #[inline(always)]
        |plane, first, out| {
            out.copy_from_slice(&x[plane * pixels + first..][..out.len()]);
            let (sample, channel) = (plane / activator.channels, plane % activator.channels);
            activator.activate(sample, channel, first, out);
        },
    );
}

pub(super) fn gradient<T: Float>(dy: &[T], y: &[T], config: &BiasAct, out: &mut [T]) {
    let curve = Curve::<T>::new(config);
    planes(
        out,
        TASK_ELEMENTS,
        #[inline(always)]
        |task, out| {
            let (start, curve) = (task * TASK_ELEMENTS, curve);
            for ((d, &dy), &y) in out.iter_mut().zip(&dy[start..]).zip(&y[start..]) {
                *d = dy * curve.slope(y);
            }
        },
    );
}

/// Activation, gain and clamp as two slopes and a limit.
#[derive(Clone, Copy)]
pub(crate) struct Curve<T> {
    positive: T,
    negative: T,
    limit: T,
}

impl<T: Float> Curve<T> {
    pub(crate) fn new(config: &BiasAct) -> Self {
        Self {
            positive: T::from_f64(config.gain),
            negative: T::from_f64(config.gain * config.negative_slope()),
            limit: T::from_f64(config.clamp.unwrap_or(f64::INFINITY)),
        }
    }

    /// Comparisons are written so that a NaN stays a NaN.
    #[inline(always)]
    pub(crate) fn at(&self, t: T) -> T {
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
