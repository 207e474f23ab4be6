use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Form, Variable, block_resolution, convert, lod_resolution, number, weight_or_bias};
use crate::error::Result;

/// The parameters of a StyleGAN2 generator of `resolution`, from its variables or a part of them.
///
/// Unlike the first generation's, its values change: the kernels of upsampling convolutions are rotated by
/// 180 degrees, and the bias of a style has its 1 added.
///
/// | TensorFlow | ours |
/// |---|---|
/// | `G_mapping/Dense{i}/{weight,bias}` | `mapping.fc{i}.{weight,bias}` |
/// | `G_mapping/LabelConcat/weight`, or `G_mapping/LabelEmbed/{weight,bias}` in ADA's | `mapping.embed.{weight,bias}` |
/// | `dlatent_avg` | `mapping.w_avg` |
/// | `G_synthesis/4x4/Const/const` | `synthesis.b4.const` |
/// | `4x4/Conv/...`, `{r}x{r}/Conv1/...` | `synthesis.b{r}.conv1...` |
/// | `{r}x{r}/Conv0_up/...` | `synthesis.b{r}.conv0...` |
/// | `{r}x{r}/ToRGB/...`, `{r}x{r}/Skip/weight` | `synthesis.b{r}.torgb...`, `synthesis.b{r}.skip.weight` |
/// | `ToRGB_lod0/...` | `synthesis.b{R}.torgb...` |
/// | ... `weight`, `bias`, `noise_strength`, `mod_weight`, `mod_bias + 1` | ... `weight`, `bias`, `noise_strength`, `affine.weight`, `affine.bias` |
/// | `noise{i}` | `noise_const` of layer i: `b4.conv1`, `b8.conv0`, `b8.conv1`, ... |
///
/// Configurations A to D of the paper's table 1 grow. A has the networks of StyleGAN; B to D have StyleGAN2's layers,
/// and image outputs `ToRGB_lod{l}`, of which `ToRGB_lod0` alone makes the pictures of a grown network: the others,
/// and `lod`, are passed over.
///
/// # Errors
/// Those of [`generator`](super::generator).
pub fn stylegan2_generator(
    variables: &BTreeMap<String, Tensor>,
    resolution: usize,
) -> Result<BTreeMap<String, Tensor>> {
    convert("generator", variables, resolution, |name| {
        generator_variable(name, resolution)
    })
}

/// The parameters of a StyleGAN2 discriminator of `resolution`, from its variables or a part of them.
///
/// | TensorFlow | ours |
/// |---|---|
/// | `{r}x{r}/FromRGB/...`, `{r}x{r}/Skip/weight` | `b{r}.fromrgb...`, `b{r}.skip.weight` |
/// | `{r}x{r}/Conv0/...`, `{r}x{r}/Conv1_down/...` | `b{r}.conv0...`, `b{r}.conv1...` |
/// | `4x4/Conv/...`, `4x4/Dense0/...`, `Output/...` | `b4.conv...`, `b4.fc...`, `b4.out...` |
/// | `FromRGB_lod0/...`, in configurations B to D | `b{R}.fromrgb...` |
/// | `LabelEmbed/{weight,bias}`, `Mapping{i}/{weight,bias}` in ADA's | `mapping.embed.{weight,bias}`, `mapping.fc{i}.{weight,bias}` |
///
/// # Errors
/// Those of [`discriminator`](super::discriminator).
pub fn stylegan2_discriminator(
    variables: &BTreeMap<String, Tensor>,
    resolution: usize,
) -> Result<BTreeMap<String, Tensor>> {
    convert("discriminator", variables, resolution, |name| {
        discriminator_variable(name, resolution)
    })
}

fn generator_variable(name: &str, resolution: usize) -> Option<Variable> {
    let parts: Vec<&str> = name.split('/').collect();
    let (name, form) = match parts[..] {
        ["lod"] => return Some(Variable::Growth),
        ["dlatent_avg"] => ("mapping.w_avg".to_string(), Form::Vector),
        ["G_mapping", "LabelConcat", "weight"] => ("mapping.embed.weight".to_string(), Form::Dense),
        ["G_mapping", "LabelEmbed", leaf] => {
            let form = weight_or_bias(leaf, Form::Dense)?;
            (format!("mapping.embed.{leaf}"), form)
        }
        ["G_mapping", layer, leaf] => {
            let i = number(layer.strip_prefix("Dense")?)?;
            let form = weight_or_bias(leaf, Form::Dense)?;
            (format!("mapping.fc{i}.{leaf}"), form)
        }
        ["G_synthesis", noise] => {
            // Layer 0 is at 4x4, layers 2k - 1 and 2k are at 4 * 2^k.
            let i = number(noise.strip_prefix("noise")?)?;
            let r = 4usize.checked_shl(i.div_ceil(2).try_into().ok()?)?;
            if !(4..=resolution).contains(&r) {
                return None;
            }
            let layer = if i % 2 == 0 { "conv1" } else { "conv0" };
            (
                format!("synthesis.b{r}.{layer}.noise_const"),
                Form::Noise(r),
            )
        }
        ["G_synthesis", image, leaf] => {
            let r = lod_resolution(image.strip_prefix("ToRGB_lod")?, resolution)?;
            let (name, form) = layer_variable(r, "ToRGB", leaf)?;
            if r < resolution {
                return Some(Variable::Growth);
            }
            (format!("synthesis.b{r}.{name}"), form)
        }
        ["G_synthesis", block, layer, leaf] => {
            let r = block_resolution(block).filter(|&r| r <= resolution)?;
            let (name, form) = layer_variable(r, layer, leaf)?;
            (format!("synthesis.b{r}.{name}"), form)
        }
        _ => return None,
    };
    Some(Variable::Parameter { name, form })
}

