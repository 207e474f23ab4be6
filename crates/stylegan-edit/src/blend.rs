//! Networks made of the layers of two.

use candle_core::{DType, Tensor};
use serde_json::Value;
use stylegan_checkpoint::is_buffer;
use stylegan_import::{Family, Network, Tensors};
use stylegan_synthesis::{GeneratorConfig, SynthesisConfig};

use crate::error::{EditError, Result};

/// Where one network ends and the other begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    /// The first resolution of the second network, a power of two from 8 to that of the pictures.
    pub at: usize,
    /// Over how many layers the one changes into the other: 0 for none, where every layer is that of one network.
    pub smooth: f64,
}

/// Where in a network a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    resolution: usize,
    /// Whether it belongs to the first of the two layers of the resolution.
    is_first: bool,
}

impl Place {
    /// That of a tensor of the synthesis network, e.g. `synthesis.b8.conv1.weight`; image outputs are with the second
    /// layer of their resolution, whose output they read.
    fn of(name: &str) -> Option<Self> {
        let (block, rest) = name.strip_prefix("synthesis.b")?.split_once('.')?;
        Some(Self {
            resolution: block.parse().ok().filter(|r: &usize| r.is_power_of_two())?,
            is_first: !rest.starts_with("conv1.") && !rest.starts_with("torgb."),
        })
    }

    /// Layers are 1 apart, from 4 on.
    fn depth(self) -> f64 {
        f64::from(2 * self.resolution.ilog2()) + if self.is_first { 0. } else { 1. }
    }
}

impl Blend {
    /// The second network's part of the layer of a tensor, from 0 to 1: with d the number of layers from the middle
    /// between the two that `at` separates, `d / smooth + 1/2`, within these limits.
    fn share(&self, place: Place) -> f64 {
        let border = f64::from(2 * self.at.ilog2()) - 0.5;
        let distance = place.depth() - border;
        match self.smooth {
            0. => f64::from(u8::from(distance > 0.)),
            smooth => (distance / smooth + 0.5).clamp(0., 1.),
        }
    }

    fn validate(&self, config: &SynthesisConfig) -> Result<()> {
        let Self { at, smooth } = *self;
        let resolution = config.img_resolution;
        if !at.is_power_of_two() || !(8..=resolution).contains(&at) {
            return Err(EditError::At { at, resolution });
        }
        if !(smooth.is_finite() && smooth >= 0.) {
            return Err(EditError::OutOfRange {
                name: "smooth",
                expected: "0 or more layers",
                found: smooth,
            });
        }
        Ok(())
    }
}

