//! 3x3 convolutions of stride 1, and transposed ones of stride 2, by Winograd's algorithm.
//!
//! A convolution of stride 1 is F(4x4, 3x3): the picture is cut into tiles of 4x4 results, each of which depends on
//! 6x6 pixels. With the matrices of [`points`],
//!
//! ```text
//! Y = A^T [ sum over input channels of (G g G^T) * (B^T d B) ] A
//! ```
//!
//! takes 36 multiplications per tile, input and output channel where the direct form takes 144. For all
//! tiles, the sums are 36 matrix products, `[outputs, inputs] x [inputs, tiles]`, one for each of the
//! "frequencies".
//!
//! A transposed convolution of stride 2 is the same with other matrices: tiles of 8x8 results of 5x5 pixels, and 81
//! products ([`scheme`]) where the direct form takes 144.
//!
//! A task computes some outputs of some tiles, so few that what it holds stays in the second-level cache:
//!
//! 1. `B^T d B` for the tiles, in the order in which the products read it, with the scale of the inputs;
//!    where there are so many inputs that few tiles fit, tasks share it,
//! 2. for each row of frequencies, a matrix product for each of them (`product`), then `A` on their columns,
//! 3. `A^T` on the rows, which makes the results, and the epilogue.
//!
//! Lanes of vectors are neighbouring tiles. The weights are packed for the products once per call, or once and for
//! all ([`Packed`]); where they are many, `G g G^T` is made of them row by row where it is used, because reading it
//! costs more.
//!
//! With normally distributed pictures and weights, the largest error relative to the largest result is 1.4e-6
//! for 64 inputs, 3.9e-6 for 256 and 5.6e-6 for 512, where a single sum per pixel in `f32` is off by 0.8e-6,
//! 1.6e-6 and 1.9e-6.
//!
//! Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks" (2016).

mod border;
mod few;
mod gradient;
mod plan;
mod points;
mod precision;
mod product;
mod scheme;
mod tiling;
mod weights;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::Epilogue;
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};
use border::{Border, Edge};
use few::Few;
pub(crate) use gradient::{pays as gradient_pays, weight_gradient};
use plan::{Block, Plan};
pub use precision::Precision;
use product::Place;
use scheme::{Doubled, MOST_PRODUCTS, MOST_RESULTS, Same, Scheme};
use tiling::Tiles;
use weights::Weights;
pub(crate) use weights::{Kernels, Packed, Source};

/// Input pixels from tile to tile, on both axes.
const TILE: usize = 4;

/// A 3x3 correlation of stride 1: pixel (y, x) of the result sees the input from
/// (y - padding, x - padding) on. Or a 3x3 transposed convolution of stride 2 to twice the size and one more pixel,
/// whose padding is 1: its tiles see a pixel before their own.
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
    inputs >= 16 && outputs >= 16 && tiles::<Same>(shape) >= least
}

/// The same for a transposed convolution; small pictures do not pay for their borders.
pub(crate) fn transposed_pays(shape: &Shape) -> bool {
    let ([inputs, h, w], [outputs, ..]) = (shape.input, shape.output);
    inputs >= 64 && outputs >= 64 && h * w >= 256
}

/// Tiles of all samples.
fn tiles<S: Scheme>(shape: &Shape) -> usize {
    shape.n * S::tiles(shape.output[1]) * S::tiles(shape.output[2])
}

/// A weight packed for convolutions of any number of pictures of any size, or for transposed ones of stride 2.
/// The precision is that of products of transformed pictures.
pub(crate) fn packed(
    level: Level,
    shape: &Shape,
    transposed: bool,
    kernels: Kernels,
    precision: Precision,
) -> Packed {
    match transposed {
        false => Packed::new::<Same>(level, shape, kernels, precision),
        true => Packed::new::<Doubled>(level, shape, kernels, precision),
    }
}

/// How convolutions of a packed weight are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    /// [`convolve`], [`convolve_transposed`].
    Tiles,
    /// [`convolve_few`].
    Few,
    /// As if it weren't packed.
    Unpacked,
}

