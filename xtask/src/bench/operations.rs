//! How much arithmetic a network takes.
//!
//! Counted are the multiplications and additions of the convolutions in their direct form (a product of
//! every output pixel with every tap, none with the zeros that upsampling puts between pixels) and of the
//! fully connected layers. Resampling filters, noise and activations are left out: they are bound by memory
//! and would be a few percent. An algorithm that needs less arithmetic has a higher rate for it.

use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::nn::Pyramid;
use stylegan_synthesis::GeneratorConfig;
use stylegan_trainer::config::TrainingConfig;

/// Operations of the networks for one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operations {
    /// Mapping and synthesis network, forward.
    pub generator: f64,
    /// Discriminator, forward.
    pub discriminator: f64,
}

/// A multiplication and an addition.
const MULTIPLY_ADD: f64 = 2.0;

/// A convolution of `input` to `output` channels with `kernel` by `kernel` taps, whose products are taken at
/// `side` by `side` places: those of the output, or of the input where it upsamples.
fn convolution(input: usize, output: usize, kernel: usize, side: usize) -> f64 {
    MULTIPLY_ADD * (input * output * kernel * kernel * side * side) as f64
}

fn fully_connected(input: usize, output: usize) -> f64 {
    MULTIPLY_ADD * (input * output) as f64
}

/// StyleGAN2's mapping and synthesis network (skip architecture) for one picture.
pub fn generator(config: &GeneratorConfig) -> candle_core::Result<f64> {
    let synthesis = &config.synthesis;
    let (w_dim, image) = (synthesis.w_dim, synthesis.img_channels);
    let widths = [config.z_dim].into_iter().chain(std::iter::repeat(w_dim));
    let mapping: f64 = widths
        .take(config.mapping.num_layers)
        .map(|width| fully_connected(width, w_dim))
        .sum();
    let pyramid = Pyramid::new(
        synthesis.img_resolution,
        image,
        synthesis.channel_base,
        synthesis.channel_max,
    )?;
    // The affine map of the style, and the convolution that it modulates.
    let layer = |input, output, kernel, side| {
        fully_connected(w_dim, input) + convolution(input, output, kernel, side)
    };
    let block = |side: usize| {
        let channels = pyramid.channels(side);
        let conv0 = match side {
            4 => 0.0,
            _ => layer(pyramid.channels(side / 2), channels, 3, side / 2),
        };
        conv0 + layer(channels, channels, 3, side) + layer(channels, image, 1, side)
    };
    Ok(mapping + pyramid.resolutions().map(block).sum::<f64>())
}

/// StyleGAN2's discriminator (residual architecture, no labels) for one picture.
pub fn discriminator(config: &DiscriminatorConfig) -> candle_core::Result<f64> {
    let pyramid = Pyramid::new(
        config.img_resolution,
        config.img_channels,
        config.channel_base,
        config.channel_max,
    )?;
    let full = config.img_resolution;
    let from_rgb = convolution(config.img_channels, pyramid.channels(full), 1, full);
    let block = |side: usize| {
        let (input, output) = (pyramid.channels(side), pyramid.channels(side / 2));
        convolution(input, input, 3, side)
            + convolution(input, output, 3, side / 2)
            + convolution(input, output, 1, side / 2)
    };
    let blocks = pyramid.resolutions().filter(|&side| side > 4).map(block);
    let channels = pyramid.channels(4);
    let epilogue = convolution(channels + config.mbstd_num_channels, channels, 3, 4)
        + fully_connected(channels * 16, channels)
        + fully_connected(channels, 1);
    Ok(from_rgb + blocks.sum::<f64>() + epilogue)
}

impl Operations {
    /// Of the networks of a training.
    pub fn new(config: &TrainingConfig) -> candle_core::Result<Self> {
        Ok(Self {
            generator: generator(&config.generator)?,
            discriminator: discriminator(&config.discriminator)?,
        })
    }

