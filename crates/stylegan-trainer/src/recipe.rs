//! What is trained, and on what: the complete configuration of a run, saved in every checkpoint.

mod given;
mod resume;
mod transfer;

use serde::{Deserialize, Serialize};
use stylegan_data::Dataset;

use crate::config::TrainingConfig;
use crate::error::OptionError;
use crate::options::{DataOptions, TrainOptions};
use crate::presets::Preset;
use given::{set_growing, set_loss, set_lr, set_networks};

/// What is trained, and on what.
///
/// The schedule isn't part of it, so that a resumed run and an uninterrupted one write the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The preset that filled in what wasn't given.
    pub preset: Preset,
    /// Which pictures.
    pub data: DataOptions,
    /// Networks, losses and optimizer.
    pub config: TrainingConfig,
    /// The file whose networks the training started from, where it didn't start from new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_from: Option<String>,
}

impl Recipe {
    /// The recipe of a new run on `dataset`: the preset's numbers, with the given options in their place.
    ///
    /// # Errors
    /// [`OptionError`] naming the option that is out of range or doesn't fit the others.
    pub fn new(options: &TrainOptions, dataset: &Dataset) -> Result<Self, OptionError> {
        options.validate()?;
        let preset = options.preset.unwrap_or(Preset::Auto);
        let mut config = preset.training(dataset.resolution(), options.training.batch);
        set_networks(&mut config, preset, options, dataset)?;
        Self::around(config, preset, options)
    }

    /// The recipe of networks that are chosen already, with the given options in the place of the preset's numbers.
    fn around(
        mut config: TrainingConfig,
        preset: Preset,
        options: &TrainOptions,
    ) -> Result<Self, OptionError> {
        config.seed = options.seed.unwrap_or(0);
        set_loss(&mut config, preset, &options.training)?;
        set_growing(&mut config, preset, &options.growing)?;
        if let Some(lr) = options.training.lr {
            set_lr(&mut config, lr);
        }
        if let Some(batch_gpu) = options.training.batch_gpu {
            config.batch_gpu = batch_gpu;
        }
        config.ema.kimg = options.training.ema_kimg.unwrap_or(config.ema.kimg);
        let recipe = Self {
            preset,
            data: options.data.clone(),
            config,
            started_from: None,
        };
        recipe.check_batch()?;
        Ok(recipe)
    }

    /// Things worth knowing about the choices made, as lines for the log.
    pub fn notes(&self) -> Vec<String> {
        self.resolution_note()
            .into_iter()
            .chain(self.group_note())
            .collect()
    }

    fn resolution_note(&self) -> Option<String> {
        let resolution = self.resolution();
        let native = self.preset.native_resolution()?;
        (native != resolution).then(|| {
            format!(
                "note: --cfg {} was tuned for {native}x{native} pictures, these are {resolution}x{resolution}",
                self.preset
            )
        })
    }

    /// The minibatch standard deviation sees one pass at a time: a small one makes small groups.
    fn group_note(&self) -> Option<String> {
        let config = &self.config;
        let preset = config.discriminator.mbstd_group_size?;
        let batch = config.batches().into_iter().min()?;
        let pass = config.pass(batch);
        let group = config.mbstd_group_in(pass);
        let option = match pass == batch {
            true => "batch",
            false => "batch-gpu",
        };
        (0 < group && group < preset).then(|| {
            format!(
                "note: --{option} {pass} makes groups of {group} pictures in the minibatch standard deviation, the preset's are {preset}"
            )
        })
    }

    /// `emoji64-cond-mirror-auto-batch16`: what the run folder is called, after its number.
    pub fn description(&self) -> String {
        let mut name = self.data.name();
        for (set, part) in [(self.data.cond, "-cond"), (self.data.mirror, "-mirror")] {
            name += if set { part } else { "" };
        }
        if let Some(subset) = self.data.subset {
            name += &format!("-subset{subset}");
        }
        // The batch of the pictures' own resolution.
        let batch = self.config.batches().pop().unwrap_or(self.config.batch);
        format!("{name}-{}-batch{batch}", self.preset)
    }

    fn resolution(&self) -> usize {
        self.config.generator.synthesis.img_resolution
    }

    /// Every batch of the training must split into passes, and a pass into the discriminator's groups.
    fn check_batch(&self) -> Result<(), OptionError> {
        let batches = self.config.batches();
        batches
            .into_iter()
            .try_for_each(|batch| self.check_passes(batch))
    }

    fn check_passes(&self, batch: usize) -> Result<(), OptionError> {
        let batch_gpu = self.config.pass(batch);
        if !batch.is_multiple_of(batch_gpu) && batch != self.config.batch {
            let problem = format!(
                "doesn't divide the batch of {batch} that another resolution has; use --batch-gpu {}",
                self.largest_pass(batch_gpu)
            );
            return Err(OptionError::new("batch-gpu", batch_gpu, problem));
        }
        if !batch.is_multiple_of(batch_gpu) {
            let problem = format!(
                "isn't a multiple of --batch-gpu {batch_gpu}; use --batch-gpu {}",
                self.largest_pass(batch_gpu)
            );
            return Err(OptionError::new("batch", batch, problem));
        }
        let group = self.config.mbstd_group_in(batch_gpu);
        if group == 0 || batch_gpu.is_multiple_of(group) {
            return Ok(());
        }
        let problem = format!("isn't a multiple of the minibatch-std group of {group} pictures;");
        if batch == batch_gpu {
            let (below, above) = (batch / group * group, batch.next_multiple_of(group));
            let problem = format!("{problem} use --batch {below} or --batch {above}");
            return Err(OptionError::new("batch", batch, problem));
        }
        let problem = format!("{problem} use --batch-gpu {}", self.largest_pass(batch_gpu));
        Err(OptionError::new("batch-gpu", batch_gpu, problem))
    }

    /// The largest number of pictures up to `limit` that all batches can be split into.
    fn largest_pass(&self, limit: usize) -> usize {
        let batches = self.config.batches();
        let splits = |batch: usize, pass: usize| {
            let group = self.config.mbstd_group_in(pass);
            batch.is_multiple_of(pass) && (group == 0 || pass.is_multiple_of(group))
        };
        let fits = |pass: &usize| batches.iter().all(|batch| splits(*batch, *pass.min(batch)));
        let largest = limit.min(self.config.largest_batch());
        (1..=largest).rev().find(fits).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests;
