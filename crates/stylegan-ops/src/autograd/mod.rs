//! First- and second-order gradients.
//!
//! candle's `Tensor::backward` forgets how a gradient was computed, so differentiating a gradient
//! does not fail: it returns a wrong number. For f = x^2 * x at x = 1, d/dx (df/dx)^2 comes back as 24
//! where 36 is right. Regularizers such as R1, WGAN-GP and path length differentiate gradients, so
//! this module separates the two orders:
//!
//! - [`backward`] and [`backward_for`] give gradients as constants, for an optimizer;
//! - [`grad`] gives gradients that are part of the graph and can be differentiated again.
//!
//! A penalty built on [`grad`] is differentiated by [`backward`], like any other loss.
//!
//! Use this module instead of `Tensor::backward`. Its first-order gradients are constants, so that
//! differentiating one is an error; and where `Tensor::backward` was called all the same, the CPU
//! kernels of this crate that took part refuse to be differentiated afterwards.
//!
//! ```
//! use candle_core::{Device, Result, Var};
//! use stylegan_ops::autograd;
//!
//! # fn main() -> Result<()> {
//! let x = Var::new(1f64, &Device::Cpu)?;
//! let cube = (x.sqr()? * x.as_tensor())?;
//! let slope = autograd::grad(&cube, &[x.as_tensor()])?.remove(0); // 3 x^2
//! let penalty = slope.sqr()?; // 9 x^4
//! let gradients = autograd::backward(&penalty)?;
//! let curvature = gradients.require("x", &x)?.to_scalar::<f64>()?;
//! assert!((curvature - 36.0).abs() < 1e-9); // 36 x^3
//! # Ok(())
//! # }
//! ```

mod graph_thread;
pub(crate) mod relay;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use candle_core::backprop::GradStore;
use candle_core::{Device, Error, Result, Tensor, TensorId, Var, bail};
use tracing::trace_span;

use crate::add;

/// candle walks the graph recursively, and graphs of gradients are deep. Memory that is not touched
/// costs nothing.
const STACK_BYTES: usize = 256 << 20;

thread_local! {
    /// The variables whose gradients the running backward pass wants; `None` means all.
    static WANTED: RefCell<Option<HashSet<TensorId>>> = const { RefCell::new(None) };
    /// True while an operator's backward rule runs on a thread that forgets graphs.
    static IN_FIRST_ORDER_PASS: Cell<bool> = const { Cell::new(false) };
    /// Whether candle keeps graphs on this thread.
    static KEEPS_GRAPH: OnceCell<bool> = const { OnceCell::new() };
}

/// Gradients of a first-order backward pass: constants, by variable.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// The gradient of `var`, or `None` where the loss does not depend on it.
    pub fn get(&self, var: &Tensor) -> Option<&Tensor> {
        self.0.get(&var.id())
    }

    /// The gradient of `var`.
    ///
    /// # Errors
    /// Where the loss does not depend on the variable, with its `name`.
    pub fn require(&self, name: &str, var: &Tensor) -> Result<&Tensor> {
        match self.get(var) {
            Some(gradient) => Ok(gradient),
            None => bail!("{name} received no gradient: the loss does not depend on it"),
        }
    }

    /// Adds the gradients of another pass, for example of the next part of a batch.
    pub fn accumulate(&mut self, other: Gradients) -> Result<()> {
        for (id, gradient) in other.0 {
            let sum = match self.0.get(&id) {
                Some(own) => (own + gradient)?,
                None => gradient,
            };
            self.0.insert(id, sum);
        }
        Ok(())
    }
}

/// First-order gradients of a loss (its elements are summed) for every variable that it depends on.
///
/// The gradients are constants. To differentiate a gradient, use [`grad`].
///
/// # Errors
/// If the loss depends on no variable at all, which is what a gradient of a first-order pass looks
/// like, or if it was computed from such a gradient by an operator of this crate.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    first_order(loss, None)
}