    /// Of one training step, regularizers in proportion.
    ///
    /// A backward pass takes twice the arithmetic of the forward pass, or once where only the gradient of
    /// the input is asked for. Differentiating a gradient takes twice the arithmetic of both the forward
    /// pass and the pass that made the gradient.
    ///
    /// | phase | generator | discriminator |
    /// |---|---|---|
    /// | Gmain: forward, backward; through the frozen discriminator | 3 | 2 |
    /// | Greg: forward, gradient of w, both again backward | 6 | 0 |
    /// | Dmain: generated pictures; forward and backward for them and real ones | 1 | 6 |
    /// | Dreg: forward, gradient of the pictures, both again backward | 0 | 6 |
    pub fn of_step(&self, config: &TrainingConfig) -> f64 {
        let loss = &config.loss;
        let batch = config.batch as f64;
        let share = |active: bool, interval: Option<usize>| match active {
            true => 1.0 / interval.unwrap_or(1) as f64,
            false => 0.0,
        };
        let g_reg = share(loss.regularizes_generator(), loss.g_reg_interval)
            * (config.path_length_batch() * config.rounds()) as f64;
        let d_reg = share(loss.regularizes_discriminator(), loss.d_reg_interval) * batch;
        let of_generator = 4.0 * batch + 6.0 * g_reg;
        let of_discriminator = 8.0 * batch + 6.0 * d_reg;
        of_generator * self.generator + of_discriminator * self.discriminator
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stylegan_synthesis::{MappingOptions, SynthesisConfig};
    use stylegan_trainer::Preset;

    #[test]
    fn a_generator_small_enough_to_count_by_hand() {
        let config = GeneratorConfig {
            z_dim: 2,
            mapping: MappingOptions {
                num_layers: 2,
                ..MappingOptions::default()
            },
            synthesis: SynthesisConfig {
                w_dim: 3,
                img_resolution: 8,
                channel_base: 40,
                channel_max: 7,
                ..SynthesisConfig::default()
            },
            ..GeneratorConfig::default()
        };
        // 7 channels at 4x4 and 5 at 8x8.
        let mapping = 2 * 3 + 3 * 3;
        let b4 = (3 * 7 + 7 * 7 * 9 * 16) + (3 * 7 + 7 * 3 * 16);
        let b8 = (3 * 7 + 7 * 5 * 9 * 16) + (3 * 5 + 5 * 5 * 9 * 64) + (3 * 5 + 5 * 3 * 64);
        let expected = f64::from(2 * (mapping + b4 + b8));
        assert_eq!(generator(&config).unwrap(), expected);
    }

    #[test]
    fn a_discriminator_small_enough_to_count_by_hand() {
        let config = DiscriminatorConfig {
            img_resolution: 8,
            channel_base: 40,
            channel_max: 7,
            ..DiscriminatorConfig::default()
        };
        let b8 = 3 * 5 * 64 + 5 * 5 * 9 * 64 + 5 * 7 * 9 * 16 + 5 * 7 * 16;
        let b4 = 8 * 7 * 9 * 16 + 7 * 16 * 7 + 7;
        assert_eq!(discriminator(&config).unwrap(), f64::from(2 * (b8 + b4)));
    }

    #[test]
    fn regularizers_count_in_proportion() {
        let mut config = Preset::Auto.training(32, Some(16));
        let operations = Operations {
            generator: 1.0,
            discriminator: 100.0,
        };
        // Half the batch in every fourth step, the whole batch in every sixteenth.
        let expected = 16.0 * (4.0 + 6.0 / 2.0 / 4.0) + 1600.0 * (8.0 + 6.0 / 16.0);
        assert_eq!(operations.of_step(&config), expected);
        (config.loss.pl_weight, config.loss.r1_gamma) = (0.0, 0.0);
        assert_eq!(operations.of_step(&config), 16.0 * 4.0 + 1600.0 * 8.0);
    }
}
