//! What can go wrong in a training run, worded for whoever started it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use stylegan_checkpoint::CheckpointError;
use stylegan_data::DataError;

/// An option whose value can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", format!("--{option} {value}").trim_end())]
pub struct OptionError {
    /// The option's name without dashes, e.g. `batch-gpu`.
    pub option: &'static str,
    /// The value that was given (or that the preset chose); empty for a switch.
    pub value: String,
    /// What is wrong with it and what to give instead.
    pub problem: String,
}

impl OptionError {
    /// An error about `--option value`.
    pub fn new(option: &'static str, value: impl Display, problem: impl Into<String>) -> Self {
        Self {
            option,
            value: value.to_string(),
            problem: problem.into(),
        }
    }
}

/// Everything that ends a training run early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option can't be used, alone or beside the others.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The pictures can't be read or don't fit together.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint can't be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint to resume from is damaged; `advice` says how to go on.
    #[error("{source}\n  {advice}")]
    Resume {
        /// What is wrong with the checkpoint.
        source: CheckpointError,
        /// What to do instead.
        advice: String,
    },
    /// A checkpoint of a form that this version doesn't know.
    #[error(
        "{}: the checkpoint was made by a newer version of stylegan-rs: its format is {found}, this version reads up to {known}; use the newer version", path.display()
    )]
    NewerFormat {
        /// The checkpoint.
        path: PathBuf,
        /// The number of its form.
        found: u32,
        /// The newest form that this version reads.
        known: u32,
    },
    /// A file of the run folder can't be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: `write`, `create the folder`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A run folder or file isn't what the command needs.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The file or folder.
        path: PathBuf,
        /// What was expected, what was found, and what to do.
        problem: String,
    },
    /// A tensor operation failed, or a training step gave numbers that are not finite.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// Maps an I/O error of `action` on `path`, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// A run folder or file that isn't what the command needs.
    pub(crate) fn run(path: &Path, problem: impl Into<String>) -> Self {
        Self::Run {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }
}
