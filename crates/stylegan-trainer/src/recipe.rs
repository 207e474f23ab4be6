//! What is trained, and on what: the complete configuration of a run, saved in every checkpoint.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use stylegan_data::Dataset;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_losses::AdversarialLoss;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{GeneratorConfig, MappingOptions, SynthesisConfig};

use crate::config::{EmaConfig, LossConfig, OptimizerConfig, TrainingConfig};
use crate::error::OptionError;
use crate::options::{DataOptions, TrainOptions, TrainingOptions, check_gamma};
use crate::presets::{Preset, PresetValues};

/// Widths of z and w where no option says otherwise.
const LATENT_DIM: usize = 512;

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
}

impl Recipe {
    /// The recipe of a new run on `dataset`: the preset's numbers, with the given options in their place.
    ///
    /// # Errors
    /// [`OptionError`] naming the option that is out of range or doesn't fit the others.
    pub fn new(options: &TrainOptions, dataset: &Dataset) -> Result<Self, OptionError> {
        options.validate()?;
        let preset = options.preset.unwrap_or(Preset::Auto);
        let values = preset.values(dataset.resolution(), options.training.batch);
        let generator = generator_config(options, &values, dataset);
        let widest = generator.synthesis.channel_base;
        if widest < dataset.resolution() {
            let problem = format!(
                "leaves no channels at {0}x{0} pictures; give at least {0}",
                dataset.resolution()
            );
            return Err(OptionError::new("channel-base", widest, problem));
        }
        let recipe = Self {
            preset,
            data: options.data.clone(),
            config: TrainingConfig {
                discriminator: discriminator_config(&generator, &values),
                generator,
                loss: loss_config(options, &values),
                optimizer: optimizer_config(options, &values),
                ema: EmaConfig {
                    kimg: values.ema_kimg,
                    rampup: values.ema_rampup,
                    ..EmaConfig::default()
                },
                batch: values.batch,
                batch_gpu: options.training.batch_gpu.unwrap_or(values.batch),
                seed: options.seed.unwrap_or(0),
            },
        };
        recipe.check_batch()?;
        Ok(recipe)
    }

