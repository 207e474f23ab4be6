//! 3x3 convolutions of stride 1 by Winograd's algorithm F(4x4, 3x3).
//!
//! The picture is cut into tiles of 4x4 results, each of which depends on 6x6 pixels. With the matrices of
//! [`points`],
//!
//! ```text
//! Y = A^T [ sum over input channels of (G g G^T) * (B^T d B) ] A
//! ```
//!
//! takes 36 multiplications per tile, input and output channel where the direct form takes 144. For all
//! tiles, the sums are 36 matrix products, `[outputs, inputs] x [inputs, tiles]`, one for each of the
//! "frequencies".
//!
//! A task computes some outputs of some tiles, so few that what it holds stays in the second-level cache:
//!
//! 1. `B^T d B` for the tiles, in the order in which the products read it, with the scale of the inputs;
//!    where there are so many inputs that few tiles fit, tasks share it,
//! 2. for each row of six frequencies, six matrix products (`product`), then `A` on their columns,
//! 3. `A^T` on the rows, which makes the results, and the epilogue.
//!
//! Lanes of vectors are neighbouring tiles. The weights are packed for the products once; where they are
//! many, `G g G^T` is made of them row by row where it is used, because reading it costs more.
//!
//! With normally distributed pictures and weights, the largest error relative to the largest result is 1.4e-6
//! for 64 inputs, 3.9e-6 for 256 and 5.6e-6 for 512, where a single sum per pixel in `f32` is off by 0.8e-6,
//! 1.6e-6 and 1.9e-6.
//!
//! Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2016).

mod gradient;
mod plan;
mod points;
mod product;
mod tiling;
mod upsampling;
mod weights;

use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};
pub(crate) use gradient::{pays as gradient_pays, weight_gradient};
use plan::{Block, Plan};
use product::Strides;
use tiling::Tiles;
pub(crate) use upsampling::Upsampling;
pub(crate) use weights::Kernels;
use weights::{Composition, Weights};

/// Results per tile and axis.
const TILE: usize = 4;

/// A 3x3 correlation of stride 1: pixel (y, x) of the result sees the input from
/// (y - padding, x - padding) on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) n: usize,
    /// Channels, height and width.
    pub(crate) input: [usize; 3],
    /// Channels, height and width.
    pub(crate) output: [usize; 3],
    pub(crate) padding: usize,
    pub(crate) gain: f64,
}

/// Pictures `[N,C,H,W]` with an optional scale `[N,C]`.
#[derive(Clone, Copy)]
struct Pictures<'a> {
    data: &'a [f32],
    dims: [usize; 3],
    scale: Option<&'a [f32]>,
}

/// Whether the algorithm is faster than the direct form: few tiles do not pay for the transform of the weights,
/// few channels not for that of the pictures.
pub(crate) fn pays(shape: &Shape) -> bool {
    let [inputs, outputs] = [shape.input[0], shape.output[0]];
    let least = if inputs >= 256 { 16 } else { 96 };
    inputs >= 16 && outputs >= 16 && tiles(shape) >= least
}

/// Tiles of all samples.
fn tiles(shape: &Shape) -> usize {
    shape.n * shape.output[1].div_ceil(TILE) * shape.output[2].div_ceil(TILE)
}

/// Computes all of `out`: `[n, outputs, h, w]`, or `[n, outputs, 2 * h, 2 * w]` as [`Upsampling`] describes, where
/// `shape` has the size of the picture on both sides, and padding 1.
#[expect(
    clippy::too_many_arguments,
    reason = "a convolution, its inputs, and what goes before and behind it"
)]
pub(crate) fn convolve<E: Epilogue<f32>>(
    level: Level,
    shape: &Shape,
    upsampling: Option<&Upsampling>,
    input: &[f32],
    kernels: Kernels,
    scale: Option<&[f32]>,
    epilogue: &E,
    out: &mut [f32],
) {
    let input = Pictures {
        data: input,
        dims: shape.input,
        scale,
    };
    dispatch(
        level,
        Convolve {
            shape,
            input,
            kernels,
            composition: upsampling.map_or(&Composition::Plain, Upsampling::composition),
            epilogue,
            out,
        },
    );
}

struct Convolve<'a, E> {
    shape: &'a Shape,
    input: Pictures<'a>,
    kernels: Kernels<'a>,
    composition: &'a Composition,
    epilogue: &'a E,
    out: &'a mut [f32],
}

/// [`Epilogue::finish`] of some epilogue, compiled for an instruction set.
type Finish<'a> = &'a (dyn Fn(usize, usize, usize, &mut [f32]) + Sync);

