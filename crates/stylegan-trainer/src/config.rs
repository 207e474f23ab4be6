//! Everything that determines a training: networks, losses, optimizer, averaging, batch.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::GeneratorConfig;

use crate::growing::{Base, GrowingConfig, Position};

/// The complete configuration of a training, stored in its checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingConfig {
    /// The generator.
    pub generator: GeneratorConfig,
    /// The discriminator, for images and labels of the generator's form.
    pub discriminator: DiscriminatorConfig,
    /// Losses and regularizers.
    pub loss: LossConfig,
    /// Adam.
    pub optimizer: OptimizerConfig,
    /// Moving averages.
    pub ema: EmaConfig,
    /// Images per minibatch, that is per optimizer step. Where the networks grow, that of the resolutions
    /// that `growing` has no batch for.
    pub batch: usize,
    /// Images per pass through the networks, or all of a smaller minibatch. Gradients of `batch / batch_gpu`
    /// passes are averaged.
    pub batch_gpu: usize,
    /// Progressive growing; without it the networks have all their resolutions from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growing: Option<GrowingConfig>,
    /// Seed of the initial weights and of every random draw.
    pub seed: u64,
}

/// Losses, regularizers and how often they run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LossConfig {
    /// The adversarial loss.
    pub adversarial: AdversarialLoss,
    /// Weight of R1, which enters as gamma/2; with the logistic and the hinge loss only. 0 turns
    /// it off.
    pub r1_gamma: f64,
    /// Weight of R2, as `r1_gamma`.
    pub r2_gamma: f64,
    /// Weight of the gradient penalty, with WGAN-GP only. 0 turns it off.
    pub gp_lambda: f64,
    /// The gradient norm that WGAN-GP's penalty aims at.
    pub gp_target: f64,
    /// Weight of the drift term, with WGAN-GP only. 0 turns it off.
    pub drift: f64,
    /// Weight of the auxiliary classifier's loss, in discriminators that name classes
    /// ([`LabelHead::Classifier`](stylegan_discriminator::LabelHead::Classifier)).
    pub classifier_weight: f64,
    /// Weight of path length regularization. 0 turns it off.
    pub pl_weight: f64,
    /// How quickly the moving average of the path length follows, per regularization step.
    pub pl_decay: f64,
    /// Path length regularization sees `batch_gpu / pl_batch_shrink` images per pass, rounded up.
    pub pl_batch_shrink: usize,
    /// How often a second w takes over from a random layer on.
    pub style_mixing_prob: f64,
    /// Minibatches between two steps of the generator's regularizer. `None` adds it to the main
    /// loss of every minibatch instead.
    pub g_reg_interval: Option<usize>,
    /// Minibatches between two steps of the discriminator's regularizers, as `g_reg_interval`.
    pub d_reg_interval: Option<usize>,
}

impl Default for LossConfig {
    /// The StyleGAN2 losses, with gamma 10.
    fn default() -> Self {
        Self {
            adversarial: AdversarialLoss::Logistic,
            r1_gamma: 10.,
            r2_gamma: 0.,
            gp_lambda: 10.,
            gp_target: 1.,
            drift: 0.001,
            classifier_weight: 1.,
            pl_weight: 2.,
            pl_decay: 0.01,
            pl_batch_shrink: 2,
            style_mixing_prob: 0.9,
            g_reg_interval: Some(4),
            d_reg_interval: Some(16),
        }
    }
}

impl LossConfig {
    /// Whether the generator has a regularizer.
    pub fn regularizes_generator(&self) -> bool {
        self.pl_weight > 0.
    }

    /// Whether the discriminator has a regularizer of its own. WGAN-GP's penalty is none: it
    /// belongs to every step of the main loss.
    pub fn regularizes_discriminator(&self) -> bool {
        self.adversarial != AdversarialLoss::WganGp && (self.r1_gamma > 0. || self.r2_gamma > 0.)
    }
}

/// Adam's hyperparameters, before the correction for lazy regularization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OptimizerConfig {
    /// The generator's learning rate.
    pub g_lr: f64,
    /// The discriminator's learning rate.
    pub d_lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            g_lr: 0.0025,
            d_lr: 0.0025,
            beta1: 0.,
            beta2: 0.99,
            eps: 1e-8,
        }
    }
}

