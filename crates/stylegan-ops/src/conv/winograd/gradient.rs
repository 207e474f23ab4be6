//! Weight gradients of 3x3 convolutions of stride 1.
//!
//! The gradient of a weight is itself a correlation, of the picture with the upstream gradient. Cut into
//! tiles of 4x4 upstream pixels, each of which meets 6x6 pixels of the picture, it is a sum of correlations of
//! three outputs and four taps:
//!
//! ```text
//! dW = A^T [ sum over tiles of (G dy G^T) * (B^T x B) ] A
//! ```
//!
//! It takes 36 multiplications per tile, input and output channel where the direct form takes 144: 36 matrix
//! products, `[outputs, tiles] x [tiles, inputs]`. The sums stay transformed until all tiles are in.
//!
//! Lanes of vectors are neighbouring channels. Tiles are taken in parts whose transformed pictures fit
//! the cache; a task transforms one row of tiles of one vector of channels, and then sums one frequency of
//! one vector of outputs.

use rayon::prelude::*;

use super::precision::Precision;
use super::product::{self, Place};
use super::{Pictures, Shape, TILE, points};
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};

/// What the transformed pictures of a part take, in bytes, unless its tiles are fewer than [`TILES`].
const PART: usize = 4 << 20;
/// The least tiles of a part: the sums of all channels are read and written once per part.
const TILES: usize = 128;
/// Tiles whose products are summed in the registers: a panel of so many is in the first-level cache.
const DEPTH: usize = 128;

/// Whether the algorithm is faster than the direct form. The sums of all channels are written and read at
/// least once, so there have to be some tiles.
pub(crate) fn pays(shape: &Shape) -> bool {
    let tiles = shape.n * shape.output[1].div_ceil(TILE) * shape.output[2].div_ceil(TILE);
    shape.input[0] >= 32 && shape.output[0] >= 32 && tiles >= 64
}

/// A picture `[n, C, H, W]` and a scale `[n, C]` of its channels.
pub(crate) type Scaled<'a> = (&'a [f32], Option<&'a [f32]>);

/// Computes all of `out`, whose kernel `(output, input)` starts at `output * strides[0] + input * strides[1]`,
/// from the picture `x` of size `shape.input` and the upstream gradient `y` of size `shape.output`.
pub(crate) fn weight_gradient(
    level: Level,
    shape: &Shape,
    (x, scale_x): Scaled,
    (y, scale_y): Scaled,
    strides: [usize; 2],
    out: &mut [f32],
) {
    let pictures = |data, dims, scale| Pictures { data, dims, scale };
    let x = pictures(x, shape.input, scale_x);
    let y = pictures(y, shape.output, scale_y);
    dispatch(
        level,
        WeightGradient {
            shape,
            x,
            y,
            strides,
            out,
        },
    );
}

struct WeightGradient<'a> {
    shape: &'a Shape,
    x: Pictures<'a>,
    y: Pictures<'a>,
    strides: [usize; 2],
    out: &'a mut [f32],
}