/// The same as [`backward`], for `vars` only.
///
/// Operators skip the weight gradients of every other variable: a pass through a network whose
/// parameters are not being trained computes the gradients of its pictures only.
///
/// # Errors
/// As [`backward`], and if one of `vars` is not a variable.
pub fn backward_for(loss: &Tensor, vars: &[&Tensor]) -> Result<Gradients> {
    expect_variables("backward_for", vars)?;
    first_order(loss, Some(vars.iter().map(|v| v.id()).collect()))
}

/// The gradients of `output` (its elements are summed) with respect to `inputs`, differentiable.
///
/// The walk runs on a thread of its own on which candle keeps graphs; it may be called from any
/// thread. The memory of the backward graph is held until the gradients are dropped.
///
/// # Errors
/// If an input is not a variable (candle keeps gradients of variables only), or the output does not
/// depend on it.
pub fn grad(output: &Tensor, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    expect_variables("grad", inputs)?;
    let output = output.clone();
    let inputs: Vec<Tensor> = inputs.iter().map(|&t| t.clone()).collect();
    graph_thread::run(move || {
        let _wanted = Wanted::set(Some(inputs.iter().map(|t| t.id()).collect()));
        let mut gradients = walk(&output)?;
        let take = |(i, input): (usize, &Tensor)| match gradients.take(input.id())? {
            Some(gradient) => Ok(gradient),
            None => bail!(
                "grad: the output does not depend on input {i} of shape {:?}",
                input.dims()
            ),
        };
        inputs.iter().enumerate().map(take).collect()
    })
}

/// Starts the thread on which [`grad`] walks, which is otherwise started by the first call.
///
/// It sets an environment variable for a moment. Call it early in a program whose other threads read
/// the environment through the C library (a GPU driver may), before they are started.
///
/// # Errors
/// If the thread can't be started, or candle doesn't keep graphs on it.
pub fn start_second_order() -> Result<()> {
    graph_thread::ensure()
}

fn expect_variables(what: &str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().position(|t| !t.is_variable()) {
        Some(i) => bail!(
            "{what}: tensor {i} of shape {:?} is not a variable: make it one with Var::from_tensor \
             before the forward pass",
            tensors[i].dims()
        ),
        None => Ok(()),
    }
}

fn first_order(loss: &Tensor, wanted: Option<HashSet<TensorId>>) -> Result<Gradients> {
    if !loss.track_op() {
        bail!(
            "backward: the loss depends on no variable. Gradients of a first-order pass are constants; \
             compute those that are differentiated again with stylegan_ops::autograd::grad"
        );
    }
    let keep = wanted.clone();
    let _wanted = Wanted::set(wanted);
    stacker::maybe_grow(STACK_BYTES / 2, STACK_BYTES, || {
        let mut gradients = walk(loss)?;
        // candle also keeps gradients of constants.
        let variables = || {
            let nodes = loss.sorted_nodes().into_iter();
            nodes.filter(|n| n.is_variable()).map(|n| n.id()).collect()
        };
        let constant = |id| Ok(gradients.take(id)?.map(|gradient| (id, gradient.detach())));
        let ids: HashSet<TensorId> = keep.unwrap_or_else(variables);
        let constants = ids.into_iter().map(constant).filter_map(Result::transpose);
        Ok(Gradients(constants.collect::<Result<_>>()?))
    })
}

/// The gradients of variables after a walk.
struct Walked {
    /// From operators of candle.
    store: GradStore,
    /// From operators of this crate.
    collected: HashMap<TensorId, Tensor>,
}

impl Walked {
    fn take(&mut self, id: TensorId) -> Result<Option<Tensor>> {
        let (ours, theirs) = (self.collected.remove(&id), self.store.get_id(id));
        Ok(match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some(add(&ours, theirs)?),
            (ours, theirs) => ours.or(theirs.cloned()),
        })
    }
}

fn walk(output: &Tensor) -> Result<Walked> {
    let _span = trace_span!("backward").entered();
    let collecting = relay::Collecting::start();
    let store = output.backward()?;
    Ok(Walked {
        store,
        collected: collecting.finish(),
    })
}

