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
//! A task computes some outputs of some tiles, one row of six frequencies after the other, so that the
//! transformed pictures of a task stay in the cache:
//!
//! 1. the row of `B^T d B` for all inputs of all tiles, in the order in which the product reads it
//!    (with the scale of the inputs),
//! 2. six matrix products,
//! 3. the columns of `A` on their results.
//!
//! When all rows are there, `A^T` makes the results, which the epilogue finishes. Lanes of vectors are
//! neighbouring tiles.
//!
//! Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2016).

mod plan;
mod points;
mod product;
mod tiles;
mod weights;

use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};
use plan::{Block, Plan};
use product::Strides;
use tiles::Tiles;
pub(crate) use weights::Kernels;
use weights::Weights;

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

/// Whether the algorithm is faster than the direct form.
pub(crate) fn pays(shape: &Shape) -> bool {
    let tiles = shape.n * shape.output[1].div_ceil(TILE) * shape.output[2].div_ceil(TILE);
    shape.input[0] >= 16 && shape.output[0] >= 16 && tiles >= 16
}

/// Computes all of `out`.
pub(crate) fn convolve<E: Epilogue<f32>>(
    level: Level,
    shape: &Shape,
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
            epilogue,
            out,
        },
    );
}

struct Convolve<'a, E> {
    shape: &'a Shape,
    input: Pictures<'a>,
    kernels: Kernels<'a>,
    epilogue: &'a E,
    out: &'a mut [f32],
}

impl<E: Epilogue<f32>> WithLanes for Convolve<'_, E> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let shape = self.shape;
        let [outputs, inputs] = [shape.output[0], shape.input[0]];
        let plan = Plan::new::<L>(shape);
        let panels = outputs.div_ceil(L::LANES);
        let weights = Weights::<L::Vector>::vectors(panels, inputs, plan.transformed);
        let largest = plan.blocks.iter().map(Block::vectors::<L>).max();
        let shared = plan.shared * 36 * inputs * largest.unwrap_or(0);
        let mut scratch = Scratch::new(l, Scope::Call, weights + shared);
        let (weights, shared) = scratch.vectors(l).split_at_mut(weights);
        let task = Task {
            l,
            shape,
            plan: &plan,
            input: self.input,
            weights: &Weights::new(l, self.kernels, shape, plan.transformed, weights),
            epilogue: self.epilogue,
            out: &SharedOut::new(self.out),
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
                    input: self.input,
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
struct Task<'a, L: Lanes, E> {
    l: L,
    shape: &'a Shape,
    plan: &'a Plan,
    input: Pictures<'a>,
    weights: &'a Weights<'a, L::Vector>,
    epilogue: &'a E,
    out: &'a SharedOut<'a, f32>,
    block: &'a Block,
    panels: Range<usize>,
    /// The transformed pictures of the block, if other tasks use them, too.
    transformed: Option<&'a [L::Vector]>,
}

impl<L: Lanes, E> Clone for Task<'_, L, E> {
    fn clone(&self) -> Self {
        Self {
            panels: self.panels.clone(),
            ..*self
        }
    }
}

impl<L: Lanes, E: Epilogue<f32>> Work for Task<'_, L, E> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let l = self.l;
        let [inputs, outputs] = [self.shape.input[0], self.shape.output[0]];
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
            tiles.scratch().max(TILE * TILE * vectors),
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
            let count = (panels.end * L::LANES).min(outputs) - first * L::LANES;
            for row in 0..6 {
                let pieces = transformed.chunks(36 * depth * vectors);
                for (piece, first) in pieces.zip((0..inputs).step_by(depth)) {
                    let channels = first..(first + depth).min(inputs);
                    let each = 6 * channels.len() * vectors;
                    let piece = &piece[row * each..(row + 1) * each];
                    let panels = panels.clone();
                    self.multiply(&tiles, row, panels, channels, piece, weights, products);
                }
                let results = products.chunks_exact(6).zip(columns.chunks_exact_mut(24));
                for (m, to) in results.take(count * vectors) {
                    let m = [m[0], m[1], m[2], m[3], m[4], m[5]];
                    to[TILE * row..TILE * (row + 1)].copy_from_slice(&points::output(l, m));
                }
            }
            let columns = columns.chunks_exact(24 * vectors);
            for (output, columns) in columns.take(count).enumerate() {
                self.finish(&tiles, first * L::LANES + output, columns, lines);
            }
        }
    }
}

impl<L: Lanes, E: Epilogue<f32>> Task<'_, L, E> {
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
                    let count = L::LANES.min(self.shape.output[0] - panel * L::LANES);
                    product::multiply(self.l, a, count, b, sums, strides, accumulate);
                }
            }
        }
    }

    /// Makes the results of one output from the transformed columns, `[vector][row][4]`.
    #[inline(always)]
    fn finish(
        &self,
        tiles: &Tiles<L>,
        output: usize,
        columns: &[L::Vector],
        lines: &mut [L::Vector],
    ) {
        let l = self.l;
        let line = TILE * tiles.vectors;
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
        let lines = l.floats(lines);
        let [outputs, h, w] = self.shape.output;
        let first = TILE * self.block.columns.start;
        let width = (TILE * self.block.columns.len()).min(w - first);
        for (i, row) in self.block.rows.clone().enumerate() {
            let (sample, top) = (row / self.plan.tiles[0], row % self.plan.tiles[0] * TILE);
            let height = TILE.min(h - top);
            let pixel = top * w + first;
            let start = (sample * outputs + output) * h * w + pixel;
            let to = self.out.at(start, (height - 1) * w + width);
            for y in 0..height {
                let from = y * line * L::LANES + i * TILE * self.block.columns.len();
                // SAFETY: `at` checked that the rows are inside the result. Tasks differ in tiles or
                // outputs, so no other task writes to these pixels.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(y * w), width) };
                to.copy_from_slice(&lines[from..from + width]);
                if !E::EMPTY && width < w {
                    self.epilogue.finish(sample, output, pixel + y * w, to);
                }
            }
            if !E::EMPTY && width == w {
                // SAFETY: the rows just written, which are all of their width.
                let to = unsafe { std::slice::from_raw_parts_mut(to, height * w) };
                self.epilogue.finish(sample, output, pixel, to);
            }
        }
    }
}
