//! `convert`: a network from one file format to another.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use stylegan_import::{ImportError, Imported, export_rosinality, export_safetensors};

use crate::files::check_output;
use crate::inspect::{networks, thousands};
use crate::progress::Terminal;
use crate::{network, print_result};

const EXAMPLES: &str = "\
Examples:
  A network of the PyTorch or TensorFlow tools, to load faster and anywhere:
    cargo xtask convert ffhq.pkl ffhq.safetensors
  The averaged generator of a run, for PyTorch programs of the rosinality kind:
    cargo xtask convert runs/00000-portraits-auto-batch16 portraits.pt \\
        --only g_ema

Every number is written as it was read. The safetensors file has the names of the public StyleGAN2 \
tools behind G_ema., G. and D.; the .pt file is read by torch.load(FILE, weights_only=True).";

/// Write a network of any format as safetensors, or for PyTorch
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network file of any format, a run folder for its newest checkpoint, or an https:// address
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// File to write
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// Format of the file [default: by its name: safetensors for .safetensors, rosinality for .pt]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Networks to write, such as g_ema or g_ema,d [default: all that are in the file]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Part>,

    /// Replace the file where there is one
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Public names, with the configuration
    Safetensors,
    /// A PyTorch state dictionary in the layout of the rosinality code
    Rosinality,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The generator's moving average
    #[value(name = "g_ema")]
    GEma,
    /// The generator as it was trained
    G,
    /// The discriminator
    D,
}

impl Part {
    const ALL: [Self; 3] = [Self::GEma, Self::G, Self::D];

    fn name(self) -> &'static str {
        match self {
            Self::GEma => "g_ema",
            Self::G => "g",
            Self::D => "d",
        }
    }

    fn is_in(self, file: &Imported) -> bool {
        match self {
            Self::GEma => file.g_ema.is_some(),
            Self::G => file.g.is_some(),
            Self::D => file.d.is_some(),
        }
    }

    fn remove_from(self, file: &mut Imported) {
        match self {
            Self::GEma => file.g_ema = None,
            Self::G => file.g = None,
            Self::D => file.d = None,
        }
    }
}

/// Runs `convert`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let out = &args.output;
    let format = match args.format {
        Some(format) => format,
        None => format_of(out).with_context(|| {
            let formats = "--format safetensors or --format rosinality";
            format!("{}; for another name, add {formats}", wrong_name(out))
        })?,
    };
    let replaces = check_replaced(out, args.force)?;
    let (_, mut file) = network::import(&args.input, terminal)?;
    choose(&args.only, &mut file)?;
    let mut notes = file.notes.clone();
    notes.extend(write(&file, format, out)?);
    for network in networks(&file)? {
        let parameters = thousands(network.parameters());
        terminal.line(&format!("{}: {parameters} parameters", network.name));
    }
    if !file.extras.is_empty() {
        let names: Vec<&str> = file.extras.iter().map(|extra| &extra.name[..]).collect();
        notes.push(format!("left out: {}", names.join(", ")));
    }
    if replaces {
        notes.push("replaced the file that was there before".to_string());
    }
    for note in notes {
        terminal.line(&format!("note: {note}"));
    }
    print_result(out.display())
}

/// A file is replaced only where that was asked for; whether there is one.
pub fn check_replaced(out: &Path, force: bool) -> Result<bool> {
    check_output(out)?;
    let replaces = out.exists();
    ensure!(
        force || !replaces,
        "{}: exists already; choose another name, or add --force to replace it",
        out.display()
    );
    Ok(replaces)
}

/// Writes networks, and returns what the format can't say.
pub fn write(file: &Imported, format: Format, out: &Path) -> Result<Vec<String>> {
    match format {
        Format::Safetensors => {
            export_safetensors(file, out)?;
            Ok(Vec::new())
        }
        Format::Rosinality => {
            export_rosinality(file, out).map_err(|error| with_advice(error, file))
        }
    }
}

/// The format of a file by its name, where it says one.
pub fn format_of(out: &Path) -> Option<Format> {
    match out.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Some(Format::Safetensors),
        Some("pt") => Some(Format::Rosinality),
        _ => None,
    }
}

/// What is wrong with a name that says no format.
pub fn wrong_name(out: &Path) -> String {
    format!(
        "{}: expected a name that ends in .safetensors or .pt",
        out.display()
    )
}

/// Removes the networks that aren't wanted, and what is said of them.
fn choose(only: &[Part], file: &mut Imported) -> Result<()> {
    let present = Part::ALL.into_iter().filter(|part| part.is_in(file));
    let present: Vec<Part> = present.collect();
    let names = |parts: &[Part]| {
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        names.join(", ")
    };
    if let Some(part) = only.iter().find(|part| !present.contains(part)) {
        let (part, present) = (part.name(), names(&present));
        bail!("--only {part}: there is no such network in the file; it has {present}")
    }
    for part in present {
        if !only.is_empty() && !only.contains(&part) {
            part.remove_from(file);
            let is_kept = |note: &String| !network::is_about(note, part.name());
            file.notes.retain(is_kept);
        }
    }
    Ok(())
}

/// Where only one of several networks has no place in the format, the others can be written.
fn with_advice(error: ImportError, file: &Imported) -> anyhow::Error {
    let ImportError::Unwritable { network, .. } = &error else {
        return error.into();
    };
    let others = Part::ALL.into_iter().filter(|part| part.is_in(file));
    let others = others.map(Part::name).filter(|name| name != network);
    let others: Vec<&str> = others.collect();
    match &network[..] {
        "d" if !others.is_empty() => {
            let only = others.join(",");
            anyhow::anyhow!("{error}; leave it out with --only {only}")
        }
        _ => anyhow::anyhow!("{error}; a .safetensors file has a place for it"),
    }
}
