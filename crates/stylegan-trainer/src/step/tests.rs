//! Tests of the training step on tiny networks.

mod accumulation;
mod gradients;
mod growing;
mod run;

use candle_core::{DType, Device, Result, Tensor};
use rand::{Rng, RngExt};
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{GeneratorConfig, MappingOptions, SynthesisConfig};

use super::{Reals, Stepper, TrainingData};
use crate::config::{EmaConfig, LossConfig, OptimizerConfig, TrainingConfig};
use crate::state::TrainingState;

/// Networks of 8 channels at 16x16, 4 images per pass in two passes.
fn config(
    g_architecture: Architecture,
    d_architecture: Architecture,
    c_dim: usize,
) -> TrainingConfig {
    let (channel_base, channel_max, img_resolution) = (128, 8, 16);
    TrainingConfig {
        generator: GeneratorConfig {
            z_dim: 6,
            c_dim,
            mapping: MappingOptions {
                num_layers: 2,
                ..MappingOptions::default()
            },
            synthesis: SynthesisConfig {
                w_dim: 8,
                img_resolution,
                channel_base,
                channel_max,
                architecture: g_architecture,
                ..SynthesisConfig::default()
            },
        },
        discriminator: DiscriminatorConfig {
            c_dim,
            img_resolution,
            channel_base,
            channel_max,
            architecture: d_architecture,
            mapping_layers: 2,
            ..DiscriminatorConfig::default()
        },
        loss: LossConfig {
            g_reg_interval: Some(2),
            d_reg_interval: Some(3),
            ..LossConfig::default()
        },
        optimizer: OptimizerConfig::default(),
        ema: EmaConfig::default(),
        batch: 8,
        batch_gpu: 4,
        growing: None,
        seed: 7,
    }
}

fn default_config() -> TrainingConfig {
    config(Architecture::Skip, Architecture::Resnet, 0)
}

/// Smooth images that differ from one another, with the label of their index.
struct Toy {
    next: usize,
    c_dim: usize,
}

impl Toy {
    fn new(config: &TrainingConfig) -> Self {
        Self {
            next: 0,
            c_dim: config.generator.c_dim,
        }
    }

    fn one_hot(&self, classes: impl Iterator<Item = usize>) -> Result<Option<Tensor>> {
        if self.c_dim == 0 {
            return Ok(None);
        }
        let classes: Vec<usize> = classes.collect();
        let one_hot = classes
            .iter()
            .flat_map(|&class| (0..self.c_dim).map(move |i| f32::from(u8::from(i == class))));
        Tensor::from_iter(one_hot, &Device::Cpu)?
            .reshape((classes.len(), self.c_dim))
            .map(Some)
    }
}

fn images(from: usize, n: usize) -> Result<Tensor> {
    let pixel = |i: usize| ((i as f32) * 0.37 + (i / 768) as f32 * 1.9).sin();
    let pixels = (from * 768..(from + n) * 768).map(pixel);
    Tensor::from_iter(pixels, &Device::Cpu)?.reshape((n, 3, 16, 16))
}

impl TrainingData for Toy {
    fn reals(&mut self, n: usize) -> Result<Reals> {
        let first = self.next;
        self.next += n;
        Ok(Reals {
            images: images(first, n)?,
            labels: self.one_hot((first..first + n).map(|i| i % self.c_dim.max(1)))?,
        })
    }

    fn labels(&mut self, n: usize, rng: &mut dyn Rng) -> Result<Option<Tensor>> {
        let c_dim = self.c_dim;
        self.one_hot((0..n).map(|_| rng.random_range(0..c_dim.max(1))))
    }
}

fn stepper(config: &TrainingConfig) -> Stepper {
    let state = TrainingState::new(config, &Device::Cpu).expect("state");
    Stepper::new(config.clone(), state).expect("stepper")
}

fn magnitude(tensor: &Tensor) -> f64 {
    let largest = tensor
        .abs()
        .and_then(|t| t.max_all()?.to_dtype(DType::F64)?.to_scalar());
    largest.expect("values")
}
