//! `generate`: pictures from a trained network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stylegan_data::grid;
use stylegan_mapping::latents;
use stylegan_synthesis::NoiseMode;
use stylegan_trainer::TrainedGenerator;

use crate::device::DeviceChoice;
use crate::print_result;
use crate::progress::Terminal;
use crate::seeds::{GridSize, Seeds};

const EXAMPLES: &str = "\
Example:
  cargo xtask generate --network runs/00000-portraits-auto-batch16 --seeds 0-15,85 --trunc 0.7 \\
      --outdir out --grid 6x3

Every picture is written as seedNNNN.png, the grid as grid.png. The same seed gives the same latent
as the public StyleGAN tools. Existing pictures of these names are replaced.";

/// Make pictures with a trained network
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Checkpoint, or a run folder for its newest checkpoint
    #[arg(long, value_name = "FILE|RUN")]
    network: PathBuf,

    /// Numbers and ranges, one picture each, such as 0-15,85
    #[arg(long, value_name = "LIST")]
    seeds: Seeds,

    /// Truncation: 1 for the full variety, less for more typical pictures, 0 for the average one
    #[arg(
        long,
        value_name = "PSI",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    trunc: f64,

    /// Class to make pictures of, for networks that were trained with labels
    #[arg(long, value_name = "N")]
    class: Option<usize>,

    /// Fine detail: the same in every picture, drawn from each seed, or left out
    #[arg(long, value_name = "MODE", default_value = "const")]
    noise_mode: Noise,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "out")]
    outdir: PathBuf,

    /// Also put all pictures into one, in columns and rows such as 8x4
    #[arg(long, value_name = "CxR")]
    grid: Option<GridSize>,

    /// Where to compute: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Noise {
    Const,
    Random,
    None,
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
    ensure!(
        args.trunc.is_finite(),
        "--trunc {}: must be a number",
        args.trunc
    );
    let device = args.device.open("generate")?;
    let generator = TrainedGenerator::load(&args.network, &device)?;
    let label = label(args.class, generator.config.c_dim, &device)?;
    fs::create_dir_all(&args.outdir)
        .with_context(|| format!("--outdir {}: cannot make the folder", args.outdir.display()))?;

    let mut replaced = 0;
    let mut images = Vec::new();
    for &seed in seeds {
        let image = picture(&generator, seed, label.as_ref(), args, &device)?;
        let path = args.outdir.join(format!("seed{seed:04}.png"));
        replaced += save(&image, 1, 1, &path)?;
        if args.grid.is_some() {
            images.push(image);
        }
    }
    if let Some(GridSize { cols, rows }) = args.grid {
        replaced += save(
            &Tensor::cat(&images, 0)?,
            cols,
            rows,
            &args.outdir.join("grid.png"),
        )?;
    }
    if replaced > 0 {
        terminal.line(&format!(
            "note: replaced {replaced} pictures that were there before"
        ));
    }
    Ok(())
}

/// One picture at a time: it doesn't depend on the other seeds, and memory doesn't grow with them.
fn picture(
    generator: &TrainedGenerator,
    seed: u32,
    label: Option<&Tensor>,
    args: &Args,
    device: &Device,
) -> Result<Tensor> {
    let z = latents::from_seeds(&[seed], generator.config.z_dim, device)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
    let mut noise = match args.noise_mode {
        Noise::Const => NoiseMode::Const,
        Noise::Random => NoiseMode::Random(&mut rng),
        Noise::None => NoiseMode::None,
    };
    let network = &generator.network;
    Ok(network.forward(&z, label, args.trunc, None, &mut noise)?)
}

/// Writes the picture, prints its path, and says whether (0 or 1) it replaced another.
fn save(images: &Tensor, cols: usize, rows: usize, path: &Path) -> Result<usize> {
    let replaced = path.exists();
    grid::save_png(&grid::to_image(images, cols, rows)?, path)?;
    print_result(path.display())?;
    Ok(replaced.into())
}

/// The one-hot label of `--class`, which must be given exactly where the network has labels.
fn label(class: Option<usize>, classes: usize, device: &Device) -> Result<Option<Tensor>> {
    match (class, classes) {
        (None, 0) => Ok(None),
        (Some(class), 0) => {
            bail!("--class {class}: the network was trained without labels; leave the option out")
        }
        (None, _) => bail!(
            "the network was trained with {classes} classes: choose one with --class 0 to --class {}",
            classes - 1
        ),
        (Some(class), _) if class >= classes => bail!(
            "--class {class}: the network has {classes} classes; choose one from 0 to {}",
            classes - 1
        ),
        (Some(class), _) => {
            let one_hot = (0..classes)
                .map(|i| f32::from(u8::from(i == class)))
                .collect();
            Ok(Some(Tensor::from_vec(one_hot, (1, classes), device)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_given_exactly_where_the_network_has_labels() {
        let label = |class, classes| label(class, classes, &Device::Cpu);
        assert!(label(None, 0).unwrap().is_none());
        let one_hot = label(Some(1), 3).unwrap().unwrap();
        assert_eq!(one_hot.to_vec2::<f32>().unwrap(), [[0., 1., 0.]]);
        let error = |class, classes| label(class, classes).unwrap_err().to_string();
        assert!(error(Some(0), 0).starts_with("--class 0: the network was trained without labels"));
        assert!(error(None, 3).ends_with("choose one with --class 0 to --class 2"));
        assert!(error(Some(3), 3).ends_with("the network has 3 classes; choose one from 0 to 2"));
    }
}
