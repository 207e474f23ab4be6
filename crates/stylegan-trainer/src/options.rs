//! The options of a run, as they were given, and the ranges that they must be in.
//!
//! Every option is optional: a preset fills in the rest for a new run, the checkpoint for a resumed one
//! (see [`Recipe`](crate::Recipe)).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stylegan_data::{DataError, Dataset, DatasetOptions, is_valid_resolution};
use stylegan_losses::AdversarialLoss;

use crate::error::{OptionError, TrainError};
use crate::presets::Preset;
use crate::schedule::Schedule;

/// The largest batch and the widest layer: far beyond what memory holds, and small enough to reckon with.
const MAX_COUNT: usize = 65_536;

/// The deepest mapping network.
const MAX_MAPPING_LAYERS: usize = 8;

/// The options of a run as they were given; `None` for those that weren't.
#[derive(Debug, Clone, Default)]
pub struct TrainOptions {
    /// `--cfg`, by default `auto`.
    pub preset: Option<Preset>,
    /// `--seed`, by default 0.
    pub seed: Option<u64>,
    /// Which pictures to train on.
    pub data: DataOptions,
    /// Sizes of the networks.
    pub network: NetworkOptions,
    /// Losses and optimizer.
    pub training: TrainingOptions,
    /// Progressive growing.
    pub growing: GrowingOptions,
    /// Length of the run, reports and snapshots.
    pub schedule: ScheduleOptions,
}

/// Which pictures to train on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataOptions {
    /// `--data`, a folder or zip; by default the embedded portraits.
    pub path: Option<PathBuf>,
    /// `--resolution`, what pictures are resized to; by default they are used as they are.
    pub resolution: Option<usize>,
    /// `--cond`.
    pub cond: bool,
    /// `--mirror`.
    pub mirror: bool,
    /// `--subset`, by default all.
    pub subset: Option<usize>,
}

/// Sizes of the networks, by default the preset's.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// `--channel-base`.
    pub channel_base: Option<usize>,
    /// `--channel-max`.
    pub channel_max: Option<usize>,
    /// `--z-dim`, by default 512.
    pub z_dim: Option<usize>,
    /// `--w-dim`, by default 512; without a mapping network w is as wide as z and the label.
    pub w_dim: Option<usize>,
    /// `--mapping-layers`.
    pub mapping_layers: Option<usize>,
}

/// Losses and optimizer, by default the preset's.
#[derive(Debug, Clone, Default)]
pub struct TrainingOptions {
    /// `--batch`.
    pub batch: Option<usize>,
    /// `--batch-gpu`, by default the whole batch.
    pub batch_gpu: Option<usize>,
    /// `--loss`.
    pub loss: Option<AdversarialLoss>,
    /// `--gamma`.
    pub gamma: Option<f64>,
    /// `--lr`.
    pub lr: Option<f64>,
    /// `--pl-weight`.
    pub pl_weight: Option<f64>,
    /// `--mixing-prob`.
    pub mixing_prob: Option<f64>,
    /// `--ema-kimg`.
    pub ema_kimg: Option<f64>,
}

/// Progressive growing, by default the preset's; for presets whose networks grow.
#[derive(Debug, Clone, Default)]
pub struct GrowingOptions {
    /// `--lod-initial-resolution`.
    pub lod_initial_resolution: Option<usize>,
    /// `--lod-training-kimg`.
    pub lod_training_kimg: Option<f64>,
    /// `--lod-transition-kimg`.
    pub lod_transition_kimg: Option<f64>,
}

/// Length of the run, reports and snapshots.
#[derive(Debug, Clone, Default)]
pub struct ScheduleOptions {
    /// `--kimg`, by default the preset's.
    pub kimg: Option<f64>,
    /// `--tick`, by default 4.
    pub tick_kimg: Option<f64>,
    /// `--snap`, by default 50.
    pub snapshot_ticks: Option<u64>,
}