impl<E: Epilogue<f32>> WithLanes for Convolve<'_, E> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let Self { epilogue, .. } = self;
        let finish = |sample: usize, channel: usize, first_pixel: usize, row: &mut [f32]| {
            l.run(FinishRun {
                epilogue,
                sample,
                channel,
                first_pixel,
                row,
            });
        };
        let finish: Option<Finish> = if E::EMPTY { None } else { Some(&finish) };
        convolve_with(
            l,
            self.shape,
            self.input,
            self.kernels,
            self.composition,
            finish,
            self.out,
        );
    }
}

/// A run of pixels for an epilogue.
struct FinishRun<'a, E> {
    epilogue: &'a E,
    sample: usize,
    channel: usize,
    first_pixel: usize,
    row: &'a mut [f32],
}

impl<E: Epilogue<f32>> Work for FinishRun<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.epilogue
            .finish(self.sample, self.channel, self.first_pixel, self.row);
    }
}

/// The convolution, once per instruction set and not per epilogue.
fn convolve_with<L: Lanes>(
    l: L,
    shape: &Shape,
    input: Pictures,
    kernels: Kernels,
    composition: &Composition,
    finish: Option<Finish>,
    out: &mut [f32],
) {
    let [outputs, inputs] = [shape.output[0], shape.input[0]];
    let phases = composition.phases();
    let plan = Plan::new::<L>(shape, phases);
    let panels = outputs.div_ceil(L::LANES) * phases;
    let weights = Weights::<L::Vector>::vectors(panels, inputs, plan.transformed);
    let largest = plan.blocks.iter().map(Block::vectors::<L>).max();
    let shared = plan.shared * 36 * inputs * largest.unwrap_or(0);
    let mut scratch = Scratch::new(l, Scope::Call, weights + shared);
    let (weights, shared) = scratch.vectors(l).split_at_mut(weights);
    let task = Task {
        l,
        shape,
        plan: &plan,
        input,
        weights: &Weights::new(l, kernels, composition, shape, plan.transformed, weights),
        phases,
        finish,
        out: &SharedOut::new(out),
        block: &Block::default(),
        panels: 0..panels,
        transformed: None,
    };
    let groups = |blocks: usize| -> Vec<(usize, Range<usize>)> {
        let each = plan.panels_per_task;
        let of = |block| {
            let starts = (0..panels).step_by(each);
            starts.map(move |p| (block, p..(p + each).min(panels)))
        };
        (0..blocks).flat_map(of).collect()
    };
    if plan.shared == 0 {
        let tasks = groups(plan.blocks.len()).into_par_iter();
        return tasks.for_each(|(block, panels)| {
            l.run(Task {
                block: &plan.blocks[block],
                panels,
                ..task.clone()
            });
        });
    }
    for blocks in plan.blocks.chunks(plan.shared) {
        let mut rest = &mut *shared;
        let mut parts = Vec::new();
        for block in blocks {
            let part;
            (part, rest) = rest.split_at_mut(36 * inputs * block.vectors::<L>());
            parts.push(part);
        }
        let tiles: Vec<_> = blocks
            .iter()
            .map(|b| Tiles::<L>::new(shape, &plan, b))
            .collect();
        let pieces = tiles.iter().zip(&mut parts).flat_map(|(tiles, part)| {
            let pieces = part.chunks_mut(36 * plan.depth * tiles.vectors).enumerate();
            pieces.map(move |(i, piece)| (tiles, i * plan.depth, piece))
        });
        let pieces: Vec<_> = pieces.collect();
        pieces.into_par_iter().for_each(|(tiles, first, out)| {
            let channels = first..(first + plan.depth).min(inputs);
            l.run(Transform {
                l,
                tiles,
                input,
                channels,
                out,
            });
        });
        groups(blocks.len())
            .into_par_iter()
            .for_each(|(block, panels)| {
                l.run(Task {
                    block: &blocks[block],
                    panels,
                    transformed: Some(&*parts[block]),
                    ..task.clone()
                });
            });
    }
}

/// The transform of some channels of a block.
struct Transform<'a, L: Lanes> {
    l: L,
    tiles: &'a Tiles<L>,
    input: Pictures<'a>,
    channels: Range<usize>,
    out: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Transform<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, tiles, .. } = self;
        let mut scratch = Scratch::new(l, Scope::Task, tiles.scratch());
        tiles.transform(l, &self.input, self.channels, scratch.vectors(l), self.out);
    }
}

