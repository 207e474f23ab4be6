//! When a run reports, saves and ends: pure functions of the number of pictures seen.
//!
//! Nothing here has state, so a resumed run ticks and saves where an uninterrupted one does.

use serde::{Deserialize, Serialize};

use crate::error::OptionError;

/// Length of a run and how often it reports and saves.
///
/// The methods that answer are for a schedule that [`validate`](Self::validate) accepts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Pictures shown to the discriminator in the whole run, in thousands; may be fractional.
    pub kimg: f64,
    /// Thousands of pictures between two lines of statistics.
    pub tick_kimg: f64,
    /// Ticks between two snapshots.
    pub snapshot_ticks: u64,
}

impl Schedule {
    /// Ticks of 4 kimg and a snapshot every 50 ticks.
    pub fn new(kimg: f64) -> Self {
        Self {
            kimg,
            tick_kimg: 4.0,
            snapshot_ticks: 50,
        }
    }

    /// Checks the ranges of `--kimg`, `--tick` and `--snap`.
    ///
    /// # Errors
    /// [`OptionError`] naming the option that is out of range.
    pub fn validate(&self) -> Result<(), OptionError> {
        let rule = "must be at least 0.001 (thousands of pictures)";
        for (option, kimg) in [("kimg", self.kimg), ("tick", self.tick_kimg)] {
            if !(kimg.is_finite() && kimg >= 0.001) {
                return Err(OptionError::new(option, kimg, rule));
            }
        }
        if self.snapshot_ticks == 0 {
            return Err(OptionError::new("snap", 0, "must be at least 1 (ticks)"));
        }
        Ok(())
    }

    /// Pictures in the whole run.
    pub fn total_images(&self) -> u64 {
        images(self.kimg)
    }

    /// The tick that a step from `before` to `after` pictures seen completes, if it does.
    pub fn tick_reached(&self, before: u64, after: u64) -> Option<u64> {
        let tick = self.tick(after);
        (tick > self.tick(before)).then_some(tick)
    }

    /// The last tick that is complete after so many pictures; 0 where none is.
    pub fn tick(&self, images_seen: u64) -> u64 {
        images_seen / images(self.tick_kimg)
    }

    /// Whether a step from `before` to `after` pictures seen completes a tick (perhaps the first of
    /// several) at which a snapshot is due.
    pub fn snapshot_reached(&self, before: u64, after: u64) -> bool {
        let due = |images_seen| self.tick(images_seen) / self.snapshot_ticks;
        due(after) > due(before)
    }

    /// Whether the run is complete after so many pictures.
    pub fn is_complete(&self, images_seen: u64) -> bool {
        images_seen >= self.total_images()
    }
}

/// Thousands of pictures as a number of pictures.
fn images(kimg: f64) -> u64 {
    (kimg * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_fall_on_the_first_step_past_each_multiple() {
        let schedule = Schedule {
            kimg: 10.0,
            tick_kimg: 1.0,
            snapshot_ticks: 2,
        };
        assert_eq!(schedule.tick_reached(0, 64), None);
        assert_eq!(schedule.tick_reached(960, 1024), Some(1));
        assert_eq!(schedule.tick_reached(1024, 1088), None);
        assert_eq!(schedule.tick_reached(1984, 2048), Some(2));
        assert!(!schedule.snapshot_reached(960, 1024) && schedule.snapshot_reached(1984, 2048));
        assert!(!schedule.snapshot_reached(2048, 2112));
        assert!(!schedule.is_complete(9984) && schedule.is_complete(10048));
    }

    #[test]
    fn a_batch_longer_than_a_tick_completes_several_at_once() {
        let schedule = Schedule {
            tick_kimg: 0.01,
            snapshot_ticks: 5,
            ..Schedule::new(1.0)
        };
        assert_eq!(schedule.tick_reached(0, 64), Some(6));
        // The snapshot of tick 5, which isn't the last one that the step completes.
        assert!(schedule.snapshot_reached(0, 64));
        assert!(schedule.snapshot_reached(64, 128));
        // Ticks 13 and 14, before tick 15.
        assert!(!schedule.snapshot_reached(128, 149));
    }

    #[test]
    fn out_of_range_values_name_the_option() {
        let zero_kimg = Schedule::new(0.0).validate().unwrap_err().to_string();
        assert_eq!(
            zero_kimg,
            "--kimg 0: must be at least 0.001 (thousands of pictures)"
        );
        let nan_tick = Schedule {
            tick_kimg: f64::NAN,
            ..Schedule::new(1.0)
        };
        assert_eq!(nan_tick.validate().unwrap_err().option, "tick");
        let no_snap = Schedule {
            snapshot_ticks: 0,
            ..Schedule::new(1.0)
        };
        assert_eq!(no_snap.validate().unwrap_err().option, "snap");
    }
}
