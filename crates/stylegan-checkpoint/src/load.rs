//! Strict loading: named tensors into the parameters that a network asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Error, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::error::{Mismatch, Result, TensorProblems, describe};
use crate::init::lock;
use crate::store::{ParamStore, check_float};

/// The parameters of the network that `build` makes, taken from `tensors`.
///
/// `build` is called once to find out which tensors the network asks for; what it returns is dropped.
/// Floating point tensors of another precision are converted to `dtype` and all are copied to `device`.
///
/// # Errors
/// One error lists every tensor that is missing, has another shape, isn't of a floating point type, or
/// that the network doesn't ask for. Exception: a `resample_filter` that isn't asked for is dropped,
/// since public checkpoints store one in every layer. One that is asked for (a network does so where
/// [`VarBuilder::contains_tensor`] finds it) is kept; checkpoints without any load as well.
pub fn load_network<T>(
    tensors: &BTreeMap<String, Tensor>,
    dtype: DType,
    device: &Device,
    build: impl FnOnce(VarBuilder) -> candle_core::Result<T>,
) -> Result<ParamStore> {
    check_float(dtype)?;
    let requests = Mutex::new(Requests::default());
    let backend = Box::new(Loader {
        tensors,
        requests: &requests,
    });
    let built = build(VarBuilder::from_backend(backend, dtype, device.clone()));
    let Requests {
        loaded,
        names,
        mut problems,
    } = requests
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if built.is_ok() {
        let unknown = |name: &&String| !names.contains(*name) && !is_filter(name);
        problems.unknown = tensors.keys().filter(unknown).cloned().collect();
    }
    // A network may ask for a tensor twice.
    problems.missing.sort();
    problems.missing.dedup();
    problems.mismatched.sort_by(|a, b| a.name.cmp(&b.name));
    problems.mismatched.dedup();
    // A build that stopped because of a wrong tensor is best explained by that tensor.
    problems.into_result()?;
    built?;
    ParamStore::from_tensors(loaded)
}

fn is_filter(name: &str) -> bool {
    name.rsplit('.').next() == Some("resample_filter")
}

/// Hands out the tensors, and notes what is asked for and what is wrong with it.
struct Loader<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    requests: &'a Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    names: BTreeSet<String>,
    loaded: BTreeMap<String, Tensor>,
    problems: TensorProblems,
}

impl Loader<'_> {
    /// The tensor where it fits, after a note of what is wrong where it doesn't.
    fn request(
        &self,
        name: &str,
        shape: Option<&Shape>,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Option<Tensor>> {
        let mut requests = lock(self.requests);
        requests.names.insert(name.to_string());
        let Some(tensor) = self.tensors.get(name) else {
            requests.problems.missing.push(name.to_string());
            return Ok(None);
        };
        let shape = shape.unwrap_or(tensor.shape());
        if tensor.shape() != shape || check_float(tensor.dtype()).is_err() {
            requests.problems.mismatched.push(Mismatch {
                name: name.to_string(),
                expected: describe(shape, dtype),
                found: describe(tensor.shape(), tensor.dtype()),
            });
            return Ok(None);
        }
        if let Some(tensor) = requests.loaded.get(name) {
            return Ok(Some(tensor.clone()));
        }
        let tensor = tensor.to_dtype(dtype)?.to_device(dev)?;
        requests.loaded.insert(name.to_string(), tensor.clone());
        Ok(Some(tensor))
    }
}

impl SimpleBackend for Loader<'_> {
    fn get(
        &self,
        s: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Tensor> {
        match self.request(name, Some(&s), dtype, dev)? {
            Some(tensor) => Ok(tensor),
            // A stand-in that takes no memory lets the build go on and find all problems at once.
            None => Tensor::zeros((), dtype, dev)?.broadcast_as(s),
        }
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.request(name, None, dtype, dev)?;
        tensor.ok_or_else(|| {
            Error::CannotFindTensor {
                path: name.to_string(),
            }
            .bt()
        })
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
