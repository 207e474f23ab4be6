//! `metrics`: numbers that say how good generated pictures are, and what a network does inside.

mod directions;
mod factors;
pub mod feature_maps;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use candle_core::{Device, Tensor};
use serde_json::json;
use stylegan_data::{DataError, Dataset, DatasetOptions};
use stylegan_mapping::latents;
use stylegan_metrics::{PictureSet, SlicedWasserstein, layout_distance, sliced_wasserstein};
use stylegan_synthesis::NoiseMode;
use stylegan_trainer::TrainedGenerator;

use crate::device::DeviceChoice;
use crate::network;
use crate::precision::PrecisionChoice;
use crate::print_result;
use crate::progress::Terminal;

/// Pictures that a network makes unless told otherwise.
const DEFAULT_FAKES: usize = 1000;

/// Pictures that a network makes at once.
const BATCH: usize = 16;

const SWD_EXAMPLES: &str = "\
Examples:
  How far the pictures of a network are from those that it learned from:
    cargo xtask metrics swd --reals pictures.zip \\
        --network runs/00000-pictures-auto-batch16
  Two folders, as numbers for a program:
    cargo xtask metrics swd --reals photos --fakes out --resolution 64 --json

Lower is better, 0 is perfect. There is a line for each size of detail: the finest says whether \
sharpness and texture are right, 16x16 whether the large shapes are; colours don't count there. \
The last line is for colours and their places in the picture, in steps of 0 to 255. Compare only \
numbers of the same resolution and the same number of pictures.";

/// Measure how good generated pictures are, and what a network does inside
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    metric: Metric,
}

#[derive(Debug, clap::Subcommand)]
enum Metric {
    Swd(SwdArgs),
    FeatureMaps(feature_maps::Args),
    Directions(directions::Args),
    Factors(factors::Args),
}

/// Sliced Wasserstein distance between real and generated pictures, as in the ProGAN paper
#[derive(Debug, clap::Args)]
#[command(after_help = SWD_EXAMPLES)]
struct SwdArgs {
    /// Folder (nested) or zip of real pictures, such as those of the training [default: built-in
    /// portraits]
    #[arg(long, value_name = "DIR|ZIP")]
    reals: Option<PathBuf>,

    /// Folder (nested) or zip of generated pictures
    #[arg(
        long,
        value_name = "DIR|ZIP",
        conflicts_with = "network",
        required_unless_present = "network"
    )]
    fakes: Option<PathBuf>,

    /// Network file to make the pictures with, a run folder for its newest one, or an https:// address: seeds
    /// from 0, no truncation, constant noise, and where it was trained with labels those of the reals
    #[arg(long, value_name = "FILE|RUN|URL")]
    network: Option<PathBuf>,

    /// Side of the pictures in pixels, a power of two from 8 to 1024; crops to a square and resizes
    /// [default: that of the pictures]
    #[arg(long, value_name = "PIXELS")]
    resolution: Option<usize>,

    /// Pictures of each set, evenly spread over it [default: as many as both have; 1000 with --network]
    #[arg(long, value_name = "N")]
    count: Option<usize>,

    /// Seed of the random places and directions
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Print one JSON object in place of lines
    #[arg(long)]
    json: bool,

    /// Where the network computes: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

/// Runs `metrics`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    match &args.metric {
        Metric::Swd(args) => swd(args, terminal),
        Metric::FeatureMaps(args) => feature_maps::run(args, terminal),
        Metric::Directions(args) => directions::run(args, terminal),
        Metric::Factors(args) => factors::run(args, terminal),
    }
}

fn swd(args: &SwdArgs, terminal: &Terminal) -> Result<()> {
    let [reals, fakes] = match (&args.fakes, &args.network) {
        (Some(fakes), _) => two_datasets(args, fakes, terminal)?,
        (None, Some(network)) => dataset_and_network(args, network, terminal)?,
        (None, None) => bail!("give --fakes or --network"),
    };
    let swd = sliced_wasserstein(&reals, &fakes, args.seed)?;
    let layout = layout_distance(&reals, &fakes, args.seed)?;
    if args.json {
        print_result(to_json(args, &reals, &swd, layout))
    } else {
        print_lines(&swd, layout)
    }
}

fn two_datasets(args: &SwdArgs, fakes: &Path, terminal: &Terminal) -> Result<[PictureSet; 2]> {
    let reals = open(args.reals.as_deref(), args.resolution, false)?;
    let fakes = open(Some(fakes), args.resolution, false)?;
    let available = reals.len().min(fakes.len());
    let count = count(args.count, available, available)?;
    terminal.line(&format!("reals: {}", described(&reals, count)));
    terminal.line(&format!("fakes: {}", described(&fakes, count)));
    Ok([
        PictureSet::from_dataset(&reals, count)?,
        PictureSet::from_dataset(&fakes, count)?,
    ])
}

