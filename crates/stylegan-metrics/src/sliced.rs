//! The sliced Wasserstein distance between two sets of points.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Directions that one matrix product projects on: few, for the projections take memory.
const BLOCK: usize = 16;

/// The mean, over directions, of the Wasserstein-1 distance between the projected sets:
///
/// mean over d of (1/N) sum_i |sort(A d)_i - sort(B d)_i|
///
/// `a` and `b` are rows of `dim` values, as many in both; `directions` is `[D, dim]`. Source: Rabin et
/// al., "Wasserstein Barycenter and Its Application to Texture Mixing" (2011).
pub(crate) fn distance(a: &[f32], b: &[f32], dim: usize, directions: &Tensor) -> Result<f64> {
    let [a, b] = [points(a, dim)?, points(b, dim)?];
    let count = directions.dim(0)?;
    let blocks: Vec<Result<f64>> = (0..count.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let first = block * BLOCK;
            let directions = directions.narrow(0, first, BLOCK.min(count - first))?;
            let [a, b] = [projections(&directions, &a)?, projections(&directions, &b)?];
            Ok(a.iter().zip(&b).map(|(a, b)| mean_gap(a, b)).sum())
        })
        .collect();
    let sums: Vec<f64> = blocks.into_iter().collect::<Result<_>>()?;
    Ok(sums.iter().sum::<f64>() / count as f64)
}

fn points(rows: &[f32], dim: usize) -> Result<Tensor> {
    Tensor::from_slice(rows, (rows.len() / dim, dim), &Device::Cpu)
}

/// The points on every direction, sorted.
fn projections(directions: &Tensor, points: &Tensor) -> Result<Vec<Vec<f32>>> {
    let mut rows: Vec<Vec<f32>> = directions.matmul(&points.t()?)?.to_vec2()?;
    rows.iter_mut()
        .for_each(|row| row.sort_unstable_by(f32::total_cmp));
    Ok(rows)
}

fn mean_gap(a: &[f32], b: &[f32]) -> f64 {
    let gaps = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
    gaps.sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(directions: &[[f32; 2]]) -> Tensor {
        Tensor::new(directions.as_flattened(), &Device::Cpu)
            .and_then(|values| values.reshape((directions.len(), 2)))
            .unwrap()
    }

    #[test]
    fn distance_of_a_case_computed_by_hand() {
        // On the x axis 0 2 5 and 1 1 9, on the y axis 0 0 3 and 0 0 0, on -x the same as on x.
        let a = [5., 0., 0., 3., 2., 0.];
        let b = [1., 0., 9., 0., 1., 0.];
        let on = |directions: &[[f32; 2]]| distance(&a, &b, 2, &along(directions)).unwrap();
        assert_eq!(on(&[[1., 0.]]), (1. + 1. + 4.) / 3.);
        assert_eq!(on(&[[0., 1.]]), 1.);
        assert_eq!(on(&[[1., 0.], [0., 1.], [-1., 0.]]), 5. / 3.);
    }

    #[test]
    fn blocks_of_directions_add_up_to_their_mean() {
        let a = [5., 0., 0., 3., 2., 0.];
        let b = [1., 0., 9., 0., 1., 0.];
        let many: Vec<[f32; 2]> = (0..BLOCK + 3)
            .map(|i| [(i as f32).cos(), (i as f32).sin()])
            .collect();
        let one_by_one: f64 = many
            .iter()
            .map(|&direction| distance(&a, &b, 2, &along(&[direction])).unwrap())
            .sum();
        let together = distance(&a, &b, 2, &along(&many)).unwrap();
        assert!((together - one_by_one / many.len() as f64).abs() < 1e-6);
    }
}
