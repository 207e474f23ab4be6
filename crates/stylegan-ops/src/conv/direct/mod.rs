//! The direct form in `f32`: sums of products of pixels where they lie.
//!
//! Lanes of vectors are output channels, and pixels are read one by one and multiplied with all of them
//! ([`product`]). So nothing is gathered, whatever the stride and the size of the picture: a pixel of the result is
//! the place of its first tap in the picture, and a tap is a distance from there. Only where taps reach beyond
//! the picture, or its channels are scaled, a tile of it is copied with zeros around ([`window`]).
//!
//! The gradient of the weight is the same product with other roles: its rows are the taps of the input channels,
//! and it sums over the pixels of the upstream gradient ([`gradient`]).
//!
//! In a transposed convolution of stride s, a tile is one of cells of s * s output pixels, and each of these phases
//! of the output grid sums the taps that reach it, so no product with an inserted zero is ever computed.

mod gradient;
mod pack;
mod product;
#[cfg(test)]
mod tests;
mod window;

use std::ops::Range;

use rayon::prelude::*;

use super::grid::Grid;
use super::{Derivative, Epilogue, Geometry};
use crate::gather::{Picture, Tile, tiles};
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};
pub(crate) use gradient::weight_gradient;
use pack::{Kernels, Pack};
use product::{Distances, Panel, panels};
use window::Window;

/// Pixels, in all channels, that the tile of a task has: what it needs of them stays in the second-level cache.
const PIXELS: usize = 64 * 1024;
/// The least and the most pixels of a tile.
const TILE: Range<usize> = 48..512;
/// Fewer tasks than this are split further.
const TASKS: usize = 8;
/// The most products per sum before they leave the registers: a panel of so many vectors is in the first-level
/// cache.
const DEPTH: usize = 64;
/// Inputs that a task packs.
const PACKED: usize = 16;

/// Splits `len` into parts of nearly one length, of at most `most`.
fn parts(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let part = len.div_ceil(len.div_ceil(most).max(1)).max(1);
    (0..len)
        .step_by(part)
        .map(move |start| start..(start + part).min(len))
}

/// How many pixels a tile should have of `all`, each of so many channels.
fn tile_pixels(all: usize, channels: usize) -> usize {
    let most = (PIXELS / channels.max(1)).clamp(TILE.start, TILE.end);
    most.min(all.div_ceil(TASKS).max(TILE.start))
}

/// The picture across the convolution, finished by an epilogue. Every element of `out` is written.
#[expect(
    clippy::too_many_arguments,
    reason = "a convolution, its inputs, and what goes behind it"
)]
pub(crate) fn convolve<E: Epilogue<f32>>(
    level: Level,
    g: &Geometry,
    by: Derivative,
    input: &[f32],
    w: &[f32],
    scale: Option<&[f32]>,
    epilogue: &E,
    out: &mut [f32],
) {
    let (y_stride, x_stride) = g.strides();
    let (output_stride, input_stride) = match by {
        Derivative::Y => (y_stride, x_stride),
        Derivative::X => (x_stride, y_stride),
    };
    let finish = |sample: usize, channel: usize, first_pixel: usize, row: &mut [f32]| {
        epilogue.finish(sample, channel, first_pixel, row);
    };
    let dims = match by {
        Derivative::Y => g.x,
        Derivative::X => g.y,
    };
    dispatch(
        level,
        Convolve {
            grid: &Grid::new(g, by),
            n: g.n,
            input: Picture {
                data: input,
                dims,
                scale,
            },
            output: g.output(by),
            gain: g.config.gain as f32,
            kernels: Kernels {
                w,
                output_stride,
                input_stride,
            },
            finish: if E::EMPTY { None } else { Some(&finish) },
            out,
        },
    );
}

/// [`Epilogue::finish`] of some epilogue.
type Finish<'a> = &'a (dyn Fn(usize, usize, usize, &mut [f32]) + Sync);

struct Convolve<'a> {
    grid: &'a Grid,
    n: usize,
    input: Picture<'a, f32>,
    output: [usize; 3],
    gain: f32,
    kernels: Kernels<'a>,
    finish: Option<Finish<'a>>,
    out: &'a mut [f32],
}

