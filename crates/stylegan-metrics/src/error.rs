//! The one error type of this crate.

use stylegan_data::DataError;

/// Why sets of pictures can't be compared, or feature maps not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Pictures of a side that the pyramid can't be built on.
    #[error(
        "pictures of {side}x{side}: the metrics need a power of two from 8 to 1024; resize them (--resolution)"
    )]
    Side {
        /// Width and height in pixels.
        side: usize,
    },
    /// The two sets hold pictures of different sizes or modes.
    #[error(
        "the sets can't be compared: reals are {reals}, fakes are {fakes}; resize both to one size (--resolution), convert both to one mode"
    )]
    Different {
        /// Size and channels of the reals.
        reals: String,
        /// Size and channels of the fakes.
        fakes: String,
    },
    /// One of the sets has no picture.
    #[error("the sets can't be compared: {reals} reals and {fakes} fakes; each needs a picture")]
    Empty {
        /// Number of reals.
        reals: usize,
        /// Number of fakes.
        fakes: usize,
    },
    /// Generated pictures that don't fit into the set.
    #[error(
        "pictures {found:?} don't fit into a set of {expected}; expected [N, channels, side, side] with that side or a multiple of it"
    )]
    Shape {
        /// Size and channels of the set.
        expected: String,
        /// Shape of the tensor.
        found: Vec<usize>,
    },
    /// A generated picture has a value that is not a number.
    #[error("generated pictures hold values that are not numbers (NaN); the network is damaged")]
    NotANumber,
    /// Too few portraits for a regression.
    #[error(
        "factors of portraits: expected at least 2 portraits to fit to and 2 to measure with, found {fitted} and {held_out}"
    )]
    Portraits {
        /// Portraits to fit to.
        fitted: usize,
        /// Portraits to measure with.
        held_out: usize,
    },
    /// Feature maps of the wrong shape, or with values that can't be measured.
    #[error("feature maps: {0}")]
    FeatureMaps(String),
    /// The dataset can't be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Candle could not compute with a tensor.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
