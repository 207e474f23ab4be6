//! Edits of a network's pictures: directions in the space of its w, and networks blended layer by layer.
//!
//! A [`Direction`] is a unit vector in w with the layers that it is meant for. Three ways find some:
//!
//! - [`factorize`]: what changes the styles of chosen layers the most (SeFa). Needs nothing but the weights.
//! - [`principal_components`]: where w varies the most (GANSpace). Needs samples of w.
//! - [`boundary`]: from one class of labelled latents to the other (InterFaceGAN).
//!
//! [`Directions`] keeps them under their names in a file, and [`Direction::apply`] adds one to latents. Strengths are
//! counted in standard deviations of w along a direction ([`WStatistics`]), unless told otherwise ([`Unit`]).
//!
//! [`blend`] makes a network of the low layers of one and the high layers of another.
//!
//! ```
//! use candle_core::{DType, Device};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_edit::{
//!     Directions, Factorization, NetworkKind, Rows, Unit, WStatistics, factorize,
//! };
//! use stylegan_mapping::latents;
//! use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode, SynthesisConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = GeneratorConfig {
//!     z_dim: 16,
//!     synthesis: SynthesisConfig {
//!         w_dim: 16,
//!         img_resolution: 16,
//!         channel_base: 128,
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
//! // How w is spread.
//! let seeds: Vec<u32> = (0..100).collect();
//! let z = latents::from_seeds(&seeds, config.z_dim, &Device::Cpu)?;
//! let mut statistics = WStatistics::new(config.w_dim());
//! statistics.push(&generator.mapping().forward(Some(&z), None)?)?;
//!
//! // The two directions that change the styles of the coarse layers the most.
//! let options = Factorization { layers: vec![0, 1, 2], count: 2, rows: Rows::AsTheyAre };
//! let found = factorize(generator.synthesis(), &options, &statistics)?;
//! let directions = Directions::new(NetworkKind::of(&config), found)?;
//!
//! // Two standard deviations along the first.
//! let ws = generator.ws(&z.narrow(0, 0, 1)?, None, 1., None)?;
//! let direction = directions.get("sefa0")?;
//! let edited = direction.apply(&ws, 2., Unit::Sigma, &direction.layers)?;
//! let picture = generator.synthesis().forward(&edited, &mut NoiseMode::Const)?;
//! assert_eq!(picture.dims(), [1, 3, 16, 16]);
//! # Ok(())
//! # }
//! ```

mod blend;
mod boundary;
mod direction;
mod directions;
mod error;
mod factorize;
mod linalg;
mod logistic;
mod principal;
mod random;
mod statistics;

pub use blend::{Blend, blend};
pub use boundary::{BoundaryOptions, boundary, classes_of_scores};
pub use direction::{Direction, Method, Unit, shared_w};
pub use directions::{Directions, NetworkKind};
pub use error::{EditError, Result};
pub use factorize::{Factorization, Rows, factorize};
pub use principal::principal_components;
pub use random::random_directions;
pub use statistics::WStatistics;