impl TrainOptions {
    /// Checks every option that can be checked without the pictures.
    ///
    /// # Errors
    /// [`OptionError`] naming the option and the range it must be in.
    pub fn validate(&self) -> Result<(), OptionError> {
        if let Some(resolution) = self.data.resolution {
            check_resolution("resolution", resolution)?;
        }
        if let Some(resolution) = self.growing.lod_initial_resolution {
            check_resolution("lod-initial-resolution", resolution)?;
        }
        if self.data.subset == Some(0) {
            return Err(OptionError::new("subset", 0, "must be at least 1"));
        }
        let (n, t) = (&self.network, &self.training);
        let counts = [
            ("channel-base", n.channel_base, MAX_COUNT),
            ("channel-max", n.channel_max, MAX_COUNT),
            ("z-dim", n.z_dim, MAX_COUNT),
            ("w-dim", n.w_dim, MAX_COUNT),
            ("mapping-layers", n.mapping_layers, MAX_MAPPING_LAYERS),
            ("batch", t.batch, MAX_COUNT),
            ("batch-gpu", t.batch_gpu, MAX_COUNT),
        ];
        for (option, value, max) in counts {
            if let Some(value) = value.filter(|value| !(1..=max).contains(value)) {
                let rule = format!("must be from 1 to {max}");
                return Err(OptionError::new(option, value, rule));
            }
        }
        let phases = [
            ("lod-training-kimg", self.growing.lod_training_kimg),
            ("lod-transition-kimg", self.growing.lod_transition_kimg),
        ];
        let rule = "must be 0 or more (thousands of pictures)";
        check_range(&phases, rule, |v| v >= 0.0)?;
        check_range(&[("ema-kimg", t.ema_kimg)], rule, |v| v >= 0.0)?;
        let weights = [("gamma", t.gamma), ("pl-weight", t.pl_weight)];
        check_range(&weights, "must be 0 (off) or more", |v| v >= 0.0)?;
        check_range(&[("lr", t.lr)], "must be more than 0", |v| v > 0.0)?;
        let probability = [("mixing-prob", t.mixing_prob)];
        check_range(&probability, "must be from 0 to 1", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        check_gamma(t.gamma, t.loss)?;
        self.schedule.resolve(Schedule::new(1.0)).validate()
    }
}

impl GrowingOptions {
    /// The first of these options that was given, and its value.
    pub(crate) fn first(&self) -> Option<(&'static str, String)> {
        let kimg = |option, value: Option<f64>| value.map(|v| (option, v.to_string()));
        self.lod_initial_resolution
            .map(|v| ("lod-initial-resolution", v.to_string()))
            .or(kimg("lod-training-kimg", self.lod_training_kimg))
            .or(kimg("lod-transition-kimg", self.lod_transition_kimg))
    }
}

impl ScheduleOptions {
    /// The schedule, with what wasn't given taken from `default`.
    pub fn resolve(&self, default: Schedule) -> Schedule {
        Schedule {
            kimg: self.kimg.unwrap_or(default.kimg),
            tick_kimg: self.tick_kimg.unwrap_or(default.tick_kimg),
            snapshot_ticks: self.snapshot_ticks.unwrap_or(default.snapshot_ticks),
        }
    }
}

impl DataOptions {
    /// Reads the pictures; `seed` chooses the subset.
    ///
    /// # Errors
    /// [`TrainError::Data`] that names the file and the rule that it breaks; [`TrainError::Option`] for a subset that is
    /// larger than the data.
    pub fn open(&self, seed: u64) -> Result<Dataset, TrainError> {
        let opened = Dataset::open(&DatasetOptions {
            path: self.path.clone(),
            resolution: self.resolution,
            cond: self.cond,
            mirror: self.mirror,
            subset: self.subset,
            seed,
        });
        opened.map_err(|error| match error {
            DataError::InvalidSubset {
                subset,
                available,
                dataset,
            } => {
                let range =
                    format!("must be from 1 to {available}, the number of pictures in {dataset}");
                OptionError::new("subset", subset, range).into()
            }
            error => error.into(),
        })
    }

    /// A short name for the run folder: that of the folder or zip.
    pub(crate) fn name(&self) -> String {
        let Some(path) = &self.path else {
            return "portraits".to_string();
        };
        let zip = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("zip"));
        let name = if zip {
            path.file_stem()
        } else {
            path.file_name()
        };
        let name = name.map_or("data".into(), |name| name.to_string_lossy());
        let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
        name.chars().map(plain).collect()
    }
}

