//! What a run shows on the terminal: a progress bar with log lines above it, or plain lines.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stylegan_trainer::{Progress, Reporter, TickReport, TrainError, duration};
use tracing_subscriber::fmt::MakeWriter;

/// The standard error stream, shared by log lines and the progress bar.
#[derive(Clone)]
pub struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    /// Redraws at most four times a second; without a terminal there are no bars.
    pub fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(4);
        Self {
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// A bar for work of so many steps; shown only where standard error is a terminal.
    pub fn bar(&self, steps: usize, what: &str) -> Bar {
        let template = "{bar:24} {pos}/{len} {msg}  {eta} left";
        let bar = self.styled_bar(Some(steps as u64), template);
        if let Some(bar) = &bar {
            bar.set_message(what.to_string());
        }
        Bar(bar)
    }

    /// Writes a line, above the progress bar where there is one.
    pub fn line(&self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// A bar with a template of indicatif's, where standard error is a terminal; without a length it only counts.
    pub fn styled_bar(&self, length: Option<u64>, template: &str) -> Option<ProgressBar> {
        io::stderr().is_terminal().then(|| {
            let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let style = ProgressStyle::with_template(template);
            let bar = self.bars.add(bar);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        })
    }

    /// A stream that is gone (a closed pipe) must not end a training run.
    fn write(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let _ = io::stderr().write_all(bytes);
        });
    }
}

/// A progress bar, which disappears when it is dropped.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// One step is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Says something beside the numbers.
    pub fn say(&self, message: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Lets `tracing` write between redraws of the bar.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter {
            terminal: self.clone(),
            event: Vec::new(),
        }
    }
}

/// Collects one event, and writes it in one go when it is complete.
pub struct EventWriter {
    terminal: Terminal,
    event: Vec<u8>,
}

impl Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.event.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        self.terminal.write(&self.event);
    }
}

/// Reports a run on the terminal.
pub struct Console {
    terminal: Terminal,
    bar: Option<ProgressBar>,
}

impl Console {
    /// Shows a bar only where standard error is a terminal.
    pub fn new(terminal: &Terminal) -> Self {
        Self {
            terminal: terminal.clone(),
            bar: terminal.styled_bar(Some(0), "{bar:24} {msg}"),
        }
    }
}

impl Reporter for Console {
    fn note(&mut self, line: &str) -> Result<(), TrainError> {
        self.terminal.line(line);
        Ok(())
    }

    fn step(&mut self, progress: &Progress) -> Result<(), TrainError> {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total_images);
            bar.set_position(progress.images_seen);
            bar.set_message(message(progress));
        }
        Ok(())
    }

    fn tick(&mut self, report: &TickReport) -> Result<(), TrainError> {
        self.terminal.line(&report.to_string());
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `kimg 1.2/60.0  7.52 sec/kimg  7m 22s left`
fn message(progress: &Progress) -> String {
    let kimg = |images: u64| images as f64 / 1000.0;
    let left = kimg(progress.total_images.saturating_sub(progress.images_seen));
    let left = Duration::from_secs_f64((left * progress.sec_per_kimg).clamp(0.0, 1e10));
    format!(
        "kimg {:.1}/{:.1}  {:.2} sec/kimg  {} left",
        kimg(progress.images_seen),
        kimg(progress.total_images),
        progress.sec_per_kimg,
        duration(left.as_secs_f64()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_far_and_how_long() {
        let progress = Progress {
            images_seen: 20_000,
            total_images: 60_000,
            sec_per_kimg: 7.5,
        };
        let expected = "kimg 20.0/60.0  7.50 sec/kimg  5m 00s left";
        assert_eq!(message(&progress), expected);
    }
}
