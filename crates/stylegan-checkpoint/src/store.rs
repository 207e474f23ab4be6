//! The named parameters of one network.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::Rng;

use crate::error::{Mismatch, Result, TensorProblems, describe};
use crate::init::SeededInit;

/// Whether a tensor of that name is a buffer: stored with the network, but not trained.
///
/// Buffers are `w_avg` (the mapping network's moving average), `noise_const` (the stored noise maps)
/// and `resample_filter`, as the last part of the dotted name. The last is in public checkpoints only,
/// and in what is made from them: new networks take their filter from the configuration.
pub fn is_buffer(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "w_avg" | "noise_const" | "resample_filter")
}

/// The trainable parameters and buffers of one network, by name.
///
/// Iteration is sorted by name, so that results never depend on hash order. All tensors have one
/// floating point data type and one device, and own their storage: a store is copied by
/// [`deep_copy`](Self::deep_copy) only.
pub struct ParamStore {
    vars: BTreeMap<String, Var>,
    dtype: DType,
    device: Device,
}

impl ParamStore {
    /// Draws the parameters of a new network.
    ///
    /// `build` is called once with a `VarBuilder` that creates each tensor it is asked for from its
    /// [`Init`] hint (`Const`, `Randn` or `Uniform`; anything else is an error) with `rng`, in the
    /// order of the calls. What `build` returns is dropped: networks are built from
    /// [`var_builder`](Self::var_builder) as often as needed.
    ///
    /// The same seed gives the same weights on every device and in every data type (drawn in f64 on
    /// the CPU, then rounded). `dtype` must be one of f16, bf16, f32, f64.
    pub fn initialize<T>(
        dtype: DType,
        device: &Device,
        rng: &mut (impl Rng + Send + ?Sized),
        build: impl FnOnce(VarBuilder) -> candle_core::Result<T>,
    ) -> candle_core::Result<Self> {
        check_float(dtype)?;
        let vars = Mutex::new(BTreeMap::new());
        let backend = Box::new(SeededInit::new(rng, &vars));
        build(VarBuilder::from_backend(backend, dtype, device.clone()))?;
        let vars = vars.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            vars,
            dtype,
            device: device.clone(),
        })
    }

    /// A store that holds copies of the given tensors.
    ///
    /// # Errors
    /// There are none, or they differ in data type or device, or the type is no floating point type.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let Some((first, like)) = tensors.first_key_value() else {
            return Err(candle_core::Error::msg(
                "a parameter store needs at least one tensor, got none",
            )
            .into());
        };
        let (first, dtype, device) = (first.clone(), like.dtype(), like.device().clone());
        check_float(dtype)?;
        let mut vars = BTreeMap::new();
        for (name, tensor) in tensors {
            if tensor.dtype() != dtype || !tensor.device().same_device(&device) {
                let error = candle_core::Error::msg(format!(
                    "{name}: expected {dtype:?} on {device:?} as {first} has, got {:?} on {:?}",
                    tensor.dtype(),
                    tensor.device()
                ));
                return Err(error.into());
            }
            // A `Var` made from a variable would share its storage: detach first.
            vars.insert(name, Var::from_tensor(&tensor.detach())?);
        }
        Ok(Self {
            vars,
            dtype,
            device,
        })
    }

    /// A store with the same names and values and storage of its own, e.g. for the EMA generator.
    pub fn deep_copy(&self) -> Result<Self> {
        let copy = |(name, var): (&String, &Var)| {
            Ok((name.clone(), Var::from_tensor(&var.as_detached_tensor())?))
        };
        let vars = self.vars.iter().map(copy).collect::<Result<_>>()?;
        Ok(Self {
            vars,
            dtype: self.dtype,
            device: self.device.clone(),
        })
    }

    /// Builds networks for training: trainable parameters come out as the variables themselves, which
    /// candle tracks, and buffers as detached tensors that share the variable's storage.
    ///
    /// Asking for an unknown name, another shape or another data type is an error.
    pub fn var_builder(&self) -> VarBuilder<'_> {
        self.builder(false)
    }

    /// Builds networks that record no graph: every tensor is detached but shares the variable's
    /// storage, so a network built once sees each later [`Var::set`].
    ///
    /// Asking for an unknown name, another shape or another data type is an error.
    pub fn frozen_var_builder(&self) -> VarBuilder<'_> {
        self.builder(true)
    }

    fn builder(&self, frozen: bool) -> VarBuilder<'_> {
        let backend = Box::new(View {
            store: self,
            frozen,
        });
        VarBuilder::from_backend(backend, self.dtype, self.device.clone())
    }

    /// All tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The tensors that are trained, sorted by name.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| !is_buffer(name))
    }

    /// The tensors that are stored but not trained (see [`is_buffer`]), sorted by name.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| is_buffer(name))
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// All tensors, detached. They share the store's memory and show later changes: take a
    /// [`deep_copy`](Self::deep_copy) first where a moment has to be kept.
    pub fn to_tensors(&self) -> BTreeMap<String, Tensor> {
        self.vars
            .iter()
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect()
    }

    /// Overwrites every tensor in place, so that networks built from this store see the new values.
    ///
    /// # Errors
    /// The names, shapes and data types must be exactly the store's; the error lists all that aren't,
    /// and nothing has changed. Tensors on another device are moved.
    pub fn assign(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        self.compare(tensors).into_result()?;
        // A variable can't be set from its own storage, and one that was already set must not be read.
        let own: HashSet<_> = self.vars.values().map(|var| storage_address(var)).collect();
        let mut sources = Vec::with_capacity(self.vars.len());
        for (name, var) in &self.vars {
            if let Some(tensor) = tensors.get(name) {
                let tensor = tensor.to_device(&self.device)?;
                let shared = own.contains(&storage_address(&tensor));
                sources.push((var, if shared { tensor.copy()? } else { tensor }));
            }
        }
        for (var, tensor) in sources {
            var.set(&tensor)?;
        }
        Ok(())
    }

    fn compare(&self, tensors: &BTreeMap<String, Tensor>) -> TensorProblems {
        let mut problems = TensorProblems::default();
        for (name, var) in &self.vars {
            match tensors.get(name) {
                None => problems.missing.push(name.clone()),
                Some(t) if (t.shape(), t.dtype()) != (var.shape(), var.dtype()) => {
                    problems.mismatched.push(Mismatch {
                        name: name.clone(),
                        expected: describe(var.shape(), var.dtype()),
                        found: describe(t.shape(), t.dtype()),
                    });
                }
                Some(_) => {}
            }
        }
        problems.unknown = tensors
            .keys()
            .filter(|name| !self.vars.contains_key(*name))
            .cloned()
            .collect();
        problems
    }

    /// The data type of all tensors.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device of all tensors.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// How many numbers all tensors hold together.
    pub fn element_count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }
}

