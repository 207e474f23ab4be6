//! The convolution family on the CPU: the choice of the algorithm in `f32`, and the direct form in `f64` as matrix
//! products over tiles. (`winograd` has 3x3 convolutions of stride 1 and transposed ones of stride 2, `direct` all
//! others.)
//!
//! The form in `f64` gathers, for a tile of output pixels, the input pixels under every tap into a matrix that fits
//! the cache, and multiplies it with the weight. In a transposed convolution of stride s, a tile is one of cells
//! of s * s output pixels, and each of these phases of the output grid is multiplied with the rows of the matrix
//! that belong to the taps that reach it, so no product with an inserted zero is ever computed.
//!
//! Tiles depend on sizes only and every output element is computed by one task: results are the same
//! on any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::choice::takes_winograd;
use super::direct;
use super::grid::{Grid, pairs};
use super::winograd::{self, Form, Kernels, Packed, Precision, Source};
use super::{Derivative, Epilogue, Geometry, WeightLayout};
use crate::buffer::unspecified;
use crate::gather::{Picture, Plane, Tap, Tile, gather, tiles};
use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::kernel::Float;
use crate::parallel::{SharedOut, planes, wide};
use crate::simd;

/// Elements of a gathered matrix: half a megabyte in f32.
const TILE_ELEMENTS: usize = 128 * 1024;
/// Columns of a product. Products of more are slower by a quarter to a half: 48 is what `gemm` computes at once with
/// the widest vectors.
const PRODUCT_COLUMNS: usize = 48;
/// Fewer tasks than this are split further by output channels.
const TASKS: usize = 16;
/// The smallest block of channels that is worth a product of its own.
const CHANNEL_BLOCK: usize = 16;

/// The phases of a grid, with their taps in an order in which they can be gathered once.
struct Gathering {
    /// The input pixels that any phase of a cell reads, in the order in which they are gathered.
    taps: Vec<Tap>,
    /// What each phase sums.
    phases: Vec<Vec<Run>>,
    /// The index within the kernel of every tap of every run.
    kernel: Vec<usize>,
}

/// Gathered taps that follow each other, and so do the weights of a phase for them.
struct Run {
    tap: usize,
    kernel: usize,
    len: usize,
}

impl Gathering {
    fn new(mut phases: Vec<Vec<(usize, Tap)>>) -> Self {
        // Row by row, from left to right and back in turn: the four phases of a 3x3 kernel of stride 2 sum one
        // run each.
        let place = |tap: &Tap| (-tap.dy, if tap.dy % 2 == 0 { tap.dx } else { -tap.dx });
        let mut taps: Vec<Tap> = phases.iter().flatten().map(|(_, tap)| *tap).collect();
        taps.sort_by_key(place);
        taps.dedup();
        let mut kernel = Vec::new();
        let mut runs = |phase: &mut Vec<(usize, Tap)>| {
            phase.sort_by_key(|(_, tap)| place(tap));
            let mut runs: Vec<Run> = Vec::new();
            for (index, tap) in phase {
                let tap = taps.partition_point(|other| place(other) < place(tap));
                match runs.last_mut() {
                    Some(run) if run.tap + run.len == tap => run.len += 1,
                    _ => runs.push(Run {
                        tap,
                        kernel: kernel.len(),
                        len: 1,
                    }),
                }
                kernel.push(*index);
            }
            runs
        };
        let phases = phases.iter_mut().map(&mut runs).collect();
        Self {
            taps,
            phases,
            kernel,
        }
    }
}

/// The weight as a matrix `[output channels, taps * input channels]`, for taps by their index within the
/// kernel.
fn weight_matrix<T: Float>(g: &Geometry, by: Derivative, w: &[T], kernel: &[usize]) -> Vec<T> {
    let area = g.kernel[0] * g.kernel[1];
    let (y_stride, x_stride) = g.strides();
    let ((outputs, output_stride), (inputs, input_stride)) = match by {
        Derivative::Y => ((g.y[0], y_stride), (g.x[0], x_stride)),
        Derivative::X => ((g.x[0], x_stride), (g.y[0], y_stride)),
    };
    let columns = inputs * kernel.len();
    let mut matrix = unspecified(outputs * columns);
    planes(&mut matrix, columns, |output, row| {
        for input in 0..inputs {
            let from = &w[output * output_stride + input * input_stride..][..area];
            for (to, &tap) in row[input..].iter_mut().step_by(inputs).zip(kernel) {
                *to = from[tap];
            }
        }
    });
    matrix
}

