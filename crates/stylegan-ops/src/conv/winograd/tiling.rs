//! From pictures to transformed tiles.

use std::marker::PhantomData;
use std::ops::Range;

use super::plan::{Block, Plan};
use super::precision::Precision;
use super::scheme::{KERNEL, MOST_PRODUCTS, Scheme};
use super::{Pictures, Shape, TILE, product};
use crate::simd::Lanes;

/// Pixels of a line of the cache.
const CACHE_LINE: usize = 16;

/// The tiles of a block, and where they find their pixels.
///
/// One channel is copied with the zeros around it. Then, for a vector of tiles at a time, the rows of pixels under the
/// tiles are transformed as the [`Scheme`] says, and after them the columns. A tile reads its own four pixels of a row
/// and at most two of the next tile's.
pub(super) struct Tiles<S, L> {
    /// How many vectors hold a value per tile.
    pub(super) vectors: usize,
    /// Panels of vectors, by first vector and width.
    pub(super) panels: Vec<(usize, usize)>,
    padding: usize,
    columns: Range<usize>,
    /// Rows of tiles that are neighbours in one sample: the sample, its rows, and the first row of pixels
    /// in the copy.
    runs: Vec<(usize, Range<usize>, usize)>,
    /// Rows of pixels in the copy, and pixels from row to row.
    copied: usize,
    pitch: usize,
    /// Whether vectors of pixels go across the ends of rows, so that there must be no gaps: then every row of pixels
    /// under the tiles is copied to a line for all rows of tiles, and those that come a tile later to another.
    dense: bool,
    /// Where the four vectors of pixels of every vector of tiles are, in the copy or in the first line.
    pixels: Vec<[usize; TILE]>,
    kind: PhantomData<(S, L)>,
}

impl<S: Scheme, L: Lanes> Tiles<S, L> {
    pub(super) fn new(shape: &Shape, plan: &Plan, block: &Block) -> Self {
        let tile_rows = plan.tiles[0].max(1);
        let mut runs: Vec<(usize, Range<usize>, usize)> = Vec::new();
        let (mut row, mut copied) = (block.rows.start, 0);
        while row < block.rows.end {
            let (sample, first) = (row / tile_rows, row % tile_rows);
            let last = tile_rows.min(first + block.rows.end - row);
            runs.push((sample, first..last, copied));
            row += last - first;
            copied += TILE * (last - first) + 2;
        }
        let width = TILE * block.columns.len();
        let pitch = width + TILE;
        let vectors = block.vectors::<L>();
        let dense = !width.is_multiple_of(L::LANES);
        let tops = runs.iter().flat_map(|(_, rows, first)| {
            let first = *first;
            (0..rows.len()).map(move |row| first + TILE * row)
        });
        let tops: Vec<usize> = tops.collect();
        let at = |pixel: usize| match dense {
            true => pixel,
            // Lanes after the last tile hold any pixels.
            false if pixel >= block.rows.len() * width => 0,
            false => tops[pixel / width] * pitch + pixel % width,
        };
        let pixels = (0..vectors)
            .map(|vector| std::array::from_fn(|i| at((TILE * vector + i) * L::LANES)))
            .collect();
        Self {
            vectors,
            panels: product::panels::<L>(vectors),
            padding: shape.padding,
            columns: block.columns.clone(),
            runs,
            copied,
            pitch,
            dense,
            pixels,
            kind: PhantomData,
        }
    }

    /// Pixels of a line; vectors may reach beyond its end.
    fn line(&self) -> usize {
        TILE * self.vectors * L::LANES + L::LANES
    }

    /// Pixels of the copy; the last vectors may reach beyond its end.
    fn copy_len(&self) -> usize {
        self.copied * self.pitch + TILE + L::LANES
    }

    /// How many vectors of scratch memory the transform needs.
    pub(super) fn scratch(&self) -> usize {
        let lines = 2 * S::PIXELS * self.line() * usize::from(self.dense);
        (self.copy_len() + lines).div_ceil(L::LANES)
    }

    /// Transforms some channels: `[row of frequencies][column][panel of tiles][channel][vector]`, or a pair of
    /// channels in bf16 in place of each.
    #[inline(always)]
    pub(super) fn transform(
        &self,
        l: L,
        input: &Pictures,
        channels: Range<usize>,
        precision: Precision,
        scratch: &mut [L::Vector],
        out: &mut [L::Vector],
    ) {
        let (copy, lines) = l.floats_mut(scratch).split_at_mut(self.copy_len());
        copy.fill(0.0);
        let last = channels.len() - 1;
        let depth = precision.depth(channels.len());
        let column = depth * self.vectors;
        let row = S::PRODUCTS * column;
        // Filled once: for every vector of tiles, that would show in a profile.
        let mut rows = [[l.splat(0.0); MOST_PRODUCTS]; KERNEL];
        for (k, channel) in channels.enumerate() {
            let place = k / precision.channels();
            self.copy(l, input, channel, copy);
            if self.dense {
                self.close_gaps(l, copy, lines);
            }
            for &(start, width) in &self.panels {
                for j in 0..width {
                    let steps = match self.dense {
                        true => [2 * self.line(), self.line()],
                        false => [self.pitch, TILE],
                    };
                    let pixels = if self.dense { &*lines } else { &*copy };
                    self.rows(l, pixels, start + j, steps, &mut rows);
                    let to = start * depth + place * width + j;
                    for c in 0..S::PRODUCTS {
                        let mut pixels = [l.splat(0.0); KERNEL];
                        for (pixel, row) in pixels.iter_mut().zip(&rows).take(S::PIXELS) {
                            *pixel = row[c];
                        }
                        let transformed = S::input(l, pixels);
                        let out = &mut out[c * column + to..];
                        precision.put(l, k, last, &transformed[..S::PRODUCTS], out, row);
                    }
                }
            }
        }
    }

