//! Which algorithm computes a convolution.

use std::sync::OnceLock;

use candle_core::{Result, bail};

use crate::simd;

/// An algorithm, or the choice by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// Whichever is faster for the sizes.
    Auto,
    Direct,
    /// Winograd's, wherever it applies.
    Winograd,
}

/// [`Algorithm::Auto`], or what the environment variable `STYLEGAN_CONV` names.
fn chosen() -> std::result::Result<Algorithm, &'static str> {
    static CHOSEN: OnceLock<std::result::Result<Algorithm, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| match std::env::var("STYLEGAN_CONV") {
        Ok(name) => choose(&name),
        Err(_) => Ok(Algorithm::Auto),
    });
    match chosen {
        Ok(algorithm) => Ok(*algorithm),
        Err(message) => Err(message),
    }
}

fn choose(name: &str) -> std::result::Result<Algorithm, String> {
    Ok(match name {
        "auto" => Algorithm::Auto,
        "direct" => Algorithm::Direct,
        "winograd" => Algorithm::Winograd,
        other => {
            return Err(format!(
                "STYLEGAN_CONV: expected auto, direct or winograd, got `{other}`"
            ));
        }
    })
}

/// An error if an environment variable names no algorithm, or no instruction set of this machine.
pub(crate) fn check() -> Result<()> {
    match chosen() {
        Ok(_) => simd::check(),
        Err(message) => bail!("{message}"),
    }
}

/// Whether to compute something that Winograd's algorithm applies to by it; `pays` tells whether it is the
/// faster one. For kernels, whose callers have [`check`]ed the environment.
pub(super) fn takes_winograd(pays: bool) -> bool {
    match chosen().unwrap_or(Algorithm::Auto) {
        Algorithm::Auto => pays,
        Algorithm::Direct => false,
        Algorithm::Winograd => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_known_are_errors() {
        assert_eq!(choose("winograd"), Ok(Algorithm::Winograd));
        assert_eq!(choose("direct"), Ok(Algorithm::Direct));
        assert_eq!(choose("auto"), Ok(Algorithm::Auto));
        let error = choose("fft").unwrap_err();
        assert!(
            error.contains("auto, direct or winograd") && error.contains("`fft`"),
            "{error}"
        );
    }
}
