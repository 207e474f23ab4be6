//! Named hyperparameter sets and how options override them.
//!
//! The numbers are those of "Analyzing and Improving the Image Quality of StyleGAN" (2020) and of
//! "Training Generative Adversarial Networks with Limited Data" (2020, table 5 and appendix C).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A named set of hyperparameters, `--cfg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Chosen from the resolution; a good start for any pictures.
    Auto,
    /// Config F of the StyleGAN2 paper.
    Stylegan2,
    /// The limited-data paper's settings for 256x256.
    Paper256,
    /// The limited-data paper's settings for 512x512.
    Paper512,
    /// The limited-data paper's settings for 1024x1024.
    Paper1024,
    /// The limited-data paper's settings for CIFAR-10, 32x32.
    Cifar,
}

/// The numbers of a preset at one resolution and batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PresetValues {
    /// Pictures in a minibatch.
    pub batch: usize,
    /// Pictures in a group of the discriminator's minibatch standard deviation.
    pub mbstd_group_size: usize,
    /// Feature maps: channels at resolution r are `min(channel_base / r, channel_max)`.
    pub channel_base: usize,
    /// Upper limit of the channels.
    pub channel_max: usize,
    /// Adam's learning rate, for both networks.
    pub lr: f64,
    /// Weight of R1.
    pub gamma: f64,
    /// Half-life of the EMA generator in thousands of pictures.
    pub ema_kimg: f64,
    /// Ramp-up of that half-life as a fraction of the pictures seen.
    pub ema_rampup: Option<f64>,
    /// Layers of the mapping network.
    pub mapping_layers: usize,
    /// Weight of the path length regularizer.
    pub pl_weight: f64,
    /// Probability of style mixing.
    pub style_mixing_prob: f64,
    /// Whether the discriminator has residual connections (else a plain chain).
    pub residual_discriminator: bool,
}

/// Channels at factor 1 of the feature maps.
const CHANNEL_BASE: usize = 32768;

/// Config F; the other fixed presets differ from it in a few numbers each.
const STYLEGAN2: PresetValues = PresetValues {
    batch: 32,
    mbstd_group_size: 4,
    channel_base: CHANNEL_BASE,
    channel_max: 512,
    lr: 0.002,
    gamma: 10.0,
    ema_kimg: 10.0,
    ema_rampup: None,
    mapping_layers: 8,
    pl_weight: 2.0,
    style_mixing_prob: 0.9,
    residual_discriminator: true,
};

const PAPER256: PresetValues = PresetValues {
    batch: 64,
    mbstd_group_size: 8,
    channel_base: CHANNEL_BASE / 2,
    lr: 0.0025,
    gamma: 1.0,
    ema_kimg: 20.0,
    ..STYLEGAN2
};

const PAPER512: PresetValues = PresetValues {
    channel_base: CHANNEL_BASE,
    gamma: 0.5,
    ..PAPER256
};

const PAPER1024: PresetValues = PresetValues {
    gamma: 2.0,
    ..STYLEGAN2
};

/// Without path length regularization the generator has no regularizer, hence no additional optimizer steps
/// that lazy regularization would have to make up for: its Adam runs with lr 0.0025 and beta2 0.99 as they
/// stand. (The correction is c = interval / (interval + 1) on lr, and beta2^c.) The public runs of this
/// preset applied it all the same, with the generator's interval of 4: c = 4/5, that is lr 0.002 and beta2
/// 0.992.
const CIFAR: PresetValues = PresetValues {
    batch: 64,
    mbstd_group_size: 32,
    lr: 0.0025,
    gamma: 0.01,
    ema_kimg: 500.0,
    ema_rampup: Some(0.05),
    mapping_layers: 2,
    pl_weight: 0.0,
    style_mixing_prob: 0.0,
    residual_discriminator: false,
    ..STYLEGAN2
};