impl WithLanes for Convolve<'_> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let Self { grid, input, .. } = self;
        let (inputs, outputs) = (input.dims[0], self.output[0]);
        let panels = panels::<L>(outputs.div_ceil(L::LANES));
        let cells = self.n * grid.size[0] * grid.size[1];
        let tiles = tiles(self.n, grid.size, tile_pixels(cells, inputs));
        let Some(largest) = tiles.first() else { return };
        let window = Window::new(&input, grid, inputs, largest);
        let distances = |taps: &Vec<(usize, _)>| {
            let of_channel = |channel| taps.iter().map(move |(_, tap)| (channel, tap));
            let all = (0..inputs).flat_map(of_channel);
            all.map(|(channel, tap)| window.tap(channel, tap)).collect()
        };
        let distances: Vec<Vec<usize>> = grid.phases.iter().map(distances).collect();
        let vectors = outputs.div_ceil(L::LANES);
        let size = distances.iter().map(|d| d.len() * vectors).sum();
        let mut scratch = Scratch::new(l, Scope::Call, size);
        let weights = &mut scratch.vectors(l)[..size];
        self.pack(l, &panels, weights);
        let shared = Shared {
            l,
            grid,
            input,
            output: self.output,
            window: &window,
            places: &window.cells(largest),
            distances: &distances,
            weights,
            finish: self.finish,
            out: &SharedOut::new(self.out),
        };
        let groups = TASKS.div_ceil(tiles.len()).clamp(1, panels.len());
        let groups = panels.chunks(panels.len().div_ceil(groups));
        let tasks = tiles
            .iter()
            .flat_map(|tile| groups.clone().map(move |g| (tile, g)));
        let tasks: Vec<(&Tile, &[Panel])> = tasks.collect();
        tasks.into_par_iter().for_each(|(tile, panels)| {
            l.run(Task {
                shared: &shared,
                tile,
                panels,
            });
        });
    }
}

impl Convolve<'_> {
    /// The weights of every phase: of every panel, `[input][tap][vector]`.
    fn pack<L: Lanes>(&self, l: L, panels: &[Panel], weights: &mut [L::Vector]) {
        let inputs = self.input.dims[0];
        let taps: Vec<Vec<usize>> = self
            .grid
            .phases
            .iter()
            .map(|taps| taps.iter().map(|t| t.0).collect())
            .collect();
        let mut pieces = Vec::new();
        let mut rest = weights;
        for taps in &taps {
            for &panel in panels {
                for inputs in parts(inputs, PACKED) {
                    let piece;
                    (piece, rest) = rest.split_at_mut(inputs.len() * taps.len() * panel.width);
                    pieces.push((taps, panel, inputs, piece));
                }
            }
        }
        pieces
            .into_par_iter()
            .for_each(|(taps, panel, inputs, out)| {
                l.run(Pack {
                    l,
                    kernels: self.kernels,
                    taps,
                    panel,
                    outputs: self.output[0],
                    inputs,
                    gain: self.gain,
                    out,
                });
            });
    }
}

/// What all tasks of a convolution read, and what they write to.
struct Shared<'a, L: Lanes> {
    l: L,
    grid: &'a Grid,
    input: Picture<'a, f32>,
    output: [usize; 3],
    window: &'a Window,
    /// Of the cells of the largest tile, with which those of every other one begin.
    places: &'a [usize],
    /// Of every phase, by input and tap.
    distances: &'a [Vec<usize>],
    weights: &'a [L::Vector],
    finish: Option<Finish<'a>>,
    out: &'a SharedOut<'a, f32>,
}

/// Some outputs of a tile.
struct Task<'a, L: Lanes> {
    shared: &'a Shared<'a, L>,
    tile: &'a Tile,
    panels: &'a [Panel],
}