/// Element types, by the algorithms that they have beside products of gathered matrices.
pub(crate) trait Fast: Sized {
    /// Computes [`convolve`] by another algorithm, if there is one.
    fn convolve<E: Epilogue<Self>>(
        _: &Geometry,
        _: Derivative,
        _: &[Self],
        _: &[Self],
        _: Option<&[Self]>,
        _: &E,
        _: &mut [Self],
    ) -> bool {
        false
    }

    /// Computes [`convolve`] with a weight that was packed before, if that pays.
    fn convolve_packed<E: Epilogue<Self>>(
        _: &Geometry,
        _: Derivative,
        _: &[Self],
        _: &Packed,
        _: Option<&[Self]>,
        _: &E,
        _: &mut [Self],
    ) -> bool {
        false
    }

    /// Computes [`weight_gradient`] by another algorithm, if there is one.
    fn weight_gradient(
        _: &Geometry,
        _: &[Self],
        _: &[Self],
        _: [Option<&[Self]>; 2],
        _: &mut [Self],
    ) -> bool {
        false
    }
}

impl Fast for f64 {}

impl Fast for f32 {
    fn convolve<E: Epilogue<f32>>(
        g: &Geometry,
        by: Derivative,
        input: &[f32],
        w: &[f32],
        scale: Option<&[f32]>,
        epilogue: &E,
        out: &mut [f32],
    ) -> bool {
        let level = simd::level();
        if let Some((shape, kernels)) = as_winograd(g, by, w)
            && takes_winograd(winograd::pays(&shape))
        {
            let weight = Source::Stored(kernels);
            winograd::convolve(level, &shape, input, weight, scale, epilogue, out);
            return true;
        }
        if let Some((shape, kernels)) = as_transposed_winograd(g, by, w)
            && takes_winograd(winograd::transposed_pays(&shape))
        {
            let weight = Source::Stored(kernels);
            winograd::convolve_transposed(level, &shape, input, weight, scale, epilogue, out);
            return true;
        }
        direct::convolve(level, g, by, input, w, scale, epilogue, out);
        true
    }

    fn convolve_packed<E: Epilogue<f32>>(
        g: &Geometry,
        by: Derivative,
        input: &[f32],
        packed: &Packed,
        scale: Option<&[f32]>,
        epilogue: &E,
        out: &mut [f32],
    ) -> bool {
        let (level, transposed) = (simd::level(), by == Derivative::X);
        let shape = match transposed {
            false => as_winograd(g, by, &[]),
            true => as_transposed_winograd(g, by, &[]),
        };
        let Some((shape, _)) = shape else {
            return false;
        };
        let form = match winograd::form(&shape, transposed) {
            Form::Tiles if takes_winograd(true) => Form::Tiles,
            Form::Few if shape.padding == 1 && !takes_winograd(false) => Form::Few,
            _ => return false,
        };
        let weight = Source::Packed(packed);
        match (form, transposed) {
            (Form::Tiles, false) => {
                winograd::convolve(level, &shape, input, weight, scale, epilogue, out);
            }
            (Form::Tiles, true) => {
                winograd::convolve_transposed(level, &shape, input, weight, scale, epilogue, out);
            }
            _ => winograd::convolve_few(
                level, &shape, transposed, input, packed, scale, epilogue, out,
            ),
        }
        true
    }

    fn weight_gradient(
        g: &Geometry,
        x: &[f32],
        y: &[f32],
        scales @ [scale_x, scale_y]: [Option<&[f32]>; 2],
        out: &mut [f32],
    ) -> bool {
        let level = simd::level();
        if let Some((shape, strides)) = as_winograd_gradient(g)
            && takes_winograd(winograd::gradient_pays(&shape))
        {
            winograd::weight_gradient(level, &shape, (x, scale_x), (y, scale_y), strides, out);
            return true;
        }
        direct::weight_gradient(level, g, [x, y], scales, out);
        true
    }
}

