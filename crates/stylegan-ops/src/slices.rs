//! Zero insertion, padding and strided slices from candle ops that differentiate twice. candle has
//! none of them for arbitrary dimensions and strides.

use candle_core::{Result, Tensor};

/// Puts `step - 1` zeros after every element of a dimension.
pub(crate) fn spread(x: &Tensor, dim: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    dims[dim] *= step;
    x.unsqueeze(dim + 1)?
        .pad_with_zeros(dim + 1, 0, step - 1)?
        .reshape(dims)
}

/// Adds zeros before and after a dimension; negative numbers remove elements.
pub(crate) fn pad(x: &Tensor, dim: usize, before: i64, after: i64) -> Result<Tensor> {
    let x = x.pad_with_zeros(dim, before.max(0) as usize, after.max(0) as usize)?;
    let cut = (-before).max(0) as usize;
    let len = x.dim(dim)? - cut - (-after).max(0) as usize;
    if len == x.dim(dim)? {
        Ok(x)
    } else {
        x.narrow(dim, cut, len)
    }
}

/// The `len` elements `start, start + step, ...` of a dimension.
pub(crate) fn strided(
    x: &Tensor,
    dim: usize,
    start: usize,
    step: usize,
    len: usize,
) -> Result<Tensor> {
    if step == 1 {
        return x.narrow(dim, start, len);
    }
    let missing = (start + len * step).saturating_sub(x.dim(dim)?);
    let x = x
        .pad_with_zeros(dim, 0, missing)?
        .narrow(dim, start, len * step)?
        .contiguous()?;
    let mut dims = x.dims().to_vec();
    dims[dim] = len;
    dims.insert(dim + 1, step);
    x.reshape(dims)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}
