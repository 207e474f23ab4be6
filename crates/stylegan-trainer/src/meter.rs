//! Collects the steps of a tick into its report, and keeps the clocks of the run.

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use crate::memory::MemoryMeter;
use crate::report::{Growth, Means, TickReport, Timing, kimg};
use crate::step::StepStats;

/// Steps after which the rate of a tick says something: a period of the slowest regularizer.
const RATE_STEPS: u64 = 16;

/// The tick under way.
pub(crate) struct Meter {
    run_start: Instant,
    tick_start: Instant,
    tick_start_images: u64,
    sums: Sums,
    phase_sec: BTreeMap<String, f64>,
    /// Of the time since `tick_start`, what went into snapshots and grids.
    maintenance: Duration,
    /// Seconds per thousand pictures in the tick before.
    last_rate: Option<f64>,
    memory: MemoryMeter,
}

impl Meter {
    /// Starts the clocks of a run that has seen so many pictures.
    pub(crate) fn new(images_seen: u64) -> Self {
        let now = Instant::now();
        Self {
            run_start: now,
            tick_start: now,
            tick_start_images: images_seen,
            sums: Sums::default(),
            phase_sec: BTreeMap::new(),
            maintenance: Duration::ZERO,
            last_rate: None,
            memory: MemoryMeter::default(),
        }
    }

    /// Adds a step.
    pub(crate) fn add(&mut self, stats: &StepStats) {
        self.sums.add(stats);
        for (phase, seconds) in &stats.seconds {
            *self.phase_sec.entry(phase.to_string()).or_default() += seconds;
        }
    }

    /// Adds time that didn't go into training.
    pub(crate) fn add_maintenance(&mut self, duration: Duration) {
        self.maintenance += duration;
    }

    /// Whether there were steps since the last report.
    pub(crate) fn has_steps(&self) -> bool {
        self.sums.loss_g.count > 0
    }

    /// Seconds of training per thousand pictures, lately: over the tick under way, or over the one before
    /// as long as there are too few steps.
    pub(crate) fn recent_sec_per_kimg(&self, images_seen: u64) -> f64 {
        match self.last_rate {
            Some(rate) if self.sums.loss_g.count < RATE_STEPS => rate,
            _ => self.sec_per_kimg(images_seen),
        }
    }

    /// Seconds of training per thousand pictures in the tick under way.
    fn sec_per_kimg(&self, images_seen: u64) -> f64 {
        let kimg = images_seen.saturating_sub(self.tick_start_images).max(1) as f64 / 1000.0;
        self.training().as_secs_f64() / kimg
    }

    /// The report of the tick, which a new one follows.
    pub(crate) fn finish_tick(
        &mut self,
        tick: u64,
        images_seen: u64,
        growth: Option<Growth>,
    ) -> TickReport {
        let sec_per_kimg = self.sec_per_kimg(images_seen);
        let report = TickReport {
            tick,
            kimg: kimg(images_seen),
            growth,
            means: mem::take(&mut self.sums).means(),
            timing: Timing {
                sec_per_kimg,
                sec_per_tick: self.training().as_secs_f64(),
                maintenance_sec: self.maintenance.as_secs_f64(),
                total_sec: self.run_start.elapsed().as_secs_f64(),
                phase_sec: mem::take(&mut self.phase_sec),
            },
            memory: self.memory.read(),
        };
        self.tick_start = Instant::now();
        self.tick_start_images = images_seen;
        self.maintenance = Duration::ZERO;
        self.last_rate = Some(sec_per_kimg);
        report
    }

    fn training(&self) -> Duration {
        self.tick_start.elapsed().saturating_sub(self.maintenance)
    }
}

#[derive(Default)]
struct Sum {
    total: f64,
    count: u64,
}

impl Sum {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.total += value;
            self.count += 1;
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total / self.count as f64)
    }
}

