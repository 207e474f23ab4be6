//! Projection: the latent from which a generator makes a given picture, or comes closest to it.
//!
//! A [`Projector`] starts from the mean w and moves w, or one w for every layer ([`Space`]), and with them the
//! noise maps, along the gradient of a [`Distance`] from the target. It works for every family of networks; ProGAN,
//! which has no mapping network, is projected to its normalised latent.
//!
//! A distance is a sum of terms, each the squared difference of what some [`Features`] see:
//!
//! | | what it compares | needs |
//! |---|---|---|
//! | [`LpipsFeatures`] | LPIPS with VGG16, as in the paper | weights that the user supplies |
//! | [`PixelPyramid`] | pixels at every scale | nothing |
//! | [`DiscriminatorFeatures`] | the layers of a discriminator | that of the network |
//!
//! Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), section 5 and
//! appendix D.
//!
//! ```
//! use candle_core::{DType, Device, Result};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_mapping::latents;
//! use stylegan_projection::{Distance, PixelPyramid, ProjectionConfig, Projector};
//! use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode, SynthesisConfig};
//!
//! # fn main() -> Result<()> {
//! let config = GeneratorConfig {
//!     z_dim: 16,
//!     synthesis: SynthesisConfig {
//!         w_dim: 16,
//!         img_resolution: 8,
//!         channel_base: 64,
//!         ..SynthesisConfig::default()
//!     },
//!     ..GeneratorConfig::default()
//! };
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
//!     Generator::new(&config, vb)
//! })?;
//! let generator = Generator::new(&config, params.frozen_var_builder())?;
//!
//! // A picture that the network made itself.
//! let z = latents::from_seeds(&[85], config.z_dim, &Device::Cpu)?;
//! let target = generator.forward(&z, None, 1., None, &mut NoiseMode::Const)?;
//!
//! let distance = Distance::from_target(&target).with(1., PixelPyramid)?;
//! let config = ProjectionConfig { steps: 50, w_samples: 500, ..ProjectionConfig::default() };
//! let mut projector = Projector::new(&generator, None, distance, &config)?;
//! while let Some(step) = projector.step()? {
//!     println!("{}: distance {:.4}", step.number, step.distance);
//! }
//! let projection = projector.projection()?;
//! assert!(projection.distance < projection.history[0].distance);
//! assert_eq!(projection.ws.dims(), [1, 4, 16]);
//! # Ok(())
//! # }
//! ```

mod config;
mod distance;
mod noise_maps;
mod objective;
mod projector;
mod start;
#[cfg(test)]
mod testing;

pub use config::{LearningRate, NoiseMaps, ProjectionConfig, Space, WNoise};
pub use distance::{DiscriminatorFeatures, Distance, Features, LpipsFeatures, PixelPyramid};
pub use noise_maps::autocorrelation;
pub use projector::{Projection, Projector, Step};
pub use start::WStatistics;
