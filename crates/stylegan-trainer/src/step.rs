//! One training step: all phases of one minibatch.

mod data;
mod growth;
mod phases;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Result, Tensor, bail};
use stylegan_losses::lazy_adam;
use stylegan_mapping::update_w_avg;
use stylegan_ops::autograd::Gradients;
use tracing::trace_span;

use crate::adam::AdamParams;
use crate::config::{OptimizerConfig, TrainingConfig};
use crate::ema::{ema_beta, update_ema};
use crate::growing::Position;
use crate::inplace::all_finite;
use crate::state::TrainingState;

pub use data::{Reals, TrainingData};
use growth::Stage;
pub use growth::fade_reals;
use phases::{Networks, Phases};
pub use stats::{Phase, StepStats};

/// The generator's moving average of w.
const W_AVG: &str = "mapping.w_avg";

/// What to do about numbers that are not finite.
const DIVERGED: &str = "the training has diverged: resume an earlier checkpoint with a lower learning \
                        rate (--lr) or, unless the loss is wgan-gp, a larger gamma (--gamma)";

/// Trains: owns the state, and the networks that are views of its weights.
///
/// [`step`](Self::step) runs, in this order,
/// - **Gmain**: the generator's adversarial loss, through a discriminator that records no graph;
/// - **Greg**, every `g_reg_interval` minibatches: path length, times the interval;
/// - **Dmain**: the discriminator's adversarial loss (with WGAN-GP its penalty and drift too), on
///   images of a generator that records no graph;
/// - **Dreg**, every `d_reg_interval` minibatches: R1 and R2, times the interval;
/// - the moving average of the generator.
///
/// Each phase averages the gradients of `batch / batch_gpu` passes and ends with a step of its
/// network's Adam, whose hyperparameters are corrected for lazy regularization where the network
/// has a regularizer. Without an interval the regularizer is added to the main loss instead.
///
/// Where the networks grow ([`GrowingConfig`](crate::growing::GrowingConfig)), every few minibatches begin
/// with a look at the schedule. The phases then work at the active resolution, on the parameters that take
/// part at the level of detail.
///
/// Two training runs from the same state, configuration and data are identical, whatever the number
/// of threads: all random numbers come from the state's generator, drawn on the CPU.
pub struct Stepper {
    config: TrainingConfig,
    state: TrainingState,
    position: Position,
    /// `config` with the numbers of `position`.
    current: TrainingConfig,
    /// At the level of detail of `position`.
    networks: Networks,
    /// The trainable parameters that take part at `position`.
    g_params: Vec<(String, Tensor)>,
    d_params: Vec<(String, Tensor)>,
}

/// How a regularizer takes part in a minibatch.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Regularization {
    /// Not at all.
    Off,
    /// Added to the main loss.
    WithMain,
    /// In an optimizer step of its own, with this weight: the interval.
    Alone(f64),
}

impl Regularization {
    fn due(active: bool, interval: Option<usize>, minibatch: u64) -> Self {
        match interval {
            _ if !active => Self::Off,
            None => Self::WithMain,
            Some(interval) if minibatch.is_multiple_of(interval as u64) => {
                Self::Alone(interval as f64)
            }
            Some(_) => Self::Off,
        }
    }
}

impl Stepper {
    /// Builds the networks of a state.
    ///
    /// # Errors
    /// Where the configuration is not valid, or is not the one of the state's networks.
    pub fn new(config: TrainingConfig, state: TrainingState) -> Result<Self> {
        config.validate()?;
        let position = config.position(state.position_at.unwrap_or(state.images_seen))?;
        let mut stepper = Self {
            networks: Networks::new(&config, &state)?,
            current: config.clone(),
            config,
            state,
            position,
            g_params: Vec::new(),
            d_params: Vec::new(),
        };
        stepper.move_to(position)?;
        Ok(stepper)
    }

    /// The configuration.
    pub fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Where training stood in the last step.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Images per pass through the networks in the last step.
    pub fn batch_gpu(&self) -> usize {
        self.current.batch_gpu
    }

    /// The state after the last step.
    pub fn state(&self) -> &TrainingState {
        &self.state
    }

    /// Trains on one minibatch.
    ///
    /// # Errors
    /// Where the data fails or doesn't fit the networks; where a loss or a gradient is not finite,
    /// with the phase, the parameter and the minibatch; where a parameter received no gradient.
    /// After an error the state is in the middle of a minibatch: don't save it.
    pub fn step(&mut self, data: &mut dyn TrainingData) -> Result<StepStats> {
        self.grow()?;
        let mut stats = StepStats::default();
        self.train_generator(data, &mut stats)?;
        self.train_discriminator(data, &mut stats)?;
        let (config, state) = (&self.current, &mut self.state);
        let beta = ema_beta(&config.ema, config.batch, state.images_seen);
        let span = trace_span!("EMA").entered();
        update_ema(&state.g_ema, &state.g, beta)?;
        drop(span);
        state.images_seen += config.batch as u64;
        state.minibatches += 1;
        Ok(stats)
    }