impl<L: Lanes> Work for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            shared,
            tile,
            panels,
        } = self;
        let l = shared.l;
        let phases = shared.grid.phases.len();
        let widest = panels.iter().map(|p| p.width).max().unwrap_or(0);
        let lanes = |vectors: usize| vectors * L::LANES;
        // Whole tiles of rows, and whole quads of pixels.
        let rows = tile.pixels().next_multiple_of(product::ROWS);
        let copy = shared.window.scratch().div_ceil(L::LANES);
        let of_panel = phases * widest * rows;
        let mut scratch = Scratch::new(l, Scope::Task, copy + widest * rows + of_panel);
        let (copy_of, scratch) = scratch.vectors(l).split_at_mut(copy);
        let (sums, results) = scratch.split_at_mut(widest * rows);
        let copy_of = l.floats_mut(copy_of);
        let inputs = shared.input.dims[0];
        let pixels = shared
            .window
            .pixels(&shared.input, tile, 0..inputs, copy_of);
        for &panel in panels {
            let channels = lanes(panel.width).min(shared.output[0] - lanes(panel.first));
            let mut start = 0;
            for (phase, distances) in shared.distances.iter().enumerate() {
                let results = &mut results[phase * panel.width * rows..][..panel.width * rows];
                let results = l.floats_mut(results);
                let weights = &shared.weights[start + distances.len() * panel.first..]
                    [..distances.len() * panel.width];
                start += distances.len() * shared.output[0].div_ceil(L::LANES);
                if distances.is_empty() {
                    results.fill(0.0);
                    continue;
                }
                // The last row of cells may lie outside the picture in this phase.
                let used = match tile.samples.len() {
                    1 => shared.grid.reached(phase, &tile.rows, shared.output[1]) * tile.columns,
                    _ => tile.pixels(),
                };
                if used == 0 {
                    continue;
                }
                for (i, part) in parts(distances.len(), DEPTH).enumerate() {
                    let weights = &weights[part.start * panel.width..part.end * panel.width];
                    let places = (&shared.places[..used], Distances::new(&distances[part]));
                    product::multiply(l, pixels, places, (weights, panel.width), sums, i > 0);
                }
                let sums = &sums[..panel.width * rows];
                product::spread(l, sums, panel.width, channels, rows, results);
            }
            let results = l.floats(&results[..phases * panel.width * rows]);
            let of_phase = lanes(panel.width) * rows;
            shared.write(
                tile,
                lanes(panel.first)..lanes(panel.first) + channels,
                results,
                [of_phase, rows],
            );
        }
    }
}

impl<L: Lanes> Shared<'_, L> {
    /// Puts the phases of some channels of a tile together, and finishes them. `results` is
    /// `[phase][channel][cell]`, with these steps from phase to phase and channel to channel.
    #[inline(always)]
    fn write(
        &self,
        tile: &Tile,
        channels: Range<usize>,
        results: &[f32],
        [phase, pitch]: [usize; 2],
    ) {
        let l = self.l;
        let [outputs, h, w] = self.output;
        let step = self.grid.step;
        let cells = tile.rows.len() * tile.columns;
        // The rows of the tile's cells are one run of pixels in every plane.
        let rows = tile.rows.start * step..(tile.rows.end * step).min(h);
        let len = rows.len() * w;
        for (i, channel) in channels.enumerate() {
            for (j, sample) in tile.samples.clone().enumerate() {
                let start = (sample * outputs + channel) * h * w + rows.start * w;
                let pointer = self.out.at(start, len);
                // SAFETY: inside the result, as `at` checked. Tasks differ in tile or channels, and tiles do
                // not overlap, so no other task accesses these pixels; this one holds one run at a time.
                let run = unsafe { std::slice::from_raw_parts_mut(pointer, len) };
                let results = &results[i * pitch + j * cells..];
                if step == 1 {
                    run.copy_from_slice(&results[..len]);
                } else {
                    for (row, out) in run.chunks_exact_mut(w).enumerate() {
                        let first = row / step * tile.columns + row % step * step * phase;
                        interleave(l, &results[first..], phase, step, out);
                    }
                }
                if let Some(finish) = self.finish {
                    finish(sample, channel, rows.start * w, run);
                }
            }
        }
    }
}

/// Fills a row with one element of each phase in turn; phases are `pitch` elements apart.
#[inline(always)]
fn interleave<L: Lanes>(l: L, phases: &[f32], pitch: usize, step: usize, row: &mut [f32]) {
    let mut done = 0;
    if step == 2 {
        for out in row.chunks_exact_mut(2 * L::LANES) {
            let [even, odd] = [0, pitch].map(|phase| l.load(&phases[phase + done..]));
            let [lower, upper] = l.zip(even, odd);
            l.store(lower, out);
            l.store(upper, &mut out[L::LANES..]);
            done += L::LANES;
        }
    }
    let row = &mut row[step * done..];
    for phase in 0..step.min(row.len()) {
        let results = &phases[phase * pitch + done..];
        for (to, &from) in row[phase..].iter_mut().step_by(step).zip(results) {
            *to = from;
        }
    }
}
