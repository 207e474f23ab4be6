//! The CPU kernel: every row of the result is a weighted sum of rows, columns first.
//!
//! A separable filter adds up the rows under its column once per result row, and then shifted copies of
//! that sum; any other filter adds up shifted copies of every row. Rows are tasks of their own, so that
//! a few large planes are spread over all cores.

use std::ops::Range;

use super::{Filter, UpFirDn2d};
use crate::combine::combine;
use crate::conv::Epilogue;
use crate::kernel::Float;
use crate::parallel::planes_with;

/// Which samples of one axis contribute to which results.
///
/// Results `j * period + phase` all have the same taps: `(offset, weight)` reads sample
/// `j * step + offset`.
struct Axis<T> {
    phases: Vec<Vec<(i64, T)>>,
    step: usize,
    input: usize,
    output: usize,
}

impl<T: Float> Axis<T> {
    fn new(taps: &[f64], config: &UpFirDn2d, before: i64, input: usize, output: usize) -> Self {
        let (up, down) = (config.up as i64, config.down as i64);
        let common = gcd(config.up, config.down);
        let last = taps.len() - 1;
        let tap = |k: usize| taps[if config.flip_filter { k } else { last - k }];
        let taps_of = |phase: usize| {
            let position = |k: usize| phase as i64 * down + k as i64 - before;
            let reads = (0..taps.len()).filter(|&k| position(k).rem_euclid(up) == 0);
            reads
                .map(|k| (position(k).div_euclid(up), T::from_f64(tap(k))))
                .collect()
        };
        let phases = (0..config.up / common).map(taps_of).collect();
        Self {
            phases,
            step: config.down / common,
            input,
            output,
        }
    }

    /// The samples that contribute to result `index`.
    fn reads(&self, index: usize) -> impl Iterator<Item = (usize, T)> + '_ {
        let start = (index / self.phases.len() * self.step) as i64;
        let inside = move |&(offset, tap): &(i64, T)| {
            let at = start + offset;
            (0..self.input as i64)
                .contains(&at)
                .then_some((at as usize, tap))
        };
        self.phases[index % self.phases.len()]
            .iter()
            .filter_map(inside)
    }

    /// The smallest and largest offset of any tap.
    fn offsets(&self) -> (i64, i64) {
        let all = || self.phases.iter().flatten().map(|&(offset, _)| offset);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }

    /// How many results each phase has at most.
    fn results_per_phase(&self) -> usize {
        self.output.div_ceil(self.phases.len())
    }
}

/// One row, padded with zeros and split by residue modulo the step, so that every tap of a phase
/// reads a contiguous run.
struct Row<T> {
    lanes: Vec<Vec<T>>,
    /// The samples that results read; what the lanes hold beside them stays zero.
    read: Range<usize>,
    /// The offset that the lanes begin with, and how many of their elements precede the samples.
    first: i64,
    skipped: usize,
    /// The samples in their order, where the lanes split them.
    samples: Vec<T>,
    /// The results of every phase, where there are several.
    results: Vec<Vec<T>>,
}

impl<T: Float> Row<T> {
    fn new(axis: &Axis<T>) -> Self {
        let (first, last) = axis.offsets();
        let results = axis.results_per_phase();
        let lane = (last - first) as usize / axis.step + 1 + results;
        let end = (first + (lane * axis.step) as i64).clamp(0, axis.input as i64) as usize;
        let read = (first.max(0) as usize).min(end)..end;
        let skipped = match read.is_empty() {
            true => 0,
            false => (read.start as i64 - first) as usize,
        };
        let phases = match axis.phases.len() {
            1 => 0,
            phases => phases,
        };
        Self {
            lanes: vec![vec![T::zero(); lane]; axis.step],
            samples: vec![T::zero(); if axis.step == 1 { 0 } else { read.len() }],
            read,
            first,
            skipped,
            results: vec![vec![T::zero(); results]; phases],
        }
    }

