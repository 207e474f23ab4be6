//! Weights in the order in which the products read them.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::Shape;
use super::plan::pays_transformed;
use super::precision::Precision;
use super::scheme::{KERNEL, Scheme};
use crate::simd::{Lanes, Level, Line, WithLanes, Work, dispatch, vectors, vectors_mut};

/// Taps of a kernel.
pub(super) const TAPS: usize = 9;
/// Values of a transformed kernel on both axes.
const TRANSFORMED: usize = KERNEL * KERNEL;

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
    /// The taps of `LANES` outputs from `first` on, zero after the last: a vector for every tap and input.
    #[inline(always)]
    fn pack<L: Lanes>(self, l: L, first: usize, outputs: usize, taps: &mut [L::Vector]) {
        let count = L::LANES.min(outputs - first);
        let inputs = taps.len() / TAPS;
        let mut lanes = [0.0; TAPS * 16];
        for input in 0..inputs {
            let start = first * self.output_stride + input * self.input_stride;
            for lane in 0..count {
                let from = &self.w[start + lane * self.output_stride..][..TAPS];
                for tap in 0..TAPS {
                    lanes[tap * L::LANES + lane] = from[tap];
                }
            }
            for (tap, to) in taps[input..].iter_mut().step_by(inputs).enumerate() {
                let tap = if self.rotated { TAPS - 1 - tap } else { tap };
                *to = l.load(&lanes[tap * L::LANES..]);
            }
        }
    }
}

/// Where a convolution has its weight from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// As it is stored, to be packed for this one time.
    Stored(Kernels<'a>),
    /// Packed before.
    Packed(&'a Packed),
}

/// A weight that was packed once and for all, for the instruction set of one level.
#[derive(Debug)]
pub(crate) struct Packed {
    level: Level,
    /// Outputs and inputs.
    channels: [usize; 2],
    transformed: bool,
    precision: Precision,
    lines: Vec<Line>,
}

impl Packed {
    /// Packs a weight for convolutions of a shape, for every size of pictures and batch.
    pub(super) fn new<S: Scheme>(
        level: Level,
        shape: &Shape,
        kernels: Kernels,
        precision: Precision,
    ) -> Self {
        struct PackAll<'a, S>(&'a Shape, Kernels<'a>, Precision, PhantomData<S>);
        impl<S: Scheme> WithLanes for PackAll<'_, S> {
            type Output = (bool, Vec<Line>);

            fn with<L: Lanes>(self, l: L) -> Self::Output {
                let Self(shape, kernels, precision, _) = self;
                let transformed = pays_transformed(shape.input[0], shape.output[0]);
                let count = Weights::<L::Vector>::vectors::<L>(shape, transformed);
                let mut lines = vec![Line::default(); Line::count(l, count)];
                let to = &mut vectors_mut(l, &mut lines)[..count];
                Weights::pack::<S, L>(l, kernels, shape, transformed, precision, to);
                (transformed, lines)
            }
        }
        let work = PackAll::<S>(shape, kernels, precision, PhantomData);
        let (transformed, lines) = dispatch(level, work);
        Self {
            level,
            channels: [shape.output[0], shape.input[0]],
            transformed,
            precision,
            lines,
        }
    }

    /// The packed weights.
    pub(super) fn weights<L: Lanes>(
        &self,
        l: L,
        level: Level,
        shape: &Shape,
    ) -> Weights<'_, L::Vector> {
        let channels = [shape.output[0], shape.input[0]];
        assert!(
            self.level == level && self.channels == channels,
            "a weight of {:?} channels packed for {:?}, used for {channels:?} at {level:?}",
            self.channels,
            self.level
        );
        let count = Weights::<L::Vector>::vectors::<L>(shape, self.transformed);
        let all = &vectors(l, &self.lines)[..count];
        Weights::within(all, shape, self.transformed, self.precision)
    }
}

/// The weights of all outputs in panels of `LANES`.
pub(super) struct Weights<'a, V> {
    /// `[panel][tap][input]`.
    taps: &'a [V],
    /// `[panel][row of frequencies][column][input]`. Otherwise they are transformed where they are used, which
    /// takes a fifth of the memory.
    transformed: Option<&'a [V]>,
    inputs: usize,
    gain: f64,
    /// Of transformed weights.
    pub(super) precision: Precision,
}

impl<'a, V: Copy + Send + Sync> Weights<'a, V> {
    /// How many vectors [`pack`](Self::pack) fills.
    pub(super) fn vectors<L: Lanes<Vector = V>>(shape: &Shape, transformed: bool) -> usize {
        let panels = shape.output[0].div_ceil(L::LANES);
        let each = if transformed {
            TAPS + TRANSFORMED
        } else {
            TAPS
        };
        panels * shape.input[0] * each
    }

    /// Packs kernels into `all`.
    pub(super) fn pack<S: Scheme, L: Lanes<Vector = V>>(
        l: L,
        kernels: Kernels,
        shape: &Shape,
        transformed: bool,
        precision: Precision,
        all: &'a mut [V],
    ) -> Self {
        let ([outputs, ..], [inputs, ..]) = (shape.output, shape.input);
        let (taps, rest) = all.split_at_mut(Self::vectors::<L>(shape, false));
        let each = TRANSFORMED * inputs * usize::from(transformed);
        let panels = taps.par_chunks_mut(TAPS * inputs).enumerate();
        let mut parts: Vec<&mut [V]> = Vec::new();
        let mut rest_of = rest;
        for _ in 0..outputs.div_ceil(L::LANES) {
            let part;
            (part, rest_of) = rest_of.split_at_mut(each);
            parts.push(part);
        }
        panels.zip(parts).for_each(|((panel, taps), transformed)| {
            l.run(Pack::<S, L> {
                l,
                kernels,
                first: panel * L::LANES,
                outputs,
                gain: shape.gain,
                taps,
                transformed,
                precision,
                scheme: PhantomData,
            });
        });
        Self::within(all, shape, transformed, precision)
    }

