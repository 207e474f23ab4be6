//! `--styles` and `--layers`: which layers' styles are changed.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use anyhow::{Result, bail};
use stylegan_synthesis::{Synthesis, SynthesisConfig};

use crate::network::grown;
use crate::seeds::numbers;

/// Styles by their scales, as in figure 3 of the StyleGAN paper, or by the numbers of their layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Styles {
    /// Each is a band of its own.
    Scales(Vec<Scale>),
    /// All together.
    Layers(Vec<u32>),
}

/// Layers whose styles are changed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// The scale that they are; `None` where they were given by their numbers.
    pub scale: Option<Scale>,
    pub layers: Vec<usize>,
}

/// Styles of several resolutions that change one kind of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Coarse,
    Middle,
    Fine,
}

impl Scale {
    const ALL: [Self; 3] = [Self::Coarse, Self::Middle, Self::Fine];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coarse => "coarse",
            Self::Middle => "middle",
            Self::Fine => "fine",
        }
    }

    fn resolutions(self) -> RangeInclusive<usize> {
        match self {
            Self::Coarse => 4..=8,
            Self::Middle => 16..=32,
            Self::Fine => 64..=usize::MAX,
        }
    }
}

impl FromStr for Styles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Whoever begins with a digit means numbers, and reads what is wrong with these.
        if text
            .trim_start()
            .starts_with(|first: char| first.is_ascii_digit())
        {
            return numbers(text).map(Self::Layers);
        }
        let named = |part: &str| {
            Scale::ALL
                .into_iter()
                .find(|scale| scale.name() == part.trim())
        };
        let scales: Option<Vec<Scale>> = text.split(',').map(named).collect();
        scales.map(Self::Scales).ok_or_else(|| {
            "expected coarse, middle, fine, several of them such as coarse,middle, or numbers of \
             layers such as 0-6"
                .to_string()
        })
    }
}

impl Styles {
    /// What an option asks to be changed at once, all layers of which the network has and computes.
    pub fn bands(&self, option: &str, synthesis: &Synthesis) -> Result<Vec<Band>> {
        let config = synthesis.config();
        let side = synthesis.lod().resolution(config.img_resolution);
        self.bands_up_to(option, side, config)
    }

    /// All layers that an option asks for, in order and each once.
    pub fn layers(&self, option: &str, synthesis: &Synthesis) -> Result<Vec<usize>> {
        let bands = self.bands(option, synthesis)?;
        let mut layers: Vec<usize> = bands.into_iter().flat_map(|band| band.layers).collect();
        layers.sort_unstable();
        layers.dedup();
        Ok(layers)
    }

    /// [`bands`](Self::bands) of a network whose pictures have grown to a side.
    fn bands_up_to(
        &self,
        option: &str,
        side: usize,
        config: &SynthesisConfig,
    ) -> Result<Vec<Band>> {
        match self {
            Self::Scales(scales) => {
                let bands = scales.iter().map(|&scale| {
                    let layers = layers_of(option, scale, side, config)?;
                    let scale = Some(scale);
                    Ok(Band { scale, layers })
                });
                bands.collect()
            }
            Self::Layers(numbers) => {
                let count = config.ws_at(side).end;
                let layers = numbers.iter().map(|&number| match number as usize {
                    layer if layer < count => Ok(layer),
                    layer => bail!("{option}: {}", no_layer(layer, side, config)),
                });
                let layers = layers.collect::<Result<_>>()?;
                let scale = None;
                Ok(vec![Band { scale, layers }])
            }
        }
    }
}

/// All layers that the network computes.
pub fn all_layers(synthesis: &Synthesis) -> Vec<usize> {
    let config = synthesis.config();
    let side = synthesis.lod().resolution(config.img_resolution);
    (0..config.ws_at(side).end).collect()
}

fn layers_of(
    option: &str,
    scale: Scale,
    side: usize,
    config: &SynthesisConfig,
) -> Result<Vec<usize>> {
    let resolutions = resolutions(side);
    let chosen = resolutions
        .iter()
        .filter(|r| scale.resolutions().contains(r));
    let layers: Vec<usize> = chosen.flat_map(|&r| config.ws_at(r)).collect();
    if layers.is_empty() {
        let pictures = match config.img_resolution {
            full if full == side => format!("the pictures of the network are {side}x{side}"),
            full => grown(side, full),
        };
        let there = Scale::ALL.map(|scale| (scale.name(), *scale.resolutions().start()));
        let there = there.into_iter().filter(|&(_, first)| first <= side);
        let there: Vec<&str> = there.map(|(name, _)| name).collect();
        bail!(
            "{option} {}: begins at {1}x{1}, but {pictures}; choose {2}, or layers: {3}",
            scale.name(),
            scale.resolutions().start(),
            there.join(" or "),
            described(&resolutions, config)
        )
    }
    Ok(layers)
}

/// What to tell whoever asks for a layer that is not there.
fn no_layer(layer: usize, side: usize, config: &SynthesisConfig) -> String {
    let layers = described(&resolutions(side), config);
    match config.img_resolution {
        full if full == side => {
            format!("the network has no layer {layer}; its layers are {layers}")
        }
        full => format!(
            "{} and has no layer {layer}; its layers so far are {layers}",
            grown(side, full)
        ),
    }
}

/// From 4 to a side.
fn resolutions(side: usize) -> Vec<usize> {
    (2..=side.ilog2()).map(|power| 1 << power).collect()
}