/// Layer swapping: a network with the mapping network and the layers below `at` of `low`, and the layers from there
/// on of `high`.
///
/// Layers that belong to one network are its own bit by bit. Over a smooth border a weight is
/// `(1 - t) low + t high` with t rising in a straight line from 0 to 1; noise maps, whose mean would be weaker than
/// either, are those of the nearer network.
///
/// Both should descend from one network: then low layers keep to pose and shape, high ones to colours and texture,
/// and they understand each other.
///
/// Source: Pinkney and Adler, "Resolution Dependent GAN Interpolation for Controllable Image Synthesis Between
/// Domains" (2020), section 2.
///
/// # Errors
/// If `at` is no resolution above 4 of the networks, or they differ in the synthesis network's configuration, in the
/// name or the shape of a tensor, or in how far they have grown; all differences are listed.
pub fn blend(
    low: &Network<GeneratorConfig>,
    high: &Network<GeneratorConfig>,
    blend: Blend,
) -> Result<Network<GeneratorConfig>> {
    let differences = differences(low, high)?;
    if !differences.is_empty() {
        return Err(EditError::Different(differences));
    }
    blend.validate(&low.config.synthesis)?;
    let mut tensors = Tensors::new();
    let names = low.tensors.keys().chain(high.tensors.keys());
    for name in names {
        let (a, b) = (low.tensors.get(name), high.tensors.get(name));
        let share = Place::of(name).map_or(0., |place| blend.share(place));
        if let Some(tensor) = blended(name, a, b, share)? {
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(Network::new("blend", low.config.clone(), tensors, low.lod)?)
}

/// One tensor of the blend; `None` where the network that it is taken from doesn't store it.
fn blended(
    name: &str,
    a: Option<&Tensor>,
    b: Option<&Tensor>,
    share: f64,
) -> Result<Option<Tensor>> {
    let (Some(a), Some(b)) = (a, b) else {
        return Ok(if share < 0.5 { a } else { b }.cloned());
    };
    let dtype = a.dtype();
    let mixed = match share {
        _ if is_buffer(name) => if share < 0.5 { a } else { b }.clone(),
        0. => a.clone(),
        1. => b.clone(),
        _ => {
            let (a, b) = (a.to_dtype(DType::F64)?, b.to_dtype(DType::F64)?);
            ((a * (1. - share))? + (b * share)?)?
        }
    };
    Ok(Some(mixed.to_dtype(dtype)?))
}

/// What keeps networks from being blended, for people to read.
fn differences(
    low: &Network<GeneratorConfig>,
    high: &Network<GeneratorConfig>,
) -> Result<Vec<String>> {
    let families = [low, high].map(|network| Family::of(&network.config));
    if families[0] != families[1] {
        // Everything else differs with it.
        return Ok(vec![format!(
            "family ({} and {})",
            families[0], families[1]
        )]);
    }
    let mut found = Vec::new();
    let json =
        |config: &SynthesisConfig| serde_json::to_value(config).map_err(candle_core::Error::wrap);
    let [a, b] = [json(&low.config.synthesis)?, json(&high.config.synthesis)?];
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let fields = a.iter().filter_map(|(field, a)| {
            let b = b.get(field)?;
            (a != b).then(|| format!("{field} ({a} and {b})"))
        });
        found.extend(fields);
    }
    if low.lod != high.lod {
        let side = |network: &Network<GeneratorConfig>| {
            let full = network.config.synthesis.img_resolution;
            network.lod.resolution(full)
        };
        let sides = [low, high].map(side);
        found.push(format!(
            "how far they have grown ({} and {})",
            sides[0], sides[1]
        ));
    }
    if found.is_empty() {
        found.extend(tensor_differences(&low.tensors, &high.tensors));
    }
    Ok(found)
}

/// Tensors of the synthesis networks that only one has, or of other shapes. Filters may be stored or not.
fn tensor_differences(low: &Tensors, high: &Tensors) -> Vec<String> {
    let shape = |tensors: &Tensors, name: &str| match tensors.get(name) {
        Some(tensor) => format!("{:?}", tensor.dims()),
        None => "none".to_string(),
    };
    let mut names: Vec<&String> = low.keys().chain(high.keys()).collect();
    names.sort();
    names.dedup();
    let is_compared =
        |name: &&String| Place::of(name).is_some() && !name.ends_with(".resample_filter");
    let differs = |name: &String| {
        let (a, b) = (shape(low, name), shape(high, name));
        (a != b).then(|| format!("{name} ({a} and {b})"))
    };
    names
        .into_iter()
        .filter(is_compared)
        .filter_map(differs)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Option<(usize, bool)> {
        Place::of(name).map(|place| (place.resolution, place.is_first))
    }

    #[test]
    fn tensors_belong_to_the_layers_of_their_resolution() {
        assert_eq!(place("synthesis.b4.const"), Some((4, true)));
        assert_eq!(place("synthesis.b4.input.affine.bias"), Some((4, true)));
        assert_eq!(place("synthesis.b8.conv0.weight"), Some((8, true)));
        assert_eq!(place("synthesis.b16.skip.weight"), Some((16, true)));
        assert_eq!(
            place("synthesis.b16.conv1.affine.weight"),
            Some((16, false))
        );
        assert_eq!(place("synthesis.b16.torgb.weight"), Some((16, false)));
        assert_eq!(place("mapping.fc0.weight"), None);
    }

    #[test]
    fn shares_are_steps_or_straight_lines() {
        let layers = [8, 16, 32].map(|resolution| {
            [true, false].map(|is_first| Place {
                resolution,
                is_first,
            })
        });
        let shares = |smooth| {
            layers
                .as_flattened()
                .iter()
                .map(|&place| Blend { at: 16, smooth }.share(place))
                .collect::<Vec<_>>()
        };
        assert_eq!(shares(0.), [0., 0., 1., 1., 1., 1.]);
        assert_eq!(shares(1.), [0., 0., 1., 1., 1., 1.]);
        assert_eq!(shares(2.), [0., 0.25, 0.75, 1., 1., 1.]);
        assert_eq!(shares(4.), [0.125, 0.375, 0.625, 0.875, 1., 1.]);
    }
}
