//! Files that other tools load.

mod pt;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use stylegan_checkpoint::{CheckpointError, write_atomically};
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_mapping::LabelInput;
use stylegan_ops::Filter;
use stylegan_ops::nn::{Architecture, Scaling};
use stylegan_synthesis::{GeneratorConfig, Layers};

use crate::error::{ImportError, Result};
use crate::network::Network;
use crate::shapes::Tensors;
use crate::{Imported, native, rosinality};

/// Writes a safetensors file with the networks' tensors under the public names and the prefixes `G_ema.`,
/// `G.` and `D.`, and their configurations in the header.
///
/// StyleGAN2 networks get a `resample_filter` in each layer that has one in the public tools, so that
/// `load_state_dict` of these tools finds every name; see the example. What is read back is what was written, bit
/// by bit. The names of the first generation, which those tools don't have, follow the same scheme.
///
/// ```python
/// tensors = safetensors.torch.load_file("ffhq.safetensors")
/// tensors = {name[6:]: t for name, t in tensors.items() if name.startswith("G_ema.")}
/// generator.load_state_dict(tensors)
/// ```
///
/// # Errors
/// If the file can't be written. It is written under another name first, so `path` has its old or its new
/// content whatever happens.
pub fn export_safetensors(networks: &Imported, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let mut networks = networks.clone();
    for network in [&mut networks.g_ema, &mut networks.g].into_iter().flatten() {
        add_generator_filters(network)?;
    }
    if let Some(network) = &mut networks.d {
        add_discriminator_filters(network)?;
    }
    let checkpoint = native::to_checkpoint(&networks)?;
    checkpoint.write(path).map_err(|error| match error {
        CheckpointError::Write { path, source } => ImportError::Write { path, source },
        error => ImportError::tensors("file", error),
    })
}

