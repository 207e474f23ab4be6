//! From pictures to transformed tiles.

use std::marker::PhantomData;
use std::ops::Range;

use super::plan::{Block, Plan};
use super::precision::Precision;
use super::scheme::Scheme;
use super::{Pictures, Shape, TILE, product};
use crate::simd::Lanes;

/// The tiles of a block, and where they find their pixels.
///
/// One channel is copied with the zeros around it. Then the rows of pixels under a row of tiles are
/// combined into one line as the [`Scheme`] says: four pixels per tile, and two after the last. A tile reads its
/// own four and at most two of the next.
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
    /// Rows of tiles.
    rows: usize,
    /// Whether vectors of tiles go across the ends of lines, so that there must be no gaps.
    dense: bool,
    /// Where the four vectors of pixels of every vector of tiles are in the lines.
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
        let at = |pixel: usize| match dense {
            true => pixel,
            // Lanes after the last tile hold any pixels.
            false if pixel >= block.rows.len() * width => 0,
            false => pixel / width * pitch + pixel % width,
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
            rows: block.rows.len(),
            dense,
            pixels,
            kind: PhantomData,
        }
    }

    /// Pixels of a line without gaps; vectors may reach beyond its end.
    fn line(&self) -> usize {
        (self.rows * self.pitch).max(TILE * self.vectors * L::LANES) + L::LANES
    }

    /// How many vectors of scratch memory the transform needs.
    pub(super) fn scratch(&self) -> usize {
        let copy = self.copied * self.pitch + TILE + L::LANES;
        (copy + 2 * self.line()).div_ceil(L::LANES)
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
        let copy = self.copied * self.pitch + TILE + L::LANES;
        let (copy, lines) = l.floats_mut(scratch).split_at_mut(copy);
        copy.fill(0.0);
        let last = channels.len() - 1;
        let depth = precision.depth(channels.len());
        let column = depth * self.vectors;
        for (k, channel) in channels.enumerate() {
            let place = k / precision.channels();
            self.copy(l, input, channel, copy);
            // Pairs leave half of the memory.
            let rows = out.chunks_exact_mut(S::PRODUCTS * column);
            for (row, out) in rows.take(S::PRODUCTS).enumerate() {
                let terms = S::pixels(row);
                let (own, next) = lines.split_at_mut(self.line());
                match terms.len() {
                    1 => self.combine::<1>(l, terms, copy, own, next),
                    3 => self.combine::<3>(l, terms, copy, own, next),
                    _ => self.combine::<4>(l, terms, copy, own, next),
                }
                for &(start, width) in &self.panels {
                    for j in 0..width {
                        let [d0, d1, d2, d3] = self.load(l, own, start + j, 0);
                        let [d4, d5, _, _] = match self.dense {
                            true => self.load(l, next, start + j, 0),
                            false => self.load(l, own, start + j, TILE),
                        };
                        let transformed = S::input(l, [d0, d1, d2, d3, d4, d5]);
                        let to = start * depth + place * width + j;
                        for (c, &value) in transformed[..S::PRODUCTS].iter().enumerate() {
                            precision.put(l, k, last, value, &mut out[c * column + to]);
                        }
                    }
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
            let plane = &input.data[plane * h * w..(plane + 1) * h * w];
            let top = TILE * rows.start;
            let bottom = TILE * rows.end + 2;
            for y in top.max(self.padding)..bottom.min(h + self.padding) {
                let to = (to + y - top) * self.pitch;
                let from = (y - self.padding) * w + from;
                let from = &plane[from..from + last - first];
                scaled(l, from, scale, &mut copy[to + first..to + last]);
            }
        }
    }

    /// Combines rows of the copied pixels; `next` holds the same four pixels later, if lines are dense.
    #[inline(always)]
    fn combine<const N: usize>(
        &self,
        l: L,
        terms: &[(usize, f32)],
        copy: &[f32],
        own: &mut [f32],
        next: &mut [f32],
    ) {
        let width = TILE * self.columns.len();
        let mut offsets = [0; N];
        let mut factors = [l.splat(0.0); N];
        for ((offset, factor), term) in offsets.iter_mut().zip(&mut factors).zip(terms) {
            *offset = term.0 * self.pitch;
            *factor = l.splat(term.1);
        }
        let mut i = 0;
        for (_, rows, first) in &self.runs {
            for row in 0..rows.len() {
                let from = &copy[(first + TILE * row) * self.pitch..];
                if self.dense {
                    sums(l, offsets, factors, from, &mut own[i * width..], width);
                    sums(
                        l,
                        offsets,
                        factors,
                        &from[TILE..],
                        &mut next[i * width..],
                        width,
                    );
                } else {
                    sums(
                        l,
                        offsets,
                        factors,
                        from,
                        &mut own[i * self.pitch..],
                        self.pitch,
                    );
                }
                i += 1;
            }
        }
    }

    /// The four pixels of every tile of a vector, or those that come `shift` later.
    #[inline(always)]
    fn load(&self, l: L, line: &[f32], vector: usize, shift: usize) -> [L::Vector; 4] {
        let at = &self.pixels[vector];
        let mut pixels = [l.splat(0.0); TILE];
        for (pixels, at) in pixels.iter_mut().zip(at) {
            *pixels = l.load(&line[at + shift..]);
        }
        l.transpose4(pixels)
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

/// Sums of pixels at offsets. Vectors go beyond the end: what they write there is written again, or not
/// used.
#[inline(always)]
fn sums<L: Lanes, const N: usize>(
    l: L,
    offsets: [usize; N],
    factors: [L::Vector; N],
    from: &[f32],
    to: &mut [f32],
    len: usize,
) {
    for at in (0..len).step_by(L::LANES) {
        let mut sum = l.mul(factors[0], l.load(&from[offsets[0] + at..]));
        for i in 1..N {
            sum = l.mul_add(factors[i], l.load(&from[offsets[i] + at..]), sum);
        }
        l.store(sum, &mut to[at..]);
    }
}