/// The fastest form for a shape. It compares the vectors that are multiplied, of 16 lanes, those of tiles with a
/// quarter more for their transforms, and those of their borders with as many again for gathering them.
pub(crate) fn form(shape: &Shape, transposed: bool) -> Form {
    let [inputs, h, w] = shape.input;
    if inputs < 16 || shape.output[0] < 16 {
        return Form::Unpacked;
    }
    let few = shape.n * (h * w * 9).div_ceil(16);
    let of_tiles = match transposed {
        false => 36 * tiles::<Same>(shape).max(16) / 16,
        true => {
            81 * tiles::<Doubled>(shape).max(16) / 16
                + 6 * shape.n * (h.div_ceil(16) + w.div_ceil(16))
        }
    };
    match () {
        () if of_tiles * 5 < few * 4 => Form::Tiles,
        () if h * w <= FEW_PIXELS => Form::Few,
        () => Form::Unpacked,
    }
}

/// The most pixels of a picture for [`Form::Few`].
const FEW_PIXELS: usize = 256;

/// Computes all of `out`, `[n, outputs, h, w]`.
pub(crate) fn convolve<E: Epilogue<f32>>(
    level: Level,
    shape: &Shape,
    input: &[f32],
    weight: Source,
    scale: Option<&[f32]>,
    epilogue: &E,
    out: &mut [f32],
) {
    Convolve::<Same, E>::new(level, shape, input, weight, scale, epilogue, out).run();
}

/// The same for a transposed convolution of stride 2.
pub(crate) fn convolve_transposed<E: Epilogue<f32>>(
    level: Level,
    shape: &Shape,
    input: &[f32],
    weight: Source,
    scale: Option<&[f32]>,
    epilogue: &E,
    out: &mut [f32],
) {
    Convolve::<Doubled, E>::new(level, shape, input, weight, scale, epilogue, out).run();
}

/// [`convolve`] or [`convolve_transposed`] of a padding of 1 in another form, for a few pixels.
#[expect(
    clippy::too_many_arguments,
    reason = "a convolution, its inputs, and what goes before and behind it"
)]
pub(crate) fn convolve_few<E: Epilogue<f32>>(
    level: Level,
    shape: &Shape,
    transposed: bool,
    input: &[f32],
    weight: &Packed,
    scale: Option<&[f32]>,
    epilogue: &E,
    out: &mut [f32],
) {
    let input = Pictures {
        data: input,
        dims: shape.input,
        scale,
    };
    let few = Few {
        level,
        shape,
        input,
        weight,
        step: if transposed { 2 } else { 1 },
        epilogue,
        out,
    };
    few.run();
}

struct Convolve<'a, S, E> {
    level: Level,
    shape: &'a Shape,
    input: Pictures<'a>,
    weight: Source<'a>,
    epilogue: &'a E,
    out: &'a mut [f32],
    scheme: PhantomData<S>,
}

impl<'a, S: Scheme, E: Epilogue<f32>> Convolve<'a, S, E> {
    fn new(
        level: Level,
        shape: &'a Shape,
        input: &'a [f32],
        weight: Source<'a>,
        scale: Option<&'a [f32]>,
        epilogue: &'a E,
        out: &'a mut [f32],
    ) -> Self {
        let input = Pictures {
            data: input,
            dims: shape.input,
            scale,
        };
        Self {
            level,
            shape,
            input,
            weight,
            epilogue,
            out,
            scheme: PhantomData,
        }
    }

    fn run(self) {
        dispatch(self.level, self);
    }
}

/// [`Epilogue::finish`] of some epilogue, compiled for an instruction set.
type Finish<'a> = &'a (dyn Fn(usize, usize, usize, &mut [f32]) + Sync);

impl<S: Scheme, E: Epilogue<f32>> WithLanes for Convolve<'_, S, E> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let Self { epilogue, .. } = self;
        let finish = finishing(l, epilogue);
        let finish: Option<Finish> = if E::EMPTY { None } else { Some(&finish) };
        let plan = Plan::new::<S, L>(self.shape);
        let weights = match self.weight {
            Source::Packed(_) => 0,
            Source::Stored(_) => Weights::<L::Vector>::vectors::<L>(self.shape, plan.transformed),
        };
        let largest = plan.blocks.iter().map(Block::vectors::<L>).max();
        let of_block = S::PRODUCTS * S::PRODUCTS * self.shape.input[0];
        let shared = plan.shared * of_block * largest.unwrap_or(0);
        let mut scratch = Scratch::new(l, Scope::Call, weights + shared);
        let (weights, shared) = scratch.vectors(l).split_at_mut(weights);
        let weights = match self.weight {
            Source::Packed(packed) => packed.weights(l, self.level, self.shape),
            Source::Stored(kernels) => {
                let precision = Precision::F32;
                Weights::pack::<S, L>(l, kernels, self.shape, plan.transformed, precision, weights)
            }
        };
        let task = Task {
            l,
            shape: self.shape,
            plan: &plan,
            input: self.input,
            weights: &weights,
            finish,
            out: &SharedOut::new(self.out),
            block: &Block::default(),
            panels: 0..0,
            transformed: None,
            scheme: PhantomData::<S>,
        };
        rayon::join(|| task.border(), || task.all(shared));
    }
}

