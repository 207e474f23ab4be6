//! The direct form from packed weights, for pictures of so few pixels that reading the weight takes most of the time.
//!
//! Lanes are outputs, as they are packed, so every vector of taps is read once per block of pixels, tap by tap in the
//! order in which they lie, and multiplied with all of these:
//!
//! ```text
//! sum[pixel][output] += w[input][tap][output] * x[input][pixel + offset of the tap]
//! ```
//!
//! A transposed convolution of stride 2 is four such sums: results whose rows and columns are even or odd have taps
//! of their own.

use rayon::prelude::*;

use super::weights::{Packed, TAPS, Weights};
use super::{Finish, Pictures, Shape, finishing};
use crate::conv::Epilogue;
use crate::parallel::{SharedOut, planes};
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};

/// Pixels of a block on one axis: their sums stay in the registers.
const BLOCK: usize = 5;

/// What one of the results of a cell of pixels sums: taps, and where in the padded picture their pixels are, from
/// the place of the cell.
struct Phase {
    /// Row and column within a cell.
    at: [usize; 2],
    /// Cells that have this result.
    cells: [usize; 2],
    taps: Vec<(usize, [usize; 2])>,
}

/// Results of a picture with a zero around it.
pub(super) struct Few<'a, E> {
    pub(super) level: Level,
    pub(super) shape: &'a Shape,
    pub(super) input: Pictures<'a>,
    pub(super) weight: &'a Packed,
    /// 1, or 2 for a transposed convolution of stride 2.
    pub(super) step: usize,
    pub(super) epilogue: &'a E,
    pub(super) out: &'a mut [f32],
}

impl<E: Epilogue<f32>> Few<'_, E> {
    /// Computes all results.
    pub(super) fn run(self) {
        dispatch(self.level, self);
    }

    /// The phases of a cell. Pixel 0 of the picture is pixel 1 of the padded one.
    fn phases(&self) -> Vec<Phase> {
        let [_, h, w] = self.shape.input;
        if self.step == 1 {
            return vec![Phase {
                at: [0, 0],
                cells: [h, w],
                taps: (0..TAPS).map(|tap| (tap, [tap / 3, tap % 3])).collect(),
            }];
        }
        // Result 2 p + k sums tap k of pixel p.
        let axis = |odd: usize| {
            if odd == 1 {
                vec![(1, 1)]
            } else {
                vec![(0, 1), (2, 0)]
            }
        };
        let phase = |[a, b]: [usize; 2]| Phase {
            at: [a, b],
            cells: [h + 1 - a, w + 1 - b],
            taps: axis(a)
                .into_iter()
                .flat_map(|(ky, y)| {
                    axis(b)
                        .into_iter()
                        .map(move |(kx, x)| (3 * ky + kx, [y, x]))
                })
                .collect(),
        };
        [[0, 0], [0, 1], [1, 0], [1, 1]].map(phase).into()
    }
}

impl<E: Epilogue<f32>> WithLanes for Few<'_, E> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let phases = self.phases();
        let Self {
            epilogue, shape, ..
        } = self;
        let finish = finishing(l, epilogue);
        let [inputs, h, w] = shape.input;
        let padded = [padded(h), padded(w)];
        let plane = padded[0] * padded[1];
        let vectors = (shape.n * inputs * plane).div_ceil(L::LANES);
        let mut scratch = Scratch::new(l, Scope::Call, vectors);
        let pixels = &mut l.floats_mut(scratch.vectors(l))[..shape.n * inputs * plane];
        pad(&self.input, padded, pixels);
        let panels = shape.output[0].div_ceil(L::LANES);
        let weights = self.weight.weights(l, self.level, shape);
        let out = SharedOut::new(self.out);
        let finish: Option<Finish> = if E::EMPTY { None } else { Some(&finish) };
        // Neighbouring tasks read the same weights.
        (0..panels * shape.n).into_par_iter().for_each(|i| {
            l.run(Panel {
                l,
                shape,
                step: self.step,
                phases: &phases,
                weights: &weights,
                pixels,
                pitch: padded[1],
                panel: i / shape.n,
                sample: i % shape.n,
                finish,
                out: &out,
            });
        });
    }
}

/// The size of an axis with a zero before it and as many behind it as the blocks read.
fn padded(size: usize) -> usize {
    let ends = |cells| blocks(cells).map(|(first, length)| first + computed(length) + 2);
    let ends = [size, size + 1].into_iter().flat_map(ends);
    ends.max().unwrap_or(2)
}

/// How many cells are computed for a block of a length.
fn computed(length: usize) -> usize {
    if length > BLOCK - 1 { BLOCK } else { BLOCK - 1 }
}

