//! The options of a new training in the place of its preset's numbers.

use stylegan_data::Dataset;
use stylegan_losses::AdversarialLoss;
use stylegan_synthesis::SynthesisConfig;

use crate::config::TrainingConfig;
use crate::error::OptionError;
use crate::options::{GrowingOptions, TrainOptions, TrainingOptions, check_gamma};
use crate::presets::Preset;

/// Widths of z and w where no option says otherwise.
const LATENT_DIM: usize = 512;

/// Sizes of the networks, which the pictures and the options choose.
pub(super) fn set_networks(
    config: &mut TrainingConfig,
    preset: Preset,
    options: &TrainOptions,
    dataset: &Dataset,
) -> Result<(), OptionError> {
    let (n, g, d) = (
        &options.network,
        &mut config.generator,
        &mut config.discriminator,
    );
    g.z_dim = n.z_dim.unwrap_or(LATENT_DIM);
    g.c_dim = dataset.label_dim();
    g.synthesis.img_channels = dataset.channels();
    if let Some(channel_base) = n.channel_base {
        g.synthesis.channel_base = channel_base;
    }
    if let Some(channel_max) = n.channel_max {
        g.synthesis.channel_max = channel_max;
    }
    if g.mapping.num_layers == 0 {
        for (option, given) in [("w-dim", n.w_dim), ("mapping-layers", n.mapping_layers)] {
            if let Some(given) = given {
                let problem = format!(
                    "--cfg {preset} has no mapping network: its w is the normalised z, with the label beside it; leave the option out, or choose the width with --z-dim"
                );
                return Err(OptionError::new(option, given, problem));
            }
        }
        g.synthesis.w_dim = g.mapping_config().input_features();
    } else {
        g.synthesis.w_dim = n.w_dim.unwrap_or(LATENT_DIM);
        g.mapping.num_layers = n.mapping_layers.unwrap_or(g.mapping.num_layers);
    }
    let widest = g.synthesis.channel_base;
    if widest < dataset.resolution() {
        let problem = format!(
            "leaves no channels at {0}x{0} pictures; give at least {0}",
            dataset.resolution()
        );
        return Err(OptionError::new("channel-base", widest, problem));
    }
    d.c_dim = g.c_dim;
    d.img_channels = g.synthesis.img_channels;
    d.channel_base = g.synthesis.channel_base;
    d.channel_max = g.synthesis.channel_max;
    Ok(())
}

pub(super) fn set_loss(
    config: &mut TrainingConfig,
    preset: Preset,
    given: &TrainingOptions,
) -> Result<(), OptionError> {
    check_mixing(given.mixing_prob, &config.generator.synthesis, preset)?;
    let loss = &mut config.loss;
    loss.adversarial = given.loss.unwrap_or(loss.adversarial);
    check_gamma(given.gamma, Some(loss.adversarial))?;
    loss.r1_gamma = match loss.adversarial {
        // It has a gradient penalty of its own.
        AdversarialLoss::WganGp => 0.0,
        AdversarialLoss::Logistic | AdversarialLoss::Hinge => given.gamma.unwrap_or(loss.r1_gamma),
    };
    loss.pl_weight = given.pl_weight.unwrap_or(loss.pl_weight);
    loss.style_mixing_prob = given.mixing_prob.unwrap_or(loss.style_mixing_prob);
    Ok(())
}

pub(super) fn set_growing(
    config: &mut TrainingConfig,
    preset: Preset,
    given: &GrowingOptions,
) -> Result<(), OptionError> {
    let resolution = config.generator.synthesis.img_resolution;
    let Some(growing) = &mut config.growing else {
        let grow = |preset: &Preset| preset.training(resolution, None).growing.is_some();
        let those: Vec<&str> = (Preset::ALL.into_iter().filter(grow))
            .map(Preset::name)
            .collect();
        let problem = format!(
            "the networks of --cfg {preset} don't grow; leave the option out, or choose a --cfg whose networks do: {}",
            those.join(", ")
        );
        return match given.first() {
            Some((option, value)) => Err(OptionError::new(option, value, problem)),
            None => Ok(()),
        };
    };
    if let Some(initial) = given.lod_initial_resolution {
        if initial > resolution {
            let problem = format!("is more than the {resolution} pixels of the pictures");
            return Err(OptionError::new("lod-initial-resolution", initial, problem));
        }
        growing.lod_initial_resolution = initial;
    }
    let training = given.lod_training_kimg.unwrap_or(growing.lod_training_kimg);
    let transition = given
        .lod_transition_kimg
        .unwrap_or(growing.lod_transition_kimg);
    if training + transition == 0.0 && growing.lod_initial_resolution < resolution {
        let problem = "and --lod-transition-kimg 0 leave no time to grow; give one of them more than 0, or --lod-initial-resolution the size of the pictures";
        return Err(OptionError::new("lod-training-kimg", training, problem));
    }
    (growing.lod_training_kimg, growing.lod_transition_kimg) = (training, transition);
    Ok(())
}

/// One learning rate for both networks, at all resolutions.
pub(super) fn set_lr(config: &mut TrainingConfig, lr: f64) {
    (config.optimizer.g_lr, config.optimizer.d_lr) = (lr, lr);
    if let Some(growing) = &mut config.growing {
        growing.g_lrate_dict.clear();
        growing.d_lrate_dict.clear();
    }
}

/// `--mixing-prob` is about styles, which not every generator has.
pub(super) fn check_mixing(
    given: Option<f64>,
    synthesis: &SynthesisConfig,
    preset: Preset,
) -> Result<(), OptionError> {
    match given {
        Some(probability) if probability > 0.0 && !synthesis.has_styles() => {
            let problem = format!(
                "the generator of --cfg {preset} has no styles to mix; leave the option out"
            );
            Err(OptionError::new("mixing-prob", probability, problem))
        }
        _ => Ok(()),
    }
}
