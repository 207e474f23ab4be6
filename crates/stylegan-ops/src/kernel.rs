//! The one place where operators meet candle: data types, layouts, graphs, and the order of
//! differentiation.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor,
    WithDType, bail,
};
use tracing::trace_span;

use crate::autograd::{Order, needs_gradient, outside_passes, relay};
use crate::buffer::unspecified;
use crate::simd;

/// The element types that the CPU kernels are compiled for.
pub(crate) trait Float: WithDType + std::iter::Sum + crate::conv::cpu::Fast {}
impl Float for f32 {}
impl Float for f64 {}

/// An operator of `N` tensors with a CPU kernel and a backward rule made of other operators.
pub(crate) trait Kernel<const N: usize>: Send + Sync + 'static {
    /// The operator's name in errors.
    const NAME: &'static str;

    /// Whether the backward rule uses the result as a function of the inputs. Otherwise the result that
    /// it is given is a constant.
    const DIFFERENTIATES_RESULT: bool = false;

    /// The shape of the result; the caller has checked the inputs.
    fn shape(&self) -> Shape;

    /// Computes every element of `out`, whose contents are arbitrary on entry. Inputs are contiguous.
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

/// Applies a kernel of one tensor.
pub(crate) fn apply1<K: Kernel<1>>(kernel: K, a: &Tensor) -> Result<Tensor> {
    apply(kernel, [a])
}

/// Applies a kernel of two tensors.
pub(crate) fn apply2<K: Kernel<2>>(kernel: K, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(kernel, [a, b])
}

/// Applies a kernel of three tensors.
pub(crate) fn apply3<K: Kernel<3>>(
    kernel: K,
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
) -> Result<Tensor> {
    apply(kernel, [a, b, c])
}

fn apply<K: Kernel<N>, const N: usize>(kernel: K, inputs: [&Tensor; N]) -> Result<Tensor>
where
    Node<K, N>: Link<N>,
{
    let inputs = contiguous(K::NAME, inputs)?;
    let (storage, shape) = compute(&kernel, inputs.each_ref())?;
    if !inputs.iter().any(Tensor::track_op) {
        let (storage, none) = (Storage::Cpu(storage), BackpropOp::none());
        return Ok(Tensor::from_storage(storage, shape, none, false));
    }
    let order = Order::capture();
    if K::DIFFERENTIATES_RESULT || order == Order::Constant {
        let node = Node {
            kernel,
            order,
            result: Handover::new(storage, shape),
            behind: None,
        };
        return node.link(inputs.each_ref());
    }

    let arguments = inputs
        .each_ref()
        .map(|input| relay::stand_in(input).unwrap_or_else(|| input.clone()));
    let scalar = match storage {
        CpuStorage::F64(_) => CpuStorage::F64(vec![0.]),
        _ => CpuStorage::F32(vec![0.]),
    };
    let out = Arc::new(OnceLock::new());
    let node = Node {
        kernel,
        order,
        result: Handover::new(scalar, Shape::from(())),
        behind: Some(Behind {
            inputs,
            out: out.clone(),
        }),
    };
    let stand_in = node.link(arguments.each_ref())?;
    let entry = Arc::new(OnceLock::new());
    let result = stand_in.apply_op1(Revealed {
        name: K::NAME,
        result: Handover::new(storage, shape),
        _entry: entry.clone(),
    })?;
    out.set(result.detach()).ok();
    entry.set(relay::register(&result, &stand_in)).ok();
    Ok(result)
}

fn contiguous<const N: usize>(op: &str, inputs: [&Tensor; N]) -> Result<[Tensor; N]> {
    same_dtype(op, &inputs)?;
    let mut inputs = inputs.map(Tensor::clone);
    for input in &mut inputs {
        *input = input.contiguous()?;
    }
    Ok(inputs)
}

pub(crate) fn same_dtype(op: &str, tensors: &[&Tensor]) -> Result<()> {
    let dtypes: Vec<DType> = tensors.iter().map(|t| t.dtype()).collect();
    if dtypes.iter().any(|&d| d != dtypes[0]) {
        bail!("{op}: expected inputs of one data type, got {dtypes:?}");
    }
    Ok(())
}

fn compute<K: Kernel<N>, const N: usize>(
    kernel: &K,
    inputs: [&Tensor; N],
) -> Result<(CpuStorage, Shape)> {
    simd::check()?;
    match inputs[0].dtype() {
        DType::F32 => compute_as::<f32, K, N>(kernel, inputs),
        DType::F64 => compute_as::<f64, K, N>(kernel, inputs),
        dtype => bail!("{}: expected f32 or f64, got {dtype:?}", K::NAME),
    }
}

fn compute_as<T: Float, K: Kernel<N>, const N: usize>(
    kernel: &K,
    inputs: [&Tensor; N],
) -> Result<(CpuStorage, Shape)> {
    let elements = inputs.map(Elements::of);
    let mut slices: [&[T]; N] = [&[]; N];
    for (slice, elements) in slices.iter_mut().zip(&elements) {
        *slice = elements.get(K::NAME)?;
    }
    let shape = kernel.shape();
    let out = traced(K::NAME, shape.dims(), || {
        let mut out = unspecified(shape.elem_count());
        kernel.cpu(slices, &mut out);
        out
    });
    Ok((T::to_cpu_storage_owned(out), shape))
}

