//! Shape checks whose errors name the operator, the argument, what was expected and what was found.

use candle_core::{Result, Tensor, bail};

/// The dimensions of a `[N,C,H,W]` tensor, none of them zero.
pub(crate) fn dims4(op: &str, name: &str, t: &Tensor) -> Result<(usize, usize, usize, usize)> {
    match *t.dims() {
        [_, _, _, _] if t.elem_count() == 0 => {
            bail!(
                "{op}: expected {name} with at least one sample, channel and pixel, got {:?}",
                t.dims()
            )
        }
        [n, c, h, w] => Ok((n, c, h, w)),
        ref got => bail!("{op}: expected {name} of shape [N, C, H, W], got {got:?}"),
    }
}

/// Fails unless `t` has exactly the shape `expected`.
pub(crate) fn expect_shape(op: &str, name: &str, t: &Tensor, expected: &[usize]) -> Result<()> {
    if t.dims() != expected {
        bail!(
            "{op}: expected {name} of shape {expected:?}, got {:?}",
            t.dims()
        );
    }
    Ok(())
}
