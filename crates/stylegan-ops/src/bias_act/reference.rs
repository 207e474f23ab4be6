//! bias_act as a composition of candle's own ops: the reference of the tests, and what runs on
//! devices without a kernel.

use candle_core::{Result, Tensor};

use super::{Activation, BiasAct};
use crate::channelwise::reference::modulate;

pub(crate) fn bias_act(
    x: &Tensor,
    scale: Option<&Tensor>,
    b: Option<&Tensor>,
    noise: Option<&Tensor>,
    config: &BiasAct,
) -> Result<Tensor> {
    let mut t = match scale {
        Some(scale) => modulate(x, scale)?,
        None => x.clone(),
    };
    if let Some(noise) = noise {
        t = t.broadcast_add(noise)?;
    }
    if let Some(b) = b {
        let mut shape = vec![1; x.rank()];
        shape[1] = x.dim(1)?;
        t = t.broadcast_add(&b.reshape(shape)?)?;
    }
    // Comparisons instead of relu and clamp, which hide a NaN on some devices.
    let t = match config.act {
        Activation::Linear => t,
        Activation::LeakyRelu => t.gt(0.0)?.where_cond(&t, &(&t * config.alpha)?)?,
    };
    let y = t.affine(config.gain, 0.0)?;
    let Some(clamp) = config.clamp else {
        return Ok(y);
    };
    let limit = Tensor::full(clamp, y.shape(), y.device())?.to_dtype(y.dtype())?;
    let y = y.gt(clamp)?.where_cond(&limit, &y)?;
    y.lt(-clamp)?.where_cond(&limit.neg()?, &y)
}