/// A 3x3 convolution of stride 1, and the steps between the outputs and inputs of its weight.
pub(super) fn as_winograd_gradient(g: &Geometry) -> Option<(winograd::Shape, [usize; 2])> {
    if g.kernel != [3, 3] || g.config.stride != 1 {
        return None;
    }
    let (y_stride, x_stride) = g.strides();
    let shape = winograd::Shape {
        n: g.n,
        input: g.x,
        output: g.y,
        padding: g.config.padding,
        gain: g.config.gain,
    };
    Some((shape, [y_stride, x_stride]))
}

/// A 3x3 convolution of stride 1, or the transpose of one, as Winograd's algorithm computes it.
pub(super) fn as_winograd<'a>(
    g: &Geometry,
    by: Derivative,
    w: &'a [f32],
) -> Option<(winograd::Shape, Kernels<'a>)> {
    let (shape, [y_stride, x_stride]) = as_winograd_gradient(g)?;
    let kernels = Kernels {
        w,
        output_stride: y_stride,
        input_stride: x_stride,
        rotated: false,
    };
    Some(match by {
        Derivative::Y => (shape, kernels),
        Derivative::X => (
            winograd::Shape {
                input: shape.output,
                output: shape.input,
                padding: 2 - shape.padding,
                ..shape
            },
            Kernels {
                output_stride: x_stride,
                input_stride: y_stride,
                rotated: true,
                ..kernels
            },
        ),
    })
}

/// A weight `[O,I,3,3]` packed for convolutions of stride 1, or for transposed ones of stride 2 of which `I` is the
/// input.
pub(crate) fn packed(
    [outputs, inputs]: [usize; 2],
    transposed: bool,
    gain: f64,
    w: &[f32],
    precision: Precision,
) -> Packed {
    let shape = winograd::Shape {
        n: 1,
        input: [inputs, 1, 1],
        output: [outputs, 1, 1],
        padding: 1,
        gain,
    };
    let kernels = Kernels {
        w,
        output_stride: 9 * inputs,
        input_stride: 9,
        rotated: false,
    };
    winograd::packed(simd::level(), &shape, transposed, kernels, precision)
}

/// A 3x3 transposed convolution of stride 2 to twice the size and one more pixel, as Winograd's algorithm
/// computes it.
pub(super) fn as_transposed_winograd<'a>(
    g: &Geometry,
    by: Derivative,
    w: &'a [f32],
) -> Option<(winograd::Shape, Kernels<'a>)> {
    let [_, h, width] = g.y;
    let fits = by == Derivative::X
        && g.kernel == [3, 3]
        && (g.config.stride, g.config.padding) == (2, 0)
        && [g.x[1], g.x[2]] == [2 * h + 1, 2 * width + 1];
    if !fits {
        return None;
    }
    let (input_stride, output_stride) = g.strides();
    let shape = winograd::Shape {
        n: g.n,
        input: g.y,
        output: g.x,
        padding: 1,
        gain: g.config.gain,
    };
    let kernels = Kernels {
        w,
        output_stride,
        input_stride,
        rotated: false,
    };
    Some((shape, kernels))
}

