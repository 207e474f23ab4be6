//! Closed-form factorization of the style layers.

use nalgebra::DMatrix;
use stylegan_synthesis::Synthesis;

use crate::direction::{Direction, Method, check_layers};
use crate::error::{EditError, Result};
use crate::linalg::{self, EigenPair};
use crate::statistics::WStatistics;

/// What is factorized, and how many directions are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factorization {
    /// The layers whose styles the directions are to change, by the numbers of their w.
    pub layers: Vec<usize>,
    /// How many directions, those of the largest eigenvalues first.
    pub count: usize,
    /// How much each style counts.
    pub rows: Rows,
}

/// How much each style, a row of the matrix, counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// As much as it responds to w, as in the paper.
    #[default]
    AsTheyAre,
    /// All alike: rows are scaled to length 1, as in the code that the paper's authors published.
    Unit,
}

/// The directions in which a step of length 1 in w changes the styles of some layers the most: the right singular
/// vectors of the matrix A that all their [style matrices](Synthesis::style_matrices) make together, i.e. the
/// eigenvectors n of `A^T A`, with the eigenvalues `|A n|^2`.
///
/// The directions are called `sefa0`, `sefa1`, ..., and are meant for the layers that they were found in. `w` says
/// how far the network's latents spread along them.
///
/// Source: Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (2021), section 3.2.
///
/// # Errors
/// If the network has no styles (ProGAN) or not those layers, or fewer than `count` dimensions.
pub fn factorize(
    network: &Synthesis,
    options: &Factorization,
    w: &WStatistics,
) -> Result<Vec<Direction>> {
    if !network.config().has_styles() {
        return Err(EditError::NoStyles);
    }
    let Factorization {
        layers,
        count,
        rows,
    } = options;
    check_layers(layers, network.num_ws())?;
    let w_dim = network.config().w_dim;
    let matrices = network.style_matrices()?;
    let mut gram = DMatrix::zeros(w_dim, w_dim);
    for &layer in layers {
        let matrix = linalg::matrix(&matrices[layer], "the weights of the styles")?;
        gram += gram_matrix(matrix, *rows);
    }
    let total = gram.trace();
    let pairs = first(linalg::eigen(gram)?, *count)?;
    let direction = |(number, EigenPair { value, vector }): (usize, EigenPair)| {
        Ok(Direction {
            name: format!("sefa{number}"),
            sigma: w.sigma(vector.as_slice())?,
            vector: vector.as_slice().to_vec(),
            layers: layers.clone(),
            method: Method::Factorization {
                eigenvalue: value,
                share: value / total,
            },
        })
    };
    pairs.into_iter().enumerate().map(direction).collect()
}

/// `A^T A` of the rows of one layer.
fn gram_matrix(mut matrix: DMatrix<f64>, rows: Rows) -> DMatrix<f64> {
    if rows == Rows::Unit {
        for mut row in matrix.row_iter_mut() {
            let norm = row.norm();
            if norm > 0. {
                row /= norm;
            }
        }
    }
    matrix.transpose() * matrix
}

/// The first few of all there are.
pub(crate) fn first(mut pairs: Vec<EigenPair>, count: usize) -> Result<Vec<EigenPair>> {
    let w_dim = pairs.len();
    if !(1..=w_dim).contains(&count) {
        return Err(EditError::Count { count, w_dim });
    }
    pairs.truncate(count);
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_by_hand() {
        // Rows (3, 0), (0, 1), (0, 1): A^T A is diag(9, 2).
        let matrix = DMatrix::from_row_slice(3, 2, &[3., 0., 0., 1., 0., 1.]);
        let values = |rows| {
            let pairs = linalg::eigen(gram_matrix(matrix.clone(), rows)).unwrap();
            pairs
                .into_iter()
                .map(|p| (p.value, p.vector.as_slice().to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            values(Rows::AsTheyAre),
            [(9., vec![1., 0.]), (2., vec![0., 1.])]
        );
        // With rows of length 1 the two small ones weigh more than the large one.
        assert_eq!(values(Rows::Unit), [(2., vec![0., 1.]), (1., vec![1., 0.])]);
    }

    #[test]
    fn the_number_of_directions_is_limited_by_the_space() {
        let pairs = linalg::eigen(DMatrix::identity(3, 3)).unwrap();
        assert_eq!(first(pairs.clone(), 2).unwrap().len(), 2);
        for count in [0, 4] {
            let error = first(pairs.clone(), count).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("{count} directions: w has 3 dimensions; ask for 1 to 3")
            );
        }
    }
}
