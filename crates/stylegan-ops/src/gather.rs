//! Gathering the input pixels under a convolution's taps into a matrix.

use std::ops::Range;

use crate::kernel::Float;

/// One tap of a kernel: output pixel `p` reads input pixel `p * step + (dy, dx)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tap {
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

/// Splits `n` pictures of a size into tiles of at most about `target` pixels, and of about one size: products with
/// few pixels are slow.
pub(crate) fn tiles(n: usize, [rows, columns]: [usize; 2], target: usize) -> Vec<Tile> {
    let pixels = rows * columns;
    if pixels == 0 {
        return Vec::new();
    }
    if pixels <= target {
        let samples = even(n, target / pixels);
        let starts = (0..n).step_by(samples);
        return starts
            .map(|s| Tile {
                samples: s..(s + samples).min(n),
                rows: 0..rows,
                columns,
            })
            .collect();
    }
    let height = even(rows, (target / columns).max(1));
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

/// The length of the parts of `whole`, where as many as parts of `most` take are of about one length.
fn even(whole: usize, most: usize) -> usize {
    whole.div_ceil(whole.div_ceil(most).max(1)).max(1)
}

/// A batch of pictures `[N,C,H,W]` to gather from, with an optional scale `[N,C]`.
#[derive(Clone, Copy)]
pub(crate) struct Picture<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) dims: [usize; 3],
    pub(crate) scale: Option<&'a [T]>,
}

impl<'a, T: Float> Picture<'a, T> {
    /// The pixels of a channel, and their scale.
    pub(crate) fn plane(&self, sample: usize, channel: usize) -> (&'a [T], T) {
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
        let plain = matches!(taps, [Tap { dy: 0, dx: 0 }]) && step == 1 && self.scale.is_none();
        let inside = tile.columns == w && tile.rows.end <= h;
        (plain && inside && tile.samples.len() == 1).then(|| {
            let plane = tile.samples.start * channels + channel;
            &self.data[plane * h * w + tile.rows.start * w..]
        })
    }
}

/// A reusable buffer for one prepared plane.
pub(crate) type Plane<T> = Vec<T>;

/// Which output columns a tap reads, and from where in a row of the prepared plane.
struct Span {
    first: usize,
    last: usize,
    from: usize,
}

impl Span {
    /// Rows of `w` pixels are stored by residue of the column modulo `step`: column
    /// `j * step + residue` is element `j` of its residue's run.
    fn new(dx: isize, step: usize, w: usize, columns: usize) -> Self {
        let (residue, shift) = (
            dx.rem_euclid(step as isize) as usize,
            dx.div_euclid(step as isize),
        );
        let run = |residue: usize| w.saturating_sub(residue).div_ceil(step);
        let start: usize = (0..residue).map(run).sum();
        let first = ((-shift).max(0) as usize).min(columns);
        let last = (run(residue) as isize - shift).clamp(first as isize, columns as isize) as usize;
        let from = if first == last {
            0
        } else {
            ((start + first) as isize + shift) as usize
        };
        Self { first, last, from }
    }
}

