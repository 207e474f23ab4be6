//! The discriminator of ProGAN, StyleGAN and StyleGAN2: images, and labels where it has them, to one
//! logit each.
//!
//! One network in three configurations ([`DiscriminatorConfig`] says what they differ in). Those before
//! StyleGAN2 grow with training: [`Discriminator::at_lod`].
//!
//! Sources: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation"
//! (2018), section 2 and table 2; "A Style-Based Generator Architecture for Generative Adversarial
//! Networks" (2019), appendix C; "Analyzing and Improving the Image Quality of StyleGAN" (2020), section
//! 4; conditioning of StyleGAN2 after "Training Generative Adversarial Networks with Limited Data"
//! (2020).
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
//!
//! # fn main() -> candle_core::Result<()> {
//! let config = DiscriminatorConfig {
//!     img_resolution: 16,
//!     channel_base: 256,
//!     ..DiscriminatorConfig::default()
//! };
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
//!     Discriminator::new(&config, vb)
//! })?;
//! let discriminator = Discriminator::new(&config, params.var_builder())?;
//!
//! let images = Tensor::zeros((4, 3, 16, 16), DType::F32, &Device::Cpu)?;
//! let logits = discriminator.forward(&images, None)?;
//! assert_eq!(logits.dims(), [4, 1]);
//! # Ok(())
//! # }
//! ```

mod block;
mod config;
mod discriminator;
mod epilogue;
mod head;

pub use config::DiscriminatorConfig;
pub use discriminator::Discriminator;
pub use head::LabelHead;
