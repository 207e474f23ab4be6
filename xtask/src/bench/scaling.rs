//! `bench scaling`: how cost grows with resolution, batch and threads.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use stylegan_trainer::config::TrainingConfig;

use super::work::{Kind, NetworkArgs};
use crate::print_result;

const EXAMPLES: &str = "\
Examples:
  Pictures of several sizes, several at a time, and on one thread and two:
    cargo xtask bench scaling generate --threads 2
  Training steps at two resolutions only, as a line of JSON each:
    cargo xtask bench scaling train-step --resolutions 32,64 --batches 16 \\
        --json

Each number is changed by itself; the others are those of bench generate or bench train-step with \
the same options. Every measurement has a process, and so its memory, to itself.";

/// Measure how cost grows with resolution, batch and threads
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to measure, as in bench
    #[arg(value_enum)]
    work: Kind,

    /// Resolutions to measure, separated by commas [default: 32,64,128,256,512 for generate, 16,32,64 for
    /// train-step]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    resolutions: Vec<usize>,

    /// Batches to measure, separated by commas [default: 1,2,4,8 for generate, 4,8,16,32 for train-step]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    batches: Vec<usize>,

    /// Numbers of threads to measure, separated by commas [default: from 1 to that of --threads]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    thread_counts: Vec<usize>,

    /// Runs of each [default: 5 calls for generate, 1 run of 16 steps for train-step]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,

    /// Print a line of JSON for each measurement instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    network: NetworkArgs,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    resolution: usize,
    batch: usize,
    threads: usize,
}

/// Runs `bench scaling`.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.runs != Some(0), "--runs 0: must be at least 1");
    let mut args = args.clone();
    let config = args.network.config(args.work)?;
    // The same widths at every resolution.
    let channel_base = config.generator.synthesis.channel_base;
    args.network.channel_base.get_or_insert(channel_base);
    let points = args.points(&config)?;
    if !args.json {
        print_result("resolution  batch  threads  seconds  pictures/s  GFLOP/s  peak memory")?;
    }
    for point in points {
        let line = args.measure(point)?;
        if args.json {
            print_result(line)?;
            continue;
        }
        let value: Value = serde_json::from_str(&line).context("bench printed no JSON")?;
        let number = |field: &str| value[field].as_f64().unwrap_or(f64::NAN);
        print_result(format!(
            "{:10}  {:5}  {:7}  {:7.4}  {:10.2}  {:7.1}  {:7.2} GiB",
            point.resolution,
            point.batch,
            point.threads,
            number("median_seconds"),
            number("images_per_second"),
            number("gflops"),
            number("peak_memory_bytes") / (1u64 << 30) as f64
        ))?;
    }
    Ok(())
}

impl Args {
    /// The point that the options of the network describe, and those beside it, each once.
    fn points(&self, config: &TrainingConfig) -> Result<Vec<Point>> {
        let base = Point {
            resolution: config.generator.synthesis.img_resolution,
            batch: config.batch,
            threads: rayon::current_num_threads(),
        };
        let or = |given: &[usize], default: &[usize]| match given.is_empty() {
            true => default.to_vec(),
            false => given.to_vec(),
        };
        let (resolutions, batches): (&[usize], &[usize]) = match self.work {
            Kind::Generate => (&[32, 64, 128, 256, 512], &[1, 2, 4, 8]),
            Kind::TrainStep => (&[16, 32, 64], &[4, 8, 16, 32]),
        };
        let all_threads: Vec<usize> = (1..=base.threads).collect();
        let resolutions = or(&self.resolutions, resolutions);
        let batches = or(&self.batches, batches);
        let thread_counts = or(&self.thread_counts, &all_threads);
        ensure!(
            !thread_counts.contains(&0),
            "--thread-counts 0: must be at least 1"
        );
        let points = (resolutions
            .into_iter()
            .map(|resolution| Point { resolution, ..base }))
        .chain(batches.into_iter().map(|batch| Point { batch, ..base }))
        .chain(
            thread_counts
                .into_iter()
                .map(|threads| Point { threads, ..base }),
        );
        let mut distinct = Vec::new();
        for point in points {
            let config = NetworkArgs {
                resolution: Some(point.resolution),
                batch: Some(point.batch),
                ..self.network.clone()
            };
            // A number that is out of range is an error before anything is measured.
            config.config(self.work)?;
            if !distinct.contains(&point) {
                distinct.push(point);
            }
        }
        Ok(distinct)
    }

    /// The line of JSON that `bench` prints.
    fn measure(&self, point: Point) -> Result<String> {
        let runs = match self.work {
            Kind::Generate => 5,
            Kind::TrainStep => 1,
        };
        let NetworkArgs {
            resolution: _,
            channel_base,
            channel_max,
            z_dim,
            w_dim,
            mapping_layers,
            batch: _,
        } = self.network;
        let numbers = [
            ("--resolution", Some(point.resolution)),
            ("--batch", Some(point.batch)),
            ("--threads", Some(point.threads)),
            ("--runs", Some(self.runs.unwrap_or(runs))),
            ("--channel-base", channel_base),
            ("--channel-max", channel_max),
            ("--z-dim", z_dim),
            ("--w-dim", w_dim),
            ("--mapping-layers", mapping_layers),
        ];
        let program = env::current_exe().context("cannot tell where this program is")?;
        let mut bench = Command::new(&program);
        bench.args(["bench", &self.work.to_string(), "--json"]);
        for (option, value) in numbers {
            if let Some(value) = value {
                bench.args([option, &value.to_string()]);
            }
        }
        let output = bench
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let message = message.trim();
            bail!("{}", message.strip_prefix("error: ").unwrap_or(message));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
    }
}
