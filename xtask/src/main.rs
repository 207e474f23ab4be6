//! The command line of stylegan-rs: `cargo xtask train`, `generate`, `style-mixing`, `interpolate`,
//! `truncation`, `latent-grid`, `project`, `edit`, `blend`, `metrics`, `plot`, `inspect`, `convert`, `bench`
//! and `profile`.
//!
//! Logs go to standard error, results (paths of what was written) to standard output.

mod bench;
mod blend;
mod convert;
mod device;
mod edit;
mod files;
mod generate;
mod inspect;
mod interpolate;
mod interrupt;
mod latent_grid;
mod metrics;
mod network;
mod pictures;
mod plot;
mod precision;
mod process;
mod profile;
mod progress;
mod project;
mod seeds;
mod spans;
mod steps;
mod style_mixing;
mod styles;
mod train;
mod truncation;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::num::{IntErrorKind, NonZero, ParseFloatError, ParseIntError};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::{ContextKind, ErrorKind};
use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::progress::Terminal;
use crate::spans::Recorder;

/// Graphs of deep networks are freed recursively. Memory that is not touched costs nothing.
const STACK_BYTES: usize = 256 << 20;

/// Train ProGAN, StyleGAN and StyleGAN2 on your pictures, and make new ones with them.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Threads to compute with; results never depend on it [default: all cores]
    #[arg(long, value_name = "N", global = true)]
    threads: Option<usize>,

    /// Also log every step and what the libraries do
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Generate(generate::Args),
    StyleMixing(style_mixing::Args),
    Interpolate(Box<interpolate::Args>),
    Truncation(truncation::Args),
    LatentGrid(Box<latent_grid::Args>),
    Project(project::Args),
    Edit(edit::Args),
    Blend(blend::Args),
    Metrics(metrics::Args),
    Plot(plot::Args),
    Inspect(inspect::Args),
    Convert(convert::Args),
    Bench(bench::Args),
    Profile(profile::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| in_plain_words(error).exit());
    let threads = cli.threads.unwrap_or_else(cores);
    // SAFETY: reading the arguments starts no thread, and nothing else ran before.
    unsafe { process::tune(threads) };
    let terminal = Terminal::new();
    match run(&cli, threads, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.line(&format!("error: {}", with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// What libraries say of text that is no number isn't for users.
fn in_plain_words(error: clap::Error) -> clap::Error {
    let Some(expected) = error.source().and_then(expected_number) else {
        return error;
    };
    let part = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let [argument, value] = [ContextKind::InvalidArg, ContextKind::InvalidValue].map(part);
    let message = format!(
        "invalid value '{value}' for '{argument}': {expected}\n\nFor more information, try '--help'.\n"
    );
    clap::Error::raw(ErrorKind::ValueValidation, message)
}

/// What was expected where the standard library couldn't read a number.
fn expected_number(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<ParseFloatError>() {
        return Some("expected a number, such as 0.5");
    }
    match error.downcast_ref::<ParseIntError>()?.kind() {
        IntErrorKind::Empty | IntErrorKind::InvalidDigit => {
            Some("expected a whole number, 0 or more")
        }
        IntErrorKind::PosOverflow => Some("is more than this program counts to"),
        _ => None,
    }
}

fn run(cli: &Cli, threads: usize, terminal: &Terminal) -> Result<()> {
    let level = if cli.verbose {
        LevelFilter::DEBUG
    } else {
        LevelFilter::WARN
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(terminal.clone())
        .with_ansi(has_colours())
        .without_time()
        .with_target(cli.verbose)
        .with_filter(level);
    let recorder = Recorder::new();
    let targets = match &cli.command {
        Command::Bench(args) => args.spans(),
        Command::Profile(args) => args.spans(),
        _ => &[],
    };
    tracing_subscriber::registry()
        .with(log)
        .with(recorder.listen(targets))
        .init();
    tracing::debug!(purge_delay = process::purge_delay(), "allocator");
    start_threads(threads)?;
    // On a thread of the pool: it has the stack that deep graphs want, and an operator that is called
    // there starts without waking another thread first.
    rayon::scope(|_| match &cli.command {
        Command::Train(args) => train::run(args, terminal),
        Command::Generate(args) => generate::run(args, terminal),
        Command::StyleMixing(args) => style_mixing::run(args, terminal),
        Command::Interpolate(args) => interpolate::run(args, terminal),
        Command::Truncation(args) => truncation::run(args, terminal),
        Command::LatentGrid(args) => latent_grid::run(args, terminal),
        Command::Project(args) => project::run(args, terminal),
        Command::Edit(args) => edit::run(args, terminal),
        Command::Blend(args) => blend::run(args, terminal),
        Command::Metrics(args) => metrics::run(args, terminal),
        Command::Plot(args) => plot::run(args, terminal),
        Command::Inspect(args) => inspect::run(args, terminal),
        Command::Convert(args) => convert::run(args, terminal),
        Command::Bench(args) => bench::run(args, &recorder, terminal),
        Command::Profile(args) => profile::run(args, &recorder, terminal),
    })
}

/// Whether standard error is a terminal, of a user who likes colours (<https://no-color.org>).
fn has_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !refused
}

/// The number of threads unless the user says otherwise: what `RAYON_NUM_THREADS` says, or one for each core.
fn cores() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|threads| threads.parse().ok());
    asked
        .filter(|&threads| threads > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Starts the threads that everything is computed on.
fn start_threads(threads: usize) -> Result<()> {
    anyhow::ensure!(threads > 0, "--threads 0: must be at least 1");
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .build_global()
        .with_context(|| format!("--threads {threads}: cannot start the threads"))
}

/// Writes a line to standard output.
fn print_result(line: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{line}") {
        // Whoever reads the results has seen enough of them.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// The error and its causes on one line; many libraries' messages already contain their cause.
fn with_causes(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message += &format!(": {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests;
