use candle_core::{Result, Tensor};
use stylegan_discriminator::Discriminator;
use stylegan_ops::pixel_norm;

use super::Features;

/// What a discriminator sees: the mean over its layers of the mean squared difference of unit features.
///
/// The layers are those of [`Discriminator::feature_maps`], the features of every pixel scaled to length 1, as in
/// LPIPS. A layer is 0 where the directions of its features agree and 4 where they are opposite. The discriminator
/// that a generator was trained with knows no other pictures than those of its kind, and fine differences between
/// them.
#[derive(Debug, Clone)]
pub struct DiscriminatorFeatures(Discriminator);

impl DiscriminatorFeatures {
    /// Features of a discriminator that records no gradients of its weights.
    pub fn new(discriminator: Discriminator) -> Self {
        Self(discriminator)
    }
}

impl Features for DiscriminatorFeatures {
    fn embed(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
        let layers = self.0.feature_maps(picture)?;
        let unit = |maps: &Tensor| {
            // Of mean square 1 over channels.
            pixel_norm(maps)? / ((maps.elem_count() * layers.len()) as f64).sqrt()
        };
        layers.iter().map(unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distance;
    use crate::testing::{discriminator, picture};
    use candle_core::DType;

    #[test]
    fn the_distance_is_the_mean_over_layers_of_unit_features() -> Result<()> {
        let network = discriminator(DType::F64)?;
        let (a, b) = (picture(1, 8, DType::F64)?, picture(2, 8, DType::F64)?);
        let unit = |maps: &Tensor| -> Result<Tensor> {
            maps.broadcast_div(&maps.sqr()?.sum_keepdim(1)?.sqrt()?)
        };
        let mut expected = 0.;
        let (of_a, of_b) = (network.feature_maps(&a)?, network.feature_maps(&b)?);
        for (a, b) in of_a.iter().zip(&of_b) {
            let squares = (unit(a)? - unit(b)?)?.sqr()?.sum(1)?;
            expected += squares.mean_all()?.to_scalar::<f64>()? / of_a.len() as f64;
        }
        let features = DiscriminatorFeatures::new(network);
        let distance = Distance::from_target(&a).with(1., features)?;
        let found = distance.of(&b)?.to_scalar::<f64>()?;
        assert!((found / expected - 1.).abs() < 1e-4, "{found} {expected}");
        assert!(found > 0.01);
        Ok(())
    }
}
