//! `--precision`: what products are made of.

use stylegan_ops::Precision;

/// A precision as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PrecisionChoice {
    /// Single precision
    #[default]
    F32,
    /// Faster on processors that multiply in bf16; pictures change a little
    Bf16,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 => Self::F32,
            PrecisionChoice::Bf16 => Self::Bf16,
        }
    }
}
