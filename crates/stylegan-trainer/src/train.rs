//! The training loop: it decides when to step, report, save and stop, and leaves the rest to others.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;

use crate::error::TrainError;
use crate::feed::Feed;
use crate::growing::Position;
use crate::meter::Meter;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::report::{Growth, LogFile, Progress, Reporter, StatsFile, kimg};
use crate::run_folder::RunFolder;
use crate::samples::SampleGrid;
use crate::schedule::Schedule;
use crate::snapshot::{Snapshot, TrainedGenerator};
use crate::step::{StepStats, Stepper};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The run's folder.
    pub folder: RunFolder,
    /// The last checkpoint.
    pub snapshot: PathBuf,
    /// Whether all pictures of the schedule were shown; `false` after a stop.
    pub completed: bool,
}

/// Trains until the schedule is complete, or until `stop` is raised: it is looked at between steps, and
/// the run is saved before this returns.
///
/// A new run is written to a new folder under `outdir`; `console` hears of it beside the folder's log.
///
/// # Errors
/// A schedule out of range, pictures that can't be read, a folder that can't be written, a reporter that
/// failed, or a step with numbers that are not finite. The checkpoints written until then are whole; an
/// error between two steps is returned after saving what they trained.
pub fn train(
    plan: Plan,
    outdir: &Path,
    device: &Device,
    console: Box<dyn Reporter + '_>,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    plan.schedule.validate()?;
    plan.verify_pictures()?;
    let mut run = Run::open(plan, outdir, device, console)?;
    let result = run.train(stop);
    if let Err(error) = &result {
        run.reporter.failed(error);
    }
    result
}

/// A run under way.
struct Run<'a> {
    recipe: Recipe,
    schedule: Schedule,
    feed: Feed,
    stepper: Stepper,
    samples: SampleGrid,
    folder: RunFolder,
    reporter: Vec<Box<dyn Reporter + 'a>>,
    meter: Meter,
    /// The newest checkpoint and the number of pictures it had seen.
    saved: Option<(u64, PathBuf)>,
}

