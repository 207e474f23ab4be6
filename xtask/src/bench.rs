//! `bench`: how fast this machine makes pictures and trains.

mod ceilings;
mod operations;
mod peers;
mod scaling;
pub mod summary;
pub mod work;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use stylegan_trainer::MemoryMeter;

use crate::device::DeviceChoice;
use crate::files::{self, check_file};
use crate::precision::PrecisionChoice;
use crate::print_result;
use crate::progress::Terminal;
use crate::spans::{PHASES, Recorder};
use summary::{Phases, Setting, Summary};
use work::{Kind, NetworkArgs};

const GENERATE_EXAMPLES: &str = "\
Examples:
  A picture of 256x256 pixels at a time:
    cargo xtask bench generate --resolution 256
  Eight at a time on two threads, as numbers for a program:
    cargo xtask bench generate --resolution 256 --batch 8 --threads 2 --json

The network is new, because its time doesn't depend on what it has learned. It makes pictures from \
latents with constant noise, not truncated. GFLOP/s are of the direct form of its convolutions. \
Close other programs first: they take cores and memory bandwidth away.";

const TRAIN_STEP_EXAMPLES: &str = "\
Example:
  cargo xtask bench train-step --resolution 32 --channel-base 8192 \\
      --channel-max 256 --batch 16

A run is 16 steps: each has Gmain and Dmain, four have path length regularization (Greg), and one \
has R1 (Dreg). All times are of one step on average. The pictures are the same in every step. \
Close other programs first: they take cores and memory bandwidth away.";

/// Measure how fast this machine makes pictures and trains
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Generate(GenerateArgs),
    TrainStep(TrainStepArgs),
    Scaling(scaling::Args),
    Ceilings(ceilings::Args),
    Peers(peers::Args),
}

/// Time a StyleGAN2 that makes pictures
#[derive(Debug, clap::Args)]
#[command(after_help = GENERATE_EXAMPLES)]
struct GenerateArgs {
    /// Calls to time
    #[arg(long, value_name = "N", default_value_t = 10)]
    runs: usize,

    /// Calls before the first that is timed
    #[arg(long, value_name = "N", default_value_t = 2)]
    warmup: usize,

    /// Numbers that 3x3 convolutions multiply, as in generate
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: PrecisionChoice,

    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Time the training of a StyleGAN2
#[derive(Debug, clap::Args)]
#[command(after_help = TRAIN_STEP_EXAMPLES)]
struct TrainStepArgs {
    /// Runs of 16 steps to time
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,

    /// Steps before the first that is timed
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,

    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Where to compute, and what is written.
#[derive(Debug, clap::Args)]
struct MeasureArgs {
    /// Where to compute: cpu, cuda, cuda:N or metal; peak memory is always that of the program, not of a GPU
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,

    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Also write parameters, inputs and results to a safetensors file, to compare another program with
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl Args {
    /// The spans that the command wants to know of.
    pub fn spans(&self) -> &'static [&'static str] {
        match self.command {
            Command::TrainStep(_) => &[PHASES],
            _ => &[],
        }
    }
}

/// Runs `bench`.
pub fn run(args: &Args, recorder: &Recorder, terminal: &Terminal) -> Result<()> {
    match &args.command {
        Command::Generate(args) => {
            let repeats = Repeats::new(args.runs, args.warmup)?;
            measure(
                Kind::Generate,
                &args.network,
                args.precision,
                repeats,
                &args.measure,
                recorder,
                terminal,
            )
        }
        Command::TrainStep(args) => {
            let repeats = Repeats::new(args.runs, args.warmup)?;
            measure(
                Kind::TrainStep,
                &args.network,
                PrecisionChoice::F32,
                repeats,
                &args.measure,
                recorder,
                terminal,
            )
        }
        Command::Scaling(args) => scaling::run(args),
        Command::Ceilings(args) => ceilings::run(args),
        Command::Peers(args) => peers::run(args, terminal),
    }
}

/// How often work is done.
#[derive(Debug, Clone, Copy)]
struct Repeats {
    runs: usize,
    warmup: usize,
}

impl Repeats {
    fn new(runs: usize, warmup: usize) -> Result<Self> {
        ensure!(runs > 0, "--runs 0: must be at least 1");
        Ok(Self { runs, warmup })
    }
}

fn measure(
    kind: Kind,
    network: &NetworkArgs,
    precision: PrecisionChoice,
    repeats: Repeats,
    args: &MeasureArgs,
    recorder: &Recorder,
    terminal: &Terminal,
) -> Result<()> {
    let config = network.config(kind)?;
    let device = args.device.open("bench")?;
    if let Some(path) = &args.export {
        check_file("--export", path)?;
    }
    let mut work = work::new(kind, &config, &device, precision)?;
    if let Some(path) = &args.export {
        files::replace(path, terminal, |path| work.export(path))?;
    }
    for _ in 0..repeats.warmup {
        work.warm_up()?;
    }
    device.synchronize()?;
    recorder.take();
    let mut runs = Vec::with_capacity(repeats.runs);
    for _ in 0..repeats.runs {
        let start = Instant::now();
        work.run()?;
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64() / work.calls() as f64;
        runs.push((seconds, Phases::new(&recorder.take(), work.calls())));
    }
    let setting = Setting::new(kind, &config, args.device).with_precision(precision);
    let peak_memory = MemoryMeter::default().peak_bytes();
    let summary = Summary::new(setting, runs, work.operations(), peak_memory);
    match args.json {
        true => print_result(serde_json::to_string(&summary)?),
        false => print_result(summary),
    }
}
