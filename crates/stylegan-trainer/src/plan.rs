//! Everything a run needs to know before it writes its first file.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};
use stylegan_data::{Dataset, Sampler};

use crate::error::{OptionError, TrainError};
use crate::options::TrainOptions;
use crate::recipe::Recipe;
use crate::run_folder::{OPTIONS, RunFolder, find_snapshot};
use crate::schedule::Schedule;
use crate::snapshot::Snapshot;
use crate::state::TrainingState;
use crate::transfer::Pretrained;

/// A run that is ready to start: options resolved and checked, pictures found, weights there.
pub struct Plan {
    /// Networks, losses, optimizer and which pictures.
    pub recipe: Recipe,
    /// Length of the run, reports and snapshots.
    pub schedule: Schedule,
    /// The pictures.
    pub dataset: Dataset,
    /// Weights, optimizer moments, random generators and counters.
    pub state: TrainingState,
    /// The order of the pictures.
    pub sampler: Sampler,
    /// The run folder to go on in; a new one where it is `None`.
    pub folder: Option<RunFolder>,
    /// The checkpoint that the run goes on from.
    pub resumed_from: Option<PathBuf>,
    /// What a run starts from, or does otherwise than it did before, as lines for the log.
    pub changes: Vec<String>,
}

/// What `options.json` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunOptions {
    /// Version of this crate.
    pub(crate) version: String,
    /// The run's schedule.
    pub(crate) schedule: Schedule,
    /// What is trained, and on what.
    #[serde(flatten)]
    pub(crate) recipe: Recipe,
}

impl Plan {
    /// Plans a new run.
    ///
    /// # Errors
    /// Options that are out of range or don't fit together, pictures that can't be used, weights that
    /// don't fit the device.
    pub fn new(options: &TrainOptions, device: &Device) -> Result<Self, TrainError> {
        options.validate()?;
        let seed = options.seed.unwrap_or(0);
        let dataset = options.data.open(seed)?;
        let recipe = Recipe::new(options, &dataset)?;
        let state = TrainingState::new(&recipe.config, device)?;
        Self::fresh(options, recipe, state, dataset)
    }

    /// Plans a new run that starts from networks which were trained before, on other pictures maybe.
    ///
    /// Pictures are resized to the size that the networks are for, unless an option asks for another, which is an
    /// error. See [`Recipe::transferred`] for what follows from the networks.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and options or pictures that don't fit the networks.
    pub fn transfer(
        options: &TrainOptions,
        pretrained: &Pretrained,
        device: &Device,
    ) -> Result<Self, TrainError> {
        options.validate()?;
        let mut options = options.clone();
        let side = pretrained.generator.synthesis.img_resolution;
        options.data.resolution.get_or_insert(side);
        let dataset = options.data.open(options.seed.unwrap_or(0))?;
        let recipe = Recipe::transferred(&options, &dataset, pretrained)?;
        let state = TrainingState::transferred(&recipe.config, pretrained, device)?;
        let mut plan = Self::fresh(&options, recipe, state, dataset)?;
        let name = &pretrained.name;
        plan.changes
            .push(format!("starts from the networks of {name}"));
        Ok(plan)
    }

    /// A run that hasn't begun.
    fn fresh(
        options: &TrainOptions,
        recipe: Recipe,
        state: TrainingState,
        dataset: Dataset,
    ) -> Result<Self, TrainError> {
        let default = Schedule::new(recipe.preset.kimg());
        Ok(Self {
            schedule: options.schedule.resolve(default),
            state,
            sampler: Sampler::new(dataset.len(), recipe.config.seed)?,
            recipe,
            dataset,
            folder: None,
            resumed_from: None,
            changes: Vec::new(),
        })
    }

    /// Plans to go on from `file_or_run`.
    ///
    /// A run folder goes on in place, from its newest snapshot. A snapshot file starts a new run folder, so
    /// that nothing which was trained after it is replaced. Either way the options are those of the
    /// checkpoint, and the schedule is that of its run; see [`Recipe::resumed`] for what can be replaced.
    ///
    /// # Errors
    /// A checkpoint that is missing or damaged, options that contradict it, pictures that aren't those it
    /// was trained on.
    pub fn resume(
        options: &TrainOptions,
        file_or_run: &Path,
        device: &Device,
    ) -> Result<Self, TrainError> {
        options.validate()?;
        let path = find_snapshot(file_or_run)?;
        let Snapshot {
            recipe,
            state,
            sampler,
        } = Snapshot::read(&path, device)?;
        let (recipe, mut changes) = recipe.resumed(options)?;
        let schedule = match schedule_beside(&path)? {
            Some(beside) => options.schedule.resolve(beside),
            None => {
                changes.push(format!(
                    "note: there is no {OPTIONS} beside {}: what of --kimg, --tick and --snap isn't given is that of --cfg {}",
                    path.display(),
                    recipe.preset
                ));
                let default = Schedule::new(recipe.preset.kimg());
                options.schedule.resolve(default)
            }
        };
        let seen = state.images_seen;
        if schedule.is_complete(seen) {
            let problem = format!(
                "{} has already seen {} kimg; give a larger --kimg to train on",
                path.display(),
                seen as f64 / 1000.0
            );
            return Err(OptionError::new("kimg", schedule.kimg, problem).into());
        }
        let dataset = recipe.data.open(recipe.config.seed)?;
        check_dataset(&recipe, &sampler, &dataset, &path)?;
        let folder = match file_or_run.is_dir() {
            true => Some(RunFolder::open(file_or_run)?),
            false => None,
        };
        Ok(Self {
            recipe,
            schedule,
            dataset,
            state,
            sampler,
            folder,
            resumed_from: Some(path),
            changes,
        })
    }

