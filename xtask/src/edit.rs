//! `edit`: directions in the latent space, found, saved and applied.

mod apply;
mod boundary;
mod chosen;
mod factorize;
mod labels;
mod pca;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use candle_core::{DType, Tensor};
use stylegan_edit::{Direction, Directions, EditError, NetworkKind, WStatistics};
use stylegan_mapping::latents;

use crate::files::{self, check_file};
use crate::pictures::{Trained, TrainedArgs};
use crate::progress::Terminal;
use crate::styles::{Styles, all_layers};

pub use chosen::{Chosen, DirectionArgs, UnitArg};

const EXAMPLES: &str = "\
Examples:
  What changes the styles of the coarse layers the most (SeFa), and strips of it:
    cargo xtask edit factorize --network ffhq.pkl --layers coarse \\
        --out sefa.safetensors
    cargo xtask edit apply --network ffhq.pkl --directions sefa.safetensors \\
        --seeds 0-3
  Where the latents vary the most (GANSpace):
    cargo xtask edit pca --network ffhq.pkl --out pca.safetensors
  From one class of labelled latents to the other (InterFaceGAN):
    cargo xtask edit boundary --network ffhq.pkl --labels smiles.csv \\
        --out smile.safetensors";

/// Find directions of change in a network, and edit pictures along them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Factorize(factorize::Args),
    Pca(pca::Args),
    Boundary(boundary::Args),
    Apply(Box<apply::Args>),
}

/// Runs `edit`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    match &args.command {
        Command::Factorize(args) => factorize::run(args, terminal),
        Command::Pca(args) => pca::run(args, terminal),
        Command::Boundary(args) => boundary::run(args, terminal),
        Command::Apply(args) => apply::run(args, terminal),
    }
}

/// What the commands share that find several directions at once.
#[derive(Debug, clap::Args)]
struct FoundArgs {
    /// File for the directions, a safetensors file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// How many directions, the strongest first
    #[arg(long, value_name = "N", default_value_t = 10)]
    count: usize,

    /// Latents that are sampled to learn how far w spreads, those of the seeds from 0 on; of networks with labels
    /// those of all classes in turn, or of --class
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    samples: u32,

    /// Layers that the directions are for, which edit apply changes unless told otherwise: coarse, middle, fine,
    /// several of them such as coarse,middle, or numbers of layers such as 0-5 [default: all]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<Styles>,

    #[command(flatten)]
    trained: TrainedArgs,
}

impl FoundArgs {
    /// The network and the layers, once it is known that there is a place for the file.
    fn open(&self, terminal: &Terminal) -> Result<(Trained, Vec<usize>)> {
        check_file("--out", &self.out)?;
        let trained = self.trained.open("edit", terminal)?;
        let layers = chosen_layers(self.layers.as_ref(), &trained)?;
        Ok((trained, layers))
    }

    /// Writes what was found in a network.
    fn write(&self, found: Vec<Direction>, trained: &Trained, terminal: &Terminal) -> Result<()> {
        let kind = NetworkKind::of(&trained.generator.config);
        write(&Directions::new(kind, found)?, &self.out, terminal)
    }
}

/// Names the option that is wrong.
fn with_option(error: EditError) -> anyhow::Error {
    match error {
        EditError::Count { count, w_dim } => {
            anyhow!("--count {count}: w has {w_dim} dimensions; ask for 1 to {w_dim}")
        }
        error => error.into(),
    }
}

/// The layers that an option names, or all.
fn chosen_layers(styles: Option<&Styles>, trained: &Trained) -> Result<Vec<usize>> {
    let synthesis = trained.generator.network.synthesis();
    match styles {
        Some(styles) => styles.layers("--layers", synthesis),
        None => Ok(all_layers(synthesis)),
    }
}

/// How the w of the seeds from 0 on are spread.
pub fn w_statistics(trained: &Trained, samples: u32, terminal: &Terminal) -> Result<WStatistics> {
    const BATCH: usize = 256;
    ensure!(
        (2..=10_000_000).contains(&samples),
        "--samples {samples}: must be from 2 to 10000000"
    );
    let config = &trained.generator.config;
    let mut statistics = WStatistics::new(config.w_dim());
    let seeds: Vec<u32> = (0..samples).collect();
    let bar = terminal.bar(seeds.len().div_ceil(BATCH), "batches of latents");
    for seeds in seeds.chunks(BATCH) {
        let z = latents::from_seeds(seeds, config.z_dim, &trained.device)?;
        let labels = labels(trained, seeds)?;
        let mapping = trained.generator.network.mapping();
        statistics.push(&mapping.forward(Some(&z), labels.as_ref())?)?;
        bar.advance();
    }
    Ok(statistics)
}

/// The label of every seed, `[N, c_dim]`: the chosen class, or else all classes in turn.
fn labels(trained: &Trained, seeds: &[u32]) -> Result<Option<Tensor>> {
    let classes = trained.generator.config.c_dim;
    if classes == 0 || trained.class().is_some() {
        let label = trained.label()?;
        return match label {
            Some(label) => Ok(Some(label.repeat((seeds.len(), 1))?)),
            None => Ok(None),
        };
    }
    let one_hot = Tensor::eye(classes, DType::F32, &trained.device)?;
    let turns: Vec<u32> = seeds.iter().map(|seed| seed % classes as u32).collect();
    let turns = Tensor::new(turns, &trained.device)?;
    Ok(Some(one_hot.index_select(&turns, 0)?))
}

/// Writes the file of directions.
fn write(directions: &Directions, path: &Path, terminal: &Terminal) -> Result<()> {
    files::write(path, terminal, |path| Ok(directions.write(path)?))
}

/// `12.3 %`
fn percent(share: f64) -> String {
    format!("{:.1} %", 100. * share)
}
