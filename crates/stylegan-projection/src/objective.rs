//! What is minimised.

use candle_core::{Result, Tensor};
use stylegan_mapping::broadcast;
use stylegan_synthesis::{NoiseMode, Synthesis};

use crate::noise_maps::autocorrelation;
use crate::{Distance, NoiseMaps};

/// The loss as a function of the latent and the noise maps.
pub(crate) struct Objective {
    pub(crate) synthesis: Synthesis,
    pub(crate) distance: Distance,
    pub(crate) noise_maps: NoiseMaps,
}

/// A loss and its parts, scalars.
pub(crate) struct Loss {
    pub(crate) total: Tensor,
    pub(crate) distance: Tensor,
    /// Without its weight; none where maps are not optimised.
    pub(crate) autocorrelation: Option<Tensor>,
}

impl Objective {
    /// The loss of a latent, `[1, w_dim]` for all layers or `[1, num_ws, w_dim]`, and of the noise maps of all
    /// layers, of which the first `optimized` ones are optimised.
    pub(crate) fn loss(&self, w: &Tensor, maps: &[Tensor], optimized: usize) -> Result<Loss> {
        let picture = self.picture(&self.ws(w)?, maps)?;
        let distance = self.distance.of(&picture)?;
        let NoiseMaps::Optimized { weight } = self.noise_maps else {
            return Ok(Loss {
                total: distance.clone(),
                distance,
                autocorrelation: None,
            });
        };
        let mut sum = distance.zeros_like()?;
        for map in &maps[..optimized] {
            sum = (sum + autocorrelation(map)?)?;
        }
        Ok(Loss {
            total: (&distance + (&sum * weight)?)?,
            distance,
            autocorrelation: Some(sum),
        })
    }

    /// The picture `[1, C, R, R]` of ws and noise maps.
    pub(crate) fn picture(&self, ws: &Tensor, maps: &[Tensor]) -> Result<Tensor> {
        let mut noise = match self.noise_maps {
            NoiseMaps::Optimized { .. } => NoiseMode::Maps(maps),
            NoiseMaps::Const => NoiseMode::Const,
            NoiseMaps::None => NoiseMode::None,
        };
        self.synthesis.forward(ws, &mut noise)
    }

    /// A w for every layer, `[1, num_ws, w_dim]`.
    pub(crate) fn ws(&self, w: &Tensor) -> Result<Tensor> {
        match w.rank() {
            2 => broadcast(w, self.synthesis.num_ws()),
            _ => Ok(w.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::normal;
    use crate::testing::{self, picture, rng};
    use crate::{DiscriminatorFeatures, LpipsFeatures, PixelPyramid};
    use candle_core::{DType, Device, Var};
    use stylegan_ops::autograd;
    use stylegan_synthesis::GeneratorConfig;

    /// All terms, optimised noise maps, in f64.
    fn objective(config: GeneratorConfig) -> Result<Objective> {
        let (_, generator) = testing::generator_of(config, 16, DType::F64)?;
        let distance = Distance::from_target(&picture(1, 16, DType::F64)?)
            .with(1., PixelPyramid)?
            .with(
                2.,
                DiscriminatorFeatures::new(testing::discriminator_of(16, DType::F64)?),
            )?
            .with(0.5, LpipsFeatures::new(testing::lpips(DType::F64)?))?;
        Ok(Objective {
            synthesis: generator.synthesis().clone(),
            distance,
            noise_maps: NoiseMaps::Optimized { weight: 3. },
        })
    }

    fn random(dims: &[usize]) -> Result<Tensor> {
        normal(dims, &Device::Cpu, &mut rng())?.to_dtype(DType::F64)
    }

    #[test]
    fn gradients_of_latents_and_maps_agree_with_finite_differences() -> Result<()> {
        for config in [GeneratorConfig::default(), GeneratorConfig::stylegan1()] {
            let objective = objective(config)?;
            let synthesis = &objective.synthesis;
            let w_dim = synthesis.config().w_dim;
            for latent in [&[1, w_dim][..], &[1, synthesis.num_ws(), w_dim]] {
                check(&objective, random(latent)?)?;
            }
        }
        Ok(())
    }

    fn check(objective: &Objective, latent: Tensor) -> Result<()> {
        const STEP: f64 = 1e-5;
        let mut inputs = vec![latent];
        for map in objective.synthesis.noise_maps() {
            let side = map.map.dims()[0];
            inputs.push(random(&[1, 1, side, side])?);
        }
        let loss = |inputs: &[Tensor]| -> Result<Loss> {
            objective.loss(&inputs[0], &inputs[1..], inputs.len() - 1)
        };
        let vars = inputs.iter().map(|t| Ok(Var::from_tensor(t)?.into_inner()));
        let vars: Vec<Tensor> = vars.collect::<Result<_>>()?;
        let gradients = autograd::backward(&loss(&vars)?.total)?;
        for (number, var) in vars.iter().enumerate() {
            let gradient = gradients.require("input", var)?.flatten_all()?;
            let gradient = gradient.to_vec1::<f64>()?;
            let largest = gradient.iter().fold(0f64, |m, g| m.max(g.abs()));
            assert!(largest > 0., "input {number}");
            let values = inputs[number].flatten_all()?.to_vec1::<f64>()?;
            for place in (0..values.len()).step_by(values.len().div_ceil(5)) {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[place] += by;
                    let mut inputs = inputs.clone();
                    let dims = inputs[number].dims().to_vec();
                    inputs[number] = Tensor::from_vec(values, dims, &Device::Cpu)?;
                    loss(&inputs)?.total.to_scalar::<f64>()
                };
                let difference = (moved(STEP)? - moved(-STEP)?) / (2. * STEP);
                let error = (difference - gradient[place]).abs() / largest;
                assert!(
                    error < 1e-5,
                    "input {number} at {place}: {difference} by differences, {} by gradient",
                    gradient[place]
                );
            }
        }
        Ok(())
    }

    #[test]
    fn the_loss_is_the_distance_and_the_weighted_penalty() -> Result<()> {
        let objective = objective(GeneratorConfig::default())?;
        let w = random(&[1, objective.synthesis.config().w_dim])?;
        let maps = objective.synthesis.noise_maps().into_iter().map(|map| {
            let side = map.map.dims()[0];
            random(&[1, 1, side, side])
        });
        let maps: Vec<Tensor> = maps.collect::<Result<_>>()?;
        let all = objective.loss(&w, &maps, maps.len())?;
        let scalar = |t: &Tensor| t.to_scalar::<f64>();
        let mut penalty = 0.;
        for map in &maps {
            penalty += scalar(&autocorrelation(map)?)?;
        }
        let found = all.autocorrelation.as_ref().map(scalar).transpose()?;
        assert!((found.expect("maps are optimised") / penalty - 1.).abs() < 1e-12);
        let total = scalar(&all.distance)? + 3. * penalty;
        assert!((scalar(&all.total)? / total - 1.).abs() < 1e-12);
        // A w for every layer that is the same for all is one w.
        let same = objective.loss(&objective.ws(&w)?, &maps, maps.len())?;
        assert_eq!(scalar(&same.total)?, scalar(&all.total)?);

        let constant = Objective {
            noise_maps: NoiseMaps::Const,
            ..objective
        };
        let without = constant.loss(&w, &[], 0)?;
        assert!(without.autocorrelation.is_none());
        assert_eq!(scalar(&without.total)?, scalar(&without.distance)?);
        assert_ne!(scalar(&without.distance)?, scalar(&all.distance)?);
        Ok(())
    }
}