/// A [`Finish`].
fn finishing<L: Lanes, E: Epilogue<f32>>(
    l: L,
    epilogue: &E,
) -> impl Fn(usize, usize, usize, &mut [f32]) + Sync {
    move |sample, channel, first_pixel, row| {
        l.run(FinishRun {
            epilogue,
            sample,
            channel,
            first_pixel,
            row,
        });
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

impl<S: Scheme, L: Lanes> Task<'_, S, L> {
    /// Computes all tiles; `shared` has room for the transformed pictures of the plan.
    fn all(&self, shared: &mut [L::Vector]) {
        let Self { l, plan, .. } = *self;
        let inputs = self.shape.input[0];
        let of_vector = S::PRODUCTS * S::PRODUCTS * inputs;
        if plan.shared == 0 {
            return self.products(&plan.blocks, &vec![None; plan.blocks.len()]);
        }
        for blocks in plan.blocks.chunks(plan.shared) {
            let mut rest = &mut *shared;
            let mut parts = Vec::new();
            for block in blocks {
                let part;
                (part, rest) = rest.split_at_mut(of_vector * block.vectors::<L>());
                parts.push(part);
            }
            let tiles = |block| Tiles::<S, L>::new(self.shape, plan, block);
            let tiles: Vec<_> = blocks.iter().map(tiles).collect();
            let pieces = tiles.iter().zip(&mut parts).flat_map(|(tiles, part)| {
                let of_piece = of_vector / inputs * plan.depth * tiles.vectors;
                let pieces = part.chunks_mut(of_piece).enumerate();
                pieces.map(move |(i, piece)| (tiles, i * plan.depth, piece))
            });
            let pieces: Vec<_> = pieces.collect();
            pieces.into_par_iter().for_each(|(tiles, first, out)| {
                l.run(Transform {
                    l,
                    tiles,
                    input: self.input,
                    channels: first..(first + plan.depth).min(inputs),
                    precision: self.weights.precision,
                    out,
                });
            });
            let parts: Vec<_> = parts.iter().map(|part| Some(&**part)).collect();
            self.products(blocks, &parts);
        }
    }

    /// Computes some blocks, whose transformed pictures may be there.
    fn products(&self, blocks: &[Block], transformed: &[Option<&[L::Vector]>]) {
        let panels = self.shape.output[0].div_ceil(L::LANES);
        let each = self.plan.panels_per_task;
        let of_block = panels.div_ceil(each);
        (0..blocks.len() * of_block).into_par_iter().for_each(|i| {
            let (block, first) = (i / of_block, i % of_block * each);
            self.l.run(Task {
                block: &blocks[block],
                panels: first..(first + each).min(panels),
                transformed: transformed[block],
                ..self.clone()
            });
        });
    }

    /// Computes the last row and the last column, if no tile does.
    fn border(&self) {
        let [outputs, h, w] = self.shape.output;
        let [bottom, right] = [h, w].map(|size| size > S::RESULTS * S::tiles(size));
        let edges = [
            (bottom, Edge::Bottom, w),
            (right, Edge::Right, h - usize::from(bottom)),
        ];
        let edges = edges.into_iter().filter(|(needed, ..)| *needed);
        let panels = outputs.div_ceil(L::LANES);
        let borders = edges.flat_map(|(_, edge, results)| {
            (0..self.shape.n * panels).map(move |i| (edge, results, i / panels, i % panels))
        });
        let borders: Vec<_> = borders.collect();
        borders
            .into_par_iter()
            .for_each(|(edge, results, sample, panel)| {
                self.l.run(Border {
                    l: self.l,
                    shape: self.shape,
                    input: self.input,
                    weights: self.weights,
                    finish: self.finish,
                    out: self.out,
                    edge,
                    results,
                    sample,
                    panel,
                });
            });
    }
}

/// The transform of some channels of a block.
struct Transform<'a, S, L: Lanes> {
    l: L,
    tiles: &'a Tiles<S, L>,
    input: Pictures<'a>,
    channels: Range<usize>,
    precision: Precision,
    out: &'a mut [L::Vector],
}

