//! What a run tells the outside: one report a tick, and the sinks that write it down.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stylegan_checkpoint::write_atomically;
use stylegan_ops::growing::Lod;

use crate::error::TrainError;

/// How far a run is, after every step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Pictures shown to the discriminator so far.
    pub images_seen: u64,
    /// Pictures in the whole run.
    pub total_images: u64,
    /// Seconds per thousand pictures: over the tick under way, or the one before while it is short.
    pub sec_per_kimg: f64,
}

/// One line of `stats.jsonl`: means over the steps of a tick.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TickReport {
    /// Number of the tick, from 1. What a run reports when it ends within a tick has the number of that
    /// tick, which the run may complete later.
    pub tick: u64,
    /// Thousands of pictures seen.
    pub kimg: f64,
    /// The position at the end of the tick, where the networks grow.
    #[serde(flatten)]
    pub growth: Option<Growth>,
    /// Losses, scores and penalties.
    #[serde(flatten)]
    pub means: Means,
    /// Where the time went.
    #[serde(flatten)]
    pub timing: Timing,
    /// Memory of this process.
    #[serde(flatten)]
    pub memory: Memory,
}

/// How far networks have grown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// The level of detail: halvings between the pictures' own resolution and what is trained, in fractions
    /// while a resolution fades in.
    pub lod: Lod,
    /// The resolution that is trained, in pixels a side.
    pub resolution: usize,
}

/// Means over the steps of a tick; `None` for what no step of the tick computed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Means {
    /// Generator loss without regularization.
    pub loss_g: Option<f64>,
    /// Discriminator loss without regularization.
    pub loss_d: Option<f64>,
    /// Discriminator logit of training pictures.
    pub score_real: Option<f64>,
    /// Discriminator logit of generated pictures.
    pub score_fake: Option<f64>,
    /// Sign of the logit of training pictures.
    pub sign_real: Option<f64>,
    /// Sign of the logit of generated pictures.
    pub sign_fake: Option<f64>,
    /// The auxiliary classifier's loss on training pictures, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_loss_real: Option<f64>,
    /// The auxiliary classifier's loss on generated pictures, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_loss_fake: Option<f64>,
    /// R1: the squared gradient norm at training pictures, without gamma.
    pub r1_penalty: Option<f64>,
    /// R2: the same at generated pictures.
    pub r2_penalty: Option<f64>,
    /// WGAN-GP's gradient penalty, without lambda.
    pub gp_penalty: Option<f64>,
    /// Path length penalty, without its weight.
    pub pl_penalty: Option<f64>,
    /// Path length.
    pub pl_length: Option<f64>,
    /// The moving average of the path length at the end of the tick.
    pub pl_mean: Option<f64>,
}

/// Seconds of a tick.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Training, without snapshots and picture grids, per thousand pictures.
    pub sec_per_kimg: f64,
    /// Training, without snapshots and picture grids.
    pub sec_per_tick: f64,
    /// Snapshots and picture grids since the last report.
    pub maintenance_sec: f64,
    /// Since this process started (or resumed) the run.
    pub total_sec: f64,
    /// Training by phase.
    pub phase_sec: BTreeMap<String, f64>,
}

/// Memory of this process in GiB; `None` where the system doesn't say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Resident now.
    pub memory_gib: Option<f64>,
    /// The most that was resident: since the process started on Linux, at the ends of ticks elsewhere.
    pub peak_memory_gib: Option<f64>,
}

