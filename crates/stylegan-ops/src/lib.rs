//! Tensor operators of ProGAN, StyleGAN and StyleGAN2 on [candle](candle_core), differentiable as often as you like.
//!
//! | operator | what it computes |
//! |---|---|
//! | [`modulated_conv2d`], [`modulated_layer`] | convolution with weights scaled per sample by a style |
//! | [`PreparedLayer`] | the same layer of a weight that doesn't change any more, faster |
//! | [`conv2d_resample`] | convolution with up- or downsampling |
//! | [`conv2d`], [`conv_transpose2d`], [`conv2d_weight_gradient`] | the convolution family, closed under differentiation |
//! | [`upfirdn2d`], [`upsample2d`], [`downsample2d`] | resampling with a [`Filter`] |
//! | [`bias_act`], [`scaled_bias_act`] | bias, noise, activation, gain and clamp |
//! | [`blur2d`], [`nearest_upsample2d`], [`average_pool2d`], [`rotate180`] | resampling of the first generation |
//! | [`max_pool2d`] | pooling of the networks that measure distances |
//! | [`add_noise`] | noise with a strength per channel |
//! | [`adain`], [`instance_norm`], [`pixel_norm`], [`minibatch_std`], [`normalize_2nd_moment`] | normalisations |
//! | [`modulate`], [`channel_dot`], [`channel_sum`], [`channel_affine`] | products and sums per channel |
//! | [`pixel_modulate`], [`pixel_dot`], [`pixel_sum`] | products and sums per pixel |
//! | [`add`] | sums, on all cores |
//! | [`growing`] | level of detail and cross-fade of progressive growing |
//! | [`nn`] | the equalized-learning-rate layers that the networks share |
//!
//! Tensors are NCHW, `f32` or `f64`. On the CPU every operator has a kernel that uses all cores and
//! gives the same result on any number of threads; on CUDA and Metal it is a composition of candle's
//! own operators. Kernels use the widest instructions of the machine (AVX-512, AVX2 or NEON) and the faster
//! algorithm for the sizes; two environment variables force the choice, for tests and comparisons:
//! `STYLEGAN_SIMD` (`avx512`, `avx2`, `neon`, `portable`) and `STYLEGAN_CONV` (`auto`, `direct`, `winograd`:
//! where it applies). Regularizers differentiate gradients: [`autograd`] keeps that safe.
//!
//! ```
//! use candle_core::{Device, Result, Tensor, Var};
//! use stylegan_ops::{Filter, ModulatedConv2d, autograd, modulated_conv2d};
//!
//! # fn main() -> Result<()> {
//! let device = Device::Cpu;
//! let x = Tensor::ones((2, 3, 8, 8), candle_core::DType::F32, &device)?;
//! let weight = Var::ones((5, 3, 3, 3), candle_core::DType::F32, &device)?;
//! let style = Tensor::new(&[[1f32, 2.0, 3.0], [3.0, 2.0, 1.0]], &device)?;
//! let config = ModulatedConv2d { up: 2, padding: 1, demodulate: true, gain: 1.0 };
//! let y = modulated_conv2d(&x, &weight, &style, &Filter::default(), &config)?;
//! assert_eq!(y.dims(), [2, 5, 16, 16]);
//! let gradients = autograd::backward(&y.sqr()?.sum_all()?)?;
//! assert_eq!(gradients.require("weight", &weight)?.dims(), weight.dims());
//! # Ok(())
//! # }
//! ```

mod add;
pub mod autograd;
mod bias_act;
mod buffer;
mod channelwise;
mod check;
mod combine;
mod conv;
mod fused;
mod gather;
mod gemm;
pub mod growing;
mod kernel;
mod max_pool;
mod modulated;
pub mod nn;
mod noise;
mod norm;
mod parallel;
mod pointwise;
mod prepared;
mod resample;
mod simd;
mod slices;
mod sums;
#[cfg(test)]
mod tests;
mod upfirdn2d;

pub use add::add;
pub use bias_act::{Activation, BiasAct, bias_act, scaled_bias_act};
pub use channelwise::{
    channel_affine, channel_dot, channel_sum, modulate, pixel_dot, pixel_modulate, pixel_sum,
};
pub use conv::{
    Conv2d, Precision, Scale, WeightLayout, conv_transpose2d, conv2d, conv2d_weight_gradient,
};
pub use max_pool::max_pool2d;
pub use modulated::{ModulatedConv2d, modulated_conv2d, modulated_layer};
pub use noise::add_noise;
pub use norm::{adain, instance_norm, minibatch_std, normalize_2nd_moment, pixel_norm};
pub use prepared::PreparedLayer;
pub use resample::{ConvResample, conv2d_resample, rotate180};
pub use upfirdn2d::{
    Filter, UpFirDn2d, average_pool2d, blur2d, downsample2d, nearest_upsample2d, upfirdn2d,
    upsample2d,
};
