//! The pictures of one side of a comparison, in memory.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use stylegan_data::{Dataset, is_valid_resolution};

use crate::MetricError;
use crate::descriptors;

/// Square pictures of one size and number of channels, 8 bits each, channels by planes (CHW).
///
/// Takes channels * side * side bytes of memory a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSet {
    channels: usize,
    side: usize,
    pixels: Vec<u8>,
}

impl PictureSet {
    /// An empty set of pictures with so many channels (3 for RGB), `side` pixels wide and high.
    ///
    /// # Errors
    /// [`MetricError::Side`] unless the side is a power of two from 8 to 1024.
    pub fn new(channels: usize, side: usize) -> Result<Self, MetricError> {
        if !is_valid_resolution(side) || side < descriptors::SIDE {
            return Err(MetricError::Side { side });
        }
        Ok(Self {
            channels,
            side,
            pixels: Vec::new(),
        })
    }

    /// `count` pictures of a dataset, evenly spread over it, or all where it has no more than that.
    /// Decodes on all cores.
    ///
    /// # Errors
    /// [`MetricError::Side`] for pictures of 4x4, or [`MetricError::Data`] where one can't be read.
    pub fn from_dataset(dataset: &Dataset, count: usize) -> Result<Self, MetricError> {
        let mut set = Self::new(dataset.channels(), dataset.resolution())?;
        let pictures: Vec<_> = evenly_spread(count, dataset.len())
            .into_par_iter()
            .map(|index| dataset.image_u8(index))
            .collect();
        for picture in pictures {
            set.pixels.extend(picture?);
        }
        Ok(set)
    }

    /// Adds generated pictures `[N, channels, R, R]`, about in [-1, 1], on any device.
    ///
    /// A value x becomes the byte round((x + 1) * 127.5), clamped to 0..=255. Where R is a multiple of
    /// the side of the set, every pixel is the mean of the bytes that it covers, rounded half up: the
    /// same pixels as those of PNG files that a dataset reads and resizes.
    ///
    /// # Errors
    /// [`MetricError::Shape`] for any other shape, [`MetricError::NotANumber`] for a NaN.
    pub fn push(&mut self, images: &Tensor) -> Result<(), MetricError> {
        let factor = self.factor(images.dims())?;
        let images = images.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let bytes = ((images + 1.)? * 127.5)?.round()?.clamp(0f32, 255f32)?;
        let bytes = match factor {
            1 => bytes,
            factor => (bytes.avg_pool2d(factor)? + 0.5)?.floor()?,
        };
        let bytes: Vec<f32> = bytes.flatten_all()?.to_vec1()?;
        if bytes.iter().any(|byte| byte.is_nan()) {
            return Err(MetricError::NotANumber);
        }
        self.pixels.extend(bytes.into_iter().map(|byte| byte as u8));
        Ok(())
    }

