//! Weights from files.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use stylegan_checkpoint::archive::Contents;
use stylegan_checkpoint::pickle::Limits;
use stylegan_checkpoint::{CheckpointError, load_network};

use crate::{Lpips, LpipsError, Vgg16Config};

/// The layers behind the convolutions, which have no part in LPIPS.
const CLASSIFIER: &str = "classifier.";

impl Lpips {
    /// The published network from a safetensors file: torchvision's `features.{i}.weight` and `.bias`, and, all of
    /// them or none, the `lin{k}.model.1.weight` of the `lpips` package. Tensors under `classifier.` are passed over.
    /// It records no gradients of its weights.
    ///
    /// # Errors
    /// The file is not there, can't be read, or is no safetensors file; or its tensors are not exactly these, of the
    /// published widths, with all that are missing, unknown or of another shape.
    pub fn read(path: &Path, dtype: DType, device: &Device) -> Result<Self, LpipsError> {
        Self::read_as(&Vgg16Config::default(), path, dtype, device)
    }

    /// [`read`](Self::read) of a network of other widths.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_as(
        config: &Vgg16Config,
        path: &Path,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, LpipsError> {
        let failed = |source| match source {
            CheckpointError::Tensors { problems, .. } => LpipsError::Tensors {
                path: path.to_path_buf(),
                problems,
            },
            source => LpipsError::Candle {
                path: path.to_path_buf(),
                source: source.into(),
            },
        };
        let tensors = read_tensors(path)?;
        let build = |vb: VarBuilder| Self::new(config, vb);
        let params = load_network(&tensors, dtype, device, build).map_err(failed)?;
        Self::new(config, params.frozen_var_builder()).map_err(|source| failed(source.into()))
    }
}

/// The tensors of a safetensors file, without those of the classifier.
fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, LpipsError> {
    let bytes = std::fs::read(path).map_err(|source| LpipsError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let failed = |source| LpipsError::File {
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    let Contents::Tensors(file) = Contents::open(&bytes, &Limits::default()).map_err(failed)?
    else {
        return Err(LpipsError::NotSafetensors {
            path: path.to_path_buf(),
        });
    };
    let used = file.tensors.iter();
    used.filter(|(name, _)| !name.starts_with(CLASSIFIER))
        .map(|(name, tensor)| Ok((name.clone(), file.load(tensor).map_err(failed)?)))
        .collect()
}
