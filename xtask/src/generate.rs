//! `generate`: pictures from a trained network.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use candle_core::Tensor;

use crate::pictures::{FormatArg, LatentArgs, NetworkArgs, PictureFolder, SaveW, Shot};
use crate::progress::Terminal;
use crate::seeds::GridSize;

const EXAMPLES: &str = "\
Examples:
  Pictures of 17 seeds, and all of them in one:
    cargo xtask generate --network runs/00000-portraits-auto-batch16 \\
        --seeds 0-15,85 --trunc 0.7 --outdir out --grid 6x3
  The picture that a projection has found, as a JPEG:
    cargo xtask generate --network ffhq.pkl --latents projected.safetensors \\
        --format jpeg

Every picture is written as seedNNNN.png, of files as latentNNNN.png, the grid as grid.png. The \
same seed gives the same latent as the public StyleGAN tools. Existing pictures of these names are \
replaced.";

/// Make pictures with a trained ProGAN, StyleGAN or StyleGAN2
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    latents: LatentArgs,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "out")]
    outdir: PathBuf,

    #[command(flatten)]
    format: FormatArg,

    /// Also put all pictures into one, in columns and rows such as 8x4
    #[arg(long, value_name = "CxR")]
    grid: Option<GridSize>,

    #[command(flatten)]
    save_w: SaveW,

    #[command(flatten)]
    network: NetworkArgs,
}

impl Args {
    fn check_grid(&self, count: usize, what: &str) -> Result<()> {
        if let Some(GridSize { cols, rows }) = self.grid {
            ensure!(
                count <= cols * rows,
                "--grid {cols}x{rows}: has room for {}, but there are {count} {what}",
                cols * rows
            );
        }
        Ok(())
    }
}

/// Runs `generate`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    args.save_w.check()?;
    if let Some(count) = args.latents.seeds() {
        args.check_grid(count, "seeds")?;
    }
    let maker = args.network.open("generate", terminal)?;
    let latents = args.latents.read(&maker)?;
    args.check_grid(latents.len(), "latents")?;
    let ws = latents.iter().map(|latent| maker.ws(latent));
    let ws: Vec<Tensor> = ws.collect::<Result<_>>()?;
    let mut grid = match args.grid {
        Some(GridSize { cols, rows }) => Some(maker.sheet(cols, rows)?),
        None => None,
    };
    let mut folder = PictureFolder::create(&args.outdir, args.format)?;
    let shot = |number: usize| {
        Ok(Shot {
            ws: ws[number].clone(),
            noise: latents[number].noise.clone(),
        })
    };
    maker.pictures(ws.len(), shot, |number, picture| {
        folder.save(&picture, &latents[number].name)?;
        match &mut grid {
            Some(grid) => Ok(grid.push(&picture)?),
            None => Ok(()),
        }
    })?;
    if let Some(grid) = grid {
        folder.save(&grid.into_image(), "grid")?;
    }
    folder.finish(terminal);
    args.save_w.write(&ws, terminal)
}