/// The picture across the convolution, finished by an epilogue. Every element of `out` is written.
pub(crate) fn convolve<T: Float, E: Epilogue<T>>(
    g: &Geometry,
    by: Derivative,
    input: &[T],
    w: &[T],
    scale: Option<&[T]>,
    epilogue: &E,
    out: &mut [T],
) {
    if T::convolve(g, by, input, w, scale, epilogue, out) {
        return;
    }
    let (from, [outputs, out_h, out_w]) = match by {
        Derivative::Y => (g.x, g.y),
        Derivative::X => (g.y, g.x),
    };
    let input = Picture {
        data: input,
        dims: from,
        scale,
    };
    let inputs = from[0];
    let grid = Grid::new(g, by);
    let (step, stride) = (grid.step, grid.stride);
    let gathering = Gathering::new(grid.phases.clone());
    let depth = inputs * gathering.taps.len();
    let columns = inputs * gathering.kernel.len();
    let weight = weight_matrix(g, by, w, &gathering.kernel);
    let target = (TILE_ELEMENTS / depth.max(1)).clamp(64, 1024);
    let tiles = tiles(g.n, grid.size, target);
    let block = channel_block(outputs, tiles.len());
    let tasks = tiles.iter().flat_map(|tile| {
        let blocks = (0..outputs).step_by(block);
        blocks.map(move |c| (tile, c..(c + block).min(outputs)))
    });
    let tasks: Vec<(&Tile, Range<usize>)> = tasks.collect();
    let plane = out_h * out_w;
    let shared = SharedOut::new(out);
    let task = |scratch: &mut Scratch<T>, (tile, channels): (&Tile, Range<usize>)| {
        let pixels = tile.pixels();
        let (gathered, pitch) = match input.in_place(0, &gathering.taps, stride, tile) {
            Some(data) => (data, from[1] * from[2]),
            None => {
                let matrix = sized(&mut scratch.gathered, depth * pixels);
                wide(
                    #[inline(always)]
                    || {
                        let buffer = &mut scratch.plane;
                        gather(
                            &input,
                            0..inputs,
                            &gathering.taps,
                            stride,
                            tile,
                            buffer,
                            matrix,
                        )
                    },
                );
                (&*matrix, pixels)
            }
        };
        // One phase of the first pixels of the tile, in all channels.
        let sum = |out: &mut MatrixMut<T>, runs: &[Run], pixels: usize| {
            for part in parts(pixels, depth) {
                for (i, run) in runs.iter().enumerate() {
                    let weight = &weight[channels.start * columns + run.kernel * inputs..];
                    let depth = run.len * inputs;
                    let weight = Matrix::new(weight, channels.len(), depth, columns);
                    let gathered = &gathered[run.tap * inputs * pitch + part.start..];
                    let gathered = Matrix::new(gathered, depth, part.len(), pitch);
                    let mut out = out.columns(part.clone());
                    multiply(&mut out, weight, gathered, g.config.gain, i > 0);
                }
            }
        };
        // The rows of the tile's cells are one run of pixels in every plane.
        let rows = tile.rows.start * step..(tile.rows.end * step).min(out_h);
        let first_pixel = rows.start * out_w;
        let start =
            |sample: usize, channel: usize| (sample * outputs + channel) * plane + first_pixel;
        let run = |sample: usize, channel: usize| {
            let pointer = shared.at(start(sample, channel), rows.len() * out_w);
            // SAFETY: inside the result, as `at` checked. Tasks differ in tile or channels, and tiles do not
            // overlap, so no other task accesses these pixels; this one holds one run at a time, and writes
            // through no other pointer meanwhile.
            unsafe { std::slice::from_raw_parts_mut(pointer, rows.len() * out_w) }
        };
        if let [runs] = &gathering.phases[..]
            && tile.samples.len() == 1
        {
            let sample = tile.samples.start;
            let len = (channels.len() - 1) * plane + pixels;
            let pointer = shared.at(start(sample, channels.start), len);
            // SAFETY: as above, of all channels; no run is held yet.
            let mut product =
                unsafe { MatrixMut::from_ptr(pointer, channels.len(), pixels, plane) };
            sum(&mut product, runs, pixels);
            if !E::EMPTY {
                for channel in channels.clone() {
                    epilogue.finish(sample, channel, first_pixel, run(sample, channel));
                }
            }
            return;
        }
        let product = sized(
            &mut scratch.product,
            gathering.phases.len() * channels.len() * pixels,
        );
        let phases = product.chunks_exact_mut(channels.len() * pixels);
        for ((phase, runs), product) in gathering.phases.iter().enumerate().zip(phases) {
            if runs.is_empty() {
                product.fill(T::zero());
                continue;
            }
            // The last row of cells may lie outside the picture in this phase.
            let used = match tile.samples.len() {
                1 => grid.reached(phase, &tile.rows, out_h) * tile.columns,
                _ => pixels,
            };
            let mut product = MatrixMut::new(product, channels.len(), used, pixels);
            sum(&mut product, runs, used);
        }
        let product = &*product;
        let of_plane = tile.rows.len() * tile.columns;
        let planes = channels
            .clone()
            .flat_map(|c| tile.samples.clone().map(move |n| (n, c)));
        for (i, (sample, channel)) in planes.enumerate() {
            let run = run(sample, channel);
            wide(
                #[inline(always)]
                || {
                    for (row, out) in run.chunks_exact_mut(out_w).enumerate() {
                        let first = i * of_plane + row / step * tile.columns;
                        let cells = |phase: usize| {
                            let phase = row % step * step + phase;
                            &product[phase * channels.len() * pixels + first..][..tile.columns]
                        };
                        interleave(out, step, cells);
                    }
                },
            );
            if !E::EMPTY {
                epilogue.finish(sample, channel, first_pixel, run);
            }
        }
    };
    tasks.into_par_iter().for_each_init(Scratch::new, task);
}

