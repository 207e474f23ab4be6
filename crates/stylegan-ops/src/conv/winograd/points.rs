//! The transforms of Winograd's algorithm for four outputs and three taps, three and four, or four and two.
//!
//! A polynomial of degree 5 is known by its values at five points and its leading coefficient (its value
//! "at infinity"). So the product of a polynomial of four coefficients and one of three takes six
//! multiplications, one per point, and so does its transpose, the correlation
//! `y[j] = sum_k g[k] d[j + k]`:
//!
//! ```text
//! y = A^T ((G g) * (B^T d)),  A^T[j][i] = p_i^j,  G[i][k] = p_i^k / prod_{l != i} (p_i - p_l)
//! ```
//!
//! where row i of `B^T` holds the coefficients of `prod_{l != i} (x - p_l)`, and its last row those of the
//! product over all points. The points are 0, +-5/8 and +-3/2. They round better than the usual 0, +-1, +-2, and all
//! entries of `A` and `B` are exact in `f32`.
//!
//! Four outputs and two taps take a point less: +-1/2 and +-5/4, as exact.

use crate::simd::Lanes;

/// The first pair of points is +-P.
const P: f64 = 0.625;
/// The second pair of points is +-Q.
const Q: f64 = 1.5;
const PP: f64 = P * P;
const QQ: f64 = Q * Q;

/// The products over the other points, `prod_{l != i} (p_i - p_l)`; those of a pair are the same.
const DIVISORS: [f64; 6] = {
    let (p, q) = (2.0 * PP * (PP - QQ), 2.0 * QQ * (QQ - PP));
    [PP * QQ, p, p, q, q, 1.0]
};

/// `G` for three taps.
pub(super) const WEIGHT: [[f64; 3]; 6] = {
    let points = [0.0, P, -P, Q, -Q];
    let mut g = [[0.0; 3]; 6];
    let mut i = 0;
    while i < 5 {
        let p = points[i];
        g[i] = [1.0 / DIVISORS[i], p / DIVISORS[i], p * p / DIVISORS[i]];
        i += 1;
    }
    g[5] = [0.0, 0.0, 1.0];
    g
};

/// The transforms for four outputs and two taps, which have the points +-P, +-Q and infinity.
pub(super) mod two_taps {
    use super::*;

    const P: f64 = 0.5;
    const Q: f64 = 1.25;
    const PP: f64 = P * P;
    const QQ: f64 = Q * Q;

    /// The products over the other points, for P and Q; those for -P and -Q are their negatives.
    const DIVISORS: [f64; 2] = [2.0 * P * (PP - QQ), 2.0 * Q * (QQ - PP)];

    /// `G`.
    pub(in super::super) const WEIGHT: [[f64; 2]; 5] = {
        let [p, q] = DIVISORS;
        [
            [1.0 / p, P / p],
            [-1.0 / p, P / p],
            [1.0 / q, Q / q],
            [-1.0 / q, Q / q],
            [0.0, 1.0],
        ]
    };

    /// `B^T d`.
    #[inline(always)]
    pub(in super::super) fn input<L: Lanes>(l: L, d: [L::Vector; 5]) -> [L::Vector; 5] {
        let [p, q] = [P, Q].map(|x| l.splat(x as f32));
        let [minus_p, minus_q, minus_pp, minus_qq] = [-P, -Q, -PP, -QQ].map(|x| l.splat(x as f32));
        let [sum, product] = [-(PP + QQ), PP * QQ].map(|x| l.splat(x as f32));
        let (even_p, odd_p) = (
            l.mul_add(minus_qq, d[1], d[3]),
            l.mul_add(minus_qq, d[0], d[2]),
        );
        let (even_q, odd_q) = (
            l.mul_add(minus_pp, d[1], d[3]),
            l.mul_add(minus_pp, d[0], d[2]),
        );
        [
            l.mul_add(p, odd_p, even_p),
            l.mul_add(minus_p, odd_p, even_p),
            l.mul_add(q, odd_q, even_q),
            l.mul_add(minus_q, odd_q, even_q),
            l.mul_add(product, d[0], l.mul_add(sum, d[2], d[4])),
        ]
    }

