use candle_core::{Result, Tensor};
use stylegan_ops::average_pool2d;

use super::{Features, at_most_largest};

/// The coarsest scale.
const SMALLEST_SIDE: usize = 4;

/// The pixels at every scale: the mean over scales of the mean squared differences.
///
/// The scales are the picture itself (larger ones are averaged down to 256), then the means of 2x2 pixels of the
/// scale before, down to 4x4. The coarse ones draw colours and shapes to the right place before their details
/// overlap.
#[derive(Debug, Clone, Copy, Default)]
pub struct PixelPyramid;

impl Features for PixelPyramid {
    fn embed(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
        let mut scales = vec![at_most_largest(picture)?];
        while let Some(last) = scales.last()
            && last.dims()[3] >= 2 * SMALLEST_SIDE
        {
            scales.push(average_pool2d(last, 2)?);
        }
        let count = scales.len();
        let weighted = |scale: &Tensor| scale / ((scale.elem_count() * count) as f64).sqrt();
        scales.iter().map(weighted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distance;
    use crate::testing::picture;
    use candle_core::DType;

    #[test]
    fn the_distance_is_the_mean_over_scales_of_mean_squares() -> Result<()> {
        let (a, b) = (picture(1, 16, DType::F64)?, picture(2, 16, DType::F64)?);
        let mut expected = 0.;
        for factor in [1, 2, 4] {
            let difference = average_pool2d(&(&a - &b)?, factor)?;
            expected += difference.sqr()?.mean_all()?.to_scalar::<f64>()? / 3.;
        }
        let distance = Distance::from_target(&a).with(1., PixelPyramid)?;
        let found = distance.of(&b)?.to_scalar::<f64>()?;
        assert!((found / expected - 1.).abs() < 1e-12, "{found} {expected}");
        Ok(())
    }

    #[test]
    fn the_smallest_pictures_have_one_scale() -> Result<()> {
        for (side, scales) in [(4, 1), (8, 2), (256, 7), (512, 7)] {
            let embedded = PixelPyramid.embed(&picture(1, side, DType::F32)?)?;
            assert_eq!(embedded.len(), scales, "{side}");
        }
        Ok(())
    }
}
