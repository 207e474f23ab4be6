//! The mapping network of StyleGAN and StyleGAN2: latents z and labels c to intermediate latents w.
//! ProGAN, which has none, is the case of no layers.
//!
//! [`Mapping`] computes w, [`broadcast`] hands one w to every layer of a synthesis network,
//! [`truncate`] pulls it towards the average w, and [`update_w_avg`] keeps that average. [`latents`] makes z of
//! seeds, and [`walk`] paths through latents.
//!
//! Source: Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks"
//! (2019), section 2 and appendix B (truncation), in the form of "Analyzing and Improving the Image
//! Quality of StyleGAN" (2020).
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_mapping::{Mapping, MappingConfig, broadcast, truncate};
//!
//! # fn main() -> candle_core::Result<()> {
//! let config = MappingConfig { z_dim: 64, w_dim: 32, num_layers: 2, ..MappingConfig::default() };
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
//!     Mapping::new(&config, vb)
//! })?;
//! let mapping = Mapping::new(&config, params.var_builder())?;
//!
//! let z = Tensor::randn(0f32, 1., (4, 64), &Device::Cpu)?;
//! let w = mapping.forward(Some(&z), None)?;
//! assert_eq!(w.dims(), [4, 32]);
//!
//! // Ten layers, the first four of them truncated.
//! let ws = broadcast(&w, 10)?;
//! let w_avg = mapping.w_avg().expect("the default configuration keeps an average");
//! let ws = truncate(&ws, w_avg, 0.7, Some(4))?;
//! assert_eq!(ws.dims(), [4, 10, 32]);
//! # Ok(())
//! # }
//! ```

mod config;
pub mod latents;
mod mapping;
mod w_space;
pub mod walk;

pub use config::{LabelInput, MappingConfig};
pub use mapping::Mapping;
pub use w_space::{Truncation, broadcast, truncate, update_w_avg};
