use std::path::PathBuf;

use stylegan_checkpoint::CheckpointError;
use stylegan_checkpoint::pickle::ReadError;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, ImportError>;

/// Why a file gives no network, or a network no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is no file under that path.
    #[error("{}: no such file; check the path", .path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file exists but can't be read.
    #[error("{}: the file can't be read: {source}; check the path and its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file can't be written; what was there before is untouched.
    #[error(
        "{}: the file can't be written: {source}; choose a folder that exists, that you may write to, and that has room", .path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An error about the content of a file.
    #[error("{}: {source}", .path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        source: Box<ImportError>,
    },
    /// The file is damaged, hostile, or of no known kind.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The file is in order, but holds no network of a supported family.
    #[error("expected a ProGAN, StyleGAN or StyleGAN2 network, found {found}")]
    NoNetwork {
        /// What is in the file.
        found: String,
    },
    /// A network of a supported family, of a form that isn't.
    #[error("{network}: {problem}")]
    Network {
        /// Which network of the file, e.g. `G_ema`.
        network: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// The network's tensors are not those of its configuration.
    #[error("{network}: {source}")]
    Tensors {
        /// Which network of the file, e.g. `G_ema`.
        network: String,
        /// Which tensors, and what was expected and found.
        source: Box<CheckpointError>,
    },
    /// The network has no place in the format asked for.
    #[error("{network} can't be written as {format}: {problem}")]
    Unwritable {
        /// Which network.
        network: String,
        /// The format asked for.
        format: &'static str,
        /// What the format doesn't have.
        problem: String,
    },
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl ImportError {
    pub(crate) fn network(network: &str, problem: impl Into<String>) -> Self {
        Self::Network {
            network: network.to_string(),
            problem: problem.into(),
        }
    }

    pub(crate) fn tensors(network: &str, source: CheckpointError) -> Self {
        Self::Tensors {
            network: network.to_string(),
            source: Box::new(source),
        }
    }

    pub(crate) fn no_network(found: impl Into<String>) -> Self {
        Self::NoNetwork {
            found: found.into(),
        }
    }
}