impl<S: Scheme, L: Lanes> Work for Transform<'_, S, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, tiles, .. } = self;
        let mut scratch = Scratch::new(l, Scope::Task, tiles.scratch());
        let scratch = scratch.vectors(l);
        tiles.transform(
            l,
            &self.input,
            self.channels,
            self.precision,
            scratch,
            self.out,
        );
    }
}

/// Some outputs of a block.
struct Task<'a, S, L: Lanes> {
    l: L,
    shape: &'a Shape,
    plan: &'a Plan,
    input: Pictures<'a>,
    weights: &'a Weights<'a, L::Vector>,
    finish: Option<Finish<'a>>,
    out: &'a SharedOut<'a, f32>,
    block: &'a Block,
    panels: Range<usize>,
    /// The transformed pictures of the block, if other tasks use them, too.
    transformed: Option<&'a [L::Vector]>,
    scheme: PhantomData<S>,
}

impl<S, L: Lanes> Clone for Task<'_, S, L> {
    fn clone(&self) -> Self {
        Self {
            panels: self.panels.clone(),
            ..*self
        }
    }
}

impl<S: Scheme, L: Lanes> Work for Task<'_, S, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let l = self.l;
        let inputs = self.shape.input[0];
        let (depth, group) = (self.plan.depth, self.plan.group.min(self.panels.len()));
        let tiles = Tiles::<S, L>::new(self.shape, self.plan, self.block);
        let vectors = tiles.vectors;
        let of_vector = S::PRODUCTS * S::PRODUCTS;
        let own = match self.transformed {
            Some(_) => 0,
            None => of_vector * inputs * vectors,
        };
        let sizes = [
            own,
            self.weights.scratch(group, depth),
            S::PRODUCTS * group * L::LANES * vectors,
            S::PRODUCTS * S::RESULTS * group * L::LANES * vectors,
            tiles.scratch().max(S::RESULTS * S::RESULTS * vectors),
        ];
        let mut scratch = Scratch::new(l, Scope::Task, sizes.iter().sum());
        let (own, scratch) = scratch.vectors(l).split_at_mut(sizes[0]);
        let (weights, scratch) = scratch.split_at_mut(sizes[1]);
        let (products, scratch) = scratch.split_at_mut(sizes[2]);
        let (columns, lines) = scratch.split_at_mut(sizes[3]);
        let transformed = match self.transformed {
            Some(transformed) => transformed,
            None => {
                let pieces = own.chunks_mut(of_vector * depth * vectors);
                for (piece, first) in pieces.zip((0..inputs).step_by(depth)) {
                    let channels = first..(first + depth).min(inputs);
                    let precision = self.weights.precision;
                    tiles.transform(l, &self.input, channels, precision, lines, piece);
                }
                own
            }
        };
        for first in self.panels.clone().step_by(group) {
            let panels = first..(first + group).min(self.panels.end);
            for row in 0..S::PRODUCTS {
                let pieces = transformed.chunks(of_vector * depth * vectors);
                for (piece, first) in pieces.zip((0..inputs).step_by(depth)) {
                    let channels = first..(first + depth).min(inputs);
                    let each = S::PRODUCTS * self.weights.precision.depth(channels.len()) * vectors;
                    let piece = &piece[row * each..(row + 1) * each];
                    let panels = panels.clone();
                    self.multiply(&tiles, row, panels, channels, piece, weights, products);
                }
                for (i, panel) in panels.clone().enumerate() {
                    let first = i * L::LANES * vectors;
                    for at in first..first + self.lanes(panel) * vectors {
                        let m = S::output(l, &products[S::PRODUCTS * at..][..S::PRODUCTS]);
                        columns[S::RESULTS * (S::PRODUCTS * at + row)..][..S::RESULTS]
                            .copy_from_slice(&m[..S::RESULTS]);
                    }
                }
            }
            for (i, panel) in panels.clone().enumerate() {
                for lane in 0..self.lanes(panel) {
                    let of_output = S::PRODUCTS * S::RESULTS * vectors;
                    let columns = &columns[of_output * (i * L::LANES + lane)..][..of_output];
                    results::<S, L>(l, columns, lines);
                    self.finish(panel * L::LANES + lane, vectors, lines);
                }
            }
        }
    }
}