impl<'a> Run<'a> {
    /// Makes the run folder and writes what is known before the first step.
    fn open(
        plan: Plan,
        outdir: &Path,
        device: &Device,
        console: Box<dyn Reporter + 'a>,
    ) -> Result<Self, TrainError> {
        let options = plan.to_json()?;
        let notes = plan.notes();
        let is_new_folder = plan.folder.is_none();
        let folder = match plan.folder {
            Some(folder) => folder,
            None => RunFolder::create(outdir, &plan.recipe.description())?,
        };
        folder.write_options(&options)?;
        let images_seen = plan.state.images_seen;
        let reporter: Vec<Box<dyn Reporter + 'a>> = vec![
            console,
            Box::new(LogFile::open(&folder.log())?),
            Box::new(StatsFile::open(&folder.stats(), images_seen)?),
        ];
        let config = plan.recipe.config.clone();
        let mut run = Self {
            samples: SampleGrid::new(&plan.dataset, config.generator.z_dim, device)?,
            meter: Meter::new(images_seen),
            stepper: Stepper::new(config, plan.state)?,
            recipe: plan.recipe,
            schedule: plan.schedule,
            feed: Feed {
                dataset: plan.dataset,
                sampler: plan.sampler,
                device: device.clone(),
            },
            folder,
            reporter,
            saved: plan.resumed_from.map(|path| (images_seen, path)),
        };
        run.note(&format!("run folder: {}", run.folder.path().display()))?;
        run.note(&format!("data: {}", run.feed.dataset.describe()))?;
        for note in notes {
            run.note(&note)?;
        }
        if is_new_folder {
            run.samples
                .save_reals(&run.feed.dataset, &run.folder.reals(), device)?;
            // From here on the folder can be resumed, and it is known to have room before any work is lost.
            run.save()?;
        }
        // The clocks start with the first step.
        run.meter = Meter::new(images_seen);
        Ok(run)
    }

    fn train(&mut self, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        while !self.schedule.is_complete(self.images_seen()) && !stop.load(Ordering::Relaxed) {
            let before = self.images_seen();
            let resolution = self.stepper.position().resolution;
            // An error of the step itself leaves a state that isn't worth saving.
            let stats = self.stepper.step(&mut self.feed)?;
            let result = self
                .note_growth(resolution)
                .and_then(|()| self.after_step(before, &stats));
            self.or_save(result)?;
        }
        let result = self.finish();
        self.or_save(result)
    }

    /// Notes that a resolution has entered, if it did: the one before was `resolution`.
    fn note_growth(&mut self, resolution: usize) -> Result<(), TrainError> {
        let position = *self.stepper.position();
        if position.resolution == resolution {
            return Ok(());
        }
        self.note(&format!(
            "{0}x{0} fades in: batch {1}, learning rate {2}",
            position.resolution, position.batch, position.g_lr
        ))
    }

    /// Reports a step that started at `before` pictures, and saves where that is due.
    fn after_step(&mut self, before: u64, stats: &StepStats) -> Result<(), TrainError> {
        let images_seen = self.images_seen();
        tracing::debug!(images_seen, ?stats, "step");
        self.meter.add(stats);
        self.reporter.step(&Progress {
            images_seen,
            total_images: self.schedule.total_images(),
            sec_per_kimg: self.meter.recent_sec_per_kimg(images_seen),
        })?;
        if let Some(tick) = self.schedule.tick_reached(before, images_seen) {
            self.report(tick)?;
        }
        if self.schedule.snapshot_reached(before, images_seen) {
            self.save()?;
        }
        Ok(())
    }

    /// Saves what was trained before an error between two steps ends the run.
    fn or_save<T>(&mut self, result: Result<T, TrainError>) -> Result<T, TrainError> {
        if result.is_err()
            && !self.is_saved()
            && let Err(second) = self.save()
        {
            self.reporter.failed(&second);
        }
        result
    }

    /// Reports a tick, complete or cut short by the end of the run.
    fn report(&mut self, tick: u64) -> Result<(), TrainError> {
        let growth = self.growth();
        let report = self.meter.finish_tick(tick, self.images_seen(), growth);
        self.reporter.tick(&report)
    }

    /// Writes a checkpoint and a grid of generated pictures.
    fn save(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        let images_seen = self.images_seen();
        let Position { lod, batch, .. } = *self.stepper.position();
        let state = self.stepper.state();
        let path = self.folder.snapshot(images_seen, batch);
        Snapshot::write(&path, &self.recipe, state, &self.feed.sampler)?;
        let name = path.file_name().unwrap_or_default();
        let note = format!(
            "saved {} at {} kimg",
            name.to_string_lossy(),
            kimg(images_seen)
        );
        self.saved = Some((images_seen, path));
        let config = self.recipe.config.generator.clone();
        let generator = TrainedGenerator::from_weights(config, &state.g_ema, lod)?;
        let fakes = self.folder.fakes(images_seen, batch);
        self.samples
            .save_fakes(&generator, self.stepper.batch_gpu(), &fakes)?;
        self.meter.add_maintenance(start.elapsed());
        self.note(&note)
    }

    /// Whether the newest checkpoint holds everything that was trained.
    fn is_saved(&self) -> bool {
        let newest = self.saved.as_ref();
        newest.is_some_and(|(images_seen, _)| *images_seen == self.images_seen())
    }

    /// Reports and saves what the last tick left over.
    fn finish(&mut self) -> Result<Outcome, TrainError> {
        let images_seen = self.images_seen();
        if self.meter.has_steps() {
            self.report(self.schedule.tick(images_seen) + 1)?;
        }
        if !self.is_saved() {
            self.save()?;
        }
        let completed = self.schedule.is_complete(images_seen);
        self.note(if completed {
            "finished"
        } else {
            "stopped before the end"
        })?;
        let (_, snapshot) = self
            .saved
            .clone()
            .ok_or_else(|| TrainError::run(self.folder.path(), "has no snapshot"))?;
        Ok(Outcome {
            folder: self.folder.clone(),
            snapshot,
            completed,
        })
    }

    fn images_seen(&self) -> u64 {
        self.stepper.state().images_seen
    }

    /// How far the networks have grown, where they do.
    fn growth(&self) -> Option<Growth> {
        let Position {
            lod, resolution, ..
        } = *self.stepper.position();
        let grows = self.recipe.config.growing.is_some();
        grows.then_some(Growth { lod, resolution })
    }

    fn note(&mut self, line: &str) -> Result<(), TrainError> {
        self.reporter.note(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TrainOptions;
    use crate::report::TickReport;
    use crate::testing::tiny_options;
    use std::fs;
    use std::io;

    /// A reporter that fails at a tick.
    struct FailsAt(Option<u64>);

    impl Reporter for FailsAt {
        fn note(&mut self, _line: &str) -> Result<(), TrainError> {
            Ok(())
        }

        fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
            match self.0 {
                Some(tick) if tick == report.tick => {
                    let full = io::Error::from(io::ErrorKind::StorageFull);
                    Err(TrainError::file("write", Path::new("the reports"))(full))
                }
                _ => Ok(()),
            }
        }
    }

    fn run(
        plan: Plan,
        outdir: &Path,
        fails_at: Option<u64>,
        stop: bool,
    ) -> Result<Outcome, TrainError> {
        let console = Box::new(FailsAt(fails_at));
        train(plan, outdir, &Device::Cpu, console, &AtomicBool::new(stop))
    }

    fn new_plan(tick_kimg: f64) -> Plan {
        let mut options = tiny_options();
        options.schedule.tick_kimg = Some(tick_kimg);
        Plan::new(&options, &Device::Cpu).unwrap()
    }

    fn resume(from: &Path) -> Plan {
        let mut options = TrainOptions::default();
        options.schedule.kimg = Some(0.024);
        Plan::resume(&options, from, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_run_from_a_file_can_be_resumed_though_it_was_stopped_at_once() {
        let outdir = tempfile::tempdir().unwrap();
        let first = run(new_plan(4.0), outdir.path(), None, false).unwrap();
        let second = run(resume(&first.snapshot), outdir.path(), None, true).unwrap();
        assert!(!second.completed);
        assert_ne!(second.folder, first.folder);
        assert_eq!(second.snapshot.parent(), Some(second.folder.path()));
        assert!(second.folder.reals().is_file());
        assert_eq!(
            fs::read(&second.snapshot).unwrap(),
            fs::read(&first.snapshot).unwrap()
        );
        let third = run(resume(second.folder.path()), outdir.path(), None, false).unwrap();
        assert!(third.completed);
        assert_eq!(third.folder, second.folder);
    }

    #[test]
    fn a_reporter_that_fails_ends_the_run_after_saving() {
        let outdir = tempfile::tempdir().unwrap();
        // The second of four steps.
        let error = run(new_plan(0.004), outdir.path(), Some(2), false).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the reports"));
        let folder = RunFolder::open(&outdir.path().join("00000-portraits-subset64-auto-batch4"));
        let folder = folder.unwrap();
        assert_eq!(resume(folder.path()).state.images_seen, 8);
        let log = fs::read_to_string(folder.log()).unwrap();
        assert!(log.ends_with(&format!("error: {error}\n")), "{log}");
    }

    #[test]
    fn a_tick_that_the_end_cuts_short_has_the_number_of_the_tick_under_way() {
        let outdir = tempfile::tempdir().unwrap();
        let done = run(new_plan(0.006), outdir.path(), None, false).unwrap();
        let stats = fs::read_to_string(done.folder.stats()).unwrap();
        let tick = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["tick"].clone();
        // Complete at 8 and 12 pictures, cut short at 16.
        assert_eq!(stats.lines().map(tick).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_schedule_out_of_range_is_refused_before_anything_is_written() {
        let outdir = tempfile::tempdir().unwrap();
        let mut plan = new_plan(4.0);
        plan.schedule.snapshot_ticks = 0;
        let error = run(plan, outdir.path(), None, false).unwrap_err();
        assert_eq!(error.to_string(), "--snap 0: must be at least 1 (ticks)");
        assert_eq!(fs::read_dir(outdir.path()).unwrap().count(), 0);
    }
}
