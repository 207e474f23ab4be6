//! Weights in the order in which the products read them.

use std::ops::Range;

use rayon::prelude::*;

use super::Shape;
use super::points::{self, WEIGHT};
use crate::simd::{Lanes, Work};

/// A weight of 3x3 kernels and where its elements are: kernel `(output, input)` starts at
/// `output * output_stride + input * input_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Kernels<'a> {
    pub(crate) w: &'a [f32],
    pub(crate) output_stride: usize,
    pub(crate) input_stride: usize,
    /// Whether the kernels are rotated by 180 degrees.
    pub(crate) rotated: bool,
}

impl Kernels<'_> {
    /// The taps of `LANES` outputs from `first` on, zero after the last: nine vectors for every input.
    #[inline(always)]
    fn pack<L: Lanes>(self, l: L, first: usize, outputs: usize, taps: &mut [L::Vector]) {
        let count = L::LANES.min(outputs - first);
        let mut lanes = [0.0; 9 * 16];
        for (input, taps) in taps.chunks_exact_mut(9).enumerate() {
            let start = first * self.output_stride + input * self.input_stride;
            for lane in 0..count {
                let from = &self.w[start + lane * self.output_stride..][..9];
                for tap in 0..9 {
                    lanes[tap * L::LANES + lane] = from[tap];
                }
            }
            for (tap, to) in taps.iter_mut().enumerate() {
                let tap = if self.rotated { 8 - tap } else { tap };
                *to = l.load(&lanes[tap * L::LANES..]);
            }
        }
    }
}

/// The weights of all outputs in panels of `LANES`.
pub(super) struct Weights<'a, V> {
    /// `[panel][input][tap]`, or `[panel][row of frequencies][column][input]` if transformed.
    all: &'a [V],
    inputs: usize,
    gain: f64,
    /// Otherwise they take a quarter of the memory, and are transformed where they are used.
    transformed: bool,
}

impl<'a, V: Copy + Send + Sync> Weights<'a, V> {
    /// How many vectors `new` fills.
    pub(super) fn vectors(panels: usize, inputs: usize, transformed: bool) -> usize {
        panels * inputs * if transformed { 36 } else { 9 }
    }

    /// Packs kernels into `all`.
    pub(super) fn new<L: Lanes<Vector = V>>(
        l: L,
        kernels: Kernels,
        shape: &Shape,
        transformed: bool,
        all: &'a mut [V],
    ) -> Self {
        let ([outputs, ..], [inputs, ..], gain) = (shape.output, shape.input, shape.gain);
        let each = Self::vectors(1, inputs, transformed);
        all.par_chunks_mut(each)
            .enumerate()
            .for_each(|(panel, out)| {
                l.run(Pack {
                    l,
                    kernels,
                    first: panel * L::LANES,
                    outputs,
                    gain,
                    transformed,
                    out,
                });
            });
        Self {
            all,
            inputs,
            gain,
            transformed,
        }
    }

    /// How many vectors of scratch memory [`row`](Self::row) needs.
    pub(super) fn scratch(&self, panels: usize, depth: usize) -> usize {
        if self.transformed {
            0
        } else {
            6 * panels * depth
        }
    }

    /// One row of frequencies of some panels and inputs: vectors, and the steps between panels and columns.
    #[inline(always)]
    pub(super) fn row<'b, L: Lanes<Vector = V>>(
        &'b self,
        l: L,
        row: usize,
        panels: Range<usize>,
        inputs: Range<usize>,
        scratch: &'b mut [V],
    ) -> (&'b [V], [usize; 2]) {
        if self.transformed {
            let start = (panels.start * 6 + row) * 6 * self.inputs + inputs.start;
            return (&self.all[start..], [36 * self.inputs, self.inputs]);
        }
        let depth = inputs.len();
        for (panel, scratch) in panels.zip(scratch.chunks_exact_mut(6 * depth)) {
            let taps = &self.all[9 * (panel * self.inputs + inputs.start)..][..9 * depth];
            transform(l, row, self.gain, taps, scratch);
        }
        (scratch, [6 * depth, depth])
    }
}

struct Pack<'a, L: Lanes> {
    l: L,
    kernels: Kernels<'a>,
    first: usize,
    outputs: usize,
    gain: f64,
    transformed: bool,
    out: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, out, .. } = self;
        if !self.transformed {
            return self.kernels.pack(l, self.first, self.outputs, out);
        }
        let inputs = out.len() / 36;
        let mut taps = vec![l.splat(0.0); inputs * 9];
        self.kernels.pack(l, self.first, self.outputs, &mut taps);
        for (row, out) in out.chunks_exact_mut(6 * inputs).enumerate() {
            transform(l, row, self.gain, &taps, out);
        }
    }
}

/// One row of frequencies, `[column][input]`, of one panel of taps, `[input][tap]`.
#[inline(always)]
fn transform<L: Lanes>(l: L, row: usize, gain: f64, taps: &[L::Vector], out: &mut [L::Vector]) {
    let inputs = taps.len() / 9;
    let [a, b, c] = WEIGHT[row].map(|g| l.splat((gain * g) as f32));
    let (taps, _) = taps.as_chunks::<9>();
    for (input, w) in taps.iter().enumerate() {
        let column = |x: usize| l.mul_add(c, w[6 + x], l.mul_add(b, w[3 + x], l.mul(a, w[x])));
        let transformed = points::weight(l, [column(0), column(1), column(2)]);
        for (column, value) in transformed.into_iter().enumerate() {
            out[column * inputs + input] = value;
        }
    }
}
