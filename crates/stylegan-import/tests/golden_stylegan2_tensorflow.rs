//! Networks of the reference values of StyleGAN2, pickled under the names that the TensorFlow tools gave their
//! variables: with ADA's labels, and as the networks of configurations B to D, which grow. There are no samples of
//! these; the networks compute what they compute in PyTorch.

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Error, Result, Tensor};
use common::builder::{Pickled, array, network};
use serde::Deserialize;
use stylegan_goldens::{Case, assert_close};
use stylegan_import::{Family, Imported, import_bytes};
use stylegan_mapping::LabelInput;
use stylegan_ops::nn::Architecture;
use stylegan_synthesis::NoiseMode;

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Params {
    generator: Sizes,
    discriminator: Sizes,
}

#[derive(Deserialize)]
struct Sizes {
    c_dim: usize,
    img_resolution: usize,
    channel_base: i64,
    channel_max: i64,
    architecture: Architecture,
    conv_clamp: Option<f64>,
}

/// Variables of a network and of its components.
#[derive(Default)]
struct Variables {
    by_part: BTreeMap<&'static str, Vec<(String, Pickled)>>,
}

impl Variables {
    fn insert(&mut self, part: &'static str, name: impl Into<String>, tensor: &Tensor) {
        let variables = self.by_part.entry(part).or_default();
        variables.push((name.into(), pickled(tensor)));
    }

    fn pickle(&self, kwargs: &[(&str, Pickled)]) -> Pickled {
        let named = |part: &str| {
            let variables = self.by_part.get(part).into_iter().flatten();
            variables.map(|(name, value)| (&name[..], value.clone()))
        };
        let components = ["mapping", "synthesis"]
            .into_iter()
            .filter(|part| self.by_part.contains_key(part))
            .map(|part| (part, network(kwargs.iter().cloned(), [], named(part))));
        network(kwargs.iter().cloned(), components, named(""))
    }
}

fn pickled(tensor: &Tensor) -> Pickled {
    let shape: Vec<i64> = tensor.dims().iter().map(|&size| size as i64).collect();
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
    array(&shape, "f4", &bytes)
}

/// `[O, I, kh, kw]` as `[kh, kw, I, O]`.
fn kernel(tensor: &Tensor) -> Result<Tensor> {
    tensor.permute((2, 3, 1, 0))?.contiguous()
}

/// The variable of a weight or bias, in the layout of its kind of layer.
fn weight_or_bias(tensor: &Tensor) -> Result<Tensor> {
    match tensor.rank() {
        4 => kernel(tensor),
        2 => tensor.t()?.contiguous(),
        _ => Ok(tensor.clone()),
    }
}

/// The name of an image layer: of its resolution, or of the levels of detail of a network that grows.
fn image_layer(kind: &str, r: usize, grows: bool) -> String {
    match grows {
        true => format!("{kind}_lod0"),
        false => format!("{r}x{r}/{kind}"),
    }
}

fn generator_variables(case: &Case<Params>, grows: bool) -> Result<Variables> {
    let mut variables = Variables::default();
    for (name, tensor) in case.with_prefix("G.") {
        let parts: Vec<&str> = name.split('.').collect();
        let block = |part: &str| part[1..].parse::<usize>().unwrap();
        match parts[..] {
            [.., "resample_filter"] => {}
            ["mapping", "w_avg"] => variables.insert("", "dlatent_avg", &tensor),
            ["mapping", layer, leaf] => {
                let layer = match layer.strip_prefix("fc") {
                    Some(i) => format!("Dense{i}"),
                    None => "LabelEmbed".to_string(),
                };
                let name = format!("{layer}/{leaf}");
                variables.insert("mapping", name, &weight_or_bias(&tensor)?);
            }
            ["synthesis", "b4", "const"] => {
                variables.insert("synthesis", "4x4/Const/const", &tensor.unsqueeze(0)?);
            }
            ["synthesis", b, layer, "noise_const"] => {
                let r = block(b);
                let last = 2 * r.ilog2() - 4;
                let i = if layer == "conv0" { last - 1 } else { last };
                let map = tensor.reshape((1, 1, r, r))?;
                variables.insert("synthesis", format!("noise{i}"), &map);
            }
            ["synthesis", b, layer, ref leaf @ ..] => {
                let r = block(b);
                let layer = match layer {
                    "conv0" => format!("{r}x{r}/Conv0_up"),
                    "conv1" if r == 4 => "4x4/Conv".to_string(),
                    "conv1" => format!("{r}x{r}/Conv1"),
                    "torgb" => image_layer("ToRGB", r, grows),
                    "skip" => format!("{r}x{r}/Skip"),
                    other => panic!("{other}"),
                };
                let (leaf, tensor) = match *leaf {
                    ["affine", "weight"] => ("mod_weight", tensor.t()?.contiguous()?),
                    ["affine", "bias"] => ("mod_bias", (tensor - 1.)?),
                    ["weight"] if layer.ends_with("Conv0_up") => {
                        ("weight", kernel(&tensor.flip(&[2, 3])?)?)
                    }
                    [leaf] => (leaf, weight_or_bias(&tensor)?),
                    ref other => panic!("{other:?}"),
                };
                variables.insert("synthesis", format!("{layer}/{leaf}"), &tensor);
            }
            ref other => panic!("{other:?}"),
        }
    }
    Ok(variables)
}