    /// Fills the row with a weighted sum of rows of samples.
    #[inline(always)]
    fn load<'a>(&mut self, rows: impl Iterator<Item = (T, &'a [T])>) {
        let (read, skipped, step) = (self.read.clone(), self.skipped, self.lanes.len());
        let rows = rows.map(|(weight, row)| (weight, &row[read.clone()]));
        if let [lane] = self.lanes.as_mut_slice() {
            return combine(rows, false, &mut lane[skipped..skipped + read.len()]);
        }
        combine(rows, false, &mut self.samples);
        for residue in 0..step {
            let (lane, start) = ((skipped + residue) % step, (skipped + residue) / step);
            let samples = self.samples[residue.min(read.len())..].iter();
            for (to, &sample) in self.lanes[lane][start..]
                .iter_mut()
                .zip(samples.step_by(step))
            {
                *to = sample;
            }
        }
    }

    /// Filters the row into `out`, or into the results of the phases, or adds to them.
    #[inline(always)]
    fn filter(&mut self, axis: &Axis<T>, accumulate: bool, out: &mut [T]) {
        let (lanes, first, step) = (&self.lanes, self.first, axis.step);
        let terms = |phase: usize| {
            axis.phases[phase].iter().map(move |&(offset, tap)| {
                let position = (offset - first) as usize;
                (tap, &lanes[position % step][position / step..])
            })
        };
        if self.results.is_empty() {
            return combine(terms(0), accumulate, out);
        }
        for (phase, results) in self.results.iter_mut().enumerate() {
            combine(terms(phase), accumulate, results);
        }
    }

    /// Puts the phases together, where there are several.
    #[inline(always)]
    fn store(&self, out: &mut [T]) {
        match self.results.as_slice() {
            [even, odd] if out.len().is_multiple_of(2) => {
                for ((y, &even), &odd) in out.chunks_exact_mut(2).zip(even).zip(odd) {
                    y[0] = even;
                    y[1] = odd;
                }
            }
            phases => {
                for (phase, results) in phases.iter().enumerate() {
                    let out = out.iter_mut().skip(phase).step_by(phases.len());
                    for (y, &result) in out.zip(results) {
                        *y = result;
                    }
                }
            }
        }
    }
}

/// Filters planes `[N * channels, h, w]` into planes of `rows` x `columns`, finished by an epilogue. Every
/// element of `out` is written.
pub(crate) fn upfirdn2d<T: Float, E: Epilogue<T>>(
    x: &[T],
    [channels, h, w]: [usize; 3],
    filter: &Filter,
    config: &UpFirDn2d,
    [rows, columns]: [usize; 2],
    epilogue: &E,
    out: &mut [T],
) {
    let [kh, kw] = filter.dims();
    let [x0, _, y0, _] = config.padding;
    let axes = |column: &[f64], rows_of_taps: &[&[f64]]| {
        let vertical = Axis::<T>::new(column, config, y0, h, rows);
        let horizontal = |taps: &&[f64]| Axis::<T>::new(taps, config, x0, w, columns);
        let horizontal: Vec<_> = rows_of_taps.iter().map(horizontal).collect();
        (vertical, horizontal)
    };
    let finish = |index: usize, out: &mut [T]| {
        if !E::EMPTY {
            let (plane, y) = (index / rows, index % rows);
            epilogue.finish(plane / channels, plane % channels, y * columns, out);
        }
    };
    let row_of = |index: usize, at: usize| &x[(index / rows * h + at) * w..][..w];
    if let Some((column, row)) = filter.factors() {
        let column: Vec<f64> = column.iter().map(|t| t * config.gain).collect();
        let (vertical, horizontal) = axes(&column, &[row]);
        let cost = (kh + kw) * columns;
        let scratch = || Row::new(&horizontal[0]);
        planes_with(
            out,
            columns,
            cost,
            scratch,
            #[inline(always)]
            |row, index, out| {
                let reads = vertical.reads(index % rows);
                row.load(reads.map(|(at, tap)| (tap, row_of(index, at))));
                row.filter(&horizontal[0], false, out);
                row.store(out);
                finish(index, out);
            },
        );
    } else {
        // The vertical taps carry the index of the filter row that they select.
        let indices: Vec<f64> = (0..kh).map(|k| k as f64).collect();
        let taps: Vec<f64> = (0..kh * kw)
            .map(|k| filter.at(k / kw, k % kw) * config.gain)
            .collect();
        let (vertical, horizontal) = axes(&indices, &taps.chunks_exact(kw).collect::<Vec<_>>());
        let cost = kh * (kw + 1) * columns;
        let scratch = || Row::new(&horizontal[0]);
        planes_with(
            out,
            columns,
            cost,
            scratch,
            #[inline(always)]
            |row, index, out| {
                let mut reads = vertical.reads(index % rows).peekable();
                if reads.peek().is_none() {
                    out.fill(T::zero());
                }
                let mut accumulate = false;
                for (at, ky) in reads {
                    row.load(std::iter::once((T::one(), row_of(index, at))));
                    row.filter(&horizontal[ky.to_f64() as usize], accumulate, out);
                    accumulate = true;
                }
                if accumulate {
                    row.store(out);
                }
                finish(index, out);
            },
        );
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
