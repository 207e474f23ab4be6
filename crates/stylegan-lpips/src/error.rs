//! Why a file gives no weights.

use std::path::PathBuf;

use stylegan_checkpoint::TensorProblems;
use stylegan_checkpoint::pickle::ReadError;

/// Why a file gives no weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LpipsError {
    /// The file is not there, or can't be read.
    #[error("{}: the file can't be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no safetensors file, or not a whole one.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ReadError>,
    },
    /// Another kind of file.
    #[error(
        "{}: expected a safetensors file with the weights of VGG16, found a pickle or a PyTorch file; docs/projection.md says how to make one", .path.display()
    )]
    NotSafetensors {
        /// The file.
        path: PathBuf,
    },
    /// Tensors that are missing, not asked for, or of another shape or data type.
    #[error(
        "{}: these are not the weights of VGG16: {problems}; docs/projection.md says how to make the file", .path.display()
    )]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Which tensors, and what was expected and found.
        problems: TensorProblems,
    },
    /// An error of candle, e.g. from the device.
    #[error("{}: {source}", .path.display())]
    Candle {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: candle_core::Error,
    },
}
