//! Gathering the input pixels under a convolution's taps into a matrix.

use std::ops::Range;

use crate::kernel::Float;

/// One tap of a kernel: output pixel `p` reads input pixel `p * step + (dy, dx)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    /// The tap's index within the kernel.
    pub(crate) kernel: usize,
    pub(crate) dy: isize,
    pub(crate) dx: isize,
}

/// A rectangle of output pixels: whole rows of one sample, or all pixels of several.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tile {
    pub(crate) samples: Range<usize>,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: usize,
}

impl Tile {
    /// How many pixels the tile has.
    pub(crate) fn pixels(&self) -> usize {
        self.samples.len() * self.rows.len() * self.columns
    }
}

/// Splits `n` pictures of a size into tiles of about `target` pixels.
pub(crate) fn tiles(n: usize, [rows, columns]: [usize; 2], target: usize) -> Vec<Tile> {
    let pixels = rows * columns;
    if pixels == 0 {
        return Vec::new();
    }
    if pixels <= target {
        let samples = target / pixels;
        let starts = (0..n).step_by(samples);
        return starts
            .map(|s| Tile {
                samples: s..(s + samples).min(n),
                rows: 0..rows,
                columns,
            })
            .collect();
    }
    let height = (target / columns).max(1);
    let of_sample = |s: usize| {
        let starts = (0..rows).step_by(height);
        starts.map(move |r| Tile {
            samples: s..s + 1,
            rows: r..(r + height).min(rows),
            columns,
        })
    };
    (0..n).flat_map(of_sample).collect()
}

/// A batch of pictures `[N,C,H,W]` to gather from, with an optional scale `[N,C]`.
#[derive(Clone, Copy)]
pub(crate) struct Picture<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) dims: [usize; 3],
    pub(crate) scale: Option<&'a [T]>,
}

impl<'a, T: Float> Picture<'a, T> {
    fn plane(&self, sample: usize, channel: usize) -> (&'a [T], T) {
        let [channels, h, w] = self.dims;
        let plane = sample * channels + channel;
        (
            &self.data[plane * h * w..(plane + 1) * h * w],
            self.scale.map_or(T::one(), |s| s[plane]),
        )
    }

    /// Where the pixels of a tile lie as they are, one channel every `H*W` elements, if they need no
    /// gathering: one tap without offset, every pixel, one sample, no scale.
    pub(crate) fn in_place(
        &self,
        channel: usize,
        taps: &[Tap],
        step: usize,
        tile: &Tile,
    ) -> Option<&'a [T]> {
        let [channels, h, w] = self.dims;
        let plain = matches!(taps, [Tap { dy: 0, dx: 0, .. }]) && step == 1 && self.scale.is_none();
        let inside = tile.columns == w && tile.rows.end <= h;
        (plain && inside && tile.samples.len() == 1).then(|| {
            let plane = tile.samples.start * channels + channel;
            &self.data[plane * h * w + tile.rows.start * w..]
        })
    }
}

/// Fills `matrix`, `[channels * taps, pixels of the tile]`, with the pixels under the taps; zero
/// outside the picture.
#[inline(always)]
pub(crate) fn gather<T: Float>(
    picture: &Picture<T>,
    channels: Range<usize>,
    taps: &[Tap],
    step: usize,
    tile: &Tile,
    matrix: &mut [T],
) {
    let [_, h, w] = picture.dims;
    let pixels = tile.pixels();
    let mut lines = matrix.chunks_exact_mut(pixels);
    for channel in channels {
        for tap in taps {
            let Some(line) = lines.next() else { return };
            let mut segments = line.chunks_exact_mut(tile.columns);
            for sample in tile.samples.clone() {
                let (plane, scale) = picture.plane(sample, channel);
                for (row, segment) in tile.rows.clone().zip(&mut segments) {
                    let y = (row * step) as isize + tap.dy;
                    if (0..h as isize).contains(&y) {
                        let start = y as usize * w;
                        copy_row(&plane[start..start + w], scale, tap.dx, step, segment);
                    } else {
                        segment.fill(T::zero());
                    }
                }
            }
        }
    }
}

/// `to[j] = scale * row[j * step + dx]`, zero outside.
#[inline(always)]
fn copy_row<T: Float>(row: &[T], scale: T, dx: isize, step: usize, to: &mut [T]) {
    let first = ((-dx).max(0) as usize).div_ceil(step).min(to.len());
    let readable = (row.len() as isize - dx).max(0) as usize;
    let last = readable.div_ceil(step).clamp(first, to.len());
    to[..first].fill(T::zero());
    to[last..].fill(T::zero());
    let to = &mut to[first..last];
    if to.is_empty() {
        return;
    }
    let from = &row[((first * step) as isize + dx) as usize..];
    if step == 1 {
        for (t, &v) in to.iter_mut().zip(from) {
            *t = v * scale;
        }
    } else {
        for (t, &v) in to.iter_mut().zip(from.iter().step_by(step)) {
            *t = v * scale;
        }
    }
}
