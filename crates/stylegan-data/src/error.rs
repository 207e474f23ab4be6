//! The one error type of this crate.

use std::path::PathBuf;

use crate::picture::Mode;

/// What can be wrong with a dataset, its labels or a grid picture.
///
/// Every message names the file, what was expected, what was found and what to do.
/// A file inside a dataset is written `DATASET: NAME`, with `/` between folders on every platform.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The dataset path does not exist.
    #[error("{}: no such file or folder; expected a folder or a zip of pictures", .path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The dataset path is a file, but not a zip archive that can be read.
    #[error("{}: neither a folder nor a readable zip archive ({source}); expected a folder or a zip of PNG, JPEG or WebP pictures", .path.display())]
    NotAnArchive {
        /// The path as given.
        path: PathBuf,
        /// What the zip reader said.
        source: zip::result::ZipError,
    },
    /// The operating system refused a read.
    #[error("{file}: can't be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the operating system or the zip reader said.
        source: std::io::Error,
    },
    /// A file that is larger than any real one, for example an archive that unpacks without end.
    #[error("{file}: larger than {limit_mib} MiB, the most that is read; replace or remove it")]
    TooLarge {
        /// The file.
        file: String,
        /// The most that is read of a file of its kind, in MiB.
        limit_mib: u64,
    },
    /// There is no picture in the dataset.
    #[error("{}: no pictures found; expected files ending in .png, .jpg, .jpeg or .webp{}", .path.display(), other_files(.others))]
    Empty {
        /// The dataset.
        path: PathBuf,
        /// Names of the files that are there, hidden ones left out.
        others: Vec<String>,
    },
    /// A picture is damaged or of a kind that can't be decoded.
    #[error("{file}: damaged or unsupported picture: {reason}; replace or remove it")]
    Damaged {
        /// The picture.
        file: String,
        /// What the decoder said.
        reason: String,
    },
    /// A picture differs from what was found when the dataset was opened.
    #[error(
        "{file}: changed while in use: expected {expected}, found {found}; open the dataset again"
    )]
    Changed {
        /// The picture.
        file: String,
        /// Size and mode at open.
        expected: String,
        /// Size and mode now.
        found: String,
    },
    /// A picture is not square and no resolution was asked for.
    #[error(
        "{file}: pictures must be square, this one is {width}x{height}; give a resolution (--resolution) to crop to the centre and resize"
    )]
    NotSquare {
        /// The picture.
        file: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The side of the pictures is not one that the networks take.
    #[error(
        "{file}: the side must be a power of two from 4 to 1024, this picture is {side}x{side}; give a resolution (--resolution) to resize"
    )]
    UnsupportedSide {
        /// The picture.
        file: String,
        /// Width and height in pixels.
        side: u32,
    },
    /// Pictures of different sizes and no resolution was asked for.
    #[error("{file}: all pictures must have the same size: expected {}x{} like {first}, found {}x{}; give a resolution (--resolution) to resize them all", .expected.0, .expected.1, .found.0, .found.1)]
    SizeMismatch {
        /// The picture that differs.
        file: String,
        /// Name of the first picture, which sets the expectation.
        first: String,
        /// Width and height of the first picture.
        expected: (u32, u32),
        /// Width and height of this picture.
        found: (u32, u32),
    },
    /// Pictures of different modes.
    #[error(
        "{file}: all pictures must have the same mode: expected {expected} like {first}, found {found}; convert the pictures to one mode"
    )]
    ModeMismatch {
        /// The picture that differs.
        file: String,
        /// Name of the first picture, which sets the expectation.
        first: String,
        /// Mode of the first picture.
        expected: Mode,
        /// Mode of this picture.
        found: Mode,
    },
    /// The resolution asked for is not one that the networks take.
    #[error("resolution {resolution}: expected a power of two from 4 to 1024{}", nearest(.resolution))]
    InvalidResolution {
        /// The resolution as given.
        resolution: usize,
    },
    /// The subset asked for is empty or larger than the dataset.
    #[error("subset {subset}: expected 1 to {available}, the number of pictures in {dataset}")]
    InvalidSubset {
        /// The subset as given.
        subset: usize,
        /// Number of pictures, not counting mirrored ones.
        available: usize,
        /// The dataset.
        dataset: String,
    },
    /// Labels were asked for, but there is no `dataset.json`.
    #[error(
        "{file}: not found, but labels are needed (--cond, or a network that was trained with labels); add it as {{\"labels\": [[\"FILE\", CLASS], ...]}}"
    )]
    NoLabels {
        /// Where the labels were expected.
        file: String,
    },
    /// `dataset.json` is not what it should be.
    #[error("{file}: {rule}")]
    InvalidLabels {
        /// The labels file.
        file: String,
        /// The rule that is broken, by what, and what to do.
        rule: String,
    },
    /// An index beyond the end of a dataset.
    #[error("picture {index}: the dataset has {len} pictures, expected an index below that")]
    IndexOutOfRange {
        /// The index as given.
        index: usize,
        /// Length of the dataset, mirrored pictures included.
        len: usize,
    },
    /// A sampler over nothing, or a saved one that contradicts itself.
    #[error("sampler: {0}")]
    InvalidSampler(String),
    /// A tensor that can't be shown as a grid.
    #[error("grid: {0}")]
    InvalidGrid(String),
    /// A picture could not be written.
    #[error("{}: can't be written: {reason}", .path.display())]
    Write {
        /// The file to be written.
        path: PathBuf,
        /// What the encoder or the operating system said.
        reason: String,
    },
    /// Candle could not build or move a tensor.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn other_files(others: &[String]) -> String {
    match others {
        [] => "; there are no files at all".to_string(),
        [one] => format!("; found only {one}"),
        [first, rest @ ..] => format!("; found only other files: {first} and {} more", rest.len()),
    }
}

fn nearest(resolution: &usize) -> String {
    let above = resolution.clamp(&4, &1024).next_power_of_two();
    if above / 2 >= 4 && above > *resolution {
        format!("; the nearest are {} and {above}", above / 2)
    } else {
        format!("; the nearest is {above}")
    }
}
