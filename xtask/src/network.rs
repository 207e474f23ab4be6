//! Networks from files: training checkpoints of this program, and every format that was published.

mod pretrained;
mod source;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use serde::Deserialize;
use serde_json::Value;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_import::{Imported, Network};
use stylegan_synthesis::{GeneratorConfig, Layers, Synthesis};
use stylegan_trainer::TrainedGenerator;

use crate::precision::PrecisionChoice;
use crate::progress::Terminal;
pub use pretrained::pretrained;
pub use source::Source;

/// The latents whose mean w stands in for an average that a file doesn't have, as in the rosinality code.
const W_AVG_SAMPLES: u32 = 4096;

/// Bytes before the header of a safetensors file: its length.
const LENGTH_BYTES: usize = 8;

/// The longest header that the safetensors library reads.
const LONGEST_HEADER: u64 = 100_000_000;

/// Loads the generator that a file or the newest checkpoint of a run has to make pictures with, and prepares it; one
/// that has not grown up says so.
pub fn load(
    network: &Path,
    device: &Device,
    precision: PrecisionChoice,
    terminal: &Terminal,
) -> Result<TrainedGenerator> {
    let source = Source::find(network, terminal)?;
    let generator = match is_training_checkpoint(&source.path)? {
        true => source.explain(TrainedGenerator::load(&source.path, device))?,
        false => published(&source, &["g", "d"], device, terminal)?.0,
    };
    prepared(generator, device, precision, terminal)
}

/// [`load`], and the discriminator that is in the file too, where there is one.
pub fn load_with_discriminator(
    network: &Path,
    device: &Device,
    terminal: &Terminal,
) -> Result<(TrainedGenerator, Option<Discriminator>)> {
    let source = Source::find(network, terminal)?;
    let (generator, discriminator) = match is_training_checkpoint(&source.path)? {
        true => {
            let both = TrainedGenerator::load_with_discriminator(&source.path, device);
            let (generator, discriminator) = source.explain(both)?;
            (generator, Some(discriminator))
        }
        false => {
            let (generator, d) = published(&source, &["g"], device, terminal)?;
            let d = d.map(|d| d.build(DType::F32, device)).transpose();
            (generator, d.with_context(|| source.name())?)
        }
    };
    let generator = prepared(generator, device, PrecisionChoice::F32, terminal)?;
    Ok((generator, discriminator))
}

/// A generator that computes with the numbers that were asked for; one that has not grown up says so.
fn prepared(
    generator: TrainedGenerator,
    device: &Device,
    precision: PrecisionChoice,
    terminal: &Terminal,
) -> Result<TrainedGenerator> {
    if precision == PrecisionChoice::Bf16 {
        ensure!(
            device.is_cpu(),
            "--precision bf16: is for --device cpu; leave the option out"
        );
        ensure!(
            generator.config.synthesis.layers == Layers::Modulated,
            "--precision bf16: is for the layers of StyleGAN2, and this network is of the first \
             generation; leave the option out"
        );
    }
    if let Some(note) = growth_note(generator.network.synthesis()) {
        terminal.line(&note);
    }
    Ok(TrainedGenerator {
        network: generator.network.prepared(precision.into())?,
        ..generator
    })
}

/// Everything in a file, or in the newest checkpoint of a run, and where it is from.
pub fn import(network: &Path, terminal: &Terminal) -> Result<(Source, Imported)> {
    let source = Source::find(network, terminal)?;
    let path = &source.path;
    let mut file = source.explain(stylegan_import::import(path))?;
    if is_training_checkpoint(path)? && file.g_ema.is_some() {
        let lod = source.explain(TrainedGenerator::load(path, &Device::Cpu))?;
        file.set_lod(lod.network.lod())
            .with_context(|| source.name())?;
    }
    Ok((source, file))
}

/// How far a network has come that will make larger pictures.
pub fn grown(side: usize, full: usize) -> String {
    format!("the network has grown to {side}x{side} of {full}x{full}")
}

/// Whether a note of the importer's is about one network; the public tools write its name in capitals.
pub fn is_about(note: &str, network: &str) -> bool {
    let name = note.split_once(": ").map(|(name, _)| name);
    name.is_some_and(|name| name.eq_ignore_ascii_case(network))
}