/// Restores the previous set of wanted variables when it goes out of scope.
struct Wanted(Option<HashSet<TensorId>>);

impl Wanted {
    fn set(wanted: Option<HashSet<TensorId>>) -> Self {
        Self(WANTED.with(|w| w.replace(wanted)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        WANTED.with(|w| w.replace(self.0.take()));
    }
}

/// Whether the running backward pass needs the gradient of an operator's argument.
///
/// candle expects a gradient for every argument that is tracked, unless it is itself a variable.
pub(crate) fn needs_gradient(arg: &Tensor) -> bool {
    let unwanted = |id| WANTED.with(|w| w.borrow().as_ref().is_some_and(|set| !set.contains(&id)));
    arg.track_op() && !(arg.is_variable() && unwanted(arg.id()))
}

/// What an operator may be used for, decided where it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Its result may be differentiated.
    Differentiable,
    /// It computed a gradient on a thread that forgets graphs: differentiating it would be wrong.
    Constant,
}

impl Order {
    pub(crate) fn capture() -> Self {
        if IN_FIRST_ORDER_PASS.get() {
            Order::Constant
        } else {
            Order::Differentiable
        }
    }

    /// Runs an operator's backward rule.
    pub(crate) fn differentiate<T>(self, op: &str, rule: impl FnOnce() -> Result<T>) -> Result<T> {
        if self == Order::Constant {
            bail!(
                "{op}: this tensor is a gradient of a first-order backward pass, and candle would return a \
                 wrong number for its derivative. Compute it with stylegan_ops::autograd::grad instead"
            );
        }
        let _pass = FirstOrderPass::set(!keeps_graph()?);
        rule()
    }
}

/// Restores the previous mark when it goes out of scope.
struct FirstOrderPass(bool);

impl FirstOrderPass {
    fn set(first_order: bool) -> Self {
        Self(IN_FIRST_ORDER_PASS.replace(first_order))
    }
}

impl Drop for FirstOrderPass {
    fn drop(&mut self) {
        IN_FIRST_ORDER_PASS.set(self.0);
    }
}

/// Computes two gradients at the same time, inside an operator's backward rule: each is marked as one of the
/// running pass on whichever thread it runs.
pub(crate) fn join<A: Send, B: Send>(
    a: impl FnOnce() -> Result<A> + Send,
    b: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    let first_order = IN_FIRST_ORDER_PASS.get();
    let marked = |first_order| FirstOrderPass::set(first_order);
    let (a, b) = rayon::join(
        || {
            let _pass = marked(first_order);
            a()
        },
        || {
            let _pass = marked(first_order);
            b()
        },
    );
    Ok((a?, b?))
}

/// Runs a kernel without the marks of the backward pass that it may be part of: where the calling
/// thread belongs to rayon, it may take up unrelated work while it waits for the kernel's tasks.
pub(crate) fn outside_passes<T>(kernel: impl FnOnce() -> T) -> T {
    let _pass = FirstOrderPass::set(false);
    let _wanted = Wanted::set(None);
    let _walk = relay::Outside::enter();
    kernel()
}

/// Whether gradients stay differentiable on the calling thread, found by differentiating one.
///
/// This latches the thread's mode, so outside the graph thread it is called inside a backward pass,
/// when candle has latched it already.
fn keeps_graph() -> Result<bool> {
    if let Some(keeps) = KEEPS_GRAPH.with(|k| k.get().copied()) {
        return Ok(keeps);
    }
    let x = Var::new(1f64, &Device::Cpu)?;
    let slope = (x.sqr()? * x.as_tensor())?.backward()?.remove(&x);
    let slope = slope.ok_or_else(|| Error::Msg("candle lost the gradient of x^3".into()))?;
    let curvature = match slope.sqr()?.backward()?.remove(&x) {
        Some(curvature) => curvature.to_scalar::<f64>()?,
        None => 0.0,
    };
    let keeps = (curvature - 36.0).abs() < 1e-9;
    KEEPS_GRAPH.with(|k| k.set(keeps).ok());
    Ok(keeps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BiasAct, bias_act};

    fn var(values: &[f64]) -> Result<Var> {
        Var::from_tensor(&Tensor::new(values, &Device::Cpu)?.reshape((1, values.len()))?)
    }

    /// Runs `work` on a thread that candle has not latched yet, after the graph thread has started.
    fn on_fresh_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let x = var(&[1.0])?;
        grad(&x.sqr()?, &[x.as_tensor()])?;
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    /// d/dx (dx^3/dx)^2 at 1 by candle alone.
    fn curvature_by_candle() -> Result<f64> {
        let x = Var::new(1f64, &Device::Cpu)?;
        let slope = (x.sqr()? * x.as_tensor())?.backward()?.remove(&x).unwrap();
        slope.sqr()?.backward()?.remove(&x).unwrap().to_scalar()
    }

    #[test]
    fn candle_alone_is_wrong_at_second_order() -> Result<()> {
        assert_eq!(on_fresh_thread(curvature_by_candle)?, 24.0);
        Ok(())
    }

    #[test]
    fn differentiating_a_first_order_gradient_of_our_ops_is_an_error() -> Result<()> {
        let message = on_fresh_thread(|| {
            let x = var(&[1.0, -2.0])?;
            let s = var(&[3.0, 0.5])?;
            let image = x.reshape((1, 2, 1, 1))?;
            let y = crate::modulate(&image, &s)?.sqr()?.sum_all()?;
            let slope = y.backward()?.remove(&s).unwrap();
            Ok(slope.sqr()?.sum_all()?.backward().unwrap_err().to_string())
        })?;
        assert!(
            message.contains("stylegan_ops::autograd::grad"),
            "{message}"
        );
        Ok(())
    }

    #[test]
    fn gradients_of_backward_are_constants() -> Result<()> {
        let x = var(&[1.0])?;
        let gradients = backward(&x.powf(3.0)?.sum_all()?)?;
        let message = backward(&gradients.require("x", &x)?.sqr()?)
            .unwrap_err()
            .to_string();
        assert!(message.contains("autograd::grad"), "{message}");
        Ok(())
    }

    #[test]
    fn grad_needs_variables_that_the_output_depends_on() -> Result<()> {
        let (x, other) = (var(&[1.0])?, var(&[2.0])?);
        let constant = Tensor::new(1f64, &Device::Cpu)?;
        let y = x.sqr()?;
        let message = grad(&y, &[&constant]).unwrap_err().to_string();
        assert!(message.contains("not a variable"), "{message}");
        let message = grad(&y, &[other.as_tensor()]).unwrap_err().to_string();
        assert!(message.contains("does not depend on input 0"), "{message}");
        Ok(())
    }

    #[test]
    fn grad_works_from_many_threads_and_leaves_them_first_order() -> Result<()> {
        let both_orders = || {
            let x = Var::new(1f64, &Device::Cpu)?;
            let slope = grad(&(x.sqr()? * x.as_tensor())?, &[x.as_tensor()])?.remove(0);
            let right = backward(&slope.sqr()?)?
                .require("x", &x)?
                .to_scalar::<f64>()?;
            Ok((right, curvature_by_candle()?))
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| on_fresh_thread(both_orders)))
                .collect();
            for thread in threads {
                let (right, by_candle) = thread.join().unwrap()?;
                assert!((right - 36.0).abs() < 1e-9);
                assert_eq!(by_candle, 24.0);
            }
            Ok(())
        })
    }

    #[test]
    fn backward_for_skips_the_other_variables() -> Result<()> {
        let (x, b) = (var(&[1.0, -2.0])?, Var::new(&[0.5f64, 0.5], &Device::Cpu)?);
        let y = bias_act(&x, Some(&b), None, &BiasAct::lrelu())?.sum_all()?;
        let gradients = backward_for(&y, &[x.as_tensor()])?;
        assert!(gradients.get(&x).is_some() && gradients.get(&b).is_none());
        Ok(())
    }
}
