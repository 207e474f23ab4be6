//! Latents of seeds against NumPy's.

use candle_core::{DType, Result, Tensor};
use stylegan_goldens::device;
use stylegan_mapping::latents;

/// `seed85_dim512` -> (85, 512).
fn parse(key: &str) -> Option<(u32, usize)> {
    let (seed, dim) = key.strip_prefix("seed")?.split_once("_dim")?;
    Some((seed.parse().ok()?, dim.parse().ok()?))
}

fn goldens() -> Result<Vec<(u32, usize, Tensor)>> {
    let mut goldens = Vec::new();
    for name in stylegan_goldens::names("stylegan2", "latents")? {
        for case in stylegan_goldens::load::<serde_json::Value>("stylegan2", &name, DType::F32)? {
            for (key, expected) in case.tensors {
                let (seed, dim) = parse(&key).unwrap_or_else(|| panic!("{name}: odd key {key}"));
                goldens.push((seed, dim, expected));
            }
        }
    }
    assert!(!goldens.is_empty(), "the golden file holds no latents");
    Ok(goldens)
}

#[test]
fn golden_latents_of_seeds_match_numpy() -> Result<()> {
    for (seed, dim, expected) in goldens()? {
        let got = latents::from_seeds(&[seed], dim, device())?;
        assert_eq!(got.dims(), expected.dims(), "seed {seed}");
        let got = got.flatten_all()?.to_vec1::<f32>()?;
        for (i, (g, e)) in got
            .iter()
            .zip(expected.flatten_all()?.to_vec1::<f32>()?)
            .enumerate()
        {
            // The last bit of a platform's logarithm may round another way.
            let unit = e.abs() * f32::EPSILON;
            assert!(
                (g - e).abs() <= unit,
                "seed {seed}, value {i}: got {g}, expected {e}"
            );
        }
    }
    Ok(())
}

#[test]
fn golden_latents_in_a_batch_are_those_of_each_seed() -> Result<()> {
    let (seed, dim, expected) = goldens()?.swap_remove(0);
    let batch = latents::from_seeds(&[seed.wrapping_add(1), seed], dim, device())?;
    stylegan_goldens::assert_close("second row", &batch.narrow(0, 1, 1)?, &expected, 1e-6);
    let first = batch.get(0)?.to_vec1::<f32>()?;
    assert_ne!(first, batch.get(1)?.to_vec1::<f32>()?);
    Ok(())
}
