//! The matrix products of one row of frequencies.

use super::precision::Precision;
use crate::simd::Lanes;

/// The widest panel of vectors whose products with [`rows`] outputs stay in the registers.
pub(super) const fn width<L: Lanes>() -> usize {
    match (L::LANES, L::REGISTERS) {
        (4, 32) => 6,
        _ => 3,
    }
}

/// How many outputs are summed at a time; divides the lanes.
pub(super) const fn rows<L: Lanes>() -> usize {
    match L::LANES {
        16 => 8,
        _ => 4,
    }
}

/// Splits vectors into panels of nearly one width, as few as possible: the first vector and the width of
/// each.
pub(super) fn panels<L: Lanes>(vectors: usize) -> Vec<(usize, usize)> {
    let count = vectors.div_ceil(width::<L>());
    let start = |panel: usize| panel * vectors / count;
    (0..count)
        .map(|panel| (start(panel), start(panel + 1) - start(panel)))
        .collect()
}

/// Where the sums of a product go: row i, vector j is element `i * row + j * vector`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) vector: usize,
    /// Whether they are added to what is there.
    pub(super) accumulate: bool,
}

/// How two vectors are multiplied and added to a third.
trait Factors {
    fn mul_add<L: Lanes>(l: L, a: L::Vector, b: L::Vector, sum: L::Vector) -> L::Vector;
}

/// Numbers in f32.
struct Single;

/// Pairs in bf16.
struct Pairs;

/// Pairs in bf16 on machines that multiply them at once.
struct PairsAtOnce;

impl Factors for Single {
    #[inline(always)]
    fn mul_add<L: Lanes>(l: L, a: L::Vector, b: L::Vector, sum: L::Vector) -> L::Vector {
        l.mul_add(a, b, sum)
    }
}

impl Factors for Pairs {
    #[inline(always)]
    fn mul_add<L: Lanes>(l: L, a: L::Vector, b: L::Vector, sum: L::Vector) -> L::Vector {
        l.mul_add_pairs(a, b, sum)
    }
}

impl Factors for PairsAtOnce {
    #[inline(always)]
    fn mul_add<L: Lanes>(l: L, a: L::Vector, b: L::Vector, sum: L::Vector) -> L::Vector {
        l.mul_add_pairs_at_once(a, b, sum)
    }
}

/// `sums[i][j] = sum_k a[k][i] * b[k][j]` for the lanes i of a panel `a` of one vector per k, up to `count`
/// of them, and the vectors j of a panel `b`. Vectors in bf16 are pairs of k, whose products are summed in f32.
#[inline(always)]
pub(super) fn multiply<L: Lanes>(
    l: L,
    precision: Precision,
    a: &[L::Vector],
    count: usize,
    b: &[L::Vector],
    sums: &mut [L::Vector],
    place: Place,
) {
    match precision {
        Precision::F32 => multiply_as::<L, Single>(l, a, count, b, sums, place),
        Precision::Bf16 if l.has_pairs() => {
            multiply_as::<L, PairsAtOnce>(l, a, count, b, sums, place);
        }
        Precision::Bf16 => multiply_as::<L, Pairs>(l, a, count, b, sums, place),
    }
}

#[inline(always)]
fn multiply_as<L: Lanes, F: Factors>(
    l: L,
    a: &[L::Vector],
    count: usize,
    b: &[L::Vector],
    sums: &mut [L::Vector],
    place: Place,
) {
    let a = l.floats(a);
    for first in (0..count).step_by(rows::<L>()) {
        let sums = &mut sums[first * place.row..];
        match (rows::<L>(), b.len() / (a.len() / L::LANES)) {
            (8, 1) => tile::<L, F, 8, 1>(l, a, first, b, sums, place),
            (8, 2) => tile::<L, F, 8, 2>(l, a, first, b, sums, place),
            (8, 3) => tile::<L, F, 8, 3>(l, a, first, b, sums, place),
            (4, 1) => tile::<L, F, 4, 1>(l, a, first, b, sums, place),
            (4, 2) => tile::<L, F, 4, 2>(l, a, first, b, sums, place),
            (4, 3) => tile::<L, F, 4, 3>(l, a, first, b, sums, place),
            (4, 4) => tile::<L, F, 4, 4>(l, a, first, b, sums, place),
            (4, 5) => tile::<L, F, 4, 5>(l, a, first, b, sums, place),
            (4, 6) => tile::<L, F, 4, 6>(l, a, first, b, sums, place),
            (_, width) => unreachable!("a panel of {width} vectors"),
        }
    }
}

#[inline(always)]
fn tile<L: Lanes, F: Factors, const ROWS: usize, const WIDTH: usize>(
    l: L,
    a: &[f32],
    first: usize,
    b: &[L::Vector],
    sums: &mut [L::Vector],
    place: Place,
) {
    let mut sum = [[l.splat(0.0); WIDTH]; ROWS];
    if place.accumulate {
        for (i, row) in sum.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum = sums[i * place.row + j * place.vector];
            }
        }
    }
    let (b, _) = b.as_chunks::<WIDTH>();
    for (a, b) in a.chunks_exact(L::LANES).zip(b) {
        let a = &a[first..first + ROWS];
        for (a, row) in a.iter().zip(&mut sum) {
            let a = l.splat(*a);
            for (sum, &b) in row.iter_mut().zip(b) {
                *sum = F::mul_add(l, a, b, *sum);
            }
        }
    }
    for (i, row) in sum.iter().enumerate() {
        for (j, &sum) in row.iter().enumerate() {
            sums[i * place.row + j * place.vector] = sum;
        }
    }
}