/// The rows of the results of a block from the transformed columns, `[vector][row][column]`.
#[inline(always)]
fn results<S: Scheme, L: Lanes>(l: L, columns: &[L::Vector], lines: &mut [L::Vector]) {
    let of_vector = S::PRODUCTS * S::RESULTS;
    let line = columns.len() / S::PRODUCTS;
    let mut results = [[l.splat(0.0); MOST_RESULTS]; MOST_RESULTS];
    for (g, m) in columns.chunks_exact(of_vector).enumerate() {
        for (x, results) in results.iter_mut().take(S::RESULTS).enumerate() {
            let mut column = [m[0]; MOST_PRODUCTS];
            for (y, value) in column.iter_mut().take(S::PRODUCTS).enumerate() {
                *value = m[S::RESULTS * y + x];
            }
            let column = S::output(l, &column);
            results[..S::RESULTS].copy_from_slice(&column[..S::RESULTS]);
        }
        for y in 0..S::RESULTS {
            let mut row = [m[0]; MOST_RESULTS];
            for (value, results) in row.iter_mut().zip(&results).take(S::RESULTS) {
                *value = results[y];
            }
            let row = &S::lines(l, row)[..S::RESULTS];
            lines[y * line + S::RESULTS * g..][..S::RESULTS].copy_from_slice(row);
        }
    }
}

impl<S: Scheme, L: Lanes> Task<'_, S, L> {
    /// Adds the products of one row of frequencies over some inputs, `[output][vector][column]`;
    /// those of the first inputs replace what is there.
    #[expect(
        clippy::too_many_arguments,
        reason = "ranges of a product and its three matrices"
    )]
    #[inline(always)]
    fn multiply(
        &self,
        tiles: &Tiles<S, L>,
        row: usize,
        panels: Range<usize>,
        channels: Range<usize>,
        transformed: &[L::Vector],
        scratch: &mut [L::Vector],
        products: &mut [L::Vector],
    ) {
        let precision = self.weights.precision;
        let depth = precision.depth(channels.len());
        let place = Place {
            row: S::PRODUCTS * tiles.vectors,
            vector: S::PRODUCTS,
            accumulate: channels.start > 0,
        };
        let kernel = S::kernel(row);
        let (weights, [panel_step, column_step]) =
            self.weights
                .row::<S, L>(self.l, kernel, panels.clone(), channels, scratch);
        let columns = transformed.chunks_exact(depth * tiles.vectors).enumerate();
        for (column, transformed) in columns {
            for &(start, width) in &tiles.panels {
                let b = &transformed[start * depth..(start + width) * depth];
                for (i, panel) in panels.clone().enumerate() {
                    let a = &weights[i * panel_step + S::kernel(column) * column_step..][..depth];
                    let at = i * L::LANES * place.row + place.vector * start + column;
                    let sums = &mut products[at..];
                    let count = self.lanes(panel);
                    product::multiply(self.l, precision, a, count, b, sums, place);
                }
            }
        }
    }

    /// How many lanes of a panel are outputs.
    fn lanes(&self, panel: usize) -> usize {
        L::LANES.min(self.shape.output[0] - panel * L::LANES)
    }

    /// Writes the results of one output, `[row of a tile][tile][column]`, and finishes them.
    #[inline(always)]
    fn finish(&self, output: usize, vectors: usize, lines: &[L::Vector]) {
        let lines = self.l.floats(lines);
        let line = S::RESULTS * vectors * L::LANES;
        let [outputs, h, w] = self.shape.output;
        let first = S::RESULTS * self.block.columns.start;
        let of_tiles = S::RESULTS * self.block.columns.len();
        let width = of_tiles.min(w - first);
        for (i, row) in self.block.rows.clone().enumerate() {
            let [tile_rows, _] = self.plan.tiles;
            let (sample, top) = (row / tile_rows, row % tile_rows * S::RESULTS);
            let height = S::RESULTS.min(h - top);
            let pixel = top * w + first;
            let start = (sample * outputs + output) * h * w + pixel;
            let to = self.out.at(start, (height - 1) * w + width);
            for y in 0..height {
                let from = y * line + i * of_tiles;
                // SAFETY: `at` checked that the rows are inside the result. Tasks differ in tiles or
                // outputs, so no other task writes to these pixels.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(y * w), width) };
                to.copy_from_slice(&lines[from..from + width]);
                if let (Some(finish), true) = (self.finish, width < w) {
                    finish(sample, output, pixel + y * w, to);
                }
            }
            if let (Some(finish), true) = (self.finish, width == w) {
                // SAFETY: the rows just written, which are all of their width.
                let to = unsafe { std::slice::from_raw_parts_mut(to, height * w) };
                finish(sample, output, pixel, to);
            }
        }
    }
}
