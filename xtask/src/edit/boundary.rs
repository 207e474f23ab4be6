//! `edit boundary`: a direction from labelled latents.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::Tensor;
use stylegan_edit::{
    BoundaryOptions, Direction, Directions, EditError, Method, NetworkKind, boundary, shared_w,
};

use super::chosen::read_directions;
use super::labels::{Labels, SEED};
use super::{chosen_layers, percent, write};
use crate::files::check_file;
use crate::pictures::{Latent, PictureMaker, Space, TrainedArgs, read_files};
use crate::print_result;
use crate::progress::Terminal;
use crate::styles::Styles;

const EXAMPLES: &str = "\
Examples:
  From a table of seeds and what their pictures show, with lines such as seed,smile and 17,1:
    cargo xtask edit boundary --network ffhq.pkl --labels smiles.csv \\
        --out smile.safetensors
  From scores of latents in a file, one line for each, so that age doesn't change with it:
    cargo xtask edit boundary --network ffhq.pkl --latents w.npz \\
        --labels scores.csv --column smile \\
        --orthogonal-to age.safetensors:age --out smile.safetensors
  Labels for a network of the built-in portraits:
    cargo xtask metrics factors --network runs/00000-portraits-auto-batch16 \\
        --seeds 0-1999 --out factors.csv

A column of two values has the two classes, the larger value being the one that the direction \
leads to; of other numbers the highest and the lowest are taken. What is printed: the part of the \
latents that were left out of the fit (3 of 10) which the boundary puts on the right side, and \
what always guessing the commoner class would get right (chance).";

/// Find the direction from one class of labelled latents to the other (InterFaceGAN)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Labels: a table (CSV) whose first line names the columns, one of them seed unless there are --latents; or an
    /// array of an .npy, .npz or .safetensors file
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,

    /// Column or array of the labels [default: the only one]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// Files of the latents that the lines of --labels are about, in the place of seeds: .npz, .npy or
    /// .safetensors, z [N, z_dim] or w [N, w_dim]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    latents: Vec<PathBuf>,

    /// What the latents of the files are where it doesn't show
    #[arg(long, value_name = "SPACE", requires = "latents")]
    latents_space: Option<Space>,

    /// Of labels that are scores, the share at each end that is taken for a class [default: 0.25]
    #[arg(long, value_name = "SHARE")]
    share: Option<f64>,

    /// Name of the direction [default: that of the column]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Directions that it must not change: files of them, or one each as FILE:NAME
    #[arg(long, value_name = "FILE[:NAME]", num_args = 1..)]
    orthogonal_to: Vec<String>,

    /// Layers that edit apply changes unless told otherwise: coarse, middle, fine, several of them such as
    /// coarse,middle, or numbers of layers such as 0-5 [default: all]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<Styles>,

    /// File for the direction, a safetensors file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Add it to the directions that are in the file already
    #[arg(long)]
    append: bool,

    #[command(flatten)]
    trained: TrainedArgs,
}

/// Runs `edit boundary`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    check_file("--out", &args.out)?;
    let labels = Labels::read(&args.labels, args.column.as_deref())?;
    let classes = labels.classes(args.share)?;
    let trained = args.trained.open("edit", terminal)?;
    let kind = NetworkKind::of(&trained.generator.config);
    let others = others(&args.orthogonal_to, kind)?;
    let mut list = match args.append {
        true => existing(args, kind)?,
        false => Vec::new(),
    };
    let layers = chosen_layers(args.layers.as_ref(), &trained)?;
    let maker = PictureMaker::plain(trained, terminal)?;
    let latents = latents(args, &labels, &maker)?;

    let mut ws = Vec::new();
    let mut sides = Vec::new();
    for (latent, class) in latents.iter().zip(classes) {
        if let Some(class) = class {
            ws.push(shared_w(&maker.ws(latent)?)?);
            sides.push(class);
        }
    }
    ensure!(!ws.is_empty(), "--labels: no latent is of either class");
    let name = args.name.clone().unwrap_or(labels.column);
    let options = BoundaryOptions {
        orthogonal_to: others.iter().collect(),
        ..BoundaryOptions::new(name, layers)
    };
    let found = boundary(&Tensor::cat(&ws, 0)?, &sides, &options);
    let found = found.map_err(|error| match error {
        EditError::OneSided { .. } => anyhow!("--labels {}: {error}", args.labels.display()),
        error => error.into(),
    })?;
    print_found(&found)?;
    list.push(found);
    write(&Directions::new(kind, list)?, &args.out, terminal)
}

fn print_found(found: &Direction) -> Result<()> {
    let (name, accuracy, chance, sigma) = ("direction", "right", "chance", "sigma");
    print_result(format_args!(
        "{name:<14} {accuracy:>8} {chance:>8} {sigma:>9}"
    ))?;
    let Method::Boundary {
        accuracy, chance, ..
    } = found.method
    else {
        return Ok(());
    };
    let (accuracy, chance) = (percent(accuracy), percent(chance));
    print_result(format_args!(
        "{:<14} {accuracy:>8} {chance:>8} {:>9.4}",
        found.name, found.sigma
    ))
}

/// The latents that the labels are about.
fn latents(args: &Args, labels: &Labels, maker: &PictureMaker) -> Result<Vec<Latent>> {
    let latents = match (&labels.seeds, &args.latents[..]) {
        (Some(seeds), []) => {
            let latents = seeds.iter().map(|&seed| Latent::from_seed(seed, maker));
            latents.collect::<Result<Vec<_>>>()?
        }
        (None, []) => bail!(
            "{}: expected a column {SEED}, or the latents that its lines are about with --latents",
            args.labels.display()
        ),
        (_, files) => read_files(files, args.latents_space, maker)?,
    };
    ensure!(
        latents.len() == labels.len(),
        "--labels {}: expected a line for each latent, {} in all, found {}",
        args.labels.display(),
        latents.len(),
        labels.len()
    );
    Ok(latents)
}

/// The directions of `--orthogonal-to`.
fn others(wanted: &[String], kind: NetworkKind) -> Result<Vec<Direction>> {
    let mut found = Vec::new();
    for wanted in wanted {
        let of_option = || format!("--orthogonal-to {wanted}");
        let (file, name) = match wanted.rsplit_once(':') {
            // A colon may also be part of the file's name.
            Some((file, name)) if !PathBuf::from(wanted).exists() => (file, Some(name)),
            _ => (&wanted[..], None),
        };
        let directions = read_directions("--orthogonal-to", Path::new(file))?;
        directions.check_network(kind).with_context(of_option)?;
        match name {
            Some(name) => found.push(directions.get(name).with_context(of_option)?.clone()),
            None => found.extend_from_slice(directions.list()),
        }
    }
    Ok(found)
}

/// What is in the file of `--append`.
fn existing(args: &Args, kind: NetworkKind) -> Result<Vec<Direction>> {
    let directions = read_directions("--append to", &args.out)?;
    let fits = directions.check_network(kind);
    fits.with_context(|| format!("--append to {}", args.out.display()))?;
    Ok(directions.list().to_vec())
}