#[derive(Default)]
struct Sums {
    loss_g: Sum,
    loss_d: Sum,
    score_real: Sum,
    score_fake: Sum,
    sign_real: Sum,
    sign_fake: Sum,
    class_loss_real: Sum,
    class_loss_fake: Sum,
    r1_penalty: Sum,
    r2_penalty: Sum,
    gp_penalty: Sum,
    pl_penalty: Sum,
    pl_length: Sum,
    pl_mean: Option<f64>,
}

impl Sums {
    fn add(&mut self, stats: &StepStats) {
        self.loss_g.add(Some(stats.loss_g));
        self.loss_d.add(Some(stats.loss_d));
        self.score_real.add(Some(stats.score_real));
        self.score_fake.add(Some(stats.score_fake));
        self.sign_real.add(Some(stats.sign_real));
        self.sign_fake.add(Some(stats.sign_fake));
        self.class_loss_real.add(stats.class_loss_real);
        self.class_loss_fake.add(stats.class_loss_fake);
        self.r1_penalty.add(stats.r1_penalty);
        self.r2_penalty.add(stats.r2_penalty);
        self.gp_penalty.add(stats.gp_penalty);
        self.pl_penalty.add(stats.pl_penalty);
        self.pl_length.add(stats.pl_length);
        self.pl_mean = stats.pl_mean.or(self.pl_mean);
    }

    fn means(self) -> Means {
        Means {
            loss_g: self.loss_g.mean(),
            loss_d: self.loss_d.mean(),
            score_real: self.score_real.mean(),
            score_fake: self.score_fake.mean(),
            sign_real: self.sign_real.mean(),
            sign_fake: self.sign_fake.mean(),
            class_loss_real: self.class_loss_real.mean(),
            class_loss_fake: self.class_loss_fake.mean(),
            r1_penalty: self.r1_penalty.mean(),
            r2_penalty: self.r2_penalty.mean(),
            gp_penalty: self.gp_penalty.mean(),
            pl_penalty: self.pl_penalty.mean(),
            pl_length: self.pl_length.mean(),
            pl_mean: self.pl_mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_hold_means_over_the_steps_that_computed_a_number() {
        let mut meter = Meter::new(0);
        for (loss_g, r1_penalty, pl_mean) in [(1.0, Some(8.0), Some(0.25)), (2.0, None, None)] {
            meter.add(&StepStats {
                loss_g,
                r1_penalty,
                pl_mean,
                ..StepStats::default()
            });
        }
        let report = meter.finish_tick(1, 64, None);
        assert_eq!(report.means.loss_g, Some(1.5));
        assert_eq!(report.means.r1_penalty, Some(8.0));
        assert_eq!(report.means.pl_mean, Some(0.25));
        assert_eq!((report.means.gp_penalty, report.kimg), (None, 0.064));
        assert!(!meter.has_steps());
    }

    #[test]
    fn the_rate_of_the_tick_before_holds_until_a_tick_has_some_steps() {
        let mut meter = Meter::new(0);
        assert!(meter.recent_sec_per_kimg(1) > 0.0);
        // As if the first tick had taken 7 seconds for 1 kimg.
        meter.tick_start -= Duration::from_secs(7);
        let rate = meter.finish_tick(1, 1000, None).timing.sec_per_kimg;
        assert!((7.0..8.0).contains(&rate), "{rate}");
        meter.tick_start -= Duration::from_secs(60);
        for _ in 1..RATE_STEPS {
            meter.add(&StepStats::default());
        }
        assert_eq!(meter.recent_sec_per_kimg(2000), rate);
        meter.add(&StepStats::default());
        assert!(meter.recent_sec_per_kimg(2000) >= 60.0);
    }

    #[test]
    fn maintenance_is_not_training() {
        let mut meter = Meter::new(1000);
        meter.add_maintenance(Duration::from_secs(3600));
        let report = meter.finish_tick(1, 2000, None);
        assert_eq!(report.timing.sec_per_tick, 0.0);
        assert_eq!(report.timing.maintenance_sec, 3600.0);
    }
}