    /// What [`pack`](Self::pack) has filled.
    fn within(all: &'a [V], shape: &Shape, transformed: bool, precision: Precision) -> Self {
        let inputs = shape.input[0];
        let each = if transformed {
            TAPS + TRANSFORMED
        } else {
            TAPS
        };
        let (taps, rest) = all.split_at(all.len() / each * TAPS);
        Self {
            taps,
            transformed: transformed.then_some(rest),
            inputs,
            gain: shape.gain,
            precision,
        }
    }

    /// One tap of all kernels of a panel, by input.
    pub(super) fn tap(&self, panel: usize, tap: usize) -> &[V] {
        &self.taps[(TAPS * panel + tap) * self.inputs..][..self.inputs]
    }

    /// How many vectors of scratch memory [`row`](Self::row) needs.
    pub(super) fn scratch(&self, panels: usize, depth: usize) -> usize {
        match self.transformed {
            Some(_) => 0,
            None => KERNEL * panels * depth,
        }
    }

    /// One row of frequencies of some panels and inputs: vectors, and the steps between panels and columns.
    #[inline(always)]
    pub(super) fn row<'b, S: Scheme, L: Lanes<Vector = V>>(
        &'b self,
        l: L,
        row: usize,
        panels: Range<usize>,
        inputs: Range<usize>,
        scratch: &'b mut [V],
    ) -> (&'b [V], [usize; 2]) {
        if let Some(transformed) = self.transformed {
            let depth = self.precision.depth(self.inputs);
            let start = panels.start * TRANSFORMED * self.inputs + row * KERNEL * depth;
            let first = inputs.start / self.precision.channels();
            return (
                &transformed[start + first..],
                [TRANSFORMED * self.inputs, depth],
            );
        }
        let depth = self.precision.depth(inputs.len());
        for (panel, scratch) in panels.zip(scratch.chunks_exact_mut(KERNEL * depth)) {
            let taps = std::array::from_fn(|tap| &self.tap(panel, tap)[inputs.clone()]);
            transform::<S, L>(l, row, self.gain, taps, self.precision, scratch);
        }
        (scratch, [KERNEL * depth, depth])
    }
}

struct Pack<'a, S, L: Lanes> {
    l: L,
    kernels: Kernels<'a>,
    first: usize,
    outputs: usize,
    gain: f64,
    taps: &'a mut [L::Vector],
    /// Empty where no transformed weights are wanted.
    transformed: &'a mut [L::Vector],
    precision: Precision,
    scheme: PhantomData<S>,
}

impl<S: Scheme, L: Lanes> Work for Pack<'_, S, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, taps, .. } = self;
        self.kernels.pack(l, self.first, self.outputs, taps);
        let inputs = taps.len() / TAPS;
        let taps = std::array::from_fn(|tap| &taps[tap * inputs..(tap + 1) * inputs]);
        let of_row = KERNEL * self.precision.depth(inputs);
        let rows = self.transformed.chunks_exact_mut(of_row).take(KERNEL);
        for (row, out) in rows.enumerate() {
            transform::<S, L>(l, row, self.gain, taps, self.precision, out);
        }
    }
}

/// One row of frequencies, `[column][input]` or a pair of inputs in place of each, of one panel: its taps, each by
/// input.
#[inline(always)]
fn transform<S: Scheme, L: Lanes>(
    l: L,
    row: usize,
    gain: f64,
    taps: [&[L::Vector]; TAPS],
    precision: Precision,
    out: &mut [L::Vector],
) {
    let mut terms = [(0, l.splat(0.0)); 3];
    let mut count = 0;
    for (i, &factor) in S::WEIGHT[row].iter().enumerate() {
        if factor != 0.0 {
            terms[count] = (i, l.splat((gain * factor) as f32));
            count += 1;
        }
    }
    match terms {
        [a, ..] if count == 1 => transform_sums::<S, L, 1>(l, [a], taps, precision, out),
        [a, b, _] if count == 2 => transform_sums::<S, L, 2>(l, [a, b], taps, precision, out),
        _ => transform_sums::<S, L, 3>(l, terms, taps, precision, out),
    }
}

/// [`transform`] of sums of rows of taps: their indices and factors.
#[inline(always)]
fn transform_sums<S: Scheme, L: Lanes, const N: usize>(
    l: L,
    terms: [(usize, L::Vector); N],
    taps: [&[L::Vector]; TAPS],
    precision: Precision,
    out: &mut [L::Vector],
) {
    let inputs = taps[0].len();
    let depth = precision.depth(inputs);
    let rows = terms.map(|(row, _)| [0, 1, 2].map(|x| &taps[3 * row + x][..inputs]));
    for input in 0..inputs {
        let mut columns = [l.splat(0.0); 3];
        for (x, column) in columns.iter_mut().enumerate() {
            *column = l.mul(terms[0].1, rows[0][x][input]);
            for (row, (_, factor)) in rows.iter().zip(terms).skip(1) {
                *column = l.mul_add(factor, row[x][input], *column);
            }
        }
        let transformed = S::weight(l, columns);
        let place = input / precision.channels();
        precision.put(l, input, inputs - 1, &transformed, &mut out[place..], depth);
    }
}
