//! The networks of the public tools' files compute what they computed there.

mod common;

use candle_core::{DType, Device, Error, Result, Tensor, bail};
use common::{Sample, samples};
use stylegan_goldens::assert_close;
use stylegan_import::{Imported, Network, import};
use stylegan_mapping::{broadcast, truncate};
use stylegan_synthesis::{Generator, GeneratorConfig, NoiseMode};

const TOLERANCE: f64 = 1e-4;

fn build(network: &Option<Network<GeneratorConfig>>) -> Result<Option<Generator>> {
    let build = |network: &Network<_>| network.build(DType::F32, &Device::Cpu).map_err(Error::wrap);
    network.as_ref().map(build).transpose()
}

/// Compares everything that is expected of the networks; returns how much it was.
fn check(sample: &Sample, file: &Imported) -> Result<usize> {
    let (g, g_ema) = (build(&file.g)?, build(&file.g_ema)?);
    let d = file
        .d
        .as_ref()
        .map(|network| network.build(DType::F32, &Device::Cpu));
    let d = d.transpose().map_err(Error::wrap)?;
    let (z, c) = (
        sample.get("z")?,
        sample.expected.get("c").or(sample.expected.get("labels")),
    );
    let (Some(g_ema), mut compared) = (g_ema, 0) else {
        bail!("{}: no G_ema", sample.name)
    };
    // A file without an average w comes with the one that the tool computed from samples.
    let w_avg = match (g_ema.mapping().w_avg(), sample.expected.get("latent_avg")) {
        (Some(w_avg), _) => Some(w_avg.clone()),
        (None, Some(latent_avg)) => Some(latent_avg.flatten_all()?),
        (None, None) => None,
    };
    let ws = g_ema.ws(z, c, 1., None)?;
    let truncated = |psi: f64, cutoff: Option<usize>| match &w_avg {
        Some(w_avg) => truncate(&ws, w_avg, psi, cutoff),
        None => bail!("{}: no average w", sample.name),
    };
    let image = |ws: &Tensor, mut noise: NoiseMode| g_ema.synthesis().forward(ws, &mut noise);

    for (name, expected) in &sample.expected {
        let got = match name.as_str() {
            "z" | "c" | "labels" | "real" => continue,
            // Of the mapping network alone, or for every layer.
            "ws" | "w" if expected.rank() == 2 => g_ema.mapping().forward(Some(z), c)?,
            "ws" | "w" => ws.clone(),
            "latent_avg" | "dlatent_avg" => match &w_avg {
                Some(w_avg) => w_avg.reshape(expected.dims())?,
                None => bail!("{}: no average w", sample.name),
            },
            "img_none" => image(&ws, NoiseMode::None)?,
            "img_const" | "image" => image(&ws, NoiseMode::Const)?,
            "img_psi07_const" => image(&truncated(0.7, None)?, NoiseMode::Const)?,
            "image_psi05" => image(&truncated(0.5, None)?, NoiseMode::Const)?,
            "G_img_none" | "w_G" | "image_G" => {
                let Some(g) = &g else { continue };
                match name.as_str() {
                    "G_img_none" => g.forward(z, c, 1., None, &mut NoiseMode::None)?,
                    "image_G" => g.forward(z, c, 1., None, &mut NoiseMode::Const)?,
                    _ => broadcast(&g.mapping().forward(Some(z), c)?, g.synthesis().num_ws())?,
                }
            }
            "logits" | "logits_real" => {
                let Some(d) = &d else { continue };
                let input = match (name.as_str(), sample.expected.get("image")) {
                    ("logits_real", _) => sample.get("real")?,
                    (_, Some(image)) => image,
                    (_, None) => sample.get("img_psi07_const")?,
                };
                let c = c.filter(|_| d.config().c_dim > 0);
                d.forward(input, c)?
            }
            name => match name.strip_prefix("image_psi07_cutoff").map(str::parse) {
                Some(Ok(cutoff)) => image(&truncated(0.7, Some(cutoff))?, NoiseMode::Const)?,
                _ => bail!("{}: no check of {name}", sample.name),
            },
        };
        assert_close(
            &format!("{} {name}", sample.name),
            &got,
            expected,
            TOLERANCE,
        );
        compared += 1;
    }
    Ok(compared)
}

#[test]
fn golden_every_sample_file_computes_its_expected_outputs() -> Result<()> {
    for sample in samples()? {
        let file = import(&sample.path).map_err(Error::wrap)?;
        let compared = check(&sample, &file)?;
        assert!(compared >= 3, "{}: {compared}", sample.name);
        println!(
            "{}: {} from {}: {compared} results; {:?}",
            sample.name, file.family, file.origin, file.notes
        );
    }
    Ok(())
}
