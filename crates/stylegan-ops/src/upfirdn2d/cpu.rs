//! The CPU kernel: every plane is filtered along its columns, then along its rows, a band of rows at a time.
//!
//! The columns of a band's results are summed into lines with zeros beside them, all of one length. So the rows
//! are summed without a look at where they end: one loop over all lines, whose results between the rows are
//! left out when they are put in order. A filter that is not separable is a sum of filters that are, of one row
//! each.

use std::ops::Range;

use rayon::prelude::*;

use super::{Filter, UpFirDn2d};
use crate::conv::Epilogue;
use crate::kernel::Float;
use crate::parallel::{RUN_ELEMENTS, planes_with, wide};

/// One axis of a filter: which samples contribute to which results.
///
/// Results `j * period + phase` all have the same taps: `(offset, weight)` reads sample
/// `j * step + offset`.
struct Axis<T> {
    phases: Vec<Vec<(i64, T)>>,
    step: usize,
}

impl<T: Float> Axis<T> {
    /// `taps` are positions in a filter of `len` and their weights.
    fn new(taps: &[(usize, f64)], len: usize, config: &UpFirDn2d, before: i64) -> Self {
        let (up, down) = (config.up as i64, config.down as i64);
        let common = gcd(config.up, config.down);
        let taps_of = |phase: usize| {
            let read = |&(tap, weight): &(usize, f64)| {
                let k = match config.flip_filter {
                    true => tap,
                    false => len - 1 - tap,
                };
                let position = phase as i64 * down + k as i64 - before;
                let whole = position.rem_euclid(up) == 0;
                whole.then(|| (position.div_euclid(up), T::from_f64(weight)))
            };
            taps.iter().filter_map(read).collect()
        };
        Self {
            phases: (0..config.up / common).map(taps_of).collect(),
            step: config.down / common,
        }
    }
}

/// A filter that is an outer product, or a summand of one that is not.
struct Separable<T> {
    column: Axis<T>,
    row: Axis<T>,
}

fn separable<T: Float>(filter: &Filter, config: &UpFirDn2d) -> Vec<Separable<T>> {
    let [kh, kw] = filter.dims();
    let [x0, _, y0, _] = config.padding;
    let of = |column: &[(usize, f64)], row: &[(usize, f64)]| Separable {
        column: Axis::new(column, kh, config, y0),
        row: Axis::new(row, kw, config, x0),
    };
    let gain = config.gain;
    if let Some((column, row)) = filter.factors() {
        let column: Vec<_> = column.iter().map(|tap| tap * gain).enumerate().collect();
        let row: Vec<_> = row.iter().copied().enumerate().collect();
        return vec![of(&column, &row)];
    }
    let row = |ky: usize| (0..kw).map(move |kx| (kx, filter.at(ky, kx) * gain));
    (0..kh)
        .map(|ky| of(&[(ky, 1.0)], &row(ky).collect::<Vec<_>>()))
        .collect()
}

/// Where samples and results lie in lines.
struct Lines {
    /// The sample that a line begins with.
    first: i64,
    /// The samples that results read; zero beside them.
    samples: Range<usize>,
    /// From line to line.
    pitch: usize,
    /// By how much taps are apart.
    reach: usize,
    /// Between results of a phase.
    step: usize,
}

impl Lines {
    /// For rows of `input` samples and `output` results.
    fn new<T: Float>(filters: &[Separable<T>], input: usize, output: usize) -> Self {
        let taps = || filters.iter().flat_map(|f| f.row.phases.iter().flatten());
        let offsets = || taps().map(|&(offset, _)| offset);
        let (first, last) = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        let (phases, step) = filters
            .first()
            .map_or((1, 1), |f| (f.row.phases.len(), f.row.step));
        let reach = (last - first) as usize;
        let results = output.div_ceil(phases).max(1);
        let pitch = (results - 1) * step + 1 + reach;
        let end = (first + pitch as i64).clamp(0, input as i64) as usize;
        Self {
            first,
            samples: (first.max(0) as usize).min(end)..end,
            pitch,
            reach,
            step,
        }
    }

