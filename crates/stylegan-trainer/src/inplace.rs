//! Updates of parameters in place: on all cores of the CPU, by candle's own ops elsewhere.
//!
//! Every element is computed from its own old value alone, so results don't depend on the number
//! of threads.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

/// Elements per task. Smaller tensors are not worth waking a thread for.
const CHUNK: usize = 1 << 15;

/// `x = target + (x - target) * decay`: exact at decay 0, and at rest where `x` is `target`.
pub(crate) fn decay_towards(x: &Var, target: &Tensor, decay: f64) -> Result<()> {
    if on_cpu(x)? {
        x.inplace_op2(&target.contiguous()?, &DecayTowards(decay as f32))
    } else {
        x.set(&composed::decay_towards(
            &x.as_detached_tensor(),
            target,
            decay,
        )?)
    }
}

/// `x = x * decay + y^2 * (1 - decay)`.
pub(crate) fn decay_towards_square(x: &Var, y: &Tensor, decay: f64) -> Result<()> {
    if on_cpu(x)? {
        x.inplace_op2(&y.contiguous()?, &DecayTowardsSquare(decay))
    } else {
        x.set(&composed::decay_towards_square(
            &x.as_detached_tensor(),
            y,
            decay,
        )?)
    }
}

/// The numbers of [`descend`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descend {
    pub(crate) step: f64,
    pub(crate) v_scale: f64,
    pub(crate) eps: f64,
}

/// `x = x - step * m / (sqrt(v) * v_scale + eps)`.
pub(crate) fn descend(x: &Var, m: &Tensor, v: &Tensor, numbers: Descend) -> Result<()> {
    if on_cpu(x)? {
        x.inplace_op3(&m.contiguous()?, &v.contiguous()?, &numbers)
    } else {
        x.set(&composed::descend(&x.as_detached_tensor(), m, v, numbers)?)
    }
}

/// The same updates by candle's ops, for devices without kernels of ours.
mod composed {
    use super::{Descend, Result, Tensor};

    pub(super) fn decay_towards(x: &Tensor, target: &Tensor, decay: f64) -> Result<Tensor> {
        target + ((x - target)? * decay)?
    }

    pub(super) fn decay_towards_square(x: &Tensor, y: &Tensor, decay: f64) -> Result<Tensor> {
        (x * decay)? + (y.sqr()? * (1. - decay))?
    }

    pub(super) fn descend(x: &Tensor, m: &Tensor, v: &Tensor, n: Descend) -> Result<Tensor> {
        let direction = (m / v.sqrt()?.affine(n.v_scale, n.eps)?)?;
        x - (direction * n.step)?
    }
}

/// Whether every element is a finite number.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        // Zero times infinity or NaN is NaN.
        let zero = (x * 0.)?.sum_all()?.to_dtype(DType::F64)?;
        return Ok(zero.to_scalar::<f64>()? == 0.);
    }
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        bail!("all_finite: a CPU tensor without CPU storage");
    };
    let values = slice("all_finite", storage, layout)?;
    let finite = |chunk: &[f32]| chunk.iter().all(|v| v.is_finite());
    Ok(values.par_chunks(CHUNK).all(finite))
}

fn on_cpu(x: &Var) -> Result<bool> {
    if x.dtype() != DType::F32 {
        bail!("parameter update: expected f32, got {:?}", x.dtype());
    }
    Ok(x.device().is_cpu())
}

struct DecayTowards(f32);

impl InplaceOp2 for DecayTowards {
    fn name(&self) -> &'static str {
        "decay_towards"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        target: &CpuStorage,
        target_layout: &Layout,
    ) -> Result<()> {
        let x = slice_mut(self.name(), x, x_layout)?;
        let target = slice(self.name(), target, target_layout)?;
        same_len(self.name(), x, target)?;
        x.par_chunks_mut(CHUNK)
            .zip(target.par_chunks(CHUNK))
            .for_each(|(x, target)| {
                for (x, t) in x.iter_mut().zip(target) {
                    *x = t + (*x - t) * self.0;
                }
            });
        Ok(())
    }
}

struct DecayTowardsSquare(f64);

impl InplaceOp2 for DecayTowardsSquare {
    fn name(&self) -> &'static str {
        "decay_towards_square"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let x = slice_mut(self.name(), x, x_layout)?;
        let y = slice(self.name(), y, y_layout)?;
        same_len(self.name(), x, y)?;
        let (keep, take) = (self.0 as f32, (1. - self.0) as f32);
        x.par_chunks_mut(CHUNK)
            .zip(y.par_chunks(CHUNK))
            .for_each(|(x, y)| {
                for (x, y) in x.iter_mut().zip(y) {
                    *x = *x * keep + y * y * take;
                }
            });
        Ok(())
    }
}

impl InplaceOp3 for Descend {
    fn name(&self) -> &'static str {
        "descend"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let x = slice_mut(self.name(), x, x_layout)?;
        let m = slice(self.name(), m, m_layout)?;
        let v = slice(self.name(), v, v_layout)?;
        same_len(self.name(), x, m)?;
        same_len(self.name(), x, v)?;
        let [step, v_scale, eps] = [self.step, self.v_scale, self.eps].map(|value| value as f32);
        x.par_chunks_mut(CHUNK)
            .zip(m.par_chunks(CHUNK).zip(v.par_chunks(CHUNK)))
            .for_each(|(x, (m, v))| {
                for (x, (m, v)) in x.iter_mut().zip(m.iter().zip(v)) {
                    *x -= step * m / (v.sqrt() * v_scale + eps);
                }
            });
        Ok(())
    }
}

fn slice<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("{op}: expected a contiguous tensor, got {layout:?}"),
    }
}

fn slice_mut<'a>(op: &str, storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{op}: expected a contiguous tensor, got {layout:?}");
    };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => bail!("{op}: expected f32"),
    }
}

fn same_len(op: &str, x: &[f32], other: &[f32]) -> Result<()> {
    if x.len() != other.len() {
        bail!("{op}: expected {} elements, got {}", x.len(), other.len());
    }
    Ok(())
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
        let v = y.sqr()?;
        let numbers = Descend {
            step: 0.01,
            v_scale: 1.5,
            eps: 1e-8,
        };
        let copies = [&x, &v, &x].map(Var::from_tensor);
        let [a, b, c] = copies;
        let (a, b, c) = (a?, b?, c?);
        decay_towards(&a, &y, 0.75)?;
        decay_towards_square(&b, &y, 0.75)?;
        descend(&c, &y, &v, numbers)?;
        let expected = [
            composed::decay_towards(&x, &y, 0.75)?,
            composed::decay_towards_square(&v, &y, 0.75)?,
            composed::descend(&x, &y, &v, numbers)?,
        ];
        for (got, expected) in [a, b, c].iter().zip(&expected) {
            let worst = (got.as_tensor() - expected)?.abs()?.max_all()?;
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
