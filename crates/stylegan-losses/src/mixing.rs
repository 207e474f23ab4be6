//! Style mixing regularization.

use candle_core::{Result, Tensor, bail};
use rand::{Rng, RngExt};

/// With `probability`, the layer from which a second w takes over, uniform in `1..num_ws`; `None`
/// where this batch is not mixed.
///
/// One uniform number decides whether, a second one from where. Of a generator that is growing,
/// `num_ws` counts the layers that are active.
///
/// "A Style-Based Generator Architecture" (Karras et al. 2019, section 3.1).
///
/// # Errors
/// Where `probability` is not in [0, 1], or `num_ws` leaves nothing to mix.
pub fn style_mixing_cutoff(
    probability: f64,
    num_ws: usize,
    rng: &mut dyn Rng,
) -> Result<Option<usize>> {
    if !(0. ..=1.).contains(&probability) {
        bail!("style mixing: expected a probability in 0..=1, got {probability}");
    }
    if num_ws < 2 {
        bail!("style mixing: expected at least 2 layers, got {num_ws}");
    }
    if !rng.random_bool(probability) {
        return Ok(None);
    }
    Ok(Some(rng.random_range(1..num_ws)))
}

/// The ws `[N, num_ws, w_dim]` whose layers before `cutoff` are those of `first` and from `cutoff`
/// on those of `second`.
///
/// # Errors
/// Where the shapes differ or are not three-dimensional, or `cutoff` is not in `1..num_ws`.
pub fn mix_styles(first: &Tensor, second: &Tensor, cutoff: usize) -> Result<Tensor> {
    let (_, num_ws, _) = first.dims3()?;
    if first.dims() != second.dims() {
        bail!(
            "style mixing: expected two ws of one shape, got {:?} and {:?}",
            first.dims(),
            second.dims()
        );
    }
    if !(1..num_ws).contains(&cutoff) {
        bail!("style mixing: expected a cutoff in 1..{num_ws}, got {cutoff}");
    }
    Tensor::cat(
        &[
            first.narrow(1, 0, cutoff)?,
            second.narrow(1, cutoff, num_ws - cutoff)?,
        ],
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn cutoffs_cover_every_inner_layer_at_the_given_rate() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (draws, num_ws) = (20_000, 6);
        let mut counts = vec![0usize; num_ws];
        for _ in 0..draws {
            // Index 0, which no cutoff takes, counts the batches that are not mixed.
            counts[style_mixing_cutoff(0.9, num_ws, &mut rng)?.unwrap_or(0)] += 1;
        }
        let near = |count: usize, rate: f64| (count as f64 / draws as f64 - rate).abs() < 0.01;
        assert!(near(counts[0], 0.1), "{counts:?}");
        assert!(counts[1..].iter().all(|&c| near(c, 0.18)), "{counts:?}");
        Ok(())
    }

    #[test]
    fn probability_zero_never_mixes_and_one_always() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..100 {
            assert_eq!(style_mixing_cutoff(0., 4, &mut rng)?, None);
            assert!(style_mixing_cutoff(1., 4, &mut rng)?.is_some());
        }
        Ok(())
    }

    #[test]
    fn mixing_takes_the_layers_from_the_cutoff_on() -> Result<()> {
        let zeros = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?;
        let ones = zeros.ones_like()?;
        let mixed = mix_styles(&zeros, &ones, 1)?;
        let layers: Vec<f32> = mixed.sum(2)?.get(0)?.to_vec1()?;
        assert_eq!(layers, [0., 3., 3., 3.]);
        Ok(())
    }

    #[test]
    fn bad_arguments_are_refused() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        assert!(style_mixing_cutoff(1.5, 4, &mut rng).is_err());
        assert!(style_mixing_cutoff(f64::NAN, 4, &mut rng).is_err());
        assert!(style_mixing_cutoff(0.5, 1, &mut rng).is_err());
        let ws = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?;
        assert!(mix_styles(&ws, &ws, 0).is_err());
        assert!(mix_styles(&ws, &ws, 4).is_err());
        assert!(mix_styles(&ws, &ws.narrow(0, 0, 1)?, 2).is_err());
        Ok(())
    }
}
