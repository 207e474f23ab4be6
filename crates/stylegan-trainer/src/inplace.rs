//! Updates of parameters in place: on all cores of the CPU, by candle's own ops elsewhere.
//!
//! Every element is computed from its own old value alone, so results don't depend on the number
//! of threads.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use rayon::prelude::*;

/// Elements per task. Smaller tensors are not worth waking a thread for.
const CHUNK: usize = 1 << 15;

/// `x = target + (x - target) * decay`: exact at decay 0, and at rest where `x` is `target`.
pub(crate) fn decay_towards(x: &Var, target: &Tensor, decay: f64) -> Result<()> {
    same_shape(x, target)?;
    if !on_cpu(x)? {
        let old = x.as_detached_tensor();
        return x.set(&composed::decay_towards(&old, target, decay)?);
    }
    let target = target.contiguous()?;
    let decay = decay as f32;
    let update = |x: &mut [f32], target: &[f32]| {
        let chunks = x.par_chunks_mut(CHUNK).zip(target.par_chunks(CHUNK));
        chunks.for_each(|(x, target)| {
            for (x, t) in x.iter_mut().zip(target) {
                *x = t + (*x - t) * decay;
            }
        });
    };
    modify(x, |x| read(&target, |target| update(x, target)))?
}

/// The numbers of an [`adam_step`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamNumbers {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// The learning rate over the first moment's correction.
    pub(crate) step: f64,
    /// One over the root of the second moment's correction.
    pub(crate) v_scale: f64,
    pub(crate) eps: f64,
}

/// `m = g + (m - g) * beta1`, `v = v * beta2 + g^2 * (1 - beta2)`, then
/// `x = x - step * m / (sqrt(v) * v_scale + eps)`, in one pass.
pub(crate) fn adam_step(x: &Var, m: &Var, v: &Var, g: &Tensor, n: AdamNumbers) -> Result<()> {
    for other in [m, v, g] {
        same_shape(x, other)?;
    }
    if !on_cpu(x)? {
        return composed::adam_step(x, m, v, g, n);
    }
    let g = g.contiguous()?;
    let (beta1, keep, take) = (n.beta1 as f32, n.beta2 as f32, (1. - n.beta2) as f32);
    let [step, v_scale, eps] = [n.step, n.v_scale, n.eps].map(|value| value as f32);
    let update = |x: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]| {
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        let inputs = moments.zip(g.par_chunks(CHUNK));
        x.par_chunks_mut(CHUNK)
            .zip(inputs)
            .for_each(|(x, ((m, v), g))| {
                for (x, ((m, v), g)) in x.iter_mut().zip(m.iter_mut().zip(v).zip(g)) {
                    *m = g + (*m - g) * beta1;
                    *v = *v * keep + g * g * take;
                    *x -= step * *m / (v.sqrt() * v_scale + eps);
                }
            });
    };
    let with_gradient =
        |x: &mut [f32], m: &mut [f32], v: &mut [f32]| read(&g, |g| update(x, m, v, g));
    modify(x, |x| modify(m, |m| modify(v, |v| with_gradient(x, m, v))))???
}

/// The same updates by candle's ops, for devices without kernels of ours.
mod composed {
    use super::{AdamNumbers, Result, Tensor, Var};

    pub(super) fn decay_towards(x: &Tensor, target: &Tensor, decay: f64) -> Result<Tensor> {
        target + ((x - target)? * decay)?
    }

    pub(super) fn adam_step(x: &Var, m: &Var, v: &Var, g: &Tensor, n: AdamNumbers) -> Result<()> {
        m.set(&decay_towards(&m.as_detached_tensor(), g, n.beta1)?)?;
        let old = v.as_detached_tensor();
        v.set(&((old * n.beta2)? + (g.sqr()? * (1. - n.beta2))?)?)?;
        let root = v.as_detached_tensor().sqrt()?.affine(n.v_scale, n.eps)?;
        let direction = (m.as_detached_tensor() / root)?;
        x.set(&(x.as_detached_tensor() - (direction * n.step)?)?)
    }
}

/// Whether every element is a finite number.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        // Zero times infinity or NaN is NaN.
        let zero = (x * 0.)?.sum_all()?.to_dtype(DType::F64)?;
        return Ok(zero.to_scalar::<f64>()? == 0.);
    }
    let finite = |chunk: &[f32]| chunk.iter().all(|v| v.is_finite());
    read(&x.contiguous()?, |values| {
        values.par_chunks(CHUNK).all(finite)
    })
}

