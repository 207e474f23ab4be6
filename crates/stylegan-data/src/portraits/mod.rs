//! Drawn portraits whose every factor is known: the dataset for those who bring none.
//!
//! A portrait is a pure function of its [`Factors`], and these of its index. Factors are whole
//! numbers drawn from a seeded ChaCha generator, hence equal on every platform. Drawing goes
//! through single-precision arithmetic, which may differ by a rounding between processors.
//!
//! ```
//! use stylegan_data::portraits;
//!
//! # fn main() -> Result<(), stylegan_data::DataError> {
//! let factors = portraits::factors(7);
//! let picture = portraits::draw(&factors, 64)?;
//! assert_eq!(picture.dimensions(), (64, 64));
//! # Ok(())
//! # }
//! ```

mod body;
mod canvas;
mod color;
mod face;
mod factors;
mod features;
mod hair;
mod head;
mod scene;

pub use factors::{
    Background, Beard, Clothes, Eyes, Face, Factors, Garment, Glasses, Hair, HairColor, HairStyle,
    IrisColor, Mouth, Pose, Scenery, factors,
};
pub use scene::draw;

/// Number of portraits in the embedded dataset.
pub const COUNT: usize = 8192;

/// Side in pixels at which portraits are drawn where no resolution is asked for.
pub const DEFAULT_RESOLUTION: usize = 32;

/// Number of classes that [`Factors::class`] tells apart.
pub const CLASS_COUNT: usize = HairStyle::ALL.len();
