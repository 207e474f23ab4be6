//! What is optimised, for how long, and how strongly.

use std::f64::consts::PI;

use candle_core::{Result, bail};

/// Configuration of a [`Projector`](crate::Projector); the default is that of the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionConfig {
    /// How many steps are taken.
    pub steps: usize,
    /// Which latents are searched.
    pub space: Space,
    /// What the noise maps are, and whether they are optimised.
    pub noise_maps: NoiseMaps,
    /// The learning rate of Adam.
    pub learning_rate: LearningRate,
    /// The noise that is added to w.
    pub w_noise: WNoise,
    /// How many z are mapped to find the mean of w and its spread.
    pub w_samples: usize,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            space: Space::W,
            noise_maps: NoiseMaps::Optimized { weight: 1e5 },
            learning_rate: LearningRate::default(),
            w_noise: WNoise::default(),
            w_samples: 10_000,
            seed: 0,
        }
    }
}

impl ProjectionConfig {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        if self.steps == 0 {
            bail!("steps: expected at least 1, got 0")
        }
        if self.w_samples == 0 {
            bail!("w_samples: expected at least 1, got 0")
        }
        let LearningRate {
            peak,
            ramp_up,
            ramp_down,
        } = self.learning_rate;
        positive("learning_rate.peak", peak)?;
        fraction("learning_rate.ramp_up", ramp_up)?;
        fraction("learning_rate.ramp_down", ramp_down)?;
        not_negative("w_noise.strength", self.w_noise.strength)?;
        fraction("w_noise.until", self.w_noise.until)?;
        match self.noise_maps {
            NoiseMaps::Optimized { weight } => not_negative("noise_maps.weight", weight),
            NoiseMaps::Const | NoiseMaps::None => Ok(()),
        }
    }
}

fn positive(name: &str, value: f64) -> Result<()> {
    match value.is_finite() && value > 0. {
        true => Ok(()),
        false => bail!("{name}: expected a positive number, got {value}"),
    }
}

fn not_negative(name: &str, value: f64) -> Result<()> {
    match value.is_finite() && value >= 0. {
        true => Ok(()),
        false => bail!("{name}: expected a number of at least 0, got {value}"),
    }
}

fn fraction(name: &str, value: f64) -> Result<()> {
    match (0. ..=1.).contains(&value) {
        true => Ok(()),
        false => bail!("{name}: expected a number from 0 to 1, got {value}"),
    }
}

/// Which latents are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Space {
    /// One w for all layers: the result is a picture of the kind that the network makes.
    #[default]
    W,
    /// A w for every layer (Abdal et al., "Image2StyleGAN" (2019)): closer to pictures that the network doesn't
    /// make, while editing the result works less well.
    WPlus,
}

/// What the noise of the synthesis layers is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoiseMaps {
    /// N(0, 1) at first, then optimised with the latent, and normalised to mean 0 and mean square 1 after
    /// every step.
    Optimized {
        /// Weight of [`autocorrelation`](crate::autocorrelation) in the loss, which keeps the picture out of the
        /// maps.
        weight: f64,
    },
    /// The stored maps.
    Const,
    /// No noise.
    None,
}

/// The learning rate of Adam (beta 0.9 and 0.999), as a function of the fraction `t` of the steps taken:
///
/// ```text
/// peak * min(1, t / ramp_up) * (1 - cos(pi * min(1, (1 - t) / ramp_down))) / 2
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The highest rate.
    pub peak: f64,
    /// The fraction of the steps in which it rises, linearly from 0.
    pub ramp_up: f64,
    /// The fraction of the steps in which it falls, as a cosine to 0.
    pub ramp_down: f64,
}

impl Default for LearningRate {
    fn default() -> Self {
        Self {
            peak: 0.1,
            ramp_up: 0.05,
            ramp_down: 0.25,
        }
    }
}

impl LearningRate {
    /// The rate where the fraction `t` of the steps has been taken.
    pub fn at(&self, t: f64) -> f64 {
        let rise = part(t, self.ramp_up);
        let fall = part(1. - t, self.ramp_down);
        self.peak * rise * (1. - (PI * fall).cos()) / 2.
    }
}