    fn train_generator(
        &mut self,
        data: &mut dyn TrainingData,
        stats: &mut StepStats,
    ) -> Result<()> {
        let loss = &self.current.loss;
        let (active, interval) = (loss.regularizes_generator(), loss.g_reg_interval);
        let regularization = Regularization::due(active, interval, self.state.minibatches);

        let mut gradients = self.g_main(data, stats)?;
        if regularization == Regularization::WithMain {
            gradients.accumulate(self.g_reg(1., data, stats)?)?;
        }
        self.update_generator(&gradients)?;
        if let Regularization::Alone(weight) = regularization {
            let gradients = self.g_reg(weight, data, stats)?;
            self.update_generator(&gradients)?;
        }
        Ok(())
    }

    fn train_discriminator(
        &mut self,
        data: &mut dyn TrainingData,
        stats: &mut StepStats,
    ) -> Result<()> {
        let loss = &self.current.loss;
        let (active, interval) = (loss.regularizes_discriminator(), loss.d_reg_interval);
        let regularization = Regularization::due(active, interval, self.state.minibatches);

        let reals = self.draw_reals(data)?;
        // With its regularizers where they have no interval.
        let gradients = self.d_main(&reals, data, stats)?;
        self.update_discriminator(&gradients)?;
        if let Regularization::Alone(weight) = regularization {
            let gradients = self.d_reg(weight, &reals, data, stats)?;
            self.update_discriminator(&gradients)?;
        }
        Ok(())
    }

    fn g_main(&mut self, data: &mut dyn TrainingData, stats: &mut StepStats) -> Result<Gradients> {
        let _span = trace_span!("Gmain").entered();
        let start = Instant::now();
        let mut phases = self.phases();
        let latents = phases.draw_latents(phases.config.batch_gpu, data)?;
        let (gradients, w) = phases.g_main(&latents, stats)?;
        self.check(Phase::Gmain, &gradients)?;
        if let Some(w_avg) = self.state.g.get(W_AVG) {
            let beta = self.current.ema.w_avg_beta;
            w_avg.set(&update_w_avg(w_avg, &w, beta)?)?;
        }
        stats.add_seconds(Phase::Gmain, start);
        Ok(gradients)
    }

    fn g_reg(
        &mut self,
        weight: f64,
        data: &mut dyn TrainingData,
        stats: &mut StepStats,
    ) -> Result<Gradients> {
        let _span = trace_span!("Greg").entered();
        let start = Instant::now();
        let pl_mean = self.state.pl_mean;
        let mut phases = self.phases();
        let n = phases.config.path_length_batch();
        let latents = phases.draw_latents(n, data)?;
        let noise = phases.draw_image_noise(n)?;
        let (gradients, pl_mean) = phases.g_reg(weight, pl_mean, &latents, &noise, stats)?;
        self.check(Phase::Greg, &gradients)?;
        self.state.pl_mean = pl_mean;
        stats.add_seconds(Phase::Greg, start);
        Ok(gradients)
    }

    fn d_main(
        &mut self,
        reals: &[Reals],
        data: &mut dyn TrainingData,
        stats: &mut StepStats,
    ) -> Result<Gradients> {
        let _span = trace_span!("Dmain").entered();
        let start = Instant::now();
        let mut phases = self.phases();
        let latents = phases.draw_latents(phases.config.batch_gpu, data)?;
        let gradients = phases.d_main(reals, &latents, stats)?;
        self.check(Phase::Dmain, &gradients)?;
        stats.add_seconds(Phase::Dmain, start);
        Ok(gradients)
    }

    fn d_reg(
        &mut self,
        weight: f64,
        reals: &[Reals],
        data: &mut dyn TrainingData,
        stats: &mut StepStats,
    ) -> Result<Gradients> {
        let _span = trace_span!("Dreg").entered();
        let start = Instant::now();
        let mut phases = self.phases();
        let latents = if phases.config.loss.r2_gamma > 0. {
            phases.draw_latents(phases.config.batch_gpu, data)?
        } else {
            Vec::new()
        };
        let gradients = phases.d_reg(weight, reals, &latents, stats)?;
        self.check(Phase::Dreg, &gradients)?;
        stats.add_seconds(Phase::Dreg, start);
        Ok(gradients)
    }

