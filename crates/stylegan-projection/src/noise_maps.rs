//! Noise maps that stay noise.

use candle_core::{Result, Tensor, bail};
use stylegan_ops::{average_pool2d, channel_dot};

/// Maps are not halved below this side.
const SMALLEST_SIDE: usize = 8;

/// How much the pixels of noise maps `[N, 1, R, R]` resemble their neighbours:
///
/// ```text
/// sum over maps and scales of  (mean n(x, y) n(x-1, y))^2 + (mean n(x, y) n(x, y-1))^2
/// ```
///
/// Maps go on at the opposite edge. The scales are R, R/2, ..., 8, each the means of 2x2 pixels of the one before
/// times 2, which keeps the variance of white noise. Independent pixels have an expected square of `1 / r^2` at
/// scale r and direction, correlated ones have one that doesn't fall with the size.
///
/// Source: Karras et al. 2020, appendix D.
///
/// # Errors
/// If the maps have another shape, or can't be halved.
pub fn autocorrelation(maps: &Tensor) -> Result<Tensor> {
    let &[_, 1, height, width] = maps.dims() else {
        bail!(
            "autocorrelation: expected noise maps [N, 1, R, R], got {:?}",
            maps.dims()
        )
    };
    if height != width {
        bail!("autocorrelation: expected square noise maps, got {height}x{width}")
    }
    let mut maps = maps.clone();
    let mut sum = at_one_scale(&maps)?;
    while maps.dims()[2] > SMALLEST_SIDE {
        maps = (average_pool2d(&maps, 2)? * 2.)?;
        sum = (sum + at_one_scale(&maps)?)?;
    }
    Ok(sum)
}

fn at_one_scale(maps: &Tensor) -> Result<Tensor> {
    let pixels = (maps.dims()[2] * maps.dims()[3]) as f64;
    let along = |dim: usize| {
        let mean = (channel_dot(maps, &maps.roll(1, dim)?)? / pixels)?;
        mean.sqr()?.sum_all()
    };
    along(2)? + along(3)?
}

/// The map with mean 0 and mean square 1.
pub(crate) fn normalize(map: &Tensor) -> Result<Tensor> {
    let centred = map.broadcast_sub(&map.mean_all()?)?;
    centred.broadcast_div(&centred.sqr()?.mean_all()?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::normal;
    use crate::testing::rng;
    use candle_core::{DType, Device, Var};
    use stylegan_ops::autograd;

    fn noise(dims: &[usize]) -> Result<Tensor> {
        normal(dims, &Device::Cpu, &mut rng())?.to_dtype(DType::F64)
    }

    /// The definition, pixel by pixel.
    fn reference(map: &[Vec<f64>]) -> f64 {
        let r = map.len();
        let (mut across, mut down) = (0., 0.);
        for y in 0..r {
            for x in 0..r {
                across += map[y][x] * map[y][(x + r - 1) % r];
                down += map[y][x] * map[(y + r - 1) % r][x];
            }
        }
        let pixels = (r * r) as f64;
        let here = (across / pixels).powi(2) + (down / pixels).powi(2);
        if r <= 8 {
            return here;
        }
        let half = |y: usize, x: usize| {
            let square = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let sum: f64 = square.iter().map(|(b, a)| map[2 * y + b][2 * x + a]).sum();
            sum / 4. * 2.
        };
        let halved: Vec<Vec<f64>> = (0..r / 2)
            .map(|y| (0..r / 2).map(|x| half(y, x)).collect())
            .collect();
        here + reference(&halved)
    }

    #[test]
    fn the_penalty_is_its_definition() -> Result<()> {
        for side in [4, 8, 16, 64] {
            let maps = noise(&[3, 1, side, side])?;
            let mut expected = 0.;
            for map in maps.squeeze(1)?.to_vec3::<f64>()? {
                expected += reference(&map);
            }
            let found = autocorrelation(&maps)?.to_scalar::<f64>()?;
            assert!((found / expected - 1.).abs() < 1e-12, "{found} {expected}");
        }
        Ok(())
    }

    #[test]
    fn white_noise_has_none_but_chance_and_a_picture_has_much() -> Result<()> {
        let maps = noise(&[200, 1, 32, 32])?;
        let found = autocorrelation(&maps)?.to_scalar::<f64>()? / 200.;
        // Two directions at 32, 16 and 8.
        let chance: f64 = [32, 16, 8].map(|r| 2. / f64::from(r * r)).iter().sum();
        assert!((found / chance - 1.).abs() < 0.2, "{found} {chance}");
        let ramp = Tensor::arange(0f64, 32., &Device::Cpu)?;
        let picture = ramp.reshape((1, 1, 1, 32))?.broadcast_as((1, 1, 32, 32))?;
        let found = autocorrelation(&normalize(&picture)?)?.to_scalar::<f64>()?;
        assert!(found > 100. * chance, "{found} {chance}");
        Ok(())
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() -> Result<()> {
        const STEP: f64 = 1e-5;
        let map = noise(&[1, 1, 16, 16])?;
        let var = Var::from_tensor(&map)?;
        let gradients = autograd::backward(&autocorrelation(&var)?)?;
        let gradient = gradients.require("map", &var)?.flatten_all()?;
        let gradient = gradient.to_vec1::<f64>()?;
        let values = map.flatten_all()?.to_vec1::<f64>()?;
        for place in [0, 15, 16, 100, 255] {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[place] += by;
                let map = Tensor::from_vec(values, map.dims(), &Device::Cpu)?;
                autocorrelation(&map)?.to_scalar::<f64>()
            };
            let difference = (moved(STEP)? - moved(-STEP)?) / (2. * STEP);
            let error = (difference - gradient[place]).abs();
            assert!(error < 1e-8, "{place}: {difference} {}", gradient[place]);
        }
        Ok(())
    }

    #[test]
    fn normalised_maps_have_mean_0_and_mean_square_1() -> Result<()> {
        let map = normalize(&((noise(&[1, 1, 16, 16])? * 3.)? + 7.)?)?;
        assert!(map.mean_all()?.to_scalar::<f64>()?.abs() < 1e-12);
        assert!((map.sqr()?.mean_all()?.to_scalar::<f64>()? - 1.).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn maps_of_another_shape_are_errors_that_name_it() -> Result<()> {
        let message = |dims: &[usize]| {
            let error = autocorrelation(&noise(dims).unwrap()).unwrap_err();
            error.to_string()
        };
        let error = message(&[1, 2, 8, 8]);
        let expected = "autocorrelation: expected noise maps [N, 1, R, R], got [1, 2, 8, 8]";
        assert!(error.starts_with(expected), "{error}");
        let error = message(&[1, 1, 8, 4]);
        let expected = "autocorrelation: expected square noise maps, got 8x4";
        assert!(error.starts_with(expected), "{error}");
        Ok(())
    }
}
