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

    /// Packs kernels into `all`. The panels of the phases of a composition are neighbours.
    pub(super) fn new<L: Lanes<Vector = V>>(
        l: L,
        kernels: Kernels,
        composition: &Composition,
        shape: &Shape,
        transformed: bool,
        all: &'a mut [V],
    ) -> Self {
        let ([outputs, ..], [inputs, ..], gain) = (shape.output, shape.input, shape.gain);
        let each = Self::vectors(composition.phases(), inputs, transformed);
        let packed = all.par_chunks_mut(each).enumerate();
        packed.for_each(|(panel, out)| {
            l.run(Pack {
                l,
                kernels,
                composition,
                first: panel * L::LANES,
                outputs,
                inputs,
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

/// The phases of a result, each a 3x3 correlation whose taps are sums of the kernel's taps.
pub(super) enum Composition {
    /// One phase: the kernel itself.
    Plain,
    /// For every phase the terms of its nine taps: taps of the kernel and factors.
    Phases(Vec<[Vec<(usize, f32)>; 9]>),
}

impl Composition {
    pub(super) fn phases(&self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Phases(phases) => phases.len(),
        }
    }
}

struct Pack<'a, L: Lanes> {
    l: L,
    kernels: Kernels<'a>,
    composition: &'a Composition,
    first: usize,
    outputs: usize,
    inputs: usize,
    gain: f64,
    transformed: bool,
    out: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, inputs, out, .. } = self;
        if let (Composition::Plain, false) = (self.composition, self.transformed) {
            return self.kernels.pack(l, self.first, self.outputs, out);
        }
        let mut taps = vec![l.splat(0.0); inputs * 9];
        self.kernels.pack(l, self.first, self.outputs, &mut taps);
        let mut composed = taps.clone();
        let phases = self.composition.phases();
        for (phase, out) in out.chunks_exact_mut(out.len() / phases).enumerate() {
            if let Composition::Phases(phases) = self.composition {
                compose(l, &phases[phase], &taps, &mut composed);
            }
            if !self.transformed {
                out.copy_from_slice(&composed);
                continue;
            }
            for (row, out) in out.chunks_exact_mut(6 * inputs).enumerate() {
                transform(l, row, self.gain, &composed, out);
            }
        }
    }
}

/// The taps of one phase.
#[inline(always)]
fn compose<L: Lanes>(
    l: L,
    phase: &[Vec<(usize, f32)>; 9],
    taps: &[L::Vector],
    composed: &mut [L::Vector],
) {
    let inputs = taps.chunks_exact(9).zip(composed.chunks_exact_mut(9));
    for (taps, composed) in inputs {
        for (terms, to) in phase.iter().zip(composed) {
            let mut sum = l.splat(0.0);
            for &(tap, factor) in terms {
                sum = l.mul_add(l.splat(factor), taps[tap], sum);
            }
            *to = sum;
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
