//! A new training of networks that were trained before: what follows from them, and what must fit them.

use std::fmt::Display;

use stylegan_data::Dataset;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{GeneratorConfig, Layers};

use super::Recipe;
use crate::error::OptionError;
use crate::options::{NetworkOptions, TrainOptions};
use crate::presets::Preset;
use crate::transfer::Pretrained;

impl Recipe {
    /// The recipe of a new run on `dataset` of networks that were trained before.
    ///
    /// The networks are those of the file, losses and optimizer those of the preset, which has to be one of their
    /// family: by default `auto`, `stylegan1` or `progan`. Grown networks don't grow again unless a resolution to
    /// start from is given. The average generator has its full half-life from the start, so that it isn't forgotten
    /// within the first steps.
    ///
    /// # Errors
    /// [`OptionError`] naming the option that is out of range or doesn't fit the networks or the others.
    pub fn transferred(
        options: &TrainOptions,
        dataset: &Dataset,
        from: &Pretrained,
    ) -> Result<Self, OptionError> {
        options.validate()?;
        let family = Family::of(&from.generator);
        let preset = options.preset.unwrap_or(family.preset());
        family.check(preset, from)?;
        check_same(&options.network, from)?;
        check_pictures(dataset, from)?;
        let mut config = preset.training(dataset.resolution(), options.training.batch);
        config.generator = from.generator.clone();
        config.discriminator = DiscriminatorConfig {
            // It follows from the batch, and changes no weight.
            mbstd_group_size: config.discriminator.mbstd_group_size,
            ..from.discriminator.clone()
        };
        let mut options = options.clone();
        if config.growing.is_some() && options.growing.lod_initial_resolution.is_none() {
            check_grown(from)?;
            options.growing.lod_initial_resolution = Some(dataset.resolution());
        }
        config.ema.rampup = None;
        let mut recipe = Self::around(config, preset, &options)?;
        recipe.started_from = Some(from.name.clone());
        Ok(recipe)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    ProGan,
    StyleGan,
    StyleGan2,
}

impl Family {
    fn of(generator: &GeneratorConfig) -> Self {
        match &generator.synthesis.layers {
            Layers::Modulated => Self::StyleGan2,
            Layers::Styled(layers) if layers.use_styles => Self::StyleGan,
            Layers::Styled(_) => Self::ProGan,
        }
    }

    /// The preset that a run has where none is asked for.
    fn preset(self) -> Preset {
        match self {
            Self::ProGan => Preset::Progan,
            Self::StyleGan => Preset::Stylegan1,
            Self::StyleGan2 => Preset::Auto,
        }
    }

    fn check(self, preset: Preset, from: &Pretrained) -> Result<(), OptionError> {
        let resolution = from.generator.synthesis.img_resolution;
        let is_of =
            |preset: &Preset| Self::of(&preset.training(resolution, None).generator) == self;
        if is_of(&preset) {
            return Ok(());
        }
        let those: Vec<&str> = (Preset::ALL.into_iter().filter(is_of))
            .map(Preset::name)
            .collect();
        let problem = format!(
            "the networks of {} are of another family; leave the option out, or choose one of {}",
            from.name,
            those.join(", ")
        );
        Err(OptionError::new("cfg", preset, problem))
    }
}

/// Sizes of the networks follow from the file: options may repeat them.
fn check_same(given: &NetworkOptions, from: &Pretrained) -> Result<(), OptionError> {
    let g = &from.generator;
    let sizes = [
        ("channel-base", given.channel_base, g.synthesis.channel_base),
        ("channel-max", given.channel_max, g.synthesis.channel_max),
        ("z-dim", given.z_dim, g.z_dim),
        ("w-dim", given.w_dim, g.w_dim()),
        ("mapping-layers", given.mapping_layers, g.mapping.num_layers),
    ];
    for (option, given, found) in sizes {
        if let Some(given) = given.filter(|&given| given != found) {
            let name = &from.name;
            let problem = format!("the networks of {name} have {found}; leave the option out");
            return Err(OptionError::new(option, given, problem));
        }
    }
    Ok(())
}

fn check_pictures(dataset: &Dataset, from: &Pretrained) -> Result<(), OptionError> {
    let (synthesis, c_dim) = (&from.generator.synthesis, from.generator.c_dim);
    let resolution = (synthesis.img_resolution, dataset.resolution());
    if resolution.0 != resolution.1 {
        let problem = format!(
            "the networks of {0} are for {1}x{1} pictures; leave the option out",
            from.name, resolution.0
        );
        return Err(OptionError::new("resolution", resolution.1, problem));
    }
    let wrong = |expected: &dyn Display, found: &dyn Display, advice: &str| {
        let data = dataset.describe();
        let problem =
            format!("the networks are for {expected}, but the data has {found}: {data}; {advice}");
        Err(OptionError::new("resume", &from.name, problem))
    };
    let channels = |count: usize| format!("pictures of {count} channels");
    if synthesis.img_channels != dataset.channels() {
        let (expected, found) = (synthesis.img_channels, dataset.channels());
        let advice = "give pictures of that kind with --data";
        return wrong(&channels(expected), &channels(found), advice);
    }
    let classes = |count: usize| match count {
        0 => "no labels".to_string(),
        count => format!("labels of {count} classes"),
    };
    if c_dim != dataset.label_dim() {
        let advice = match (c_dim, dataset.label_dim()) {
            (0, _) => "leave --cond out",
            (_, 0) => "add --cond, with labels in the data's dataset.json",
            _ => "give data with as many classes",
        };
        return wrong(&classes(c_dim), &classes(dataset.label_dim()), advice);
    }
    Ok(())
}

fn check_grown(from: &Pretrained) -> Result<(), OptionError> {
    let full = from.generator.synthesis.img_resolution;
    let at = from.lod.resolution(full);
    if from.lod == Lod::FULL {
        return Ok(());
    }
    let problem = format!(
        "the networks are still growing, at {at}x{at} of {full}x{full}; add --lod-initial-resolution {at} to go on from there"
    );
    Err(OptionError::new("resume", &from.name, problem))
}
