//! Seconds by operator and by phase, as tables.

use std::collections::BTreeMap;
use std::fmt;

use crate::bench::summary::Setting;
use crate::spans::Span;

/// The spans of some calls or steps.
pub struct Profile<'a> {
    /// What was looked at.
    pub setting: &'a Setting,
    /// How many calls or steps.
    pub calls: usize,
    /// Seconds from the beginning of the first to the end of the last.
    pub total: f64,
    /// Everything that ended in that time.
    pub spans: &'a [Span],
    /// Whether operators with results of different shapes have rows of their own.
    pub by_shape: bool,
}

/// A row of a table.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    name: String,
    seconds: f64,
    count: usize,
}

impl Profile<'_> {
    /// The phases, or everything else, by name, those that take longest first.
    fn rows(&self, phases: bool, by_shape: bool, seconds: fn(&Span) -> f64) -> Vec<Row> {
        let mut rows = BTreeMap::<String, Row>::new();
        for span in self.spans.iter().filter(|span| span.is_phase() == phases) {
            let name = match by_shape && !span.shape.is_empty() {
                true => format!("{} {}", span.name, span.shape),
                false => span.name.clone(),
            };
            let row = rows.entry(name.clone()).or_default();
            row.name = name;
            row.seconds += seconds(span);
            row.count += 1;
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        rows
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, title: &str, rows: &[Row]) -> fmt::Result {
        let lengths = rows.iter().map(|row| row.name.len());
        let width = lengths.chain([title.len(), REST.len()]).max().unwrap_or(0);
        write!(f, "\n{title:<width$}  seconds   share   calls")?;
        let attributed: f64 = rows.iter().map(|row| row.seconds).sum();
        let rest = Row {
            name: REST.to_string(),
            // Operators that run at the same time may take longer in all than the whole.
            seconds: (self.total - attributed).max(0.0),
            count: 0,
        };
        for row in rows.iter().chain([&rest]) {
            let share = 100.0 * row.seconds / self.total;
            write!(
                f,
                "\n{:<width$}  {:7.3}  {share:5.1} %",
                row.name, row.seconds
            )?;
            if row.count > 0 {
                write!(f, "  {:6}", row.count)?;
            }
        }
        Ok(())
    }
}

/// What no span of a table covers.
const REST: &str = "everything else";

impl fmt::Display for Profile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            calls,
            total,
            ..
        } = self;
        writeln!(f, "{setting}: {calls} in {total:.3} seconds")?;
        self.table(
            f,
            "operator",
            &self.rows(false, self.by_shape, Span::own_seconds),
        )?;
        let phases = self.rows(true, false, Span::seconds);
        if !phases.is_empty() {
            writeln!(f)?;
            self.table(f, "phase", &phases)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::work::Kind;
    use crate::device::DeviceChoice;
    use crate::spans::{OPERATORS, PHASES};
    use std::thread;
    use std::time::Duration;
    use stylegan_trainer::Preset;

    fn span(target: &'static str, name: &str, shape: &str, seconds: [u64; 2]) -> Span {
        let [duration, inner] = seconds.map(Duration::from_secs);
        Span {
            target,
            name: name.to_string(),
            shape: shape.to_string(),
            thread: thread::current().id(),
            start: Duration::ZERO,
            duration,
            inner,
        }
    }

    #[test]
    fn rows_add_up_and_what_is_left_over_is_shown() {
        let spans = [
            span(OPERATORS[0], "conv2d", "[1, 8, 8, 8]", [2, 0]),
            span(OPERATORS[0], "bias_act", "[1, 8, 8, 8]", [3, 2]),
            span(OPERATORS[0], "conv2d", "[1, 4, 8, 8]", [1, 0]),
            span(PHASES, "Gmain", "", [7, 4]),
        ];
        let setting = Setting::new(
            Kind::TrainStep,
            &Preset::Auto.training(8, None),
            DeviceChoice::Cpu,
        );
        let mut profile = Profile {
            setting: &setting,
            calls: 16,
            total: 8.0,
            spans: &spans,
            by_shape: false,
        };
        let text = profile.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "",
            "operator         seconds   share   calls",
            "conv2d             3.000   37.5 %       2",
            "bias_act           1.000   12.5 %       1",
            "everything else    4.000   50.0 %",
            "",
            "phase            seconds   share   calls",
            "Gmain              7.000   87.5 %       1",
            "everything else    1.000   12.5 %",
        ];
        assert_eq!(lines, expected);
        profile.by_shape = true;
        let text = profile.to_string();
        assert!(
            text.contains("\nconv2d [1, 8, 8, 8]      2.000   25.0 %       1\n"),
            "{text}"
        );
    }
}
