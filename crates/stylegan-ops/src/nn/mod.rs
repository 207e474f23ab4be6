//! Layers that the networks share: equalized-learning-rate layers, the resampling filter of a
//! layer, the block architectures and the pyramid of block resolutions.
//!
//! **Equalized learning rate** (Karras et al. 2018, section 4.1): a stored weight has unit variance
//! and is multiplied at run time by `gain = lr_multiplier / sqrt(fan_in)`, so that Adam, whose steps
//! do not depend on a parameter's scale, learns all layers at the same speed. A bias is multiplied
//! by `lr_multiplier`. [`Scaling`] and [`Resampling`] say how the layers of the first generation
//! (ProGAN, StyleGAN) differ from those of StyleGAN2.
//!
//! Layers are built from a [`VarBuilder`], whose path is the public parameter name of the layer.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, VarBuilder, VarMap};
//! use stylegan_ops::{BiasAct, nn};
//!
//! # fn main() -> candle_core::Result<()> {
//! let vars = VarMap::new();
//! let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
//! let config = nn::FullyConnectedConfig {
//!     act: BiasAct::lrelu(),
//!     ..nn::FullyConnectedConfig::new(16, 8)
//! };
//! let layer = nn::FullyConnected::new(config, vb.pp("fc0"))?;
//! let y = layer.forward(&Tensor::ones((4, 16), DType::F32, &Device::Cpu)?)?;
//! assert_eq!(y.dims(), [4, 8]);
//! # Ok(())
//! # }
//! ```

mod conv;
mod fully_connected;
mod pyramid;
mod scaling;

pub use conv::{Conv2dConfig, Conv2dLayer};
pub use fully_connected::{FullyConnected, FullyConnectedConfig};
pub use pyramid::Pyramid;
pub use scaling::{FirstGeneration, FusedScale, Nonlinearity, Resampling, Scaling, WeightScale};

use candle_core::{Result, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::Filter;
use crate::growing::Lod;

/// How the blocks of a synthesis network or a discriminator are joined (Karras et al. 2020,
/// figure 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Every block has its own image input or output, and the resampled images are summed.
    Skip,
    /// Every block adds a resampled 1x1 convolution of its input, both branches times sqrt(1/2).
    Resnet,
    /// A plain chain, with the image at its end only.
    Orig,
    /// A chain that grows: every block has an image input or output of its own, of which one is used, or two
    /// while a resolution fades in (Karras et al. 2018, section 2; see [`Lod`]).
    Progressive,
}

impl Architecture {
    /// Checks that a network of this architecture and resolution can stand at a level of detail.
    ///
    /// # Errors
    /// If it isn't progressive and the level isn't that of the full resolution, or the level leaves less than
    /// 4x4 pixels.
    pub fn check_lod(self, lod: Lod, img_resolution: usize) -> Result<()> {
        if lod == Lod::FULL {
            return Ok(());
        }
        if self != Self::Progressive {
            bail!("lod: expected 0, since the architecture {self:?} doesn't grow, got {lod}")
        }
        let lowest = img_resolution.max(4).ilog2() - 2;
        if lod.get() > f64::from(lowest) {
            bail!(
                "lod: expected at most {lowest}, the halvings from {img_resolution} to 4 pixels, got {lod}"
            )
        }
        Ok(())
    }
}

/// The resampling filter of the layer that `vb` points at: the buffer `resample_filter` where one is
/// stored, else `default`.
///
/// Public checkpoints store one with every layer. New networks store none, since their filter is
/// part of the configuration: this function never asks `vb` to create one. What a network was
/// loaded with stays with it.
///
/// # Errors
/// If the stored filter does not have the shape of `default`.
pub fn resample_filter(default: &Filter, vb: &VarBuilder) -> Result<Filter> {
    const NAME: &str = "resample_filter";
    if vb.contains_tensor(NAME) {
        Filter::from_tensor(&vb.get(&default.dims(), NAME)?)
    } else {
        Ok(default.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn builder(tensors: HashMap<String, Tensor>) -> VarBuilder<'static> {
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    #[test]
    fn a_stored_resample_filter_replaces_the_default() -> Result<()> {
        let default = Filter::default();
        let stored = Filter::separable(&[1., 2., 2., 1.])?;
        let tensor = stored.to_tensor(DType::F32, &Device::Cpu)?;
        let tensors = HashMap::from([("conv0.resample_filter".to_string(), tensor)]);
        let vb = builder(tensors);
        let got = resample_filter(&default, &vb.pp("conv0"))?;
        let got = got.to_tensor(DType::F32, &Device::Cpu)?.to_vec2::<f32>()?;
        assert_eq!(
            got,
            stored
                .to_tensor(DType::F32, &Device::Cpu)?
                .to_vec2::<f32>()?
        );
        assert_eq!(resample_filter(&default, &vb.pp("conv1"))?, default);
        Ok(())
    }

    #[test]
    fn a_stored_resample_filter_of_another_size_is_an_error() -> Result<()> {
        let tensor = Filter::separable(&[1., 2., 1.])?.to_tensor(DType::F32, &Device::Cpu)?;
        let vb = builder(HashMap::from([("resample_filter".to_string(), tensor)]));
        let error = resample_filter(&Filter::default(), &vb)
            .unwrap_err()
            .to_string();
        assert!(error.contains("resample_filter"), "{error}");
        Ok(())
    }

    #[test]
    fn only_progressive_networks_grow_and_from_4x4_pixels_on() -> Result<()> {
        let error = |architecture: Architecture, lod| {
            let lod = Lod::new(lod).unwrap();
            architecture.check_lod(lod, 32).unwrap_err().to_string()
        };
        assert!(error(Architecture::Skip, 0.5).starts_with("lod: expected 0, since"));
        assert!(error(Architecture::Progressive, 3.1).starts_with("lod: expected at most 3"));
        Architecture::Progressive.check_lod(Lod::new(3.)?, 32)?;
        Architecture::Orig.check_lod(Lod::FULL, 32)
    }

    #[test]
    fn architectures_have_the_public_names() {
        let all = [
            Architecture::Skip,
            Architecture::Resnet,
            Architecture::Orig,
            Architecture::Progressive,
        ];
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(json, r#"["skip","resnet","orig","progressive"]"#);
    }
}
