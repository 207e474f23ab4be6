//! `blend`: a network of the layers of two.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use candle_core::{DType, Device};
use image::DynamicImage;
use stylegan_data::PictureFormat;
use stylegan_edit::{Blend, EditError, blend};
use stylegan_import::{Family, Format, Imported, Network};
use stylegan_synthesis::GeneratorConfig;
use stylegan_trainer::TrainedGenerator;

use crate::convert::{check_replaced, format_of, write, wrong_name};
use crate::files::{self, check_file};
use crate::network;
use crate::pictures::{Latent, PictureMaker, Shot, Trained};
use crate::print_result;
use crate::progress::Terminal;
use crate::seeds::Seeds;

const EXAMPLES: &str = "\
Examples:
  Poses and shapes of one network, colours and textures of the other:
    cargo xtask blend ffhq.pkl cartoons.pkl blend.safetensors --at 32
  With a smooth transition, and a picture of three rows: the first, the blend, the second:
    cargo xtask blend ffhq.pkl cartoons.pkl blend.pt --at 32 --smooth 4 \\
        --preview blend.png

Both networks must be of one kind and size, and have something to say to each other only where one \
was trained from the other (or both from a third). The mapping network is that of the first.";

/// Make a network of the low layers of one and the high layers of another
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network for the low resolutions: a file of any format, a run folder for its newest checkpoint, or an
    /// https:// address
    #[arg(value_name = "LOW")]
    low: PathBuf,

    /// Network for the high resolutions
    #[arg(value_name = "HIGH")]
    high: PathBuf,

    /// File to write: .safetensors, or .pt for PyTorch programs of the rosinality kind
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// First resolution of the second network, a power of two from 8 on
    #[arg(long, value_name = "PIXELS")]
    at: usize,

    /// Layers over which the one changes into the other, half of them on each side [default: 0, a hard border]
    #[arg(
        long,
        value_name = "LAYERS",
        default_value_t = 0.,
        hide_default_value = true
    )]
    smooth: f64,

    /// Replace the file where there is one
    #[arg(long)]
    force: bool,

    /// Also write a picture: pictures of the first network, of the blend and of the second below each other
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,

    /// Seeds of the pictures in --preview
    #[arg(long, value_name = "LIST", default_value = "0-7", requires = "preview")]
    seeds: Seeds,

    /// Class of the pictures in --preview, for networks that were trained with labels
    #[arg(long, value_name = "N", requires = "preview")]
    class: Option<usize>,
}

/// Runs `blend`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let format = format_of(&args.out).with_context(|| wrong_name(&args.out))?;
    let replaces = check_replaced(&args.out, args.force)?;
    let preview = args.preview.as_deref();
    let preview_format = preview.map(picture_format).transpose()?;
    let low = generator(&args.low, terminal)?;
    let high = generator(&args.high, terminal)?;
    let options = Blend {
        at: args.at,
        smooth: args.smooth,
    };
    let blended = blend(&low, &high, options).map_err(with_option)?;
    let picture = match preview {
        Some(_) => Some(preview_of([&low, &blended, &high], args, terminal)?),
        None => None,
    };
    let file = Imported {
        family: Family::of(&blended.config),
        format: Format::Safetensors,
        origin: origin(args),
        g: None,
        d: None,
        g_ema: Some(blended),
        extras: Vec::new(),
        notes: Vec::new(),
    };
    for note in write(&file, format, &args.out)? {
        terminal.line(&format!("note: {note}"));
    }
    if replaces {
        terminal.line("note: replaced the file that was there before");
    }
    print_result(args.out.display())?;
    if let (Some(path), Some(format), Some(picture)) = (preview, preview_format, picture) {
        files::write(path, terminal, |path| Ok(format.save(&picture, path)?))?;
    }
    Ok(())
}

/// Names the option that is wrong.
fn with_option(error: EditError) -> anyhow::Error {
    match error {
        EditError::At { .. } => anyhow!("--at {error}"),
        EditError::OutOfRange { .. } => anyhow!("--{error}"),
        error => error.into(),
    }
}

/// What the file says about where it comes from.
fn origin(args: &Args) -> String {
    let name = |path: &Path| match path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    };
    let (low, high, at) = (name(&args.low), name(&args.high), args.at);
    match args.smooth {
        0. => format!("stylegan-rs, a blend of {low} and from {at}x{at} on {high}"),
        smooth => format!(
            "stylegan-rs, a blend of {low} and from {at}x{at} on {high}, over {smooth} layers"
        ),
    }
}

/// The generator of a file that pictures are made with.
fn generator(path: &Path, terminal: &Terminal) -> Result<Network<GeneratorConfig>> {
    let (source, mut file) = network::import(path, terminal)?;
    let generator = file.g_ema.take().or(file.g.take());
    for note in file
        .notes
        .iter()
        .filter(|note| !network::is_about(note, "d"))
    {
        terminal.line(&format!("note: {}: {note}", source.name()));
    }
    generator.with_context(|| {
        format!(
            "{}: expected a generator, found only a discriminator",
            source.name()
        )
    })
}

fn picture_format(path: &Path) -> Result<PictureFormat> {
    check_file("--preview", path)?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    let format = extension.and_then(PictureFormat::of_extension);
    format.with_context(|| {
        format!(
            "--preview {}: expected a name that ends in .png, .webp or .jpg",
            path.display()
        )
    })
}

/// A row of pictures for each network, of the same seeds.
fn preview_of(
    networks: [&Network<GeneratorConfig>; 3],
    args: &Args,
    terminal: &Terminal,
) -> Result<DynamicImage> {
    let Seeds(seeds) = &args.seeds;
    let maker = |network: &Network<GeneratorConfig>| {
        let generator = TrainedGenerator {
            network: network.build(DType::F32, &Device::Cpu)?,
            config: network.config.clone(),
        };
        let trained = Trained::new(generator, Device::Cpu, args.class)?;
        PictureMaker::plain(trained, terminal)
    };
    let [low, blended, high] = networks.map(maker);
    let makers = [low?, blended?, high?];
    let sheet = makers[0].sheet(seeds.len(), makers.len());
    let mut sheet = sheet.context("--seeds")?;
    for maker in &makers {
        let shot = |number: usize| {
            let latent = Latent::from_seed(seeds[number], maker)?;
            Ok(Shot {
                ws: maker.ws(&latent)?,
                noise: latent.noise.clone(),
            })
        };
        maker.pictures(seeds.len(), shot, |_, picture| Ok(sheet.push(&picture)?))?;
    }
    Ok(sheet.into_image())
}
