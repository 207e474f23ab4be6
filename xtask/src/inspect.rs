//! `inspect`: what is in a network file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use stylegan_checkpoint::is_buffer;
use stylegan_import::{Config, Imported, Network as Stored};
use stylegan_ops::growing::Lod;
use stylegan_synthesis::GeneratorConfig;

use crate::progress::Terminal;
use crate::{network, print_result};

/// How much of an extra's content a table shows.
const EXTRA_CHARS: usize = 100;

const EXAMPLES: &str = "\
Examples:
  cargo xtask inspect ffhq.pkl
  cargo xtask inspect runs/00000-portraits-auto-batch16
  cargo xtask inspect ffhq.pkl --json > ffhq.json

Reads pickles of the PyTorch and TensorFlow tools, PyTorch files of the rosinality kind, and \
safetensors, recognised by their content. Nothing in a file is executed. Parameters are what \
training changes; buffers are constant noise, filters and the average w.";

/// Show what is in a network file: family, configuration, layers, and what else
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Network file of any format, a run folder for its newest checkpoint, or an https:// address
    #[arg(value_name = "FILE|RUN|URL")]
    file: PathBuf,

    /// Print one JSON object in place of tables
    #[arg(long)]
    json: bool,
}

/// Runs `inspect`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let (source, file) = network::import(&args.file, terminal)?;
    let name = source.name();
    let networks = networks(&file)?;
    match args.json {
        true => print_result(to_json(&name, &file, &networks)?),
        false => print_result(to_table(&name, &file, &networks)),
    }
}

/// A network of a file, in numbers.
#[derive(Debug, Serialize)]
pub struct Network {
    /// `g_ema`, `g` or `d`.
    #[serde(skip)]
    pub name: &'static str,
    config: Value,
    lod: Lod,
    layers: Vec<Layer>,
}

/// The tensors with a path in common.
#[derive(Debug, Serialize, PartialEq)]
struct Layer {
    name: String,
    parameters: usize,
    buffers: usize,
    tensors: Vec<Tensor>,
}

#[derive(Debug, Serialize, PartialEq)]
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
}

impl Network {
    fn new<C: Config>(name: &'static str, stored: &Stored<C>, finest_first: bool) -> Result<Self> {
        let mut layers = BTreeMap::<_, Layer>::new();
        for (path, tensor) in &stored.tensors {
            let (layer, own_name) = path.rsplit_once('.').unwrap_or(("", path));
            let place = place(layer, finest_first);
            let layer = layers.entry(place).or_insert_with(|| Layer {
                name: layer.to_string(),
                parameters: 0,
                buffers: 0,
                tensors: Vec::new(),
            });
            match is_buffer(path) {
                true => layer.buffers += tensor.elem_count(),
                false => layer.parameters += tensor.elem_count(),
            }
            layer.tensors.push(Tensor {
                name: own_name.to_string(),
                dtype: tensor.dtype().as_str(),
                shape: tensor.dims().to_vec(),
            });
        }
        Ok(Self {
            name,
            config: serde_json::to_value(&stored.config).context("the configuration")?,
            lod: stored.lod,
            layers: layers.into_values().collect(),
        })
    }

    /// What training changes.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    fn buffers(&self) -> usize {
        self.layers.iter().map(|layer| layer.buffers).sum()
    }

    /// Whether it is the same network but for its numbers.
    fn is_like(&self, other: &Self) -> bool {
        (&self.config, self.lod, &self.layers) == (&other.config, other.lod, &other.layers)
    }
}

/// Orders layers as data flows through blocks: by the numbers in their paths, which fall in discriminators.
fn place(layer: &str, finest_first: bool) -> Vec<(String, i64)> {
    let part = |part: &str| {
        let kind = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = part[kind.len()..].parse().unwrap_or(0);
        let falls = finest_first && kind == "b";
        (kind.to_string(), if falls { -number } else { number })
    };
    layer.split('.').map(part).collect()
}

/// The networks of a file.
pub fn networks(file: &Imported) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    for (name, generator) in [("g_ema", &file.g_ema), ("g", &file.g)] {
        if let Some(generator) = generator {
            networks.push(Network::new(name, generator, false)?);
        }
    }
    if let Some(discriminator) = &file.d {
        networks.push(Network::new("d", discriminator, true)?);
    }
    Ok(networks)
}

fn to_json(name: &str, file: &Imported, networks: &[Network]) -> Result<String> {
    let mut by_name = serde_json::Map::new();
    for network in networks {
        let mut value = serde_json::to_value(network)?;
        value["parameters"] = network.parameters().into();
        value["buffers"] = network.buffers().into();
        by_name.insert(network.name.to_string(), value);
    }
    let report = json!({
        "file": name,
        "family": file.family,
        "format": file.format,
        "origin": file.origin,
        "networks": by_name,
        "parameters": networks.iter().map(Network::parameters).sum::<usize>(),
        "buffers": networks.iter().map(Network::buffers).sum::<usize>(),
        "extras": file.extras,
        "notes": file.notes,
    });
    Ok(serde_json::to_string_pretty(&report)?)
}

