//! Where the taps of a tile find their pixels.

use std::ops::Range;

use crate::conv::grid::Grid;
use crate::gather::{Picture, Tap, Tile};

/// A tile of a picture with everything that its taps reach: the picture itself, or a copy with zeros around.
pub(super) struct Window {
    /// Pixels from cell to cell.
    stride: usize,
    /// The first tap, and how far the last one is from it.
    first: Tap,
    reach: [usize; 2],
    /// Elements from row to row, channel to channel and sample to sample.
    pitch: usize,
    plane: usize,
    sample: usize,
    /// Elements of the copy; none where the tile is read in place.
    copied: Option<usize>,
}

impl Window {
    /// For tiles of at most the size of `tile`, of which `channels` are needed at a time.
    pub(super) fn new(picture: &Picture<f32>, grid: &Grid, channels: usize, tile: &Tile) -> Self {
        let taps = || grid.phases.iter().flatten().map(|(_, tap)| tap);
        let rows = || taps().map(|tap| tap.dy);
        let columns = || taps().map(|tap| tap.dx);
        let first = Tap {
            dy: rows().min().unwrap_or(0),
            dx: columns().min().unwrap_or(0),
        };
        let last = Tap {
            dy: rows().max().unwrap_or(0),
            dx: columns().max().unwrap_or(0),
        };
        let reach = [last.dy.abs_diff(first.dy), last.dx.abs_diff(first.dx)];
        let [all, h, w] = picture.dims;
        let inside = |first: isize, last: isize, cells: usize, size: usize| {
            let end = (cells.saturating_sub(1) * grid.stride) as isize + last;
            first >= 0 && end < size as isize
        };
        let in_place = picture.scale.is_none()
            && inside(first.dy, last.dy, grid.size[0], h)
            && inside(first.dx, last.dx, grid.size[1], w);
        let (pitch, plane, sample, copied);
        if in_place {
            (pitch, plane, sample, copied) = (w, h * w, all * h * w, None);
        } else {
            let span = |cells: usize, reach| cells.saturating_sub(1) * grid.stride + reach + 1;
            pitch = span(tile.columns, reach[1]);
            plane = span(tile.rows.len(), reach[0]) * pitch;
            sample = channels * plane;
            copied = Some(tile.samples.len() * sample);
        }
        Self {
            stride: grid.stride,
            first,
            reach,
            pitch,
            plane,
            sample,
            copied,
        }
    }

    /// How many elements of scratch memory a tile takes.
    pub(super) fn scratch(&self) -> usize {
        self.copied.unwrap_or(0)
    }

    /// The distance of every cell of a tile from its first one.
    pub(super) fn cells(&self, tile: &Tile) -> Vec<usize> {
        let row = |sample: usize, row: usize| {
            let start = sample * self.sample + row * self.stride * self.pitch;
            (0..tile.columns).map(move |column| start + column * self.stride)
        };
        let rows = |sample| (0..tile.rows.len()).flat_map(move |r| row(sample, r));
        (0..tile.samples.len()).flat_map(rows).collect()
    }

    /// The distance of a tap of a channel from the first tap of the first channel.
    pub(super) fn tap(&self, channel: usize, tap: &Tap) -> usize {
        let [dy, dx] = [
            tap.dy.abs_diff(self.first.dy),
            tap.dx.abs_diff(self.first.dx),
        ];
        channel * self.plane + dy * self.pitch + dx
    }

    /// The pixels of some channels of a tile, from the first tap of the first cell on.
    #[inline(always)]
    pub(super) fn pixels<'a>(
        &self,
        picture: &Picture<'a, f32>,
        tile: &Tile,
        channels: Range<usize>,
        scratch: &'a mut [f32],
    ) -> &'a [f32] {
        let [all, h, w] = picture.dims;
        let top = (tile.rows.start * self.stride) as isize + self.first.dy;
        if self.copied.is_none() {
            let plane = tile.samples.start * all + channels.start;
            let pixel = top as usize * w + self.first.dx as usize;
            return &picture.data[plane * h * w + pixel..];
        }
        // What of a row is in the picture.
        let before = (-self.first.dx).max(0) as usize;
        let from = self.first.dx.max(0) as usize;
        let before = before.min(self.pitch);
        let len = w.saturating_sub(from).min(self.pitch - before);
        let rows = tile.rows.len().saturating_sub(1) * self.stride + self.reach[0] + 1;
        for (i, sample) in tile.samples.clone().enumerate() {
            for (j, channel) in channels.clone().enumerate() {
                let (plane, scale) = picture.plane(sample, channel);
                let start = i * self.sample + j * self.plane;
                let copy = &mut scratch[start..start + rows * self.pitch];
                for (row, copy) in (top..).zip(copy.chunks_exact_mut(self.pitch)) {
                    match usize::try_from(row) {
                        Ok(row) if row < h => {
                            let (zeros, copy) = copy.split_at_mut(before);
                            let (copy, more_zeros) = copy.split_at_mut(len);
                            zeros.fill(0.0);
                            more_zeros.fill(0.0);
                            let pixels = &plane[row * w + from.min(w)..][..len];
                            for (to, pixel) in copy.iter_mut().zip(pixels) {
                                *to = pixel * scale;
                            }
                        }
                        _ => copy.fill(0.0),
                    }
                }
            }
        }
        scratch
    }
}
