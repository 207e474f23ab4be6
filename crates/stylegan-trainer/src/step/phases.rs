//! The forward and backward passes of each phase.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use stylegan_discriminator::{Discriminator, LabelHead};
use stylegan_losses as losses;
use stylegan_losses::AdversarialLoss;
use stylegan_mapping::broadcast;
use stylegan_ops::autograd::{Gradients, backward_for};
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, NoiseMode};
use tracing::trace_span;

use super::DIVERGED;
use super::data::{Reals, TrainingData};
use super::stats::{Phase, StepStats, add};
use crate::config::TrainingConfig;
use crate::state::TrainingState;

/// Both networks, each as a trainable and as a frozen view of the same weights. A frozen one
/// records no graph for its own weights.
pub(super) struct Networks {
    pub(super) g: Generator,
    pub(super) g_frozen: Generator,
    pub(super) d: Discriminator,
    pub(super) d_frozen: Discriminator,
}

impl Networks {
    pub(super) fn new(config: &TrainingConfig, state: &TrainingState) -> Result<Self> {
        let (g, d) = (&config.generator, &config.discriminator);
        Ok(Self {
            g: Generator::new(g, state.g.var_builder())?,
            g_frozen: Generator::new(g, state.g.frozen_var_builder())?,
            d: Discriminator::new(d, state.d.var_builder())?,
            d_frozen: Discriminator::new(d, state.d.frozen_var_builder())?,
        })
    }

    /// The same networks at another level of detail.
    pub(super) fn at_lod(&self, lod: Lod) -> Result<Self> {
        Ok(Self {
            g: self.g.at_lod(lod)?,
            g_frozen: self.g_frozen.at_lod(lod)?,
            d: self.d.at_lod(lod)?,
            d_frozen: self.d_frozen.at_lod(lod)?,
        })
    }
}

/// The generator's inputs of one pass.
pub(super) struct Latents {
    /// `[n, z_dim]`
    pub(super) z: Tensor,
    /// `[n, c_dim]`
    pub(super) labels: Option<Tensor>,
    /// Style mixing: the second z and the layer from which on it takes over.
    pub(super) mixing: Option<(Tensor, usize)>,
}

/// What the discriminator's loss of one pass gives: shares of the minibatch's means.
#[derive(Default)]
struct Judgement {
    gradients: Gradients,
    loss: f64,
    score: f64,
    sign: f64,
    class_loss: Option<f64>,
    penalty: Option<f64>,
}

/// What the phases of a step work with.
///
/// All images have the active resolution of the networks. With `halvings` of the full one,
/// a penalty on the gradient with respect to full-size images, of which the network takes the means of
/// `4^halvings` pixels each, would see `1 / 2^halvings` of the norm of the gradient with respect to the
/// active ones. Penalties are those of the full size.
pub(super) struct Phases<'a> {
    pub(super) networks: &'a Networks,
    /// With the numbers of the position.
    pub(super) config: &'a TrainingConfig,
    pub(super) rng: &'a mut ChaCha8Rng,
    pub(super) device: Device,
    pub(super) g_params: Vec<&'a Tensor>,
    pub(super) d_params: Vec<&'a Tensor>,
    /// For messages.
    pub(super) minibatch: u64,
}