impl WithLanes for WeightGradient<'_> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let Self { shape, x, y, .. } = self;
        let [lines, per_line] = [shape.output[1], shape.output[2]].map(|size| size.div_ceil(TILE));
        let lines_of_sample = lines;
        let lines = shape.n * lines;
        if lines * per_line == 0 {
            return self.out.fill(0.0);
        }
        let panels = [x, y].map(|p| p.dims[0].div_ceil(L::LANES));
        let [x_panels, y_panels] = panels;
        let of_tile = 36 * (x_panels + y_panels);
        let of_line = of_tile * per_line;
        let at_once = PART / (size_of::<L::Vector>() * of_line);
        let at_once = at_once.max(TILES.div_ceil(per_line)).min(lines);
        let sums = 36 * y_panels * L::LANES * x_panels;
        let steps = panels.map(|panels| step(at_once * per_line * panels));
        let size = 36 * (steps[0] + steps[1]);
        let mut scratch = Scratch::new(l, Scope::Call, sums + size);
        let (sums, scratch) = scratch.vectors(l).split_at_mut(sums);
        let groups = product::panels::<L>(x_panels);
        for first in (0..lines).step_by(at_once) {
            let count = at_once.min(lines - first);
            let tiles = count * per_line;
            let steps = panels.map(|panels| step(tiles * panels));
            let (xs, rest) = scratch.split_at_mut(36 * steps[0]);
            let ys = &mut rest[..36 * steps[1]];
            let line = |line: usize| Line {
                sample: (first + line) / lines_of_sample,
                top: (first + line) % lines_of_sample * TILE,
                tiles: per_line,
                first: line * per_line,
                of: tiles,
            };
            let to_x = SharedOut::new(l.floats_mut(xs));
            let to_y = SharedOut::new(l.floats_mut(ys));
            let of_x = (0..count * x_panels).into_par_iter().map(|i| (i, true));
            let of_y = (0..count * y_panels).into_par_iter().map(|i| (i, false));
            of_x.chain(of_y).for_each(|(i, is_x)| {
                if is_x {
                    let panel = i % x_panels;
                    l.run(TransformPicture {
                        l,
                        padding: shape.padding,
                        line: line(i / x_panels),
                        picture: x,
                        panel,
                        groups: &groups,
                        step: steps[0],
                        out: &to_x,
                    });
                } else {
                    l.run(TransformGradient {
                        l,
                        line: line(i / y_panels),
                        picture: y,
                        panel: i % y_panels,
                        step: steps[1],
                        out: &to_y,
                    });
                }
            });
            let (xs, ys) = (&*xs, &*ys);
            let rows = sums.par_chunks_mut(L::LANES * x_panels).enumerate();
            rows.for_each(|(i, sums)| {
                let (frequency, panel) = (i / y_panels, i % y_panels);
                l.run(Sum {
                    l,
                    outputs: L::LANES.min(shape.output[0] - panel * L::LANES),
                    gradients: &ys[frequency * steps[1] + panel * tiles..][..tiles],
                    pictures: &xs[frequency * steps[0]..][..tiles * x_panels],
                    groups: &groups,
                    accumulate: first > 0,
                    sums,
                });
            });
        }
        let out = SharedOut::new(self.out);
        let sums = &*sums;
        (0..shape.output[0]).into_par_iter().for_each(|output| {
            l.run(Finish {
                l,
                sums: &sums[output * x_panels..],
                of_frequency: y_panels * L::LANES * x_panels,
                inputs: shape.input[0],
                gain: shape.gain,
                start: output * self.strides[0],
                input_stride: self.strides[1],
                out: &out,
            });
        });
    }
}

/// The step between frequencies of so many vectors each. A tile has a vector in all of them: at multiples of a
/// large power of two these would drive each other out of the cache.
fn step(vectors: usize) -> usize {
    vectors | 1
}

/// A row of tiles.
struct Line {
    sample: usize,
    /// The first row of upstream pixels.
    top: usize,
    tiles: usize,
    /// The index of its first tile in the part, and how many tiles the part has.
    first: usize,
    of: usize,
}

/// One row of tiles of one vector of channels of the picture:
/// `[frequency][group of panels][tile][panel of the group]`.
struct TransformPicture<'a, L> {
    l: L,
    padding: usize,
    line: Line,
    picture: Pictures<'a>,
    panel: usize,
    groups: &'a [(usize, usize)],
    /// From frequency to frequency.
    step: usize,
    out: &'a SharedOut<'a, f32>,
}

impl<L: Lanes> Work for TransformPicture<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            l, padding, line, ..
        } = self;
        let pitch = TILE * line.tiles + 2;
        let mut scratch = Scratch::new(l, Scope::Task, 6 * pitch);
        let pixels = &mut scratch.vectors(l)[..6 * pitch];
        let rows = line.top as isize - padding as isize;
        let picture = (&self.picture, line.sample, self.panel);
        for (row, pixels) in (rows..).zip(pixels.chunks_exact_mut(pitch)) {
            bring_together(l, picture, row, padding, pixels);
        }
        let Some(&(start, width)) = self.groups.iter().rfind(|group| group.0 <= self.panel) else {
            return;
        };
        for tile in 0..line.tiles {
            let at = |row: usize, column: usize| pixels[row * pitch + TILE * tile + column];
            let mut columns = [[l.splat(0.0); 6]; 6];
            for (x, column) in columns.iter_mut().enumerate() {
                let d = [at(0, x), at(1, x), at(2, x), at(3, x), at(4, x), at(5, x)];
                *column = points::input(l, d);
            }
            let k = line.first + tile;
            let place = start * line.of + k * width + self.panel - start;
            for row in 0..6 {
                let d = row_of(l, &columns, row);
                for (column, value) in points::input(l, d).into_iter().enumerate() {
                    let to = (6 * row + column) * self.step + place;
                    write(l, self.out, to, value);
                }
            }
        }
    }
}

