//! `edit apply`: strips of pictures along directions.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Tensor;
use stylegan_data::grid::Sheet;
use stylegan_edit::{Direction, Unit};

use super::{DirectionArgs, UnitArg};
use crate::pictures::{
    FormatArg, Latent, LatentArgs, NetworkArgs, PictureFolder, PictureMaker, SaveW, Shot,
};
use crate::progress::Terminal;
use crate::steps::Steps;

const EXAMPLES: &str = "\
Examples:
  A strip for each direction of a file, a row for each seed, from -3 to 3 standard deviations:
    cargo xtask edit apply --network ffhq.pkl --directions sefa.safetensors \\
        --seeds 0-3 --trunc 0.7
  One direction, only in the coarse layers, of a picture that was projected:
    cargo xtask edit apply --network ffhq.pkl --directions sefa.safetensors \\
        --only sefa2 --layers coarse --strengths -5:5:11 \\
        --latents projected_w.npz
  All directions under each other, a picture for each seed:
    cargo xtask edit apply --network ffhq.pkl --directions pca.safetensors \\
        --seeds 0-3 --rows directions

The strips are named after their directions, or with --rows directions after their latents. A \
latent is edited after truncation, by strength * unit * direction in every chosen layer. --save-w \
keeps all edited latents, row by row, so that generate or another edit can go on from there.";

/// Edit pictures along saved directions: strips of rising strengths
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    directions: DirectionArgs,

    /// Strengths from the left to the right: FROM:TO:COUNT, or numbers such as -2,0,2
    #[arg(
        long,
        value_name = "LIST",
        default_value = "-3:3:7",
        allow_hyphen_values = true
    )]
    strengths: Steps,

    /// What a strength of 1 is
    #[arg(long, value_name = "UNIT", default_value = "sigma")]
    unit: UnitArg,

    /// What the rows of a strip are
    #[arg(long, value_name = "ROWS", default_value = "latents")]
    rows: Rows,

    #[command(flatten)]
    latents: LatentArgs,

    /// Folder for the strips, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "edit")]
    outdir: PathBuf,

    #[command(flatten)]
    format: FormatArg,

    #[command(flatten)]
    save_w: SaveW,

    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rows {
    /// A strip for each direction
    Latents,
    /// A strip for each latent
    Directions,
}

/// Runs `edit apply`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    args.save_w.check()?;
    let directions = args.directions.read()?;
    let maker = args.network.open("edit", terminal)?;
    let directions = directions.for_network(maker.trained())?;
    let latents = args.latents.read(&maker)?;
    let rows = match args.rows {
        Rows::Latents => latents.len(),
        Rows::Directions => directions.len(),
    };
    // Before all the latents are edited.
    let blank = maker.sheet(args.strengths.0.len(), rows);
    let blank = blank.context("--strengths")?;
    let editor = Editor {
        maker: &maker,
        strengths: &args.strengths.0,
        unit: args.unit.into(),
        blank,
    };
    let strips = match args.rows {
        Rows::Latents => editor.by_direction(&directions, &latents)?,
        Rows::Directions => editor.by_latent(&directions, &latents)?,
    };
    let mut folder = PictureFolder::create(&args.outdir, args.format)?;
    editor.draw(&strips, &mut folder)?;
    folder.finish(terminal);
    let shots = strips.into_iter().flat_map(|strip| strip.shots);
    let ws: Vec<Tensor> = shots.map(|shot| shot.ws).collect();
    args.save_w.write(&ws, terminal)
}

/// Pictures that become one: rows of rising strengths.
struct Strip {
    name: String,
    shots: Vec<Shot>,
}

struct Editor<'a> {
    maker: &'a PictureMaker,
    strengths: &'a [f64],
    unit: Unit,
    /// A strip without pictures.
    blank: Sheet,
}

impl Editor<'_> {
    fn by_direction(&self, directions: &[Direction], latents: &[Latent]) -> Result<Vec<Strip>> {
        let strip = |direction: &Direction| {
            let mut shots = Vec::new();
            for latent in latents {
                shots.extend(self.row(direction, latent)?);
            }
            let name = direction.name.clone();
            Ok(Strip { name, shots })
        };
        directions.iter().map(strip).collect()
    }

    fn by_latent(&self, directions: &[Direction], latents: &[Latent]) -> Result<Vec<Strip>> {
        let strip = |latent: &Latent| {
            let mut shots = Vec::new();
            for direction in directions {
                shots.extend(self.row(direction, latent)?);
            }
            let name = latent.name.clone();
            Ok(Strip { name, shots })
        };
        latents.iter().map(strip).collect()
    }

    /// One latent at all strengths; noise stays its own.
    fn row(&self, direction: &Direction, latent: &Latent) -> Result<Vec<Shot>> {
        let ws = self.maker.ws(latent)?;
        let shot = |&strength: &f64| {
            Ok(Shot {
                ws: direction.apply(&ws, strength, self.unit, &direction.layers)?,
                noise: latent.noise.clone(),
            })
        };
        self.strengths.iter().map(shot).collect()
    }

    /// Makes and saves the strips, each as soon as it is complete; all have the same size.
    fn draw(&self, strips: &[Strip], folder: &mut PictureFolder) -> Result<()> {
        let per_strip = strips.first().map_or(0, |strip| strip.shots.len());
        let mut sheet = self.blank.clone();
        self.maker.pictures(
            strips.len() * per_strip,
            |number| Ok(strips[number / per_strip].shots[number % per_strip].clone()),
            |number, picture| {
                sheet.push(&picture)?;
                if (number + 1) % per_strip == 0 {
                    let complete = std::mem::replace(&mut sheet, self.blank.clone());
                    folder.save(&complete.into_image(), &strips[number / per_strip].name)?;
                }
                Ok(())
            },
        )
    }
}