/// Moving averages of the generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmaConfig {
    /// Half-life of the averaged generator's weights in thousands of images.
    pub kimg: f64,
    /// Limits the half-life to this fraction of the images seen so far.
    pub rampup: Option<f64>,
    /// Decay of `w_avg`, the average of the mapping network's output, per minibatch.
    pub w_avg_beta: f64,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self {
            kimg: 10.,
            rampup: Some(0.05),
            w_avg_beta: 0.995,
        }
    }
}

impl TrainingConfig {
    /// Passes per minibatch, whose gradients are averaged.
    pub fn rounds(&self) -> usize {
        self.batch / self.batch_gpu
    }

    /// Images per pass of path length regularization.
    pub fn path_length_batch(&self) -> usize {
        self.batch_gpu.div_ceil(self.loss.pl_batch_shrink)
    }

    /// Images in a group of the discriminator's minibatch standard deviation, per pass; 0 where
    /// there is none.
    pub fn mbstd_group(&self) -> usize {
        self.mbstd_group_in(self.batch_gpu)
    }

    /// [`mbstd_group`](Self::mbstd_group) for passes of another size.
    pub(crate) fn mbstd_group_in(&self, batch_gpu: usize) -> usize {
        let config = &self.discriminator;
        if config.mbstd_num_channels == 0 {
            return 0;
        }
        config
            .mbstd_group_size
            .map_or(batch_gpu, |group| group.min(batch_gpu))
    }

    /// Where training stands after `images_seen` real images.
    ///
    /// # Errors
    /// Where the configuration is not valid.
    pub fn position(&self, images_seen: u64) -> Result<Position> {
        let base = self.base();
        match &self.growing {
            Some(growing) => growing.position(images_seen as f64 / 1000., &base),
            None => Ok(Position {
                lod: Lod::FULL,
                resolution: base.img_resolution,
                batch: base.batch,
                g_lr: base.g_lr,
                d_lr: base.d_lr,
            }),
        }
    }

    /// What holds where `growing` says nothing else, on a single device.
    fn base(&self) -> Base {
        Base {
            img_resolution: self.generator.synthesis.img_resolution,
            batch: self.batch,
            g_lr: self.optimizer.g_lr,
            d_lr: self.optimizer.d_lr,
            num_gpus: 1,
        }
    }

    /// The configuration of a minibatch at `position`: with its batch and its learning rates.
    pub(crate) fn at(&self, position: &Position) -> Self {
        Self {
            batch: position.batch,
            batch_gpu: self.pass(position.batch),
            optimizer: OptimizerConfig {
                g_lr: position.g_lr,
                d_lr: position.d_lr,
                ..self.optimizer.clone()
            },
            ..self.clone()
        }
    }

    /// The batches of the whole training in order: one, or one per resolution that it grows through.
    pub fn batches(&self) -> Vec<usize> {
        let base = self.base();
        match &self.growing {
            Some(growing) => (growing.resolutions(base.img_resolution))
                .map(|resolution| growing.batch(resolution, &base))
                .collect(),
            None => vec![base.batch],
        }
    }

    /// The largest batch of the whole training.
    pub fn largest_batch(&self) -> usize {
        self.batches().into_iter().max().unwrap_or(self.batch)
    }

    /// Images per pass in a minibatch of `batch`. Where the networks grow, a small one is a single pass.
    pub(crate) fn pass(&self, batch: usize) -> usize {
        match &self.growing {
            Some(_) => self.batch_gpu.min(batch),
            None => self.batch_gpu,
        }
    }

    /// Checks that all parts are in range and fit together.
    ///
    /// # Errors
    /// The first rule that is broken: the field, what was expected, what was found.
    pub fn validate(&self) -> Result<()> {
        self.validate_networks()?;
        self.validate_growing()?;
        if self.loss.style_mixing_prob > 0. && !self.generator.synthesis.has_styles() {
            bail!(
                "loss.style_mixing_prob: expected 0, since the generator has no styles, found {}",
                self.loss.style_mixing_prob
            );
        }
        for batch in self.batches() {
            self.validate_batch(batch)?;
        }
        self.loss.validate()?;
        self.optimizer.validate()?;
        self.ema.validate()
    }