/// The generator of a file that no training of ours has written, and the discriminator beside it. Nothing is said of
/// the networks that are `unused` where there is the generator's average.
fn published(
    source: &Source,
    unused: &[&str],
    device: &Device,
    terminal: &Terminal,
) -> Result<(TrainedGenerator, Option<Network<DiscriminatorConfig>>)> {
    let mut file = source.explain(stylegan_import::import(&source.path))?;
    let is_unused = |note: &&String| {
        let mut names = unused.iter();
        names.any(|name| is_about(note, name) && (*name != "g" || file.g_ema.is_some()))
    };
    for note in file.notes.iter().filter(|note| !is_unused(note)) {
        terminal.line(&format!("note: {note}"));
    }
    let Some(mut network) = file.g_ema.take().or(file.g.take()) else {
        bail!(
            "{}: expected a generator, found only a discriminator",
            source.name()
        )
    };
    let discriminator = file.d.take();
    drop(file);
    let in_file = || source.name();
    estimate_w_avg(&mut network, terminal).with_context(in_file)?;
    let generator = TrainedGenerator {
        network: network.build(DType::F32, device).with_context(in_file)?,
        config: network.config,
    };
    Ok((generator, discriminator))
}

/// Gives a generator without an average w one, where it can have any.
fn estimate_w_avg(network: &mut Network<GeneratorConfig>, terminal: &Terminal) -> Result<()> {
    let mapping = &network.config.mapping;
    // ProGAN has no w, and with labels there is no average without one.
    if !mapping.w_avg && mapping.num_layers > 0 && network.config.c_dim == 0 {
        network.estimate_w_avg(W_AVG_SAMPLES)?;
        terminal.line(&format!(
            "note: the mean w of {W_AVG_SAMPLES} seeds takes the place of the average"
        ));
    }
    Ok(())
}

/// The header of a safetensors file; tensors are of no account.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
}

/// Whether a file is a checkpoint that a training of ours wrote, whole or damaged, rather than one that was
/// converted from another tool's or is in another format.
pub fn is_training_checkpoint(path: &Path) -> Result<bool> {
    let read = |length: u64| {
        let mut bytes = Vec::new();
        File::open(path)?.take(length).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let unreadable = || format!("{}: the file can't be read", path.display());
    let start = read(LENGTH_BYTES as u64 + 1).with_context(unreadable)?;
    let Some((length, b"{")) = start.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(false);
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER {
        return Ok(false);
    }
    let header = read(LENGTH_BYTES as u64 + length).with_context(unreadable)?;
    let Ok(Header { metadata }) = serde_json::from_slice(&header[LENGTH_BYTES..]) else {
        // What is wrong with it is said where it is loaded.
        return Ok(true);
    };
    let Some(envelope) = metadata.get("stylegan-rs") else {
        return Ok(false);
    };
    let envelope: Value = serde_json::from_str(envelope).unwrap_or_default();
    Ok(envelope["document"]["imported"].is_null())
}

fn growth_note(synthesis: &Synthesis) -> Option<String> {
    let full = synthesis.config().img_resolution;
    let lod = synthesis.lod();
    match lod.resolution(full) {
        _ if lod.get() == 0. => None,
        side if side == full => Some(format!(
            "note: the network is still growing: its {full}x{full} has not faded in completely"
        )),
        side => Some(format!("note: {}", grown(side, full))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn notes_say_which_network_they_are_about() {
        let note = "G_ema: stored without an average w";
        assert!(is_about(note, "g_ema"));
        assert!(!is_about(note, "g"));
        assert!(!is_about(
            "12 bytes behind the pickle were passed over",
            "g"
        ));
    }

    #[test]
    fn training_checkpoints_are_told_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let is_ours = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            is_training_checkpoint(&path).unwrap()
        };
        let safetensors = |header: &str| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes
        };
        let document = |document: &str| {
            let envelope = format!(r#"{{"crc32": 0, "document": {document}}}"#);
            let header = serde_json::json!({ "__metadata__": { "stylegan-rs": envelope } });
            safetensors(&header.to_string())
        };
        assert!(is_ours(&document(r#"{"training": {}}"#)));
        assert!(!is_ours(&document(r#"{"imported": {}}"#)));
        assert!(!is_ours(&safetensors("{}")));
        assert!(!is_ours(b""));
        assert!(!is_ours(b"\x80\x03}q\x00(X\x01{"));
        // Of a length beyond all headers.
        assert!(!is_ours(b"\x80\x03}q\x00(X\x01{more"));
        let cut_short = &document(r#"{"training": {}}"#)[..40];
        assert!(is_ours(cut_short));
    }
}
