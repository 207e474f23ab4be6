//! Named hyperparameter sets and how options override them.
//!
//! The numbers are those of "Progressive Growing of GANs" (2018, appendix A.1), "A Style-Based Generator
//! Architecture" (2019, table 1 and appendix C), "Analyzing and Improving the Image Quality of StyleGAN"
//! (2020) and "Training Generative Adversarial Networks with Limited Data" (2020, table 5 and appendix C).
//!
//! # The ablation of the StyleGAN paper
//!
//! Table 1 of that paper turns a progressive GAN into StyleGAN, one part after the other. The presets
//! `stylegan1-a` to `stylegan1-f` are its rows:
//!
//! | row | what it adds | here |
//! |---|---|---|
//! | a | baseline: progressive GAN | `progan`: WGAN-GP, from 4x4 on, no blur |
//! | b | tuning, bilinear resampling | blurred resampling in both networks, logistic loss with R1, from 8x8 on, longer |
//! | c | mapping network and styles | 8 mapping layers; AdaIN in the place of pixel norm |
//! | d | no traditional input | a learned constant is the first input |
//! | e | noise | noise in every layer |
//! | f | mixing regularization | two latents in 9 of 10 minibatches: `stylegan1` |
//!
//! From b on, each row is the one above with a switch. What "tuned hyperparameters" of b covers the
//! paper doesn't list: here b has the numbers that StyleGAN was published with. The losses are those that the
//! paper uses on FFHQ (section 2.1); on CelebA-HQ all its rows have WGAN-GP, which is `--loss wgan-gp`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{GeneratorConfig, Layers, StyledLayers};

use crate::config::{EmaConfig, LossConfig, OptimizerConfig, TrainingConfig};
use crate::growing::GrowingConfig;

/// A named set of hyperparameters, `--cfg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// StyleGAN2, with numbers chosen from the resolution; a good start for any pictures.
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
    /// StyleGAN.
    Stylegan1,
    /// ProGAN.
    Progan,
    /// The StyleGAN paper's baseline: ProGAN.
    #[serde(rename = "stylegan1-a")]
    Stylegan1A,
    /// With blurred resampling and tuned numbers.
    #[serde(rename = "stylegan1-b")]
    Stylegan1B,
    /// With mapping network and styles.
    #[serde(rename = "stylegan1-c")]
    Stylegan1C,
    /// Without the traditional input.
    #[serde(rename = "stylegan1-d")]
    Stylegan1D,
    /// With noise inputs.
    #[serde(rename = "stylegan1-e")]
    Stylegan1E,
    /// With mixing regularization: StyleGAN.
    #[serde(rename = "stylegan1-f")]
    Stylegan1F,
}

/// Channels at factor 1 of the feature maps.
const CHANNEL_BASE: usize = 32768;

/// Config F of the StyleGAN2 paper; the other presets without growing differ from it in a few numbers each.
fn stylegan2() -> TrainingConfig {
    let mut config = TrainingConfig {
        generator: GeneratorConfig::default(),
        discriminator: DiscriminatorConfig::default(),
        loss: LossConfig::default(),
        optimizer: OptimizerConfig::default(),
        ema: EmaConfig {
            rampup: None,
            ..EmaConfig::default()
        },
        batch: 32,
        batch_gpu: 32,
        growing: None,
        seed: 0,
    };
    // The clamp of later code keeps half precision in range; training here is in f32.
    config.generator.synthesis.conv_clamp = None;
    config.discriminator.conv_clamp = None;
    set_lr(&mut config, 0.002);
    config
}

fn paper256() -> TrainingConfig {
    let mut config = stylegan2();
    config.batch = 64;
    config.discriminator.mbstd_group_size = Some(8);
    set_channel_base(&mut config, CHANNEL_BASE / 2);
    set_lr(&mut config, 0.0025);
    config.loss.r1_gamma = 1.0;
    config.ema.kimg = 20.0;
    config
}

fn paper512() -> TrainingConfig {
    let mut config = paper256();
    set_channel_base(&mut config, CHANNEL_BASE);
    config.loss.r1_gamma = 0.5;
    config
}