    fn phases(&mut self) -> Phases<'_> {
        Phases {
            networks: &self.networks,
            config: &self.current,
            rng: &mut self.state.rng,
            device: self.state.g.device().clone(),
            g_params: tensors(&self.g_params),
            d_params: tensors(&self.d_params),
            minibatch: self.state.minibatches,
        }
    }

    fn draw_reals(&self, data: &mut dyn TrainingData) -> Result<Vec<Reals>> {
        let _span = trace_span!("reals").entered();
        let device = self.state.d.device();
        let lod = self.position.lod;
        let round = |_| -> Result<Reals> {
            let reals = data.reals(self.current.batch_gpu)?.to_device(device)?;
            Ok(Reals {
                images: fade_reals(&reals.images, lod)?,
                ..reals
            })
        };
        (0..self.current.rounds()).map(round).collect()
    }

    /// Checks that every parameter of the phase's network that takes part received a finite gradient.
    fn check(&self, phase: Phase, gradients: &Gradients) -> Result<()> {
        let minibatch = self.state.minibatches;
        let params = match phase {
            Phase::Gmain | Phase::Greg => &self.g_params,
            Phase::Dmain | Phase::Dreg => &self.d_params,
        };
        for (name, var) in params {
            match gradients.get(var) {
                Some(gradient) if all_finite(gradient)? => {}
                Some(_) => bail!(
                    "{phase}, minibatch {minibatch}: the gradient of {name} is not finite; {DIVERGED}"
                ),
                None if phase.may_lack_gradient(name, &self.current) => {}
                None => bail!(
                    "{phase}, minibatch {minibatch}: {name} received no gradient: the loss does \
                     not depend on it"
                ),
            }
        }
        Ok(())
    }

    fn update_generator(&mut self, gradients: &Gradients) -> Result<()> {
        let _span = trace_span!("optimizer").entered();
        let gradients = complete(&self.g_params, gradients)?;
        let hyper = g_hyper(&self.current);
        let stage = Stage::new(self.config.generator.synthesis.architecture, &self.position);
        let state = &mut self.state;
        state
            .g_adam
            .step(stage.trainable(&state.g), &gradients, &hyper)
    }

    fn update_discriminator(&mut self, gradients: &Gradients) -> Result<()> {
        let _span = trace_span!("optimizer").entered();
        let gradients = complete(&self.d_params, gradients)?;
        let hyper = d_hyper(&self.current);
        let stage = Stage::new(self.config.discriminator.architecture, &self.position);
        let state = &mut self.state;
        state
            .d_adam
            .step(stage.trainable(&state.d), &gradients, &hyper)
    }
}

/// The hyperparameters of the generator's Adam.
fn g_hyper(config: &TrainingConfig) -> AdamParams {
    let (loss, optimizer) = (&config.loss, &config.optimizer);
    let lazy = loss.regularizes_generator().then_some(loss.g_reg_interval);
    adam_params(optimizer, optimizer.g_lr, lazy.flatten())
}

/// The hyperparameters of the discriminator's Adam.
fn d_hyper(config: &TrainingConfig) -> AdamParams {
    let (loss, optimizer) = (&config.loss, &config.optimizer);
    let lazy = loss
        .regularizes_discriminator()
        .then_some(loss.d_reg_interval);
    adam_params(optimizer, optimizer.d_lr, lazy.flatten())
}

/// Adam's hyperparameters, corrected where a regularizer runs on its own.
fn adam_params(optimizer: &OptimizerConfig, lr: f64, lazy_interval: Option<usize>) -> AdamParams {
    let (betas, eps) = ((optimizer.beta1, optimizer.beta2), optimizer.eps);
    match lazy_interval {
        Some(interval) => {
            let lazy = lazy_adam(lr, betas, interval);
            AdamParams {
                lr: lazy.lr,
                betas: lazy.betas,
                eps,
            }
        }
        None => AdamParams { lr, betas, eps },
    }
}

fn tensors(params: &[(String, Tensor)]) -> Vec<&Tensor> {
    params.iter().map(|(_, tensor)| tensor).collect()
}

/// The gradients by name. Those that are absent are zero: [`Stepper::check`] has seen to it.
fn complete(
    params: &[(String, Tensor)],
    gradients: &Gradients,
) -> Result<BTreeMap<String, Tensor>> {
    let named = |(name, var): &(String, Tensor)| {
        let gradient = match gradients.get(var) {
            Some(gradient) => gradient.clone(),
            None => var.zeros_like()?.detach(),
        };
        Ok((name.clone(), gradient))
    };
    params.iter().map(named).collect()
}
