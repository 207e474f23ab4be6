//! Linear algebra in f64, on one thread: the same results everywhere.

use candle_core::{DType, Tensor};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

use crate::error::{EditError, Result};

/// An eigenvalue and its unit eigenvector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EigenPair {
    pub(crate) value: f64,
    pub(crate) vector: DVector<f64>,
}

/// All eigenvectors of a symmetric matrix without negative eigenvalues, the largest eigenvalue first.
///
/// Of the two signs of a vector, the one that makes its component of largest magnitude positive. Eigenvalues
/// that rounding made negative become 0.
pub(crate) fn eigen(matrix: DMatrix<f64>) -> Result<Vec<EigenPair>> {
    const ITERATIONS: usize = 100_000;
    let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, ITERATIONS).ok_or(
        EditError::NoConvergence {
            what: "the eigenvectors",
            iterations: ITERATIONS,
        },
    )?;
    let vectors = eigen.eigenvectors.column_iter();
    let mut pairs: Vec<EigenPair> = eigen
        .eigenvalues
        .iter()
        .zip(vectors)
        .map(|(&value, vector)| EigenPair {
            value: value.max(0.),
            vector: with_sign(vector.into_owned()),
        })
        .collect();
    pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
    Ok(pairs)
}

/// The vector or its opposite: the one whose component of largest magnitude, of equals the first, is positive.
pub(crate) fn with_sign(vector: DVector<f64>) -> DVector<f64> {
    let first =
        vector
            .iter()
            .copied()
            .fold(0f64, |most, component| match component.abs() > most.abs() {
                true => component,
                false => most,
            });
    if first < 0. { -vector } else { vector }
}

/// The values of a tensor `[N, D]`, all of which must be finite; `what` holds them.
pub(crate) fn matrix(tensor: &Tensor, what: &'static str) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let values: Vec<f64> = tensor
        .to_device(&candle_core::Device::Cpu)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1()?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(EditError::NotFinite { what });
    }
    Ok(DMatrix::from_row_iterator(rows, columns, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_come_in_order_with_their_signs() {
        // Turned by 30 degrees: eigenvalues 1 and 9.
        let (sin, cos) = (0.5, 0.75f64.sqrt());
        let rotation = DMatrix::from_row_slice(2, 2, &[cos, -sin, sin, cos]);
        let diagonal = DMatrix::from_diagonal(&DVector::from_vec(vec![1., 9.]));
        let pairs = eigen(&rotation * diagonal * rotation.transpose()).unwrap();
        let expected = [(9., [-sin, cos]), (1., [cos, sin])];
        for (pair, (value, vector)) in pairs.iter().zip(expected) {
            assert!((pair.value - value).abs() < 1e-12);
            assert!((&pair.vector - DVector::from_row_slice(&vector)).norm() < 1e-12);
        }
    }

    #[test]
    fn of_equal_components_the_first_decides_the_sign() {
        let sign = |values: &[f64]| with_sign(DVector::from_row_slice(values));
        assert_eq!(sign(&[-1., 1., 0.]).as_slice(), [1., -1., 0.]);
        assert_eq!(sign(&[0.5, -2.]).as_slice(), [-0.5, 2.]);
        assert_eq!(sign(&[0., 0.]).as_slice(), [0., 0.]);
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let tensor = Tensor::new(&[[0f32, f32::NAN]], &candle_core::Device::Cpu).unwrap();
        assert_eq!(
            matrix(&tensor, "the latents").unwrap_err().to_string(),
            "the latents hold values that are not finite numbers; the network or the file is damaged"
        );
    }
}