/// Some outputs of a block.
struct Task<'a, L: Lanes> {
    l: L,
    shape: &'a Shape,
    plan: &'a Plan,
    input: Pictures<'a>,
    weights: &'a Weights<'a, L::Vector>,
    /// Neighbouring panels that are the phases of the same outputs: 1, or 4 that make pictures of twice the
    /// size.
    phases: usize,
    finish: Option<Finish<'a>>,
    out: &'a SharedOut<'a, f32>,
    block: &'a Block,
    panels: Range<usize>,
    /// The transformed pictures of the block, if other tasks use them, too.
    transformed: Option<&'a [L::Vector]>,
}

impl<L: Lanes> Clone for Task<'_, L> {
    fn clone(&self) -> Self {
        Self {
            panels: self.panels.clone(),
            ..*self
        }
    }
}

impl<L: Lanes> Work for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let l = self.l;
        let (inputs, phases) = (self.shape.input[0], self.phases);
        let (depth, group) = (self.plan.depth, self.plan.group.min(self.panels.len()));
        let tiles = Tiles::<L>::new(self.shape, self.plan, self.block);
        let vectors = tiles.vectors;
        let own = match self.transformed {
            Some(_) => 0,
            None => 36 * inputs * vectors,
        };
        let sizes = [
            own,
            self.weights.scratch(group, depth),
            6 * group * L::LANES * vectors,
            24 * group * L::LANES * vectors,
            tiles.scratch().max(phases * TILE * TILE * vectors),
        ];
        let mut scratch = Scratch::new(l, Scope::Task, sizes.iter().sum());
        let (own, scratch) = scratch.vectors(l).split_at_mut(sizes[0]);
        let (weights, scratch) = scratch.split_at_mut(sizes[1]);
        let (products, scratch) = scratch.split_at_mut(sizes[2]);
        let (columns, lines) = scratch.split_at_mut(sizes[3]);
        let transformed = match self.transformed {
            Some(transformed) => transformed,
            None => {
                let pieces = own.chunks_mut(36 * depth * vectors);
                for (piece, first) in pieces.zip((0..inputs).step_by(depth)) {
                    let channels = first..(first + depth).min(inputs);
                    tiles.transform(l, &self.input, channels, lines, piece);
                }
                own
            }
        };
        for first in self.panels.clone().step_by(group) {
            let panels = first..(first + group).min(self.panels.end);
            for row in 0..6 {
                let pieces = transformed.chunks(36 * depth * vectors);
                for (piece, first) in pieces.zip((0..inputs).step_by(depth)) {
                    let channels = first..(first + depth).min(inputs);
                    let each = 6 * channels.len() * vectors;
                    let piece = &piece[row * each..(row + 1) * each];
                    let panels = panels.clone();
                    self.multiply(&tiles, row, panels, channels, piece, weights, products);
                }
                for (i, panel) in panels.clone().enumerate() {
                    let results =
                        i * L::LANES * vectors..(i * L::LANES + self.lanes(panel)) * vectors;
                    for at in results {
                        let m = &products[6 * at..6 * at + 6];
                        let m = points::output(l, [m[0], m[1], m[2], m[3], m[4], m[5]]);
                        columns[24 * at + TILE * row..][..TILE].copy_from_slice(&m);
                    }
                }
            }
            for (i, panel) in panels.clone().enumerate().step_by(phases) {
                for lane in 0..self.lanes(panel) {
                    for phase in 0..phases {
                        let at = 24 * vectors * ((i + phase) * L::LANES + lane);
                        let lines = &mut lines[phase * TILE * TILE * vectors..];
                        results(l, &columns[at..at + 24 * vectors], lines);
                    }
                    self.finish(panel / phases * L::LANES + lane, vectors, lines);
                }
            }
        }
    }
}

/// The rows of the results of a block from the transformed columns, `[vector][row][4]`.
#[inline(always)]
fn results<L: Lanes>(l: L, columns: &[L::Vector], lines: &mut [L::Vector]) {
    let line = TILE * (columns.len() / 24);
    for (g, m) in columns.chunks_exact(24).enumerate() {
        let mut results = [[m[0]; TILE]; TILE];
        for (x, results) in results.iter_mut().enumerate() {
            let column = [m[x], m[x + 4], m[x + 8], m[x + 12], m[x + 16], m[x + 20]];
            *results = points::output(l, column);
        }
        for y in 0..TILE {
            let row = [results[0][y], results[1][y], results[2][y], results[3][y]];
            lines[y * line + TILE * g..][..TILE].copy_from_slice(&l.transpose4(row));
        }
    }
}

