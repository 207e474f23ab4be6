//! The convolution family on the CPU: the choice of the algorithm, and the direct form as matrix products over
//! tiles. (3x3 convolutions of stride 1 and upsampling ones have another form in `winograd`.)
//!
//! In the direct form, a pass gathers, for a tile of output pixels, the input pixels under every tap into a
//! matrix that fits the cache, and multiplies it with the weight. A convolution is one pass. A transposed
//! convolution of stride s is s * s passes, one per phase of the output grid, each with the taps that
//! reach it, so no product with an inserted zero is ever computed.
//!
//! Tiles depend on sizes only and every output element is computed by one task: results are the same
//! on any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::choice::{Algorithm, algorithm};
use super::winograd::{self, Kernels, Upsampling};
use super::{Derivative, Epilogue, Geometry, WeightLayout};
use crate::gather::{Picture, Plane, Tap, gather, tiles};
use crate::gemm::{Matrix, MatrixMut, multiply};
use crate::kernel::Float;
use crate::parallel::{SharedOut, planes, wide};
use crate::simd;
use crate::upfirdn2d::{Filter, UpFirDn2d};

/// Elements of a gathered matrix: half a megabyte in f32.
const TILE_ELEMENTS: usize = 128 * 1024;
/// Fewer tasks than this are split further by output channels.
const TASKS: usize = 16;
/// The smallest block of channels that is worth a product of its own.
const CHANNEL_BLOCK: usize = 16;

/// The output pixels `start + step * j` of both axes, and the taps that reach them.
struct Pass {
    taps: Vec<Tap>,
    start: [usize; 2],
    step: usize,
    size: [usize; 2],
}

/// One pass for a convolution, one per phase for a transposed one.
fn passes(g: &Geometry, by: Derivative) -> Vec<Pass> {
    let [kh, kw] = g.kernel;
    let (stride, padding) = (g.config.stride, g.config.padding as isize);
    let kernel = || (0..kh).flat_map(move |ky| (0..kw).map(move |kx| (ky, kx)));
    if by == Derivative::Y {
        let tap = |(ky, kx)| Tap {
            kernel: ky * kw + kx,
            dy: ky as isize - padding,
            dx: kx as isize - padding,
        };
        return vec![Pass {
            taps: kernel().map(tap).collect(),
            start: [0, 0],
            step: 1,
            size: [g.y[1], g.y[2]],
        }];
    }
    // Output pixel a + stride * j is reached by tap k from input pixel j + (a + padding - k) / stride.
    let offset = |a: usize, k: usize| {
        let distance = a as isize + padding - k as isize;
        (distance.rem_euclid(stride as isize) == 0).then(|| distance.div_euclid(stride as isize))
    };
    let pass = |start: [usize; 2]| {
        let tap = |(ky, kx)| {
            Some(Tap {
                kernel: ky * kw + kx,
                dy: offset(start[0], ky)?,
                dx: offset(start[1], kx)?,
            })
        };
        let size = [0, 1].map(|axis| (g.x[axis + 1].saturating_sub(start[axis])).div_ceil(stride));
        Pass {
            taps: kernel().filter_map(tap).collect(),
            start,
            step: stride,
            size,
        }
    };
    let phases = (0..stride).flat_map(|a| (0..stride).map(move |b| [a, b]));
    phases
        .map(pass)
        .filter(|p| !p.taps.is_empty() && p.size[0] * p.size[1] > 0)
        .collect()
}

/// The weight as a matrix `[output channels, input channels * taps]`.
fn weight_matrix<T: Float>(g: &Geometry, by: Derivative, w: &[T], taps: &[Tap]) -> Vec<T> {
    let ([outputs, ..], [inputs, ..]) = match by {
        Derivative::Y => (g.y, g.x),
        Derivative::X => (g.x, g.y),
    };
    let area = g.kernel[0] * g.kernel[1];
    let output_first = (by == Derivative::Y) == (g.config.layout == WeightLayout::YX);
    let (output_stride, input_stride) = if output_first {
        (inputs * area, area)
    } else {
        (area, outputs * area)
    };
    let columns = inputs * taps.len();
    let mut matrix = vec![T::zero(); outputs * columns];
    planes(&mut matrix, columns, |output, row| {
        for (input, row) in row.chunks_exact_mut(taps.len()).enumerate() {
            let start = output * output_stride + input * input_stride;
            for (to, tap) in row.iter_mut().zip(taps) {
                *to = w[start + tap.kernel];
            }
        }
    });
    matrix
}

