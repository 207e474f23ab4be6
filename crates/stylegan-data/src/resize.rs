//! Square crop and exact area filter on 8-bit pictures.

/// The largest centred square of a `width` x `height` picture: `(x, y, side)` in pixels.
///
/// An odd margin puts the smaller half to the left or the top.
pub(crate) fn centre_square(width: usize, height: usize) -> (usize, usize, usize) {
    let side = width.min(height);
    ((width - side) / 2, (height - side) / 2, side)
}

/// Resizes a square picture of `side` x `side` x `channels` (interleaved) to `target` x `target`.
///
/// Every output pixel is the mean of the input area that it covers, partly covered pixels counted
/// by their covered share, computed in integers and rounded half up: results are exact and equal
/// on every machine. Enlarging by a whole factor repeats pixels. With four channels the colours
/// are weighted by alpha, so that invisible colours don't bleed into visible ones.
pub(crate) fn area_filter(pixels: &[u8], side: usize, channels: usize, target: usize) -> Vec<u8> {
    if side == target {
        return pixels.to_vec();
    }
    let spans: Vec<Vec<(usize, u64)>> = (0..target).map(|out| span(out, side, target)).collect();
    let mut result = Vec::with_capacity(target * target * channels);
    for rows in &spans {
        for columns in &spans {
            let mut sums = [0u64; 4];
            let mut area = 0u64;
            let mut alpha_sum = 0u64;
            for &(y, row_weight) in rows {
                for &(x, column_weight) in columns {
                    let weight = row_weight * column_weight;
                    let start = (y * side + x) * channels;
                    let pixel = &pixels[start..start + channels];
                    area += weight;
                    if let [red, green, blue, alpha] = *pixel {
                        let weight = weight * u64::from(alpha);
                        alpha_sum += weight;
                        for (sum, value) in sums.iter_mut().zip([red, green, blue]) {
                            *sum += weight * u64::from(value);
                        }
                    } else {
                        for (sum, &value) in sums.iter_mut().zip(pixel) {
                            *sum += weight * u64::from(value);
                        }
                    }
                }
            }
            if channels == 4 {
                // A fully transparent area has no colour: black.
                let weight = alpha_sum.max(1);
                result.extend(sums[..3].iter().map(|&sum| divide(sum, weight)));
                result.push(divide(alpha_sum, area));
            } else {
                result.extend(sums[..channels].iter().map(|&sum| divide(sum, area)));
            }
        }
    }
    result
}

/// The input pixels that output pixel `out` covers, and by how many parts each.
///
/// In units of 1/(side*target) of the picture an input pixel is `target` wide, an output pixel `side`.
fn span(out: usize, side: usize, target: usize) -> Vec<(usize, u64)> {
    let (start, end) = (out * side, (out + 1) * side);
    (start / target..end.div_ceil(target))
        .map(|pixel| {
            let covered = end.min((pixel + 1) * target) - start.max(pixel * target);
            (pixel, covered as u64)
        })
        .collect()
}

/// Division rounded half up; a weighted mean of bytes is at most 255.
fn divide(sum: u64, weight: u64) -> u8 {
    ((2 * sum + weight) / (2 * weight)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_each_block_and_rounds_half_up() {
        let pixels = [0, 1, 10, 20, 1, 0, 30, 41, 255, 255, 0, 0, 255, 255, 0, 1];
        assert_eq!(area_filter(&pixels, 4, 1, 2), [1, 25, 255, 0]);
    }

    #[test]
    fn partly_covered_pixels_count_by_their_share() {
        // 3 -> 2: the output covers 1.5 pixels a side, 2.25 in area; the corner is
        // (90 + 0.5 * 30 + 0.5 * 60 + 0.25 * 240) / 2.25 = 86.67.
        let pixels = [90, 30, 0, 60, 240, 0, 0, 0, 0];
        assert_eq!(area_filter(&pixels, 3, 1, 2)[0], 87);
    }

    #[test]
    fn filter_matches_a_slow_reference_in_floating_point() {
        for (side, target) in [(7, 4), (10, 4), (64, 32), (33, 8), (5, 16), (100, 64)] {
            let pixels: Vec<u8> = (0..side * side * 3).map(|i| (i * 97 % 256) as u8).collect();
            let result = area_filter(&pixels, side, 3, target);
            // Repeat every pixel `target` times, then average blocks of `side`.
            let ratio = side as f64;
            for out_y in 0..target {
                for out_x in 0..target {
                    for channel in 0..3 {
                        let mut sum = 0.0;
                        for y in out_y * side..(out_y + 1) * side {
                            for x in out_x * side..(out_x + 1) * side {
                                let at = (y / target) * side + x / target;
                                sum += f64::from(pixels[at * 3 + channel]);
                            }
                        }
                        let expected = (sum / (ratio * ratio) + 0.5).floor() as u8;
                        let found = result[(out_y * target + out_x) * 3 + channel];
                        assert_eq!(found, expected, "{side} -> {target}");
                    }
                }
            }
        }
    }

    #[test]
    fn invisible_colours_do_not_bleed() {
        let pixels = [200, 100, 0, 255, 9, 9, 9, 0, 9, 9, 9, 0, 9, 9, 9, 0];
        assert_eq!(area_filter(&pixels, 2, 4, 1), [200, 100, 0, 64]);
    }

    #[test]
    fn centre_square_of_wide_and_tall_pictures() {
        assert_eq!(centre_square(7, 4), (1, 0, 4));
        assert_eq!(centre_square(4, 8), (0, 2, 4));
        assert_eq!(centre_square(5, 5), (0, 0, 5));
    }
}
