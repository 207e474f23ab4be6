//! StyleGAN2 networks under the names of the rosinality code, and back.
//!
//! Values are the same as under the public names, except for two kinds of filters: those behind upsampling
//! are stored with their gain of 4. Convolution weights have a leading 1, biases of images are
//! `[1, C, 1, 1]`, noise strengths `[1]`.

use std::collections::BTreeSet;

use candle_core::Tensor;

use crate::error::{ImportError, Result};
use crate::shapes::Tensors;

/// What differs in how a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    /// `[1, ...]`, ours without.
    Leading,
    /// `[1, 1, R, R]`, ours `[R, R]`.
    Map,
    /// `[1, C, 1, 1]`, ours `[C]`.
    ImageBias,
    /// `[1]`, ours `[]`.
    Scalar,
    /// A filter with the gain 4, ours without.
    UpFilter,
}

impl Form {
    /// Ours of theirs; none where it has another shape.
    fn read(self, tensor: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(match (self, tensor.dims()) {
            (Self::Same, _) => tensor.clone(),
            (Self::Leading, [1, ..]) => tensor.squeeze(0)?,
            (Self::Map, &[1, 1, height, width]) => tensor.reshape((height, width))?,
            (Self::ImageBias, &[1, channels, 1, 1]) => tensor.reshape(channels)?,
            (Self::Scalar, [1]) => tensor.reshape(())?,
            (Self::UpFilter, [_, _]) => (tensor / 4.)?,
            _ => return Ok(None),
        }))
    }

    /// Theirs of ours.
    fn write(self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Same => Ok(tensor.clone()),
            Self::Leading => tensor.unsqueeze(0),
            Self::Map => tensor.unsqueeze(0)?.unsqueeze(0),
            Self::ImageBias => tensor.reshape((1, (), 1, 1)),
            Self::Scalar => tensor.reshape(1),
            Self::UpFilter => tensor * 4.,
        }
    }
}

/// Tensors in the order in which PyTorch has them.
pub(crate) type StateDict = Vec<(String, Tensor)>;

/// Pairs of names of one network, and how the tensors differ.
type Table = Vec<(String, String, Form)>;

/// Whether tensors have the names of a generator.
pub(crate) fn is_generator(tensors: &Tensors) -> bool {
    tensors.contains_key("style.1.weight") && tensors.contains_key("input.input")
}

/// Whether tensors have the names of a discriminator.
pub(crate) fn is_discriminator(tensors: &Tensors) -> bool {
    tensors.contains_key("final_conv.0.weight") && tensors.contains_key("final_linear.1.weight")
}

/// The weight of a modulated convolution, and the affine layer of its style.
fn add_modulated(add: &mut impl FnMut(String, String, Form), theirs: &str, ours: &str) {
    let (weight, affine) = (format!("{ours}.weight"), format!("{ours}.affine"));
    add(format!("{theirs}.conv.weight"), weight, Form::Leading);
    for leaf in ["weight", "bias"] {
        let theirs = format!("{theirs}.conv.modulation.{leaf}");
        add(theirs, format!("{affine}.{leaf}"), Form::Same);
    }
}

/// Theirs and ours, of a generator of that resolution and number of mapping layers.
fn generator_table(resolution: usize, num_layers: usize) -> Table {
    let mut table = Table::new();
    let mut add = |theirs: String, ours: String, form| table.push((theirs, ours, form));
    for i in 0..num_layers {
        for leaf in ["weight", "bias"] {
            // 0 is the normalisation of z.
            add(
                format!("style.{}.{leaf}", i + 1),
                format!("mapping.fc{i}.{leaf}"),
                Form::Same,
            );
        }
    }
    add(
        "input.input".into(),
        "synthesis.b4.const".into(),
        Form::Leading,
    );
    let log2s = 2..=resolution.ilog2() as usize;
    // The first block has one convolution, and names of its own.
    let convs = std::iter::once(("conv1".to_string(), 4, "conv1", 0)).chain(
        log2s.clone().skip(1).flat_map(|log2| {
            let (r, first) = (1 << log2, 2 * log2 - 6);
            [
                (format!("convs.{first}"), r, "conv0", first + 1),
                (format!("convs.{}", first + 1), r, "conv1", first + 2),
            ]
        }),
    );
    for (theirs, r, conv, noise) in convs {
        let ours = format!("synthesis.b{r}.{conv}");
        add_modulated(&mut add, &theirs, &ours);
        add(
            format!("{theirs}.noise.weight"),
            format!("{ours}.noise_strength"),
            Form::Scalar,
        );
        add(
            format!("{theirs}.activate.bias"),
            format!("{ours}.bias"),
            Form::Same,
        );
        add(
            format!("noises.noise_{noise}"),
            format!("{ours}.noise_const"),
            Form::Map,
        );
        if conv == "conv0" {
            let theirs = format!("{theirs}.conv.blur.kernel");
            add(theirs, format!("{ours}.resample_filter"), Form::UpFilter);
        }
    }
    for log2 in log2s {
        let r = 1 << log2;
        let theirs = match log2 {
            2 => "to_rgb1".to_string(),
            _ => format!("to_rgbs.{}", log2 - 3),
        };
        let ours = format!("synthesis.b{r}.torgb");
        add(
            format!("{theirs}.bias"),
            format!("{ours}.bias"),
            Form::ImageBias,
        );
        add_modulated(&mut add, &theirs, &ours);
        if log2 > 2 {
            let ours = format!("synthesis.b{r}.resample_filter");
            add(format!("{theirs}.upsample.kernel"), ours, Form::UpFilter);
        }
    }
    table
}

