use candle_core::{Result, Tensor, bail};
use stylegan_lpips::Lpips;

use super::{Features, at_most_largest};

/// LPIPS, of pictures that are averaged down to 256 where they are larger. Grayscale pictures are compared as
/// colour pictures of equal channels.
#[derive(Debug, Clone)]
pub struct LpipsFeatures(Lpips);

impl LpipsFeatures {
    /// Features of a network that records no gradients of its weights.
    pub fn new(lpips: Lpips) -> Self {
        Self(lpips)
    }
}

impl Features for LpipsFeatures {
    fn embed(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
        let picture = at_most_largest(picture)?;
        match picture.dim(1)? {
            1 => self.0.embed(&Tensor::cat(&[&picture; 3], 1)?),
            3 => self.0.embed(&picture),
            channels => bail!("LPIPS: expected pictures of 1 or 3 channels, got {channels}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distance;
    use crate::testing::{lpips, picture};
    use candle_core::DType;

    #[test]
    fn the_distance_is_lpips_and_grayscale_pictures_are_grey() -> Result<()> {
        let network = lpips(DType::F64)?;
        let (a, b) = (picture(1, 16, DType::F64)?, picture(2, 16, DType::F64)?);
        let of = |a: &Tensor, b: &Tensor| {
            let features = LpipsFeatures::new(network.clone());
            let distance = Distance::from_target(a).with(1., features)?;
            distance.of(b)?.to_scalar::<f64>()
        };
        let expected = network.distance(&a, &b)?.to_vec1::<f64>()?[0];
        assert!((of(&a, &b)? / expected - 1.).abs() < 1e-12);
        let (a, b) = (a.narrow(1, 0, 1)?, b.narrow(1, 0, 1)?);
        let grey = |x: &Tensor| Tensor::cat(&[x, x, x], 1);
        let expected = network.distance(&grey(&a)?, &grey(&b)?)?.to_vec1::<f64>()?[0];
        assert!((of(&a, &b)? / expected - 1.).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn transparent_pictures_are_an_error() -> Result<()> {
        let picture = picture(1, 16, DType::F32)?;
        let transparent = Tensor::cat(&[&picture, &picture.narrow(1, 0, 1)?], 1)?;
        let features = LpipsFeatures::new(lpips(DType::F32)?);
        let error = features.embed(&transparent).unwrap_err().to_string();
        let expected = "LPIPS: expected pictures of 1 or 3 channels, got 4";
        assert!(error.starts_with(expected), "{error}");
        Ok(())
    }
}
