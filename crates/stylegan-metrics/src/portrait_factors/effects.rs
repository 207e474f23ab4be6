//! What edits do to the factors of pictures.

use serde::Serialize;

/// What an edit does to one factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// By how much the factor changes for a strength of 1: the slope of the straight line that is nearest to its
    /// values, as the mean over pictures.
    pub slope: f64,
    /// Whether it changes in one sense all the way: Spearman's rank correlation of strengths and values, from -1
    /// (always falls) to 1 (always rises), as the mean over pictures. 0 where it doesn't change at all.
    pub monotonicity: f64,
}

/// The effect of an edit on every factor, from `values[picture][strength][factor]` at the strengths given.
///
/// Empty where there are no pictures or no strengths.
pub fn effects(strengths: &[f64], values: &[Vec<Vec<f64>>]) -> Vec<Effect> {
    let factors = values
        .first()
        .and_then(|rows| rows.first())
        .map_or(0, Vec::len);
    let pictures = values.len() as f64;
    let of_factor = |factor: usize| {
        let mut effect = Effect {
            slope: 0.,
            monotonicity: 0.,
        };
        for rows in values {
            let curve: Vec<f64> = rows.iter().map(|row| row[factor]).collect();
            effect.slope += slope(strengths, &curve) / pictures;
            effect.monotonicity += correlation(&ranks(strengths), &ranks(&curve)) / pictures;
        }
        effect
    };
    (0..factors).map(of_factor).collect()
}

/// The slope of the straight line with the least squared distance.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (covariance, variance, _) = moments(x, y);
    if variance > 0. {
        covariance / variance
    } else {
        0.
    }
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let (covariance, x, y) = moments(x, y);
    let product = (x * y).sqrt();
    if product > 0. {
        covariance / product
    } else {
        0.
    }
}

/// Sums of products of the deviations from the means: of both, of the first, of the second.
fn moments(x: &[f64], y: &[f64]) -> (f64, f64, f64) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let mut sums = (0., 0., 0.);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        sums.0 += x * y;
        sums.1 += x * x;
        sums.2 += y * y;
    }
    sums
}

/// The place of every value among all, from 0; equal values share the mean of their places.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + equal.saturating_sub(1) as f64 / 2.
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_and_ranks_are_means_over_pictures() {
        let strengths = [-1., 0., 1.];
        let picture = |curves: [[f64; 3]; 3]| -> Vec<Vec<f64>> {
            (0..3)
                .map(|strength| curves.iter().map(|curve| curve[strength]).collect())
                .collect()
        };
        let values = [
            picture([[0., 1., 2.], [5., 5., 5.], [1., 4., 9.]]),
            picture([[9., 6., 3.], [5., 5., 5.], [-1., 0., 7.]]),
        ];
        let found = effects(&strengths, &values);
        assert_eq!(found.len(), 3);
        // One rises by 1, the other falls by 3.
        assert_eq!(found[0].slope, -1.);
        assert_eq!(found[0].monotonicity, 0.);
        // Nothing happens.
        assert_eq!((found[1].slope, found[1].monotonicity), (0., 0.));
        // Not straight, but up all the way.
        assert_eq!(found[2].slope, 4.);
        assert!((found[2].monotonicity - 1.).abs() < 1e-12);
    }

    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(ranks(&[3., 1., 3., 0.]), [2.5, 1., 2.5, 0.]);
        // Spearman's coefficient of 1, 2, 3, 4 and 1, 2, 2, 3.
        let found = correlation(&ranks(&[1., 2., 3., 4.]), &ranks(&[1., 2., 2., 3.]));
        assert!((found - 0.9486832980505138).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_effects() {
        assert!(effects(&[1.], &[]).is_empty());
        assert!(effects(&[], &[vec![]]).is_empty());
    }
}