/// One row of tiles of one vector of channels of the upstream gradient: `[frequency][panel][tile]`.
struct TransformGradient<'a, L> {
    l: L,
    line: Line,
    picture: Pictures<'a>,
    panel: usize,
    /// From frequency to frequency.
    step: usize,
    out: &'a SharedOut<'a, f32>,
}

impl<L: Lanes> Work for TransformGradient<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, line, .. } = self;
        let pitch = TILE * line.tiles;
        let mut scratch = Scratch::new(l, Scope::Task, TILE * pitch);
        let pixels = &mut scratch.vectors(l)[..TILE * pitch];
        let picture = (&self.picture, line.sample, self.panel);
        for (row, pixels) in (line.top as isize..).zip(pixels.chunks_exact_mut(pitch)) {
            bring_together(l, picture, row, 0, pixels);
        }
        for tile in 0..line.tiles {
            let at = |row: usize, column: usize| pixels[row * pitch + TILE * tile + column];
            let mut columns = [[l.splat(0.0); 6]; TILE];
            for (x, column) in columns.iter_mut().enumerate() {
                *column = points::four_taps(l, [at(0, x), at(1, x), at(2, x), at(3, x)]);
            }
            for row in 0..6 {
                let d = row_of(l, &columns, row);
                for (column, value) in points::four_taps(l, d).into_iter().enumerate() {
                    let frequency = 6 * row + column;
                    let to = frequency * self.step + self.panel * line.of + line.first + tile;
                    write(l, self.out, to, value);
                }
            }
        }
    }
}

/// One row of a matrix that is given by its columns. A loop, not a `map`: that would be compiled for the least
/// machine.
#[inline(always)]
fn row_of<L: Lanes, const COLUMNS: usize, const ROWS: usize>(
    l: L,
    columns: &[[L::Vector; ROWS]; COLUMNS],
    row: usize,
) -> [L::Vector; COLUMNS] {
    let mut values = [l.splat(0.0); COLUMNS];
    for (value, column) in values.iter_mut().zip(columns) {
        *value = column[row];
    }
    values
}

/// Writes one vector to its place.
#[inline(always)]
fn write<L: Lanes>(l: L, out: &SharedOut<f32>, place: usize, value: L::Vector) {
    let to = out.at(place * L::LANES, L::LANES);
    // SAFETY: inside the buffer, as `at` checked. Places differ between tiles, frequencies and panels, and
    // every tile of every panel belongs to one task.
    l.store(value, unsafe {
        std::slice::from_raw_parts_mut(to, L::LANES)
    });
}

