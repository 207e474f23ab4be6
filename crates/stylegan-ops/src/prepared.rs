//! Modulated layers whose weights don't change any more.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use crate::bias_act::BiasAct;
use crate::conv::Precision;
use crate::fused::{ModulatedLayer, Prepared};
use crate::modulated::{ModulatedConv2d, layer};
use crate::upfirdn2d::Filter;

/// [`modulated_layer`](crate::modulated_layer) of a weight that doesn't change any more: what every call would make
/// of the weight is made once.
///
/// On the CPU in f32 that is the sum of squares of every kernel, `[O,I]`, which demodulation needs, and of 3x3 kernels a
/// copy in the order in which the convolution reads it (weights of up to about 29000 kernels are also kept transformed
/// for Winograd's algorithm, which takes four times as much). So the layer takes about as much memory again as its weight.
/// Elsewhere nothing is prepared, and the layer is the same without it.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use stylegan_ops::{BiasAct, Filter, ModulatedConv2d, Precision, PreparedLayer};
///
/// # fn main() -> candle_core::Result<()> {
/// let w = Tensor::ones((32, 16, 3, 3), DType::F32, &Device::Cpu)?;
/// let config = ModulatedConv2d { up: 1, padding: 1, demodulate: true, gain: 1. };
/// let layer = PreparedLayer::new(&w, &Filter::default(), &config, Precision::F32)?;
/// let x = Tensor::ones((1, 16, 8, 8), DType::F32, &Device::Cpu)?;
/// let s = Tensor::ones((1, 16), DType::F32, &Device::Cpu)?;
/// let y = layer.forward(&x, &s, None, None, &BiasAct::lrelu())?;
/// assert_eq!(y.dims(), [1, 32, 8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PreparedLayer {
    w: Tensor,
    filter: Filter,
    config: ModulatedConv2d,
    prepared: Option<Arc<Prepared>>,
}

impl PreparedLayer {
    /// Prepares a weight `[O,I,k,k]`, of which the layer keeps a copy of its own.
    ///
    /// With [`Precision::Bf16`], 3x3 kernels of layers whose pictures are more than a few pixels are multiplied with
    /// transformed pixels in bf16, and added up in f32; everything else stays as it is.
    ///
    /// # Errors
    /// If the weight has another rank, or is a variable or depends on one: that changes in training. And if products in
    /// bf16 are asked for where there are none: on other devices than the CPU, or in another data type than f32.
    pub fn new(
        w: &Tensor,
        filter: &Filter,
        config: &ModulatedConv2d,
        precision: Precision,
    ) -> Result<Self> {
        if w.track_op() {
            bail!("prepared layer: expected a weight that doesn't change any more, got a variable")
        }
        let w = w.force_contiguous()?;
        let prepared = Prepared::new(&w, config, precision)?;
        if precision == Precision::Bf16 && prepared.is_none() {
            bail!(
                "prepared layer: expected a weight in f32 on the CPU for products in bf16, got {:?} on {:?}",
                w.dtype(),
                w.device().location()
            )
        }
        Ok(Self {
            prepared: prepared.map(Arc::new),
            w,
            filter: filter.clone(),
            config: *config,
        })
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        &self.w
    }

    /// The layer's result, as [`modulated_layer`](crate::modulated_layer) describes it. The inputs may need gradients.
    ///
    /// # Errors
    /// As [`modulated_layer`](crate::modulated_layer).
    pub fn forward(
        &self,
        x: &Tensor,
        s: &Tensor,
        b: Option<&Tensor>,
        noise: Option<&Tensor>,
        act: &BiasAct,
    ) -> Result<Tensor> {
        layer(&ModulatedLayer {
            x,
            w: &self.w,
            s,
            filter: &self.filter,
            config: &self.config,
            b,
            noise,
            act,
            prepared: self.prepared.as_deref(),
        })
    }
}