/// Copies all planes, scaled, to where zeros surround them.
fn pad(input: &Pictures, [rows, columns]: [usize; 2], to: &mut [f32]) {
    let [_, h, w] = input.dims;
    planes(
        to,
        rows * columns,
        #[inline(always)]
        |plane, to| {
            to.fill(0.0);
            let scale = input.scale.map_or(1.0, |s| s[plane]);
            let from = input.data[plane * h * w..(plane + 1) * h * w].chunks_exact(w);
            for (to, from) in to.chunks_exact_mut(columns).skip(1).zip(from) {
                for (to, from) in to[1..].iter_mut().zip(from) {
                    *to = from * scale;
                }
            }
        },
    );
}

/// A panel of outputs of one sample.
struct Panel<'a, L: Lanes> {
    l: L,
    shape: &'a Shape,
    step: usize,
    phases: &'a [Phase],
    weights: &'a Weights<'a, L::Vector>,
    /// The padded picture.
    pixels: &'a [f32],
    pitch: usize,
    panel: usize,
    sample: usize,
    finish: Option<Finish<'a>>,
    out: &'a SharedOut<'a, f32>,
}

impl<L: Lanes> Work for Panel<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for phase in self.phases {
            for rows in blocks(phase.cells[0]) {
                for columns in blocks(phase.cells[1]) {
                    let [y, x] = [rows, columns];
                    match [y.1, x.1].map(computed) {
                        [4, 4] => self.block::<4, 4>(phase, y, x),
                        [4, _] => self.block::<4, 5>(phase, y, x),
                        [_, 4] => self.block::<5, 4>(phase, y, x),
                        _ => self.block::<5, 5>(phase, y, x),
                    }
                }
            }
        }
        let Some(finish) = self.finish else { return };
        let [outputs, h, w] = self.shape.output;
        for lane in 0..self.lanes() {
            let output = self.panel * L::LANES + lane;
            let to = self.out.at((self.sample * outputs + output) * h * w, h * w);
            // SAFETY: `at` checked that the plane is inside the result; no other task has it.
            let plane = unsafe { std::slice::from_raw_parts_mut(to, h * w) };
            finish(self.sample, output, 0, plane);
        }
    }
}

/// Blocks of nearly one length: first and length.
fn blocks(cells: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = cells.div_ceil(BLOCK);
    let start = move |i: usize| i * cells / count.max(1);
    (0..count).map(move |i| (start(i), start(i + 1) - start(i)))
}

impl<L: Lanes> Panel<'_, L> {
    /// How many lanes are outputs.
    fn lanes(&self) -> usize {
        L::LANES.min(self.shape.output[0] - self.panel * L::LANES)
    }

    /// Sums a block of cells of a phase, and writes those of its rows and columns that there are.
    #[inline(always)]
    fn block<const ROWS: usize, const COLUMNS: usize>(
        &self,
        phase: &Phase,
        (top, height): (usize, usize),
        (left, width): (usize, usize),
    ) {
        let l = self.l;
        let inputs = self.shape.input[0];
        let plane = self.pixels.len() / (self.shape.n * inputs);
        let planes = self.pixels[self.sample * inputs * plane..].chunks_exact(plane);
        let mut sums = [[l.splat(0.0); COLUMNS]; ROWS];
        for &(tap, [y, x]) in &phase.taps {
            let first = (top + y) * self.pitch + left + x;
            let weights = self.weights.tap(self.panel, tap);
            for (&weight, plane) in weights.iter().zip(planes.clone()) {
                let pixels = &plane[first..][..(ROWS - 1) * self.pitch + COLUMNS];
                // Loops of known lengths over known places: the sums stay in the registers.
                for (r, sums) in sums.iter_mut().enumerate() {
                    let pixels = &pixels[r * self.pitch..][..COLUMNS];
                    for (sum, &pixel) in sums.iter_mut().zip(pixels) {
                        *sum = l.mul_add(weight, l.splat(pixel), *sum);
                    }
                }
            }
        }
        let gain = l.splat(self.shape.gain as f32);
        let [outputs, h, w] = self.shape.output;
        for (y, sums) in sums.iter().take(height).enumerate() {
            let row = self.step * (top + y) + phase.at[0];
            for (x, &sum) in sums.iter().take(width).enumerate() {
                let column = self.step * (left + x) + phase.at[1];
                let values = [l.mul(gain, sum)];
                for (lane, value) in l.floats(&values).iter().take(self.lanes()).enumerate() {
                    let output = self.panel * L::LANES + lane;
                    let at = ((self.sample * outputs + output) * h + row) * w + column;
                    // SAFETY: `at` checks that it is inside the result. Tasks differ in sample or outputs.
                    unsafe { *self.out.at(at, 1) = *value };
                }
            }
        }
    }
}
