//! How far a picture is from the target.

mod discriminator;
mod lpips;
mod pixels;

pub use discriminator::DiscriminatorFeatures;
pub use lpips::LpipsFeatures;
pub use pixels::PixelPyramid;

use std::fmt;

use candle_core::{Result, Tensor, bail};
use stylegan_ops::average_pool2d;

/// Larger pictures are averaged down to this side before they are compared (Karras et al. 2020, appendix D).
const LARGEST_SIDE: usize = 256;

/// What one term of a [`Distance`] sees in a picture.
pub trait Features {
    /// The features of a picture `[1, C, R, R]`, about in [-1, 1], as differentiable tensors of any shapes. The
    /// distance of two pictures is the sum of the squared differences of all of them.
    ///
    /// # Errors
    /// If the picture has a shape that these features don't exist for.
    fn embed(&self, picture: &Tensor) -> Result<Vec<Tensor>>;
}

/// The distance of pictures from a target, a weighted sum of terms: `d(x) = sum_t w_t |f_t(x) - f_t(target)|^2`.
///
/// What the terms see in the target is computed once.
pub struct Distance {
    target: Tensor,
    terms: Vec<Term>,
}

struct Term {
    weight: f64,
    features: Box<dyn Features>,
    target: Vec<Tensor>,
}

impl Distance {
    /// The distance from `target` `[1, C, R, R]`, without terms: it is 0 until there are some.
    pub fn from_target(target: &Tensor) -> Self {
        Self {
            target: target.detach(),
            terms: Vec::new(),
        }
    }

    /// Adds a term.
    ///
    /// # Errors
    /// If the features don't exist for the target, or `weight` is not a positive number.
    pub fn with(mut self, weight: f64, features: impl Features + 'static) -> Result<Self> {
        if !(weight.is_finite() && weight > 0.) {
            bail!("distance: expected a positive weight, got {weight}")
        }
        let embedded = features.embed(&self.target)?;
        self.terms.push(Term {
            weight,
            target: embedded.iter().map(Tensor::detach).collect(),
            features: Box::new(features),
        });
        Ok(self)
    }

    /// The picture that distances are measured from.
    pub fn target(&self) -> &Tensor {
        &self.target
    }

    /// The distance of a picture, a differentiable scalar.
    ///
    /// # Errors
    /// If the picture has another shape than the target.
    pub fn of(&self, picture: &Tensor) -> Result<Tensor> {
        if picture.dims() != self.target.dims() {
            bail!(
                "distance: expected a picture of the target's shape {:?}, got {:?}",
                self.target.dims(),
                picture.dims()
            )
        }
        let mut sum = Tensor::zeros((), picture.dtype(), picture.device())?;
        for term in &self.terms {
            let features = term.features.embed(picture)?;
            for (feature, target) in features.iter().zip(&term.target) {
                let squares = (feature - target)?.sqr()?.sum_all()?;
                sum = (sum + (squares * term.weight)?)?;
            }
        }
        Ok(sum)
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights: Vec<f64> = self.terms.iter().map(|term| term.weight).collect();
        f.debug_struct("Distance")
            .field("target", &self.target.dims())
            .field("weights", &weights)
            .finish()
    }
}

/// The picture, averaged down where it is larger than pictures are compared.
fn at_most_largest(picture: &Tensor) -> Result<Tensor> {
    let (_, _, _, side) = picture.dims4()?;
    average_pool2d(picture, (side / LARGEST_SIDE).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::picture;
    use candle_core::{DType, Device};

    /// Sees a multiple of the pixels.
    struct Multiple(f64);

    impl Features for Multiple {
        fn embed(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
            Ok(vec![(picture * self.0)?, picture.mean_all()?])
        }
    }

    #[test]
    fn terms_add_up_by_their_weights() -> Result<()> {
        let zeros = Tensor::zeros((1, 3, 4, 4), DType::F64, &Device::Cpu)?;
        let ones = zeros.ones_like()?;
        let distance = Distance::from_target(&zeros)
            .with(2., Multiple(3.))?
            .with(0.5, Multiple(1.))?;
        let pixels = 48.;
        let expected = 2. * (9. * pixels + 1.) + 0.5 * (pixels + 1.);
        assert_eq!(distance.of(&ones)?.to_scalar::<f64>()?, expected);
        assert_eq!(distance.of(&zeros)?.to_scalar::<f64>()?, 0.);
        Ok(())
    }

    #[test]
    fn pictures_above_256_are_averaged_down() -> Result<()> {
        for (side, expected) in [(8, 8), (256, 256), (512, 256), (1024, 256)] {
            let picture = Tensor::zeros((1, 1, side, side), DType::F32, &Device::Cpu)?;
            let found = at_most_largest(&picture)?;
            assert_eq!(found.dims(), [1, 1, expected, expected]);
        }
        Ok(())
    }

    #[test]
    fn wrong_shapes_and_weights_are_errors_that_name_them() -> Result<()> {
        let target = picture(1, 8, DType::F32)?;
        let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
        let error = distance.of(&picture(1, 4, DType::F32)?).unwrap_err();
        let expected =
            "distance: expected a picture of the target's shape [1, 3, 8, 8], got [1, 3, 4, 4]";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = Distance::from_target(&target).with(0., PixelPyramid);
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("distance: expected a positive weight, got 0"),
            "{error}"
        );
        Ok(())
    }
}
