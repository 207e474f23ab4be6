//! 1x1 convolutions to a few channels, such as the image outputs of a generator: each picture is read
//! once, and the products are too narrow for a matrix product to be worth its packing.

use rayon::prelude::*;

use crate::combine::combine;
use crate::conv::Epilogue;
use crate::kernel::Float;
use crate::parallel::{SharedOut, TASK_ELEMENTS, wide};

/// The most channels of a result.
const FEW_CHANNELS: usize = 4;
/// Elements of the input that stay in the cache while every channel of the result is computed.
const BLOCK: usize = 64 * 1024;

/// Sizes and gain of a 1x1 convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pointwise {
    pub(crate) n: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) pixels: usize,
    pub(crate) gain: f64,
}

/// Whether [`pointwise`] is the way to compute a convolution.
pub(crate) fn streams(sizes: &Pointwise) -> bool {
    sizes.outputs <= FEW_CHANNELS
}

/// `y[n,o,p] = gain sum_i w[o,i] s[n,i] x[n,i,p]`, finished by an epilogue. Every element of `out` is
/// written.
pub(crate) fn pointwise<T: Float, E: Epilogue<T>>(
    sizes: &Pointwise,
    x: &[T],
    w: &[T],
    scale: Option<&[T]>,
    epilogue: &E,
    out: &mut [T],
) {
    let Pointwise {
        n,
        inputs,
        outputs,
        pixels,
        gain,
    } = *sizes;
    let gain = T::from_f64(gain);
    let weight = |sample: usize, output: usize, input: usize| {
        let scale = scale.map_or(T::one(), |s| s[sample * inputs + input]);
        w[output * inputs + input] * scale * gain
    };
    let weights: Vec<T> = (0..n * outputs * inputs)
        .map(|i| weight(i / inputs / outputs, i / inputs % outputs, i % inputs))
        .collect();
    let run = (BLOCK / inputs.max(1)).clamp(64, 2048).min(pixels.max(1));
    let runs = pixels.div_ceil(run);
    let shared = SharedOut::new(out);
    let block = |index: usize| {
        let (sample, first) = (index / runs, index % runs * run);
        let len = run.min(pixels - first);
        let plane = |i: usize| &x[(sample * inputs + i) * pixels + first..][..len];
        for output in 0..outputs {
            let row = sample * outputs + output;
            let pointer = shared.at(row * pixels + first, len);
            // SAFETY: `at` checked the range, and no two blocks have the same pixels of a plane.
            let out = unsafe { std::slice::from_raw_parts_mut(pointer, len) };
            let weights = &weights[row * inputs..(row + 1) * inputs];
            let terms = || weights.iter().enumerate();
            wide(
                #[inline(always)]
                || combine(terms().map(|(i, &weight)| (weight, plane(i))), false, out),
            );
            if !E::EMPTY {
                epilogue.finish(sample, output, first, out);
            }
        }
    };
    if n * pixels * inputs <= TASK_ELEMENTS {
        return (0..n * runs).for_each(block);
    }
    (0..n * runs).into_par_iter().for_each(block);
}
