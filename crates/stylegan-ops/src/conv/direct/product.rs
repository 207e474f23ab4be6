//! The product of pixels where they lie with packed vectors.

use crate::simd::Lanes;

/// Neighbouring vectors of channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) first: usize,
    pub(super) width: usize,
}

/// Splits vectors into panels of nearly one width, as few as possible.
pub(super) fn panels<L: Lanes>(vectors: usize) -> Vec<Panel> {
    let widest = if L::REGISTERS >= 32 { 4 } else { 3 };
    let count = vectors.div_ceil(widest);
    let start = |panel: usize| panel * vectors / count;
    (0..count)
        .map(|panel| Panel {
            first: start(panel),
            width: start(panel + 1) - start(panel),
        })
        .collect()
}

/// Sums are in whole tiles of rows, whatever the width of their panel: a multiple of all heights of tiles.
pub(super) const ROWS: usize = 48;

/// Distances in a slice of pixels.
#[derive(Clone, Copy)]
pub(super) struct Distances<'a> {
    all: &'a [usize],
    /// The largest.
    reach: usize,
}

impl<'a> Distances<'a> {
    pub(super) fn new(all: &'a [usize]) -> Self {
        let reach = all.iter().copied().fold(0, usize::max);
        Self { all, reach }
    }
}

/// `sums[i][j] = sum_k pixels[places[i] + distances[k]] * vectors[k][j]`, added to what is there if
/// `accumulate`, with `width` vectors j.
///
/// `sums` has a multiple of [`ROWS`] rows; those after the last place get arbitrary values.
#[inline(always)]
pub(super) fn multiply<L: Lanes>(
    l: L,
    pixels: &[f32],
    (places, distances): (&[usize], Distances),
    (vectors, width): (&[L::Vector], usize),
    sums: &mut [L::Vector],
    accumulate: bool,
) {
    // More rows would take more pointers than there are registers for them.
    match (L::REGISTERS >= 32, width) {
        (true, 1) => tiles::<L, 8, 1>(l, pixels, places, distances, vectors, sums, accumulate),
        (true, 2) => tiles::<L, 8, 2>(l, pixels, places, distances, vectors, sums, accumulate),
        (true, 3) => tiles::<L, 8, 3>(l, pixels, places, distances, vectors, sums, accumulate),
        (true, 4) => tiles::<L, 6, 4>(l, pixels, places, distances, vectors, sums, accumulate),
        (false, 1) => tiles::<L, 8, 1>(l, pixels, places, distances, vectors, sums, accumulate),
        (false, 2) => tiles::<L, 6, 2>(l, pixels, places, distances, vectors, sums, accumulate),
        (false, 3) => tiles::<L, 4, 3>(l, pixels, places, distances, vectors, sums, accumulate),
        (_, width) => unreachable!("a panel of {width} vectors"),
    }
}

#[inline(always)]
fn tiles<L: Lanes, const ROWS: usize, const WIDTH: usize>(
    l: L,
    pixels: &[f32],
    places: &[usize],
    distances: Distances,
    vectors: &[L::Vector],
    sums: &mut [L::Vector],
    accumulate: bool,
) {
    let (vectors, _) = vectors.as_chunks::<WIDTH>();
    let (sums, _) = sums.as_chunks_mut::<WIDTH>();
    for (places, sums) in places.chunks(ROWS).zip(sums.chunks_exact_mut(ROWS)) {
        // Rows that are missing repeat the first.
        let mut rows = [places[0]; ROWS];
        for (row, &place) in rows.iter_mut().zip(places) {
            *row = place;
        }
        tile::<L, ROWS, WIDTH>(l, pixels, rows, distances, vectors, sums, accumulate);
    }
}

#[inline(always)]
fn tile<L: Lanes, const ROWS: usize, const WIDTH: usize>(
    l: L,
    pixels: &[f32],
    rows: [usize; ROWS],
    Distances { all, reach }: Distances,
    vectors: &[[L::Vector; WIDTH]],
    sums: &mut [[L::Vector; WIDTH]],
    accumulate: bool,
) {
    for row in rows {
        assert!(
            row + reach < pixels.len(),
            "a row of pixels outside the picture"
        );
    }
    let rows = rows.map(|row| pixels[row..].as_ptr());
    let mut sum = [[l.splat(0.0); WIDTH]; ROWS];
    for (&distance, vectors) in all.iter().zip(vectors) {
        for (row, sum) in rows.iter().zip(&mut sum) {
            // SAFETY: no distance is larger than `reach`, and the pixel so far from the row's first was checked
            // to be one of the slice.
            let pixel = l.splat(unsafe { *row.add(distance) });
            for (sum, &vector) in sum.iter_mut().zip(vectors) {
                *sum = l.mul_add(pixel, vector, *sum);
            }
        }
    }
    for (to, sum) in sums.iter_mut().zip(sum) {
        for (to, sum) in to.iter_mut().zip(sum) {
            *to = if accumulate { l.add(*to, sum) } else { sum };
        }
    }
}

/// Sums `[row][width]` as rows of channels: `out[c][i]` is lane c of row i. `out` has a multiple of 4 elements per
/// channel, `pitch`; those after the last row of `sums` are arbitrary.
#[inline(always)]
pub(super) fn spread<L: Lanes>(
    l: L,
    sums: &[L::Vector],
    width: usize,
    channels: usize,
    pitch: usize,
    out: &mut [f32],
) {
    for (i, rows) in sums.chunks_exact(4 * width).take(pitch / 4).enumerate() {
        for vector in 0..width {
            let row = |i: usize| rows[i * width + vector];
            let columns = l.transpose4([row(0), row(1), row(2), row(3)]);
            for (c, column) in columns.iter().enumerate() {
                let quads = l.floats(std::slice::from_ref(column)).as_chunks::<4>().0;
                for (q, quad) in quads.iter().enumerate() {
                    let channel = vector * L::LANES + 4 * q + c;
                    if channel < channels {
                        out[channel * pitch + 4 * i..][..4].copy_from_slice(quad);
                    }
                }
            }
        }
    }
}