    /// How many times larger than this set's the pictures of a tensor of that shape are.
    fn factor(&self, shape: &[usize]) -> Result<usize, MetricError> {
        match *shape {
            [_, channels, height, width]
                if channels == self.channels
                    && height == width
                    && height >= self.side
                    && height.is_multiple_of(self.side) =>
            {
                Ok(height / self.side)
            }
            _ => Err(MetricError::Shape {
                expected: self.kind(),
                found: shape.to_vec(),
            }),
        }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pixels.len() / (self.channels * self.side * self.side)
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Width and height of every picture in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The channels of a picture, from 0 to 255.
    pub(crate) fn planes(&self, picture: usize) -> impl Iterator<Item = Vec<f32>> {
        let area = self.side * self.side;
        self.pixels[picture * self.channels * area..][..self.channels * area]
            .chunks_exact(area)
            .map(|plane| plane.iter().map(|&byte| byte.into()).collect())
    }

    fn kind(&self) -> String {
        let (side, channels) = (self.side, self.channels);
        format!("{side}x{side} with {channels} channels")
    }
}

/// The pictures of two sets to compare: as many of both, evenly spread over the larger set.
pub(crate) fn pair(reals: &PictureSet, fakes: &PictureSet) -> Result<[Vec<usize>; 2], MetricError> {
    if (reals.side, reals.channels) != (fakes.side, fakes.channels) {
        return Err(MetricError::Different {
            reals: reals.kind(),
            fakes: fakes.kind(),
        });
    }
    let (reals, fakes) = (reals.len(), fakes.len());
    let count = reals.min(fakes);
    if count == 0 {
        return Err(MetricError::Empty { reals, fakes });
    }
    Ok([evenly_spread(count, reals), evenly_spread(count, fakes)])
}

/// `count` of the numbers below `len`, ascending, or all where there are no more.
fn evenly_spread(count: usize, len: usize) -> Vec<usize> {
    let count = count.min(len);
    (0..count).map(|i| i * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stylegan_data::DatasetOptions;

    #[test]
    fn choices_are_spread_over_the_whole_set() {
        assert_eq!(evenly_spread(3, 3), [0, 1, 2]);
        assert_eq!(evenly_spread(3, 9), [0, 3, 6]);
        assert_eq!(evenly_spread(4, 6), [0, 1, 3, 4]);
        assert_eq!(evenly_spread(9, 2), [0, 1]);
        assert!(evenly_spread(5, 0).is_empty());
    }

    #[test]
    fn generated_pictures_become_the_bytes_that_a_dataset_reads() {
        let open = |resolution| {
            let resolution = Some(resolution);
            let options = DatasetOptions {
                resolution,
                ..DatasetOptions::default()
            };
            Dataset::open(&options).unwrap()
        };
        let large = open(32);
        let (images, _) = large.batch(&[0, 1, 2], &Device::Cpu).unwrap();
        let expected: Vec<u8> = (0..3).flat_map(|i| large.image_u8(i).unwrap()).collect();
        let mut set = PictureSet::new(3, 32).unwrap();
        set.push(&images).unwrap();
        assert_eq!((set.len(), &set.pixels), (3, &expected));

        // Half the size: compare with sums of the four bytes, rounded half up.
        let mut half = PictureSet::new(3, 16).unwrap();
        half.push(&images).unwrap();
        let byte =
            |plane: usize, y: usize, x: usize| u32::from(expected[(plane * 32 + y) * 32 + x]);
        for (i, &found) in half.pixels.iter().enumerate() {
            let (plane, y, x) = (i / 256, i / 16 % 16 * 2, i % 16 * 2);
            let sum = byte(plane, y, x) + byte(plane, y, x + 1);
            let sum = sum + byte(plane, y + 1, x) + byte(plane, y + 1, x + 1);
            assert_eq!(u32::from(found), (sum + 2) / 4, "{i}");
        }
    }

    #[test]
    fn pictures_of_another_shape_and_nan_are_refused() {
        let mut set = PictureSet::new(3, 16).unwrap();
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        for shape in [[1, 1, 16, 16], [1, 3, 8, 8], [1, 3, 24, 24], [1, 3, 16, 32]] {
            let error = set.push(&zeros(&shape)).unwrap_err().to_string();
            assert!(error.contains("a set of 16x16 with 3 channels"), "{error}");
        }
        let nan = (zeros(&[1, 3, 16, 16]) * f64::NAN).unwrap();
        assert!(matches!(set.push(&nan), Err(MetricError::NotANumber)));
        assert!(set.is_empty());
    }

    #[test]
    fn sides_without_room_for_a_descriptor_are_refused() {
        for side in [0, 4, 24, 2048] {
            let error = PictureSet::new(3, side).unwrap_err().to_string();
            assert!(error.starts_with(&format!("pictures of {side}x{side}: ")));
        }
    }

    #[test]
    fn sets_that_differ_are_named() {
        let set = |channels, side, count| PictureSet {
            pixels: vec![0; channels * side * side * count],
            ..PictureSet::new(channels, side).unwrap()
        };
        let error = |a, b| pair(&a, &b).unwrap_err().to_string();
        let message = error(set(3, 16, 1), set(1, 32, 1));
        let expected = "reals are 16x16 with 3 channels, fakes are 32x32 with 1 channels";
        assert!(message.contains(expected), "{message}");
        let message = error(set(3, 16, 2), set(3, 16, 0));
        assert!(message.contains("2 reals and 0 fakes"), "{message}");
    }
}