    /// `G g`.
    #[inline(always)]
    pub(in super::super) fn weight<L: Lanes>(l: L, g: [L::Vector; 2]) -> [L::Vector; 5] {
        let pair = |i: usize| {
            let [one, point] = WEIGHT[i].map(|x| l.splat(x as f32));
            let (even, odd) = (l.mul(one, g[0]), l.mul(point, g[1]));
            (l.add(odd, even), l.sub(odd, even))
        };
        let ((p, minus_p), (q, minus_q)) = (pair(0), pair(2));
        [p, minus_p, q, minus_q, g[1]]
    }

    /// `A^T m`.
    #[inline(always)]
    pub(in super::super) fn output<L: Lanes>(l: L, m: [L::Vector; 5]) -> [L::Vector; 4] {
        let [p, q, pp, qq, ppp, qqq] = [P, Q, PP, QQ, P * PP, Q * QQ].map(|x| l.splat(x as f32));
        let (sum_p, difference_p) = (l.add(m[0], m[1]), l.sub(m[0], m[1]));
        let (sum_q, difference_q) = (l.add(m[2], m[3]), l.sub(m[2], m[3]));
        [
            l.add(sum_p, sum_q),
            l.mul_add(p, difference_p, l.mul(q, difference_q)),
            l.mul_add(pp, sum_p, l.mul(qq, sum_q)),
            l.mul_add(ppp, difference_p, l.mul_add(qqq, difference_q, m[4])),
        ]
    }
}

/// `B^T d`.
#[inline(always)]
pub(super) fn input<L: Lanes>(l: L, d: [L::Vector; 6]) -> [L::Vector; 6] {
    let [p, q] = [P, Q].map(|x| l.splat(x as f32));
    let [minus_p, minus_q, minus_pp, minus_qq] = [-P, -Q, -PP, -QQ].map(|x| l.splat(x as f32));
    let [sum, product] = [-(PP + QQ), PP * QQ].map(|x| l.splat(x as f32));
    let ends = |a, b, c| l.mul_add(product, a, l.mul_add(sum, b, c));
    let (even_p, odd_p) = (
        l.mul_add(minus_qq, d[2], d[4]),
        l.mul_add(minus_qq, d[1], d[3]),
    );
    let (even_q, odd_q) = (
        l.mul_add(minus_pp, d[2], d[4]),
        l.mul_add(minus_pp, d[1], d[3]),
    );
    [
        ends(d[0], d[2], d[4]),
        l.mul_add(p, odd_p, even_p),
        l.mul_add(minus_p, odd_p, even_p),
        l.mul_add(q, odd_q, even_q),
        l.mul_add(minus_q, odd_q, even_q),
        ends(d[1], d[3], d[5]),
    ]
}

/// `G g` for three taps.
#[inline(always)]
pub(super) fn weight<L: Lanes>(l: L, g: [L::Vector; 3]) -> [L::Vector; 6] {
    let pair = |i: usize| {
        let [one, p, pp] = WEIGHT[i].map(|x| l.splat(x as f32));
        let even = l.mul_add(pp, g[2], l.mul(one, g[0]));
        let odd = l.mul(p, g[1]);
        (l.add(even, odd), l.sub(even, odd))
    };
    let ((p, minus_p), (q, minus_q)) = (pair(1), pair(3));
    let first = l.mul(l.splat(WEIGHT[0][0] as f32), g[0]);
    [first, p, minus_p, q, minus_q, g[2]]
}

/// `G g` for four taps.
#[inline(always)]
pub(super) fn four_taps<L: Lanes>(l: L, g: [L::Vector; 4]) -> [L::Vector; 6] {
    let (p, minus_p) = pair(l, g, P, DIVISORS[1]);
    let (q, minus_q) = pair(l, g, Q, DIVISORS[3]);
    let first = l.mul(l.splat((1.0 / DIVISORS[0]) as f32), g[0]);
    [first, p, minus_p, q, minus_q, g[3]]
}

/// Two rows of `G` for four taps: of a point and of its negative.
#[inline(always)]
fn pair<L: Lanes>(l: L, g: [L::Vector; 4], point: f64, divisor: f64) -> (L::Vector, L::Vector) {
    let square = point * point;
    let factor = |power: f64| (power / divisor) as f32;
    let [one, first, second, third] = [
        factor(1.0),
        factor(point),
        factor(square),
        factor(point * square),
    ];
    let even = l.mul_add(l.splat(second), g[2], l.mul(l.splat(one), g[0]));
    let odd = l.mul_add(l.splat(third), g[3], l.mul(l.splat(first), g[1]));
    (l.add(even, odd), l.sub(even, odd))
}

