//! The work that is timed: one call of a generator, or training steps.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use serde_json::json;
use stylegan_checkpoint::{Checkpoint, ParamStore};
use stylegan_discriminator::Discriminator;
use stylegan_losses::{path_length, path_length_noise, r1_penalty};
use stylegan_mapping::latents;
use stylegan_synthesis::{Generator, NoiseMode};
use stylegan_trainer::config::TrainingConfig;
use stylegan_trainer::options::{DataOptions, NetworkOptions, TrainingOptions};
use stylegan_trainer::state::TrainingState;
use stylegan_trainer::step::{Reals, Stepper, TrainingData};
use stylegan_trainer::{Recipe, TrainOptions};

use super::operations::{self, Operations};
use crate::precision::PrecisionChoice;

/// How far parameters are moved from where they begin. Many begin at 0, where a comparison with another
/// program would not see them.
const PERTURBATION: f32 = 0.1;

/// The network, with the names and meanings of the options of `train`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Side of the pictures in pixels, a power of two from 4 to 1024 [default: 256 for generate,
    /// 32 for train-step]
    #[arg(long, value_name = "PIXELS")]
    pub resolution: Option<usize>,

    /// Feature maps: min(BASE / resolution, MAX) at each resolution [default: 16384; from 512 pixels
    /// on 32768]
    #[arg(long, value_name = "BASE")]
    pub channel_base: Option<usize>,

    /// The most feature maps at any resolution [default: 512]
    #[arg(long, value_name = "MAX")]
    pub channel_max: Option<usize>,

    /// Length of the latent z that a picture is made from [default: 512]
    #[arg(long, value_name = "N")]
    pub z_dim: Option<usize>,

    /// Length of the intermediate latent w [default: 512]
    #[arg(long, value_name = "N")]
    pub w_dim: Option<usize>,

    /// Layers that map z to w, 1 to 8 [default: 2]
    #[arg(long, value_name = "N")]
    pub mapping_layers: Option<usize>,

    /// Pictures per call or training step [default: 1 for generate, 4096 / resolution but at most 32 for train-step]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Generate,
    TrainStep,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate => "generate",
            Self::TrainStep => "train-step",
        })
    }
}

impl NetworkArgs {
    /// The complete configuration of a new StyleGAN2.
    pub fn config(&self, kind: Kind) -> Result<TrainingConfig> {
        let (resolution, batch) = match kind {
            Kind::Generate => (256, Some(1)),
            Kind::TrainStep => (32, None),
        };
        let batch = self.batch.or(batch);
        let mut options = TrainOptions {
            data: DataOptions {
                resolution: Some(self.resolution.unwrap_or(resolution)),
                ..DataOptions::default()
            },
            network: NetworkOptions {
                channel_base: self.channel_base,
                channel_max: self.channel_max,
                z_dim: self.z_dim,
                w_dim: self.w_dim,
                mapping_layers: self.mapping_layers,
            },
            training: TrainingOptions {
                batch,
                ..TrainingOptions::default()
            },
            ..TrainOptions::default()
        };
        options.validate()?;
        if kind == Kind::Generate {
            // Generators have no groups of pictures that a batch would have to split into.
            options.training.batch = None;
        }
        let dataset = options.data.open(0)?;
        let mut config = Recipe::new(&options, &dataset)?.config;
        if let (Kind::Generate, Some(batch)) = (kind, batch) {
            (config.batch, config.batch_gpu) = (batch, batch);
        }
        Ok(config)
    }
}

/// Work that can be repeated.
pub trait Work {
    /// Does it once: a call of the generator, or as many steps as have every regularizer in them. On a GPU it may
    /// return before all is computed.
    fn run(&mut self) -> Result<()>;

    /// Does so much that what the first time does besides is done.
    fn warm_up(&mut self) -> Result<()>;

    /// Calls or steps in a run.
    fn calls(&self) -> usize;

    /// Pictures per call or step.
    fn batch(&self) -> usize;

    /// Operations per call or step ([`operations`]).
    fn operations(&self) -> f64;

    /// Writes parameters, inputs and results for a comparison with another program.
    fn export(&self, path: &Path) -> Result<()>;
}

/// Makes the work of a kind; a training is in f32 always.
pub fn new(
    kind: Kind,
    config: &TrainingConfig,
    device: &Device,
    precision: PrecisionChoice,
) -> Result<Box<dyn Work>> {
    Ok(match kind {
        Kind::Generate => Box::new(Generate::new(config, device, precision)?),
        Kind::TrainStep => Box::new(TrainStep::new(config, device)?),
    })
}

/// Pictures from latents, with constant noise and without truncation.
struct Generate {
    config: TrainingConfig,
    params: ParamStore,
    generator: Generator,
    z: Tensor,
}

impl Generate {
    fn new(config: &TrainingConfig, device: &Device, precision: PrecisionChoice) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let params = ParamStore::initialize(DType::F32, device, &mut rng, |vb| {
            Generator::new(&config.generator, vb)
        })?;
        perturb(&params, &mut rng)?;
        Ok(Self {
            generator: Generator::new(&config.generator, params.frozen_var_builder())?
                .prepared(precision.into())?,
            z: seeds(config.batch, config.generator.z_dim, device)?,
            config: config.clone(),
            params,
        })
    }

    fn images(&self) -> Result<Tensor> {
        let images = self
            .generator
            .forward(&self.z, None, 1.0, None, &mut NoiseMode::Const)?;
        Ok(images)
    }
}

impl Work for Generate {
    fn run(&mut self) -> Result<()> {
        self.images().map(drop)
    }

    fn warm_up(&mut self) -> Result<()> {
        self.run()
    }

