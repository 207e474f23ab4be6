//! Gradients that go from operator to operator without passing through candle's hands.
//!
//! candle's backward walk adds every gradient that an operator returns to a tensor of zeros: it
//! allocates, fills and adds, on one thread, as many bytes as a kernel reads and writes. So what
//! candle's graph holds of an operator of this crate is a *stand-in*, a scalar whose arguments are the
//! stand-ins of the operator's inputs. candle still decides the order of the walk; the gradients
//! themselves are [sent](send) to stand-ins and [received](receive) once all have arrived, where a
//! single one is passed on as it is. In candle's graph every gradient that was sent is a *receipt* of
//! 1, so that the sum of its receipts tells a stand-in how many have to be there.
//!
//! The result of an operator depends on its stand-in: a gradient that an operator of candle computes for
//! it is sent on as well.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Result, Tensor, TensorId, bail};

use super::keeps_graph;
use crate::add;

/// The stand-ins by the result that they stand for, which removes its entry when it is dropped.
static STAND_INS: LazyLock<Mutex<HashMap<TensorId, Tensor>>> = LazyLock::new(Mutex::default);

thread_local! {
    static WALK: RefCell<Walk> = RefCell::default();
}

/// What is under way in a backward walk.
#[derive(Default)]
struct Walk {
    /// By stand-in.
    pending: HashMap<TensorId, Pending>,
    /// The gradients of variables, where this crate started the walk.
    variables: Option<HashMap<TensorId, Tensor>>,
}

struct Pending {
    sum: Tensor,
    parts: f64,
}

/// Puts what is under way aside, and back when it goes out of scope.
pub(super) struct Outside(Walk);

impl Outside {
    pub(super) fn enter() -> Self {
        Self(WALK.take())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(WALK.replace(std::mem::take(&mut self.0)));
    }
}

/// A walk that this crate starts: what an earlier one left behind after an error has no part in it, and
/// the gradients of variables are collected here.
pub(super) struct Collecting {
    _outside: Outside,
}

impl Collecting {
    pub(super) fn start() -> Self {
        let outside = Outside::enter();
        WALK.with_borrow_mut(|walk| walk.variables = Some(HashMap::new()));
        Self { _outside: outside }
    }

    /// The gradients that operators of this crate computed for variables.
    pub(super) fn finish(self) -> HashMap<TensorId, Tensor> {
        WALK.take().variables.unwrap_or_default()
    }
}

/// The entry of a result in the table of stand-ins; removed when it is dropped.
pub(crate) struct Entry(TensorId);

impl Drop for Entry {
    fn drop(&mut self) {
        // The stand-in may be the last owner of a graph with entries of its own: it is dropped after
        // the table is unlocked.
        let stand_in = stand_ins().remove(&self.0);
        drop(stand_in);
    }
}

fn stand_ins() -> MutexGuard<'static, HashMap<TensorId, Tensor>> {
    STAND_INS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes `stand_in` known as that of `result`, for as long as the entry lives.
pub(crate) fn register(result: &Tensor, stand_in: &Tensor) -> Entry {
    stand_ins().insert(result.id(), stand_in.clone());
    Entry(result.id())
}

/// The stand-in of the result of an operator.
pub(crate) fn stand_in(result: &Tensor) -> Option<Tensor> {
    stand_ins().get(&result.id()).cloned()
}

/// Hands a gradient to a stand-in; returns the receipt.
pub(crate) fn send(stand_in: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let gradient = settled(gradient)?;
    let before = WALK.with_borrow_mut(|walk| walk.pending.remove(&stand_in.id()));
    let pending = match before {
        None => Pending {
            sum: gradient,
            parts: 1.,
        },
        Some(Pending { sum, parts }) => Pending {
            sum: add(&sum, &gradient)?,
            parts: parts + 1.,
        },
    };
    WALK.with_borrow_mut(|walk| walk.pending.insert(stand_in.id(), pending));
    Tensor::ones((), stand_in.dtype(), stand_in.device())
}

/// The sum of the gradients that were sent to a stand-in, `receipts` of them.
pub(crate) fn receive(stand_in: &Tensor, receipts: &Tensor) -> Result<Tensor> {
    let expected = receipts.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    match WALK.with_borrow_mut(|walk| walk.pending.remove(&stand_in.id())) {
        Some(Pending { sum, parts }) if parts == expected => Ok(sum),
        found => bail!(
            "backward: expected {expected} gradients of an operator's result, got {}: an earlier backward \
             pass through it failed",
            found.map_or(0., |pending| pending.parts)
        ),
    }
}

