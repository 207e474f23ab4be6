//! The one place where operators meet candle: data types, layouts, and the order of differentiation.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, WithDType,
    bail,
};

use crate::autograd::{Order, needs_gradient, outside_passes};

/// The element types that the CPU kernels are compiled for.
pub(crate) trait Float: WithDType + std::iter::Sum {}
impl Float for f32 {}
impl Float for f64 {}

/// An operator of `N` tensors with a CPU kernel and a backward rule made of other operators.
pub(crate) trait Kernel<const N: usize>: Send + Sync + 'static {
    /// The operator's name in errors.
    const NAME: &'static str;

    /// The shape of the result; the caller has checked the inputs.
    fn shape(&self) -> Shape;

    /// Computes `out`, which is zero on entry. Inputs are contiguous.
    fn cpu<T: Float>(&self, inputs: [&[T]; N], out: &mut [T]);

    /// The gradients of the inputs that need one.
    fn gradients(
        &self,
        inputs: [&Tensor; N],
        out: &Tensor,
        d_out: &Tensor,
        needs: [bool; N],
    ) -> Result<[Option<Tensor>; N]>;
}

/// A kernel as candle sees it.
struct Applied<K> {
    kernel: K,
    order: Order,
}

impl<K> Applied<K> {
    fn new(kernel: K) -> Self {
        Self {
            kernel,
            order: Order::capture(),
        }
    }

    fn run<const N: usize>(
        &self,
        inputs: [(&CpuStorage, &Layout); N],
    ) -> Result<(CpuStorage, Shape)>
    where
        K: Kernel<N>,
    {
        match inputs[0].0 {
            CpuStorage::F32(_) => run::<f32, K, N>(&self.kernel, inputs),
            CpuStorage::F64(_) => run::<f64, K, N>(&self.kernel, inputs),
            other => {
                let dtype = candle_core::backend::BackendStorage::dtype(other);
                bail!("{}: expected f32 or f64, got {dtype:?}", K::NAME)
            }
        }
    }

    fn backward<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        out: &Tensor,
        d_out: &Tensor,
    ) -> Result<[Option<Tensor>; N]>
    where
        K: Kernel<N>,
    {
        let needs = inputs.map(needs_gradient);
        self.order
            .differentiate(K::NAME, || self.kernel.gradients(inputs, out, d_out, needs))
    }
}

fn run<T: Float, K: Kernel<N>, const N: usize>(
    kernel: &K,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let mut slices: [&[T]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(inputs) {
        match layout.contiguous_offsets() {
            Some((start, end)) => *slice = &T::cpu_storage_as_slice(storage)?[start..end],
            None => bail!(
                "{}: a tensor of shape {:?} is not contiguous",
                K::NAME,
                layout.dims()
            ),
        }
    }
    let shape = kernel.shape();
    let mut out = vec![T::zero(); shape.elem_count()];
    outside_passes(|| kernel.cpu(slices, &mut out));
    Ok((T::to_cpu_storage_owned(out), shape))
}

/// Applies a kernel of one tensor.
pub(crate) fn apply1<K: Kernel<1>>(kernel: K, a: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op1(Applied::new(kernel))
}

/// Applies a kernel of two tensors.
pub(crate) fn apply2<K: Kernel<2>>(kernel: K, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    same_dtype(K::NAME, &[a, b])?;
    a.contiguous()?
        .apply_op2(&b.contiguous()?, Applied::new(kernel))
}

/// Applies a kernel of three tensors.
pub(crate) fn apply3<K: Kernel<3>>(
    kernel: K,
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
) -> Result<Tensor> {
    same_dtype(K::NAME, &[a, b, c])?;
    a.contiguous()?
        .apply_op3(&b.contiguous()?, &c.contiguous()?, Applied::new(kernel))
}

pub(crate) fn same_dtype(op: &str, tensors: &[&Tensor]) -> Result<()> {
    let dtypes: Vec<DType> = tensors.iter().map(|t| t.dtype()).collect();
    if dtypes.iter().any(|&d| d != dtypes[0]) {
        bail!("{op}: expected inputs of one data type, got {dtypes:?}");
    }
    Ok(())
}

impl<K: Kernel<1>> CustomOp1 for Applied<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run([(s, l)])
    }

    fn bwd(&self, a: &Tensor, out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let [da] = self.backward([a], out, d_out)?;
        Ok(da)
    }
}

impl<K: Kernel<2>> CustomOp2 for Applied<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run([(s1, l1), (s2, l2)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [da, db] = self.backward([a, b], out, d_out)?;
        Ok((da, db))
    }
}

impl<K: Kernel<3>> CustomOp3 for Applied<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run([(s1, l1), (s2, l2), (s3, l3)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [da, db, dc] = self.backward([a, b, c], out, d_out)?;
        Ok((da, db, dc))
    }
}
