//! Where the search begins.

use candle_core::{DType, Device, Result, Tensor, bail};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use stylegan_mapping::Mapping;

/// How many z are mapped at a time.
const BATCH: usize = 500;

/// The mean of w and its spread, estimated from samples.
#[derive(Debug, Clone)]
pub struct WStatistics {
    /// The mean of w over z, `[1, w_dim]`.
    pub mean: Tensor,
    /// `sqrt(E |w - mean|^2)`: the typical distance of a w from the mean, over all coordinates together (Karras et
    /// al. 2020, appendix D).
    pub sigma: f64,
}

impl WStatistics {
    /// Maps `samples` z from N(0, 1), all with the label `[1, c_dim]` where the network takes one. The network is
    /// f32, on `device`.
    ///
    /// # Errors
    /// If `samples` is 0, or a label is missing, not wanted, or of another shape.
    pub fn estimate(
        mapping: &Mapping,
        label: Option<&Tensor>,
        samples: usize,
        device: &Device,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        if samples == 0 {
            bail!("statistics of w: expected at least 1 sample, got 0")
        }
        let mut sums = Vec::new();
        let mut squares = 0.;
        for first in (0..samples).step_by(BATCH) {
            let n = BATCH.min(samples - first);
            let z = normal(&[n, mapping.config().z_dim], device, rng)?;
            let label = label.map(|label| label.broadcast_as((n, label.dim(1)?)));
            let label = label.transpose()?.map(|label| label.contiguous());
            let w = mapping.forward(Some(&z), label.transpose()?.as_ref())?;
            let w = w.to_dtype(DType::F64)?;
            squares += w.sqr()?.sum_all()?.to_scalar::<f64>()?;
            sums.push(w.sum_keepdim(0)?);
        }
        let mean = (Tensor::cat(&sums, 0)?.sum_keepdim(0)? / samples as f64)?;
        let variance = squares / samples as f64 - mean.sqr()?.sum_all()?.to_scalar::<f64>()?;
        Ok(Self {
            mean: mean.to_dtype(DType::F32)?,
            sigma: variance.max(0.).sqrt(),
        })
    }
}

/// N(0, 1) in f32: the same numbers on every device.
pub(crate) fn normal(dims: &[usize], device: &Device, rng: &mut impl Rng) -> Result<Tensor> {
    let count = dims.iter().product();
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(count).collect();
    Tensor::from_vec(values, dims, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{generator, rng};
    use stylegan_synthesis::GeneratorConfig;

    #[test]
    fn progan_has_the_mean_and_spread_of_normalised_latents() -> Result<()> {
        let (config, progan) = generator(GeneratorConfig::progan())?;
        let statistics =
            WStatistics::estimate(progan.mapping(), None, 5000, &Device::Cpu, &mut rng())?;
        // Of length sqrt(z_dim), in all directions alike.
        let expected = (config.z_dim as f64).sqrt();
        let WStatistics { mean, sigma } = statistics;
        assert!((sigma / expected - 1.).abs() < 2e-3, "{sigma} {expected}");
        let length = mean.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
        assert!(f64::from(length) < 0.05 * expected, "{length}");
        Ok(())
    }

    #[test]
    fn the_statistics_are_those_of_all_samples_whatever_the_batches() -> Result<()> {
        let (config, network) = generator(GeneratorConfig::default())?;
        let samples = 2 * BATCH + 3;
        let found =
            WStatistics::estimate(network.mapping(), None, samples, &Device::Cpu, &mut rng())?;
        let z = normal(&[samples, config.z_dim], &Device::Cpu, &mut rng())?;
        let w = network.mapping().forward(Some(&z), None)?;
        let mean = w.mean_keepdim(0)?;
        let spread = w.broadcast_sub(&mean)?.sqr()?.sum(1)?.mean(0)?.sqrt()?;
        let sigma = f64::from(spread.to_scalar::<f32>()?);
        assert!((found.sigma / sigma - 1.).abs() < 1e-4, "{found:?} {sigma}");
        let difference = (found.mean - mean)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(f64::from(difference) < 1e-4 * sigma, "{difference}");
        Ok(())
    }

    #[test]
    fn every_class_has_a_mean_of_its_own() -> Result<()> {
        let labelled = GeneratorConfig {
            c_dim: 2,
            ..GeneratorConfig::default()
        };
        let (_, network) = generator(labelled)?;
        let mean = |class: [f32; 2]| {
            let label = Tensor::new(&[class], &Device::Cpu)?;
            let statistics = WStatistics::estimate(
                network.mapping(),
                Some(&label),
                100,
                &Device::Cpu,
                &mut rng(),
            );
            statistics?.mean.flatten_all()?.to_vec1::<f32>()
        };
        assert_ne!(mean([1., 0.])?, mean([0., 1.])?);
        let without = WStatistics::estimate(network.mapping(), None, 100, &Device::Cpu, &mut rng());
        let message = without.unwrap_err().to_string();
        assert!(message.starts_with("mapping: expected c [N, 2], got none"));
        Ok(())
    }
}
