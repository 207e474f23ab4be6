//! The synthesis networks and generators of ProGAN, StyleGAN and StyleGAN2.
//!
//! [`Synthesis`] turns intermediate latents ws `[N, num_ws, w_dim]`, one per layer, into images.
//! [`Generator`] puts a mapping network in front of it. The families are one architecture:
//! [`GeneratorConfig`] has a table of what they differ in.
//!
//! Sources: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation"
//! (2018), section 2; "A Style-Based Generator Architecture for Generative Adversarial Networks" (2019),
//! section 2; "Analyzing and Improving the Image Quality of StyleGAN" (2020), sections 2 and 4 and
//! appendix B.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_ops::Precision;
//! use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode, SynthesisConfig};
//!
//! # fn main() -> candle_core::Result<()> {
//! let config = GeneratorConfig {
//!     z_dim: 64,
//!     synthesis: SynthesisConfig {
//!         w_dim: 64,
//!         img_resolution: 16,
//!         channel_base: 256,
//!         ..SynthesisConfig::default()
//!     },
//!     ..GeneratorConfig::default()
//! };
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
//!     Generator::new(&config, vb)
//! })?;
//! // Inference: no graph is recorded, and what a call would make of the weights is made once.
//! let generator = Generator::new(&config, params.frozen_var_builder())?.prepared(Precision::F32)?;
//!
//! let z = Tensor::randn(0f32, 1., (2, 64), &Device::Cpu)?;
//! let images = generator.forward(&z, None, 0.7, None, &mut NoiseMode::Random(&mut rng))?;
//! assert_eq!(images.dims(), [2, 3, 16, 16]);
//! # Ok(())
//! # }
//! ```

mod block;
mod config;
mod features;
mod generator;
mod layers;
mod noise;
mod synthesis;

pub use config::{GeneratorConfig, Layers, MappingOptions, StyledLayers, SynthesisConfig};
pub use features::FeatureMaps;
pub use generator::Generator;
pub use noise::{NoiseMap, NoiseMode};
pub use synthesis::Synthesis;
