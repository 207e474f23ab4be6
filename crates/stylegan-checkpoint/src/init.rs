//! A `VarBuilder` backend that draws every tensor from a seeded generator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var, bail};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// Creates each tensor that is asked for from its [`Init`] hint, and records it in `vars`.
pub(crate) struct SeededInit<'a, R: ?Sized> {
    rng: Mutex<&'a mut R>,
    vars: &'a Mutex<BTreeMap<String, Var>>,
}

impl<'a, R: Rng + Send + ?Sized> SeededInit<'a, R> {
    pub(crate) fn new(rng: &'a mut R, vars: &'a Mutex<BTreeMap<String, Var>>) -> Self {
        Self {
            rng: Mutex::new(rng),
            vars,
        }
    }

    /// The values are drawn in f64 whatever the data type, so that a seed means the same weights
    /// in every precision and on every device.
    fn draw(&self, shape: &Shape, name: &str, init: Init) -> Result<Vec<f64>> {
        let count = shape.elem_count();
        let mut rng = lock(&self.rng);
        let values = match init {
            Init::Const(value) => vec![value; count],
            Init::Randn { mean, stdev } => {
                let normal = || mean + stdev * rng.sample::<f64, _>(StandardNormal);
                std::iter::repeat_with(normal).take(count).collect()
            }
            Init::Uniform { lo, up } => {
                let uniform = || lo + (up - lo) * rng.random::<f64>();
                std::iter::repeat_with(uniform).take(count).collect()
            }
            Init::Kaiming { .. } => bail!(
                "{name}: expected a Const, Randn or Uniform initialiser, got {init:?}; \
                 equalized learning rates need none that depends on the fan-in"
            ),
        };
        Ok(values)
    }
}

impl<R: Rng + Send + ?Sized> SimpleBackend for SeededInit<'_, R> {
    fn get(&self, s: Shape, name: &str, h: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        if let Some(var) = lock(self.vars).get(name) {
            if (var.shape(), var.dtype()) != (&s, dtype) {
                bail!(
                    "{name} is asked for twice, as {:?} {:?} and as {s:?} {dtype:?}",
                    var.shape(),
                    var.dtype()
                );
            }
            return Ok(var.as_tensor().clone());
        }
        let values = self.draw(&s, name, h)?;
        let tensor = Tensor::from_vec(values, s, &Device::Cpu)?
            .to_dtype(dtype)?
            .to_device(dev)?;
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        lock(self.vars).insert(name.to_string(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        match lock(self.vars).get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => Err(Error::msg(format!(
                "{name} can't be initialised without a shape; ask for it with `get`"
            ))),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        lock(self.vars).contains_key(name)
    }
}

/// Every critical section here leaves the data whole, so a panic elsewhere doesn't spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
