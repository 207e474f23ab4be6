//! How far a picture is from the target.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Tensor};
use stylegan_discriminator::Discriminator;
use stylegan_lpips::Lpips;
use stylegan_projection::{DiscriminatorFeatures, Distance, LpipsFeatures, PixelPyramid};
use stylegan_synthesis::SynthesisConfig;

use crate::pictures::Trained;
use crate::progress::Terminal;

/// VGG16 halves pictures four times.
const SMALLEST_FOR_LPIPS: usize = 16;

/// What pictures are compared by.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Distance")]
pub struct DistanceArgs {
    /// What pictures are compared by
    /// [default: lpips with --lpips; else features where the file has a discriminator; else pixels]
    #[arg(long, value_name = "KIND")]
    distance: Option<Kind>,

    /// Weights of VGG16, a safetensors file; docs/projection.md says how to make it
    #[arg(long, value_name = "FILE")]
    lpips: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// What VGG16 sees, which agrees best with people
    Lpips,
    /// Pixels at every scale, and what the network's own discriminator sees
    Features,
    /// Pixels at every scale
    Pixels,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lpips => "lpips",
            Self::Features => "features",
            Self::Pixels => "pixels",
        }
    }
}

/// A kind of distance, with the network that it needs.
pub enum Measure {
    Lpips(Box<Lpips>),
    Features(Box<Discriminator>),
    Pixels,
}

impl DistanceArgs {
    /// What can be said before the network is there.
    pub fn check(&self) -> Result<()> {
        match (self.distance, &self.lpips) {
            (Some(Kind::Lpips), None) => bail!(
                "--distance lpips: needs the weights of VGG16; give them with --lpips FILE \
                 (docs/projection.md says how to make the file)"
            ),
            (Some(kind @ (Kind::Features | Kind::Pixels)), Some(file)) => bail!(
                "--lpips {}: --distance {} has no use for it; leave one of the two out",
                file.display(),
                kind.name()
            ),
            _ => Ok(()),
        }
    }

    /// Whether the distance takes the discriminator of the network's file, where there is one.
    pub fn takes_discriminator(&self) -> bool {
        self.lpips.is_none() && self.distance != Some(Kind::Pixels)
    }

    /// Loads what the distance needs besides the discriminator, which is that of the network's file where
    /// [`takes_discriminator`](Self::takes_discriminator).
    pub fn open(
        &self,
        discriminator: Option<Discriminator>,
        trained: &Trained,
        terminal: &Terminal,
    ) -> Result<Measure> {
        if let Some(file) = &self.lpips {
            check_pictures(&trained.generator.config.synthesis)?;
            let lpips = Lpips::read(file, DType::F32, &trained.device).context("--lpips")?;
            if !lpips.has_heads() {
                terminal.line(&format!(
                    "note: {} has no linear heads: all channels of VGG16 count the same",
                    file.display()
                ));
            }
            return Ok(Measure::Lpips(Box::new(lpips)));
        }
        if self.distance == Some(Kind::Pixels) {
            return Ok(Measure::Pixels);
        }
        match discriminator {
            Some(discriminator) => Ok(Measure::Features(Box::new(discriminator))),
            None => {
                ensure!(
                    self.distance.is_none(),
                    "--distance features: there is no discriminator in the file; use --distance pixels, \
                     or lpips"
                );
                terminal.line(
                    "note: there is no discriminator in the file: pictures are compared by their pixels \
                     alone",
                );
                Ok(Measure::Pixels)
            }
        }
    }
}

fn check_pictures(config: &SynthesisConfig) -> Result<()> {
    let side = config.img_resolution;
    ensure!(
        side >= SMALLEST_FOR_LPIPS,
        "--lpips: VGG16 takes pictures from 16x16 on, those of the network are {side}x{side}"
    );
    ensure!(
        config.img_channels != 4,
        "--lpips: VGG16 has no use for transparency, which the pictures of the network have"
    );
    Ok(())
}

impl Measure {
    /// The distance from a target `[1, C, R, R]`.
    pub fn distance_from(&self, target: &Tensor) -> Result<Distance> {
        let distance = Distance::from_target(target);
        Ok(match self {
            Self::Lpips(lpips) => distance.with(1., LpipsFeatures::new((**lpips).clone()))?,
            Self::Features(discriminator) => {
                let features = DiscriminatorFeatures::new((**discriminator).clone());
                distance.with(1., PixelPyramid)?.with(1., features)?
            }
            Self::Pixels => distance.with(1., PixelPyramid)?,
        })
    }
}
