//! `generate`: pictures from a trained network.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use stylegan_data::grid;

use crate::pictures::{NetworkArgs, PictureFolder};
use crate::progress::Terminal;
use crate::seeds::{GridSize, Seeds};

const EXAMPLES: &str = "\
Example:
  cargo xtask generate --network runs/00000-portraits-auto-batch16 --seeds 0-15,85 --trunc 0.7 \\
      --outdir out --grid 6x3

Every picture is written as seedNNNN.png, the grid as grid.png. The same seed gives the same latent
as the public StyleGAN tools. Existing pictures of these names are replaced.";

/// Make pictures with a trained ProGAN, StyleGAN or StyleGAN2
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Numbers and ranges, one picture each, such as 0-15,85
    #[arg(long, value_name = "LIST")]
    seeds: Seeds,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "out")]
    outdir: PathBuf,

    /// Also put all pictures into one, in columns and rows such as 8x4
    #[arg(long, value_name = "CxR")]
    grid: Option<GridSize>,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `generate`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let Seeds(seeds) = &args.seeds;
    if let Some(GridSize { cols, rows }) = args.grid {
        ensure!(
            seeds.len() <= cols * rows,
            "--grid {cols}x{rows}: has room for {}, but there are {} seeds",
            cols * rows,
            seeds.len()
        );
    }
    let maker = args.network.open("generate", terminal)?;
    let mut folder = PictureFolder::create(&args.outdir)?;
    let mut images = Vec::new();
    for &seed in seeds {
        let image = maker.picture(&maker.ws(seed)?, seed)?;
        let name = format!("seed{seed:04}.png");
        folder.save(&grid::to_image(&image, 1, 1)?, &name)?;
        if args.grid.is_some() {
            images.push(image);
        }
    }
    if let Some(GridSize { cols, rows }) = args.grid {
        let all = Tensor::cat(&images, 0)?;
        folder.save(&grid::to_image(&all, cols, rows)?, "grid.png")?;
    }
    folder.finish(terminal);
    Ok(())
}
