//! Our own files: tensors under the public names, with the configurations in the header.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylegan_checkpoint::Checkpoint;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::GeneratorConfig;

use crate::error::{ImportError, Result};
use crate::network::{Config, Network};
use crate::{Extra, Family, Format, Imported};

/// The form of training checkpoints that has every family.
const FORMAT: u32 = 2;

/// What is said of growing networks whose level of detail only their training knows.
pub(crate) const FULL_RESOLUTION: &str = "a growing network: taken at its full resolution";

/// The prefixes of the networks' tensors.
const G_EMA: &str = "G_ema.";
const G: &str = "G.";
const D: &str = "D.";

/// The JSON document of a file without the parts that only training needs.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: Option<u32>,
    config: Configs,
    /// Files of other tools that were converted.
    imported: Option<Converted>,
}

/// As in training checkpoints, where both generators have the same configuration.
#[derive(Debug, Serialize, Deserialize)]
struct Configs {
    generator: Option<GeneratorConfig>,
    discriminator: Option<DiscriminatorConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    growing: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Converted {
    origin: String,
    /// That of the trained generator where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    g_config: Option<GeneratorConfig>,
    /// Where the networks stand in their growth, by prefix.
    lod: BTreeMap<String, Lod>,
}

/// The file that [`import`] reads.
pub(crate) fn to_checkpoint(networks: &Imported) -> Result<Checkpoint> {
    let generator = networks.generator().map(|network| network.config.clone());
    let g_config = networks.g.as_ref().map(|network| network.config.clone());
    let lods = [
        networks
            .g_ema
            .as_ref()
            .map(|network| (G_EMA.to_string(), network.lod)),
        networks
            .g
            .as_ref()
            .map(|network| (G.to_string(), network.lod)),
        networks
            .d
            .as_ref()
            .map(|network| (D.to_string(), network.lod)),
    ];
    let document = Document {
        format: Some(FORMAT),
        imported: Some(Converted {
            origin: networks.origin.clone(),
            g_config: g_config.filter(|config| Some(config) != generator.as_ref()),
            lod: lods.into_iter().flatten().collect(),
        }),
        config: Configs {
            generator,
            discriminator: networks.d.as_ref().map(|network| network.config.clone()),
            growing: None,
        },
    };
    let document = serde_json::to_value(document).map_err(candle_core::Error::wrap)?;
    let mut checkpoint = Checkpoint::new(document);
    for (prefix, network) in [(G_EMA, &networks.g_ema), (G, &networks.g)] {
        if let Some(network) = network {
            checkpoint.insert_section(prefix, network.tensors.clone());
        }
    }
    if let Some(network) = &networks.d {
        checkpoint.insert_section(D, network.tensors.clone());
    }
    Ok(checkpoint)
}

/// A file that [`to_checkpoint`] made, or a training checkpoint.
pub(crate) fn import(bytes: &[u8]) -> Result<Imported> {
    let failed = |source| ImportError::tensors("file", source);
    let path = Path::new("safetensors");
    let checkpoint = Checkpoint::from_bytes(bytes, path, &Device::Cpu).map_err(failed)?;
    if checkpoint.metadata.get("config").is_none() {
        let fields = checkpoint.metadata.as_object().into_iter().flatten();
        let names: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
        return Err(ImportError::no_network(match names[..] {
            [] => "an empty file of stylegan-rs".to_string(),
            _ => format!("a file of stylegan-rs with {}", names.join(", ")),
        }));
    }
    let Document {
        format,
        config,
        imported,
    } = checkpoint.metadata_as().map_err(failed)?;
    if let Some(found) = format.filter(|&found| found > FORMAT) {
        let found = format!(
            "a checkpoint of a newer version of stylegan-rs, of the form {found}; this version reads up to {FORMAT}"
        );
        return Err(ImportError::no_network(found));
    }
    let lod = |prefix: &str| {
        let lod = imported
            .as_ref()
            .and_then(|imported| imported.lod.get(prefix));
        lod.copied().unwrap_or_default()
    };
    let g_config = imported
        .as_ref()
        .and_then(|imported| imported.g_config.clone());
    let g_config = g_config.or_else(|| config.generator.clone());
    let g_ema = network(&checkpoint, G_EMA, config.generator.clone(), lod(G_EMA))?;
    let g = network(&checkpoint, G, g_config, lod(G))?;
    let d = network(&checkpoint, D, config.discriminator, lod(D))?;
    let generator = g_ema.as_ref().or(g.as_ref()).map(|network| &network.config);
    let mut notes = Vec::new();
    if config.growing.is_some() {
        notes.push(FULL_RESOLUTION.to_string());
    }
    let family = match (generator, &d) {
        (Some(generator), _) => Family::of(generator),
        (None, Some(d)) => match &d.config.first_generation {
            None => Family::StyleGan2,
            Some(layers) if layers.blur_filter.is_empty() => Family::ProGan,
            Some(_) => Family::StyleGan,
        },
        (None, None) => return Err(ImportError::no_network("a checkpoint without networks")),
    };
    Ok(Imported {
        family,
        format: Format::Safetensors,
        origin: match imported {
            Some(imported) => imported.origin,
            None => "stylegan-rs".to_string(),
        },
        g,
        d,
        g_ema,
        extras: extras(&checkpoint),
        notes,
    })
}

fn network<C: Config>(
    checkpoint: &Checkpoint,
    prefix: &str,
    config: Option<C>,
    lod: Lod,
) -> Result<Option<Network<C>>> {
    let (Some(config), Ok(tensors)) = (config, checkpoint.section(prefix)) else {
        return Ok(None);
    };
    let name = prefix.trim_end_matches('.');
    Network::new(name, config, tensors, lod).map(Some)
}

/// What training keeps beside the networks.
fn extras(checkpoint: &Checkpoint) -> Vec<Extra> {
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for (name, tensor) in &checkpoint.tensors {
        if ![G_EMA, G, D].iter().any(|prefix| name.starts_with(prefix)) {
            let section = name.split('.').next().unwrap_or(name);
            let (tensors, numbers) = counts.entry(section).or_default();
            *tensors += 1;
            *numbers += tensor.elem_count();
        }
    }
    let of_tensors = counts.into_iter().map(|(name, (tensors, numbers))| Extra {
        name: name.to_string(),
        content: serde_json::json!({ "tensors": tensors, "numbers": numbers }),
    });
    let of_document = checkpoint.metadata.as_object().into_iter().flatten();
    let of_document = of_document
        .filter(|(name, _)| !["config", "format", "imported"].contains(&name.as_str()))
        .map(|(name, content)| Extra {
            name: name.clone(),
            content: content.clone(),
        });
    of_tensors.chain(of_document).collect()
}