    /// The samples within a line.
    fn place(&self) -> Range<usize> {
        if self.samples.is_empty() {
            return 0..0;
        }
        let start = (self.samples.start as i64 - self.first) as usize;
        start..start + self.samples.len()
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
    let filters = separable::<T>(filter, config);
    let bands = Bands {
        lines: Lines::new(&filters, w, columns),
        filters: &filters,
        x,
        dims: [channels, h, w],
        columns,
    };
    // Lines and results of a band stay in the fastest cache.
    let band = (RUN_ELEMENTS / bands.lines.pitch).clamp(1, rows.max(1));
    let [kh, kw] = filter.dims();
    // Eight taps take about as long as an element of other kernels.
    let cost = (kh + kw).div_ceil(8) * columns;
    let scratch = || Scratch::new(&bands, band);
    if band >= rows {
        return planes_with(
            out,
            rows * columns,
            rows * cost,
            scratch,
            #[inline(always)]
            |scratch, plane, out| bands.compute(scratch, plane, 0, epilogue, out),
        );
    }
    let planes = out.par_chunks_mut((rows * columns).max(1)).enumerate();
    planes.for_each(|(plane, out)| {
        let parts = out.par_chunks_mut(band * columns).enumerate();
        parts.for_each_init(scratch, |scratch, (i, out)| {
            wide(
                #[inline(always)]
                || bands.compute(scratch, plane, i * band, epilogue, out),
            );
        });
    });
}

/// What is computed in bands.
struct Bands<'a, T> {
    filters: &'a [Separable<T>],
    lines: Lines,
    x: &'a [T],
    /// Channels, height and width of `x`.
    dims: [usize; 3],
    /// Results per row.
    columns: usize,
}

/// Buffers of a band.
struct Scratch<T> {
    lines: Vec<T>,
    /// The results of every phase, in lines.
    results: Vec<Vec<T>>,
}

impl<T: Float> Scratch<T> {
    fn new(bands: &Bands<T>, rows: usize) -> Self {
        let len = rows * bands.lines.pitch;
        let phases = bands.filters.first().map_or(0, |f| f.row.phases.len());
        Self {
            lines: vec![T::zero(); len],
            results: vec![vec![T::zero(); len]; phases],
        }
    }
}

impl<T: Float> Bands<'_, T> {
    /// The rows of one plane from `first` on, as many as `out` has.
    #[inline(always)]
    fn compute<E: Epilogue<T>>(
        &self,
        scratch: &mut Scratch<T>,
        plane: usize,
        first: usize,
        epilogue: &E,
        out: &mut [T],
    ) {
        let Self { lines, columns, .. } = self;
        let [channels, h, w] = self.dims;
        let (pitch, rows) = (lines.pitch, out.len() / columns);
        let x = &self.x[plane * h * w..][..h * w];
        let sums = &mut scratch.lines[..rows * pitch];
        // Behind the last line there is nothing to read.
        let count = rows * pitch - lines.reach;
        for (i, filter) in self.filters.iter().enumerate() {
            sum_columns(&filter.column, lines, x, w, first..first + rows, sums);
            for (taps, results) in filter.row.phases.iter().zip(&mut scratch.results) {
                let at = |offset: i64| (offset - lines.first) as usize;
                weighted_sum(sums, taps, at, i > 0, &mut results[..count]);
            }
        }
        for (row, out) in out.chunks_exact_mut(*columns).enumerate() {
            put_in_order(&scratch.results, row * pitch, lines.step, out);
        }
        if !E::EMPTY {
            epilogue.finish(plane / channels, plane % channels, first * columns, out);
        }
    }
}

/// The results of all phases in lines that start at `from`, as one row.
#[inline(always)]
fn put_in_order<T: Float>(phases: &[Vec<T>], from: usize, step: usize, out: &mut [T]) {
    match (phases, step) {
        ([results], 1) => copy(&results[from..], out),
        ([results], 2) => halve(&results[from..], out),
        ([even, odd], 1) => interleave(&even[from..], &odd[from..], out),
        _ => {
            for (phase, results) in phases.iter().enumerate() {
                let out = out.iter_mut().skip(phase).step_by(phases.len());
                for (y, &result) in out.zip(results[from..].iter().step_by(step)) {
                    *y = result;
                }
            }
        }
    }
}

/// The sums of the columns of some rows, in lines.
#[inline(always)]
fn sum_columns<T: Float>(
    axis: &Axis<T>,
    lines: &Lines,
    x: &[T],
    w: usize,
    rows: Range<usize>,
    out: &mut [T],
) {
    let h = (x.len() / w.max(1)) as i64;
    let place = lines.place();
    for (row, out) in rows.zip(out.chunks_exact_mut(lines.pitch)) {
        let taps = &axis.phases[row % axis.phases.len()];
        let start = (row / axis.phases.len() * axis.step) as i64;
        let out = &mut out[place.clone()];
        let at = |offset: i64| (start + offset) as usize * w + lines.samples.start;
        let (Some(&(first, _)), Some(&(last, _))) = (taps.first(), taps.last()) else {
            out.fill(T::zero());
            continue;
        };
        let inside = |offset: i64| (0..h).contains(&(start + offset));
        if inside(first) && inside(last) {
            weighted_sum(x, taps, at, false, out);
            continue;
        }
        out.fill(T::zero());
        for tap in taps.iter().filter(|tap| inside(tap.0)) {
            weighted_sum(x, std::slice::from_ref(tap), at, true, out);
        }
    }
}

