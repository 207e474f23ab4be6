//! What was measured, as a table and as JSON.

use std::fmt;

use serde::{Serialize, Serializer};
use stylegan_trainer::config::TrainingConfig;

use super::work::Kind;
use crate::device::DeviceChoice;
use crate::precision::PrecisionChoice;
use crate::spans::Span;

const GIGA: f64 = 1e9;
const GIB: f64 = (1u64 << 30) as f64;

/// What was timed.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    work: Kind,
    resolution: usize,
    channel_base: usize,
    channel_max: usize,
    batch: usize,
    threads: usize,
    #[serde(serialize_with = "as_text")]
    device: DeviceChoice,
    /// Where it isn't f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<&'static str>,
}

impl Setting {
    /// Of networks of `config` on a device, on the threads that there are.
    pub fn new(kind: Kind, config: &TrainingConfig, device: DeviceChoice) -> Self {
        let synthesis = &config.generator.synthesis;
        Self {
            work: kind,
            resolution: synthesis.img_resolution,
            channel_base: synthesis.channel_base,
            channel_max: synthesis.channel_max,
            batch: config.batch,
            threads: rayon::current_num_threads(),
            device,
            precision: None,
        }
    }

    /// With products in a precision.
    pub fn with_precision(self, precision: PrecisionChoice) -> Self {
        let precision = match precision {
            PrecisionChoice::F32 => None,
            PrecisionChoice::Bf16 => Some("bf16"),
        };
        Self { precision, ..self }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            work,
            resolution,
            channel_base,
            channel_max,
            batch,
            threads,
            device,
            precision,
        } = self;
        let s = if *threads == 1 { "" } else { "s" };
        write!(
            f,
            "{work} {resolution}x{resolution}, channel base {channel_base}, channel max {channel_max}, batch {batch}, {threads} thread{s}, {device}"
        )?;
        match precision {
            Some(precision) => write!(f, ", products in {precision}"),
            None => Ok(()),
        }
    }
}

/// Seconds of each part of a training step, per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases([f64; PHASE_NAMES.len()]);

/// The parts of a training step: the names of their spans.
const PHASE_NAMES: [&str; 6] = ["Gmain", "Greg", "Dmain", "Dreg", "optimizer", "EMA"];

impl Phases {
    /// Of the spans of so many steps.
    pub fn new(spans: &[Span], steps: usize) -> Self {
        let seconds = |name| {
            let of_phase = |span: &&Span| span.is_phase() && span.name == name;
            spans
                .iter()
                .filter(of_phase)
                .map(Span::seconds)
                .sum::<f64>()
        };
        Self(PHASE_NAMES.map(|name| seconds(name) / steps as f64))
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        PHASE_NAMES.into_iter().zip(self.0)
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The result of a benchmark. Times are those of a call or of a training step.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    setting: Setting,
    runs: usize,
    median_seconds: f64,
    min_seconds: f64,
    max_seconds: f64,
    images_per_second: f64,
    /// The rate of the operations that the direct form would need.
    gflops: f64,
    /// The most memory that the process has had; `null` where the system doesn't tell.
    peak_memory_bytes: Option<u64>,
    /// Of the run in the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    phases: Option<Phases>,
}

impl Summary {
    /// Of the seconds and phases of every run, at least one.
    pub fn new(
        setting: Setting,
        mut runs: Vec<(f64, Phases)>,
        operations: f64,
        peak_memory_bytes: Option<u64>,
    ) -> Self {
        runs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (last, middle) = (runs.len() - 1, (runs.len() - 1) / 2);
        // The middle one, or the mean of the two that are nearest to the middle.
        let median_seconds = (runs[middle].0 + runs[last - middle].0) / 2.0;
        Self {
            median_seconds,
            min_seconds: runs[0].0,
            max_seconds: runs[last].0,
            images_per_second: setting.batch as f64 / median_seconds,
            gflops: operations / median_seconds / GIGA,
            peak_memory_bytes,
            phases: (setting.work == Kind::TrainStep).then_some(runs[middle].1),
            runs: runs.len(),
            setting,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, min, max) = (self.median_seconds, self.min_seconds, self.max_seconds);
        let (what, runs) = match self.setting.work {
            Kind::Generate => ("call", "calls"),
            Kind::TrainStep => ("step", "runs"),
        };
        writeln!(f, "{}", self.setting)?;
        writeln!(
            f,
            "seconds per {what}    {median:.4}  ({min:.4} to {max:.4} in {} {runs})",
            self.runs
        )?;
        writeln!(f, "pictures per second {:.2}", self.images_per_second)?;
        let operations = self.gflops * median;
        writeln!(
            f,
            "GFLOP/s             {:.1}  ({operations:.1} GFLOP in direct form)",
            self.gflops
        )?;
        match self.peak_memory_bytes {
            Some(bytes) => write!(f, "peak memory         {:.2} GiB", bytes as f64 / GIB)?,
            None => write!(f, "peak memory         not known on this system")?,
        }
        for (name, seconds) in self.phases.iter().flat_map(Phases::iter) {
            let share = 100.0 * seconds / median;
            write!(f, "\n  {name:<17} {seconds:.4}  {share:4.1} %")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stylegan_trainer::Preset;

    fn summary(kind: Kind, seconds: &[f64]) -> Summary {
        let config = Preset::Auto.training(32, Some(4));
        let runs = seconds.iter().map(|&s| (s, Phases([s / 8.0; 6]))).collect();
        Summary::new(
            Setting::new(kind, &config, DeviceChoice::Cpu),
            runs,
            6e9,
            Some(3 << 30),
        )
    }

    #[test]
    fn the_middle_of_the_runs_counts() {
        let odd = summary(Kind::TrainStep, &[9.0, 1.0, 2.0]);
        assert_eq!(
            (odd.median_seconds, odd.min_seconds, odd.max_seconds),
            (2.0, 1.0, 9.0)
        );
        assert_eq!((odd.images_per_second, odd.gflops), (2.0, 3.0));
        assert_eq!(odd.phases, Some(Phases([0.25; 6])));
        let even = summary(Kind::Generate, &[4.0, 1.0, 2.0, 9.0]);
        assert_eq!((even.median_seconds, even.phases), (3.0, None));
        assert_eq!(summary(Kind::Generate, &[5.0]).median_seconds, 5.0);
    }

    #[test]
    fn programs_find_the_names_that_they_look_for() {
        let json = serde_json::to_value(summary(Kind::TrainStep, &[2.0])).unwrap();
        assert_eq!(json["work"], "train-step");
        assert_eq!(json["peak_memory_bytes"], 3u64 << 30);
        assert_eq!(json["phases"]["EMA"], 0.25);
        assert_eq!(json["phases"].as_object().unwrap().len(), 6);
    }
}
