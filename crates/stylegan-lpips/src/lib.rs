//! LPIPS: how different two pictures are to VGG16, which agrees with people better than distances of pixels.
//!
//! [`Vgg16`] gives the feature maps of five of its layers. [`Lpips`] scales those of every pixel to unit length,
//! weights their channels, and takes the mean squared difference. [`Lpips::read`] takes the weights from a
//! safetensors file, which the user makes: none come with this crate.
//!
//! Sources: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018),
//! section 3; Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
//! (2015), configuration D.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//! use stylegan_checkpoint::ParamStore;
//! use stylegan_lpips::{Lpips, Vgg16Config};
//! use stylegan_ops::autograd;
//!
//! # fn main() -> candle_core::Result<()> {
//! // A narrow network with random weights; those of a file come from `Lpips::read`.
//! let config = Vgg16Config { widths: [4, 8, 8, 8, 8] };
//! let mut rng = ChaCha8Rng::seed_from_u64(0);
//! let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
//!     Lpips::new(&config, vb)
//! })?;
//! let lpips = Lpips::new(&config, params.frozen_var_builder())?;
//!
//! let a = Var::from_tensor(&Tensor::randn(0f32, 1., (2, 3, 32, 32), &Device::Cpu)?)?;
//! let b = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! let distance = lpips.distance(&a, &b)?;
//! assert_eq!(distance.dims(), [2]);
//! // Differentiable, so that a picture can be moved towards another.
//! let gradients = autograd::backward(&distance)?;
//! assert_eq!(gradients.require("a", &a)?.dims(), a.dims());
//! # Ok(())
//! # }
//! ```

mod error;
mod file;
mod lpips;
mod vgg;

pub use error::LpipsError;
pub use lpips::Lpips;
pub use vgg::{Vgg16, Vgg16Config};
