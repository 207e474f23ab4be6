//! A linear regression from pictures to factors.

use candle_core::{DType, Device, Tensor};
use nalgebra::{Cholesky, DMatrix};
use rayon::prelude::*;
use serde::Serialize;
use stylegan_data::portraits;

use super::numbers::NUMBERS;
use crate::MetricError;

/// Pictures are reduced to that side.
const SIDE: usize = 16;

/// What is added to the variance of every pixel, in parts of the mean variance.
const RIDGE: f64 = 0.005;

/// A factor of portraits that can be read off pictures, and how well.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factor {
    /// What it is, e.g. `turn`.
    pub name: &'static str,
    /// The part of its variance that is read right in portraits that were not fitted to (R squared): 1 is perfect,
    /// and always guessing the mean gives 0.
    pub r2: f64,
}

impl Factor {
    /// Whether more than half of its variance is read right, so that its values mean something.
    pub fn is_reliable(&self) -> bool {
        self.r2 >= 0.5
    }
}

/// Reads factors of the embedded [`portraits`] off pictures.
///
/// A ridge regression from the pixels of the picture, reduced to 16x16, to the factors as numbers, fitted to drawn
/// portraits whose factors are known. A linear map suffices for colours, for where things are, and for how the head
/// is turned; [`Factor::r2`] says for which not.
#[derive(Debug, Clone)]
pub struct FactorReader {
    /// That of the pictures.
    resolution: usize,
    /// `[pixels, factors]`
    weights: DMatrix<f64>,
    /// `[1, factors]`: what a black picture would read.
    offsets: nalgebra::RowDVector<f64>,
    factors: Vec<Factor>,
}

impl FactorReader {
    /// Fits the regression to the first `fitted` portraits and measures it on the `held_out` that follow. Draws on all
    /// cores.
    ///
    /// # Errors
    /// If the resolution is not a power of two from 4 to 1024, or there are fewer than two portraits of either kind.
    pub fn fit(resolution: usize, fitted: usize, held_out: usize) -> Result<Self, MetricError> {
        if fitted < 2 || held_out < 2 {
            return Err(MetricError::Portraits { fitted, held_out });
        }
        let (pixels, numbers) = drawn(0..fitted, resolution)?;
        let (pixel_means, number_means) = (pixels.row_mean(), numbers.row_mean());
        let deviations = numbers
            .row_variance()
            .map(|variance| variance.sqrt().max(f64::EPSILON));
        let x = centered(pixels, &pixel_means);
        let mut y = centered(numbers, &number_means);
        scale_columns(&mut y, &deviations);
        let mut gram = x.transpose() * &x;
        let ridge = RIDGE * gram.trace() / gram.ncols() as f64;
        for i in 0..gram.ncols() {
            gram[(i, i)] += ridge;
        }
        let cholesky = Cholesky::new(gram).ok_or(MetricError::NotANumber)?;
        let weights = cholesky.solve(&(x.transpose() * y));
        let offsets = -(&pixel_means * &weights);

        let (pixels, numbers) = drawn(fitted..fitted + held_out, resolution)?;
        let mut truth = centered(numbers, &number_means);
        scale_columns(&mut truth, &deviations);
        let mut reader = Self {
            resolution,
            weights,
            offsets,
            factors: Vec::new(),
        };
        let read = reader.read_pixels(&pixels);
        reader.factors = (NUMBERS.iter().enumerate())
            .map(|(column, &(name, _))| {
                let error = (read.column(column) - truth.column(column)).norm_squared();
                let spread = truth.column(column).variance() * held_out as f64;
                let r2 = 1. - error / spread.max(f64::EPSILON);
                Factor { name, r2 }
            })
            .collect();
        Ok(reader)
    }

    /// The factors that are read, in order.
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// The factors of pictures `[N, 3, R, R]`, about in [-1, 1]: a row for each picture with a number for each
    /// factor, which counts from the mean of the portraits in their standard deviations.
    ///
    /// # Errors
    /// [`MetricError::Shape`] for other shapes, [`MetricError::NotANumber`] for a NaN.
    pub fn read(&self, images: &Tensor) -> Result<Vec<Vec<f64>>, MetricError> {
        let side = self.resolution;
        let &[count, 3, height, width] = images.dims() else {
            return Err(self.wrong_shape(images));
        };
        if height != side || width != side {
            return Err(self.wrong_shape(images));
        }
        let images = images.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let images = images.clamp(-1f32, 1f32)?;
        let reduced = match side > SIDE {
            true => images.avg_pool2d(side / SIDE)?,
            false => images,
        };
        let values: Vec<f32> = reduced.flatten_all()?.to_vec1()?;
        if values.iter().any(|value| value.is_nan()) {
            return Err(MetricError::NotANumber);
        }
        let pixels = values.len() / count.max(1);
        let values = values.into_iter().map(f64::from);
        let pixels = DMatrix::from_row_iterator(count, pixels, values);
        let read = self.read_pixels(&pixels);
        let rows = read.row_iter().map(|row| row.iter().copied().collect());
        Ok(rows.collect())
    }

    fn read_pixels(&self, pixels: &DMatrix<f64>) -> DMatrix<f64> {
        let mut read = pixels * &self.weights;
        for mut row in read.row_iter_mut() {
            row += &self.offsets;
        }
        read
    }

    fn wrong_shape(&self, images: &Tensor) -> MetricError {
        MetricError::Shape {
            expected: format!("{0}x{0} with 3 channels", self.resolution),
            found: images.dims().to_vec(),
        }
    }
}

