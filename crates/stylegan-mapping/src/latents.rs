//! Latents z from seeds, the same as those of the public StyleGAN tools.
//!
//! A seed's latent is NumPy's `RandomState(seed).randn(1, z_dim)` rounded to f32, so the same seed
//! gives the same picture everywhere:
//!
//! - MT19937, seeded with `init_genrand` (Matsumoto and Nishimura, "Mersenne Twister" (1998), in the
//!   2002 version of the seeding).
//! - Uniform doubles of 53 bits from two outputs.
//! - Marsaglia's polar method ("A Convenient Method for Generating Normal Variables" (1964)), which
//!   gives two values at a time; the second is kept for the next call.
//!
//! ```
//! use candle_core::Device;
//! use stylegan_mapping::latents;
//!
//! # fn main() -> candle_core::Result<()> {
//! let z = latents::from_seeds(&[0, 85], 512, &Device::Cpu)?;
//! assert_eq!(z.dims(), [2, 512]);
//! assert_eq!(latents::from_seed(0, 2), [1.7640524, 0.4001572]);
//! # Ok(())
//! # }
//! ```

use candle_core::{Device, Result, Tensor};
use rand_mt::Mt;

/// The latent of one seed: `z_dim` values of N(0, 1).
pub fn from_seed(seed: u32, z_dim: usize) -> Vec<f32> {
    let mut normal = LegacyNormal::new(seed);
    std::iter::repeat_with(|| normal.sample() as f32)
        .take(z_dim)
        .collect()
}

/// The latents of several seeds as f32 `[seeds.len(), z_dim]`, each as [`from_seed`] gives it.
pub fn from_seeds(seeds: &[u32], z_dim: usize, device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = seeds
        .iter()
        .flat_map(|&seed| from_seed(seed, z_dim))
        .collect();
    Tensor::from_vec(values, (seeds.len(), z_dim), device)
}

/// The normal distribution of NumPy's legacy `RandomState`.
struct LegacyNormal {
    twister: Mt,
    spare: Option<f64>,
}

impl LegacyNormal {
    fn new(seed: u32) -> Self {
        Self {
            twister: Mt::new(seed),
            spare: None,
        }
    }

    /// Uniform in [0, 1), with 53 bits: 27 of the first output and 26 of the second.
    fn uniform(&mut self) -> f64 {
        let high = f64::from(self.twister.next_u32() >> 5);
        let low = f64::from(self.twister.next_u32() >> 6);
        (high * (1u64 << 26) as f64 + low) / (1u64 << 53) as f64
    }

    fn sample(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let r2 = x * x + y * y;
            if r2 < 1.0 && r2 != 0.0 {
                let scale = (-2.0 * r2.ln() / r2).sqrt();
                // NumPy hands out the second coordinate first.
                self.spare = Some(scale * x);
                return scale * y;
            }
        }
    }
}