/// Element types, by the algorithms that they have beside the direct form.
pub(crate) trait Fast: Sized {
    /// Computes [`convolve`] by another algorithm, if there is one for these sizes that pays.
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

    /// Computes [`weight_gradient`] by another algorithm, if there is one for these sizes that pays.
    fn weight_gradient(
        _: &Geometry,
        _: &[Self],
        _: &[Self],
        _: [Option<&[Self]>; 2],
        _: &mut [Self],
    ) -> bool {
        false
    }

    /// Computes a transposed convolution and the filter behind it as one convolution, if that pays.
    #[expect(clippy::too_many_arguments, reason = "those of two ops")]
    fn upsampled<E: Epilogue<Self>>(
        _: &Geometry,
        _: &Filter,
        _: &UpFirDn2d,
        _: &[Self],
        _: &[Self],
        _: Option<&[Self]>,
        _: &E,
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
        let Some((shape, kernels)) = as_winograd(g, by, w) else {
            return false;
        };
        let chosen = match algorithm() {
            Algorithm::Auto => winograd::pays(&shape),
            Algorithm::Direct => false,
            Algorithm::Winograd => true,
        };
        if chosen {
            winograd::convolve(simd::level(), &shape, input, kernels, scale, epilogue, out);
        }
        chosen
    }

    fn weight_gradient(
        g: &Geometry,
        x: &[f32],
        y: &[f32],
        [scale_x, scale_y]: [Option<&[f32]>; 2],
        out: &mut [f32],
    ) -> bool {
        let Some((shape, strides)) = as_winograd_gradient(g) else {
            return false;
        };
        let chosen = match algorithm() {
            Algorithm::Auto => winograd::gradient_pays(&shape),
            Algorithm::Direct => false,
            Algorithm::Winograd => true,
        };
        if chosen {
            let level = simd::level();
            winograd::weight_gradient(level, &shape, (x, scale_x), (y, scale_y), strides, out);
        }
        chosen
    }

    fn upsampled<E: Epilogue<f32>>(
        g: &Geometry,
        filter: &Filter,
        fir: &UpFirDn2d,
        y: &[f32],
        w: &[f32],
        scale: Option<&[f32]>,
        epilogue: &E,
        out: &mut [f32],
    ) -> bool {
        let Some((shape, kernels, upsampling)) = as_upsampling(g, filter, fir, w) else {
            return false;
        };
        let chosen = match algorithm() {
            Algorithm::Auto => Upsampling::pays(&shape),
            Algorithm::Direct => false,
            Algorithm::Winograd => true,
        };
        if chosen {
            let level = simd::level();
            winograd::convolve_up2(level, &shape, &upsampling, y, kernels, scale, epilogue, out);
        }
        chosen
    }
}

/// A 3x3 convolution of stride 1, and the steps between the outputs and inputs of its weight.
pub(super) fn as_winograd_gradient(g: &Geometry) -> Option<(winograd::Shape, [usize; 2])> {
    if g.kernel != [3, 3] || g.config.stride != 1 {
        return None;
    }
    let (y_stride, x_stride) = strides(g);
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
    if g.kernel != [3, 3] || g.config.stride != 1 {
        return None;
    }
    let (y_stride, x_stride) = strides(g);
    let forward = by == Derivative::Y;
    let ((input, output), (input_stride, output_stride)) = match by {
        Derivative::Y => ((g.x, g.y), (x_stride, y_stride)),
        Derivative::X => ((g.y, g.x), (y_stride, x_stride)),
    };
    let shape = winograd::Shape {
        n: g.n,
        input,
        output,
        padding: if forward {
            g.config.padding
        } else {
            2 - g.config.padding
        },
        gain: g.config.gain,
    };
    let kernels = Kernels {
        w,
        output_stride,
        input_stride,
        rotated: !forward,
    };
    Some((shape, kernels))
}

/// From kernel to kernel of a 3x3 weight, by channels of y and of x.
fn strides(g: &Geometry) -> (usize, usize) {
    match g.config.layout {
        WeightLayout::YX => (9 * g.x[0], 9),
        WeightLayout::XY => (9, 9 * g.y[0]),
    }
}

