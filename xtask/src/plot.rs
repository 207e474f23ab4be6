//! `plot`: the curves of training runs as a picture.

mod axis;
mod chart;
mod stats;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::print_result;
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  One run, also while it is training:
    cargo xtask plot runs/00000-portraits-auto-batch16
  Compare runs:
    cargo xtask plot runs/00000-* runs/00001-* --out compared.svg

Open the file in a web browser. The scores of reals and fakes should stay some units apart, and
neither run away. No curve says how good the pictures are: look at fakes*.png, or use
cargo xtask metrics.";

/// Draw losses, scores, penalties and speed of training runs as an SVG picture
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Run folders to draw together, up to 6
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// File to write
    #[arg(long, value_name = "FILE.svg", default_value = "curves.svg")]
    out: PathBuf,
}

/// Runs `plot`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let most = chart::HUES.len();
    ensure!(
        args.runs.len() <= most,
        "{} runs are too many to tell apart; give {most} at most",
        args.runs.len()
    );
    let svg = chart::draw(&stats::read(&args.runs)?)?;
    let replaced = args.out.exists();
    fs::write(&args.out, svg).with_context(|| format!("--out {}", args.out.display()))?;
    if replaced {
        terminal.line("note: replaced the picture that was there before");
    }
    print_result(args.out.display())
}