    fn calls(&self) -> usize {
        1
    }

    fn batch(&self) -> usize {
        self.config.batch
    }

    fn operations(&self) -> f64 {
        let per_picture = operations::generator(&self.config.generator);
        per_picture.unwrap_or(f64::NAN) * self.batch() as f64
    }

    fn export(&self, path: &Path) -> Result<()> {
        let mut file = Checkpoint::new(json!({ "config": self.config }));
        file.insert_section("G.", self.params.to_tensors());
        let tensors = [("z", self.z.clone()), ("images", self.images()?)];
        file.insert_section("expected.", named(tensors));
        Ok(file.write(path)?)
    }
}

/// Steps of a training on pictures that are always the same.
struct TrainStep {
    stepper: Stepper,
    reals: SameReals,
    operations: f64,
    /// Steps that have every regularizer in them as often as it should be.
    period: usize,
}

impl TrainStep {
    fn new(config: &TrainingConfig, device: &Device) -> Result<Self> {
        let state = TrainingState::new(config, device)?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed + 1);
        perturb(&state.g, &mut rng)?;
        perturb(&state.d, &mut rng)?;
        let synthesis = &config.generator.synthesis;
        let side = synthesis.img_resolution;
        let shape = (config.batch, synthesis.img_channels, side, side);
        let reals = normal(shape, &mut rng, device)?;
        let loss = &config.loss;
        let intervals = [loss.g_reg_interval, loss.d_reg_interval].map(|i| i.unwrap_or(1));
        Ok(Self {
            operations: Operations::new(config)?.of_step(config),
            stepper: Stepper::new(config.clone(), state)?,
            reals: SameReals(reals),
            period: least_common_multiple(intervals),
        })
    }
}

impl Work for TrainStep {
    fn run(&mut self) -> Result<()> {
        for _ in 0..self.period {
            self.stepper.step(&mut self.reals)?;
        }
        Ok(())
    }

    /// The very first step has all phases in it, and any `period` steps after it have them as often.
    fn warm_up(&mut self) -> Result<()> {
        self.stepper.step(&mut self.reals)?;
        Ok(())
    }

    fn calls(&self) -> usize {
        self.period
    }

    fn batch(&self) -> usize {
        self.stepper.config().batch
    }

    fn operations(&self) -> f64 {
        self.operations
    }

    /// With the numbers of each regularizer before its mean over the batch and its weight, at constant noise
    /// and without style mixing.
    fn export(&self, path: &Path) -> Result<()> {
        let (config, state) = (self.stepper.config(), self.stepper.state());
        let mut file = Checkpoint::new(json!({ "config": config }));
        file.insert_section("G.", state.g.to_tensors());
        file.insert_section("D.", state.d.to_tensors());
        let g = Generator::new(&config.generator, state.g.var_builder())?;
        let d = Discriminator::new(&config.discriminator, state.d.var_builder())?;
        let reals = &self.reals.0;
        let z = seeds(config.batch, config.generator.z_dim, reals.device())?;
        let ws = g.ws(&z, None, 1.0, None)?.detach();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed + 2);
        let image_noise = path_length_noise(&normal(reals.dims(), &mut rng, reals.device())?)?;
        let r1 = r1_penalty(reals, |x| d.forward(x, None))?;
        let synthesis = |ws: &Tensor| g.synthesis().forward(ws, &mut NoiseMode::Const);
        let lengths = path_length(&ws, &image_noise, 0.0, 0.0, synthesis)?.lengths;
        let tensors = [
            ("images", g.synthesis().forward(&ws, &mut NoiseMode::Const)?),
            ("z", z),
            ("image_noise", image_noise),
            ("path_lengths", lengths),
            ("reals", reals.clone()),
            ("logits", r1.logits),
            ("r1_penalties", r1.penalty),
        ];
        file.insert_section("expected.", named(tensors));
        Ok(file.write(path)?)
    }
}

/// The same real pictures in every step: time doesn't depend on what they show.
struct SameReals(Tensor);

impl TrainingData for SameReals {
    fn reals(&mut self, n: usize) -> candle_core::Result<Reals> {
        Ok(Reals {
            images: self.0.narrow(0, 0, n)?,
            labels: None,
        })
    }

    fn labels(&mut self, _n: usize, _rng: &mut dyn Rng) -> candle_core::Result<Option<Tensor>> {
        Ok(None)
    }
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> BTreeMap<String, Tensor> {
    let named = tensors.map(|(name, tensor)| (name.to_string(), tensor.detach()));
    named.into()
}

/// The latents `[n, z_dim]` of the seeds from 0.
fn seeds(n: usize, z_dim: usize, device: &Device) -> Result<Tensor> {
    let seeds: Vec<u32> = (0..n as u32).collect();
    Ok(latents::from_seeds(&seeds, z_dim, device)?)
}

/// Moves every trainable parameter a little, in the order of their names.
fn perturb(params: &ParamStore, rng: &mut ChaCha8Rng) -> Result<()> {
    for (_, var) in params.trainable() {
        let noise = (normal(var.dims(), rng, var.device())? * f64::from(PERTURBATION))?;
        var.set(&(var.as_detached_tensor() + noise)?)?;
    }
    Ok(())
}

fn normal(shape: impl Into<Shape>, rng: &mut ChaCha8Rng, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    let draw = |_| StandardNormal.sample(rng);
    let values: Vec<f32> = (0..shape.elem_count()).map(draw).collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

fn least_common_multiple([a, b]: [usize; 2]) -> usize {
    (a..=a * b)
        .step_by(a)
        .find(|m| m.is_multiple_of(b))
        .unwrap_or(a)
}