/// The layers of every resolution: `0-1 (4x4), 2-3 (8x8)`.
fn described(resolutions: &[usize], config: &SynthesisConfig) -> String {
    let layers = resolutions.iter().map(|&resolution| {
        let Range { start, end } = config.ws_at(resolution);
        let numbers = match end - start {
            1 => start.to_string(),
            _ => format!("{start}-{}", end - 1),
        };
        format!("{numbers} ({resolution}x{resolution})")
    });
    layers.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stylegan_synthesis::GeneratorConfig;

    fn config(family: GeneratorConfig, img_resolution: usize) -> SynthesisConfig {
        SynthesisConfig {
            img_resolution,
            ..family.synthesis
        }
    }

    fn bands(styles: &str, side: usize, config: &SynthesisConfig) -> Result<Vec<Band>> {
        let styles: Styles = styles.parse().unwrap();
        styles.bands_up_to("--styles", side, config)
    }

    /// The layers of a single band.
    fn layers(styles: &str, side: usize, config: &SynthesisConfig) -> Result<Vec<usize>> {
        let [band] = bands(styles, side, config)?.try_into().unwrap();
        Ok(band.layers)
    }

    #[test]
    fn scales_are_those_of_the_paper() {
        let stylegan = config(GeneratorConfig::stylegan1(), 1024);
        let of = |styles| layers(styles, 1024, &stylegan).unwrap();
        assert_eq!(of("coarse"), [0, 1, 2, 3]);
        assert_eq!(of("middle"), [4, 5, 6, 7]);
        assert_eq!(of("fine"), (8..18).collect::<Vec<_>>());
        assert_eq!(of("3,0-1"), [3, 0, 1]);
    }

    #[test]
    fn every_named_scale_is_a_band_and_numbers_are_one() {
        let stylegan = config(GeneratorConfig::stylegan1(), 64);
        let of = |styles| bands(styles, 64, &stylegan).unwrap();
        let band = |scale, layers: &[usize]| Band {
            scale,
            layers: layers.to_vec(),
        };
        assert_eq!(
            of("coarse,fine"),
            [
                band(Some(Scale::Coarse), &[0, 1, 2, 3]),
                band(Some(Scale::Fine), &[8, 9])
            ]
        );
        assert_eq!(of("0,4-5"), [band(None, &[0, 4, 5])]);
    }

    #[test]
    fn every_layer_belongs_to_one_scale_in_every_network() {
        for family in [GeneratorConfig::stylegan1(), GeneratorConfig::default()] {
            for side in [4, 8, 16, 64, 256] {
                let config = config(family.clone(), side);
                let scales = ["coarse", "middle", "fine"];
                let all: Vec<usize> = scales
                    .iter()
                    .flat_map(|scale| layers(scale, side, &config).unwrap_or_default())
                    .collect();
                assert_eq!(all, (0..config.num_ws()).collect::<Vec<_>>(), "{side}");
            }
        }
    }

    #[test]
    fn layers_that_are_not_there_are_errors_that_name_those_that_are() {
        let stylegan = config(GeneratorConfig::stylegan1(), 32);
        let stylegan2 = config(GeneratorConfig::default(), 16);
        let error = |styles, side, config| layers(styles, side, config).unwrap_err().to_string();
        assert_eq!(
            error("fine", 32, &stylegan),
            "--styles fine: begins at 64x64, but the pictures of the network are 32x32; choose \
             coarse or middle, or layers: 0-1 (4x4), 2-3 (8x8), 4-5 (16x16), 6-7 (32x32)"
        );
        assert_eq!(
            error("0-6", 16, &stylegan2),
            "--styles: the network has no layer 6; its layers are 0 (4x4), 1-2 (8x8), 3-5 (16x16)"
        );
        // A network that has grown to half of its size has no use for its last layers yet.
        let there = "0-1 (4x4), 2-3 (8x8), 4-5 (16x16)";
        assert_eq!(
            error("6", 16, &stylegan),
            format!(
                "--styles: the network has grown to 16x16 of 32x32 and has no layer 6; its layers \
                 so far are {there}"
            )
        );
        assert_eq!(
            error("coarse,fine", 16, &stylegan),
            format!(
                "--styles fine: begins at 64x64, but the network has grown to 16x16 of 32x32; \
                 choose coarse or middle, or layers: {there}"
            )
        );
    }

    #[test]
    fn styles_are_names_or_numbers() {
        let parse = |text: &str| text.parse::<Styles>();
        assert_eq!(parse("fine"), Ok(Styles::Scales(vec![Scale::Fine])));
        let scales = vec![Scale::Middle, Scale::Coarse];
        assert_eq!(parse("middle, coarse"), Ok(Styles::Scales(scales)));
        assert_eq!(parse("0-2,7"), Ok(Styles::Layers(vec![0, 1, 2, 7])));
        for wrong in ["", "Coarse", "fines", "-1", "middle,12", "coarse,"] {
            assert_eq!(
                parse(wrong).unwrap_err(),
                "expected coarse, middle, fine, several of them such as coarse,middle, or numbers \
                 of layers such as 0-6",
                "{wrong}"
            );
        }
        let expected = "the range 6-0 ends before it starts; write 0-6";
        assert_eq!(parse("6-0").unwrap_err(), expected);
        assert!(parse("0-").unwrap_err().starts_with("\"\" is not a number"));
        assert!(
            parse("12,middle")
                .unwrap_err()
                .starts_with("\"middle\" is not a number")
        );
    }
}