/// Checks that the networks can be built for pictures of that size.
fn check_resolution(option: &'static str, resolution: usize) -> Result<(), OptionError> {
    if is_valid_resolution(resolution) {
        return Ok(());
    }
    let above = resolution.clamp(4, 1024).next_power_of_two();
    let nearest = match resolution {
        5..1024 => format!("{} or {above}", above / 2),
        _ => above.to_string(),
    };
    let problem = format!("must be a power of two from 4 to 1024; the nearest is {nearest}");
    Err(OptionError::new(option, resolution, problem))
}

/// `--gamma` is the weight of R1, which not every loss has.
pub(crate) fn check_gamma(
    gamma: Option<f64>,
    loss: Option<AdversarialLoss>,
) -> Result<(), OptionError> {
    match (gamma, loss) {
        (Some(gamma), Some(AdversarialLoss::WganGp)) => {
            let problem = "R1 isn't part of --loss wgan-gp, which has a gradient penalty of its own; leave the option out";
            Err(OptionError::new("gamma", gamma, problem))
        }
        _ => Ok(()),
    }
}

fn check_range(
    options: &[(&'static str, Option<f64>)],
    rule: &str,
    allowed: impl Fn(f64) -> bool,
) -> Result<(), OptionError> {
    for &(option, value) in options {
        if let Some(value) = value.filter(|v| !(v.is_finite() && allowed(*v))) {
            return Err(OptionError::new(option, value, rule));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut TrainOptions)) -> String {
        let mut options = TrainOptions::default();
        change(&mut options);
        options.validate().unwrap_err().to_string()
    }

    #[test]
    fn no_options_at_all_are_valid() {
        assert_eq!(TrainOptions::default().validate(), Ok(()));
    }

    #[test]
    fn resolutions_that_no_network_has_name_the_nearest() {
        let resolution = |r| error(|o| o.data.resolution = Some(r));
        let rule = "must be a power of two from 4 to 1024; the nearest is";
        assert_eq!(
            resolution(100),
            format!("--resolution 100: {rule} 64 or 128")
        );
        assert_eq!(resolution(0), format!("--resolution 0: {rule} 4"));
        assert_eq!(resolution(2), format!("--resolution 2: {rule} 4"));
        assert_eq!(resolution(5), format!("--resolution 5: {rule} 4 or 8"));
        assert_eq!(resolution(2048), format!("--resolution 2048: {rule} 1024"));
    }

    #[test]
    fn values_out_of_range_name_the_option_and_the_range() {
        assert_eq!(
            error(|o| o.training.batch = Some(0)),
            "--batch 0: must be from 1 to 65536"
        );
        assert_eq!(
            error(|o| o.training.batch_gpu = Some(usize::MAX)),
            format!("--batch-gpu {}: must be from 1 to 65536", usize::MAX)
        );
        assert_eq!(
            error(|o| o.network.w_dim = Some(65_537)),
            "--w-dim 65537: must be from 1 to 65536"
        );
        assert_eq!(
            error(|o| o.data.subset = Some(0)),
            "--subset 0: must be at least 1"
        );
        assert_eq!(
            error(|o| o.network.mapping_layers = Some(9)),
            "--mapping-layers 9: must be from 1 to 8"
        );
        assert_eq!(
            error(|o| o.training.mixing_prob = Some(1.5)),
            "--mixing-prob 1.5: must be from 0 to 1"
        );
        assert_eq!(
            error(|o| o.training.lr = Some(f64::NAN)),
            "--lr NaN: must be more than 0"
        );
        let unused_gamma = error(|o| {
            o.training.loss = Some(AdversarialLoss::WganGp);
            o.training.gamma = Some(1.0);
        });
        assert!(unused_gamma.starts_with("--gamma 1: R1 isn't part of --loss wgan-gp"));
    }

    #[test]
    fn runs_are_named_after_their_pictures() {
        let name = |path: &str| {
            let path = Some(PathBuf::from(path));
            DataOptions {
                path,
                ..DataOptions::default()
            }
            .name()
        };
        assert_eq!(name("pictures/emoji64.zip"), "emoji64");
        assert_eq!(name("pictures/my cats.v2"), "my_cats_v2");
        assert_eq!(name(".."), "data");
        assert_eq!(DataOptions::default().name(), "portraits");
    }
}
