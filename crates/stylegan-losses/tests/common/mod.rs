//! The comparison of a network's gradients with reference values.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use stylegan_checkpoint::ParamStore;
use stylegan_ops::autograd::Gradients;

/// Allowed error of values, of the largest magnitude.
pub const FORWARD_TOLERANCE: f64 = 1e-4;
/// Allowed error of gradients, of the largest magnitude.
pub const GRADIENT_TOLERANCE: f64 = 1e-3;
/// A gradient whose largest magnitude is below this share of the largest one of its set is the
/// small rest of terms that cancel: its reference value, from f32, is known only to the rounding
/// errors of those terms. It is compared as if its magnitude were this share of the set's.
const CANCELLED: f64 = 1e-4;
/// A gradient that is zero by mathematics may be this share of the largest one of its set.
const ZERO: f64 = 1e-9;

/// Makes a test in f32 and one in f64 of every check, a function of a data type.
macro_rules! in_both_precisions {
    ($($check:ident => $f32:ident, $f64:ident;)*) => {$(
        #[test]
        fn $f32() -> Result<()> {
            $check(DType::F32)
        }

        #[test]
        fn $f64() -> Result<()> {
            $check(DType::F64)
        }
    )*};
}
pub(crate) use in_both_precisions;

/// Compares the gradients of all trainable parameters with the reference values `expected`, by
/// parameter; `what` is their name in messages.
///
/// Every reference value must belong to a parameter, and every parameter without one (or with
/// one that is zero throughout) must have a gradient of zero, or none.
pub fn check_gradients(
    what: &str,
    expected: &BTreeMap<String, Tensor>,
    params: &ParamStore,
    got: &Gradients,
) {
    assert!(!expected.is_empty(), "{what}: no reference values");
    for name in expected.keys() {
        let known = params.trainable().any(|(parameter, _)| parameter == name);
        assert!(known, "{what} {name}: no such parameter");
    }
    let largest = expected.values().map(magnitude).fold(0., f64::max);
    let mut failures = Vec::new();
    for (name, var) in params.trainable() {
        if let Err(problem) = compare(name, expected.get(name), got.get(var), largest) {
            failures.push(problem);
        }
    }
    let failures = failures.join("\n  ");
    assert!(failures.is_empty(), "{what}:\n  {failures}");
}

fn compare(
    name: &str,
    expected: Option<&Tensor>,
    got: Option<&Tensor>,
    largest: f64,
) -> std::result::Result<(), String> {
    let expected = expected.filter(|expected| magnitude(expected) > 0.);
    match (expected, got) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("{name}: no gradient")),
        (None, Some(got)) if magnitude(got) <= ZERO * largest => Ok(()),
        (None, Some(got)) => Err(format!(
            "{name}: expected zero, got up to {:.2e}",
            magnitude(got)
        )),
        (Some(expected), Some(got)) => {
            let difference = (got - expected).map_err(|e| format!("{name}: {e}"))?;
            let scale = magnitude(expected).max(CANCELLED * largest);
            let error = magnitude(&difference) / scale;
            if error <= GRADIENT_TOLERANCE {
                return Ok(());
            }
            Err(format!("{name}: relative error {error:.2e}"))
        }
    }
}

/// The largest magnitude; infinite where a number is not finite.
fn magnitude(tensor: &Tensor) -> f64 {
    let values: Vec<f64> = tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(DType::F64)?.to_vec1())
        .expect("values of a tensor");
    values.iter().fold(0., |largest, value| {
        if value.is_finite() {
            value.abs().max(largest)
        } else {
            f64::INFINITY
        }
    })
}