/// The pixels of a tile, in parts of about one length and of at most [`PRODUCT_COLUMNS`]; all at once in products
/// of a small depth, which take as long as writing them, and that is fastest in long rows.
fn parts(pixels: usize, depth: usize) -> impl Iterator<Item = Range<usize>> {
    let most = if depth < 64 {
        pixels.max(1)
    } else {
        PRODUCT_COLUMNS
    };
    let count = pixels.div_ceil(most).max(1);
    // Whole vectors.
    let len = pixels.div_ceil(count).next_multiple_of(16).max(16);
    let starts = (0..pixels).step_by(len);
    starts.map(move |start| start..(start + len).min(pixels))
}

/// Fills a row with one element of each phase in turn, as far as it goes.
#[inline(always)]
fn interleave<'a, T: Float>(row: &mut [T], step: usize, phase: impl Fn(usize) -> &'a [T]) {
    if step == 1 {
        return row.copy_from_slice(phase(0));
    }
    if step != 2 {
        for start in 0..step.min(row.len()) {
            for (to, &from) in row[start..].iter_mut().step_by(step).zip(phase(start)) {
                *to = from;
            }
        }
        return;
    }
    let (even, odd) = (phase(0), phase(1));
    let (pairs, last) = row.as_chunks_mut::<2>();
    if let ([to], Some(&from)) = (last, even.last()) {
        *to = from;
    }
    for ((pair, &even), &odd) in pairs.iter_mut().zip(even).zip(odd) {
        *pair = [even, odd];
    }
}

