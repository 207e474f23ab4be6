//! The CPU kernel: every plane is filtered row by row, columns first.

use super::{Filter, UpFirDn2d};
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
    residues: Vec<Vec<T>>,
    first: i64,
    /// One sum for every result of every phase.
    sums: Vec<Vec<T>>,
}

impl<T: Float> Row<T> {
    fn new(axis: &Axis<T>) -> Self {
        let (first, last) = axis.offsets();
        let results = axis.results_per_phase();
        let span = (last - first) as usize / axis.step + 1 + results;
        Self {
            residues: vec![vec![T::zero(); span]; axis.step],
            first,
            sums: vec![vec![T::zero(); results]; axis.phases.len()],
        }
    }

    #[inline(always)]
    fn load(&mut self, samples: &[T]) {
        let step = self.residues.len();
        for (residue, lane) in self.residues.iter_mut().enumerate() {
            // lane[j] is sample j * step + residue + first
            let at = |j: usize| (j * step + residue) as i64 + self.first;
            let skipped = (-at(0)).max(0) as usize;
            let start = skipped.div_ceil(step).min(lane.len());
            lane[..start].fill(T::zero());
            let from = (at(start).max(0) as usize).min(samples.len());
            let source = samples[from..].iter().step_by(step);
            let filled = source.len().min(lane.len() - start);
            if step == 1 {
                lane[start..start + filled].copy_from_slice(&samples[from..from + filled]);
            } else {
                for (to, &sample) in lane[start..].iter_mut().zip(source) {
                    *to = sample;
                }
            }
            lane[start + filled..].fill(T::zero());
        }
    }

    /// Adds the filtered row to `out`.
    #[inline(always)]
    fn filter_into(&mut self, axis: &Axis<T>, out: &mut [T]) {
        for (sums, taps) in self.sums.iter_mut().zip(&axis.phases) {
            sums.fill(T::zero());
            for &(offset, tap) in taps {
                let position = (offset - self.first) as usize;
                let lane = &self.residues[position % axis.step][position / axis.step..];
                for (sum, &sample) in sums.iter_mut().zip(lane) {
                    *sum += tap * sample;
                }
            }
        }
        match self.sums.as_slice() {
            [sums] => {
                for (y, &sum) in out.iter_mut().zip(sums) {
                    *y += sum;
                }
            }
            [even, odd] if out.len().is_multiple_of(2) => {
                for ((y, &even), &odd) in out.chunks_exact_mut(2).zip(even).zip(odd) {
                    y[0] += even;
                    y[1] += odd;
                }
            }
            phases => {
                for (phase, sums) in phases.iter().enumerate() {
                    for (y, &sum) in out.iter_mut().skip(phase).step_by(phases.len()).zip(sums) {
                        *y += sum;
                    }
                }
            }
        }
    }
}

pub(super) fn upfirdn2d<T: Float>(
    x: &[T],
    [h, w]: [usize; 2],
    filter: &Filter,
    config: &UpFirDn2d,
    [rows, columns]: [usize; 2],
    out: &mut [T],
) {
    let [kh, kw] = filter.dims();
    let [x0, _, y0, _] = config.padding;
    if let Some((column, row)) = filter.factors() {
        let column: Vec<f64> = column.iter().map(|t| t * config.gain).collect();
        let vertical = Axis::<T>::new(&column, config, y0, h, rows);
        let horizontal = Axis::<T>::new(row, config, x0, w, columns);
        let scratch = || (Row::new(&horizontal), vec![T::zero(); w]);
        planes_with(
            out,
            rows * columns,
            kh * rows * columns,
            scratch,
            |(row, column_sums), plane, out| {
                let x = &x[plane * h * w..(plane + 1) * h * w];
                out.fill(T::zero());
                for (y, out) in out.chunks_exact_mut(columns).enumerate() {
                    column_sums.fill(T::zero());
                    for (at, tap) in vertical.reads(y) {
                        for (sum, &sample) in column_sums.iter_mut().zip(&x[at * w..(at + 1) * w]) {
                            *sum += tap * sample;
                        }
                    }
                    row.load(column_sums);
                    row.filter_into(&horizontal, out);
                }
            },
        );
    } else {
        // The vertical taps carry the index of the filter row that they select.
        let indices: Vec<f64> = (0..kh).map(|k| k as f64).collect();
        let vertical = Axis::<T>::new(&indices, config, y0, h, rows);
        let filter_row =
            |ky| -> Vec<f64> { (0..kw).map(|kx| filter.at(ky, kx) * config.gain).collect() };
        let horizontal: Vec<_> = (0..kh)
            .map(|ky| Axis::<T>::new(&filter_row(ky), config, x0, w, columns))
            .collect();
        planes_with(
            out,
            rows * columns,
            kh * rows * columns,
            || Row::new(&horizontal[0]),
            |row, plane, out| {
                let x = &x[plane * h * w..(plane + 1) * h * w];
                out.fill(T::zero());
                for (y, out) in out.chunks_exact_mut(columns).enumerate() {
                    for (at, ky) in vertical.reads(y) {
                        row.load(&x[at * w..(at + 1) * w]);
                        row.filter_into(&horizontal[ky.to_f64() as usize], out);
                    }
                }
            },
        );
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