    /// Transforms the rows of pixels of a vector of tiles; from row to row are `pitch` pixels, and `shift` to the
    /// pixels of the next tile.
    #[inline(always)]
    fn rows(
        &self,
        l: L,
        pixels: &[f32],
        vector: usize,
        [pitch, shift]: [usize; 2],
        rows: &mut [[L::Vector; MOST_PRODUCTS]; KERNEL],
    ) {
        let at = self.pixels[vector];
        for (y, row) in rows.iter_mut().take(S::PIXELS).enumerate() {
            let pixels = &pixels[y * pitch..];
            let [a, b, c, d] = load(l, pixels, at);
            let [e, f, ..] = load(l, &pixels[shift..], at);
            let transformed = S::input(l, [a, b, c, d, e, f]);
            row[..S::PRODUCTS].copy_from_slice(&transformed[..S::PRODUCTS]);
        }
    }

    /// Copies every row of pixels under the tiles to a line for all rows of tiles, and what comes a tile later to
    /// another.
    #[inline(always)]
    fn close_gaps(&self, l: L, copy: &[f32], lines: &mut [f32]) {
        let width = TILE * self.columns.len();
        let lines = lines.chunks_exact_mut(self.line()).enumerate();
        for (i, line) in lines.take(2 * S::PIXELS) {
            let (y, shift) = (i / 2, i % 2 * TILE);
            let mut to = 0;
            for (_, rows, first) in &self.runs {
                for row in 0..rows.len() {
                    let from = &copy[(first + TILE * row + y) * self.pitch + shift..];
                    // What vectors write beyond the end is written again, or not used.
                    for at in (0..width).step_by(L::LANES) {
                        l.store(l.load(&from[at..]), &mut line[to + at..]);
                    }
                    to += width;
                }
            }
        }
    }

    /// Copies one channel, scaled, to where zeros surround it.
    #[inline(always)]
    fn copy(&self, l: L, input: &Pictures, channel: usize, copy: &mut [f32]) {
        let [channels, h, w] = input.dims;
        // Pixel d of a copied row is picture column d + left - padding.
        let left = TILE * self.columns.start;
        let first = self.padding.saturating_sub(left).min(self.pitch);
        let last = (w + self.padding)
            .saturating_sub(left)
            .clamp(first, self.pitch);
        let from = (left + first).saturating_sub(self.padding);
        for (sample, rows, to) in &self.runs {
            let plane = sample * channels + channel;
            let scale = input.scale.map_or(1.0, |s| s[plane]);
            let next = &input.data[(plane + 1) * h * w..];
            let plane = &input.data[plane * h * w..(plane + 1) * h * w];
            let top = TILE * rows.start;
            let bottom = TILE * rows.end + 2;
            for y in top.max(self.padding)..bottom.min(h + self.padding) {
                let to = (to + y - top) * self.pitch;
                let from = (y - self.padding) * w + from;
                // Rows of a few pixels are too short for the machine to see where the next channel's are.
                prefetch(l, next, from..from + last - first);
                let from = &plane[from..from + last - first];
                scaled(l, from, scale, &mut copy[to + first..to + last]);
            }
        }
    }
}

/// The four pixels of every tile of a vector.
#[inline(always)]
fn load<L: Lanes>(l: L, pixels: &[f32], at: [usize; TILE]) -> [L::Vector; TILE] {
    let mut quads = [l.splat(0.0); TILE];
    for (quad, at) in quads.iter_mut().zip(at) {
        *quad = l.load(&pixels[at..]);
    }
    l.transpose4(quads)
}

/// Asks for a run of pixels, as far as there are so many.
#[inline(always)]
fn prefetch<L: Lanes>(l: L, pixels: &[f32], run: Range<usize>) {
    for at in run.step_by(CACHE_LINE) {
        if let Some(pixel) = pixels.get(at) {
            l.prefetch(pixel);
        }
    }
}

/// Copies pixels with a factor.
#[inline(always)]
fn scaled<L: Lanes>(l: L, from: &[f32], factor: f32, to: &mut [f32]) {
    let Some(last) = from.len().checked_sub(L::LANES) else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from * factor;
        }
        return;
    };
    let factor = l.splat(factor);
    // The last vector may overlap the one before it.
    for at in (0..last).step_by(L::LANES) {
        l.store(l.mul(factor, l.load(&from[at..])), &mut to[at..]);
    }
    l.store(l.mul(factor, l.load(&from[last..])), &mut to[last..]);
}
