//! The phases of a step and what a step reports.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;

use crate::config::TrainingConfig;

/// A phase of a training step, named as in the public tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Phase {
    /// The generator's adversarial loss.
    Gmain,
    /// The generator's regularizer, path length.
    Greg,
    /// The discriminator's adversarial loss.
    Dmain,
    /// The discriminator's regularizers, R1 and R2.
    Dreg,
}

impl Phase {
    /// The phase's name, e.g. `Gmain`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gmain => "Gmain",
            Self::Greg => "Greg",
            Self::Dmain => "Dmain",
            Self::Dreg => "Dreg",
        }
    }

    /// Whether the gradient of this parameter is zero in this phase by mathematics, so that the
    /// loss need not depend on it. Adam then takes a gradient of zero.
    ///
    /// - Path length is about the derivative of the images with respect to w. The toRGB biases are
    ///   added to the image behind everything that depends on w: they don't enter the derivative.
    /// - R1 and R2 are about the derivative of the logits with respect to the images. A bias enters
    ///   the derivative of a convolution with leaky ReLU only by the side of its kink on which an
    ///   activation lies, that is not at all where it is differentiable. The minibatch standard
    ///   deviation has a derivative that depends on its input, hence on all biases before it, but
    ///   the biases after it (`b4.conv`, `b4.fc`, `b4.out`) have a gradient of zero; all biases of
    ///   the blocks do where there is no such layer or its groups hold a single image. Biases of
    ///   the label's mapping network scale the logits and have a gradient.
    pub(super) fn may_lack_gradient(self, name: &str, config: &TrainingConfig) -> bool {
        match self {
            Self::Gmain | Self::Dmain => false,
            Self::Greg => name.ends_with(".torgb.bias"),
            Self::Dreg if name.starts_with("mapping.") || !name.ends_with(".bias") => false,
            Self::Dreg => {
                let behind_mbstd = ["b4.conv.bias", "b4.fc.bias", "b4.out.bias"];
                config.mbstd_group() < 2 || behind_mbstd.contains(&name)
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened in a step: means over the images of the minibatch.
///
/// `None` where the step did not compute it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StepStats {
    /// The generator's adversarial loss.
    pub loss_g: f64,
    /// The discriminator's adversarial loss.
    pub loss_d: f64,
    /// The logit of real images, in Dmain.
    pub score_real: f64,
    /// The logit of generated images, in Dmain.
    pub score_fake: f64,
    /// The sign of the logit of real images.
    pub sign_real: f64,
    /// The sign of the logit of generated images.
    pub sign_fake: f64,
    /// The auxiliary classifier's loss on real images, without its weight.
    pub class_loss_real: Option<f64>,
    /// The auxiliary classifier's loss on generated images, without its weight.
    pub class_loss_fake: Option<f64>,
    /// R1 without its weight.
    pub r1_penalty: Option<f64>,
    /// R2 without its weight.
    pub r2_penalty: Option<f64>,
    /// WGAN-GP's gradient penalty without its weight.
    pub gp_penalty: Option<f64>,
    /// The path length penalty without its weight.
    pub pl_penalty: Option<f64>,
    /// The path length.
    pub pl_length: Option<f64>,
    /// The moving average of the path length after the step.
    pub pl_mean: Option<f64>,
    /// Seconds by phase.
    pub seconds: BTreeMap<Phase, f64>,
}

impl StepStats {
    pub(super) fn add_seconds(&mut self, phase: Phase, start: Instant) {
        *self.seconds.entry(phase).or_default() += start.elapsed().as_secs_f64();
    }
}

/// Adds a part of a mean that a step may or may not compute.
pub(super) fn add(mean: &mut Option<f64>, part: f64) {
    *mean = Some(mean.unwrap_or(0.) + part);
}