/// `A^T m` for three outputs.
#[inline(always)]
pub(super) fn three_outputs<L: Lanes>(l: L, m: [L::Vector; 6]) -> [L::Vector; 3] {
    let [p, q, pp, qq] = [P, Q, PP, QQ].map(|x| l.splat(x as f32));
    let (sum_p, difference_p) = (l.add(m[1], m[2]), l.sub(m[1], m[2]));
    let (sum_q, difference_q) = (l.add(m[3], m[4]), l.sub(m[3], m[4]));
    [
        l.add(m[0], l.add(sum_p, sum_q)),
        l.mul_add(p, difference_p, l.mul(q, difference_q)),
        l.mul_add(pp, sum_p, l.mul_add(qq, sum_q, m[5])),
    ]
}

/// `A^T m` for four outputs.
#[inline(always)]
pub(super) fn output<L: Lanes>(l: L, m: [L::Vector; 6]) -> [L::Vector; 4] {
    let [p, q, pp, qq, ppp, qqq] = [P, Q, PP, QQ, P * PP, Q * QQ].map(|x| l.splat(x as f32));
    let (sum_p, difference_p) = (l.add(m[1], m[2]), l.sub(m[1], m[2]));
    let (sum_q, difference_q) = (l.add(m[3], m[4]), l.sub(m[3], m[4]));
    [
        l.add(m[0], l.add(sum_p, sum_q)),
        l.mul_add(p, difference_p, l.mul(q, difference_q)),
        l.mul_add(pp, sum_p, l.mul(qq, sum_q)),
        l.mul_add(ppp, difference_p, l.mul_add(qqq, difference_q, m[5])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    /// A fraction in lowest terms.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Fraction(i128, i128);

    impl Fraction {
        fn new(above: i128, below: i128) -> Self {
            let (mut a, mut b) = (above.abs(), below.abs());
            while b != 0 {
                (a, b) = (b, a % b);
            }
            let divisor = a.max(1) * below.signum();
            Self(above / divisor, below / divisor)
        }

        fn add(self, other: Self) -> Self {
            Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
        }

        fn mul(self, other: Self) -> Self {
            Self::new(self.0 * other.0, self.1 * other.1)
        }

        fn neg(self) -> Self {
            Self(-self.0, self.1)
        }

        fn recip(self) -> Self {
            Self::new(self.1, self.0)
        }

        fn value(self) -> f64 {
            self.0 as f64 / self.1 as f64
        }
    }

    const ZERO: Fraction = Fraction(0, 1);
    const ONE: Fraction = Fraction(1, 1);

    fn points() -> [Fraction; 5] {
        [
            ZERO,
            Fraction(5, 8),
            Fraction(-5, 8),
            Fraction(3, 2),
            Fraction(-3, 2),
        ]
    }

    /// The coefficients of `prod (x - p)` over the points, from the constant on.
    fn product(points: impl Iterator<Item = Fraction>) -> [Fraction; 6] {
        let mut sum = [ZERO; 6];
        sum[0] = ONE;
        for p in points {
            for i in (0..6).rev() {
                let below = if i > 0 { sum[i - 1] } else { ZERO };
                sum[i] = below.add(sum[i].mul(p.neg()));
            }
        }
        sum
    }

    fn power(p: Fraction, exponent: usize) -> Fraction {
        (0..exponent).fold(ONE, |product, _| product.mul(p))
    }

    /// The three matrices, exactly.
    struct Matrices<const OUTPUTS: usize, const TAPS: usize> {
        at: [[Fraction; 6]; OUTPUTS],
        g: [[Fraction; TAPS]; 6],
        bt: [[Fraction; 6]; 6],
    }

    fn matrices<const OUTPUTS: usize, const TAPS: usize>() -> Matrices<OUTPUTS, TAPS> {
        let points = points();
        let others = |i: usize| (0..5).filter(move |&l| l != i);
        let mut a = [[ZERO; 6]; OUTPUTS];
        let mut g = [[ZERO; TAPS]; 6];
        let mut b = [[ZERO; 6]; 6];
        for i in 0..5 {
            let divisor = others(i).fold(ONE, |d, l| d.mul(points[i].add(points[l].neg())));
            for (j, row) in a.iter_mut().enumerate() {
                row[i] = power(points[i], j);
            }
            for (k, g) in g[i].iter_mut().enumerate() {
                *g = power(points[i], k).mul(divisor.recip());
            }
            b[i] = product(others(i).map(|l| points[l]));
        }
        a[OUTPUTS - 1][5] = ONE;
        g[5][TAPS - 1] = ONE;
        b[5] = product(points.into_iter());
        Matrices { at: a, g, bt: b }
    }

    /// `sum_i A^T[j][i] G[i][k] B^T[i][l]` is one where `l = j + k`, and zero elsewhere.
    fn correlates<const OUTPUTS: usize, const TAPS: usize>() {
        let Matrices { at, g, bt } = matrices::<OUTPUTS, TAPS>();
        let all = (0..OUTPUTS).flat_map(|j| (0..TAPS).map(move |k| (j, k)));
        for ((j, k), l) in all.flat_map(|jk| (0..6).map(move |l| (jk, l))) {
            let term = |i: usize| at[j][i].mul(g[i][k]).mul(bt[i][l]);
            let sum = (0..6).fold(ZERO, |sum, i| sum.add(term(i)));
            assert_eq!(sum, if l == j + k { ONE } else { ZERO }, "{j} {k} {l}");
        }
    }

    #[test]
    fn the_matrices_correlate() {
        correlates::<4, 3>();
        correlates::<3, 4>();
    }

    /// A column of a matrix: its product with a unit vector.
    fn column<const N: usize, const M: usize>(
        transform: impl Fn([[f32; 4]; N]) -> [[f32; 4]; M],
        k: usize,
    ) -> [f64; M] {
        let mut unit = [[0.0; 4]; N];
        unit[k] = [1.0; 4];
        transform(unit).map(|v| v[0] as f64)
    }

    fn close(got: f64, exact: Fraction) {
        let exact = exact.value();
        assert!(
            (got - exact).abs() <= 2e-7 * exact.abs(),
            "{got} for {exact}"
        );
    }

    #[test]
    fn the_transforms_are_the_matrices() {
        let Matrices { at, g, bt } = matrices::<4, 3>();
        for k in 0..6 {
            let input = column(|d| input(Portable, d), k);
            let output = column(|m| output(Portable, m), k);
            for (i, b) in bt.iter().enumerate() {
                assert_eq!(input[i], b[k].value(), "{i} {k}");
            }
            for (j, a) in at.iter().enumerate() {
                assert_eq!(output[j], a[k].value(), "{j} {k}");
            }
        }
        for k in 0..3 {
            let weight = column(|g| weight(Portable, g), k);
            for (i, g) in g.iter().enumerate() {
                close(weight[i], g[k]);
                close(WEIGHT[i][k], g[k]);
            }
        }
        let Matrices { at, g, .. } = matrices::<3, 4>();
        for k in 0..6 {
            let outputs = column(|m| three_outputs(Portable, m), k);
            for (j, a) in at.iter().enumerate() {
                assert_eq!(outputs[j], a[k].value(), "{j} {k}");
            }
        }
        for k in 0..4 {
            let taps = column(|g| four_taps(Portable, g), k);
            for (i, g) in g.iter().enumerate() {
                close(taps[i], g[k]);
            }
        }
    }

    /// Entry by entry: all of the three matrices are the transforms of unit vectors.
    #[test]
    fn four_outputs_of_two_taps_correlate() {
        let bt: [[f64; 5]; 5] =
            std::array::from_fn(|l| column(|d| two_taps::input(Portable, d), l));
        let g: [[f64; 5]; 2] =
            std::array::from_fn(|k| column(|g| two_taps::weight(Portable, g), k));
        let at: [[f64; 4]; 5] =
            std::array::from_fn(|i| column(|m| two_taps::output(Portable, m), i));
        for (j, k, l) in (0..4 * 2 * 5).map(|i| (i / 10, i / 5 % 2, i % 5)) {
            let sum: f64 = (0..5).map(|i| at[i][j] * g[k][i] * bt[l][i]).sum();
            let expected = if l == j + k { 1.0 } else { 0.0 };
            assert!((sum - expected).abs() < 1e-6, "{j} {k} {l}: {sum}");
        }
        for i in 0..5 {
            for (k, (column, exact)) in g.iter().zip(two_taps::WEIGHT[i]).enumerate() {
                assert!((column[i] - exact).abs() <= 2e-7 * exact.abs(), "{i} {k}");
            }
        }
    }
}