    /// The recipe of a resumed run, and a line for the log per number that changes.
    ///
    /// It is that of the checkpoint, in which some options can be replaced: `--data` (the pictures may have
    /// moved), `--batch-gpu`, and what is turned when a training goes astray, `--lr`, `--gamma`,
    /// `--pl-weight` and `--mixing-prob`.
    ///
    /// # Errors
    /// [`OptionError`] for every other option that was given and has another value in the checkpoint.
    pub fn resumed(mut self, options: &TrainOptions) -> Result<(Self, Vec<String>), OptionError> {
        options.validate()?;
        self.check_same(options)?;
        check_gamma(options.training.gamma, Some(self.config.loss.adversarial))?;
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
        let (config, group) = (&self.config, self.config.mbstd_group());
        let preset = config.discriminator.mbstd_group_size?;
        let option = match config.batch_gpu == config.batch {
            true => "batch",
            false => "batch-gpu",
        };
        (0 < group && group < preset).then(|| {
            format!(
                "note: --{option} {} makes groups of {group} pictures in the minibatch standard deviation, the preset's are {preset}",
                config.batch_gpu
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
        format!("{name}-{}-batch{}", self.preset, self.config.batch)
    }

    fn resolution(&self) -> usize {
        self.config.generator.synthesis.img_resolution
    }

    /// The batch must split into passes, and a pass into the discriminator's groups.
    fn check_batch(&self) -> Result<(), OptionError> {
        let (batch, batch_gpu) = (self.config.batch, self.config.batch_gpu);
        if !batch.is_multiple_of(batch_gpu) {
            let problem = format!(
                "isn't a multiple of --batch-gpu {batch_gpu}; use --batch-gpu {}",
                self.largest_pass(batch_gpu)
            );
            return Err(OptionError::new("batch", batch, problem));
        }
        let group = self.config.mbstd_group();
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

    /// The largest number of pictures up to `limit` that the batch can be split into.
    fn largest_pass(&self, limit: usize) -> usize {
        let batch = self.config.batch;
        let fits = |pass: &usize| {
            let group = self.config.mbstd_group_in(*pass);
            batch.is_multiple_of(*pass) && (group == 0 || pass.is_multiple_of(group))
        };
        (1..=limit.min(batch)).rev().find(fits).unwrap_or(1)
    }

    /// Puts the given weights and learning rate in the place of the checkpoint's.
    fn replace_numbers(&mut self, given: &TrainingOptions) -> Vec<String> {
        let (loss, optimizer) = (&mut self.config.loss, &mut self.config.optimizer);
        if let Some(lr) = given.lr {
            optimizer.d_lr = lr;
        }
        let numbers = [
            ("lr", given.lr, &mut optimizer.g_lr),
            ("gamma", given.gamma, &mut loss.r1_gamma),
            ("pl-weight", given.pl_weight, &mut loss.pl_weight),
            (
                "mixing-prob",
                given.mixing_prob,
                &mut loss.style_mixing_prob,
            ),
        ];
        let mut changes = Vec::new();
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
        same("batch", t.batch, c.batch)?;
        same("loss", t.loss, c.loss.adversarial)
    }
}

fn generator_config(
    options: &TrainOptions,
    values: &PresetValues,
    dataset: &Dataset,
) -> GeneratorConfig {
    let n = &options.network;
    GeneratorConfig {
        z_dim: n.z_dim.unwrap_or(LATENT_DIM),
        c_dim: dataset.label_dim(),
        mapping: MappingOptions {
            num_layers: n.mapping_layers.unwrap_or(values.mapping_layers),
            ..MappingOptions::default()
        },
        synthesis: SynthesisConfig {
            w_dim: n.w_dim.unwrap_or(LATENT_DIM),
            img_resolution: dataset.resolution(),
            img_channels: dataset.channels(),
            channel_base: n.channel_base.unwrap_or(values.channel_base),
            channel_max: n.channel_max.unwrap_or(values.channel_max),
            // The clamp of later code keeps half precision in range; training here is in f32.
            conv_clamp: None,
            ..SynthesisConfig::default()
        },
    }
}

fn discriminator_config(generator: &GeneratorConfig, values: &PresetValues) -> DiscriminatorConfig {
    let synthesis = &generator.synthesis;
    let architecture = match values.residual_discriminator {
        true => Architecture::Resnet,
        false => Architecture::Orig,
    };
    DiscriminatorConfig {
        c_dim: generator.c_dim,
        img_resolution: synthesis.img_resolution,
        img_channels: synthesis.img_channels,
        channel_base: synthesis.channel_base,
        channel_max: synthesis.channel_max,
        architecture,
        conv_clamp: synthesis.conv_clamp,
        mbstd_group_size: Some(values.mbstd_group_size),
        ..DiscriminatorConfig::default()
    }
}

fn loss_config(options: &TrainOptions, values: &PresetValues) -> LossConfig {
    let t = &options.training;
    let adversarial = t.loss.unwrap_or(AdversarialLoss::Logistic);
    let r1_gamma = match adversarial {
        // It has a gradient penalty of its own.
        AdversarialLoss::WganGp => 0.0,
        AdversarialLoss::Logistic | AdversarialLoss::Hinge => t.gamma.unwrap_or(values.gamma),
    };
    LossConfig {
        adversarial,
        r1_gamma,
        pl_weight: t.pl_weight.unwrap_or(values.pl_weight),
        style_mixing_prob: t.mixing_prob.unwrap_or(values.style_mixing_prob),
        ..LossConfig::default()
    }
}

fn optimizer_config(options: &TrainOptions, values: &PresetValues) -> OptimizerConfig {
    let lr = options.training.lr.unwrap_or(values.lr);
    OptimizerConfig {
        g_lr: lr,
        d_lr: lr,
        ..OptimizerConfig::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(change: impl FnOnce(&mut TrainOptions)) -> Result<Recipe, OptionError> {
        let mut options = TrainOptions::default();
        options.data.resolution = Some(16);
        change(&mut options);
        let dataset = options.data.open(0).unwrap();
        Recipe::new(&options, &dataset)
    }

    #[test]
    fn a_preset_fills_in_what_was_not_given() {
        let config = recipe(|o| o.network.z_dim = Some(64)).unwrap().config;
        let (g, d) = (&config.generator, &config.discriminator);
        assert_eq!((g.z_dim, g.w_dim(), g.c_dim), (64, 512, 0));
        assert_eq!((g.synthesis.img_resolution, d.img_resolution), (16, 16));
        assert_eq!((g.synthesis.channel_base, d.channel_base), (16384, 16384));
        assert_eq!((config.batch, config.batch_gpu), (32, 32));
        assert_eq!((config.loss.pl_weight, config.ema.kimg), (2.0, 10.0));
        config.validate().unwrap();
    }

    #[test]
    fn every_preset_gives_a_valid_configuration() {
        for preset in Preset::ALL {
            let recipe = recipe(|o| o.preset = Some(preset)).unwrap();
            recipe.config.validate().unwrap();
            let tuned_elsewhere = preset.native_resolution().is_some();
            let notes = recipe.notes();
            assert_eq!(notes.len(), usize::from(tuned_elsewhere), "{preset}");
        }
    }

    #[test]
    fn options_replace_the_numbers_of_a_preset() {
        let config = recipe(|o| {
            o.preset = Some(Preset::Cifar);
            o.training.batch = Some(16);
            o.training.lr = Some(0.001);
            o.training.gamma = Some(3.0);
            o.training.pl_weight = Some(1.0);
            o.network.mapping_layers = Some(4);
        })
        .unwrap()
        .config;
        assert_eq!(config.batch, 16);
        assert_eq!(
            (config.optimizer.g_lr, config.optimizer.d_lr),
            (0.001, 0.001)
        );
        assert_eq!((config.loss.r1_gamma, config.loss.pl_weight), (3.0, 1.0));
        assert_eq!(config.generator.mapping.num_layers, 4);
        assert_eq!(config.discriminator.architecture, Architecture::Orig);
    }

    #[test]
    fn a_base_without_channels_at_the_resolution_is_refused() {
        let error = recipe(|o| o.network.channel_base = Some(8)).unwrap_err();
        let expected = "--channel-base 8: leaves no channels at 16x16 pictures; give at least 16";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_pass_that_does_not_split_into_groups_is_refused() {
        let error = recipe(|o| {
            o.training.batch = Some(12);
            o.training.batch_gpu = Some(6);
        })
        .unwrap_err();
        let expected = "--batch-gpu 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch-gpu 4";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_pass_far_beyond_the_batch_is_refused_at_once() {
        let mut recipe = recipe(|_| {}).unwrap();
        recipe.config.batch_gpu = usize::MAX;
        let error = recipe.check_batch().unwrap_err().to_string();
        assert!(error.ends_with("use --batch-gpu 32"), "{error}");
    }

    #[test]
    fn passes_that_make_smaller_groups_than_the_presets_are_noted() {
        let notes = |batch, batch_gpu| {
            let recipe = recipe(|o| {
                o.preset = Some(Preset::Stylegan2);
                o.training.batch = Some(batch);
                o.training.batch_gpu = batch_gpu;
            });
            recipe.unwrap().notes()
        };
        let ends =
            "makes groups of 2 pictures in the minibatch standard deviation, the preset's are 4";
        assert_eq!(notes(8, Some(2)), [format!("note: --batch-gpu 2 {ends}")]);
        assert_eq!(notes(2, None), [format!("note: --batch 2 {ends}")]);
        assert!(notes(8, Some(4)).is_empty());
    }

    #[test]
    fn a_resumed_run_takes_new_weights_with_a_note_each() {
        let trained = recipe(|_| {}).unwrap();
        let mut options = TrainOptions::default();
        options.training.lr = Some(0.001);
        options.training.gamma = Some(3.0);
        options.training.pl_weight = Some(2.0);
        options.training.mixing_prob = Some(0.5);
        let (resumed, changes) = trained.clone().resumed(&options).unwrap();
        let (loss, optimizer) = (resumed.config.loss, resumed.config.optimizer);
        assert_eq!((optimizer.g_lr, optimizer.d_lr), (0.001, 0.001));
        assert_eq!((loss.r1_gamma, loss.style_mixing_prob), (3.0, 0.5));
        let gamma = trained.config.loss.r1_gamma;
        let expected = [
            "note: --lr 0.001 replaces the checkpoint's 0.0025".to_string(),
            format!("note: --gamma 3 replaces the checkpoint's {gamma}"),
            "note: --mixing-prob 0.5 replaces the checkpoint's 0.9".to_string(),
        ];
        assert_eq!(changes, expected);

        let wasserstein = recipe(|o| o.training.loss = Some(AdversarialLoss::WganGp)).unwrap();
        let error = wasserstein.resumed(&options).unwrap_err().to_string();
        assert!(error.starts_with("--gamma 3: R1 isn't part of"), "{error}");
    }

    #[test]
    fn a_resumed_run_takes_new_passes_and_refuses_new_losses() {
        let trained = recipe(|_| {}).unwrap();
        let mut options = TrainOptions::default();
        options.training.batch_gpu = Some(8);
        let (resumed, changes) = trained.clone().resumed(&options).unwrap();
        assert_eq!((resumed.config.batch, resumed.config.batch_gpu), (32, 8));
        assert!(changes.is_empty());

        options.training.loss = Some(AdversarialLoss::Hinge);
        let error = trained.resumed(&options).unwrap_err().to_string();
        assert!(error.starts_with("--loss hinge: the checkpoint was trained with logistic;"));
    }

    #[test]
    fn recipes_survive_json() {
        let recipe = recipe(|o| o.training.gamma = Some(0.1 + 0.2)).unwrap();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
    }
}