fn paper1024() -> TrainingConfig {
    let mut config = stylegan2();
    config.loss.r1_gamma = 2.0;
    config
}

/// Without path length regularization the generator has no regularizer, hence no additional optimizer steps
/// that lazy regularization would have to make up for: its Adam runs with lr 0.0025 and beta2 0.99 as they
/// stand. (The correction is c = interval / (interval + 1) on lr, and beta2^c.) The public runs of this
/// preset applied it all the same, with the generator's interval of 4: c = 4/5, that is lr 0.002 and beta2
/// 0.992.
fn cifar() -> TrainingConfig {
    let mut config = stylegan2();
    config.batch = 64;
    config.generator.mapping.num_layers = 2;
    config.discriminator.architecture = Architecture::Orig;
    config.discriminator.mbstd_group_size = Some(32);
    set_lr(&mut config, 0.0025);
    config.loss.r1_gamma = 0.01;
    config.loss.pl_weight = 0.0;
    config.loss.style_mixing_prob = 0.0;
    config.ema.kimg = 500.0;
    config.ema.rampup = Some(0.05);
    config
}

fn auto(resolution: usize, batch: Option<usize>) -> TrainingConfig {
    let batch = batch.unwrap_or_else(|| (4096 / resolution).clamp(1, 32));
    let mut config = stylegan2();
    config.batch = batch;
    config.generator.mapping.num_layers = 2;
    config.discriminator.mbstd_group_size = Some(batch.min(4));
    let large = resolution >= 512;
    let channel_base = if large {
        CHANNEL_BASE
    } else {
        CHANNEL_BASE / 2
    };
    set_channel_base(&mut config, channel_base);
    let lr = if resolution >= 1024 { 0.002 } else { 0.0025 };
    set_lr(&mut config, lr);
    config.loss.r1_gamma = 0.0002 * (resolution * resolution) as f64 / batch as f64;
    config.ema.kimg = batch as f64 * 10.0 / 32.0;
    config.ema.rampup = Some(0.05);
    config
}

/// StyleGAN, with the batches and learning rates that were published for one device.
fn stylegan1() -> TrainingConfig {
    let lrs = BTreeMap::from([(128, 0.0015), (256, 0.002), (512, 0.003), (1024, 0.003)]);
    let mut config = TrainingConfig {
        generator: GeneratorConfig::stylegan1(),
        discriminator: DiscriminatorConfig::stylegan1(),
        loss: LossConfig {
            pl_weight: 0.0,
            d_reg_interval: None,
            ..LossConfig::default()
        },
        batch: 4,
        growing: Some(GrowingConfig {
            minibatch_dict: one_device(),
            g_lrate_dict: lrs.clone(),
            d_lrate_dict: lrs,
            ..GrowingConfig::default()
        }),
        ..stylegan2()
    };
    set_lr(&mut config, 0.001);
    config
}

/// ProGAN; its batches are those that StyleGAN took over.
///
/// The average of its generator is StyleGAN's too, with a half-life of 10 kimg: the paper has a decay of 0.999
/// per minibatch.
fn progan() -> TrainingConfig {
    let stylegan = stylegan1();
    TrainingConfig {
        generator: GeneratorConfig::progan(),
        discriminator: DiscriminatorConfig::progan(),
        loss: LossConfig {
            adversarial: AdversarialLoss::WganGp,
            style_mixing_prob: 0.0,
            ..stylegan.loss
        },
        growing: Some(GrowingConfig {
            lod_initial_resolution: 4,
            minibatch_dict: one_device(),
            ..GrowingConfig::default()
        }),
        ..stylegan
    }
}

/// StyleGAN with other layers and, as long as it isn't complete, without mixing: rows of the paper's table 1.
fn ablation(layers: StyledLayers) -> TrainingConfig {
    let mut config = stylegan1();
    config.loss.style_mixing_prob = 0.0;
    if !layers.use_styles {
        config.generator.mapping = GeneratorConfig::progan().mapping;
    }
    config.generator.synthesis.layers = Layers::Styled(layers);
    config
}