/// Pixels `[N, 3 * side * side]` in [-1, 1] and numbers `[N, factors]` of drawn portraits.
fn drawn(
    indices: std::ops::Range<usize>,
    resolution: usize,
) -> Result<(DMatrix<f64>, DMatrix<f64>), MetricError> {
    let count = indices.len();
    let rows: Vec<_> = indices
        .into_par_iter()
        .map(|index| {
            let factors = portraits::factors(index);
            let picture = portraits::draw(&factors, resolution)?;
            let numbers: Vec<f64> = NUMBERS.iter().map(|(_, number)| number(&factors)).collect();
            Ok((reduced(picture.as_raw(), resolution), numbers))
        })
        .collect::<Result<_, MetricError>>()?;
    let side = resolution.min(SIDE);
    let (pixels, numbers): (Vec<Vec<f64>>, Vec<Vec<f64>>) = rows.into_iter().unzip();
    Ok((
        DMatrix::from_row_iterator(count, 3 * side * side, pixels.into_iter().flatten()),
        DMatrix::from_row_iterator(count, NUMBERS.len(), numbers.into_iter().flatten()),
    ))
}

/// Channels by planes, as in tensors, of bytes by pixels; each pixel the mean of those that it covers.
fn reduced(bytes: &[u8], resolution: usize) -> Vec<f64> {
    let side = resolution.min(SIDE);
    let factor = resolution / side;
    let mut sums = vec![0u32; 3 * side * side];
    for (pixel, channels) in bytes.chunks_exact(3).enumerate() {
        let (x, y) = (pixel % resolution, pixel / resolution);
        let place = y / factor * side + x / factor;
        for (channel, &byte) in channels.iter().enumerate() {
            sums[channel * side * side + place] += u32::from(byte);
        }
    }
    let area = (factor * factor) as f64;
    sums.into_iter()
        .map(|sum| f64::from(sum) / area / 127.5 - 1.)
        .collect()
}

fn centered(mut rows: DMatrix<f64>, mean: &nalgebra::RowDVector<f64>) -> DMatrix<f64> {
    for mut row in rows.row_iter_mut() {
        row -= mean;
    }
    rows
}

fn scale_columns(rows: &mut DMatrix<f64>, deviations: &nalgebra::RowDVector<f64>) {
    for (mut column, deviation) in rows.column_iter_mut().zip(deviations.iter()) {
        column /= *deviation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(index: usize, resolution: usize) -> (Tensor, portraits::Factors) {
        let factors = portraits::factors(index);
        let picture = portraits::draw(&factors, resolution).unwrap();
        let values: Vec<f32> = picture.into_raw().into_iter().map(f32::from).collect();
        let tensor = Tensor::from_vec(values, (resolution, resolution, 3), &Device::Cpu).unwrap();
        let planes = tensor.permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
        (((planes / 127.5).unwrap() - 1.).unwrap(), factors)
    }

    #[test]
    fn colours_and_pose_are_read_off_portraits_that_were_not_fitted_to() {
        let reader = FactorReader::fit(32, 1000, 200).unwrap();
        let r2 = |name| {
            let factor = reader.factors().iter().find(|factor| factor.name == name);
            factor.unwrap().r2
        };
        for name in [
            "skin-dark",
            "back-red",
            "back-green",
            "clothes-red",
            "clothes-light",
        ] {
            assert!(r2(name) > 0.9, "{name}: {}", r2(name));
        }
        for name in ["right", "hair-long", "light-right", "horizon"] {
            assert!(r2(name) > 0.6, "{name}: {}", r2(name));
        }
        // Too small to be seen at 16x16.
        assert!(r2("smile") < 0.3, "{}", r2("smile"));

        // Pictures as a generator makes them read as the portraits that they are.
        let column = reader
            .factors()
            .iter()
            .position(|it| it.name == "skin-dark")
            .unwrap();
        let mut read = Vec::new();
        let mut known = Vec::new();
        for index in 2000..2040 {
            let (image, factors) = tensor(index, 32);
            read.push(reader.read(&image).unwrap()[0][column]);
            known.push(f64::from(factors.face.skin_percent));
        }
        let known: Vec<f64> = known.iter().map(|percent| (percent - 50.) / 29.).collect();
        let error: f64 = read.iter().zip(&known).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(error / 40. < 0.15, "{read:?} {known:?}");
    }

    #[test]
    fn pictures_smaller_than_what_they_are_reduced_to_are_read_as_they_are() {
        let reader = FactorReader::fit(8, 800, 100).unwrap();
        let (image, _) = tensor(3, 8);
        assert_eq!(
            reader.read(&image).unwrap()[0].len(),
            reader.factors().len()
        );
        let both = Tensor::cat(&[&image, &image], 0).unwrap();
        let rows = reader.read(&both).unwrap();
        assert_eq!(rows[0], rows[1]);
    }

    #[test]
    fn other_pictures_are_errors() {
        let reader = FactorReader::fit(8, 100, 10).unwrap();
        let read = |shape: &[usize], value| {
            let images = Tensor::full(value, shape, &Device::Cpu).unwrap();
            reader.read(&images).unwrap_err().to_string()
        };
        let shape = "don't fit into a set of 8x8 with 3 channels";
        for wrong in [&[1, 1, 8, 8][..], &[1, 3, 16, 16], &[3, 8, 8]] {
            let error = read(wrong, 0f32);
            assert!(error.contains(shape), "{error}");
        }
        let error = read(&[1, 3, 8, 8], f32::NAN);
        assert!(error.contains("not numbers"), "{error}");
        let error = FactorReader::fit(8, 1, 10).unwrap_err().to_string();
        assert_eq!(
            error,
            "factors of portraits: expected at least 2 portraits to fit to and 2 to measure with, found 1 and 10"
        );
        assert!(FactorReader::fit(20, 10, 10).is_err());
    }
}