/// Writes a PyTorch file with state dictionaries `g_ema`, `g` and `d` under the names of the rosinality code,
/// and `latent_avg`; `torch.load(path, weights_only=True)` reads it. What [`import`](crate::import) reads back
/// has the same tensors, bit by bit; the one average w becomes that of both generators.
///
/// Returns what the format can't say, for people to read.
///
/// # Errors
/// [`ImportError::Unwritable`] for networks that this code doesn't have: all but StyleGAN2 without labels, with
/// the default architectures. [`ImportError::Write`] if the file can't be written.
pub fn export_rosinality(networks: &Imported, path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    let mut notes = Vec::new();
    let mut root = pt::Root::default();
    for (key, network) in [("g_ema", &networks.g_ema), ("g", &networks.g)] {
        let Some(Network {
            config, tensors, ..
        }) = network
        else {
            continue;
        };
        check_generator(key, config)?;
        note_clamp(key, config.synthesis.conv_clamp, &mut notes);
        let filter = filter_of(&config.synthesis.resample_filter, tensors)?;
        let (resolution, layers) = (config.synthesis.img_resolution, config.mapping.num_layers);
        let (tensors, w_avg) = rosinality::write_generator(tensors, resolution, layers, &filter)?;
        root.networks.push((key, tensors));
        root.latent_avg = root.latent_avg.or(w_avg);
    }
    if let Some(Network {
        config, tensors, ..
    }) = &networks.d
    {
        check_discriminator("d", config)?;
        note_clamp("d", config.conv_clamp, &mut notes);
        let filter = filter_of(&config.resample_filter, tensors)?;
        let tensors = rosinality::write_discriminator(tensors, config.img_resolution, &filter)?;
        root.networks.push(("d", tensors));
    }
    write_atomically(path, |file| {
        let file = std::fs::File::options()
            .write(true)
            .truncate(true)
            .open(file)?;
        pt::write(&root, file).map_err(std::io::Error::other)
    })
    .map_err(|source| ImportError::Write {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(notes)
}

const ROSINALITY: &str = "a rosinality state dictionary";

fn unwritable(network: &str, problem: impl Into<String>) -> ImportError {
    ImportError::Unwritable {
        network: network.to_string(),
        format: ROSINALITY,
        problem: problem.into(),
    }
}

fn check_generator(name: &str, config: &GeneratorConfig) -> Result<()> {
    let mapping = &config.mapping;
    let (z_dim, w_dim) = (config.z_dim, config.w_dim());
    let between = mapping.layer_features.unwrap_or(w_dim);
    let problem = if config.synthesis.layers != Layers::Modulated {
        "expected a StyleGAN2 generator, found one of the first generation".to_string()
    } else if config.c_dim > 0 {
        format!("expected no labels, found {} classes", config.c_dim)
    } else if config.synthesis.architecture != Architecture::Skip {
        let found = config.synthesis.architecture;
        format!("expected the architecture Skip, found {found:?}")
    } else if !config.synthesis.use_noise {
        "expected layers with noise, found layers without".to_string()
    } else if (z_dim, between) != (w_dim, w_dim) {
        format!(
            "expected z, w and the layers between of one width, found {z_dim}, {w_dim} and {between}"
        )
    } else if mapping.lr_multiplier != 0.01 {
        format!(
            "expected the lr_multiplier 0.01, found {}",
            mapping.lr_multiplier
        )
    } else if !mapping.normalize_latents
        || mapping.scaling != Scaling::Activation
        || config.synthesis.img_channels != 3
        // Without labels, how they enter is of no account.
        || (mapping.label_input != LabelInput::Embed && config.c_dim > 0)
    {
        "expected normalised latents, leaky ReLUs with a gain, and pictures of 3 channels"
            .to_string()
    } else {
        return Ok(());
    };
    Err(unwritable(name, problem))
}

fn check_discriminator(name: &str, config: &DiscriminatorConfig) -> Result<()> {
    let problem = if config.first_generation.is_some() {
        "expected a StyleGAN2 discriminator, found one of the first generation".to_string()
    } else if config.c_dim > 0 {
        format!("expected no labels, found {} classes", config.c_dim)
    } else if config.architecture != Architecture::Resnet {
        format!(
            "expected the architecture Resnet, found {:?}",
            config.architecture
        )
    } else if let Some(features) = config.fc_features {
        format!("expected as many fc_features as channels at 4x4, found {features}")
    } else if (config.mbstd_group_size, config.mbstd_num_channels) != (Some(4), 1) {
        let (size, features) = (config.mbstd_group_size, config.mbstd_num_channels);
        let size = size.map_or("the whole batch".to_string(), |size| size.to_string());
        format!(
            "expected groups of 4 and 1 feature in the minibatch standard deviation, found groups of {size} and {features}"
        )
    } else {
        return Ok(());
    };
    Err(unwritable(name, problem))
}

fn note_clamp(name: &str, clamp: Option<f64>, notes: &mut Vec<String>) {
    if let Some(clamp) = clamp {
        notes.push(format!(
            "{name}: activations are clamped to {clamp}, which the format can't say"
        ));
    }
}

/// The filter of the configuration, in the data type of the tensors.
fn filter_of(taps: &[f64], tensors: &Tensors) -> Result<Tensor> {
    let dtype = tensors.values().next().map_or(DType::F32, Tensor::dtype);
    Ok(Filter::separable(taps)?.to_tensor(dtype, &Device::Cpu)?)
}

/// The filters that a StyleGAN2 generator has in the public tools: in every block and every convolution but
/// those of image outputs.
fn add_generator_filters(network: &mut Network<GeneratorConfig>) -> Result<()> {
    let synthesis = &network.config.synthesis;
    if synthesis.layers != Layers::Modulated {
        return Ok(());
    }
    let filter = filter_of(&synthesis.resample_filter, &network.tensors)?;
    let blocks =
        (2..=synthesis.img_resolution.ilog2()).map(|log2| format!("synthesis.b{}", 1 << log2));
    let layers = convolutions(&network.tensors).filter(|layer| !layer.ends_with("torgb"));
    add_filters(blocks.chain(layers).collect(), filter, &mut network.tensors);
    Ok(())
}

/// Those of a StyleGAN2 discriminator: in every block but the last and every convolution.
fn add_discriminator_filters(network: &mut Network<DiscriminatorConfig>) -> Result<()> {
    if network.config.first_generation.is_some() {
        return Ok(());
    }
    let filter = filter_of(&network.config.resample_filter, &network.tensors)?;
    let blocks = (3..=network.config.img_resolution.ilog2()).map(|log2| format!("b{}", 1 << log2));
    let layers = convolutions(&network.tensors);
    add_filters(blocks.chain(layers).collect(), filter, &mut network.tensors);
    Ok(())
}

/// The layers whose weight is a kernel.
fn convolutions(tensors: &Tensors) -> impl Iterator<Item = String> {
    tensors.iter().filter_map(|(name, tensor)| {
        let layer = name.strip_suffix(".weight")?;
        (tensor.rank() == 4).then(|| layer.to_string())
    })
}

fn add_filters(layers: Vec<String>, filter: Tensor, tensors: &mut Tensors) {
    for layer in layers {
        let name = format!("{layer}.resample_filter");
        tensors.entry(name).or_insert_with(|| filter.clone());
    }
}
