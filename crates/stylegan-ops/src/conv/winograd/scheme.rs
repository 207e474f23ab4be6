//! What the algorithm makes of one axis: three taps at a time, tile by tile.

use super::TILE;
use super::points::{self, two_taps};
use crate::simd::Lanes;

/// The most values of a transformed line of pixels.
pub(super) const MOST_PRODUCTS: usize = 9;
/// The most results of a tile on one axis.
pub(super) const MOST_RESULTS: usize = 8;
/// Values of a transformed kernel.
pub(super) const KERNEL: usize = 6;

/// One axis of a convolution with three taps as products of transformed pixels and taps. A tile begins every
/// [`TILE`] pixels of the input, and reads at most two pixels of the next.
pub(super) trait Scheme: Copy + Send + Sync + 'static {
    /// Pixels that a tile reads.
    const PIXELS: usize;
    /// Products of a tile.
    const PRODUCTS: usize;
    /// Results of a tile.
    const RESULTS: usize;
    /// The transform of the three taps.
    const WEIGHT: [[f64; 3]; KERNEL];

    /// How many tiles an axis with so many results has.
    fn tiles(results: usize) -> usize;
    /// Which of the values of a transformed kernel a product has for a factor.
    fn kernel(product: usize) -> usize;
    /// The factors of all products, in the first [`PRODUCTS`](Self::PRODUCTS) places.
    fn input<L: Lanes>(l: L, d: [L::Vector; KERNEL]) -> [L::Vector; MOST_PRODUCTS];
    /// The transformed kernel.
    fn weight<L: Lanes>(l: L, taps: [L::Vector; 3]) -> [L::Vector; KERNEL];
    /// The results from the products, in the first [`RESULTS`](Self::RESULTS) places.
    fn output<L: Lanes>(l: L, m: &[L::Vector]) -> [L::Vector; MOST_RESULTS];
    /// Results of which every lane is a tile, as lines of pixels.
    fn lines<L: Lanes>(l: L, results: [L::Vector; MOST_RESULTS]) -> [L::Vector; MOST_RESULTS];
}

/// A correlation that keeps the size: `y[j] = sum_k w[k] x[j + k]`. Six products for four results.
#[derive(Clone, Copy)]
pub(super) struct Same;

impl Scheme for Same {
    const PIXELS: usize = 6;
    const PRODUCTS: usize = 6;
    const RESULTS: usize = 4;
    const WEIGHT: [[f64; 3]; KERNEL] = points::WEIGHT;

    fn tiles(results: usize) -> usize {
        results.div_ceil(TILE)
    }

    #[inline(always)]
    fn kernel(product: usize) -> usize {
        product
    }

    #[inline(always)]
    fn input<L: Lanes>(l: L, d: [L::Vector; KERNEL]) -> [L::Vector; MOST_PRODUCTS] {
        let [a, b, c, d, e, f] = points::input(l, d);
        [a, b, c, d, e, f, f, f, f]
    }

    #[inline(always)]
    fn weight<L: Lanes>(l: L, taps: [L::Vector; 3]) -> [L::Vector; KERNEL] {
        points::weight(l, taps)
    }

    #[inline(always)]
    fn output<L: Lanes>(l: L, m: &[L::Vector]) -> [L::Vector; MOST_RESULTS] {
        let [a, b, c, d] = points::output(l, [m[0], m[1], m[2], m[3], m[4], m[5]]);
        [a, b, c, d, d, d, d, d]
    }

    #[inline(always)]
    fn lines<L: Lanes>(
        l: L,
        [a, b, c, d, ..]: [L::Vector; MOST_RESULTS],
    ) -> [L::Vector; MOST_RESULTS] {
        let [a, b, c, d] = l.transpose4([a, b, c, d]);
        [a, b, c, d, d, d, d, d]
    }
}

/// A transposed convolution of stride 2: `z[2 p + k]` sums `w[k] x[p]`, where the pixels `d` of a tile begin with
/// the last of the tile before.
///
/// The even results have two taps, `z[2 j] = w[2] d[j] + w[0] d[j + 1]`, and take five products for four of them;
/// the odd ones have one, `z[2 j + 1] = w[1] d[j + 1]`, and take one each. That is 9 for 8 where the direct form
/// takes 12, and in two dimensions 81 where it takes 144.
///
/// The very last result of an axis, which is even, begins a tile of its own. Where that is empty but for this
/// one, [`Border`](super::border::Border) computes it.
#[derive(Clone, Copy)]
pub(super) struct Doubled;

impl Scheme for Doubled {
    const PIXELS: usize = 5;
    const PRODUCTS: usize = 9;
    const RESULTS: usize = 8;
    const WEIGHT: [[f64; 3]; KERNEL] = {
        let mut weight = [[0.0, 1.0, 0.0]; KERNEL];
        let mut i = 0;
        while i < 5 {
            let [first, second] = two_taps::WEIGHT[i];
            weight[i] = [second, 0.0, first];
            i += 1;
        }
        weight
    };

    fn tiles(results: usize) -> usize {
        (results / 2).div_ceil(TILE)
    }

    #[inline(always)]
    fn kernel(product: usize) -> usize {
        product.min(5)
    }

    #[inline(always)]
    fn input<L: Lanes>(l: L, d: [L::Vector; KERNEL]) -> [L::Vector; MOST_PRODUCTS] {
        let [a, b, c, e, f] = two_taps::input(l, [d[0], d[1], d[2], d[3], d[4]]);
        [a, b, c, e, f, d[1], d[2], d[3], d[4]]
    }

    #[inline(always)]
    fn weight<L: Lanes>(l: L, [first, second, third]: [L::Vector; 3]) -> [L::Vector; KERNEL] {
        let [a, b, c, d, e] = two_taps::weight(l, [third, first]);
        [a, b, c, d, e, second]
    }

    #[inline(always)]
    fn output<L: Lanes>(l: L, m: &[L::Vector]) -> [L::Vector; MOST_RESULTS] {
        let [a, b, c, d] = two_taps::output(l, [m[0], m[1], m[2], m[3], m[4]]);
        [a, m[5], b, m[6], c, m[7], d, m[8]]
    }

    #[inline(always)]
    fn lines<L: Lanes>(l: L, r: [L::Vector; MOST_RESULTS]) -> [L::Vector; MOST_RESULTS] {
        let even = l.transpose4([r[0], r[2], r[4], r[6]]);
        let odd = l.transpose4([r[1], r[3], r[5], r[7]]);
        let mut lines = r;
        for i in 0..TILE {
            let [lower, upper] = l.zip(even[i], odd[i]);
            (lines[2 * i], lines[2 * i + 1]) = (lower, upper);
        }
        lines
    }
}
