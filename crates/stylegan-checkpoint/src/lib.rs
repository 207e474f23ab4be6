//! Named parameter stores and safetensors checkpoints for StyleGAN.
//!
//! - [`ParamStore`] owns the weights of one network as candle `Var`s, sorted by name. Networks are
//!   built from its [`var_builder`](ParamStore::var_builder) for training, or from its
//!   [`frozen_var_builder`](ParamStore::frozen_var_builder) where no gradient is wanted.
//! - [`Checkpoint`] is a safetensors file: named tensors and one JSON document.
//! - [`load_network`] fills a network from named tensors, strictly: every tensor that is missing,
//!   mis-shaped or not asked for is reported.
//! - [`tensorflow`] translates the variables of ProGAN and StyleGAN networks to our names and layout.
//! - [`archive`] and [`pickle`] read the files of other tools, without running anything in them.
//! - [`arrays`] reads and writes `.npy`, `.npz` and safetensors files of a few arrays, such as latents.
//! - [`write_atomically`] writes any file so that nobody ever reads half of it.
//!
//! Parameter names are those of the public StyleGAN checkpoints, e.g. `mapping.fc0.weight`.
//!
//! ```
//! use candle_core::{DType, Device, Result};
//! use candle_nn::{Init, Linear, Module, VarBuilder};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::{Checkpoint, ParamStore};
//!
//! fn build(vb: VarBuilder) -> Result<Linear> {
//!     let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
//!     let weight = vb.get_with_hints((3, 2), "weight", normal)?;
//!     Ok(Linear::new(weight, Some(vb.get(3, "bias")?)))
//! }
//!
//! # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! // Weights drawn from a seed.
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, build)?;
//! let network = build(params.var_builder())?;
//!
//! // Written, read back, and loaded into a second store.
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("network.safetensors");
//! let mut checkpoint = Checkpoint::new(serde_json::json!({ "images_seen": 1000 }));
//! checkpoint.insert_section("G.", params.to_tensors());
//! checkpoint.write(&file)?;
//!
//! let checkpoint = Checkpoint::read(&file, &Device::Cpu)?;
//! assert_eq!(checkpoint.metadata["images_seen"], 1000);
//! let params = checkpoint.load_network("G.", DType::F32, &Device::Cpu, build)?;
//! let copy = build(params.frozen_var_builder())?;
//!
//! let x = candle_core::Tensor::ones((1, 2), DType::F32, &Device::Cpu)?;
//! assert_eq!(network.forward(&x)?.to_vec2::<f32>()?, copy.forward(&x)?.to_vec2::<f32>()?);
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod arrays;
mod checkpoint;
mod error;
mod file;
mod init;
mod load;
pub mod pickle;
mod store;
pub mod tensorflow;

pub use checkpoint::Checkpoint;
pub use error::{CheckpointError, Mismatch, Result, TensorProblems};
pub use file::write_atomically;
pub use load::load_network;
pub use store::{ParamStore, is_buffer};
