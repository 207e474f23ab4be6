//! The one error type of this crate.

use std::path::PathBuf;

use stylegan_data::DataError;

/// What can be wrong with a video.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The name says none of the formats.
    #[error(
        "{}: expected a name that ends in .mp4, .webp or .gif, or of a folder for frames", .path.display()
    )]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// An option is out of its range, or the format has nothing like it.
    #[error("{}: {reason}", .path.display())]
    Options {
        /// The file or folder to be written.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A frame that doesn't belong to the others, or that the format has no place for.
    #[error("{}: frame {frame}: {reason}", .path.display())]
    Frame {
        /// The file or folder to be written.
        path: PathBuf,
        /// Its number, from 0.
        frame: usize,
        /// What was expected and found.
        reason: String,
    },
    /// There are no frames at all.
    #[error("{}: expected at least one frame, found none", .path.display())]
    Empty {
        /// The file or folder to be written.
        path: PathBuf,
    },
    /// The file or folder can't be written.
    #[error(transparent)]
    Write(#[from] DataError),
}
