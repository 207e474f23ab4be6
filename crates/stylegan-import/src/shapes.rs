//! What the shapes of a network's tensors tell about its configuration.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{ImportError, Result};

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// No size of a network comes near it; sums and products of sizes below it don't overflow.
pub(crate) const LARGEST_SIZE: usize = 1 << 20;

/// Names of tensors are repeated in messages. The longest of a network has 60 bytes.
const LONGEST_NAME: usize = 200;

/// Checks the length of a tensor's name.
pub(crate) fn checked_name(name: String) -> Result<String> {
    if name.len() > LONGEST_NAME {
        return Err(ImportError::no_network(format!(
            "a tensor with a name of {} bytes",
            name.len()
        )));
    }
    Ok(name)
}

/// A list of names for a message.
pub(crate) fn list_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 6;
    let mut names = names.into_iter();
    let shown: Vec<String> = names
        .by_ref()
        .take(SHOWN)
        .map(|name| name.chars().take(LONGEST_NAME / 2).collect())
        .collect();
    let more = if names.next().is_some() { ", ..." } else { "" };
    shown.join(", ") + more
}

/// The tensors of one network, and its name for errors.
pub(crate) struct Shapes<'a> {
    pub(crate) network: &'a str,
    pub(crate) tensors: &'a Tensors,
}

impl Shapes<'_> {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The sizes of a tensor, all of which are at least 1.
    pub(crate) fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let expected = |found: String| {
            let problem = format!("expected a tensor {name} of {N} dimensions, found {found}");
            ImportError::network(self.network, problem)
        };
        let Some(tensor) = self.tensors.get(name) else {
            return Err(expected("none".to_string()));
        };
        match <[usize; N]>::try_from(tensor.dims()) {
            Ok(dims) if dims.iter().all(|size| (1..=LARGEST_SIZE).contains(size)) => Ok(dims),
            _ => Err(expected(format!("one of the shape {:?}", tensor.dims()))),
        }
    }

    /// How many of `name(0)`, `name(1)`, ... there are without a gap.
    pub(crate) fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..self.tensors.len())
            .take_while(|&i| self.has(&name(i)))
            .count()
    }

    /// The largest resolution, a power of two from 4 up, for which `name` gives a tensor that is there.
    pub(crate) fn resolution(&self, name: impl Fn(usize) -> String) -> Option<usize> {
        let resolutions = (2..=10).map(|log2| 1usize << log2);
        resolutions.filter(|&r| self.has(&name(r))).max()
    }
}

/// A `channel_base` and `channel_max` that give every resolution its number of channels,
/// `min(channel_base / resolution, channel_max)`: the preferred ones where they do.
///
/// # Errors
/// If there are none.
pub(crate) fn fit_pyramid(
    network: &str,
    channels: &[(usize, usize)],
    preferred: Option<(usize, usize)>,
) -> Result<(usize, usize)> {
    let fits = |&(base, max): &(usize, usize)| {
        let fits = |&(r, channels): &(usize, usize)| (base / r).min(max) == channels;
        channels.iter().all(fits)
    };
    // The widest block has the most channels there are; of the others, the one of the highest resolution
    // leaves the fewest choices.
    let max = channels.iter().map(|&(_, channels)| channels).max();
    let bases = channels.iter().map(|&(r, channels)| r * channels);
    let candidates = bases.rev().zip(std::iter::repeat(max.unwrap_or(1)));
    let mut candidates = preferred.into_iter().chain(candidates);
    candidates.find(fits).ok_or_else(|| {
        let list = |&(r, channels): &(usize, usize)| format!("{channels} at {r}x{r}");
        let found: Vec<String> = channels.iter().map(list).collect();
        let problem = format!(
            "expected min(channel_base / resolution, channel_max) channels in every block, found {}",
            found.join(", ")
        );
        ImportError::network(network, problem)
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn widths_of_published_networks_have_their_base_and_maximum() {
        let widths = [
            (4, 512),
            (8, 512),
            (32, 512),
            (64, 512),
            (128, 256),
            (256, 128),
        ];
        let fit = |preferred| fit_pyramid("G", &widths, preferred).unwrap();
        assert_eq!(fit(None), (32768, 512));
        assert_eq!(fit(Some((32768, 512))), (32768, 512));
        // What doesn't fit is passed over.
        assert_eq!(fit(Some((16384, 512))), (32768, 512));
        assert_eq!(
            fit_pyramid("G", &[(4, 16), (8, 8)], None).unwrap(),
            (64, 16)
        );
        // 20 / 8 is rounded down.
        assert_eq!(fit_pyramid("G", &[(4, 5), (8, 2)], None).unwrap(), (20, 5));
        assert_eq!(fit_pyramid("G", &[(4, 8), (8, 8)], None).unwrap(), (64, 8));
    }

    #[test]
    fn widths_of_no_pyramid_are_an_error_that_lists_them() {
        let error = fit_pyramid("G_ema", &[(4, 8), (8, 16)], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "G_ema: expected min(channel_base / resolution, channel_max) channels in every block, \
             found 8 at 4x4, 16 at 8x8"
        );
    }

    #[test]
    fn sizes_that_no_network_has_are_errors() {
        let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let tensors = Tensors::from([
            ("a".to_string(), tensor(&[2, 3])),
            ("empty".to_string(), tensor(&[0, 3])),
        ]);
        let shapes = Shapes {
            network: "D",
            tensors: &tensors,
        };
        assert_eq!(shapes.dims("a").unwrap(), [2, 3]);
        let error = |result: Result<[usize; 2]>| result.unwrap_err().to_string();
        assert_eq!(
            error(shapes.dims("empty")),
            "D: expected a tensor empty of 2 dimensions, found one of the shape [0, 3]"
        );
        assert_eq!(
            error(shapes.dims("b")),
            "D: expected a tensor b of 2 dimensions, found none"
        );
    }
}