fn dataset_and_network(
    args: &SwdArgs,
    network: &Path,
    terminal: &Terminal,
) -> Result<[PictureSet; 2]> {
    let device = args.device.open("metrics")?;
    let generator = network::load(network, &device, PrecisionChoice::F32, terminal)?;
    let own = generator.config.synthesis.img_resolution;
    let resolution = args.resolution.unwrap_or(own);
    ensure!(
        resolution <= own,
        "--resolution {resolution}: the network makes pictures of {own}x{own}; leave the option out"
    );
    let labelled = generator.config.c_dim > 0;
    let reals = open(args.reals.as_deref(), Some(resolution), labelled)?;
    let count = count(args.count, DEFAULT_FAKES, reals.len())?;
    terminal.line(&format!("reals: {}", described(&reals, count)));
    terminal.line(&format!(
        "fakes: seeds 0 to {} from {}",
        count - 1,
        network.display()
    ));
    let chosen = PictureSet::from_dataset(&reals, count)?;
    let fakes = generate(&generator, &reals, count, &device, terminal)?;
    Ok([chosen, fakes])
}

fn open(path: Option<&Path>, resolution: Option<usize>, cond: bool) -> Result<Dataset> {
    let opened = Dataset::open(&DatasetOptions {
        path: path.map(Path::to_path_buf),
        resolution,
        cond,
        ..DatasetOptions::default()
    });
    opened.map_err(|error| match error {
        DataError::InvalidResolution { .. } => anyhow!("--{error}"),
        error => error.into(),
    })
}

/// The number of pictures of each set, from `--count` or a default that may be more than there are.
fn count(wanted: Option<usize>, default: usize, available: usize) -> Result<usize> {
    match wanted {
        None => Ok(default.min(available)),
        Some(0) => bail!("--count 0: must be at least 1"),
        Some(wanted) if wanted > available => {
            bail!(
                "--count {wanted}: there are only {available} pictures to compare; use --count {available} or less"
            )
        }
        Some(wanted) => Ok(wanted),
    }
}

fn described(dataset: &Dataset, count: usize) -> String {
    let all = dataset.describe();
    if count < dataset.len() {
        format!("{count} of {all}")
    } else {
        all
    }
}

/// The pictures of seeds 0 to `count` - 1, at the size and with the labels of the reals.
fn generate(
    generator: &TrainedGenerator,
    reals: &Dataset,
    count: usize,
    device: &Device,
    terminal: &Terminal,
) -> Result<PictureSet> {
    let config = &generator.config;
    ensure!(
        config.c_dim == reals.label_dim(),
        "the network was trained with labels of {} values, those of the reals have {}; give the pictures that it was trained on",
        config.c_dim,
        reals.label_dim()
    );
    let mut fakes = PictureSet::new(config.synthesis.img_channels, reals.resolution())?;
    let bar = terminal.bar(count.div_ceil(BATCH), "batches of pictures");
    for first in (0..count).step_by(BATCH) {
        let numbers = first..count.min(first + BATCH);
        let seeds: Vec<u32> = numbers
            .clone()
            .map(u32::try_from)
            .collect::<Result<_, _>>()?;
        let z = latents::from_seeds(&seeds, config.z_dim, device)?;
        let labels = labels(reals, numbers.map(|i| i * reals.len() / count), device)?;
        let network = &generator.network;
        fakes.push(&network.forward(&z, labels.as_ref(), 1.0, None, &mut NoiseMode::Const)?)?;
        bar.advance();
    }
    Ok(fakes)
}

/// The labels of some of the reals, `[N, label_dim]`; `None` without labels.
fn labels(
    reals: &Dataset,
    indices: impl Iterator<Item = usize>,
    device: &Device,
) -> Result<Option<Tensor>> {
    let labels: Vec<Option<Vec<f32>>> = indices
        .map(|index| reals.label(index))
        .collect::<Result<_, _>>()?;
    let Some(labels) = labels.into_iter().collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    Ok(Some(Tensor::new(labels, device)?))
}

fn print_lines(swd: &SlicedWasserstein, layout: f64) -> Result<()> {
    for level in &swd.levels {
        let size = format!("{0}x{0}", level.side);
        print_result(format_args!("swd {size:<10} {:8.2}", level.distance))?;
    }
    print_result(format_args!("swd {:<10} {:8.2}", "mean", swd.mean()))?;
    print_result(format_args!("{:<14} {layout:8.2}", "layout"))
}

fn to_json(
    args: &SwdArgs,
    reals: &PictureSet,
    swd: &SlicedWasserstein,
    layout: f64,
) -> serde_json::Value {
    let levels: Vec<_> = (swd.levels.iter())
        .map(|level| json!({ "side": level.side, "swd": level.distance }))
        .collect();
    json!({
        "count": reals.len(),
        "resolution": reals.side(),
        "seed": args.seed,
        "levels": levels,
        "swd": swd.mean(),
        "layout": layout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_number_of_pictures_is_what_there_is_and_a_wish_must_be_met() {
        assert_eq!(count(None, 1000, 2000).unwrap(), 1000);
        assert_eq!(count(None, 1000, 200).unwrap(), 200);
        assert_eq!(count(Some(1500), 1000, 2000).unwrap(), 1500);
        let error = |wanted| count(Some(wanted), 1000, 20).unwrap_err().to_string();
        assert_eq!(error(0), "--count 0: must be at least 1");
        assert!(error(21).ends_with("only 20 pictures to compare; use --count 20 or less"));
    }
}
