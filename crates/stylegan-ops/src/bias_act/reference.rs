//! bias_act as a composition of candle's own ops: the reference of the tests, and what runs on
//! devices without a kernel.

use candle_core::{Result, Tensor};

use super::BiasAct;
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
    let slope = config.negative_slope();
    let y = ((t.relu()? * (1.0 - slope))? + (t * slope)?)?.affine(config.gain, 0.0)?;
    match config.clamp {
        Some(clamp) => y.clamp(-clamp, clamp),
        None => Ok(y),
    }
}
