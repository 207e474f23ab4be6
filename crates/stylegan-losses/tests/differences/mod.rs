//! Gradients by finite differences.

use candle_core::{Result, Tensor, Var};
use stylegan_goldens::device;
use stylegan_ops::autograd::Gradients;

const STEP: f64 = 1e-6;

/// The gradient of `loss` for every element of `var`, an f64, by central differences.
fn by_differences(var: &Var, loss: impl Fn() -> Result<f64>) -> Result<Tensor> {
    let start = var.copy()?;
    let values: Vec<f64> = start.flatten_all()?.to_vec1()?;
    let at = |i: usize, offset: f64| -> Result<f64> {
        let mut values = values.clone();
        values[i] += offset;
        var.set(&Tensor::from_vec(values, var.dims(), device())?)?;
        loss()
    };
    let slope = |i| Ok((at(i, STEP)? - at(i, -STEP)?) / (2. * STEP));
    let slopes: Vec<f64> = (0..values.len()).map(slope).collect::<Result<_>>()?;
    var.set(&start)?;
    Tensor::from_vec(slopes, var.dims(), device())
}

/// Compares `gradients` with those of `loss` by central differences, to 1e-7. A variable without a
/// gradient must have no influence.
pub fn assert_gradients(
    gradients: &Gradients,
    vars: &[(&str, &Var)],
    loss: impl Fn() -> Result<f64>,
) -> Result<()> {
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    for (name, var) in vars {
        let expected = by_differences(var, &loss)?;
        let got = match gradients.get(var) {
            Some(gradient) => gradient.clone(),
            None => expected.zeros_like()?,
        };
        let error = largest(&(got - &expected)?)?;
        assert!(error < 1e-7, "{name}: off by {error:.1e}");
    }
    Ok(())
}