fn discriminator_variables(case: &Case<Params>, grows: bool) -> Result<Variables> {
    let mut variables = Variables::default();
    for (name, tensor) in case.with_prefix("D.") {
        let parts: Vec<&str> = name.split('.').collect();
        let (layer, leaf) = match parts[..] {
            [.., "resample_filter"] => continue,
            ["mapping", "embed", leaf] => ("LabelEmbed".to_string(), leaf),
            ["mapping", layer, leaf] => (format!("Mapping{}", &layer[2..]), leaf),
            ["b4", "out", leaf] => ("Output".to_string(), leaf),
            ["b4", "conv", leaf] => ("4x4/Conv".to_string(), leaf),
            ["b4", "fc", leaf] => ("4x4/Dense0".to_string(), leaf),
            [b, layer, leaf] => {
                let r: usize = b[1..].parse().unwrap();
                let layer = match layer {
                    "fromrgb" => image_layer("FromRGB", r, grows),
                    "conv0" => format!("{r}x{r}/Conv0"),
                    "conv1" => format!("{r}x{r}/Conv1_down"),
                    "skip" => format!("{r}x{r}/Skip"),
                    other => panic!("{other}"),
                };
                (layer, leaf)
            }
            ref other => panic!("{other:?}"),
        };
        variables.insert("", format!("{layer}/{leaf}"), &weight_or_bias(&tensor)?);
    }
    Ok(variables)
}

fn kwargs(sizes: &Sizes) -> Vec<(&'static str, Pickled)> {
    vec![
        ("label_size", Pickled::int(sizes.c_dim as i64)),
        ("fmap_base", Pickled::int(sizes.channel_base / 2)),
        ("fmap_max", Pickled::int(sizes.channel_max)),
        (
            "conv_clamp",
            sizes.conv_clamp.map_or_else(Pickled::none, Pickled::float),
        ),
        // The reference's, not the usual one of the TensorFlow tools.
        ("mapping_lrmul", Pickled::float(0.01)),
        ("mbstd_group_size", Pickled::int(4)),
    ]
}

/// The file (G, D, Gs) of a case, with what networks that grow have besides.
fn file(case: &Case<Params>, grows: bool, lod: f32) -> Result<Vec<u8>> {
    let Params {
        generator,
        discriminator,
    } = &case.params;
    let mut g = generator_variables(case, grows)?;
    let mut d = discriminator_variables(case, grows)?;
    if grows {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        g.insert("synthesis", "ToRGB_lod1/weight", &zeros(&[1, 1, 5, 3])?);
        g.insert("synthesis", "ToRGB_lod1/mod_bias", &zeros(&[5])?);
        d.insert("", "FromRGB_lod1/weight", &zeros(&[1, 1, 3, 5])?);
        let lod = Tensor::new(lod, &Device::Cpu)?;
        g.insert("", "lod", &lod);
        g.insert("synthesis", "lod", &lod);
        d.insert("", "lod", &lod);
    }
    let g = g.pickle(&kwargs(generator));
    let d = d.pickle(&kwargs(discriminator));
    Ok(Pickled::tuple([g.clone(), d, g]).finish())
}