impl Phases<'_> {
    /// The generator's inputs for all passes of a phase, `n` images each.
    pub(super) fn draw_latents(
        &mut self,
        n: usize,
        data: &mut dyn TrainingData,
    ) -> Result<Vec<Latents>> {
        (0..self.config.rounds())
            .map(|_| {
                let shape = (n, self.config.generator.z_dim);
                let z = self.normal(shape)?;
                let labels = data.labels(n, self.rng)?;
                let labels = labels.map(|c| c.to_device(&self.device)).transpose()?;
                let mixing = match self.draw_cutoff()? {
                    Some(cutoff) => Some((self.normal(shape)?, cutoff)),
                    None => None,
                };
                Ok(Latents { z, labels, mixing })
            })
            .collect()
    }

    /// The layer from which on a second w takes over, among those that are active; none where there are no
    /// two layers to mix.
    pub(super) fn draw_cutoff(&mut self) -> Result<Option<usize>> {
        let layers = self.config.generator.synthesis.ws_at(self.resolution()).end;
        match layers {
            ..2 => Ok(None),
            _ => losses::style_mixing_cutoff(self.config.loss.style_mixing_prob, layers, self.rng),
        }
    }

    /// The side of the images that the networks work on.
    fn resolution(&self) -> usize {
        let full = self.config.generator.synthesis.img_resolution;
        self.networks.g.lod().resolution(full)
    }

    /// How much shorter than the gradient with respect to active images the one with respect to full-size
    /// images is.
    fn full_size_norm(&self) -> f64 {
        0.5f64.powi(self.networks.d.lod().halvings() as i32)
    }

    /// Gradients of the adversarial loss for the generator, and the w of all images.
    pub(super) fn g_main(
        &mut self,
        latents: &[Latents],
        stats: &mut StepStats,
    ) -> Result<(Gradients, Tensor)> {
        let share = 1. / latents.len() as f64;
        let mut gradients = Gradients::default();
        let mut all_w = Vec::with_capacity(latents.len());
        for latents in latents {
            let (w, ws) = ws(&self.networks.g, latents)?;
            all_w.push(w.detach());
            let synthesis = self.networks.g.synthesis();
            let images = synthesis.forward_active(&ws, &mut NoiseMode::Random(self.rng))?;
            let labels = latents.labels.as_ref();
            let (logits, class_loss) = self.judge(&self.networks.d_frozen, &images, labels)?;
            let loss = self.config.loss.adversarial.generator(&logits)?;
            let mut loss = (loss.mean_all()? * share)?;
            stats.loss_g += self.finite(Phase::Gmain, "the loss", &loss)?;
            if let Some(class_loss) = class_loss {
                let weight = self.config.loss.classifier_weight * share;
                loss = (loss + (class_loss * weight)?)?;
            }
            gradients.accumulate(backward_for(&loss, &self.g_params)?)?;
        }
        Ok((gradients, Tensor::cat(&all_w, 0)?))
    }

    /// The noise images of path length regularization for all passes of a phase, `n` each.
    pub(super) fn draw_image_noise(&mut self, n: usize) -> Result<Vec<Tensor>> {
        let side = self.resolution();
        let channels = self.config.generator.synthesis.img_channels;
        (0..self.config.rounds())
            .map(|_| losses::path_length_noise(&self.normal((n, channels, side, side))?))
            .collect()
    }

    /// Gradients of path length regularization, and the new moving average of the lengths.
    ///
    /// Every pass starts from the average before the step, and the new averages of the passes are
    /// averaged: the average advances once per step, however many passes there are.
    pub(super) fn g_reg(
        &mut self,
        weight: f64,
        mean: f64,
        latents: &[Latents],
        image_noise: &[Tensor],
        stats: &mut StepStats,
    ) -> Result<(Gradients, f64)> {
        let loss = &self.config.loss;
        let share = 1. / latents.len() as f64;
        let mut gradients = Gradients::default();
        let mut mean_after = 0.;
        for (latents, image_noise) in latents.iter().zip(image_noise) {
            let (_, ws) = ws(&self.networks.g, latents)?;
            let synthesis = self.networks.g.synthesis();
            let mut noise = NoiseMode::Random(self.rng);
            let path_length = losses::path_length(&ws, image_noise, mean, loss.pl_decay, |ws| {
                synthesis.forward_active(ws, &mut noise)
            })?;
            let penalty = (path_length.penalty.mean_all()? * share)?;
            let penalty = self.finite(Phase::Greg, "the path length penalty", &penalty)?;
            add(&mut stats.pl_penalty, penalty);
            let length = number(&path_length.lengths.mean_all()?)?;
            add(&mut stats.pl_length, length * share);
            mean_after += path_length.mean * share;
            let weight = loss.pl_weight * weight * share;
            gradients.accumulate(path_length.backward(weight, &self.g_params)?)?;
        }
        stats.pl_mean = Some(mean_after);
        Ok((gradients, mean_after))
    }

    /// Gradients of the discriminator's loss, with R1 and R2 where they have no interval.
    ///
    /// Generated and real images go through one after the other, so that only one graph is held at a time.
    pub(super) fn d_main(
        &mut self,
        reals: &[Reals],
        latents: &[Latents],
        stats: &mut StepStats,
    ) -> Result<Gradients> {
        let loss = &self.config.loss;
        let share = 1. / latents.len() as f64;
        let mut gradients = Gradients::default();
        for (real, latents) in reals.iter().zip(latents) {
            let fakes = self.generate(latents)?;
            let of_fakes = self.judge_fakes(&fakes, latents.labels.as_ref(), share)?;
            let of_reals = self.judge_reals(real, share)?;
            stats.loss_d += of_fakes.loss;
            stats.loss_d += of_reals.loss;
            stats.score_fake += of_fakes.score;
            stats.score_real += of_reals.score;
            stats.sign_fake += of_fakes.sign;
            stats.sign_real += of_reals.sign;
            for (mean, part) in [
                (&mut stats.class_loss_fake, of_fakes.class_loss),
                (&mut stats.class_loss_real, of_reals.class_loss),
                (&mut stats.r2_penalty, of_fakes.penalty),
                (&mut stats.r1_penalty, of_reals.penalty),
            ] {
                if let Some(part) = part {
                    add(mean, part);
                }
            }
            gradients.accumulate(of_fakes.gradients)?;
            gradients.accumulate(of_reals.gradients)?;

            if loss.adversarial == AdversarialLoss::WganGp && loss.gp_lambda > 0. {
                let penalty = self.wgan_penalty(real, &fakes)?;
                let penalty = (penalty * share)?;
                let value = self.finite(Phase::Dmain, "the gradient penalty", &penalty)?;
                add(&mut stats.gp_penalty, value);
                let weighted = (penalty * loss.gp_lambda)?;
                gradients.accumulate(backward_for(&weighted, &self.d_params)?)?;
            }
        }
        Ok(gradients)
    }

    /// The weights of R1 and R2 in Dmain: 0 where they have an interval.
    fn gammas_of_main(&self) -> [f64; 2] {
        let loss = &self.config.loss;
        match loss.regularizes_discriminator() && loss.d_reg_interval.is_none() {
            true => [loss.r1_gamma, loss.r2_gamma],
            false => [0., 0.],
        }
    }

    /// The discriminator's loss of generated images, with R2 where it has no interval.
    fn judge_fakes(
        &self,
        fakes: &Tensor,
        labels: Option<&Tensor>,
        share: f64,
    ) -> Result<Judgement> {
        let [_, r2_gamma] = self.gammas_of_main();
        let judged = self.judge_with(r2_gamma, fakes, labels)?;
        let loss = self.config.loss.adversarial.discriminator_fake(&judged.0)?;
        let loss = (loss.mean_all()? * share)?;
        let names = ["the loss of generated images", "R2"];
        self.conclude(judged, (loss, None), r2_gamma, share, names)
    }

    /// The discriminator's loss of real images, with the drift of a Wasserstein loss, and R1 where it has no
    /// interval.
    fn judge_reals(&self, real: &Reals, share: f64) -> Result<Judgement> {
        let loss = &self.config.loss;
        let [r1_gamma, _] = self.gammas_of_main();
        let judged = self.judge_with(r1_gamma, &real.images, real.labels.as_ref())?;
        let real_loss = loss.adversarial.discriminator_real(&judged.0)?;
        let real_loss = (real_loss.mean_all()? * share)?;
        let drift = match loss.adversarial == AdversarialLoss::WganGp && loss.drift > 0. {
            true => Some((losses::drift(&judged.0)?.mean_all()? * (loss.drift * share))?),
            false => None,
        };
        let names = ["the loss of real images", "R1"];
        self.conclude(judged, (real_loss, drift), r1_gamma, share, names)
    }

    /// The gradients of a loss and of what is added to it, and the numbers to report.
    fn conclude(
        &self,
        (logits, class_loss, penalty): (Tensor, Option<Tensor>, Option<Tensor>),
        (mut loss, drift): (Tensor, Option<Tensor>),
        gamma: f64,
        share: f64,
        [loss_name, penalty_name]: [&str; 2],
    ) -> Result<Judgement> {
        let mut judgement = Judgement {
            loss: self.finite(Phase::Dmain, loss_name, &loss)?,
            score: number(&logits.mean_all()?)? * share,
            sign: number(&logits.sign()?.mean_all()?)? * share,
            ..Judgement::default()
        };
        if let Some(drift) = drift {
            loss = (loss + drift)?;
        }
        if let Some(class_loss) = class_loss {
            let class_loss = (class_loss * share)?;
            judgement.class_loss = Some(number(&class_loss)?);
            loss = (loss + (class_loss * self.config.loss.classifier_weight)?)?;
        }
        if let Some(penalty) = penalty {
            let penalty = (penalty * (self.full_size_norm().powi(2) * share))?;
            judgement.penalty = Some(self.finite(Phase::Dmain, penalty_name, &penalty)?);
            loss = (loss + (penalty * (gamma / 2.))?)?;
        }
        judgement.gradients = backward_for(&loss, &self.d_params)?;
        Ok(judgement)
    }

    /// The logits of images and, where the discriminator also names their classes, the mean loss of that.
    fn judge(
        &self,
        d: &Discriminator,
        images: &Tensor,
        labels: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        match labels {
            Some(labels) if self.config.discriminator.label_head == LabelHead::Classifier => {
                let (logits, class_logits) = d.forward_with_classes(images)?;
                let class_loss = losses::auxiliary_classifier(&class_logits, labels)?;
                Ok((logits, Some(class_loss.mean_all()?)))
            }
            _ => Ok((d.forward(images, labels)?, None)),
        }
    }

    /// What the discriminator [judges](Self::judge) and, unless `gamma` is 0, the mean of R1 (or R2) of the
    /// same pass: it costs a second pass where it is computed by itself.
    fn judge_with(
        &self,
        gamma: f64,
        images: &Tensor,
        labels: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>, Option<Tensor>)> {
        let d = &self.networks.d;
        if gamma == 0. {
            let (logits, class_loss) = self.judge(d, images, labels)?;
            return Ok((logits, class_loss, None));
        }
        let mut class_loss = None;
        let r1 = losses::r1_penalty(images, |x| {
            let (logits, of_classes) = self.judge(d, x, labels)?;
            class_loss = of_classes;
            Ok(logits)
        })?;
        Ok((r1.logits, class_loss, Some(r1.penalty.mean_all()?)))
    }

    /// WGAN-GP's penalty between real and generated images, under the real images' labels.
    pub(super) fn wgan_penalty(&mut self, real: &Reals, fakes: &Tensor) -> Result<Tensor> {
        let n = fakes.dim(0)?;
        let eps: Vec<f32> = (0..n).map(|_| self.rng.random()).collect();
        let eps = Tensor::from_vec(eps, (n, 1, 1, 1), &self.device)?;
        // (norm * scale / target - 1)^2: the norm is that of the full size.
        let target = self.config.loss.gp_target / self.full_size_norm();
        let penalty = losses::wgan_gp(&real.images, fakes, &eps, target, |x| {
            self.networks.d.forward(x, real.labels.as_ref())
        })?;
        penalty.penalty.mean_all()
    }

    /// Gradients of R1 on real images, and of R2 on generated ones where `latents` has any.
    pub(super) fn d_reg(
        &mut self,
        weight: f64,
        reals: &[Reals],
        latents: &[Latents],
        stats: &mut StepStats,
    ) -> Result<Gradients> {
        let loss = &self.config.loss;
        let d = &self.networks.d;
        let share = self.full_size_norm().powi(2) / reals.len() as f64;
        let mut gradients = Gradients::default();
        if loss.r1_gamma > 0. {
            for real in reals {
                let r1 = losses::r1_penalty(&real.images, |x| d.forward(x, real.labels.as_ref()))?;
                let penalty = (r1.penalty.mean_all()? * share)?;
                add(
                    &mut stats.r1_penalty,
                    self.finite(Phase::Dreg, "R1", &penalty)?,
                );
                let weighted = (penalty * (loss.r1_gamma / 2. * weight))?;
                gradients.accumulate(backward_for(&weighted, &self.d_params)?)?;
            }
        }
        for latents in latents {
            let fakes = self.generate(latents)?;
            let r2 = losses::r2_penalty(&fakes, |x| d.forward(x, latents.labels.as_ref()))?;
            let penalty = (r2.penalty.mean_all()? * share)?;
            add(
                &mut stats.r2_penalty,
                self.finite(Phase::Dreg, "R2", &penalty)?,
            );
            let weighted = (penalty * (loss.r2_gamma / 2. * weight))?;
            gradients.accumulate(backward_for(&weighted, &self.d_params)?)?;
        }
        Ok(gradients)
    }

    /// Images of the frozen generator: constants.
    pub(super) fn generate(&mut self, latents: &Latents) -> Result<Tensor> {
        let generator = &self.networks.g_frozen;
        let (_, ws) = ws(generator, latents)?;
        generator
            .synthesis()
            .forward_active(&ws, &mut NoiseMode::Random(self.rng))
    }

    /// Standard normal numbers, drawn on the CPU.
    fn normal(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let _span = trace_span!("random numbers").entered();
        let shape = shape.into();
        let draw = |_| self.rng.sample::<f32, _>(StandardNormal);
        let values: Vec<f32> = (0..shape.elem_count()).map(draw).collect();
        Tensor::from_vec(values, shape, &self.device)
    }

    /// The value of a scalar, which must be finite.
    fn finite(&self, phase: Phase, what: &str, scalar: &Tensor) -> Result<f64> {
        let value = number(scalar)?;
        if !value.is_finite() {
            bail!(
                "{phase}, minibatch {}: {what} is {value}; {DIVERGED}",
                self.minibatch
            );
        }
        Ok(value)
    }
}

/// w `[n, w_dim]` of the first latents, and ws `[n, num_ws, w_dim]` with mixed styles.
fn ws(generator: &Generator, latents: &Latents) -> Result<(Tensor, Tensor)> {
    let num_ws = generator.synthesis().num_ws();
    let labels = latents.labels.as_ref();
    let w = generator.mapping().forward(Some(&latents.z), labels)?;
    let ws = broadcast(&w, num_ws)?;
    let ws = match &latents.mixing {
        Some((z, cutoff)) => {
            let second = generator.mapping().forward(Some(z), labels)?;
            losses::mix_styles(&ws, &broadcast(&second, num_ws)?, *cutoff)?
        }
        None => ws,
    };
    Ok((w, ws))
}

fn number(scalar: &Tensor) -> Result<f64> {
    scalar.to_dtype(DType::F64)?.to_scalar()
}
