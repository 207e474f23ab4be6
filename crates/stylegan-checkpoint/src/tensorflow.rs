//! Variables of TensorFlow's ProGAN, StyleGAN and StyleGAN2 networks, by our names and in our layout.
//!
//! StyleGAN2 has [`stylegan2_generator`] and [`stylegan2_discriminator`]; what follows is of the networks
//! before it.
//!
//! [`generator`] and [`discriminator`] take variables by the names that the original networks gave them,
//! wherever they were read from, and give tensors for [`load_network`](crate::load_network). They take
//! any part of a network's variables, so they translate gradients as well. Values stay as they are: both
//! sides store weights before their scaling at run time.
//!
//! A generator of resolution R. The prefix `G_synthesis/`, which ProGAN doesn't have, may be left out:
//!
//! | TensorFlow | ours |
//! |---|---|
//! | `G_mapping/Dense{i}/{weight,bias}` | `mapping.fc{i}.{weight,bias}` |
//! | `G_mapping/LabelConcat/weight` | `mapping.embed.weight` |
//! | `dlatent_avg` | `mapping.w_avg` |
//! | `G_synthesis/4x4/Const/const`, or `4x4/Dense/weight` without a learned constant | `synthesis.b4.const`, `synthesis.b4.input.weight` |
//! | `4x4/Const/...`, `4x4/Dense/...` | `synthesis.b4.input...` |
//! | `4x4/Conv/...` | `synthesis.b4.conv1...` |
//! | `{r}x{r}/Conv0_up/...`, or `Conv0` where not fused (ProGAN) | `synthesis.b{r}.conv0...` |
//! | `{r}x{r}/Conv1/...` | `synthesis.b{r}.conv1...` |
//! | ... `weight`, `bias`, `Noise/weight`, `StyleMod/{weight,bias}` | ... `weight`, `bias`, `noise_strength`, `affine.{weight,bias}` |
//! | `noise{i}` | `noise_const` of layer i: `b4.input`, `b4.conv1`, `b8.conv0`, ... |
//! | `ToRGB_lod{l}/{weight,bias}` | `synthesis.b{R / 2^l}.torgb.{weight,bias}` |
//!
//! A discriminator:
//!
//! | TensorFlow | ours |
//! |---|---|
//! | `FromRGB_lod{l}/{weight,bias}` | `b{R / 2^l}.fromrgb.{weight,bias}` |
//! | `{r}x{r}/Conv0/{weight,bias}` | `b{r}.conv0.{weight,bias}` |
//! | `{r}x{r}/Conv1_down/{weight,bias}`, or `Conv1` where not fused (ProGAN) | `b{r}.conv1.{weight,bias}` |
//! | `4x4/Conv/...`, `4x4/Dense0/...`, `4x4/Dense1/...` | `b4.conv...`, `b4.fc...`, `b4.out...` |
//!
//! Kernels `[kh, kw, in, out]` become `[out, in, kh, kw]` and dense weights `[in, out]` become `[out, in]`.
//! `lod`, where a network stands in its growth, is no parameter and is passed over.

mod stylegan2;

use std::collections::BTreeMap;
use std::fmt;

use candle_core::Tensor;

pub use stylegan2::{stylegan2_discriminator, stylegan2_generator};

use crate::error::{CheckpointError, Mismatch, Result, describe};

/// How a network's repository stores the kernels of the generator's upsampling convolutions (`Conv0_up`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `[kh, kw, in, out]`, as all other kernels: StyleGAN's repository, and the ProGAN that is in it.
    #[default]
    StyleGan,
    /// `[kh, kw, out, in]`: ProGAN's own repository.
    ProGan,
}

/// One variable that doesn't belong to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableProblem {
    /// The network has no variable of that name.
    Unknown {
        /// The variable's name.
        name: String,
    },
    /// The variable has another shape.
    Shape(Mismatch),
    /// Two variables are the same parameter.
    Duplicate {
        /// The variable's name.
        name: String,
        /// The other variable's name.
        other: String,
        /// The name of the parameter that both are.
        parameter: String,
    },
}

