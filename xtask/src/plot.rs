//! `plot`: numbers as a picture, the curves of training runs or what is measured of networks.

mod axis;
mod canvas;
mod chart;
mod feature_maps;
mod stats;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files::{self, check_file};
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  One run, also while it is training:
    cargo xtask plot runs/00000-portraits-auto-batch16
  Compare runs:
    cargo xtask plot runs/00000-* runs/00001-* --out compared.svg
  What metrics feature-maps has measured:
    cargo xtask plot feature-maps stylegan1.json stylegan2.json

Open the file in a web browser. The scores of reals and fakes should stay some units apart, and \
neither run away. No curve says how good the pictures are: look at fakes*.png, or use cargo xtask \
metrics.";

const FEATURE_MAPS_EXAMPLES: &str = "\
Example:
  cargo xtask plot feature-maps stylegan1.json stylegan2.json \\
      --out feature-maps.svg

Lines are medians over channels, bands the middle half of the channels; wide lines are before \
normalisation, thin ones after it, and grey ones the highest peak that is possible. cargo xtask \
metrics feature-maps --help says what is measured.";

/// Draw the curves of training runs, or what is measured of feature maps, as an SVG picture
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    figure: Option<Figure>,

    /// Run folders to draw together, up to 6
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// File to write
    #[arg(long, value_name = "FILE.svg", default_value = "curves.svg")]
    out: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Figure {
    FeatureMaps(FeatureMapsArgs),
}

/// Draw what metrics feature-maps has measured, networks side by side
#[derive(Debug, clap::Args)]
#[command(after_help = FEATURE_MAPS_EXAMPLES)]
struct FeatureMapsArgs {
    /// Files of metrics feature-maps --out, up to 3
    #[arg(value_name = "FILE.json", required = true)]
    files: Vec<PathBuf>,

    /// File to write
    #[arg(long, value_name = "FILE.svg", default_value = "feature-maps.svg")]
    out: PathBuf,
}

/// Runs `plot`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    match &args.figure {
        None => {
            check_file("--out", &args.out)?;
            check_count("runs", args.runs.len(), canvas::HUES.len())?;
            args.runs.iter().try_for_each(|run| check_run(run))?;
            let svg = chart::draw(&stats::read(&args.runs)?)?;
            save(&svg, &args.out, terminal)
        }
        Some(Figure::FeatureMaps(args)) => {
            check_file("--out", &args.out)?;
            check_count("networks", args.files.len(), feature_maps::MOST_NETWORKS)?;
            let svg = feature_maps::draw(&feature_maps::read(&args.files)?)?;
            save(&svg, &args.out, terminal)
        }
    }
}

fn check_count(things: &str, count: usize, most: usize) -> Result<()> {
    ensure!(
        count <= most,
        "{count} {things} are too many to tell apart; give {most} at most"
    );
    Ok(())
}

/// Runs are folders; the other figure is made of files.
fn check_run(path: &Path) -> Result<()> {
    let is_json = path.extension().is_some_and(|it| it == "json");
    ensure!(
        !is_json || path.is_dir(),
        "{}: is not a run folder; draw files of metrics feature-maps with `cargo xtask plot feature-maps`",
        path.display()
    );
    Ok(())
}

fn save(svg: &str, out: &Path, terminal: &Terminal) -> Result<()> {
    files::write(out, terminal, |out| {
        fs::write(out, svg).with_context(|| format!("--out {}", out.display()))
    })
}
