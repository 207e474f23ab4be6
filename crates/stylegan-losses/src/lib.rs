//! Losses and regularizers of StyleGAN training, as pure functions.
//!
//! Tensors and closures go in, losses and new state come out; nothing is stored here. All losses
//! are per sample, `[N]`: the caller takes the mean and applies the weight.
//!
//! | what | functions |
//! |---|---|
//! | adversarial losses | [`AdversarialLoss`], [`logistic`], [`wgan`], [`hinge`] |
//! | classes | [`auxiliary_classifier`] |
//! | discriminator regularizers | [`r1_penalty`], [`r2_penalty`], [`wgan_gp`], [`drift`] |
//! | generator regularizers | [`path_length`], [`style_mixing_cutoff`], [`mix_styles`] |
//! | lazy regularization | [`lazy_adam`] |
//!
//! # Example
//!
//! R1 of a toy discriminator, `D(x) = w * sum(x^2)`, whose gradient is `2wx`:
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use stylegan_losses::r1_penalty;
//! use stylegan_ops::autograd;
//!
//! # fn main() -> candle_core::Result<()> {
//! let images = Tensor::ones((2, 3, 4, 4), candle_core::DType::F32, &Device::Cpu)?;
//! let w = Var::new(&[0.5f32], &Device::Cpu)?;
//! let r1 = r1_penalty(&images, |x| {
//!     x.sqr()?.flatten_from(1)?.sum_keepdim(1)?.broadcast_mul(&w)
//! })?;
//! assert_eq!(r1.penalty.to_vec1::<f32>()?, [48., 48.]);
//!
//! let gamma = 10.;
//! let loss = (r1.penalty.mean_all()? * (gamma / 2.))?;
//! let gradients = autograd::backward(&loss)?;
//! assert_eq!(gradients.require("w", &w)?.to_vec1::<f32>()?, [960.]);
//! # Ok(())
//! # }
//! ```

mod adversarial;
mod classifier;
mod lazy;
mod mixing;
mod path_length;
mod penalty;

pub use adversarial::{AdversarialLoss, hinge, logistic, wgan};
pub use classifier::auxiliary_classifier;
pub use lazy::{LazyAdam, lazy_adam};
pub use mixing::{mix_styles, style_mixing_cutoff};
pub use path_length::{PathLength, path_length, path_length_noise};
pub use penalty::{GradientPenalty, drift, r1_penalty, r2_penalty, wgan_gp};