fn layer_variable(r: usize, layer: &str, leaf: &str) -> Option<(String, Form)> {
    let (our_layer, kernel) = match (r, layer) {
        (4, "Const") => return (leaf == "const").then(|| ("const".to_string(), Form::Constant)),
        (4, "Conv") | (8.., "Conv1") => ("conv1", Form::Kernel),
        (8.., "Conv0_up") => ("conv0", Form::RotatedKernel),
        (_, "ToRGB") => ("torgb", Form::Kernel),
        (8.., "Skip") => ("skip", Form::Kernel),
        _ => return None,
    };
    let (our_leaf, form) = match (our_layer, leaf) {
        (_, "weight") => ("weight", kernel),
        ("skip", _) => return None,
        (_, "bias") => ("bias", Form::Vector),
        (_, "mod_weight") => ("affine.weight", Form::Dense),
        (_, "mod_bias") => ("affine.bias", Form::VectorPlusOne),
        ("conv0" | "conv1", "noise_strength") => ("noise_strength", Form::Scalar),
        _ => return None,
    };
    Some((format!("{our_layer}.{our_leaf}"), form))
}

fn discriminator_variable(name: &str, resolution: usize) -> Option<Variable> {
    let parts: Vec<&str> = name.split('/').collect();
    let (r, layer, weight, leaf) = match parts[..] {
        ["lod"] => return Some(Variable::Growth),
        ["Output", leaf] => (4, "out", Form::Dense, leaf),
        [image, leaf] if image.starts_with("FromRGB_lod") => {
            let r = lod_resolution(image.strip_prefix("FromRGB_lod")?, resolution)?;
            weight_or_bias(leaf, Form::Kernel)?;
            if r < resolution {
                return Some(Variable::Growth);
            }
            (r, "fromrgb", Form::Kernel, leaf)
        }
        [layer, leaf] => {
            let layer = match layer.strip_prefix("Mapping") {
                Some(i) => format!("fc{}", number(i)?),
                None if layer == "LabelEmbed" => "embed".to_string(),
                None => return None,
            };
            return Some(Variable::Parameter {
                name: format!("mapping.{layer}.{leaf}"),
                form: weight_or_bias(leaf, Form::Dense)?,
            });
        }
        [block, layer, leaf] => {
            let r = block_resolution(block).filter(|&r| r <= resolution)?;
            let (layer, weight) = match (r, layer) {
                (_, "FromRGB") => ("fromrgb", Form::Kernel),
                (4, "Conv") => ("conv", Form::Kernel),
                (4, "Dense0") => ("fc", Form::Dense),
                (8.., "Conv0") => ("conv0", Form::Kernel),
                (8.., "Conv1_down") => ("conv1", Form::Kernel),
                (8.., "Skip") if leaf == "weight" => ("skip", Form::Kernel),
                _ => return None,
            };
            (r, layer, weight, leaf)
        }
        _ => return None,
    };
    let form = weight_or_bias(leaf, weight)?;
    let name = format!("b{r}.{layer}.{leaf}");
    Some(Variable::Parameter { name, form })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn converted(name: &str, shape: &[usize]) -> (String, Tensor) {
        let n: usize = shape.iter().product();
        let values = Tensor::arange(0., n as f64, &Device::Cpu).unwrap();
        let variables = BTreeMap::from([(name.to_string(), values.reshape(shape).unwrap())]);
        let mut parameters = stylegan2_generator(&variables, 32).unwrap();
        parameters.pop_first().unwrap()
    }

    #[test]
    fn every_variable_of_a_generator_has_our_name() {
        let names: [(&str, &[usize], &str); 14] = [
            ("G_mapping/Dense0/weight", &[2, 3], "mapping.fc0.weight"),
            (
                "G_mapping/LabelConcat/weight",
                &[2, 3],
                "mapping.embed.weight",
            ),
            (
                "G_mapping/LabelEmbed/weight",
                &[2, 3],
                "mapping.embed.weight",
            ),
            ("G_mapping/LabelEmbed/bias", &[3], "mapping.embed.bias"),
            (
                "G_synthesis/ToRGB_lod0/mod_bias",
                &[3],
                "synthesis.b32.torgb.affine.bias",
            ),
            ("dlatent_avg", &[3], "mapping.w_avg"),
            (
                "G_synthesis/4x4/Const/const",
                &[1, 2, 4, 4],
                "synthesis.b4.const",
            ),
            ("G_synthesis/4x4/Conv/bias", &[2], "synthesis.b4.conv1.bias"),
            (
                "G_synthesis/4x4/ToRGB/bias",
                &[3],
                "synthesis.b4.torgb.bias",
            ),
            (
                "G_synthesis/8x8/Skip/weight",
                &[1, 1, 2, 2],
                "synthesis.b8.skip.weight",
            ),
            (
                "G_synthesis/8x8/Conv1/noise_strength",
                &[],
                "synthesis.b8.conv1.noise_strength",
            ),
            (
                "G_synthesis/noise0",
                &[1, 1, 4, 4],
                "synthesis.b4.conv1.noise_const",
            ),
            (
                "G_synthesis/noise1",
                &[1, 1, 8, 8],
                "synthesis.b8.conv0.noise_const",
            ),
            (
                "G_synthesis/noise6",
                &[1, 1, 32, 32],
                "synthesis.b32.conv1.noise_const",
            ),
        ];
        for (name, shape, expected) in names {
            assert_eq!(converted(name, shape).0, expected);
        }
    }

    #[test]
    fn every_variable_of_a_discriminator_has_our_name() {
        for (name, expected) in [
            ("Output/bias", "b4.out.bias"),
            ("8x8/Skip/weight", "b8.skip.weight"),
            ("32x32/FromRGB/bias", "b32.fromrgb.bias"),
            ("FromRGB_lod0/weight", "b32.fromrgb.weight"),
            ("LabelEmbed/weight", "mapping.embed.weight"),
            ("LabelEmbed/bias", "mapping.embed.bias"),
            ("Mapping7/weight", "mapping.fc7.weight"),
        ] {
            let variable = discriminator_variable(name, 32).and_then(Variable::parameter);
            assert_eq!(variable.as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn what_only_growing_needs_is_passed_over() {
        for name in [
            "lod",
            "G_synthesis/ToRGB_lod1/weight",
            "G_synthesis/ToRGB_lod3/mod_bias",
        ] {
            let variable = generator_variable(name, 32);
            assert!(matches!(variable, Some(Variable::Growth)), "{name}");
        }
        for name in ["lod", "FromRGB_lod1/weight", "FromRGB_lod3/bias"] {
            let variable = discriminator_variable(name, 32);
            assert!(matches!(variable, Some(Variable::Growth)), "{name}");
        }
    }

    #[test]
    fn names_that_no_network_has_are_no_parameters() {
        for name in [
            "G_synthesis/noise7",
            "G_synthesis/64x64/Conv1/bias",
            "G_synthesis/4x4/Conv0_up/bias",
            "G_synthesis/4x4/Skip/weight",
            "G_synthesis/8x8/Skip/bias",
            "G_synthesis/8x8/ToRGB/noise_strength",
            "G_synthesis/8x8/Conv1/Noise/weight",
            "8x8/Conv1/bias",
            "G_synthesis/ToRGB_lod4/weight",
            "G_synthesis/ToRGB_lod1/noise_strength",
            "G_mapping/LabelEmbed/weight2",
        ] {
            assert!(generator_variable(name, 32).is_none(), "{name}");
        }
        for name in [
            "Output/bias2",
            "8x8/Skip/bias",
            "64x64/Conv0/bias",
            "4x4/Dense1/bias",
            "FromRGB_lod4/weight",
            "FromRGB_lod1/mod_bias",
            "Mapping/weight",
            "LabelConcat/weight",
        ] {
            assert!(discriminator_variable(name, 32).is_none(), "{name}");
        }
    }

    #[test]
    fn upsampling_kernels_are_rotated_and_style_biases_have_their_one() {
        let (_, ours) = converted("G_synthesis/8x8/Conv0_up/weight", &[3, 3, 2, 5]);
        assert_eq!(ours.dims(), [5, 2, 3, 3]);
        let at = |o: usize, i: usize, y: usize, x: usize| {
            let element = ours
                .get(o)
                .unwrap()
                .get(i)
                .unwrap()
                .get(y)
                .unwrap()
                .get(x)
                .unwrap();
            element.to_scalar::<f64>().unwrap()
        };
        // Theirs at [h, w, i, o] is ((h * 3 + w) * 2 + i) * 5 + o; ours is at 2 - h, 2 - w.
        assert_eq!([at(4, 1, 0, 2), at(3, 0, 2, 1)], [69., 13.]);
        let (_, bias) = converted("G_synthesis/8x8/Conv1/mod_bias", &[3]);
        assert_eq!(bias.to_vec1::<f64>().unwrap(), [1., 2., 3.]);
    }
}
