//! Logistic regression, by Newton's method.

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::error::{EditError, Result};

/// Weight of the squared length of the normal in the loss, where latents have a mean variance of 1: enough to keep
/// the normal of classes that can be separated from growing without end.
const RIDGE: f64 = 1e-3;

const ITERATIONS: usize = 100;

/// The plane `normal . w + offset = 0` between two classes.
#[derive(Debug, Clone)]
pub(crate) struct Logistic {
    pub(crate) normal: DVector<f64>,
    offset: f64,
}

impl Logistic {
    /// The plane with the least loss on the chosen rows of w `[N, w_dim]`: the mean of `ln(1 + exp(-y s))`, where s
    /// is the row's side of the plane and y is 1 or -1 by its label, and [`RIDGE`].
    pub(crate) fn fit(w: &DMatrix<f64>, labels: &[bool], chosen: &[usize]) -> Result<Self> {
        let mut x = w.select_rows(chosen);
        let mean = x.row_mean();
        for mut row in x.row_iter_mut() {
            row -= &mean;
        }
        let scale = (x.norm_squared() / x.len() as f64).sqrt();
        if scale == 0. {
            return Err(EditError::NoSpread);
        }
        // A last column of ones for the offset.
        let x = (x / scale).insert_column(w.ncols(), 1.);
        let y = DVector::from_iterator(
            chosen.len(),
            chosen.iter().map(|&i| if labels[i] { 1. } else { 0. }),
        );
        let plane = minimize(&x, &y)?;
        let normal = plane.rows(0, w.ncols()) / scale;
        Ok(Self {
            offset: plane[w.ncols()] - (mean * &normal)[0],
            normal,
        })
    }

    /// On which side of the plane a row of w is: above 0 for the class.
    pub(crate) fn score(&self, w: &DMatrix<f64>, row: usize) -> f64 {
        (w.row(row) * &self.normal)[0] + self.offset
    }
}

/// Newton's method; a step that doesn't lower the loss is halved.
fn minimize(x: &DMatrix<f64>, y: &DVector<f64>) -> Result<DVector<f64>> {
    const PRECISION: f64 = 1e-9;
    let no_convergence = EditError::NoConvergence {
        what: "the boundary",
        iterations: ITERATIONS,
    };
    let count = x.nrows() as f64;
    // The offset has no ridge, but a trace of one, so that the system always has a solution.
    let mut ridge = DVector::from_element(x.ncols(), RIDGE);
    ridge[x.ncols() - 1] = 1e-12;
    let mut plane = DVector::zeros(x.ncols());
    let mut loss = loss_of(&plane, x, y, &ridge);
    for _ in 0..ITERATIONS {
        let p = (x * &plane).map(|score| 1. / (1. + (-score).exp()));
        let gradient = x.tr_mul(&(&p - y)) / count + plane.component_mul(&ridge);
        if gradient.amax() < PRECISION {
            return Ok(plane);
        }
        let mut weighted = x.clone();
        for (mut row, p) in weighted.row_iter_mut().zip(p.iter()) {
            row *= p * (1. - p) / count;
        }
        let hessian = x.transpose() * weighted + DMatrix::from_diagonal(&ridge);
        let Some(cholesky) = Cholesky::new(hessian) else {
            return Err(no_convergence);
        };
        let mut step = cholesky.solve(&gradient);
        loop {
            let next = &plane - &step;
            let next_loss = loss_of(&next, x, y, &ridge);
            if next_loss <= loss {
                (plane, loss) = (next, next_loss);
                break;
            }
            if step.amax() < f64::EPSILON {
                // As low as f64 can tell.
                return Ok(plane);
            }
            step /= 2.;
        }
    }
    Err(no_convergence)
}

fn loss_of(plane: &DVector<f64>, x: &DMatrix<f64>, y: &DVector<f64>, ridge: &DVector<f64>) -> f64 {
    let scores = x * plane;
    let losses = scores.iter().zip(y.iter()).map(|(&score, &y)| {
        // ln(1 + exp(score)) - y score, without an overflow.
        score.max(0.) + (-score.abs()).exp().ln_1p() - y * score
    });
    let mean = losses.sum::<f64>() / x.nrows() as f64;
    mean + plane.component_mul(plane).dot(ridge) / 2.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_is_where_the_gradient_vanishes() {
        // One dimension: three of the class at 1, one at -1, and the mirror image of it.
        let w = DMatrix::from_column_slice(8, 1, &[1., 1., 1., -1., -1., -1., -1., 1.]);
        let labels = [true, true, true, true, false, false, false, false];
        let all: Vec<usize> = (0..8).collect();
        let plane = Logistic::fit(&w, &labels, &all).unwrap();
        // Without ridge the odds at 1 would be 3 to 1: a score of ln 3.
        let score = plane.score(&w, 0);
        let gradient = 1. / (1. + (-score).exp()) - 0.75 + RIDGE * score;
        assert!(gradient.abs() < 1e-8, "{score}");
        assert!((score - 3f64.ln()).abs() < 0.01);
        assert!(
            (score + plane.score(&w, 3)).abs() < 1e-8,
            "the plane is in the middle"
        );
    }

    #[test]
    fn classes_that_can_be_separated_have_a_plane_of_finite_length() {
        let w = DMatrix::from_column_slice(4, 1, &[99., 100., 102., 103.]);
        let labels = [false, false, true, true];
        let plane = Logistic::fit(&w, &labels, &[0, 1, 2, 3]).unwrap();
        assert!(plane.normal[0].is_finite());
        let scores: Vec<f64> = (0..4).map(|i| plane.score(&w, i)).collect();
        assert!(scores[1] < 0. && scores[2] > 0., "{scores:?}");
    }

    #[test]
    fn latents_that_are_all_the_same_are_an_error() {
        let w = DMatrix::from_element(4, 2, 3.);
        let error = Logistic::fit(&w, &[true, false, true, false], &[0, 1, 2, 3]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the latents are all the same, so that no boundary separates them"
        );
    }
}