/// The weight from both pictures, each with an optional scale.
pub(super) fn weight_gradient<T: Float>(
    g: &Geometry,
    x: &[T],
    y: &[T],
    [scale_x, scale_y]: [Option<&[T]>; 2],
    out: &mut [T],
) {
    if T::weight_gradient(g, x, y, [scale_x, scale_y], out) {
        return;
    }
    let x = Picture {
        data: x,
        dims: g.x,
        scale: scale_x,
    };
    let padding = g.config.padding as isize;
    let tap = |[ky, kx]: [usize; 2]| Tap {
        dy: ky as isize - padding,
        dx: kx as isize - padding,
    };
    let taps: Vec<Tap> = pairs(g.kernel).map(tap).collect();
    let size = [g.y[1], g.y[2]];
    let y = pixels_first(y, g.y, scale_y);
    let [y_channels, x_channels] = [g.y[0], g.x[0]];
    let x_block = x_channels.div_ceil(TASKS).max(CHANNEL_BLOCK / 2);
    let y_block = channel_block(y_channels, x_channels.div_ceil(x_block));
    let blocks = (0..x_channels)
        .step_by(x_block)
        .flat_map(|i| (0..y_channels).step_by(y_block).map(move |o| (i, o)));
    let blocks: Vec<(Range<usize>, Range<usize>)> = blocks
        .map(|(i, o)| {
            (
                i..(i + x_block).min(x_channels),
                o..(o + y_block).min(y_channels),
            )
        })
        .collect();
    let depth = |channels: &Range<usize>| channels.len() * taps.len();
    let widest = x_block.min(x_channels) * taps.len() + y_block;
    let tiles = tiles(g.n, size, (TILE_ELEMENTS / widest).clamp(128, 4096));
    let (y_stride, x_stride) = match g.config.layout {
        WeightLayout::YX => (x_channels * taps.len(), taps.len()),
        WeightLayout::XY => (taps.len(), y_channels * taps.len()),
    };
    let shared = SharedOut::new(out);
    let task = |scratch: &mut Scratch<T>, (inputs, outputs): (Range<usize>, Range<usize>)| {
        let rows = depth(&inputs);
        let mut sum = vec![T::zero(); rows * outputs.len()];
        for (i, tile) in tiles.iter().enumerate() {
            let pixels = tile.pixels();
            let gathered = match x.in_place(inputs.start, &taps, g.config.stride, tile) {
                Some(data) => Matrix::new(data, rows, pixels, g.x[1] * g.x[2]),
                None => {
                    let matrix = sized(&mut scratch.gathered, rows * pixels);
                    wide(
                        #[inline(always)]
                        || {
                            gather(
                                &x,
                                inputs.clone(),
                                &taps,
                                g.config.stride,
                                tile,
                                &mut scratch.plane,
                                matrix,
                            )
                        },
                    );
                    Matrix::new(matrix, rows, pixels, pixels)
                }
            };
            let first = tile.samples.start * size[0] * size[1] + tile.rows.start * size[1];
            let gradient = &y[first * y_channels + outputs.start..];
            let gradient = Matrix::new(gradient, pixels, outputs.len(), y_channels);
            let mut sum = MatrixMut::new(&mut sum, rows, outputs.len(), outputs.len());
            multiply(&mut sum, gathered, gradient, g.config.gain, i > 0);
        }
        for output in outputs.clone() {
            for (i, input) in inputs.clone().enumerate() {
                let to = shared.at(output * y_stride + input * x_stride, taps.len());
                let rows = sum[i * outputs.len() + output - outputs.start..].iter();
                for (tap, &value) in rows.step_by(inputs.len() * outputs.len()).enumerate() {
                    // SAFETY: `tap` is one of those checked; tasks differ in inputs or outputs.
                    unsafe { *to.add(tap) = value };
                }
            }
        }
    };
    blocks.into_par_iter().for_each_init(Scratch::new, task);
}

/// A batch of pictures as `[N, H*W, C]`, with an optional scale `[N,C]`: the order in which a matrix
/// product sums over pixels fastest.
fn pixels_first<T: Float>(data: &[T], [channels, h, w]: [usize; 3], scale: Option<&[T]>) -> Vec<T> {
    /// Pixels of a block, so that one block of all its channels stays in the cache.
    const BLOCK: usize = 16;
    let pixels = h * w;
    let mut out = unspecified(data.len());
    let blocks = out
        .par_chunks_mut((pixels * channels).max(1))
        .enumerate()
        .flat_map(|(n, out)| {
            let blocks = out.par_chunks_mut(BLOCK * channels).enumerate();
            blocks.map(move |(block, out)| (n, block * BLOCK, out))
        });
    blocks.for_each(|(n, first, out)| {
        for channel in 0..channels {
            let plane = n * channels + channel;
            let scale = scale.map_or(T::one(), |s| s[plane]);
            let from = &data[plane * pixels + first..];
            for (to, &value) in out[channel..].iter_mut().step_by(channels).zip(from) {
                *to = value * scale;
            }
        }
    });
    out
}

/// How many output channels a task computes, so that there are at least about [`TASKS`].
fn channel_block(channels: usize, tasks: usize) -> usize {
    let blocks = TASKS.div_ceil(tasks.max(1));
    channels.div_ceil(blocks).max(CHANNEL_BLOCK)
}

/// Buffers that a thread reuses from task to task.
struct Scratch<T> {
    plane: Plane<T>,
    gathered: Vec<T>,
    product: Vec<T>,
}

impl<T: Float> Scratch<T> {
    fn new() -> Self {
        Self {
            plane: Vec::new(),
            gathered: Vec::new(),
            product: Vec::new(),
        }
    }
}

fn sized<T: Float>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
    &mut buffer[..len]
}
