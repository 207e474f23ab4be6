//! `metrics factors`: factors of portraits, read off generated pictures.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use stylegan_metrics::FactorReader;
use stylegan_synthesis::SynthesisConfig;

use crate::files::{self, check_file};
use crate::pictures::{Latent, PictureMaker, Shot, TrainedArgs};
use crate::progress::Terminal;
use crate::seeds::Seeds;

/// Portraits that the reading is fitted to, and others that it is measured with.
const FITTED: usize = 4096;
const HELD_OUT: usize = 1024;

const EXAMPLES: &str = "\
Example:
  cargo xtask metrics factors --network runs/00000-portraits-auto-batch16 \\
      --seeds 0-1999 --out factors.csv
  cargo xtask edit boundary --network runs/00000-portraits-auto-batch16 \\
      --labels factors.csv --column skin-dark --out skin.safetensors

Every line is about the picture of a seed, without truncation. A factor counts from the mean of \
the portraits in their standard deviations: 0 is a common value, 2 a rare one. Factors are read by \
a ridge regression of the picture's pixels at 16x16 that was fitted to drawn portraits; those are \
left out of which it gets less than half of the variance right.";

/// Read the factors of the built-in portraits off the pictures of a network that was trained on them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Seeds of the pictures
    #[arg(long, value_name = "LIST", default_value = "0-1999")]
    seeds: Seeds,

    /// File for the table, with a line for each seed (CSV)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    trained: TrainedArgs,
}

/// Runs `metrics factors`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    check_file("--out", &args.out)?;
    let trained = args.trained.open("metrics", terminal)?;
    // Before the reading is fitted, which takes a while.
    trained.label()?;
    let maker = PictureMaker::plain(trained, terminal)?;
    let reader = reader(maker.synthesis().config(), terminal)?;
    let Seeds(seeds) = &args.seeds;
    let shot = |number: usize| {
        let latent = Latent::from_seed(seeds[number], &maker)?;
        Ok(Shot {
            ws: maker.ws(&latent)?,
            noise: latent.noise.clone(),
        })
    };
    let rows = read(&maker, &reader, seeds.len(), shot)?;
    let reliable = reliable(&reader);
    let mut table = csv::Writer::from_writer(Vec::new());
    let names = reliable.iter().map(|&column| reader.factors()[column].name);
    table.write_record(std::iter::once("seed").chain(names))?;
    for (seed, row) in seeds.iter().zip(&rows) {
        let values = reliable.iter().map(|&column| format!("{:.4}", row[column]));
        table.write_record(std::iter::once(seed.to_string()).chain(values))?;
    }
    let table = table.into_inner().map_err(|error| error.into_error())?;
    files::write(&args.out, terminal, |path| {
        std::fs::write(path, table).with_context(|| format!("--out {}", path.display()))
    })
}

/// A reader for the pictures of a network.
pub fn reader(config: &SynthesisConfig, terminal: &Terminal) -> Result<FactorReader> {
    ensure!(
        config.img_channels == 3,
        "expected a network of colour pictures, as portraits are, found one of {} channels",
        config.img_channels
    );
    let side = config.img_resolution;
    terminal.line(&format!(
        "reading: fitted to {FITTED} portraits of {side}x{side}, measured on {HELD_OUT} others"
    ));
    Ok(FactorReader::fit(side, FITTED, HELD_OUT)?)
}

/// The columns of the factors that are read well enough.
pub fn reliable(reader: &FactorReader) -> Vec<usize> {
    let numbered = reader.factors().iter().enumerate();
    let reliable = numbered.filter(|(_, factor)| factor.is_reliable());
    reliable.map(|(column, _)| column).collect()
}

/// The factors of pictures, a row for each.
pub fn read(
    maker: &PictureMaker,
    reader: &FactorReader,
    count: usize,
    shot: impl Fn(usize) -> Result<Shot>,
) -> Result<Vec<Vec<f64>>> {
    let mut rows = Vec::with_capacity(count);
    maker.tensors(count, shot, |_, image| {
        rows.extend(reader.read(image)?);
        Ok(())
    })?;
    Ok(rows)
}
