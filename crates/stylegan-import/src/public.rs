//! StyleGAN2 networks under the public names, which are ours.

use candle_core::{DType, Tensor};
use stylegan_discriminator::{DiscriminatorConfig, LabelHead};
use stylegan_mapping::LabelInput;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::{GeneratorConfig, MappingOptions, SynthesisConfig};

use crate::error::{ImportError, Result};
use crate::shapes::{Shapes, Tensors, fit_pyramid};

/// What the tensors don't tell of a network. The default is what the public tools have where nothing else is
/// asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hints {
    /// `channel_base` and `channel_max`, where they are known.
    pub(crate) channels: Option<(usize, usize)>,
    pub(crate) conv_clamp: Option<f64>,
    /// Of the mapping network.
    pub(crate) lr_multiplier: f64,
    pub(crate) label_input: LabelInput,
    pub(crate) label_head: LabelHead,
    pub(crate) normalize_latents: bool,
    pub(crate) mbstd_group_size: Option<usize>,
    /// Where it is known and no filter is stored.
    pub(crate) resample_filter: Option<Vec<f64>>,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            channels: None,
            conv_clamp: None,
            lr_multiplier: 0.01,
            label_input: LabelInput::Embed,
            label_head: LabelHead::Projection,
            normalize_latents: true,
            mbstd_group_size: Some(4),
            resample_filter: None,
        }
    }
}

/// Whether tensors have the names of a generator.
pub(crate) fn is_generator(tensors: &Tensors) -> bool {
    tensors.contains_key("synthesis.b4.const") && tensors.contains_key("mapping.fc0.weight")
}

/// Whether tensors have the names of a discriminator.
pub(crate) fn is_discriminator(tensors: &Tensors) -> bool {
    tensors.contains_key("b4.out.weight") && tensors.contains_key("b4.fc.weight")
}

/// The configuration of the generator that has those tensors.
pub(crate) fn generator_config(shapes: &Shapes, hints: &Hints) -> Result<GeneratorConfig> {
    let resolution = shapes.resolution(|r| format!("synthesis.b{r}.conv1.weight"));
    let resolution = resolution.unwrap_or(4);
    let mut channels = Vec::new();
    for log2 in 2..=resolution.ilog2() {
        let r = 1 << log2;
        let [out, _, _, _] = shapes.dims(&format!("synthesis.b{r}.conv1.weight"))?;
        channels.push((r, out));
    }
    let (channel_base, channel_max) = fit_pyramid(shapes.network, &channels, hints.channels)?;

    let num_layers = shapes.count(|i| format!("mapping.fc{i}.weight"));
    let Some(last) = num_layers.checked_sub(1) else {
        let problem = "expected a tensor mapping.fc0.weight, found none";
        return Err(ImportError::network(shapes.network, problem));
    };
    let [first_out, input] = shapes.dims("mapping.fc0.weight")?;
    let [w_dim, _] = shapes.dims(&format!("mapping.fc{last}.weight"))?;
    let (c_dim, labels) = match (shapes.has("mapping.embed.weight"), hints.label_input) {
        (false, _) => (0, 0),
        (true, LabelInput::Embed) => {
            let [embedded, c_dim] = shapes.dims("mapping.embed.weight")?;
            (c_dim, embedded)
        }
        (true, _) => {
            let [z_dim, c_dim] = shapes.dims("mapping.embed.weight")?;
            (c_dim, z_dim)
        }
    };
    let Some(z_dim) = input.checked_sub(labels) else {
        let problem = format!(
            "expected mapping.fc0.weight to take z and {labels} features of labels, found {input} inputs"
        );
        return Err(ImportError::network(shapes.network, problem));
    };
    let [img_channels, _, _, _] = shapes.dims(&format!("synthesis.b{resolution}.torgb.weight"))?;
    Ok(GeneratorConfig {
        z_dim,
        c_dim,
        mapping: MappingOptions {
            num_layers,
            embed_features: (hints.label_input == LabelInput::Embed
                && labels > 0
                && labels != w_dim)
                .then_some(labels),
            layer_features: (last > 0 && first_out != w_dim).then_some(first_out),
            lr_multiplier: hints.lr_multiplier,
            w_avg: shapes.has("mapping.w_avg"),
            label_input: hints.label_input,
            normalize_latents: hints.normalize_latents,
            ..MappingOptions::default()
        },
        synthesis: SynthesisConfig {
            w_dim,
            img_resolution: resolution,
            img_channels,
            channel_base,
            channel_max,
            architecture: match resolution {
                4 => Architecture::Skip,
                _ if shapes.has("synthesis.b4.torgb.weight") => Architecture::Skip,
                _ if shapes.has("synthesis.b8.skip.weight") => Architecture::Resnet,
                _ => Architecture::Orig,
            },
            conv_clamp: hints.conv_clamp,
            resample_filter: resample_filter(shapes, hints)?,
            use_noise: shapes.has("synthesis.b4.conv1.noise_strength"),
            ..SynthesisConfig::default()
        },
    })
}