impl fmt::Display for VariableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "unknown {name}"),
            Self::Shape(mismatch) => mismatch.fmt(f),
            Self::Duplicate {
                name,
                other,
                parameter,
            } => write!(f, "{other} and {name} are both {parameter}"),
        }
    }
}

/// The parameters of a generator of `resolution`, from its variables or a part of them.
///
/// # Errors
/// One error lists every variable that no such network has, that has another shape than its kind of
/// variable, or that is the same parameter as another one.
pub fn generator(
    variables: &BTreeMap<String, Tensor>,
    resolution: usize,
    layout: Layout,
) -> Result<BTreeMap<String, Tensor>> {
    convert("generator", variables, resolution, |name| {
        generator_variable(name, resolution, layout)
    })
}

/// The parameters of a discriminator of `resolution`, from its variables or a part of them.
///
/// # Errors
/// Those of [`generator`].
pub fn discriminator(
    variables: &BTreeMap<String, Tensor>,
    resolution: usize,
) -> Result<BTreeMap<String, Tensor>> {
    convert("discriminator", variables, resolution, |name| {
        discriminator_variable(name, resolution)
    })
}

/// Our name of a variable of a generator of `resolution`; none where it has no such parameter.
pub fn generator_parameter(variable: &str, resolution: usize) -> Option<String> {
    generator_variable(variable, resolution, Layout::default())?.parameter()
}

/// Our name of a variable of a discriminator of `resolution`; none where it has no such parameter.
pub fn discriminator_parameter(variable: &str, resolution: usize) -> Option<String> {
    discriminator_variable(variable, resolution)?.parameter()
}

/// The resolution of a network, generator or discriminator: the largest r of its layers `{r}x{r}/...`.
///
/// # Errors
/// If there is no such layer.
pub fn resolution(variables: &BTreeMap<String, Tensor>) -> Result<usize> {
    let of_layer = |name: &String| name.split('/').filter_map(block_resolution).next();
    let largest = variables.keys().filter_map(of_layer).max();
    largest.ok_or_else(|| CheckpointError::NoLayers {
        found: variables.keys().cloned().collect(),
    })
}

/// What is known of a variable from its name.
enum Variable {
    Parameter {
        name: String,
        form: Form,
    },
    /// What only growing needs: where the network stands, or an image layer of a lower resolution.
    Growth,
}

impl Variable {
    fn parameter(self) -> Option<String> {
        match self {
            Self::Parameter { name, .. } => Some(name),
            Self::Growth => None,
        }
    }
}

/// How a variable is stored.
#[derive(Clone, Copy)]
enum Form {
    /// `[]`, as ours.
    Scalar,
    /// `[channels]`, as ours.
    Vector,
    /// `[channels]`; ours is larger by 1.
    VectorPlusOne,
    /// `[in, out]`; ours is `[out, in]`.
    Dense,
    /// `[kh, kw, in, out]`; ours is `[out, in, kh, kw]`.
    Kernel,
    /// `[kh, kw, in, out]`; ours is `[out, in, kh, kw]`, and rotated by 180 degrees.
    RotatedKernel,
    /// `[kh, kw, out, in]`; ours is `[out, in, kh, kw]`.
    TransposedKernel,
    /// `[1, C, 4, 4]`; ours is `[C, 4, 4]`.
    Constant,
    /// `[1, 1, r, r]` with this r; ours is `[r, r]`.
    Noise(usize),
}

