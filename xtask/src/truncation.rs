//! `truncation`: what the truncation trick does.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use stylegan_mapping::{Truncation, truncate};

use crate::pictures::{
    FormatArg, Latent, LatentArgs, MakingArgs, PictureFolder, PictureMaker, Shot, TrainedArgs,
    check_cutoff,
};
use crate::progress::Terminal;
use crate::steps::Steps;

const EXAMPLES: &str = "\
Examples:
  From the opposite of two pictures over the average one to more than they are:
    cargo xtask truncation --network runs/00000-portraits-auto-batch16 \\
        --seeds 85,100
  The values that the StyleGAN paper shows, only in the coarse and middle layers:
    cargo xtask truncation --network ffhq.pkl --seeds 91,388 \\
        --psi 1,0.7,0.5,0,-0.5,-1 --trunc-cutoff 8

truncation.png has a row for each picture given and a column for each psi, from the left to the \
right. Every picture is also written as seedNNNN-psiPSI.png, of files as latentNNNN-psiPSI.png. \
Existing pictures of these names are replaced.";

/// Show pictures at every truncation, from the opposite of the average to beyond themselves
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    latents: LatentArgs,

    /// Truncations from the left to the right: FROM:TO:COUNT, or numbers such as 1,0.5,0
    #[arg(
        long,
        value_name = "LIST",
        default_value = "-1:1.5:11",
        allow_hyphen_values = true
    )]
    psi: Steps,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "truncation")]
    outdir: PathBuf,

    #[command(flatten)]
    format: FormatArg,

    #[command(flatten)]
    trained: TrainedArgs,

    /// Truncate only that many layers, counted from the coarsest, and leave the detail as it is
    /// [default: 8 for networks of --cfg stylegan1 and stylegan1-c to -f, else all]
    #[arg(long, value_name = "LAYERS", help_heading = "Network")]
    trunc_cutoff: Option<usize>,

    #[command(flatten)]
    making: MakingArgs,
}

/// Runs `truncation`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let Steps(psis) = &args.psi;
    let labels: Vec<String> = psis.iter().map(|&psi| label(psi)).collect();
    if let Some(twice) = (1..labels.len()).find(|&i| labels[..i].contains(&labels[i])) {
        bail!("--psi: {} is there twice", labels[twice])
    }
    let maker = open(args, terminal)?;
    let latents = args.latents.read(&maker)?;
    let ws = latents.iter().map(|latent| maker.ws(latent));
    let ws: Vec<Tensor> = ws.collect::<Result<_>>()?;
    let columns = psis.len();
    let mut sheet = maker.sheet(columns, ws.len()).context("--psi")?;
    let mut folder = PictureFolder::create(&args.outdir, args.format)?;
    let shot = |number: usize| {
        let (row, column) = (number / columns, number % columns);
        Ok(Shot {
            ws: truncated(&ws[row], psis[column], args, &maker)?,
            noise: latents[row].noise.clone(),
        })
    };
    maker.pictures(columns * ws.len(), shot, |number, picture| {
        let Latent { name, .. } = &latents[number / columns];
        folder.save(&picture, &format!("{name}-psi{}", labels[number % columns]))?;
        Ok(sheet.push(&picture)?)
    })?;
    folder.save(&sheet.into_image(), "truncation")?;
    folder.finish(terminal);
    Ok(())
}

/// The network, which must keep an average; nothing is truncated yet.
fn open(args: &Args, terminal: &Terminal) -> Result<PictureMaker> {
    let trained = args.making.open(&args.trained, "truncation", terminal)?;
    let config = &trained.generator.config;
    ensure!(
        config.mapping.w_avg,
        "the network keeps no average to truncate to, as ProGAN doesn't; give a StyleGAN or a StyleGAN2"
    );
    if let Some(layers) = args.trunc_cutoff {
        check_cutoff(layers, config)?;
    }
    args.making.maker(trained, Truncation::NONE, terminal)
}

fn truncated(ws: &Tensor, psi: f64, args: &Args, maker: &PictureMaker) -> Result<Tensor> {
    let generator = &maker.trained().generator;
    let w_avg = generator.network.mapping().w_avg();
    let w_avg = w_avg.context("the network keeps no average to truncate to")?;
    let cutoff = args.trunc_cutoff.or(generator.config.truncation().cutoff);
    Ok(truncate(ws, w_avg, psi, cutoff)?)
}

/// As short as it can be with at most four decimals.
fn label(psi: f64) -> String {
    let rounded = (psi * 1e4).round() / 1e4;
    // Not -0.
    format!("{}", rounded + 0.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncations_are_written_short() {
        let labels = [-1., -0.25, -0.00001, 1. / 3., 1.5].map(label);
        assert_eq!(labels, ["-1", "-0.25", "0", "0.3333", "1.5"]);
    }
}
