//! Laplacian pyramids of planes (Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code",
//! 1983).
//!
//! A level is the plane less what is left of it after halving and doubling; the last level is what
//! remains. Both directions use the binomial filter 1 4 6 4 1; beyond a border the plane goes on as its
//! mirror image, the pixel on the border not repeated.

/// The side of the last level; smaller planes are a pyramid of one level.
const SMALLEST: usize = 16;

/// The binomial filter, to be divided by its sum of 16.
const TAPS: [f32; 5] = [1., 4., 6., 4., 1.];

/// Number of levels of planes of this side, a power of two: 1024, 512, ..., 16 have 7.
pub(crate) fn levels(side: usize) -> usize {
    1 + (side / SMALLEST).checked_ilog2().unwrap_or(0) as usize
}

/// One level of the pyramid of a plane `[side, side]`, whose side is `side >> level`.
pub(crate) fn level(plane: &[f32], side: usize, level: usize) -> Vec<f32> {
    let mut plane = plane.to_vec();
    for halvings in 0..level {
        plane = down(&plane, side >> halvings);
    }
    if level + 1 < levels(side) {
        let side = side >> level;
        let blurred = up(&down(&plane, side), side / 2);
        plane.iter_mut().zip(blurred).for_each(|(x, b)| *x -= b);
    }
    plane
}

/// Filters, and keeps every second pixel of every second row.
fn down(plane: &[f32], side: usize) -> Vec<f32> {
    let half = side / 2;
    let mut narrow = Vec::with_capacity(side * half);
    for row in plane.chunks_exact(side) {
        narrow.extend((0..half).map(|x| {
            let taps = around(2 * x, side).map(|x| row[x]);
            taps.iter().zip(TAPS).map(|(x, tap)| x * tap).sum::<f32>() / 16.
        }));
    }
    let mut result = Vec::with_capacity(half * half);
    for y in 0..half {
        let rows = around(2 * y, side).map(|y| &narrow[y * half..(y + 1) * half]);
        result.extend((0..half).map(|x| {
            let taps = rows.iter().zip(TAPS);
            taps.map(|(row, tap)| row[x] * tap).sum::<f32>() / 16.
        }));
    }
    result
}

/// Puts zeros between pixels and rows, and filters with four times the filter.
///
/// Of the five taps, three fall on pixels at even places (1 6 1) and two at odd ones (4 4). The border
/// pixel on the far side is a zero, so its mirror image repeats the last pixel.
fn up(plane: &[f32], side: usize) -> Vec<f32> {
    let double = 2 * side;
    let mut wide = Vec::with_capacity(side * double);
    for row in plane.chunks_exact(side) {
        for x in 0..side {
            let [before, here, after] =
                [if x == 0 { 1 } else { x - 1 }, x, (x + 1).min(side - 1)].map(|x| row[x]);
            wide.extend([(before + 6. * here + after) / 8., (here + after) / 2.]);
        }
    }
    let mut result = Vec::with_capacity(double * double);
    for y in 0..side {
        let [before, here, after] = [if y == 0 { 1 } else { y - 1 }, y, (y + 1).min(side - 1)]
            .map(|y| &wide[y * double..(y + 1) * double]);
        result.extend((0..double).map(|x| (before[x] + 6. * here[x] + after[x]) / 8.));
        result.extend((0..double).map(|x| (here[x] + after[x]) / 2.));
    }
    result
}

/// The five places around `center`, mirrored where they are outside 0..side.
fn around(center: usize, side: usize) -> [usize; 5] {
    [0, 1, 2, 3, 4].map(|tap| {
        let shifted = (center + tap).abs_diff(2);
        shifted.min(2 * (side - 1) - shifted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texture(side: usize) -> Vec<f32> {
        (0..side * side)
            .map(|i| (i * i % 251) as f32 + 20. * (i as f32).sin())
            .collect()
    }

    /// The definition: a 5x5 filter on the plane mirrored as often as needed.
    fn filter(plane: &[f32], side: usize) -> Vec<f32> {
        let mirror = |i: isize| {
            let period = 2 * (side as isize - 1);
            let i = i.rem_euclid(period);
            i.min(period - i) as usize
        };
        let mut result = Vec::new();
        for y in 0..side as isize {
            for x in 0..side as isize {
                let mut sum = 0.;
                for (dy, down) in (-2..).zip(TAPS) {
                    for (dx, across) in (-2..).zip(TAPS) {
                        let pixel = plane[mirror(y + dy) * side + mirror(x + dx)];
                        sum += pixel * down * across / 256.;
                    }
                }
                result.push(sum);
            }
        }
        result
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-3, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn halving_and_doubling_match_the_definition() {
        for side in [4, 8, 32] {
            let plane = texture(side);
            let filtered = filter(&plane, side);
            let expected: Vec<f32> = (0..side / 2)
                .flat_map(|y| (0..side / 2).map(move |x| (x, y)))
                .map(|(x, y)| filtered[2 * y * side + 2 * x])
                .collect();
            assert_close(&down(&plane, side), &expected);

            let double = 2 * side;
            let mut spread = vec![0.; double * double];
            for (i, pixel) in plane.iter().enumerate() {
                spread[i / side * 2 * double + i % side * 2] = 4. * pixel;
            }
            assert_close(&up(&plane, side), &filter(&spread, double));
        }
    }

    #[test]
    fn the_levels_add_up_to_the_plane() {
        let side = 64;
        let plane = texture(side);
        let mut sum = level(&plane, side, 2);
        assert_eq!(sum.len(), 16 * 16);
        for detail in [1, 0] {
            let residual = level(&plane, side, detail);
            sum = up(&sum, side >> (detail + 1));
            sum.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
        }
        assert_close(&sum, &plane);
    }

    #[test]
    fn a_plain_plane_has_no_detail() {
        let plane = vec![7.; 32 * 32];
        assert!(level(&plane, 32, 0).iter().all(|x| x.abs() < 1e-5));
        assert!(level(&plane, 32, 1).iter().all(|x| (x - 7.).abs() < 1e-5));
    }

    #[test]
    fn pyramids_end_at_16() {
        assert_eq!([8, 16, 32, 64, 1024].map(levels), [1, 1, 2, 3, 7]);
        assert_close(&level(&texture(8), 8, 0), &texture(8));
    }
}
