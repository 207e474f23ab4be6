//! What can go wrong, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use candle_core::{DType, Shape};

use crate::tensorflow::VariableProblem;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, CheckpointError>;

/// Errors of parameter stores and checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// There is no file under that path.
    #[error("{}: no such checkpoint; check the path", .path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file exists but can't be read.
    #[error("{}: the checkpoint can't be read: {source}; check the path and its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no checkpoint of this crate.
    #[error(
        "{}: not a checkpoint: {reason}; expected a .safetensors file written by stylegan-rs", .path.display()
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The file is a checkpoint that lost or changed bytes.
    #[error(
        "{}: the checkpoint is damaged: {reason}; copy it again from its source, or use an earlier one", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What doesn't hold.
        reason: String,
    },
    /// The JSON document doesn't have the form the caller expects.
    #[error("{}the checkpoint's metadata doesn't fit: {source}; it was written for another purpose or by another version", in_file(.path))]
    Metadata {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What is missing or has another type.
        source: serde_json::Error,
    },
    /// The file can't be written; what was there before is untouched.
    #[error(
        "{}: the checkpoint can't be written: {source}; choose a folder that exists, that you may write to, and that has room", .path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A tensor can't be stored: its data type or name has no place in a checkpoint.
    #[error("tensor {name} can't be stored: {reason}")]
    Unstorable {
        /// The tensor's name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No tensor's name starts with the section's prefix.
    #[error("{}no tensors under `{prefix}`; found the sections: {}", in_file(.path), list(.found))]
    MissingSection {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// The prefix asked for.
        prefix: String,
        /// The prefixes (up to the first dot) that the checkpoint has.
        found: Vec<String>,
    },
    /// Tensors that are missing, not asked for, or of another shape or data type.
    #[error(
        "{}the tensors don't match: {problems}; check that they come from a network of the same configuration", in_file(.path)
    )]
    Tensors {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// Which tensors, and what was expected and found.
        problems: TensorProblems,
    },
    /// Variables that a TensorFlow network of that kind and resolution doesn't have.
    #[error(
        "not the variables of a TensorFlow {network} of {resolution}x{resolution}: {}; check that they come from a ProGAN or StyleGAN {network}", list(.problems)
    )]
    Variables {
        /// `generator` or `discriminator`.
        network: &'static str,
        /// Width and height of the network's images.
        resolution: usize,
        /// What is wrong with which variable, by name.
        problems: Vec<VariableProblem>,
    },
    /// No variable belongs to a layer of a TensorFlow network.
    #[error("no variables under `4x4/`, `8x8/`, ..., as a ProGAN or StyleGAN network has; found {}", list(.found))]
    NoLayers {
        /// The variables' names.
        found: Vec<String>,
    },
    /// An error of candle, e.g. from the device.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl CheckpointError {
    /// The same error with the file it happened in, where it doesn't name one yet.
    pub(crate) fn in_file(mut self, file: Option<&Path>) -> Self {
        if let Self::Tensors { path, .. } = &mut self {
            *path = path.take().or_else(|| file.map(Path::to_path_buf));
        }
        self
    }
}

impl From<CheckpointError> for candle_core::Error {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Candle(error) => error,
            error => Self::wrap(error),
        }
    }
}

/// How a set of named tensors differs from the one expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorProblems {
    /// Names that were expected and not found, sorted.
    pub missing: Vec<String>,
    /// Names that were found and not expected, sorted.
    pub unknown: Vec<String>,
    /// Tensors of the wrong shape or data type, sorted by name.
    pub mismatched: Vec<Mismatch>,
}

/// One tensor that isn't as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The tensor's name.
    pub name: String,
    /// The shape and data type expected, e.g. `[512, 512] f32`.
    pub expected: String,
    /// The shape and data type found.
    pub found: String,
}

impl TensorProblems {
    /// `Ok` where there are none.
    pub(crate) fn into_result(self) -> Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        Err(CheckpointError::Tensors {
            path: None,
            problems: self,
        })
    }
}

impl fmt::Display for TensorProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {}", list(&self.missing)));
        }
        if !self.unknown.is_empty() {
            parts.push(format!("unknown {}", list(&self.unknown)));
        }
        if !self.mismatched.is_empty() {
            parts.push(list(&self.mismatched));
        }
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            expected,
            found,
        } = self;
        write!(f, "{name} (expected {expected}, found {found})")
    }
}

/// `[512, 512] f32`.
pub(crate) fn describe(shape: &Shape, dtype: DType) -> String {
    format!("{:?} {}", shape.dims(), dtype.as_str())
}

/// The first few items, and how many more there are.
fn list<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 6;
    if items.is_empty() {
        return "none".to_string();
    }
    let shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    let more = match items.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    shown.join(", ") + &more
}

/// `FILE: `, or nothing.
fn in_file(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map(|p| format!("{}: ", p.display()))
        .unwrap_or_default()
}