impl Form {
    /// The tensor in our layout; none where it has another shape.
    fn convert(self, tensor: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let converted = match (self, tensor.dims()) {
            (Self::Scalar, []) | (Self::Vector, [_]) => tensor.clone(),
            (Self::VectorPlusOne, [_]) => (tensor + 1.)?,
            (Self::Dense, [_, _]) => tensor.t()?,
            (Self::Kernel, [_, _, _, _]) => tensor.permute((3, 2, 0, 1))?,
            (Self::RotatedKernel, [_, _, _, _]) => {
                tensor.permute((3, 2, 0, 1))?.contiguous()?.flip(&[2, 3])?
            }
            (Self::TransposedKernel, [_, _, _, _]) => tensor.permute((2, 3, 0, 1))?,
            (Self::Constant, [1, _, 4, 4]) => tensor.squeeze(0)?,
            (Self::Noise(r), &[1, 1, height, width]) if (height, width) == (r, r) => {
                tensor.reshape((r, r))?
            }
            _ => return Ok(None),
        };
        converted.contiguous().map(Some)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar => f.write_str("[]"),
            Self::Vector | Self::VectorPlusOne => f.write_str("[channels]"),
            Self::Dense => f.write_str("[in, out]"),
            Self::Kernel | Self::RotatedKernel => f.write_str("[kh, kw, in, out]"),
            Self::TransposedKernel => f.write_str("[kh, kw, out, in]"),
            Self::Constant => f.write_str("[1, channels, 4, 4]"),
            Self::Noise(r) => write!(f, "[1, 1, {r}, {r}]"),
        }
    }
}

fn convert(
    network: &'static str,
    variables: &BTreeMap<String, Tensor>,
    resolution: usize,
    variable: impl Fn(&str) -> Option<Variable>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut converted = BTreeMap::<String, (&str, Tensor)>::new();
    let mut problems = Vec::new();
    for (name, tensor) in variables {
        let (parameter, form) = match variable(name) {
            Some(Variable::Parameter { name, form }) => (name, form),
            Some(Variable::Growth) => continue,
            None => {
                problems.push(VariableProblem::Unknown { name: name.clone() });
                continue;
            }
        };
        let Some(tensor) = form.convert(tensor)? else {
            problems.push(VariableProblem::Shape(Mismatch {
                name: name.clone(),
                expected: form.to_string(),
                found: describe(tensor.shape(), tensor.dtype()),
            }));
            continue;
        };
        if let Some((other, _)) = converted.get(&parameter) {
            problems.push(VariableProblem::Duplicate {
                name: name.clone(),
                other: other.to_string(),
                parameter,
            });
            continue;
        }
        converted.insert(parameter, (name, tensor));
    }
    if !problems.is_empty() {
        return Err(CheckpointError::Variables {
            network,
            resolution,
            problems,
        });
    }
    let unnamed = |(parameter, (_, tensor))| (parameter, tensor);
    Ok(converted.into_iter().map(unnamed).collect())
}

fn generator_variable(name: &str, resolution: usize, layout: Layout) -> Option<Variable> {
    let parts: Vec<&str> = name.split('/').collect();
    let (name, form) = match parts[..] {
        ["lod"] | ["G_synthesis", "lod"] => return Some(Variable::Growth),
        ["dlatent_avg"] => ("mapping.w_avg".to_string(), Form::Vector),
        ["G_mapping", "LabelConcat", "weight"] => ("mapping.embed.weight".to_string(), Form::Dense),
        ["G_mapping", layer, leaf] => {
            let i = number(layer.strip_prefix("Dense")?)?;
            (
                format!("mapping.fc{i}.{leaf}"),
                weight_or_bias(leaf, Form::Dense)?,
            )
        }
        ["G_synthesis", ref path @ ..] | ref path => {
            let (name, form) = synthesis_variable(path, resolution, layout)?;
            (format!("synthesis.{name}"), form)
        }
    };
    Some(Variable::Parameter { name, form })
}