/// One row of pixels of one vector of channels, scaled: pixel `i` is column `i - padding` of the picture.
/// Zero outside the picture and after the last channel.
#[inline(always)]
fn bring_together<L: Lanes>(
    l: L,
    (picture, sample, panel): (&Pictures, usize, usize),
    row: isize,
    padding: usize,
    pixels: &mut [L::Vector],
) {
    let [channels, h, w] = picture.dims;
    let zero = l.splat(0.0);
    let Some(row) = usize::try_from(row).ok().filter(|&row| row < h) else {
        return pixels.fill(zero);
    };
    let (before, pixels) = pixels.split_at_mut(padding);
    let inside = w.min(pixels.len());
    let (pixels, after) = pixels.split_at_mut(inside);
    before.fill(zero);
    after.fill(zero);
    let to = l.floats_mut(pixels);
    for lane in (0..L::LANES).step_by(4) {
        let first = panel * L::LANES + lane;
        let source = |i: usize| {
            let plane = sample * channels + first + i;
            let scale = picture.scale.map_or(1.0, |s| s[plane]);
            (&picture.data[(plane * h + row) * w..][..inside], scale)
        };
        let mut done = 0;
        if first + 4 <= channels {
            let rows = [source(0), source(1), source(2), source(3)];
            while done + L::LANES <= inside {
                let mut v = [l.splat(0.0); 4];
                for (v, (row, scale)) in v.iter_mut().zip(&rows) {
                    *v = l.mul(l.splat(*scale), l.load(&row[done..]));
                }
                // Four channels of every fourth pixel, from the first, second, third and fourth on.
                let v = l.transpose4(v);
                for (i, four) in l.floats(&v).chunks_exact(4).enumerate() {
                    let pixel = i % (L::LANES / 4) * 4 + i / (L::LANES / 4);
                    to[(done + pixel) * L::LANES + lane..][..4].copy_from_slice(four);
                }
                done += L::LANES;
            }
        }
        for i in 0..4 {
            let to = to[done * L::LANES..].chunks_exact_mut(L::LANES);
            if first + i < channels {
                let (row, scale) = source(i);
                for (to, from) in to.zip(&row[done..]) {
                    to[lane + i] = from * scale;
                }
            } else {
                to.for_each(|to| to[lane + i] = 0.0);
            }
        }
    }
}

/// The sums of one frequency of one vector of outputs, for all inputs: `[output][panel of inputs]`.
struct Sum<'a, L: Lanes> {
    l: L,
    outputs: usize,
    /// `[tile]`.
    gradients: &'a [L::Vector],
    /// `[group of panels][tile][panel of the group]`.
    pictures: &'a [L::Vector],
    groups: &'a [(usize, usize)],
    accumulate: bool,
    sums: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Sum<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let tiles = self.gradients.len();
        for from in (0..tiles).step_by(DEPTH) {
            let to = tiles.min(from + DEPTH);
            let place = Place {
                row: self.sums.len() / L::LANES,
                vector: 1,
                accumulate: self.accumulate || from > 0,
            };
            for &(start, width) in self.groups {
                let b = &self.pictures[start * tiles + from * width..start * tiles + to * width];
                let a = &self.gradients[from..to];
                let sums = &mut self.sums[start..];
                product::multiply(self.l, Precision::F32, a, self.outputs, b, sums, place);
            }
        }
    }
}

/// The kernels of one output from its sums.
struct Finish<'a, L: Lanes> {
    l: L,
    /// From the first panel of inputs of the output on.
    sums: &'a [L::Vector],
    of_frequency: usize,
    inputs: usize,
    gain: f64,
    start: usize,
    input_stride: usize,
    out: &'a SharedOut<'a, f32>,
}

impl<L: Lanes> Work for Finish<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let l = self.l;
        let gain = l.splat(self.gain as f32);
        for (panel, first) in (0..self.inputs).step_by(L::LANES).enumerate() {
            let mut columns = [[gain; 3]; 6];
            for (x, column) in columns.iter_mut().enumerate() {
                let mut m = [gain; 6];
                for (y, m) in m.iter_mut().enumerate() {
                    *m = self.sums[(6 * y + x) * self.of_frequency + panel];
                }
                *column = points::three_outputs(l, m);
            }
            let mut taps = [gain; 9];
            for y in 0..3 {
                let m = row_of(l, &columns, y);
                for (x, tap) in points::three_outputs(l, m).into_iter().enumerate() {
                    taps[3 * y + x] = l.mul(gain, tap);
                }
            }
            let taps = l.floats(&taps);
            for lane in 0..L::LANES.min(self.inputs - first) {
                let start = self.start + (first + lane) * self.input_stride;
                let to = self.out.at(start, 9);
                for tap in 0..9 {
                    // SAFETY: `at` checked the nine elements, the kernel of one output and one input, which
                    // one task writes.
                    unsafe { *to.add(tap) = taps[tap * L::LANES + lane] };
                }
            }
        }
    }
}
