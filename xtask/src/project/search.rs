//! How the search goes.

use anyhow::{Result, bail, ensure};
use stylegan_projection::{LearningRate, NoiseMaps, ProjectionConfig, Space, WNoise};
use stylegan_synthesis::SynthesisConfig;

/// The weight of the noise maps' penalty in the paper.
const NOISE_WEIGHT: f64 = 1e5;

/// What is searched, for how long, and how boldly.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Search")]
pub struct SearchArgs {
    /// How many steps are taken
    #[arg(long, value_name = "N", default_value_t = 1000)]
    num_steps: usize,

    /// Latents to search: one w for all layers, or one for each (w+), which comes closer to pictures
    /// that the network doesn't make
    #[arg(long, value_name = "SPACE", default_value = "w")]
    space: SpaceArg,

    /// The highest learning rate; it rises over the first 5 % of the steps and falls over the last 25 %
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.1,
        allow_negative_numbers = true
    )]
    lr: f64,

    /// Fine detail: maps that are optimised with the latent, the stored ones, or none
    /// [default: optimize, for networks without noise none]
    #[arg(long, value_name = "MODE")]
    noise_mode: Option<NoiseArg>,

    /// How strictly optimised noise maps have to stay noise [default: 100000]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    noise_weight: Option<f64>,

    /// Noise on w while the search is young, relative to how far w are from their mean
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    w_noise: f64,

    /// Seed of all random numbers; the same one gives the same files
    #[arg(long, value_name = "N", default_value_t = 303)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SpaceArg {
    W,
    #[value(name = "w+", alias = "wplus")]
    WPlus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NoiseArg {
    #[value(alias = "optimise")]
    Optimize,
    Const,
    None,
}

impl SearchArgs {
    /// What can be said before the network is there.
    pub fn check(&self) -> Result<()> {
        ensure!(self.num_steps > 0, "--num-steps 0: must be at least 1");
        let Self { lr, w_noise, .. } = self;
        let is_positive = lr.is_finite() && *lr > 0.;
        ensure!(is_positive, "--lr {lr}: must be a positive number");
        not_negative("w-noise", *w_noise)?;
        if let Some(weight) = self.noise_weight {
            not_negative("noise-weight", weight)?;
            if let Some(NoiseArg::Const | NoiseArg::None) = self.noise_mode {
                bail!(
                    "--noise-weight {weight}: is for noise maps that are optimised; leave it or \
                     --noise-mode out"
                )
            }
        }
        Ok(())
    }

    /// The configuration for a network.
    pub fn config(&self, synthesis: &SynthesisConfig) -> Result<ProjectionConfig> {
        let space = match self.space {
            SpaceArg::W => Space::W,
            SpaceArg::WPlus if synthesis.num_ws() == 1 => {
                bail!("--space w+: the network has one w for all layers; leave the option out")
            }
            SpaceArg::WPlus => Space::WPlus,
        };
        Ok(ProjectionConfig {
            steps: self.num_steps,
            space,
            noise_maps: self.noise_maps(synthesis)?,
            learning_rate: LearningRate {
                peak: self.lr,
                ..LearningRate::default()
            },
            w_noise: WNoise {
                strength: self.w_noise,
                ..WNoise::default()
            },
            seed: self.seed,
            ..ProjectionConfig::default()
        })
    }

    fn noise_maps(&self, synthesis: &SynthesisConfig) -> Result<NoiseMaps> {
        let no_noise = "the layers of the network have no noise; leave the option out";
        let weight = self.noise_weight.unwrap_or(NOISE_WEIGHT);
        Ok(match (self.noise_mode, self.noise_weight) {
            (Some(NoiseArg::Const), _) => NoiseMaps::Const,
            (Some(NoiseArg::None), _) => NoiseMaps::None,
            _ if synthesis.has_noise() => NoiseMaps::Optimized { weight },
            (Some(NoiseArg::Optimize), _) => bail!("--noise-mode optimize: {no_noise}"),
            (None, Some(weight)) => bail!("--noise-weight {weight}: {no_noise}"),
            (None, None) => NoiseMaps::None,
        })
    }
}

fn not_negative(option: &str, value: f64) -> Result<()> {
    let is_in_range = value.is_finite() && value >= 0.;
    ensure!(is_in_range, "--{option} {value}: must be at least 0");
    Ok(())
}