fn synthesis_variable(path: &[&str], resolution: usize, layout: Layout) -> Option<(String, Form)> {
    let (block, layer, leaf) = match *path {
        [noise] => {
            // Layers 2k and 2k + 1 are those of resolution 4 * 2^k.
            let i = number(noise.strip_prefix("noise")?)?;
            let r = 4usize.checked_shl((i / 2).try_into().ok()?)?;
            let layer = match i {
                0 => "input",
                _ if i % 2 == 0 => "conv0",
                _ => "conv1",
            };
            let name = format!("b{r}.{layer}.noise_const");
            return (4..=resolution)
                .contains(&r)
                .then_some((name, Form::Noise(r)));
        }
        [image, leaf] => {
            let r = lod_resolution(image.strip_prefix("ToRGB_lod")?, resolution)?;
            let form = weight_or_bias(leaf, Form::Kernel)?;
            return Some((format!("b{r}.torgb.{leaf}"), form));
        }
        [block, layer, ref leaf @ ..] => (block_resolution(block)?, layer, leaf),
        [] => return None,
    };
    let kernel = match (layer, layout) {
        ("Conv0_up", Layout::ProGan) => Form::TransposedKernel,
        _ => Form::Kernel,
    };
    let (our_layer, weight) = match (block, layer) {
        (4, "Const") => ("input", Form::Constant),
        (4, "Dense") => ("input", Form::Dense),
        (4, "Conv") => ("conv1", kernel),
        (8.., "Conv0" | "Conv0_up") => ("conv0", kernel),
        (8.., "Conv1") => ("conv1", kernel),
        _ => return None,
    };
    if block > resolution {
        return None;
    }
    let (our_leaf, form) = match (layer, leaf) {
        ("Const", ["const"]) => return Some(("b4.const".to_string(), weight)),
        ("Const", ["weight"]) => return None,
        (_, ["weight"]) => ("weight", weight),
        (_, ["bias"]) => ("bias", Form::Vector),
        (_, ["Noise", "weight"]) => ("noise_strength", Form::Vector),
        (_, ["StyleMod", "weight"]) => ("affine.weight", Form::Dense),
        (_, ["StyleMod", "bias"]) => ("affine.bias", Form::Vector),
        _ => return None,
    };
    Some((format!("b{block}.{our_layer}.{our_leaf}"), form))
}

fn discriminator_variable(name: &str, resolution: usize) -> Option<Variable> {
    let parts: Vec<&str> = name.split('/').collect();
    let (block, layer, weight, leaf) = match parts[..] {
        ["lod"] => return Some(Variable::Growth),
        [image, leaf] => {
            let r = lod_resolution(image.strip_prefix("FromRGB_lod")?, resolution)?;
            (r, "fromrgb", Form::Kernel, leaf)
        }
        [block, layer, leaf] => {
            let block = block_resolution(block)?;
            let (layer, weight) = match (block, layer) {
                (4, "Conv") => ("conv", Form::Kernel),
                (4, "Dense0") => ("fc", Form::Dense),
                (4, "Dense1") => ("out", Form::Dense),
                (8.., "Conv0") => ("conv0", Form::Kernel),
                (8.., "Conv1" | "Conv1_down") => ("conv1", Form::Kernel),
                _ => return None,
            };
            (block, layer, weight, leaf)
        }
        _ => return None,
    };
    let form = weight_or_bias(leaf, weight)?;
    (block <= resolution).then(|| Variable::Parameter {
        name: format!("b{block}.{layer}.{leaf}"),
        form,
    })
}

fn weight_or_bias(leaf: &str, weight: Form) -> Option<Form> {
    match leaf {
        "weight" => Some(weight),
        "bias" => Some(Form::Vector),
        _ => None,
    }
}

/// r of `{r}x{r}`, a power of two from 4 up.
fn block_resolution(block: &str) -> Option<usize> {
    let (width, height) = block.split_once('x')?;
    let r = number(width)?;
    (height == width && r >= 4 && r.is_power_of_two()).then_some(r)
}

/// `resolution / 2^lod`, at least 4.
fn lod_resolution(lod: &str, resolution: usize) -> Option<usize> {
    let r = resolution.checked_shr(number(lod)?.try_into().ok()?)?;
    (r >= 4).then_some(r)
}