impl fmt::Display for TickReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
        let (m, t) = (&self.means, &self.timing);
        write!(
            f,
            "tick {:<4} kimg {:<9.3} time {:<11} sec/tick {:<7.1} sec/kimg {:<7.2} maintenance {:<5.1} memory {} GiB",
            self.tick,
            self.kimg,
            duration(t.total_sec),
            t.sec_per_tick,
            t.sec_per_kimg,
            t.maintenance_sec,
            self.memory
                .peak_memory_gib
                .map_or("-".to_string(), |v| format!("{v:.2}")),
        )?;
        if let Some(Growth { lod, resolution }) = self.growth {
            write!(f, "  lod {:.2} at {resolution}x{resolution}", lod.get())?;
        }
        write!(
            f,
            "  loss G {} D {}  score real {} fake {}",
            number(m.loss_g),
            number(m.loss_d),
            number(m.score_real),
            number(m.score_fake),
        )?;
        for (name, value) in [
            ("classes real", m.class_loss_real),
            ("fake", m.class_loss_fake),
            ("R1", m.r1_penalty),
            ("R2", m.r2_penalty),
            ("GP", m.gp_penalty),
            ("path length", m.pl_length),
        ] {
            if value.is_some() {
                write!(f, "  {name} {}", number(value))?;
            }
        }
        Ok(())
    }
}

/// Pictures in thousands.
pub(crate) fn kimg(images: u64) -> f64 {
    images as f64 / 1000.0
}

/// `1h 02m 03s`, without leading zero parts.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, s) => format!("{h}h {m:02}m {s:02}s"),
    }
}

/// A place that a run's reports go to.
pub trait Reporter {
    /// A line for people: what was found, saved or changed.
    fn note(&mut self, line: &str) -> Result<(), TrainError>;

    /// After every step; called often.
    fn step(&mut self, _progress: &Progress) -> Result<(), TrainError> {
        Ok(())
    }

    /// The run ends with this error, which the caller gets as well.
    fn failed(&mut self, _error: &TrainError) {}

    /// After every tick.
    fn tick(&mut self, report: &TickReport) -> Result<(), TrainError>;
}

/// Several sinks as one.
impl Reporter for Vec<Box<dyn Reporter + '_>> {
    fn note(&mut self, line: &str) -> Result<(), TrainError> {
        self.iter_mut().try_for_each(|sink| sink.note(line))
    }

    fn step(&mut self, progress: &Progress) -> Result<(), TrainError> {
        self.iter_mut().try_for_each(|sink| sink.step(progress))
    }

    fn failed(&mut self, error: &TrainError) {
        self.iter_mut().for_each(|sink| sink.failed(error));
    }

    fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
        self.iter_mut().try_for_each(|sink| sink.tick(report))
    }
}

/// Appends notes and ticks to `log.txt`.
pub struct LogFile(AppendFile);

impl LogFile {
    /// Opens the file for appending; an earlier part of the run stays in it.
    ///
    /// # Errors
    /// [`TrainError::File`] where it can't be opened.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        Ok(Self(AppendFile::open(path)?))
    }
}

impl Reporter for LogFile {
    fn note(&mut self, line: &str) -> Result<(), TrainError> {
        self.0.line(line)
    }

    fn failed(&mut self, error: &TrainError) {
        // The run has failed already: where the log can't be written either, there is nothing to add.
        let _ = self.0.line(&format!("error: {error}"));
    }

    fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
        self.0.line(&report.to_string())
    }
}

/// Appends one JSON object a tick to `stats.jsonl`.
pub struct StatsFile(AppendFile);

impl StatsFile {
    /// Opens the file for appending by a run that has seen so many pictures: the part up to there stays in
    /// it. A run that was ended by force may have written lines after its last snapshot, and half a line;
    /// these are cut, since the resumed run writes them again.
    ///
    /// # Errors
    /// [`TrainError::File`] where it can't be opened or cut.
    pub fn open(path: &Path, images_seen: u64) -> Result<Self, TrainError> {
        if path.exists() {
            cut_stats(path, images_seen).map_err(TrainError::file("cut", path))?;
        }
        Ok(Self(AppendFile::open(path)?))
    }
}

/// Replaces the file by its lines up to the given number of pictures.
fn cut_stats(path: &Path, images_seen: u64) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Line {
        kimg: f64,
    }
    let kimg = kimg(images_seen);
    let text = fs::read_to_string(path)?;
    let is_before = |line: &&str| {
        line.ends_with('\n')
            && serde_json::from_str::<Line>(line).is_ok_and(|line| line.kimg <= kimg)
    };
    let kept: String = text.split_inclusive('\n').filter(is_before).collect();
    if kept == text {
        return Ok(());
    }
    write_atomically(path, |file| fs::write(file, kept))
}