    /// Decodes every picture, so that a damaged one is found before training starts.
    ///
    /// # Errors
    /// [`TrainError::Data`] naming the first picture that can't be read.
    pub fn verify_pictures(&self) -> Result<(), TrainError> {
        // The embedded portraits are drawn when they are first seen: nothing can be wrong with them.
        if self.recipe.data.path.is_some() {
            self.dataset.verify()?;
        }
        Ok(())
    }

    /// Things worth knowing about the choices made, as lines for the log.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.recipe.notes();
        notes.extend(self.growth_notes());
        if let Some(path) = &self.resumed_from {
            let kimg = self.state.images_seen as f64 / 1000.0;
            notes.push(format!("resumed from {} at {kimg} kimg", path.display()));
        }
        notes.extend_from_slice(&self.changes);
        notes
    }

    /// When the resolutions of a growing run begin, and a warning where `--kimg` ends before the last one is
    /// complete.
    fn growth_notes(&self) -> Vec<String> {
        let full = self.recipe.config.generator.synthesis.img_resolution;
        let Some(growing) = &self.recipe.config.growing else {
            return Vec::new();
        };
        let resolutions: Vec<usize> = growing.resolutions(full).collect();
        let doublings = resolutions.len().saturating_sub(1);
        if doublings == 0 {
            return Vec::new();
        }
        let transition = growing.lod_transition_kimg;
        let duration = growing.lod_training_kimg + transition;
        let ends = |number: usize| rounded((number + 1) as f64 * duration - transition);
        let grown = (resolutions[..doublings].iter().enumerate())
            .map(|(number, side)| format!("{side}x{side} to {} kimg", ends(number)));
        let grown = grown.collect::<Vec<_>>().join(", ");
        let mut notes = vec![format!("grows: {grown}, then {full}x{full}")];

        let kimg = self.schedule.kimg;
        let complete = rounded(doublings as f64 * duration);
        // The numbers were checked: a schedule that isn't one has no level of detail.
        let last = match growing.lod(kimg, full) {
            Ok(lod) if kimg < complete => lod.resolution(full),
            _ => return notes,
        };
        let at_the_end = match last == full {
            true => format!("{full}x{full} is still fading in at the end of {kimg} kimg"),
            false => format!("the pictures are {last}x{last} at the end of {kimg} kimg"),
        };
        let advice = match self.resumed_from {
            None => {
                "shorten --lod-training-kimg and --lod-transition-kimg, or give a larger --kimg"
            }
            Some(_) => "give a larger --kimg",
        };
        notes.push(format!(
            "note: {at_the_end}; {full}x{full} takes {complete} kimg: {advice}"
        ));
        notes
    }

    /// The complete configuration as JSON, as `options.json` will have it.
    ///
    /// # Errors
    /// [`TrainError::Tensor`] where a number has no JSON form.
    pub fn to_json(&self) -> Result<String, TrainError> {
        let options = RunOptions {
            version: env!("CARGO_PKG_VERSION").to_string(),
            schedule: self.schedule,
            recipe: self.recipe.clone(),
        };
        serde_json::to_string_pretty(&options).map_err(|e| candle_core::Error::wrap(e).into())
    }
}

/// To whole pictures: sums of phases have rounding errors, which nobody wants to read.
fn rounded(kimg: f64) -> f64 {
    (kimg * 1000.).round() / 1000.
}