/// A number written in the one usual way, so that every variable has one name.
fn number(digits: &str) -> Option<usize> {
    let value: usize = digits.parse().ok()?;
    (value.to_string() == digits).then_some(value)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// A tensor of that shape that counts up from 0.
    fn count(shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        let values = Tensor::arange(0., n as f64, &Device::Cpu).unwrap();
        values.reshape(shape).unwrap()
    }

    fn variables(names: &[(&str, &[usize])]) -> BTreeMap<String, Tensor> {
        let variable = |&(name, shape): &(&str, &[usize])| (name.to_string(), count(shape));
        names.iter().map(variable).collect()
    }

    /// The one parameter that a generator of 32 x 32 makes of a variable.
    fn converted(name: &str, shape: &[usize], layout: Layout) -> (String, Tensor) {
        let mut parameters = generator(&variables(&[(name, shape)]), 32, layout).unwrap();
        assert_eq!(parameters.len(), 1, "{name}");
        parameters.pop_first().unwrap()
    }

    /// The elements of a tensor at some positions.
    fn at<const N: usize>(tensor: &Tensor, positions: [&[usize]; N]) -> [f64; N] {
        positions.map(|position| {
            let narrow = |t: Tensor, &i: &usize| t.get(i).unwrap();
            let element = position.iter().fold(tensor.clone(), narrow);
            element.to_scalar().unwrap()
        })
    }

    #[test]
    fn every_variable_of_a_generator_has_our_name() {
        let names = [
            ("G_mapping/Dense0/weight", "mapping.fc0.weight"),
            ("G_mapping/Dense10/bias", "mapping.fc10.bias"),
            ("G_mapping/LabelConcat/weight", "mapping.embed.weight"),
            ("dlatent_avg", "mapping.w_avg"),
            ("G_synthesis/4x4/Const/const", "synthesis.b4.const"),
            ("G_synthesis/4x4/Const/bias", "synthesis.b4.input.bias"),
            (
                "G_synthesis/4x4/Const/Noise/weight",
                "synthesis.b4.input.noise_strength",
            ),
            (
                "G_synthesis/4x4/Const/StyleMod/bias",
                "synthesis.b4.input.affine.bias",
            ),
            ("G_synthesis/4x4/Dense/weight", "synthesis.b4.input.weight"),
            (
                "G_synthesis/4x4/Dense/StyleMod/weight",
                "synthesis.b4.input.affine.weight",
            ),
            ("G_synthesis/4x4/Conv/weight", "synthesis.b4.conv1.weight"),
            (
                "G_synthesis/8x8/Conv0_up/weight",
                "synthesis.b8.conv0.weight",
            ),
            (
                "G_synthesis/32x32/Conv1/Noise/weight",
                "synthesis.b32.conv1.noise_strength",
            ),
            ("G_synthesis/noise0", "synthesis.b4.input.noise_const"),
            ("G_synthesis/noise1", "synthesis.b4.conv1.noise_const"),
            ("G_synthesis/noise2", "synthesis.b8.conv0.noise_const"),
            ("G_synthesis/noise7", "synthesis.b32.conv1.noise_const"),
            (
                "G_synthesis/ToRGB_lod0/weight",
                "synthesis.b32.torgb.weight",
            ),
            ("G_synthesis/ToRGB_lod3/bias", "synthesis.b4.torgb.bias"),
            ("4x4/Dense/bias", "synthesis.b4.input.bias"),
            ("16x16/Conv0/bias", "synthesis.b16.conv0.bias"),
            ("ToRGB_lod1/bias", "synthesis.b16.torgb.bias"),
        ];
        for (variable, expected) in names {
            let name = generator_parameter(variable, 32);
            assert_eq!(name.as_deref(), Some(expected), "{variable}");
        }
    }

    #[test]
    fn every_variable_of_a_discriminator_has_our_name() {
        let names = [
            ("FromRGB_lod0/weight", "b32.fromrgb.weight"),
            ("FromRGB_lod3/bias", "b4.fromrgb.bias"),
            ("32x32/Conv0/weight", "b32.conv0.weight"),
            ("32x32/Conv1_down/bias", "b32.conv1.bias"),
            ("8x8/Conv1/weight", "b8.conv1.weight"),
            ("4x4/Conv/weight", "b4.conv.weight"),
            ("4x4/Dense0/weight", "b4.fc.weight"),
            ("4x4/Dense1/bias", "b4.out.bias"),
        ];
        for (variable, expected) in names {
            let name = discriminator_parameter(variable, 32);
            assert_eq!(name.as_deref(), Some(expected), "{variable}");
        }
    }

    #[test]
    fn names_that_no_network_has_are_no_parameters() {
        let both = [
            "",
            "lod",
            "lod0",
            "weight",
            "4x4/Conv",
            "4x4/Conv/weights",
            "4x4/Conv0/weight",
            "4x4/Conv1/bias",
            "8x8/Conv/bias",
            "8x16/Conv1/bias",
            "08x08/Conv1/bias",
            "12x12/Conv1/bias",
            "2x2/Conv1/bias",
            "64x64/Conv1/bias",
            "8x8/Conv2/bias",
            "ToRGB_lod4/bias",
            "ToRGB_lod00/bias",
            "ToRGB_lod99999999999999999999/bias",
            "FromRGB_lod4/bias",
            "FromRGB_lod+1/bias",
        ];
        for name in both {
            assert_eq!(generator_parameter(name, 32), None, "{name}");
            assert_eq!(discriminator_parameter(name, 32), None, "{name}");
        }
        let of_generators = [
            "noise8",
            "noise130",
            "noise01",
            "Dense0/weight",
            "G_mapping/dlatent_avg",
            "G_synthesis/dlatent_avg",
            "G_mapping/Dense/weight",
            "G_mapping/LabelConcat/bias",
            "4x4/Const/weight",
            "4x4/Conv/const",
            "8x8/Dense/bias",
            "8x8/Conv1/Noise/bias",
            "FromRGB_lod0/bias",
            "8x8/Conv1_down/bias",
        ];
        for name in of_generators {
            assert_eq!(generator_parameter(name, 32), None, "{name}");
        }
        for name in [
            "ToRGB_lod0/bias",
            "8x8/Conv0_up/bias",
            "4x4/Conv/Noise/weight",
        ] {
            assert_eq!(discriminator_parameter(name, 32), None, "{name}");
        }
    }

    #[test]
    fn kernels_become_out_in_height_width() {
        let (_, ours) = converted("8x8/Conv0_up/weight", &[3, 3, 2, 5], Layout::StyleGan);
        assert_eq!(ours.dims(), [5, 2, 3, 3]);
        assert!(ours.is_contiguous());
        // Theirs at [h, w, i, o] is ((h * 3 + w) * 2 + i) * 5 + o.
        assert_eq!(at(&ours, [&[4, 1, 2, 0], &[3, 0, 1, 2]]), [69., 53.]);
    }

    #[test]
    fn only_upsampling_kernels_of_progans_repository_are_stored_out_in() {
        let (_, ours) = converted("8x8/Conv0_up/weight", &[3, 3, 5, 2], Layout::ProGan);
        assert_eq!(ours.dims(), [5, 2, 3, 3]);
        assert!(ours.is_contiguous());
        // Theirs at [h, w, o, i] is ((h * 3 + w) * 5 + o) * 2 + i.
        assert_eq!(at(&ours, [&[4, 1, 2, 0], &[3, 0, 1, 2]]), [69., 56.]);
        for name in ["8x8/Conv0/weight", "8x8/Conv1/weight", "4x4/Conv/weight"] {
            let (_, ours) = converted(name, &[3, 3, 2, 5], Layout::ProGan);
            assert_eq!(ours.dims(), [5, 2, 3, 3], "{name}");
        }
        let (_, ours) = converted("ToRGB_lod0/weight", &[1, 1, 2, 3], Layout::ProGan);
        assert_eq!(ours.dims(), [3, 2, 1, 1]);
    }

    #[test]
    fn dense_weights_become_out_in() {
        let names = [
            "G_mapping/Dense3/weight",
            "G_mapping/LabelConcat/weight",
            "4x4/Const/StyleMod/weight",
            "4x4/Dense/weight",
        ];
        for name in names {
            let (_, ours) = converted(name, &[3, 32], Layout::StyleGan);
            assert_eq!(ours.dims(), [32, 3], "{name}");
            assert!(ours.is_contiguous());
            assert_eq!(at(&ours, [&[5, 0], &[31, 2]]), [5., 95.], "{name}");
        }
        let dense = variables(&[("4x4/Dense0/weight", &[32, 2])]);
        let ours = &discriminator(&dense, 8).unwrap()["b4.fc.weight"];
        assert_eq!(ours.dims(), [2, 32]);
        assert_eq!(at(ours, [&[1, 0], &[0, 31]]), [1., 62.]);
    }

    #[test]
    fn constants_and_noise_maps_lose_their_leading_ones_and_vectors_stay() {
        let cases: [(&str, &[usize], &[usize]); 5] = [
            ("4x4/Const/const", &[1, 3, 4, 4], &[3, 4, 4]),
            ("noise0", &[1, 1, 4, 4], &[4, 4]),
            ("G_synthesis/noise3", &[1, 1, 8, 8], &[8, 8]),
            ("dlatent_avg", &[6], &[6]),
            ("4x4/Const/StyleMod/bias", &[6], &[6]),
        ];
        for (name, theirs, ours) in cases {
            let (_, tensor) = converted(name, theirs, Layout::StyleGan);
            assert_eq!(tensor.dims(), ours, "{name}");
            let flat = tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!(
                flat.iter().enumerate().all(|(i, &v)| v == i as f64),
                "{name}"
            );
        }
    }

    #[test]
    fn the_position_in_the_growth_is_passed_over_and_the_data_type_kept() -> Result<()> {
        let mut given = variables(&[
            ("lod", &[]),
            ("G_synthesis/lod", &[]),
            ("noise1", &[1, 1, 4, 4]),
        ]);
        for tensor in given.values_mut() {
            *tensor = tensor.to_dtype(DType::F16)?;
        }
        let ours = generator(&given, 4, Layout::StyleGan)?;
        assert_eq!(
            ours.keys().collect::<Vec<_>>(),
            ["synthesis.b4.conv1.noise_const"]
        );
        assert!(ours.values().all(|t| t.dtype() == DType::F16));
        assert!(discriminator(&variables(&[("lod", &[])]), 4)?.is_empty());
        Ok(())
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let given = variables(&[
            ("4x4/Const/const", &[2, 3, 4, 4]),
            ("4x4/Conv/bias", &[1, 3]),
            ("4x4/Conv/mod_bias", &[3]),
            ("G_synthesis/noise2", &[1, 1, 4, 4]),
            ("G_synthesis/8x8/Conv1/bias", &[3]),
            ("8x8/Conv1/bias", &[3]),
            ("8x8/Conv1/weight", &[3, 3]),
        ]);
        let error = generator(&given, 16, Layout::StyleGan).unwrap_err();
        let message = "not the variables of a TensorFlow generator of 16x16: \
             4x4/Const/const (expected [1, channels, 4, 4], found [2, 3, 4, 4] f64), \
             4x4/Conv/bias (expected [channels], found [1, 3] f64), \
             unknown 4x4/Conv/mod_bias, \
             8x8/Conv1/weight (expected [kh, kw, in, out], found [3, 3] f64), \
             8x8/Conv1/bias and G_synthesis/8x8/Conv1/bias are both synthesis.b8.conv1.bias, \
             G_synthesis/noise2 (expected [1, 1, 8, 8], found [1, 1, 4, 4] f64); \
             check that they come from a ProGAN or StyleGAN generator";
        assert_eq!(error.to_string(), message);
        let fused_and_not = [("8x8/Conv1/bias", &[3][..]), ("8x8/Conv1_down/bias", &[3])];
        let error = discriminator(&variables(&fused_and_not), 8)
            .unwrap_err()
            .to_string();
        let expected = "8x8/Conv1/bias and 8x8/Conv1_down/bias are both b8.conv1.bias";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_resolution_is_that_of_the_largest_layer() -> Result<()> {
        let generator = [
            "G_synthesis/4x4/Conv/bias",
            "G_synthesis/16x16/Conv1/bias",
            "noise9",
        ];
        let discriminator = ["4x4/Conv/bias", "8x8/Conv0/bias", "FromRGB_lod0/weight"];
        for (names, expected) in [(generator, 16), (discriminator, 8)] {
            let variables = names.map(|name| (name.to_string(), count(&[1])));
            assert_eq!(resolution(&BTreeMap::from(variables))?, expected);
        }
        let error = resolution(&variables(&[("lod", &[])])).unwrap_err();
        let message = "no variables under `4x4/`, `8x8/`, ..., as a ProGAN or StyleGAN network has; found lod";
        assert_eq!(error.to_string(), message);
        Ok(())
    }
}