impl fmt::Debug for ParamStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamStore")
            .field("tensors", &self.len())
            .field("elements", &self.element_count())
            .field("dtype", &self.dtype)
            .field("device", &self.device)
            .finish()
    }
}

/// Hands out the tensors of a store.
struct View<'a> {
    store: &'a ParamStore,
    frozen: bool,
}

impl SimpleBackend for View<'_> {
    fn get(
        &self,
        s: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, dev)?;
        if tensor.shape() != &s {
            bail!(
                "{name}: expected shape {:?}, the parameter store has {:?}",
                s.dims(),
                tensor.dims()
            );
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        let store = self.store;
        let Some(var) = store.get(name) else {
            bail!(
                "{name}: not in the parameter store, which has {} tensors",
                store.len()
            );
        };
        // A conversion would make a copy, which neither training nor later updates would reach.
        if dtype != store.dtype || !dev.same_device(&store.device) {
            bail!(
                "{name}: expected {dtype:?} on {dev:?}, the parameter store has {:?} on {:?}",
                store.dtype,
                store.device
            );
        }
        let detached = self.frozen || is_buffer(name);
        Ok(if detached {
            var.as_detached_tensor()
        } else {
            var.as_tensor().clone()
        })
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.store.get(name).is_some()
    }
}

pub(crate) fn check_float(dtype: DType) -> candle_core::Result<()> {
    if !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        bail!("parameters are f16, bf16, f32 or f64, got {dtype:?}");
    }
    Ok(())
}

/// Identifies a tensor's allocation.
fn storage_address(tensor: &Tensor) -> *const candle_core::Storage {
    &*tensor.storage_and_layout().0
}