impl Preset {
    /// All presets, in the order that help texts list them.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::Stylegan2,
        Self::Paper256,
        Self::Paper512,
        Self::Paper1024,
        Self::Cifar,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Stylegan2 => "stylegan2",
            Self::Paper256 => "paper256",
            Self::Paper512 => "paper512",
            Self::Paper1024 => "paper1024",
            Self::Cifar => "cifar",
        }
    }

    /// Length of a run in thousands of pictures.
    pub fn kimg(self) -> f64 {
        match self {
            Self::Cifar => 100_000.0,
            _ => 25_000.0,
        }
    }

    /// The resolution that the numbers were published for; `None` where they fit any.
    pub fn native_resolution(self) -> Option<usize> {
        match self {
            Self::Auto | Self::Stylegan2 => None,
            Self::Paper256 => Some(256),
            Self::Paper512 => Some(512),
            Self::Paper1024 => Some(1024),
            Self::Cifar => Some(32),
        }
    }

    /// The preset's numbers for pictures of `resolution`.
    ///
    /// `batch` overrides the preset's batch size; `auto` derives R1's gamma and the EMA's half-life from the
    /// batch that is used: gamma = 0.0002 * resolution^2 / batch, EMA = batch * 10 / 32 kimg.
    pub fn values(self, resolution: usize, batch: Option<usize>) -> PresetValues {
        let fixed = match self {
            Self::Auto => return auto(resolution, batch),
            Self::Stylegan2 => STYLEGAN2,
            Self::Paper256 => PAPER256,
            Self::Paper512 => PAPER512,
            Self::Paper1024 => PAPER1024,
            Self::Cifar => CIFAR,
        };
        PresetValues {
            batch: batch.unwrap_or(fixed.batch),
            ..fixed
        }
    }
}

fn auto(resolution: usize, batch: Option<usize>) -> PresetValues {
    let batch = batch.unwrap_or_else(|| (4096 / resolution).clamp(1, 32));
    let large = resolution >= 512;
    PresetValues {
        batch,
        mbstd_group_size: batch.min(4),
        channel_base: if large {
            CHANNEL_BASE
        } else {
            CHANNEL_BASE / 2
        },
        lr: if resolution >= 1024 { 0.002 } else { 0.0025 },
        gamma: 0.0002 * (resolution * resolution) as f64 / batch as f64,
        ema_kimg: batch as f64 * 10.0 / 32.0,
        ema_rampup: Some(0.05),
        mapping_layers: 2,
        ..STYLEGAN2
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| {
                format!(
                    "no preset {name}; there are: {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_follows_resolution_and_batch() {
        let cases = [
            // resolution, batch, channel base, lr, gamma, EMA kimg
            (32, 32, 16384, 0.0025, 0.0064, 10.0),
            (128, 32, 16384, 0.0025, 0.1024, 10.0),
            (256, 16, 16384, 0.0025, 0.8192, 5.0),
            (512, 8, 32768, 0.0025, 6.5536, 2.5),
            (1024, 4, 32768, 0.002, 52.4288, 1.25),
        ];
        for (resolution, batch, base, lr, gamma, ema_kimg) in cases {
            let v = Preset::Auto.values(resolution, None);
            assert_eq!(
                (v.batch, v.channel_base, v.lr),
                (batch, base, lr),
                "{resolution}"
            );
            assert!((v.gamma - gamma).abs() < 1e-9, "{resolution}: {}", v.gamma);
            assert_eq!((v.ema_kimg, v.ema_rampup), (ema_kimg, Some(0.05)));
            assert_eq!((v.mbstd_group_size, v.mapping_layers), (4, 2));
        }
    }

    #[test]
    fn auto_derives_gamma_and_ema_from_the_given_batch() {
        let v = Preset::Auto.values(32, Some(16));
        assert!((v.gamma - 0.0128).abs() < 1e-12);
        assert_eq!((v.ema_kimg, v.mbstd_group_size), (5.0, 4));
        assert_eq!(Preset::Auto.values(32, Some(2)).mbstd_group_size, 2);
    }

    #[test]
    fn fixed_presets_have_the_published_numbers() {
        let row = |p: Preset| {
            let v = p.values(256, None);
            (
                v.batch,
                v.mbstd_group_size,
                v.channel_base,
                v.lr,
                v.gamma,
                v.ema_kimg,
                v.ema_rampup,
                v.mapping_layers,
            )
        };
        assert_eq!(
            row(Preset::Stylegan2),
            (32, 4, 32768, 0.002, 10.0, 10.0, None, 8)
        );
        assert_eq!(
            row(Preset::Paper256),
            (64, 8, 16384, 0.0025, 1.0, 20.0, None, 8)
        );
        assert_eq!(
            row(Preset::Paper512),
            (64, 8, 32768, 0.0025, 0.5, 20.0, None, 8)
        );
        assert_eq!(
            row(Preset::Paper1024),
            (32, 4, 32768, 0.002, 2.0, 10.0, None, 8)
        );
        assert_eq!(
            row(Preset::Cifar),
            (64, 32, 32768, 0.0025, 0.01, 500.0, Some(0.05), 2)
        );
        let cifar = Preset::Cifar.values(32, None);
        assert_eq!((cifar.pl_weight, cifar.style_mixing_prob), (0.0, 0.0));
        assert!(!cifar.residual_discriminator);
    }

    #[test]
    fn names_parse_back() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
        }
        let message = "paper".parse::<Preset>().unwrap_err();
        assert!(
            message.starts_with("no preset paper; there are: auto, stylegan2"),
            "{message}"
        );
    }
}
