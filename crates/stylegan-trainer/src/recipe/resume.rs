//! Going on with a training: what can be replaced, and what must be as it was.

use std::fmt::Display;

use super::Recipe;
use super::given::{check_mixing, set_lr};
use crate::error::OptionError;
use crate::growing::GrowingConfig;
use crate::options::{GrowingOptions, TrainOptions, TrainingOptions, check_gamma};

impl Recipe {
    /// The recipe of a resumed run, and a line for the log per number that changes.
    ///
    /// It is that of the checkpoint, in which some options can be replaced: `--data` (the pictures may have
    /// moved), `--batch-gpu`, and what is turned when a training goes astray, `--lr`, `--gamma`,
    /// `--pl-weight`, `--mixing-prob` and `--ema-kimg`.
    ///
    /// # Errors
    /// [`OptionError`] for every other option that was given and has another value in the checkpoint.
    pub fn resumed(mut self, options: &TrainOptions) -> Result<(Self, Vec<String>), OptionError> {
        options.validate()?;
        self.check_same(options)?;
        check_gamma(options.training.gamma, Some(self.config.loss.adversarial))?;
        let synthesis = &self.config.generator.synthesis;
        check_mixing(options.training.mixing_prob, synthesis, self.preset)?;
        let changes = self.replace_numbers(&options.training);
        if let Some(path) = &options.data.path {
            self.data.path = Some(path.clone());
        }
        if let Some(batch_gpu) = options.training.batch_gpu {
            self.config.batch_gpu = batch_gpu;
        }
        self.check_batch()?;
        Ok((self, changes))
    }

    /// Puts the given weights and learning rate in the place of the checkpoint's.
    fn replace_numbers(&mut self, given: &TrainingOptions) -> Vec<String> {
        let mut changes = Vec::new();
        if let Some(lr) = given.lr {
            let before = self.config.clone();
            set_lr(&mut self.config, lr);
            if self.config != before {
                let by_resolution = (before.growing.iter()).any(|g| !g.g_lrate_dict.is_empty());
                let base = before.optimizer.g_lr;
                let before = match by_resolution {
                    true => "learning rates by resolution".to_string(),
                    false => base.to_string(),
                };
                changes.push(format!(
                    "note: --lr {lr} replaces the checkpoint's {before}"
                ));
            }
        }
        let (loss, ema) = (&mut self.config.loss, &mut self.config.ema);
        let numbers = [
            ("gamma", given.gamma, &mut loss.r1_gamma),
            ("pl-weight", given.pl_weight, &mut loss.pl_weight),
            (
                "mixing-prob",
                given.mixing_prob,
                &mut loss.style_mixing_prob,
            ),
            ("ema-kimg", given.ema_kimg, &mut ema.kimg),
        ];
        for (option, given, number) in numbers {
            if let Some(given) = given.filter(|given| given != number) {
                changes.push(format!(
                    "note: --{option} {given} replaces the checkpoint's {number}"
                ));
                *number = given;
            }
        }
        changes
    }

    /// What determines the networks, the data and the order of events must be what the checkpoint says.
    fn check_same(&self, options: &TrainOptions) -> Result<(), OptionError> {
        let (c, d) = (&self.config, &options.data);
        let (g, n, t) = (&c.generator, &options.network, &options.training);
        same("cfg", options.preset, self.preset)?;
        same("seed", options.seed, c.seed)?;
        same("resolution", d.resolution, self.resolution())?;
        same_switch("cond", d.cond, self.data.cond)?;
        same_switch("mirror", d.mirror, self.data.mirror)?;
        match (d.subset, self.data.subset) {
            (Some(given), None) => return Err(other("subset", given, "all pictures")),
            (given, Some(subset)) => same("subset", given, subset)?,
            (None, None) => {}
        }
        same("channel-base", n.channel_base, g.synthesis.channel_base)?;
        same("channel-max", n.channel_max, g.synthesis.channel_max)?;
        same("z-dim", n.z_dim, g.z_dim)?;
        same("w-dim", n.w_dim, g.w_dim())?;
        same("mapping-layers", n.mapping_layers, g.mapping.num_layers)?;
        self.check_same_batch(t.batch)?;
        same("loss", t.loss, c.loss.adversarial)?;
        self.check_same_growing(&options.growing)
    }

    fn check_same_batch(&self, given: Option<usize>) -> Result<(), OptionError> {
        let by_resolution = |growing: &GrowingConfig| !growing.minibatch_dict.is_empty();
        match given {
            Some(given) if self.config.growing.as_ref().is_some_and(by_resolution) => {
                Err(other("batch", given, "batches by resolution"))
            }
            given => same("batch", given, self.config.batch),
        }
    }

    fn check_same_growing(&self, given: &GrowingOptions) -> Result<(), OptionError> {
        let Some(growing) = &self.config.growing else {
            return match given.first() {
                Some((option, value)) => Err(other(option, value, "networks that don't grow")),
                None => Ok(()),
            };
        };
        let initial = given.lod_initial_resolution;
        same(
            "lod-initial-resolution",
            initial,
            growing.lod_initial_resolution,
        )?;
        let (training, transition) = (given.lod_training_kimg, given.lod_transition_kimg);
        same("lod-training-kimg", training, growing.lod_training_kimg)?;
        same(
            "lod-transition-kimg",
            transition,
            growing.lod_transition_kimg,
        )
    }
}

fn same<T: PartialEq + Display>(
    option: &'static str,
    given: Option<T>,
    trained: T,
) -> Result<(), OptionError> {
    match given {
        Some(given) if given != trained => Err(other(option, given, trained)),
        _ => Ok(()),
    }
}

fn same_switch(option: &'static str, given: bool, trained: bool) -> Result<(), OptionError> {
    match (given, trained) {
        (true, false) => Err(other(option, "", "it off")),
        _ => Ok(()),
    }
}

fn other(option: &'static str, given: impl Display, trained: impl Display) -> OptionError {
    let problem = format!(
        "the checkpoint was trained with {trained}; leave the option out to go on with that, or leave --resume out to start anew"
    );
    OptionError::new(option, given, problem)
}