/// A 3x3 transposed convolution of stride 2 and a filter that leaves twice the size, as Winograd's
/// algorithm computes them.
pub(super) fn as_upsampling<'a>(
    g: &Geometry,
    filter: &Filter,
    fir: &UpFirDn2d,
    w: &'a [f32],
) -> Option<(winograd::Shape, Kernels<'a>, Upsampling)> {
    let [_, h, w_y] = g.y;
    let [x0, x1, y0, y1] = fir.padding;
    let [fh, fw] = filter.dims();
    let fits = g.kernel == [3, 3]
        && (g.config.stride, g.config.padding) == (2, 0)
        && [g.x[1], g.x[2]] == [2 * h + 1, 2 * w_y + 1]
        && (fir.up, fir.down) == (1, 1)
        && (y0 + y1, x0 + x1) == (fh as i64 - 2, fw as i64 - 2);
    if !fits {
        return None;
    }
    let tap = |k: usize, taps: usize| if fir.flip_filter { k } else { taps - 1 - k };
    let row = |ky: usize| (0..fw).map(move |kx| fir.gain * filter.at(tap(ky, fh), tap(kx, fw)));
    let rows: Vec<Vec<f64>> = (0..fh).map(|ky| row(ky).collect()).collect();
    let upsampling = Upsampling::new(&rows, [y0, x0])?;
    let shape = winograd::Shape {
        n: g.n,
        input: g.y,
        output: [g.x[0], h, w_y],
        padding: 1,
        gain: g.config.gain,
    };
    let (input_stride, output_stride) = strides(g);
    let kernels = Kernels {
        w,
        output_stride,
        input_stride,
        rotated: false,
    };
    Some((shape, kernels, upsampling))
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
    let (from, [outputs, out_h, out_w], step) = match by {
        Derivative::Y => (g.x, g.y, g.config.stride),
        Derivative::X => (g.y, g.x, 1),
    };
    let input = Picture {
        data: input,
        dims: from,
        scale,
    };
    let passes = passes(g, by);
    // With one pass the tasks finish their own values; the phases of a plane are finished together.
    let alone = matches!(passes.as_slice(), [Pass { step: 1, .. }]);
    // Pixels that no tap reaches, where the kernel is smaller than the stride.
    let reached: usize = passes.iter().map(|p| p.size[0] * p.size[1]).sum();
    if reached < out_h * out_w || from[0] == 0 {
        out.fill(T::zero());
    }
    let weights: Vec<Vec<T>> = passes
        .iter()
        .map(|pass| weight_matrix(g, by, w, &pass.taps))
        .collect();
    let mut tasks = Vec::new();
    for (pass, weight) in passes.iter().zip(&weights) {
        let depth = from[0] * pass.taps.len();
        for tile in tiles(
            g.n,
            pass.size,
            (TILE_ELEMENTS / depth.max(1)).clamp(64, 1024),
        ) {
            tasks.push((pass, weight, tile));
        }
    }
    let block = channel_block(outputs, tasks.len());
    let blocks = (0..tasks.len()).flat_map(|task| {
        (0..outputs)
            .step_by(block)
            .map(move |c| (task, c..(c + block).min(outputs)))
    });
    let blocks: Vec<(usize, Range<usize>)> = blocks.collect();
    let shared = SharedOut::new(&mut *out);
    blocks
        .into_par_iter()
        .for_each_init(Scratch::new, |scratch, (task, channels)| {
            let (pass, weight, tile) = &tasks[task];
            let depth = from[0] * pass.taps.len();
            let pixels = tile.pixels();
            let gathered = match input.in_place(0, &pass.taps, step, tile) {
                Some(data) => Matrix::new(data, depth, pixels, from[1] * from[2]),
                None => {
                    let matrix = sized(&mut scratch.gathered, depth * pixels);
                    wide(
                        #[inline(always)]
                        || {
                            gather(
                                &input,
                                0..from[0],
                                &pass.taps,
                                step,
                                tile,
                                &mut scratch.plane,
                                matrix,
                            )
                        },
                    );
                    Matrix::new(matrix, depth, pixels, pixels)
                }
            };
            let weight = Matrix::new(
                &weight[channels.start * depth..channels.end * depth],
                channels.len(),
                depth,
                depth,
            );
            let plane = out_h * out_w;
            let first = |sample: usize| (sample * outputs + channels.start) * plane;
            if pass.step == 1 && tile.samples.len() == 1 {
                let start = first(tile.samples.start) + tile.rows.start * out_w;
                let pointer = shared.at(start, (channels.len() - 1) * plane + pixels);
                // SAFETY: `at` checked that all rows are inside the result. Tasks differ in tile or channels,
                // and tiles of one pass do not overlap, so no other task writes to these pixels.
                let mut product =
                    unsafe { MatrixMut::from_ptr(pointer, channels.len(), pixels, plane) };
                multiply(&mut product, weight, gathered, g.config.gain, false);
                if alone && !E::EMPTY {
                    let sample = tile.samples.start;
                    for (channel, to) in channels.zip((start..).step_by(plane)) {
                        let pointer = shared.at(to, pixels);
                        // SAFETY: as above; the product that wrote to these pixels is done.
                        let row = unsafe { std::slice::from_raw_parts_mut(pointer, pixels) };
                        epilogue.finish(sample, channel, tile.rows.start * out_w, row);
                    }
                }
                return;
            }
            let product = sized(&mut scratch.product, channels.len() * pixels);
            multiply(
                &mut MatrixMut::new(product, channels.len(), pixels, pixels),
                weight,
                gathered,
                g.config.gain,
                false,
            );
            if alone && !E::EMPTY {
                // Whole samples: a tile of rows belongs to one sample, which was written in place above.
                let runs = product.chunks_exact_mut(tile.rows.len() * tile.columns);
                let of = channels
                    .clone()
                    .flat_map(|c| tile.samples.clone().map(move |n| (n, c)));
                for ((sample, channel), run) in of.zip(runs) {
                    epilogue.finish(sample, channel, tile.rows.start * out_w, run);
                }
            }
            let mut segments = product.chunks_exact(tile.columns);
            for channel in 0..channels.len() {
                for sample in tile.samples.clone() {
                    for (row, segment) in tile.rows.clone().zip(&mut segments) {
                        let row = pass.start[0] + row * pass.step;
                        let start = first(sample) + channel * plane + row * out_w + pass.start[1];
                        let to = shared.at(start, (tile.columns - 1) * pass.step + 1);
                        for (column, &value) in segment.iter().enumerate() {
                            // SAFETY: inside the checked range; passes write to different phases of the grid,
                            // tasks of one pass to different pixels or channels.
                            unsafe { *to.add(column * pass.step) = value };
                        }
                    }
                }
            }
        });
    if !alone && !E::EMPTY {
        planes(out, out_h * out_w, |plane, out| {
            epilogue.finish(plane / outputs, plane % outputs, 0, out);
        });
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
    let Some(Pass { taps, size, .. }) = passes(g, Derivative::Y).pop() else {
        out.fill(T::zero());
        return;
    };
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
    let product = |scratch: &mut Scratch<T>, (inputs, outputs): &(Range<usize>, Range<usize>)| {
        let rows = depth(inputs);
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
        sum
    };
    let sums: Vec<Vec<T>> = blocks.par_iter().map_init(Scratch::new, product).collect();
    let (y_stride, x_stride) = match g.config.layout {
        WeightLayout::YX => (x_channels * taps.len(), taps.len()),
        WeightLayout::XY => (taps.len(), y_channels * taps.len()),
    };
    for ((inputs, outputs), sum) in blocks.iter().zip(&sums) {
        let mut rows = sum.chunks_exact(outputs.len());
        for input in inputs.clone() {
            for (tap, row) in (0..taps.len()).zip(&mut rows) {
                for (output, &value) in outputs.clone().zip(row) {
                    out[output * y_stride + input * x_stride + tap] = value;
                }
            }
        }
    }
}

/// A batch of pictures as `[N, H*W, C]`, with an optional scale `[N,C]`: the order in which a matrix
/// product sums over pixels fastest.
fn pixels_first<T: Float>(data: &[T], [channels, h, w]: [usize; 3], scale: Option<&[T]>) -> Vec<T> {
    /// Pixels of a block, so that one block of all its channels stays in the cache.
    const BLOCK: usize = 16;
    let pixels = h * w;
    let mut out = vec![T::zero(); data.len()];
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
