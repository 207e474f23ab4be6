//! The networks of the public tools' files compute what they computed there.

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Error, Result, Tensor, bail};
use common::{Sample, fixture, samples};
use stylegan_goldens::{assert_close, device};
use stylegan_import::{Imported, Network, import};
use stylegan_mapping::{broadcast, truncate};
use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode};

const TOLERANCE: f64 = 1e-4;

fn build(network: &Option<Network<GeneratorConfig>>) -> Result<Option<Generator>> {
    let build = |network: &Network<_>| network.build(DType::F32, device()).map_err(Error::wrap);
    network.as_ref().map(build).transpose()
}

/// What a name among the expected tensors asks for, e.g. `img_psi07_const`, `image_psi07_cutoff8`, `w_G` or
/// `logits_real`.
#[derive(Default)]
struct Wanted {
    /// Of the trained generator rather than the average.
    of_g: bool,
    result: Option<Output>,
    psi: Option<f64>,
    cutoff: Option<usize>,
    without_noise: bool,
    of_reals: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Output {
    Average,
    Ws,
    Image,
    Logits,
    ClassLogits,
}

impl Wanted {
    /// None of a name with a part that isn't known.
    fn parse(name: &str) -> Option<Self> {
        let mut wanted = Self::default();
        for part in name.split('_') {
            match part {
                "G" => wanted.of_g = true,
                "w" | "ws" => wanted.result = Some(Output::Ws),
                "img" | "image" => wanted.result = Some(Output::Image),
                "logits" if wanted.result == Some(Output::ClassLogits) => {}
                "logits" => wanted.result = Some(Output::Logits),
                "class" => wanted.result = Some(Output::ClassLogits),
                "const" => {}
                "none" => wanted.without_noise = true,
                "real" => wanted.of_reals = true,
                part => {
                    if let Some(digits) = part.strip_prefix("psi") {
                        // 07 is 0.7.
                        let value: f64 = digits.parse().ok()?;
                        wanted.psi = Some(value / 10f64.powi(digits.len() as i32 - 1));
                    } else {
                        let digits = part.strip_prefix("cutoff").or(part.strip_prefix("cut"))?;
                        wanted.cutoff = Some(digits.parse().ok()?);
                    }
                }
            }
        }
        Some(wanted)
    }
}

/// Compares everything that is expected of the networks; returns how often what was compared.
fn check(sample: &Sample, file: &Imported) -> Result<BTreeMap<Output, usize>> {
    let (g, g_ema) = (build(&file.g)?, build(&file.g_ema)?);
    let d = file
        .d
        .as_ref()
        .map(|network| network.build(DType::F32, device()));
    let d = d.transpose().map_err(Error::wrap)?;
    let labels = sample.expected.get("c").or(sample.expected.get("labels"));
    let z = sample.get("z")?;
    let mut compared = BTreeMap::new();
    let mut count = |output| *compared.entry(output).or_default() += 1;
    for (name, expected) in &sample.expected {
        if matches!(&name[..], "z" | "c" | "labels" | "real") {
            continue;
        }
        let what = format!("{} {name}", sample.name);
        let average = |generator: &Generator| match generator.mapping().w_avg() {
            Some(w_avg) => Ok(w_avg.clone()),
            // A file without one comes with the one that the tool estimated.
            None => sample.get("latent_avg")?.flatten_all(),
        };
        let compare = |got: &Tensor| assert_close(&what, got, expected, TOLERANCE);
        if let ("latent_avg" | "dlatent_avg", Some(g_ema)) = (&name[..], &g_ema) {
            compare(&average(g_ema)?.reshape(expected.dims())?);
            count(Output::Average);
            continue;
        }
        let Some(Wanted {
            of_g,
            result: Some(result),
            psi,
            cutoff,
            without_noise,
            of_reals,
        }) = Wanted::parse(name)
        else {
            bail!("{what}: no check of it")
        };
        if matches!(result, Output::Logits | Output::ClassLogits) {
            let Some(d) = &d else { continue };
            // Of the pictures that are stored, so that nothing adds up.
            let images = match of_reals {
                true => sample.get("real")?,
                false => match sample.expected.get("image") {
                    Some(image) => image,
                    None => sample.get("img_psi07_const")?,
                },
            };
            compare(&match result {
                Output::ClassLogits => d.forward_with_classes(images)?.1,
                _ => d.forward(images, labels.filter(|_| d.config().c_dim > 0))?,
            });
            count(Output::Logits);
            continue;
        }
        let Some(generator) = (if of_g { &g } else { &g_ema }) else {
            continue;
        };
        let w = generator.mapping().forward(Some(z), labels)?;
        if result == Output::Ws && expected.rank() == 2 {
            compare(&w);
            count(Output::Ws);
            continue;
        }
        let mut ws = broadcast(&w, generator.synthesis().num_ws())?;
        if let Some(psi) = psi {
            ws = truncate(&ws, &average(generator)?, psi, cutoff)?;
        }
        compare(&match result {
            Output::Ws => ws,
            _ => {
                let mut noise = if without_noise {
                    NoiseMode::None
                } else {
                    NoiseMode::Const
                };
                generator.synthesis().forward(&ws, &mut noise)?
            }
        });
        count(result);
    }
    Ok(compared)
}

#[test]
fn golden_every_sample_file_computes_its_expected_outputs() -> Result<()> {
    for sample in samples()? {
        let file = import(&sample.path).map_err(Error::wrap)?;
        let compared = check(&sample, &file)?;
        let of_generator = file
            .generator()
            .map(|network| network.config.mapping.num_layers);
        for (output, is_there) in [
            (Output::Image, of_generator.is_some()),
            // ProGAN has no w.
            (Output::Ws, of_generator.is_some_and(|layers| layers > 0)),
            (Output::Logits, file.d.is_some()),
        ] {
            assert!(
                !is_there || compared.contains_key(&output),
                "{}: no {output:?}",
                sample.name
            );
        }
        println!(
            "{}: {} from {}: compared {compared:?}; {:?}",
            sample.name, file.family, file.origin, file.notes
        );
    }
    Ok(())
}

/// With one sample that comes without an average w, and the one that the tool estimated for it.
#[test]
fn an_estimated_average_w_is_near_the_one_that_the_tool_estimates() -> Result<()> {
    let file = import(fixture("checkpoints/rosinality_train.pt")).map_err(Error::wrap)?;
    let expected = fixture("checkpoints/rosinality_expected.safetensors");
    let expected = candle_core::safetensors::load(expected, device())?;
    let mut g_ema = file.g_ema.unwrap();
    assert!(!g_ema.config.mapping.w_avg);
    g_ema.estimate_w_avg(4096).map_err(Error::wrap)?;
    let found = g_ema.tensors["mapping.w_avg"].clone();
    assert_close("w_avg", &found, &expected["latent_avg"].flatten_all()?, 0.1);
    let generator = g_ema.build(DType::F32, device()).map_err(Error::wrap)?;
    assert!(generator.mapping().w_avg().is_some());
    // One that is there stays.
    g_ema.estimate_w_avg(1).map_err(Error::wrap)?;
    assert_close("w_avg", &g_ema.tensors["mapping.w_avg"], &found, 0.);
    Ok(())
}