/// The configuration of the discriminator that has those tensors.
pub(crate) fn discriminator_config(shapes: &Shapes, hints: &Hints) -> Result<DiscriminatorConfig> {
    let resolution = shapes.resolution(|r| format!("b{r}.conv0.weight"));
    let resolution = resolution.unwrap_or(4);
    let [channels_at_4, conv_in, _, _] = shapes.dims("b4.conv.weight")?;
    let mut channels = vec![(4, channels_at_4)];
    for log2 in 3..=resolution.ilog2() {
        let r = 1 << log2;
        let [out, _, _, _] = shapes.dims(&format!("b{r}.conv0.weight"))?;
        channels.push((r, out));
    }
    let (channel_base, channel_max) = fit_pyramid(shapes.network, &channels, hints.channels)?;
    let [_, img_channels, _, _] = shapes.dims(&format!("b{resolution}.fromrgb.weight"))?;
    let [out, fc_features] = shapes.dims("b4.out.weight")?;
    let has_mapping = shapes.has("mapping.embed.weight");
    let defaults = DiscriminatorConfig::default();
    let mapping_layers = shapes.count(|i| format!("mapping.fc{i}.weight"));
    let (c_dim, label_head) = match (has_mapping, hints.label_head) {
        (true, _) => {
            let [_, c_dim] = shapes.dims("mapping.embed.weight")?;
            (c_dim, LabelHead::Projection)
        }
        (false, LabelHead::Product) => (out, LabelHead::Product),
        (false, _) => (0, LabelHead::Projection),
    };
    Ok(DiscriminatorConfig {
        c_dim,
        img_resolution: resolution,
        img_channels,
        channel_base,
        channel_max,
        architecture: match resolution {
            4 => Architecture::Resnet,
            _ if shapes.has("b8.skip.weight") => Architecture::Resnet,
            _ if shapes.has("b4.fromrgb.weight") => Architecture::Skip,
            _ => Architecture::Orig,
        },
        fc_features: (fc_features != channels_at_4).then_some(fc_features),
        conv_clamp: hints.conv_clamp,
        label_head,
        cmap_dim: (has_mapping && out != channels_at_4).then_some(out),
        mbstd_group_size: hints.mbstd_group_size,
        mbstd_num_channels: conv_in.saturating_sub(channels_at_4),
        mapping_layers: match has_mapping {
            true => mapping_layers,
            false => defaults.mapping_layers,
        },
        mapping_lr_multiplier: match mapping_layers {
            0 => defaults.mapping_lr_multiplier,
            _ => hints.lr_multiplier,
        },
        resample_filter: resample_filter(shapes, hints)?,
        ..defaults
    })
}

/// The taps of the separable filter, from any that is stored: its smallest is 1.
fn resample_filter(shapes: &Shapes, hints: &Hints) -> Result<Vec<f64>> {
    let stored = shapes
        .tensors
        .iter()
        .find(|(name, _)| name.ends_with("resample_filter"));
    match (stored, &hints.resample_filter) {
        (Some((name, filter)), _) => taps(filter)?.ok_or_else(|| {
            let problem = format!(
                "expected {name} to be a separable filter, found a tensor of the shape {:?}",
                filter.dims()
            );
            ImportError::network(shapes.network, problem)
        }),
        (None, Some(taps)) => Ok(taps.clone()),
        (None, None) => Ok(SynthesisConfig::default().resample_filter),
    }
}

/// The sums of the filter's rows, relative to the smallest that isn't 0.
fn taps(filter: &Tensor) -> candle_core::Result<Option<Vec<f64>>> {
    const MOST_TAPS: usize = 64;
    let sums: Vec<f64> = match filter.dims() {
        [taps] if *taps <= MOST_TAPS => filter.to_dtype(DType::F64)?.to_vec1()?,
        [rows, columns] if rows == columns && *rows <= MOST_TAPS => {
            filter.to_dtype(DType::F64)?.sum(1)?.to_vec1()?
        }
        _ => return Ok(None),
    };
    let magnitudes = sums.iter().map(|tap| tap.abs()).filter(|&tap| tap > 0.);
    let unit = magnitudes.fold(f64::INFINITY, f64::min);
    Ok(unit
        .is_finite()
        .then(|| sums.iter().map(|tap| tap / unit).collect()))
}
