//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use stylegan_checkpoint::CheckpointError;
use stylegan_import::ImportError;

use crate::directions::NetworkKind;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, EditError>;

/// Why a direction can't be found, read or applied, or networks not be blended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// ProGAN, whose layers have no styles.
    #[error(
        "the layers of the network have no styles, as ProGAN's have none, so there is nothing to factorize; give a StyleGAN or a StyleGAN2"
    )]
    NoStyles,
    /// A layer that the network doesn't have.
    #[error("layer {layer}: the network has the layers 0 to {}", .num_ws - 1)]
    NoSuchLayer {
        /// The layer asked for.
        layer: usize,
        /// How many there are.
        num_ws: usize,
    },
    /// No layers, or one twice.
    #[error("expected at least one layer and each once, found {found:?}")]
    Layers {
        /// The layers asked for.
        found: Vec<usize>,
    },
    /// More directions than the space has.
    #[error("{count} directions: w has {w_dim} dimensions; ask for 1 to {w_dim}")]
    Count {
        /// How many were asked for.
        count: usize,
        /// How many there are.
        w_dim: usize,
    },
    /// Too few latents for a statement about their distribution.
    #[error("expected at least {expected} latents, found {found}")]
    TooFewLatents {
        /// The least number.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// Latents of another shape.
    #[error("expected latents {expected}, found {found:?}")]
    Shape {
        /// The shape that was expected, e.g. `[N, 512]`.
        expected: String,
        /// The shape given.
        found: Vec<usize>,
    },
    /// Latents of W+ where those of W are needed.
    #[error(
        "expected latents with the same w for all layers of a picture, found some whose layers differ"
    )]
    LayersDiffer,
    /// Latents or weights with values that nothing can be computed from.
    #[error("{what} hold values that are not finite numbers; the network or the file is damaged")]
    NotFinite {
        /// What holds them.
        what: &'static str,
    },
    /// As many labels as latents are needed.
    #[error("expected a label for each of the {latents} latents, found {labels}")]
    Labels {
        /// Number of latents.
        latents: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A boundary needs both sides.
    #[error(
        "expected at least {expected} latents of each class, found {positive} of the class and {negative} of the other"
    )]
    OneSided {
        /// The least number of each.
        expected: usize,
        /// Latents of the class.
        positive: usize,
        /// All others.
        negative: usize,
    },
    /// A boundary needs latents that differ.
    #[error("the latents are all the same, so that no boundary separates them")]
    NoSpread,
    /// A number out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    OutOfRange {
        /// The option's name.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// An iteration that doesn't settle.
    #[error("{what} didn't converge in {iterations} iterations")]
    NoConvergence {
        /// What was computed.
        what: &'static str,
        /// After how many steps it was given up.
        iterations: usize,
    },
    /// Nothing is left of a direction that had others taken out.
    #[error(
        "direction {name} lies within those that it is made orthogonal to ({others}); leave one out"
    )]
    NothingLeft {
        /// The direction's name.
        name: String,
        /// Names of the others.
        others: String,
    },
    /// A name that can't be a file's.
    #[error(
        "direction {name:?}: expected a name of 1 to 64 letters, digits, - and _, which is also the name of files"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two directions of one name.
    #[error("two directions are called {name}; give one another name")]
    SameName {
        /// The name.
        name: String,
    },
    /// A direction that a file doesn't have.
    #[error("there is no direction {name}; there are {}", .found.join(", "))]
    NoSuchDirection {
        /// The name asked for.
        name: String,
        /// All names.
        found: Vec<String>,
    },
    /// There is no file.
    #[error("{}: no such file of directions; check the path", .path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// A file of another kind.
    #[error("{}: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote", .path.display())]
    NotDirections {
        /// The file.
        path: PathBuf,
    },
    /// A file of directions whose parts contradict each other.
    #[error("{}: the file of directions is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What doesn't hold.
        reason: String,
    },
    /// Directions of another network.
    #[error(
        "the directions are those of a {expected}, but the network is a {found}; find directions of this network"
    )]
    OtherNetwork {
        /// What the directions were found in.
        expected: NetworkKind,
        /// What they are applied to.
        found: NetworkKind,
    },
    /// Networks that don't have the same layers.
    #[error("the networks can't be blended, since they differ in {}", .0.join("; "))]
    Different(
        /// Each difference, for people to read.
        Vec<String>,
    ),
    /// A resolution at which no block begins, or below which there is none.
    #[error(
        "{at}: expected a resolution at which the second network begins, a power of two from 8 to {resolution}"
    )]
    At {
        /// The resolution asked for.
        at: usize,
        /// That of the pictures.
        resolution: usize,
    },
    /// The file can't be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A blended network that doesn't hold together.
    #[error(transparent)]
    Network(#[from] ImportError),
    /// An error of candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
