//! NumPy arrays in pickles.

use super::tensor::{Element, LazyTensor, column_major, row_major};
use crate::pickle::{ReadErrorKind, Result, View};

/// The array or number that a value stands for; none where it stands for something else.
///
/// Arrays are `_reconstruct(...)` with the state `(version, shape, dtype, is_fortran, bytes)`, or
/// `_frombuffer(bytes, dtype, shape, order)` in protocol 5; single numbers are `scalar(dtype, bytes)`.
pub(super) fn array<'t>(value: &View<'t, '_>) -> Result<Option<LazyTensor<'t>>> {
    let Some((module, name)) = value.callee() else {
        return Ok(None);
    };
    if value.object().is_none() || !is_numpy(module) {
        return Ok(None);
    }
    let (dtype, shape, is_fortran, bytes) = match name {
        "_reconstruct" => {
            let state = value
                .state()
                .ok_or_else(|| value.expected("an array with a state"))?;
            let [_, shape, dtype, is_fortran, bytes] = parts(&state)?;
            let is_fortran = is_fortran.bool() == Some(true) || is_fortran.int() == Some(1);
            (dtype, shape.to_sizes()?, is_fortran, bytes)
        }
        "_frombuffer" => {
            let args = value.args()?;
            let [bytes, dtype, shape, order] = parts(&args)?;
            (dtype, shape.to_sizes()?, order.to_text()? == "F", bytes)
        }
        "scalar" => {
            let args = value.args()?;
            let [dtype, bytes] = parts(&args)?;
            (dtype, Vec::new(), false, bytes)
        }
        _ => return Ok(None),
    };
    let (element, big_endian) = data_type(&dtype)?;
    let at_byte = bytes.offset();
    let data = bytes.to_bytes()?;
    LazyTensor {
        element,
        strides: if is_fortran {
            column_major(&shape)
        } else {
            row_major(&shape)
        },
        shape,
        first: 0,
        data,
        big_endian,
        path: value.path().to_string(),
        at_byte,
    }
    .checked()
    .map(Some)
}

/// NumPy 2 renamed `numpy.core`.
fn is_numpy(module: &str) -> bool {
    matches!(
        module,
        "numpy.core.multiarray"
            | "numpy._core.multiarray"
            | "numpy.core.numeric"
            | "numpy._core.numeric"
    )
}

/// `dtype("f4", False, True)` with the state `(3, "<", ...)`.
fn data_type(dtype: &View) -> Result<(Element, bool)> {
    let wrong = || dtype.expected("a NumPy data type");
    if !dtype.is_call_of("numpy", "dtype") {
        return Err(wrong());
    }
    let args = dtype.args()?.elements()?;
    let code = args.first().ok_or_else(wrong)?.to_text()?;
    let element = Element::of_numpy(code).ok_or_else(|| {
        let message = format!("arrays of the type {code:?} are not read");
        dtype.error(ReadErrorKind::Unsupported, message)
    })?;
    let state = dtype.state().map(|state| state.elements()).transpose()?;
    let order = state.as_ref().and_then(|state| state.get(1));
    Ok((element, order.and_then(|order| order.text()) == Some(">")))
}

/// The elements of a tuple of N.
fn parts<'t, 'a, const N: usize>(tuple: &View<'t, 'a>) -> Result<[View<'t, 'a>; N]> {
    let elements = tuple.elements()?;
    <[View; N]>::try_from(elements).map_err(|_| tuple.expected(&format!("a tuple of {N}")))
}
