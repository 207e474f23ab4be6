//! The last row and column of a transposed convolution of stride 2, where they would begin tiles of their own.

use super::precision::Precision;
use super::product::{self, Place};
use super::weights::Weights;
use super::{Pictures, Shape};
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Scope, Scratch, Work};

/// The last row or column of `LANES` outputs of one sample:
/// `z[2 h, 2 m + k] = gain * sum over i of w[o,i,2,k] * x[i, h - 1, m]`, and the same with the axes exchanged.
pub(super) struct Border<'a, L: Lanes> {
    pub(super) l: L,
    pub(super) shape: &'a Shape,
    pub(super) input: Pictures<'a>,
    pub(super) weights: &'a Weights<'a, L::Vector>,
    pub(super) finish: Option<super::Finish<'a>>,
    pub(super) out: &'a SharedOut<'a, f32>,
    pub(super) edge: Edge,
    /// How many results of the edge there are, from the first on.
    pub(super) results: usize,
    pub(super) sample: usize,
    pub(super) panel: usize,
}

/// Where a border is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Edge {
    Bottom,
    Right,
}

impl Edge {
    /// The three taps that reach it.
    fn taps(self) -> [usize; 3] {
        match self {
            Self::Bottom => [6, 7, 8],
            Self::Right => [2, 5, 8],
        }
    }
}

impl<L: Lanes> Work for Border<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let l = self.l;
        let [inputs, h, w] = self.shape.input;
        let len = match self.edge {
            Edge::Bottom => w,
            Edge::Right => h,
        };
        let vectors = len.div_ceil(L::LANES);
        let lanes = L::LANES.min(self.shape.output[0] - self.panel * L::LANES);
        let sizes = [inputs * vectors, 3 * L::LANES * vectors];
        let mut scratch = Scratch::new(l, Scope::Task, sizes.iter().sum());
        let (pixels, sums) = scratch.vectors(l).split_at_mut(sizes[0]);
        let panels = product::panels::<L>(vectors);
        for &(start, width) in &panels {
            let pixels = &mut pixels[start * inputs..(start + width) * inputs];
            self.gather(start * L::LANES, width * L::LANES, l.floats_mut(pixels));
        }
        let of_tap = L::LANES * vectors;
        let taps = self.edge.taps().into_iter();
        for (tap, sums) in taps.zip(sums.chunks_exact_mut(of_tap)) {
            let taps = self.weights.tap(self.panel, tap);
            for &(start, width) in &panels {
                let place = Place {
                    row: vectors,
                    vector: 1,
                    accumulate: false,
                };
                let pixels = &pixels[start * inputs..(start + width) * inputs];
                let sums = &mut sums[start..];
                product::multiply(l, Precision::F32, taps, lanes, pixels, sums, place);
            }
        }
        let sums = l.floats(sums);
        let tap = |tap: usize, lane: usize| &sums[(tap * L::LANES + lane) * vectors * L::LANES..];
        for lane in 0..lanes {
            self.write(lane, len, [0, 1, 2].map(|k| tap(k, lane)));
        }
    }
}

impl<L: Lanes> Border<'_, L> {
    /// Pixels of the edge from `first` on, `[input][width]`, scaled; zero after the last.
    #[inline(always)]
    fn gather(&self, first: usize, width: usize, to: &mut [f32]) {
        let [inputs, h, w] = self.shape.input;
        let (start, step, len) = match self.edge {
            Edge::Bottom => ((h - 1) * w, 1, w),
            Edge::Right => (w - 1, w, h),
        };
        for (input, to) in to.chunks_exact_mut(width).enumerate() {
            let plane = self.sample * inputs + input;
            let scale = self.input.scale.map_or(1.0, |s| s[plane]);
            let plane = &self.input.data[plane * h * w..(plane + 1) * h * w];
            for (i, to) in to.iter_mut().enumerate() {
                let at = first + i;
                *to = if at < len {
                    plane[start + at * step] * scale
                } else {
                    0.0
                };
            }
        }
    }

    /// Writes the results of one output from the products with the three taps.
    #[inline(always)]
    fn write(&self, lane: usize, len: usize, [first, second, third]: [&[f32]; 3]) {
        let gain = self.shape.gain as f32;
        let [outputs, h, w] = self.shape.output;
        let output = self.panel * L::LANES + lane;
        let (start, step) = match self.edge {
            Edge::Bottom => ((h - 1) * w, 1),
            Edge::Right => (w - 1, w),
        };
        let plane = (self.sample * outputs + output) * h * w;
        for i in 0..self.results {
            let m = i / 2;
            let value = match i % 2 {
                1 => second[m],
                _ if m == 0 => first[0],
                _ if m == len => third[m - 1],
                _ => first[m] + third[m - 1],
            };
            let at = start + i * step;
            let to = self.out.at(plane + at, 1);
            // SAFETY: `at` checked that it is inside the result. Tiles end before the border, other borders are
            // of other outputs, and of the two edges, one leaves the corner to the other.
            let to = unsafe { std::slice::from_raw_parts_mut(to, 1) };
            to[0] = gain * value;
            if let Some(finish) = self.finish {
                finish(self.sample, output, at, to);
            }
        }
    }
}