impl Reporter for StatsFile {
    fn note(&mut self, _line: &str) -> Result<(), TrainError> {
        Ok(())
    }

    fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
        let json = serde_json::to_string(report).map_err(|e| self.0.error(e.into()))?;
        self.0.line(&json)
    }
}

/// A file of lines that is only ever appended to.
struct AppendFile {
    path: PathBuf,
    file: File,
}

impl AppendFile {
    fn open(path: &Path) -> Result<Self, TrainError> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            path: path.to_path_buf(),
            file: opened.map_err(TrainError::file("open", path))?,
        })
    }

    /// Writes a line in one go, so that a reader never sees half of it.
    fn line(&mut self, line: &str) -> Result<(), TrainError> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|e| self.error(e))
    }

    fn error(&self, source: io::Error) -> TrainError {
        TrainError::file("write", &self.path)(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> TickReport {
        TickReport {
            tick: 3,
            kimg: 12.016,
            growth: None,
            means: Means {
                loss_g: Some(0.7),
                r1_penalty: Some(0.5),
                ..Means::default()
            },
            timing: Timing::default(),
            memory: Memory::default(),
        }
    }

    #[test]
    fn stats_are_flat_json_lines_and_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        for _ in 0..2 {
            let mut file = StatsFile::open(&path, 12_016).unwrap();
            file.tick(&report()).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["kimg"], 12.016);
        assert_eq!(line["loss_g"], 0.7);
        assert!(line["loss_d"].is_null() && line["memory_gib"].is_null());
    }

    #[test]
    fn a_resumed_run_cuts_the_lines_after_its_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        let mut file = StatsFile::open(&path, 0).unwrap();
        for kimg in [4.0, 8.016, 12.0] {
            file.tick(&TickReport { kimg, ..report() }).unwrap();
        }
        let whole = fs::read_to_string(&path).unwrap();
        // A line that a crash cut short.
        fs::write(&path, format!("{whole}{{\"tick\": 4, \"ki")).unwrap();
        let kimgs = || -> Vec<f64> {
            let text = fs::read_to_string(&path).unwrap();
            let json = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
            let lines = text.lines().map(json);
            lines.map(|line| line["kimg"].as_f64().unwrap()).collect()
        };
        StatsFile::open(&path, 12_000).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        let mut file = StatsFile::open(&path, 8_016).unwrap();
        assert_eq!(kimgs(), [4.0, 8.016]);
        file.tick(&report()).unwrap();
        assert_eq!(kimgs(), [4.0, 8.016, 12.016]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn log_lines_leave_out_penalties_that_were_not_computed() {
        let line = report().to_string();
        assert!(line.contains("R1 0.500"), "{line}");
        assert!(
            !line.contains("GP") && !line.contains("path length"),
            "{line}"
        );
        assert!(line.contains("loss G 0.700 D -"), "{line}");
    }

    #[test]
    fn growing_networks_report_where_they_stand() {
        let growth = Some(Growth {
            lod: Lod::new(1.25).unwrap(),
            resolution: 32,
        });
        let grown = TickReport { growth, ..report() };
        let line = grown.to_string();
        assert!(line.contains("GiB  lod 1.25 at 32x32  loss"), "{line}");
        let line = serde_json::to_value(&grown).unwrap();
        assert_eq!(
            (&line["lod"], &line["resolution"]),
            (&1.25.into(), &32.into())
        );
        let line = serde_json::to_string(&report()).unwrap();
        assert!(!line.contains("lod") && !line.contains("class"), "{line}");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(7.4), "7s");
        assert_eq!(duration(67.0), "1m 07s");
        assert_eq!(duration(3.0 * 3600.0 + 5.0), "3h 00m 05s");
    }
}