/// Collects the gradient of a variable, if this crate started the walk. candle needs none then.
pub(crate) fn collect(variable: &Tensor, gradient: &Tensor) -> Result<bool> {
    let id = variable.id();
    let before = WALK.with_borrow_mut(|walk| walk.variables.as_mut().map(|all| all.remove(&id)));
    let Some(before) = before else {
        return Ok(false);
    };
    let gradient = settled(gradient)?;
    let sum = match before {
        None => gradient,
        Some(sum) => add(&sum, &gradient)?,
    };
    WALK.with_borrow_mut(|walk| walk.variables.get_or_insert_default().insert(id, sum));
    Ok(true)
}

/// A gradient without its graph, on threads that forget graphs.
fn settled(gradient: &Tensor) -> Result<Tensor> {
    Ok(match keeps_graph()? {
        true => gradient.clone(),
        false => gradient.detach(),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::autograd::{backward, grad};
    use crate::{BiasAct, bias_act, modulate};

    fn pictures() -> Result<[Var; 2]> {
        let x = Tensor::arange(-3f64, 5., &Device::Cpu)?.reshape((2, 1, 2, 2))?;
        let s = Tensor::new(&[[2f64], [-1.]], &Device::Cpu)?;
        Ok([Var::from_tensor(&x)?, Var::from_tensor(&s)?])
    }

    /// The result of one operator goes into two operators of this crate and one of candle.
    fn branching(x: &Var, s: &Var) -> Result<Tensor> {
        let y = modulate(x, s)?;
        let a = bias_act(&y, None, None, &BiasAct::lrelu())?;
        let b = modulate(&y, s)?;
        (add(&a, &b)? + y.sqr()?)?.sum_all()
    }

    #[test]
    fn gradients_are_those_of_candles_own_walk_and_right() -> Result<()> {
        let [x, s] = pictures()?;
        let loss = branching(&x, &s)?;
        let ours = backward(&loss)?;
        let candles = loss.backward()?;
        let read = |t: &Tensor| t.flatten_all()?.to_vec1::<f64>();
        for var in [&x, &s] {
            let candles = candles.get(var).expect("gradient");
            assert_eq!(read(ours.require("variable", var)?)?, read(candles)?);
        }
        let dx = read(ours.require("x", &x)?)?;
        let values = read(&x)?;
        for (i, (d, x)) in dx.iter().zip(values).enumerate() {
            let s = [2., -1.][i / 4];
            let slope = if s * x > 0. { 1. } else { 0.2 } * 2f64.sqrt();
            let expected = s * (slope + s + 2. * s * x);
            assert!((d - expected).abs() < 1e-12, "{d} {expected}");
        }
        Ok(())
    }

    #[test]
    fn second_order_goes_through_stand_ins() -> Result<()> {
        let [x, s] = pictures()?;
        // d/dx (s^3 x^2 / 2 summed) = s^3 x, whose square has the gradient 2 s^6 x.
        let y = modulate(&x, &s)?;
        let loss = (modulate(&y, &s)? * &y)?.sum_all()?;
        let slope = grad(&loss, &[x.as_tensor()])?.remove(0);
        let gradients = backward(&slope.sqr()?.sum_all()?)?;
        let dx: Vec<f64> = gradients.require("x", &x)?.flatten_all()?.to_vec1()?;
        let x: Vec<f64> = x.flatten_all()?.to_vec1()?;
        for (i, (d, x)) in dx.iter().zip(x).enumerate() {
            let s: f64 = [2., -1.][i / 4];
            assert!((d - 8. * s.powi(6) * x).abs() < 1e-9, "{d} {x}");
        }
        Ok(())
    }

    #[test]
    fn a_stand_in_goes_with_its_result() -> Result<()> {
        let [x, s] = pictures()?;
        let y = modulate(&x, &s)?;
        let id = y.id();
        assert!(stand_in(&y).is_some());
        assert!(stand_in(&y.detach()).is_none());
        // The graph of what was computed from it needs it.
        let z = modulate(&y, &s)?;
        drop(y);
        assert!(stand_ins().contains_key(&id));
        drop(z);
        assert!(!stand_ins().contains_key(&id));
        Ok(())
    }

    #[test]
    fn what_a_failed_walk_left_behind_is_an_error_in_candles_walk_and_no_part_of_ours() -> Result<()>
    {
        let [x, s] = pictures()?;
        let y = modulate(&x, &s)?;
        let loss = y.sum_all()?;
        let expected: Vec<f64> = backward(&loss)?
            .require("x", &x)?
            .flatten_all()?
            .to_vec1()?;
        send(&stand_in(&y).expect("stand-in"), &y.ones_like()?)?;
        let ours: Vec<f64> = backward(&loss)?
            .require("x", &x)?
            .flatten_all()?
            .to_vec1()?;
        assert_eq!(ours, expected);
        let message = loss.backward().expect_err("one too many").to_string();
        assert!(
            message.contains("expected 1 gradients of an operator's result, got 2"),
            "{message}"
        );
        assert!(loss.backward().is_ok());
        Ok(())
    }
}
