//! The exponential moving average of the generator.

use candle_core::{Result, bail};
use stylegan_checkpoint::{ParamStore, is_buffer};

use crate::config::EmaConfig;
use crate::inplace::decay_towards;

/// The decay for a minibatch of `batch` images after `images_seen` ones:
/// `0.5^(batch / half_life)`, where the half-life is `kimg * 1000` images, and under ramp-up no
/// more than `images_seen * rampup`. 0 where the half-life is 0: the average is then the generator
/// itself.
///
/// "Training Generative Adversarial Networks with Limited Data" (Karras et al. 2020, appendix C).
pub fn ema_beta(config: &EmaConfig, batch: usize, images_seen: u64) -> f64 {
    let limit = config
        .rampup
        .map_or(f64::INFINITY, |rampup| images_seen as f64 * rampup);
    let half_life = (config.kimg * 1000.).min(limit);
    0.5f64.powf(batch as f64 / half_life)
}

/// Moves the average: `ema = source + (ema - source) * beta` for trainable parameters, in place.
/// Buffers are copied.
///
/// # Errors
/// Where the two networks don't have the same parameters.
pub fn update_ema(ema: &ParamStore, source: &ParamStore, beta: f64) -> Result<()> {
    if ema.len() != source.len() {
        bail!(
            "EMA: expected the {} tensors of the average, got {}",
            ema.len(),
            source.len()
        );
    }
    for (name, average) in ema.iter() {
        let Some(current) = source.get(name) else {
            bail!("EMA: the generator has no tensor {name}");
        };
        if is_buffer(name) {
            average.set(current)?;
        } else {
            decay_towards(average, &current.as_detached_tensor(), beta)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    fn store(weight: [f32; 2], w_avg: [f32; 2]) -> ParamStore {
        let tensor = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu).expect("tensor");
        let tensors = [("fc0.weight", tensor(weight)), ("w_avg", tensor(w_avg))];
        let tensors = tensors.map(|(name, t)| (name.to_string(), t));
        ParamStore::from_tensors(tensors.into()).expect("store")
    }

    #[test]
    fn weights_decay_by_the_given_factor_and_buffers_are_copied() -> Result<()> {
        let (ema, source) = (store([1., 2.], [5., 5.]), store([3., -2.], [7., 8.]));
        update_ema(&ema, &source, 0.75)?;
        let read = |name| -> Result<Vec<f32>> { ema.get(name).expect("var").to_vec1() };
        assert_eq!(read("fc0.weight")?, [1.5, 1.]);
        assert_eq!(read("w_avg")?, [7., 8.]);
        Ok(())
    }

    #[test]
    fn beta_halves_the_weight_of_the_past_every_half_life() {
        let config = EmaConfig {
            kimg: 10.,
            rampup: None,
            w_avg_beta: 0.995,
        };
        let beta = ema_beta(&config, 32, 0);
        assert!((beta.powf(10_000. / 32.) - 0.5).abs() < 1e-12);
        assert!((beta - 0.997_784_3).abs() < 1e-7);
    }

    #[test]
    fn rampup_limits_the_half_life_to_a_fraction_of_the_images_seen() {
        let config = EmaConfig {
            kimg: 10.,
            rampup: Some(0.05),
            w_avg_beta: 0.995,
        };
        assert_eq!(ema_beta(&config, 32, 0), 0.);
        let early = ema_beta(&config, 32, 2_000);
        assert!((early.powf(100. / 32.) - 0.5).abs() < 1e-12);
        let late = ema_beta(&config, 32, 1_000_000);
        assert!((late.powf(10_000. / 32.) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn networks_with_other_parameters_are_refused() {
        let ema = store([1., 2.], [0., 0.]);
        let other = Tensor::new(&[1f32], &Device::Cpu).expect("tensor");
        let other = ParamStore::from_tensors([("x".to_string(), other)].into()).expect("store");
        assert!(update_ema(&ema, &other, 0.5).is_err());
    }
}