    fn validate_networks(&self) -> Result<()> {
        let (g, d) = (&self.generator, &self.discriminator);
        g.validate()?;
        d.validate()?;
        let same = [
            ("c_dim", g.c_dim, d.c_dim),
            (
                "img_resolution",
                g.synthesis.img_resolution,
                d.img_resolution,
            ),
            ("img_channels", g.synthesis.img_channels, d.img_channels),
        ];
        for (field, of_g, of_d) in same {
            if of_g != of_d {
                bail!("discriminator.{field}: expected the generator's {of_g}, found {of_d}");
            }
        }
        Ok(())
    }

    fn validate_growing(&self) -> Result<()> {
        let Some(growing) = &self.growing else {
            return Ok(());
        };
        let architectures = [
            ("generator.synthesis", self.generator.synthesis.architecture),
            ("discriminator", self.discriminator.architecture),
        ];
        for (network, architecture) in architectures {
            if architecture != Architecture::Progressive {
                bail!(
                    "{network}.architecture: expected progressive where the networks grow, found \
                     {architecture:?}"
                );
            }
        }
        growing.validate(self.generator.synthesis.img_resolution)
    }

    fn validate_batch(&self, batch: usize) -> Result<()> {
        if batch == 0 {
            bail!("batch: expected at least 1, found 0");
        }
        let batch_gpu = self.pass(batch);
        if batch_gpu == 0 || !batch.is_multiple_of(batch_gpu) {
            bail!("batch_gpu: expected a divisor of batch {batch}, found {batch_gpu}");
        }
        let group = self.mbstd_group_in(batch_gpu);
        if group > 0 && !batch_gpu.is_multiple_of(group) {
            bail!(
                "batch_gpu: expected a multiple of the {group} images in a group of the minibatch \
                 standard deviation (discriminator.mbstd_group_size), found {batch_gpu}"
            );
        }
        Ok(())
    }
}

impl LossConfig {
    fn validate(&self) -> Result<()> {
        not_negative("loss.r1_gamma", self.r1_gamma)?;
        not_negative("loss.r2_gamma", self.r2_gamma)?;
        not_negative("loss.gp_lambda", self.gp_lambda)?;
        positive("loss.gp_target", self.gp_target)?;
        not_negative("loss.drift", self.drift)?;
        not_negative("loss.classifier_weight", self.classifier_weight)?;
        not_negative("loss.pl_weight", self.pl_weight)?;
        fraction("loss.pl_decay", self.pl_decay)?;
        fraction("loss.style_mixing_prob", self.style_mixing_prob)?;
        let counts = [
            ("pl_batch_shrink", Some(self.pl_batch_shrink)),
            ("g_reg_interval", self.g_reg_interval),
            ("d_reg_interval", self.d_reg_interval),
        ];
        for (field, value) in counts {
            if value == Some(0) {
                bail!("loss.{field}: expected at least 1, found 0");
            }
        }
        Ok(())
    }
}

impl OptimizerConfig {
    fn validate(&self) -> Result<()> {
        not_negative("optimizer.g_lr", self.g_lr)?;
        not_negative("optimizer.d_lr", self.d_lr)?;
        positive("optimizer.eps", self.eps)?;
        for (field, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0. ..1.).contains(&beta) {
                bail!("optimizer.{field}: expected a number in 0..1, found {beta}");
            }
        }
        Ok(())
    }
}

impl EmaConfig {
    fn validate(&self) -> Result<()> {
        not_negative("ema.kimg", self.kimg)?;
        if let Some(rampup) = self.rampup {
            not_negative("ema.rampup", rampup)?;
        }
        fraction("ema.w_avg_beta", self.w_avg_beta)
    }
}

fn not_negative(field: &str, value: f64) -> Result<()> {
    if !(value.is_finite() && value >= 0.) {
        bail!("{field}: expected a finite number of at least 0, found {value}");
    }
    Ok(())
}

fn positive(field: &str, value: f64) -> Result<()> {
    if !(value.is_finite() && value > 0.) {
        bail!("{field}: expected a finite number above 0, found {value}");
    }
    Ok(())
}

fn fraction(field: &str, value: f64) -> Result<()> {
    if !(0. ..=1.).contains(&value) {
        bail!("{field}: expected a number in 0..=1, found {value}");
    }
    Ok(())
}