/// Batches by resolution for one device.
fn one_device() -> BTreeMap<usize, usize> {
    let small = [(4, 128), (8, 128), (16, 128), (32, 64)];
    let large = [(64, 32), (128, 16), (256, 8), (512, 4), (1024, 4)];
    small.into_iter().chain(large).collect()
}

fn set_channel_base(config: &mut TrainingConfig, channel_base: usize) {
    config.generator.synthesis.channel_base = channel_base;
    config.discriminator.channel_base = channel_base;
}

fn set_lr(config: &mut TrainingConfig, lr: f64) {
    config.optimizer.g_lr = lr;
    config.optimizer.d_lr = lr;
}

impl Preset {
    /// All presets, in the order that help texts list them.
    pub const ALL: [Self; 14] = [
        Self::Auto,
        Self::Stylegan2,
        Self::Paper256,
        Self::Paper512,
        Self::Paper1024,
        Self::Cifar,
        Self::Stylegan1,
        Self::Progan,
        Self::Stylegan1A,
        Self::Stylegan1B,
        Self::Stylegan1C,
        Self::Stylegan1D,
        Self::Stylegan1E,
        Self::Stylegan1F,
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
            Self::Stylegan1 => "stylegan1",
            Self::Progan => "progan",
            Self::Stylegan1A => "stylegan1-a",
            Self::Stylegan1B => "stylegan1-b",
            Self::Stylegan1C => "stylegan1-c",
            Self::Stylegan1D => "stylegan1-d",
            Self::Stylegan1E => "stylegan1-e",
            Self::Stylegan1F => "stylegan1-f",
        }
    }

    /// Length of a run in thousands of pictures.
    pub fn kimg(self) -> f64 {
        match self {
            Self::Cifar => 100_000.0,
            Self::Progan | Self::Stylegan1A => 12_000.0,
            _ => 25_000.0,
        }
    }

    /// The resolution that the numbers were published for; `None` where they fit any.
    pub fn native_resolution(self) -> Option<usize> {
        match self {
            Self::Paper256 => Some(256),
            Self::Paper512 => Some(512),
            Self::Paper1024 => Some(1024),
            Self::Cifar => Some(32),
            _ => None,
        }
    }

    /// The preset's training, for colour pictures of `resolution` without labels. Where the networks grow,
    /// the batch is by resolution, and a pass holds the largest of them.
    ///
    /// `batch` overrides the preset's batch size, at all resolutions; `auto` derives R1's gamma and the EMA's
    /// half-life from the batch that is used: gamma = 0.0002 * resolution^2 / batch, EMA = batch * 10 / 32
    /// kimg.
    pub fn training(self, resolution: usize, batch: Option<usize>) -> TrainingConfig {
        let mut config = match self {
            Self::Auto => auto(resolution, batch),
            Self::Stylegan2 => stylegan2(),
            Self::Paper256 => paper256(),
            Self::Paper512 => paper512(),
            Self::Paper1024 => paper1024(),
            Self::Cifar => cifar(),
            Self::Stylegan1 | Self::Stylegan1F => stylegan1(),
            Self::Progan | Self::Stylegan1A => progan(),
            Self::Stylegan1B => ablation(StyledLayers {
                convolution: StyledLayers::default().convolution,
                ..StyledLayers::progan()
            }),
            Self::Stylegan1C => ablation(StyledLayers {
                const_input_layer: false,
                use_noise: false,
                ..StyledLayers::default()
            }),
            Self::Stylegan1D => ablation(StyledLayers {
                use_noise: false,
                ..StyledLayers::default()
            }),
            Self::Stylegan1E => ablation(StyledLayers::default()),
        };
        config.generator.synthesis.img_resolution = resolution;
        config.discriminator.img_resolution = resolution;
        if let Some(growing) = &mut config.growing {
            let initial = &mut growing.lod_initial_resolution;
            *initial = resolution.min(*initial);
            let last = growing.minibatch_dict.get(&resolution);
            config.batch = last.copied().unwrap_or(config.batch);
        }
        if let Some(batch) = batch {
            config.batch = batch;
            if let Some(growing) = &mut config.growing {
                growing.minibatch_dict.clear();
            }
        }
        config.batch_gpu = config.largest_batch();
        config
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
mod tests;