/// Theirs and ours, of a discriminator of that resolution.
fn discriminator_table(resolution: usize) -> Table {
    let mut table = Table::new();
    let mut add = |theirs: String, ours: String| table.push((theirs, ours, Form::Same));
    add(
        "convs.0.0.weight".into(),
        format!("b{resolution}.fromrgb.weight"),
    );
    add(
        "convs.0.1.bias".into(),
        format!("b{resolution}.fromrgb.bias"),
    );
    for (i, log2) in (3..=resolution.ilog2()).rev().enumerate() {
        let (theirs, ours) = (format!("convs.{}", i + 1), format!("b{}", 1 << log2));
        for (theirs_leaf, ours_leaf) in [
            ("conv1.0.weight", "conv0.weight"),
            ("conv1.1.bias", "conv0.bias"),
            ("conv2.0.kernel", "conv1.resample_filter"),
            ("conv2.1.weight", "conv1.weight"),
            ("conv2.2.bias", "conv1.bias"),
            ("skip.0.kernel", "skip.resample_filter"),
            ("skip.1.weight", "skip.weight"),
        ] {
            add(
                format!("{theirs}.{theirs_leaf}"),
                format!("{ours}.{ours_leaf}"),
            );
        }
    }
    for (theirs, ours) in [
        ("final_conv.0.weight", "conv.weight"),
        ("final_conv.1.bias", "conv.bias"),
        ("final_linear.0.weight", "fc.weight"),
        ("final_linear.0.bias", "fc.bias"),
        ("final_linear.1.weight", "out.weight"),
        ("final_linear.1.bias", "out.bias"),
    ] {
        add(theirs.to_string(), format!("b4.{ours}"));
    }
    table
}

/// A generator's tensors under our names; `latent_avg` is stored beside them, if at all.
pub(crate) fn read_generator(
    network: &str,
    theirs: &Tensors,
    latent_avg: Option<&Tensor>,
) -> Result<Tensors> {
    let num_layers =
        (1..theirs.len()).take_while(|i| theirs.contains_key(&format!("style.{i}.weight")));
    let blocks =
        (0..theirs.len().min(8)).take_while(|i| theirs.contains_key(&format!("to_rgbs.{i}.bias")));
    let table = generator_table(4 << blocks.count(), num_layers.count());
    let mut ours = read(network, theirs, table)?;
    if let Some(latent_avg) = latent_avg {
        ours.insert("mapping.w_avg".to_string(), latent_avg.flatten_all()?);
    }
    Ok(ours)
}

/// A discriminator's tensors under our names.
pub(crate) fn read_discriminator(network: &str, theirs: &Tensors) -> Result<Tensors> {
    let blocks = (1..theirs.len().min(9))
        .take_while(|i| theirs.contains_key(&format!("convs.{i}.conv1.0.weight")));
    read(network, theirs, discriminator_table(4 << blocks.count()))
}

fn read(network: &str, theirs: &Tensors, table: Table) -> Result<Tensors> {
    let mut ours = Tensors::new();
    let mut known = BTreeSet::new();
    for (name, our_name, form) in table {
        // What is missing is found when the network is built, under our name.
        if let Some(tensor) = theirs.get(&name) {
            let converted = form.read(tensor)?.ok_or_else(|| {
                let problem = format!(
                    "expected {name} to have the form of {our_name}, found a tensor of the shape {:?}",
                    tensor.dims()
                );
                ImportError::network(network, problem)
            })?;
            ours.insert(our_name, converted);
        }
        known.insert(name);
    }
    let unknown: Vec<&str> = theirs
        .keys()
        .map(String::as_str)
        .filter(|&name| !known.contains(name))
        .collect();
    if let Some(first) = unknown.first() {
        let problem = format!(
            "expected the tensors of the rosinality code, found {first} and {} more that it doesn't have",
            unknown.len() - 1
        );
        return Err(ImportError::network(network, problem));
    }
    Ok(ours)
}

/// A generator's tensors under the names of the rosinality code, and its average w.
pub(crate) fn write_generator(
    ours: &Tensors,
    resolution: usize,
    num_layers: usize,
    filter: &Tensor,
) -> Result<(StateDict, Option<Tensor>)> {
    let theirs = write(ours, generator_table(resolution, num_layers), filter)?;
    let w_avg = ours.get("mapping.w_avg").map(|w_avg| w_avg.unsqueeze(0));
    Ok((theirs, w_avg.transpose()?))
}

/// A discriminator's tensors under the names of the rosinality code.
pub(crate) fn write_discriminator(
    ours: &Tensors,
    resolution: usize,
    filter: &Tensor,
) -> Result<StateDict> {
    write(ours, discriminator_table(resolution), filter)
}

/// `filter` stands in for those that are not stored.
fn write(ours: &Tensors, table: Table, filter: &Tensor) -> Result<StateDict> {
    let mut theirs = Vec::with_capacity(table.len());
    for (name, our_name, form) in table {
        let tensor = match ours.get(&our_name) {
            Some(tensor) => tensor,
            None if our_name.ends_with("resample_filter") => filter,
            None => {
                let problem = format!("expected a tensor {our_name}, found none");
                return Err(ImportError::network("network", problem));
            }
        };
        theirs.push((name, form.write(tensor)?));
    }
    Ok(theirs)
}