fn check(case: &Case<Params>, file: &Imported) -> Result<()> {
    let what = |name: &str| format!("{} {name}", case.name);
    let compare = |name: &str, got: &Tensor| {
        assert_close(&what(name), got, case.get(name)?, TOLERANCE);
        Ok::<_, Error>(())
    };
    let cpu = &Device::Cpu;
    let network = file.g_ema.as_ref().unwrap();
    let generator = network.build(DType::F32, cpu).map_err(Error::wrap)?;
    let labels = case.tensors.get("c");
    let ws = generator.ws(case.get("z")?, labels, 1., None)?;
    compare("ws", &ws)?;
    let synthesis = generator.synthesis();
    compare("img_const", &synthesis.forward(&ws, &mut NoiseMode::Const)?)?;
    compare("img_none", &synthesis.forward(&ws, &mut NoiseMode::None)?)?;
    let network = file.d.as_ref().unwrap();
    let discriminator = network.build(DType::F32, cpu).map_err(Error::wrap)?;
    let logits = |images: &str| discriminator.forward(case.get(images)?, labels);
    compare("logits_real", &logits("real")?)?;
    compare("logits_fake", &logits("img_const")?)
}

fn cases() -> Result<Vec<Case<Params>>> {
    let names = stylegan_goldens::names("stylegan2", "network_")?;
    let cases = names
        .iter()
        .map(|name| stylegan_goldens::load("stylegan2", name, DType::F32));
    Ok(cases
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

#[test]
fn golden_networks_under_the_names_of_ada_in_tensorflow_compute_the_same() -> Result<()> {
    let mut with_labels = 0;
    for case in cases()? {
        let file = import_bytes(&file(&case, false, 0.)?).map_err(Error::wrap)?;
        assert_eq!((file.family, &file.notes), (Family::StyleGan2, &vec![]));
        let config = &file.g_ema.as_ref().unwrap().config;
        let Sizes {
            c_dim,
            img_resolution,
            architecture,
            ..
        } = case.params.generator;
        assert_eq!(
            (config.c_dim, config.synthesis.img_resolution),
            (c_dim, img_resolution)
        );
        assert_eq!(config.synthesis.architecture, architecture);
        if c_dim > 0 {
            assert_eq!(config.mapping.label_input, LabelInput::Embed);
            with_labels += 1;
        }
        check(&case, &file)?;
    }
    assert!(with_labels > 0);
    Ok(())
}

#[test]
fn golden_networks_that_have_grown_compute_the_same() -> Result<()> {
    let mut compared = 0;
    for case in cases()? {
        let (g, d) = (&case.params.generator, &case.params.discriminator);
        if [g.architecture, d.architecture] != [Architecture::Orig; 2] {
            continue;
        }
        let grown = import_bytes(&file(&case, true, 0.)?).map_err(Error::wrap)?;
        let note = |name: &str| {
            format!(
                "{name}: of configuration B, C or D, which grow: the image layers of lower resolutions were left out"
            )
        };
        assert_eq!(grown.notes, ["Gs", "G", "D"].map(note));
        check(&case, &grown)?;
        compared += 1;

        let error = import_bytes(&file(&case, true, 1.5)?).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Gs: expected a grown network, since those of configuration B, C or D are read at full resolution only, found one at lod 1.5"
        );
    }
    assert!(compared > 0);
    Ok(())
}

/// What discriminators have where nothing is said.
#[test]
fn labels_of_ada_are_mapped_with_a_tenth_of_the_learning_rate() -> Result<()> {
    for case in cases()?
        .iter()
        .filter(|case| case.params.discriminator.c_dim > 0)
    {
        let given = kwargs(&case.params.discriminator).into_iter();
        let given: Vec<_> = given.filter(|(name, _)| *name != "mapping_lrmul").collect();
        let g = generator_variables(case, false)?.pickle(&kwargs(&case.params.generator));
        let d = discriminator_variables(case, false)?.pickle(&given);
        let file = Pickled::tuple([g.clone(), d, g]).finish();
        let file = import_bytes(&file).map_err(Error::wrap)?;
        let config = file.d.unwrap().config;
        assert_eq!(config.mapping_lr_multiplier, 0.1);
    }
    Ok(())
}