impl<L: Lanes> Task<'_, L> {
    /// Adds the six products of one row of frequencies over some inputs, `[output][vector][column]`;
    /// those of the first inputs replace what is there.
    #[expect(
        clippy::too_many_arguments,
        reason = "ranges of a product and its three matrices"
    )]
    #[inline(always)]
    fn multiply(
        &self,
        tiles: &Tiles<L>,
        row: usize,
        panels: Range<usize>,
        channels: Range<usize>,
        transformed: &[L::Vector],
        scratch: &mut [L::Vector],
        products: &mut [L::Vector],
    ) {
        let depth = channels.len();
        let strides = Strides {
            row: 6 * tiles.vectors,
            vector: 6,
        };
        let accumulate = channels.start > 0;
        let (weights, [panel_step, column_step]) =
            self.weights
                .row(self.l, row, panels.clone(), channels, scratch);
        let columns = transformed.chunks_exact(depth * tiles.vectors).enumerate();
        for (column, transformed) in columns {
            for &(start, width) in &tiles.panels {
                let b = &transformed[start * depth..(start + width) * depth];
                for (i, panel) in panels.clone().enumerate() {
                    let a = &weights[i * panel_step + column * column_step..][..depth];
                    let sums = &mut products[i * L::LANES * strides.row + 6 * start + column..];
                    let count = self.lanes(panel);
                    product::multiply(self.l, a, count, b, sums, strides, accumulate);
                }
            }
        }
    }

    /// How many lanes of a panel are outputs.
    fn lanes(&self, panel: usize) -> usize {
        L::LANES.min(self.shape.output[0] - panel / self.phases * L::LANES)
    }

    /// Writes the results of one output, `[phase][row of a tile][tile][column]`, and finishes them.
    #[inline(always)]
    fn finish(&self, output: usize, vectors: usize, lines: &[L::Vector]) {
        let l = self.l;
        let lines = l.floats(lines);
        let line = TILE * vectors * L::LANES;
        let up = if self.phases == 1 { 1 } else { 2 };
        let [outputs, h, w] = self.shape.output;
        let [plane, pitch] = [up * up * h * w, up * w];
        let first = TILE * self.block.columns.start;
        let width = (TILE * self.block.columns.len()).min(w - first);
        for (i, row) in self.block.rows.clone().enumerate() {
            let (sample, top) = (row / self.plan.tiles[0], row % self.plan.tiles[0] * TILE);
            let height = up * TILE.min(h - top);
            let pixel = up * (top * pitch + first);
            let start = (sample * outputs + output) * plane + pixel;
            let to = self.out.at(start, (height - 1) * pitch + up * width);
            for y in 0..height {
                let from = y / up * line + i * TILE * self.block.columns.len();
                // SAFETY: `at` checked that the rows are inside the result. Tasks differ in tiles or
                // outputs, so no other task writes to these pixels.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(y * pitch), up * width) };
                if up == 1 {
                    to.copy_from_slice(&lines[from..from + width]);
                } else {
                    let even = from + y % 2 * 2 * TILE * line;
                    let odd = even + TILE * line;
                    interleave(l, &lines[even..even + width], &lines[odd..odd + width], to);
                }
                if let (Some(finish), true) = (self.finish, width < w) {
                    finish(sample, output, pixel + y * pitch, to);
                }
            }
            if let (Some(finish), true) = (self.finish, width == w) {
                // SAFETY: the rows just written, which are all of their width.
                let to = unsafe { std::slice::from_raw_parts_mut(to, height * pitch) };
                finish(sample, output, pixel, to);
            }
        }
    }
}

/// `even[0], odd[0], even[1], odd[1], ...`
#[inline(always)]
fn interleave<L: Lanes>(l: L, even: &[f32], odd: &[f32], to: &mut [f32]) {
    let vectors = even.chunks_exact(L::LANES).zip(odd.chunks_exact(L::LANES));
    for ((even, odd), to) in vectors.zip(to.chunks_exact_mut(2 * L::LANES)) {
        let [lower, upper] = l.zip(l.load(even), l.load(odd));
        l.store(lower, to);
        l.store(upper, &mut to[L::LANES..]);
    }
    let rest = even.len() / L::LANES * L::LANES;
    let pairs = even[rest..].iter().zip(&odd[rest..]);
    for ((even, odd), to) in pairs.zip(to[2 * rest..].chunks_exact_mut(2)) {
        to.copy_from_slice(&[*even, *odd]);
    }
}