fn to_table(name: &str, file: &Imported, networks: &[Network]) -> String {
    let mut facts = vec![
        ("file", name.to_string()),
        ("family", file.family.to_string()),
        ("format", file.format.to_string()),
        ("origin", file.origin.clone()),
    ];
    if let Some(generator) = file.generator() {
        facts.push(("makes", makes(generator)));
    }
    let facts = facts
        .into_iter()
        .map(|(name, fact)| vec![name.to_string(), fact]);
    let mut blocks = vec![columns(&facts.collect::<Vec<_>>(), &[])];
    for (index, network) in networks.iter().enumerate() {
        let title = format!(
            "{}, {}: {} parameters, {} numbers in buffers",
            network.name,
            role(network.name),
            thousands(network.parameters()),
            thousands(network.buffers())
        );
        match networks[..index].iter().find(|it| it.is_like(network)) {
            Some(same) => blocks.push(format!(
                "{title}; configuration and layers of {}",
                same.name
            )),
            None => {
                blocks.push(format!("{title}\n\n{}", settings(network)));
                blocks.push(layers(network));
            }
        }
    }
    if networks.len() > 1 {
        let total = |numbers: fn(&Network) -> usize| thousands(networks.iter().map(numbers).sum());
        blocks.push(format!(
            "total: {} parameters, {} numbers in buffers",
            total(Network::parameters),
            total(Network::buffers)
        ));
    }
    if !file.extras.is_empty() {
        let mut rows = vec![vec!["also in the file".to_string(), "content".to_string()]];
        for extra in &file.extras {
            rows.push(vec![
                extra.name.clone(),
                shortened(extra.content.to_string()),
            ]);
        }
        blocks.push(columns(&rows, &[]));
    }
    if !file.notes.is_empty() {
        let notes = file.notes.iter().map(|note| format!("note: {note}"));
        blocks.push(notes.collect::<Vec<_>>().join("\n"));
    }
    blocks.join("\n\n")
}

/// What a generator makes of what.
fn makes(generator: &Stored<GeneratorConfig>) -> String {
    let GeneratorConfig {
        z_dim,
        c_dim,
        synthesis,
        ..
    } = &generator.config;
    let side = synthesis.img_resolution;
    let channels = match synthesis.img_channels {
        1 => "grey ",
        4 => "transparent ",
        _ => "",
    };
    let mut text =
        format!("{channels}pictures of {side}x{side} pixels from {z_dim} random numbers each");
    if synthesis.has_styles() {
        text += &format!(", in {} layers with styles", synthesis.num_ws());
    }
    if *c_dim > 0 {
        text += &format!("; of {c_dim} classes, --class 0 to --class {}", c_dim - 1);
    }
    if generator.lod != Lod::FULL {
        let grown = network::grown(generator.lod.resolution(side), side);
        text += &format!("; {grown}");
    }
    text
}

/// What a network of a file is for.
fn role(network: &str) -> &'static str {
    match network {
        "g_ema" => "the average of the generator, which makes pictures",
        "g" => "the generator as it is trained",
        _ => "the discriminator",
    }
}

/// The configuration, a line for each value.
fn settings(network: &Network) -> String {
    let mut rows = vec![vec!["configuration".to_string(), String::new()]];
    flatten("", &network.config, &mut rows);
    if network.lod != Lod::FULL {
        rows.push(vec!["lod".to_string(), network.lod.get().to_string()]);
    }
    columns(&rows, &[])
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, rows);
            }
        }
        Value::Null => rows.push(vec![path.to_string(), "none".to_string()]),
        Value::String(text) => rows.push(vec![path.to_string(), text.clone()]),
        value => rows.push(vec![path.to_string(), value.to_string()]),
    }
}

fn layers(network: &Network) -> String {
    let header = ["layer", "parameters", "buffers", "tensors"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    for layer in &network.layers {
        let tensors = layer
            .tensors
            .iter()
            .map(|tensor| format!("{} {:?}", tensor.name, tensor.shape));
        rows.push(vec![
            layer.name.clone(),
            thousands(layer.parameters),
            thousands(layer.buffers),
            tensors.collect::<Vec<_>>().join(", "),
        ]);
    }
    columns(&rows, &[1, 2])
}

/// Rows with aligned columns, numbers to the right.
fn columns(rows: &[Vec<String>], numbers: &[usize]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column| {
        rows.iter()
            .filter_map(move |row: &Vec<String>| row.get(column))
    };
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            cells(column)
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match numbers.contains(&column) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(EXTRA_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// `30,370,060`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        let numbers = [0, 999, 1000, 30_370_060];
        assert_eq!(
            numbers.map(thousands),
            ["0", "999", "1,000", "30,370,060"].map(str::to_string)
        );
    }

    #[test]
    fn layers_are_in_the_order_of_the_blocks() {
        let sorted = |finest_first| {
            let mut layers = [
                "b16.conv1",
                "b4.conv",
                "b16.conv0",
                "mapping.fc10",
                "b8",
                "mapping.fc9",
            ];
            layers.sort_by_key(|layer| place(layer, finest_first));
            layers
        };
        let rising = [
            "b4.conv",
            "b8",
            "b16.conv0",
            "b16.conv1",
            "mapping.fc9",
            "mapping.fc10",
        ];
        assert_eq!(sorted(false), rising);
        let falling = [
            "b16.conv0",
            "b16.conv1",
            "b8",
            "b4.conv",
            "mapping.fc9",
            "mapping.fc10",
        ];
        assert_eq!(sorted(true), falling);
    }

    #[test]
    fn columns_are_aligned_and_long_content_is_cut_off() {
        let rows = [["layer", "parameters"], ["b4", "12"]];
        let rows = rows.map(|row| row.map(str::to_string).to_vec());
        assert_eq!(columns(&rows, &[1]), "layer  parameters\nb4             12");
        let long = shortened("ä".repeat(EXTRA_CHARS + 1));
        assert_eq!(long, "ä".repeat(EXTRA_CHARS) + "...");
        assert_eq!(shortened("short".to_string()), "short");
    }
}
