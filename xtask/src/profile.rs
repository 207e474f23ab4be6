//! `profile`: where the seconds go, by operator.

mod table;
mod trace;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::Device;

use crate::bench::summary::Setting;
use crate::bench::work::{self, Kind, NetworkArgs};
use crate::device::DeviceChoice;
use crate::precision::PrecisionChoice;
use crate::print_result;
use crate::progress::Terminal;
use crate::spans::{OPERATORS, PHASES, Recorder};
use table::Profile;

const EXAMPLES: &str = "\
Examples:
  Which operators the time of a picture goes into:
    cargo xtask profile generate --resolution 256 --threads 2
  The same of 16 training steps, and a timeline for https://ui.perfetto.dev:
    cargo xtask profile train-step --resolution 32 --batch 16 \\
        --trace trace.json

Operators are those of stylegan-ops. backward is candle's walk of the graph with what candle \
itself adds up there, everything else is candle's own operators in the forward pass, and the rest.";

/// Show which operators the time goes into
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to look at, as in bench
    #[arg(value_enum)]
    work: Kind,

    /// Also write a timeline of every operator and phase in Chrome's trace format
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// A row for every shape of an operator's result
    #[arg(long)]
    shapes: bool,

    /// Calls to look at, or runs of 16 training steps
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,

    #[command(flatten)]
    network: NetworkArgs,
}

impl Args {
    /// The spans that the command wants to know of.
    pub fn spans(&self) -> &'static [&'static str] {
        &[OPERATORS[0], OPERATORS[1], PHASES]
    }
}

/// Runs `profile`.
pub fn run(args: &Args, recorder: &Recorder, terminal: &Terminal) -> Result<()> {
    ensure!(args.runs > 0, "--runs 0: must be at least 1");
    let config = args.network.config(args.work)?;
    // Before the work: a path that can't be written to would waste it.
    let replaces = args.trace.as_ref().is_some_and(|path| path.exists());
    let trace = match &args.trace {
        Some(path) => {
            let file = File::create(path)
                .with_context(|| format!("--trace {}: cannot write the file", path.display()))?;
            Some((path, BufWriter::new(file)))
        }
        None => None,
    };
    let mut work = work::new(args.work, &config, &Device::Cpu, PrecisionChoice::F32)?;
    work.warm_up()?;
    recorder.take();
    let start = Instant::now();
    for _ in 0..args.runs {
        work.run()?;
    }
    let total = start.elapsed().as_secs_f64();
    let spans = recorder.take();
    print_result(Profile {
        setting: &Setting::new(args.work, &config, DeviceChoice::Cpu),
        calls: args.runs * work.calls(),
        total,
        spans: &spans,
        by_shape: args.shapes,
    })?;
    if let Some((path, file)) = trace {
        trace::write(&spans, file)
            .with_context(|| format!("--trace {}: cannot write the file", path.display()))?;
        terminal.line(&format!(
            "timeline: {} (open it at https://ui.perfetto.dev)",
            path.display()
        ));
        if replaces {
            terminal.line("note: replaced the file that was there before");
        }
    }
    Ok(())
}