/// The schedule of the run that a snapshot lies in, where it lies in one.
fn schedule_beside(snapshot: &Path) -> Result<Option<Schedule>, TrainError> {
    let path = snapshot.with_file_name(OPTIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(TrainError::file("read", &path))?;
    let unfit = |problem: String| {
        let problem =
            format!("isn't the options of a run ({problem}); move it away to go on without it");
        TrainError::run(&path, problem)
    };
    let options: RunOptions = serde_json::from_str(&text).map_err(|e| unfit(e.to_string()))?;
    let schedule = options.schedule;
    schedule.validate().map_err(|e| unfit(e.to_string()))?;
    Ok(Some(schedule))
}

/// A run goes on with the pictures that it was started on.
fn check_dataset(
    recipe: &Recipe,
    sampler: &Sampler,
    dataset: &Dataset,
    snapshot: &Path,
) -> Result<(), TrainError> {
    let generator = &recipe.config.generator;
    let synthesis = &generator.synthesis;
    let numbers = [
        ("pictures", sampler.epoch_len(), dataset.len()),
        (
            "pixels a side",
            synthesis.img_resolution,
            dataset.resolution(),
        ),
        ("channels", synthesis.img_channels, dataset.channels()),
        ("numbers in a label", generator.c_dim, dataset.label_dim()),
    ];
    for (what, trained, found) in numbers {
        if trained != found {
            let problem = format!(
                "was trained with {trained} {what}, but the data has {found}: {}; give the pictures of that \
                 training with --data, or start a new one from its networks: resume from a copy of them that \
                 convert makes",
                dataset.describe()
            );
            return Err(TrainError::run(snapshot, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Preset;
    use crate::testing::tiny_options;

    /// A folder with a snapshot and an `options.json` with this schedule, and the snapshot's path.
    fn run_with(schedule: Schedule) -> (tempfile::TempDir, PathBuf) {
        let mut plan = Plan::new(&tiny_options(), &Device::Cpu).unwrap();
        plan.schedule = schedule;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network-snapshot-000000.safetensors");
        Snapshot::write(&path, &plan.recipe, &plan.state, &plan.sampler).unwrap();
        let run = RunFolder::open(folder.path()).unwrap();
        run.write_options(&plan.to_json().unwrap()).unwrap();
        (folder, path)
    }

    fn resume(from: &Path) -> Result<Plan, TrainError> {
        Plan::resume(&TrainOptions::default(), from, &Device::Cpu)
    }

    #[test]
    fn a_resumed_run_has_the_schedule_of_its_options_file() {
        let schedule = Schedule {
            kimg: 5.0,
            tick_kimg: 0.5,
            snapshot_ticks: 3,
        };
        let (_folder, path) = run_with(schedule);
        let plan = resume(&path).unwrap();
        assert_eq!(plan.schedule, schedule);
        assert!(plan.changes.is_empty());
    }

    #[test]
    fn a_growing_run_says_when_it_grows_and_whether_it_gets_there() {
        let notes = |kimg, resolution, initial| {
            let mut options = tiny_options();
            options.preset = Some(Preset::Stylegan1);
            options.data.resolution = Some(resolution);
            options.schedule.kimg = Some(kimg);
            options.growing.lod_initial_resolution = initial;
            let plan = Plan::new(&options, &Device::Cpu).unwrap();
            let is_about_growth =
                |line: &String| line.starts_with("grows") || line.contains("at the end");
            let lines = plan.notes().into_iter().filter(is_about_growth);
            lines.collect::<Vec<_>>()
        };
        let schedule = "grows: 8x8 to 600 kimg, 16x16 to 1800 kimg, then 32x32";
        let advice = "32x32 takes 2400 kimg: shorten --lod-training-kimg and --lod-transition-kimg, or give a larger --kimg";
        let early = format!("note: the pictures are 8x8 at the end of 100 kimg; {advice}");
        assert_eq!(notes(100., 32, None), [schedule, &early]);
        let fading = format!("note: 32x32 is still fading in at the end of 2399 kimg; {advice}");
        assert_eq!(notes(2399., 32, None), [schedule, &fading]);
        assert_eq!(notes(2400., 32, None), [schedule]);
        assert!(notes(100., 8, Some(8)).is_empty());
    }

    #[test]
    fn without_an_options_file_the_presets_schedule_is_used_with_a_note() {
        let (folder, path) = run_with(Schedule::new(5.0));
        fs::remove_file(folder.path().join(OPTIONS)).unwrap();
        let plan = resume(&path).unwrap();
        assert_eq!(plan.schedule, Schedule::new(25_000.0));
        let notes = plan.notes();
        let is_note = |note: &String| note.starts_with("note: there is no options.json beside");
        assert!(notes.iter().any(is_note), "{notes:?}");
    }

    #[test]
    fn a_schedule_out_of_range_names_the_options_file() {
        let schedule = Schedule {
            tick_kimg: 0.0,
            ..Schedule::new(5.0)
        };
        let (folder, path) = run_with(schedule);
        let message = resume(&path).err().unwrap().to_string();
        let file = folder.path().join(OPTIONS);
        assert!(
            message.starts_with(&file.display().to_string()),
            "{message}"
        );
        assert!(message.contains("--tick 0: must be at least"), "{message}");
    }
}