/// Terms that one pass over the result adds up.
const TERMS: usize = 4;
/// Elements of a loop of a fixed length, which is vectors: rows are too short for one that finds out.
const CHUNK: usize = 8;
/// The same for longer runs.
const LONG_CHUNK: usize = 16;

/// `out[i] = sum over taps of weight * from[at(offset) + i]`, or `out[i] += ...` if `accumulate`.
#[inline(always)]
fn weighted_sum<T: Float>(
    from: &[T],
    taps: &[(i64, T)],
    at: impl Fn(i64) -> usize,
    accumulate: bool,
    out: &mut [T],
) {
    if taps.is_empty() && !accumulate {
        return out.fill(T::zero());
    }
    for (i, taps) in taps.chunks(TERMS).enumerate() {
        let accumulate = accumulate || i > 0;
        match taps {
            [a, b, c, d] => sum_of(from, [a, b, c, d], &at, accumulate, out),
            [a, b, c] => sum_of(from, [a, b, c], &at, accumulate, out),
            [a, b] => sum_of(from, [a, b], &at, accumulate, out),
            [a] => sum_of(from, [a], &at, accumulate, out),
            _ => {}
        }
    }
}

#[inline(always)]
fn sum_of<T: Float, const N: usize>(
    from: &[T],
    taps: [&(i64, T); N],
    at: &impl Fn(i64) -> usize,
    accumulate: bool,
    out: &mut [T],
) {
    let mut weights = [T::zero(); N];
    let mut sources = [from; N];
    for (k, &(offset, weight)) in taps.into_iter().enumerate() {
        weights[k] = weight;
        sources[k] = &from[at(offset)..][..out.len()];
    }
    let done = match out.len() >= LONG_CHUNK {
        true => sum_chunks::<T, N, LONG_CHUNK>(weights, sources, accumulate, 0, out),
        false => 0,
    };
    let done = sum_chunks::<T, N, CHUNK>(weights, sources, accumulate, done, out);
    for (i, y) in out.iter_mut().enumerate().skip(done) {
        let mut sum = T::zero();
        for (weight, source) in weights.iter().zip(&sources) {
            sum += *weight * source[i];
        }
        *y = if accumulate { *y + sum } else { sum };
    }
}

/// Sums whole chunks from element `done` on, and returns how many elements are done.
#[inline(always)]
fn sum_chunks<T: Float, const N: usize, const LEN: usize>(
    weights: [T; N],
    sources: [&[T]; N],
    accumulate: bool,
    mut done: usize,
    out: &mut [T],
) -> usize {
    while done < out.len() {
        // The last chunk overlaps the one before it, unless that would add to sums twice.
        if done + LEN > out.len() && !accumulate && out.len() >= LEN {
            done = out.len() - LEN;
        }
        if done + LEN > out.len() {
            break;
        }
        let mut sum = [T::zero(); LEN];
        for (weight, source) in weights.iter().zip(&sources) {
            for (sum, &x) in sum.iter_mut().zip(&source[done..done + LEN]) {
                *sum += *weight * x;
            }
        }
        for (y, sum) in out[done..done + LEN].iter_mut().zip(sum) {
            *y = if accumulate { *y + sum } else { sum };
        }
        done += LEN;
    }
    done
}

#[inline(always)]
fn copy<T: Float>(from: &[T], out: &mut [T]) {
    out.copy_from_slice(&from[..out.len()]);
}

/// Every second element.
#[inline(always)]
fn halve<T: Float>(from: &[T], out: &mut [T]) {
    let (chunks, rest) = out.as_chunks_mut::<CHUNK>();
    let done = chunks.len() * CHUNK;
    for (out, from) in chunks.iter_mut().zip(from.chunks(2 * CHUNK)) {
        // The last has no element behind it.
        let from = &from[..2 * CHUNK - 1];
        for (i, y) in out.iter_mut().enumerate() {
            *y = from[2 * i];
        }
    }
    for (i, y) in rest.iter_mut().enumerate() {
        *y = from[2 * (done + i)];
    }
}

/// `even[0], odd[0], even[1], odd[1], ...`
#[inline(always)]
fn interleave<T: Float>(even: &[T], odd: &[T], out: &mut [T]) {
    let (chunks, rest) = out.as_chunks_mut::<{ 2 * CHUNK }>();
    let done = chunks.len() * CHUNK;
    let phases = even.chunks(CHUNK).zip(odd.chunks(CHUNK));
    for (out, (even, odd)) in chunks.iter_mut().zip(phases) {
        let (even, odd) = (&even[..CHUNK], &odd[..CHUNK]);
        for i in 0..CHUNK {
            out[2 * i] = even[i];
            out[2 * i + 1] = odd[i];
        }
    }
    for (i, y) in rest.iter_mut().enumerate() {
        let phase = if i % 2 == 0 { even } else { odd };
        *y = phase[done + i / 2];
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