fn same_shape(x: &Tensor, other: &Tensor) -> Result<()> {
    if x.dims() != other.dims() {
        bail!(
            "parameter update: expected a tensor of shape {:?}, got {:?}",
            x.dims(),
            other.dims()
        );
    }
    Ok(())
}

fn on_cpu(x: &Var) -> Result<bool> {
    if x.dtype() != DType::F32 {
        bail!("parameter update: expected f32, got {:?}", x.dtype());
    }
    Ok(x.device().is_cpu())
}

/// Calls `work` with the elements of a variable.
fn modify<R>(x: &Var, work: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let call = Modify(Cell::new(Some(work)), Cell::new(None));
    x.inplace_op1(&call)?;
    match call.1.take() {
        Some(result) => Ok(result),
        None => bail!("parameter update: candle skipped it"),
    }
}

/// Calls `work` with the elements of a contiguous tensor.
fn read<R>(x: &Tensor, work: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
            Ok(work(&values[start..end]))
        }
        _ => bail!("expected a contiguous f32 tensor on the CPU, got {layout:?}"),
    }
}

/// A function that is called once with a variable's elements, and its result.
struct Modify<F, R>(Cell<Option<F>>, Cell<Option<R>>);

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Modify<F, R> {
    fn name(&self) -> &'static str {
        "parameter update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets())
        else {
            bail!("{}: expected contiguous f32, got {layout:?}", self.name())
        };
        if let Some(work) = self.0.take() {
            self.1.set(Some(work(&mut values[start..end])));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn values(phase: f32) -> Result<Tensor> {
        let wave = |i: u32| (i as f32 * 0.7 + phase).sin() * 3.;
        Tensor::from_iter((0..70_001).map(wave), &Device::Cpu)
    }

    #[test]
    fn kernels_agree_with_composed_ops() -> Result<()> {
        let (x, y) = (values(1.)?, values(2.)?);
        let numbers = AdamNumbers {
            beta1: 0.3,
            beta2: 0.99,
            step: 0.01,
            v_scale: 1.5,
            eps: 1e-8,
        };
        let state = || -> Result<[Var; 3]> {
            let v = y.sqr()?;
            Ok([
                Var::from_tensor(&x)?,
                Var::from_tensor(&y)?,
                Var::from_tensor(&v)?,
            ])
        };
        let (kernel, expected) = (state()?, state()?);
        let [p, m, v] = &kernel;
        adam_step(p, m, v, &values(3.)?, numbers)?;
        decay_towards(p, &y, 0.75)?;
        let [p, m, v] = &expected;
        composed::adam_step(p, m, v, &values(3.)?, numbers)?;
        p.set(&composed::decay_towards(&p.as_detached_tensor(), &y, 0.75)?)?;
        for (got, expected) in kernel.iter().zip(&expected) {
            let worst = (got.as_tensor() - expected.as_tensor())?.abs()?.max_all()?;
            assert!(worst.to_scalar::<f32>()? < 2e-6);
        }
        Ok(())
    }

    #[test]
    fn decay_zero_copies_the_target_exactly() -> Result<()> {
        let (x, target) = (Var::from_tensor(&values(1.)?)?, values(2.)?);
        decay_towards(&x, &target, 0.)?;
        assert_eq!(x.to_vec1::<f32>()?, target.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn one_number_that_is_not_finite_is_found() -> Result<()> {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = vec![1e30f32; 100_000];
            assert!(all_finite(&Tensor::new(numbers.as_slice(), &Device::Cpu)?)?);
            numbers[99_999] = bad;
            let x = Tensor::new(numbers.as_slice(), &Device::Cpu)?;
            assert!(!all_finite(&x)?);
            assert!(!all_finite(&x.to_dtype(DType::F64)?)?);
        }
        Ok(())
    }

    #[test]
    fn only_f32_is_updated() -> Result<()> {
        let x = Var::from_tensor(&values(1.)?.to_dtype(DType::F64)?)?;
        let message = decay_towards(&x, &x.as_detached_tensor(), 0.5)
            .expect_err("f64")
            .to_string();
        assert!(message.contains("F64"), "{message}");
        Ok(())
    }
}
