//! Checkpoint files: named tensors and one JSON document in a safetensors file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use safetensors::tensor::{Dtype, TensorView, View};
use safetensors::{SafeTensorError, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{CheckpointError, Result};
use crate::file::{read_file, write_atomically};
use crate::load::load_network;
use crate::store::ParamStore;

/// The one entry of the safetensors metadata. The format's metadata map has no order, so a second
/// entry would make files with the same content differ.
pub(crate) const METADATA_KEY: &str = "stylegan-rs";

/// Named tensors and a JSON document, as one safetensors file.
///
/// Tensors of several networks and optimizers live in one checkpoint under prefixes such as `G_ema.`,
/// which [`insert_section`](Self::insert_section) adds and [`section`](Self::section) removes. Numbers
/// of the document come back exactly, including every f64.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Anything that describes the tensors: configurations, counters, random generator states.
    pub metadata: serde_json::Value,
    /// The tensors by full name.
    pub tensors: BTreeMap<String, Tensor>,
    path: Option<PathBuf>,
}

/// What the metadata entry holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    /// [`checksum`] of the document and all tensors: the format itself has none.
    crc32: u32,
    document: Box<RawValue>,
}

impl Checkpoint {
    /// A checkpoint without tensors.
    pub fn new(metadata: serde_json::Value) -> Self {
        Self {
            metadata,
            tensors: BTreeMap::new(),
            path: None,
        }
    }

    /// The file this was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Adds tensors under `prefix` (e.g. `"G_ema."`, with its dot), replacing those of the same name.
    pub fn insert_section(&mut self, prefix: &str, tensors: BTreeMap<String, Tensor>) {
        let named = tensors
            .into_iter()
            .map(|(name, tensor)| (format!("{prefix}{name}"), tensor));
        self.tensors.extend(named);
    }