/// The noise that is added to every coordinate of w, so that the search doesn't end in the first hollow. Its
/// standard deviation is, with `sigma` that of [`WStatistics`](crate::WStatistics) and `t` the fraction of the steps
/// taken,
///
/// ```text
/// strength * sigma * max(0, 1 - t / until)^2
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WNoise {
    /// Relative to the spread of w.
    pub strength: f64,
    /// The fraction of the steps after which there is none.
    pub until: f64,
}

impl Default for WNoise {
    fn default() -> Self {
        Self {
            strength: 0.05,
            until: 0.75,
        }
    }
}

impl WNoise {
    /// The standard deviation where the fraction `t` of the steps has been taken.
    pub fn at(&self, t: f64, sigma: f64) -> f64 {
        self.strength * sigma * (1. - part(t, self.until)).powi(2)
    }
}

/// `t / length`, at most 1; a ramp without length is behind us.
fn part(t: f64, length: f64) -> f64 {
    match length > 0. {
        true => (t / length).min(1.),
        false => 1.,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }

    #[test]
    fn the_learning_rate_rises_for_50_of_1000_steps_and_falls_for_250() {
        let rate = |step: usize| LearningRate::default().at(step as f64 / 1000.);
        close(rate(0), 0.);
        close(rate(1), 0.1 * 1. / 50.);
        close(rate(25), 0.05);
        for step in [50, 51, 400, 749, 750] {
            close(rate(step), 0.1);
        }
        close(rate(875), 0.05);
        close(rate(999), 0.05 * (1. - (PI / 250.).cos()));
        close(rate(1000), 0.);
    }

    #[test]
    fn ramps_may_be_left_out_and_may_overlap() {
        let without = LearningRate {
            ramp_up: 0.,
            ramp_down: 0.,
            ..LearningRate::default()
        };
        close(without.at(0.), 0.1);
        close(without.at(1.), 0.1);
        let both = LearningRate {
            ramp_up: 1.,
            ramp_down: 1.,
            ..LearningRate::default()
        };
        close(both.at(0.5), 0.1 * 0.5 * 0.5);
    }

    #[test]
    fn the_noise_on_w_falls_as_a_square_and_ends_after_750_of_1000_steps() {
        let noise = |step: usize| WNoise::default().at(step as f64 / 1000., 20.);
        close(noise(0), 1.);
        close(noise(375), 0.25);
        close(noise(600), 0.04);
        for step in [750, 900, 1000] {
            close(noise(step), 0.);
        }
        let without = WNoise {
            until: 0.,
            ..WNoise::default()
        };
        close(without.at(0., 20.), 0.);
    }

    #[test]
    fn numbers_out_of_range_are_errors_that_name_them() {
        let good = ProjectionConfig::default();
        assert!(good.validate().is_ok());
        let rate = |learning_rate| ProjectionConfig {
            learning_rate,
            ..good.clone()
        };
        let noise = |w_noise| ProjectionConfig {
            w_noise,
            ..good.clone()
        };
        let cases = [
            (
                ProjectionConfig {
                    steps: 0,
                    ..good.clone()
                },
                "steps: expected at least 1, got 0",
            ),
            (
                ProjectionConfig {
                    w_samples: 0,
                    ..good.clone()
                },
                "w_samples: expected at least 1, got 0",
            ),
            (
                rate(LearningRate {
                    peak: f64::NAN,
                    ..good.learning_rate
                }),
                "learning_rate.peak: expected a positive number, got NaN",
            ),
            (
                rate(LearningRate {
                    ramp_up: 1.5,
                    ..good.learning_rate
                }),
                "learning_rate.ramp_up: expected a number from 0 to 1, got 1.5",
            ),
            (
                rate(LearningRate {
                    ramp_down: -0.5,
                    ..good.learning_rate
                }),
                "learning_rate.ramp_down: expected a number from 0 to 1, got -0.5",
            ),
            (
                noise(WNoise {
                    strength: -1.,
                    ..good.w_noise
                }),
                "w_noise.strength: expected a number of at least 0, got -1",
            ),
            (
                noise(WNoise {
                    until: 2.,
                    ..good.w_noise
                }),
                "w_noise.until: expected a number from 0 to 1, got 2",
            ),
            (
                ProjectionConfig {
                    noise_maps: NoiseMaps::Optimized {
                        weight: f64::INFINITY,
                    },
                    ..good.clone()
                },
                "noise_maps.weight: expected a number of at least 0, got inf",
            ),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
