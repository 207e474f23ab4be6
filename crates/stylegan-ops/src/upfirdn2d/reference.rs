//! upfirdn2d as a composition of candle's own ops: the reference of the tests, and what runs on
//! devices without a kernel.

use candle_core::{Result, Tensor};

use super::{Filter, UpFirDn2d};
use crate::slices::{pad, spread, strided};

pub(crate) fn upfirdn2d(
    x: &Tensor,
    filter: &Filter,
    config: &UpFirDn2d,
    output: [usize; 2],
) -> Result<Tensor> {
    let [x0, x1, y0, y1] = config.padding;
    let x = pad(&spread(x, 2, config.up)?, 2, y0, y1)?;
    let x = pad(&spread(&x, 3, config.up)?, 3, x0, x1)?;
    let [kh, kw] = filter.dims();
    let mut sum: Option<Tensor> = None;
    for ky in 0..kh {
        let rows = strided(&x, 2, ky, config.down, output[0])?;
        for kx in 0..kw {
            let tap = if config.flip_filter {
                filter.at(ky, kx)
            } else {
                filter.at(kh - 1 - ky, kw - 1 - kx)
            };
            let term =
                strided(&rows, 3, kx, config.down, output[1])?.affine(tap * config.gain, 0.0)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
    }
    match sum {
        Some(sum) => Ok(sum),
        None => candle_core::bail!("upfirdn2d: the filter has no taps"),
    }
}