    /// The tensors under `prefix` (e.g. `"G_ema."`, with its dot), without the prefix.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`] where there are none.
    pub fn section(&self, prefix: &str) -> Result<BTreeMap<String, Tensor>> {
        let strip = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()))
        };
        let section: BTreeMap<_, _> = self.tensors.iter().filter_map(strip).collect();
        if section.is_empty() {
            let first_part = |name: &String| name.split_inclusive('.').next().map(str::to_string);
            let found: BTreeSet<_> = self.tensors.keys().filter_map(first_part).collect();
            return Err(CheckpointError::MissingSection {
                path: self.path.clone(),
                prefix: prefix.to_string(),
                found: found.into_iter().collect(),
            });
        }
        Ok(section)
    }

    /// [`load_network`] from the tensors under `prefix`; errors name the file as well.
    pub fn load_network<T>(
        &self,
        prefix: &str,
        dtype: DType,
        device: &Device,
        build: impl FnOnce(VarBuilder) -> candle_core::Result<T>,
    ) -> Result<ParamStore> {
        let section = self.section(prefix)?;
        load_network(&section, dtype, device, build).map_err(|e| e.in_file(self.path()))
    }

    /// The document as a type of the caller's.
    ///
    /// # Errors
    /// [`CheckpointError::Metadata`] where it doesn't have that form.
    pub fn metadata_as<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.metadata).map_err(|source| CheckpointError::Metadata {
            path: self.path.clone(),
            source,
        })
    }

    /// Writes the file: first under a temporary name in the same folder, then flushed to the disk and
    /// renamed, so that `path` holds either the old or the new checkpoint, whatever happens.
    ///
    /// The same content gives the same bytes. Tensors of any layout and device can be written; their
    /// data types are u8, u32, i16, i32, i64, f16, bf16, f32 and f64.
    ///
    /// # Errors
    /// [`CheckpointError::Write`] where the folder is missing, can't be written, or is full.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            check_storable(name, tensor.dtype())?;
            tensors.insert(name.as_str(), tensor.to_device(&Device::Cpu)?);
        }
        let envelope = self.seal(&tensors).map_err(candle_core::Error::wrap)?;
        let metadata = HashMap::from([(METADATA_KEY.to_string(), envelope)]);
        write_atomically(path, |file| {
            safetensors::serialize_to_file(&tensors, Some(metadata), file).map_err(|error| {
                match error {
                    SafeTensorError::IoError(error) => error,
                    error => io::Error::other(error),
                }
            })
        })
        .map_err(|source| CheckpointError::Write {
            path: path.to_path_buf(),
            source,
        })
    }

    /// The document and the checksum as JSON, with sorted keys.
    fn seal(&self, tensors: &BTreeMap<&str, Tensor>) -> serde_json::Result<String> {
        let mut document = self.metadata.clone();
        // Objects keep insertion order where any crate turns on serde_json's `preserve_order`.
        document.sort_all_objects();
        let document = serde_json::value::to_raw_value(&document)?;
        let crc32 = checksum(document.get(), tensors);
        serde_json::to_string(&Envelope { crc32, document })
    }

    /// Reads a file that [`write`](Self::write) made, with its tensors on `device`.
    ///
    /// Memory use is bounded by twice the size of the file, whatever it claims to hold.
    ///
    /// # Errors
    /// Each names the file: [`NotFound`](CheckpointError::NotFound), [`Read`](CheckpointError::Read),
    /// [`NotACheckpoint`](CheckpointError::NotACheckpoint) for other files, and
    /// [`Damaged`](CheckpointError::Damaged) where bytes were lost or changed.
    pub fn read(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(&read_file(path)?, path, device)
    }

    /// [`read`](Self::read) of a file's content; errors call it `path`.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), except for the file being absent.
    pub fn from_bytes(bytes: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let damaged = |reason: String| CheckpointError::Damaged {
            path: path.to_path_buf(),
            reason,
        };
        let not_ours = |reason: String| CheckpointError::NotACheckpoint {
            path: path.to_path_buf(),
            reason,
        };
        let invalid =
            |error: SafeTensorError| damaged(format!("it was cut short or changed ({error})"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
        let envelope = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(METADATA_KEY));
        let envelope = envelope.ok_or_else(|| {
            not_ours(format!(
                "a safetensors file without `{METADATA_KEY}` metadata"
            ))
        })?;
        let json =
            |error: serde_json::Error| damaged(format!("its metadata can't be read ({error})"));
        let Envelope { crc32, document } = serde_json::from_str(envelope).map_err(json)?;
        let metadata = serde_json::from_str(document.get()).map_err(json)?;

        let archive = SafeTensors::deserialize(bytes).map_err(invalid)?;
        let views: BTreeMap<_, _> = archive.iter().collect();
        if checksum(document.get(), &views) != crc32 {
            return Err(damaged(
                "its content doesn't match its checksum".to_string(),
            ));
        }
        let mut tensors = BTreeMap::new();
        for (name, view) in views {
            check_loadable(&view).map_err(|reason| not_ours(format!("tensor {name} {reason}")))?;
            tensors.insert(name.to_string(), view.load(device)?);
        }
        Ok(Self {
            metadata,
            tensors,
            path: Some(path.to_path_buf()),
        })
    }
}

/// CRC-32 of the document and of name, type, shape and bytes of every tensor, sorted by name.
fn checksum<V>(document: &str, tensors: &BTreeMap<&str, V>) -> u32
where
    for<'a> &'a V: View,
{
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(document.as_bytes());
    for (name, tensor) in tensors {
        hasher.update(format!("\n{name} {} {:?}\n", tensor.dtype(), tensor.shape()).as_bytes());
        hasher.update(&tensor.data());
    }
    hasher.finalize()
}

/// Whether tensors of that type are written and read.
fn is_supported(dtype: Dtype) -> bool {
    use Dtype::{BF16, F16, F32, F64, I16, I32, I64, U8, U32};
    matches!(dtype, U8 | U32 | I16 | I32 | I64 | F16 | BF16 | F32 | F64)
}

fn check_storable(name: &str, dtype: DType) -> Result<()> {
    let reason = if name == "__metadata__" {
        "the safetensors format reserves this name".to_string()
    } else if !is_supported(dtype.into()) {
        format!("its data type is {dtype:?}; convert it to f32")
    } else {
        return Ok(());
    };
    Err(CheckpointError::Unstorable {
        name: name.to_string(),
        reason,
    })
}

/// What no file of ours has, though the format allows it.
fn check_loadable(view: &TensorView) -> std::result::Result<(), String> {
    if !is_supported(view.dtype()) {
        return Err(format!("has the data type {}", view.dtype()));
    }
    // candle multiplies the sizes to get strides, also where one of them is zero.
    let mut sizes = view.shape().iter();
    let elements = sizes.try_fold(1usize, |n, &size| n.checked_mul(size.max(1)));
    match elements {
        Some(_) => Ok(()),
        None => Err(format!("has the impossible shape {:?}", view.shape())),
    }
}