/// The elements of a tensor, of which `S` is candle's lock.
pub(crate) struct Elements<'a, S> {
    storage: S,
    layout: &'a Layout,
}

impl<'a> Elements<'a, ()> {
    /// Locks a tensor for reading.
    pub(crate) fn of(tensor: &'a Tensor) -> Elements<'a, impl Deref<Target = Storage>> {
        let (storage, layout) = tensor.storage_and_layout();
        Elements { storage, layout }
    }
}

impl<S: Deref<Target = Storage>> Elements<'_, S> {
    pub(crate) fn get<T: Float>(&self, op: &str) -> Result<&[T]> {
        match (&*self.storage, self.layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => {
                Ok(&T::cpu_storage_as_slice(storage)?[start..end])
            }
            _ => bail!(
                "{op}: expected a contiguous tensor on the CPU, got one of shape {:?}",
                self.layout.dims()
            ),
        }
    }
}

/// Runs the kernel of an operator in a span with its name and the shape of its result.
pub(crate) fn traced<R>(op: &'static str, shape: &[usize], kernel: impl FnOnce() -> R) -> R {
    let _span = trace_span!(target: "stylegan_ops::op", "op", name = op, ?shape).entered();
    outside_passes(kernel)
}

/// A result that is computed already, for candle to take it.
struct Handover(Mutex<Option<(CpuStorage, Shape)>>);

impl Handover {
    fn new(storage: CpuStorage, shape: Shape) -> Self {
        Self(Mutex::new(Some((storage, shape))))
    }

    fn take(&self, op: &str) -> Result<(CpuStorage, Shape)> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| candle_core::Error::Msg(format!("{op}: applied twice")).bt())
    }
}

/// A kernel in candle's graph: its arguments are the inputs, and its result is the kernel's; or they are
/// the [stand-ins](relay) of both.
struct Node<K, const N: usize> {
    kernel: K,
    order: Order,
    result: Handover,
    behind: Option<Behind<N>>,
}

/// What stand-ins stand for.
struct Behind<const N: usize> {
    inputs: [Tensor; N],
    /// The result as a constant.
    out: Arc<OnceLock<Tensor>>,
}

impl<K, const N: usize> Node<K, N> {
    fn backward(
        &self,
        arguments: [&Tensor; N],
        node: &Tensor,
        d_node: &Tensor,
    ) -> Result<[Option<Tensor>; N]>
    where
        K: Kernel<N>,
    {
        let Some(Behind { inputs, out }) = &self.behind else {
            return self.gradients(arguments, node, d_node);
        };
        let d_out = relay::receive(node, d_node)?;
        let Some(out) = out.get() else {
            bail!("{}: a gradient before the result", K::NAME)
        };
        let mut gradients = self.gradients(inputs.each_ref(), out, &d_out)?;
        drop(d_out);
        for ((slot, input), argument) in gradients.iter_mut().zip(inputs).zip(arguments) {
            let Some(gradient) = slot else { continue };
            if argument.id() != input.id() {
                *slot = Some(relay::send(argument, gradient)?);
            } else if input.is_variable() && relay::collect(input, gradient)? {
                *slot = None;
            }
        }
        Ok(gradients)
    }

    fn gradients(
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

/// Entering candle's graph.
trait Link<const N: usize> {
    fn link(self, arguments: [&Tensor; N]) -> Result<Tensor>;
}

impl<K: Kernel<1>> Link<1> for Node<K, 1> {
    fn link(self, [a]: [&Tensor; 1]) -> Result<Tensor> {
        a.apply_op1(self)
    }
}

impl<K: Kernel<2>> Link<2> for Node<K, 2> {
    fn link(self, [a, b]: [&Tensor; 2]) -> Result<Tensor> {
        a.apply_op2(b, self)
    }
}

impl<K: Kernel<3>> Link<3> for Node<K, 3> {
    fn link(self, [a, b, c]: [&Tensor; 3]) -> Result<Tensor> {
        a.apply_op3(b, c, self)
    }
}

impl<K: Kernel<1>> CustomOp1 for Node<K, 1> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.result.take(K::NAME)
    }

    fn bwd(&self, a: &Tensor, out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let [da] = self.backward([a], out, d_out)?;
        Ok(da)
    }
}

impl<K: Kernel<2>> CustomOp2 for Node<K, 2> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.result.take(K::NAME)
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

impl<K: Kernel<3>> CustomOp3 for Node<K, 3> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.result.take(K::NAME)
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

/// The result behind a stand-in: an operator of candle that uses it sends its gradient through here.
struct Revealed {
    name: &'static str,
    result: Handover,
    /// Lives as long as the result.
    _entry: Arc<OnceLock<relay::Entry>>,
}

impl CustomOp1 for Revealed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.result.take(self.name)
    }

    fn bwd(&self, stand_in: &Tensor, _: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        relay::send(stand_in, d_out).map(Some)
    }
}