/// Fills `matrix`, `[taps * channels, pixels of the tile]`, with the pixels under the taps; zero
/// outside the picture.
#[inline(always)]
pub(crate) fn gather<T: Float>(
    picture: &Picture<T>,
    channels: Range<usize>,
    taps: &[Tap],
    step: usize,
    tile: &Tile,
    buffer: &mut Plane<T>,
    matrix: &mut [T],
) {
    let [_, h, w] = picture.dims;
    // Rows that are padded to the length of the output's move as one plane.
    let pitch = if step == 1 { w.max(tile.columns) } else { w };
    let in_place = step == 1 && pitch == w && picture.scale.is_none();
    let count = channels.len();
    let spans: Vec<Span> = taps
        .iter()
        .map(|tap| Span::new(tap.dx, step, w, tile.columns))
        .collect();
    let pixels = tile.pixels();
    let sample_pixels = tile.rows.len() * tile.columns;
    // The rows that any tap of the tile reads.
    let row = |row: usize, dy: isize| ((row * step) as isize + dy).clamp(0, h as isize) as usize;
    let top = taps
        .iter()
        .map(|tap| row(tile.rows.start, tap.dy))
        .min()
        .unwrap_or(0);
    let bottom = taps
        .iter()
        .map(|tap| row(tile.rows.end - 1, tap.dy + 1))
        .max()
        .unwrap_or(0);
    for (i, channel) in channels.enumerate() {
        for (j, sample) in tile.samples.clone().enumerate() {
            let (plane, scale) = picture.plane(sample, channel);
            let rows = &plane[top * w..bottom.max(top) * w];
            let rows = match in_place {
                true => rows,
                false => prepare(rows, [w, pitch], step, scale, buffer),
            };
            for (t, (tap, span)) in taps.iter().zip(&spans).enumerate() {
                let start = (t * count + i) * pixels + j * sample_pixels;
                let out = &mut matrix[start..start + sample_pixels];
                let first_row = (tile.rows.start * step) as isize + tap.dy - top as isize;
                if step == 1 && tile.columns == pitch {
                    shift_plane(rows, pitch, first_row, tap.dx, out);
                } else {
                    shift_rows(rows, w, first_row, step, span, tile.columns, out);
                }
            }
        }
    }
}

/// Scales rows of `w` pixels, pads them with zeros to `pitch` pixels, and sorts their pixels by residue of the
/// column modulo `step`.
#[inline(always)]
fn prepare<'a, T: Float>(
    rows: &[T],
    [w, pitch]: [usize; 2],
    step: usize,
    scale: T,
    buffer: &'a mut Plane<T>,
) -> &'a [T] {
    let len = rows.len() / w.max(1) * pitch;
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
    let buffer = &mut buffer[..len];
    if step == 1 && pitch == w {
        for (to, &from) in buffer.iter_mut().zip(rows) {
            *to = from * scale;
        }
        return buffer;
    }
    for (to, from) in buffer.chunks_exact_mut(pitch).zip(rows.chunks_exact(w)) {
        let (to, padding) = to.split_at_mut(w);
        padding.fill(T::zero());
        let mut to = to.iter_mut();
        for residue in 0..step.min(w) {
            for (&from, to) in from[residue..].iter().step_by(step).zip(&mut to) {
                *to = from * scale;
            }
        }
    }
    buffer
}

/// A whole plane moved by `dx` columns, from row `first_row` on: where output and input rows have one
/// length, this is one contiguous copy, after which the columns that wrapped around are cleared.
#[inline(always)]
fn shift_plane<T: Float>(rows: &[T], w: usize, first_row: isize, dx: isize, out: &mut [T]) {
    let offset = first_row * w as isize + dx;
    let first = ((-offset).max(0) as usize).min(out.len());
    let last = (rows.len() as isize - offset).clamp(first as isize, out.len() as isize) as usize;
    out[..first].fill(T::zero());
    out[last..].fill(T::zero());
    if first < last {
        let from = (first as isize + offset) as usize;
        out[first..last].copy_from_slice(&rows[from..from + last - first]);
    }
    let wrapped = dx.unsigned_abs().min(w);
    let edge = if dx < 0 { 0..wrapped } else { w - wrapped..w };
    if !edge.is_empty() {
        for row in out.chunks_exact_mut(w) {
            row[edge.clone()].fill(T::zero());
        }
    }
}

/// The same row by row, for rows of different lengths or steps.
#[inline(always)]
fn shift_rows<T: Float>(
    rows: &[T],
    w: usize,
    first_row: isize,
    step: usize,
    span: &Span,
    columns: usize,
    out: &mut [T],
) {
    let len = span.last - span.first;
    for (r, out) in out.chunks_exact_mut(columns).enumerate() {
        let start = (first_row + (r * step) as isize) * w as isize;
        if start < 0 || start as usize >= rows.len() {
            out.fill(T::zero());
            continue;
        }
        out[..span.first].fill(T::zero());
        out[span.last..].fill(T::zero());
        let from = &rows[start as usize + span.from..][..len];
        for (to, &from) in out[span.first..span.last].iter_mut().zip(from) {
            *to = from;
        }
    }
}
