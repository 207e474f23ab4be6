//! Finite impulse response filters.

use candle_core::{DType, Device, Result, Tensor, bail};

/// How far an element may be from the outer product of row and column to count as separable,
/// relative to the largest element: the rounding of an `f32` buffer.
const SEPARABLE_TOLERANCE: f64 = 1e-7;

/// A two-dimensional finite impulse response filter, for example the resample filter of a network.
///
/// StyleGAN2 resamples with the outer product of `[1, 3, 3, 1]`, normalised to sum 1, which is the
/// default.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Row-major `[height, width]`.
    elements: Vec<f64>,
    height: usize,
    width: usize,
    /// Column and row whose outer product the filter is.
    separable: Option<(Vec<f64>, Vec<f64>)>,
}

impl Filter {
    /// The outer product of `taps` with itself, normalised to sum 1.
    ///
    /// # Errors
    /// Without taps, or if their sum is zero or not finite.
    pub fn separable(taps: &[f64]) -> Result<Self> {
        let sum: f64 = taps.iter().sum();
        if !sum.is_finite() || sum == 0.0 {
            bail!("filter: expected taps with a finite sum that is not zero, got {taps:?}");
        }
        let taps: Vec<f64> = taps.iter().map(|t| t / sum).collect();
        Ok(Self::outer(taps.clone(), taps))
    }

    /// The mean of two neighbours in both directions: a box filter, normalised.
    pub(crate) fn mean_of_two() -> Self {
        Self::outer(vec![0.5; 2], vec![0.5; 2])
    }

    /// A filter as it is stored in a `resample_filter` buffer: `[k]` (separable) or `[kh, kw]`.
    ///
    /// # Errors
    /// If the tensor is empty, has another rank, or holds a value that is not finite.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let values = tensor
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F64)?
            .flatten_all()?
            .to_vec1::<f64>()?;
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            bail!("filter: expected finite taps, got {values:?}");
        }
        match *tensor.dims() {
            [_] => Ok(Self::outer(values.clone(), values)),
            [height, width] => {
                let separable = factor(&values, height, width);
                Ok(Self {
                    elements: values,
                    height,
                    width,
                    separable,
                })
            }
            ref got => bail!("filter: expected shape [k] or [kh, kw], got {got:?}"),
        }
    }

    /// The filter as a `[kh, kw]` tensor, the form in which checkpoints store it.
    pub fn to_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(&self.elements, (self.height, self.width), &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(device)
    }

    /// Height and width.
    pub fn dims(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The factors (column, row), if the filter is separable.
    pub(super) fn factors(&self) -> Option<(&[f64], &[f64])> {
        self.separable
            .as_ref()
            .map(|(column, row)| (column.as_slice(), row.as_slice()))
    }

    /// The element at row `ky`, column `kx`.
    pub(crate) fn at(&self, ky: usize, kx: usize) -> f64 {
        self.elements[ky * self.width + kx]
    }

    fn outer(column: Vec<f64>, row: Vec<f64>) -> Self {
        let elements = column
            .iter()
            .flat_map(|c| row.iter().map(move |r| c * r))
            .collect();
        Self {
            elements,
            height: column.len(),
            width: row.len(),
            separable: Some((column, row)),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        let taps = vec![0.125, 0.375, 0.375, 0.125];
        Self::outer(taps.clone(), taps)
    }
}

/// The column and row whose outer product is `elements`, if there are such.
fn factor(elements: &[f64], height: usize, width: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let peak =
        (0..elements.len()).max_by(|&a, &b| elements[a].abs().total_cmp(&elements[b].abs()))?;
    let (py, px) = (peak / width, peak % width);
    let largest = elements[peak];
    if largest == 0.0 {
        return None;
    }
    let column: Vec<f64> = (0..height)
        .map(|y| elements[y * width + px] / largest)
        .collect();
    let row = elements[py * width..(py + 1) * width].to_vec();
    let product = |y: usize, x: usize| column[y] * row[x];
    let close = |y: usize, x: usize| {
        (elements[y * width + x] - product(y, x)).abs() <= SEPARABLE_TOLERANCE * largest.abs()
    };
    let separable = (0..height).all(|y| (0..width).all(|x| close(y, x)));
    separable.then_some((column, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_normalised_outer_product() -> Result<()> {
        assert_eq!(Filter::separable(&[1.0, 3.0, 3.0, 1.0])?, Filter::default());
        let total = Filter::default()
            .to_tensor(DType::F64, &Device::Cpu)?
            .sum_all()?
            .to_scalar::<f64>()?;
        assert_eq!(total, 1.0);
        Ok(())
    }

    #[test]
    fn a_stored_outer_product_is_found_separable_and_a_random_one_is_not() -> Result<()> {
        let stored = Filter::default().to_tensor(DType::F32, &Device::Cpu)?;
        let read = Filter::from_tensor(&stored)?;
        assert!(read.factors().is_some());
        assert_eq!(
            read.to_tensor(DType::F32, &Device::Cpu)?.to_vec2::<f32>()?,
            stored.to_vec2::<f32>()?
        );
        let other = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
        assert!(Filter::from_tensor(&other)?.factors().is_none());
        Ok(())
    }

    #[test]
    fn unusable_filters_are_errors() -> Result<()> {
        assert!(Filter::separable(&[]).is_err());
        assert!(Filter::separable(&[1.0, -1.0]).is_err());
        assert!(Filter::from_tensor(&Tensor::new(&[f32::NAN], &Device::Cpu)?).is_err());
        assert!(Filter::from_tensor(&Tensor::zeros((2, 2, 2), DType::F32, &Device::Cpu)?).is_err());
        Ok(())
    }
}
