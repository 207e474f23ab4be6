//! Factors of the embedded portraits, read off pictures, and what edits do to them.

mod effects;
mod numbers;
mod reader;

pub use effects::{Effect, effects};
pub use reader::{Factor, FactorReader};
