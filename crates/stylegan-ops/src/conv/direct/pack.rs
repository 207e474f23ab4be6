//! Weights in the order in which the products read them.

use std::ops::Range;

use super::product::Panel;
use crate::simd::{Lanes, Work};

/// A weight and where its elements are: kernel `(output, input)` starts at
/// `output * output_stride + input * input_stride`.
#[derive(Clone, Copy)]
pub(super) struct Kernels<'a> {
    pub(super) w: &'a [f32],
    pub(super) output_stride: usize,
    pub(super) input_stride: usize,
}

/// Packs some inputs of a panel of outputs: `[input][tap][vector]`, zero after the last output.
pub(super) struct Pack<'a, L: Lanes> {
    pub(super) l: L,
    pub(super) kernels: Kernels<'a>,
    /// Indices within the kernel.
    pub(super) taps: &'a [usize],
    pub(super) panel: Panel,
    pub(super) outputs: usize,
    pub(super) inputs: Range<usize>,
    pub(super) gain: f32,
    pub(super) out: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Kernels {
            w,
            output_stride,
            input_stride,
        } = self.kernels;
        let lanes = self.panel.width * L::LANES;
        let first = self.panel.first * L::LANES;
        let out = self.l.floats_mut(self.out);
        let of_input = lanes * self.taps.len();
        if of_input == 0 {
            return;
        }
        for (input, out) in self.inputs.zip(out.chunks_exact_mut(of_input)) {
            for lane in 0..lanes {
                let output = first + lane;
                if output >= self.outputs {
                    for to in out[lane..].iter_mut().step_by(lanes) {
                        *to = 0.0;
                    }
                    continue;
                }
                let kernel = &w[output * output_stride + input * input_stride..];
                for (&tap, to) in self.taps.iter().zip(out[lane..].iter_mut().step_by(lanes)) {
                    *to = kernel[tap] * self.gain;
                }
            }
        }
    }
}
