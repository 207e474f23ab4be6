//! `metrics feature-maps`: what the layers of a network do to the scale of their feature maps.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use stylegan_data::{PictureFormat, grid};
use stylegan_mapping::latents;
use stylegan_metrics::{FeatureMapStatistics, Quantiles, highest_peak, most_peaked_maps};
use stylegan_synthesis::{FeatureMaps, NoiseMode, Synthesis};

use crate::files::{self, check_file};
use crate::network::Source;
use crate::pictures::{Trained, TrainedArgs};
use crate::print_result;
use crate::progress::Terminal;
use crate::seeds::Seeds;

/// Pictures that a network makes at once; their feature maps are all in memory.
const BATCH: usize = 4;

/// Pictures whose maps are shown.
const SHOWN: usize = 4;

/// Maps are enlarged to that side, or to that of the picture.
const SHOWN_SIDE: usize = 96;

const EXAMPLES: &str = "\
Example:
  cargo xtask metrics feature-maps \\
      --network runs/00000-portraits-stylegan1-batch16 --noise-mode none \\
      --out stylegan1.json --maps stylegan1.png

For every layer, before and after its normalisation (StyleGAN: instance norm and style, StyleGAN2: \
demodulation, noise, bias and activation):
  scale   standard deviation of a map over its pixels, as the median over channels
  varies  by how much that differs between pictures while the layer's own
          style stays the same, in percent: what the layer lets through of how
          strong its input is
  peak    how far the most extreme pixel of the most peaked map of a picture
          is from the mean, in standard deviations; most is the highest that
          is possible
  shared  the same for one pixel in all maps together: little above 1 where
          all maps differ, most where a spot dominates all of them, as
          droplets do
cargo xtask plot feature-maps draws the files of --out.";

/// Scale and peaks of the feature maps of a StyleGAN or StyleGAN2
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Seeds of the pictures to measure, two or more: numbers and ranges; there is no truncation
    #[arg(long, value_name = "LIST", default_value = "0-63")]
    seeds: Seeds,

    /// File to write all numbers to
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,

    /// Picture to write of four pictures, each with the most peaked map of every layer
    #[arg(long, value_name = "FILE.png")]
    maps: Option<PathBuf>,

    #[command(flatten)]
    trained: TrainedArgs,

    /// Fine detail: the same in every picture, or left out; it is one map for all channels and can have
    /// peaks of its own
    #[arg(
        long,
        value_name = "MODE",
        default_value = "const",
        help_heading = "Network"
    )]
    noise_mode: Noise,
}

/// The noise of the layers while they are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    Const,
    None,
}

/// The numbers of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The checkpoint.
    pub network: PathBuf,
    /// Seeds of the pictures.
    pub seeds: Vec<u32>,
    /// The noise of the layers.
    pub noise_mode: Noise,
    /// From the first to the last.
    pub layers: Vec<Layer>,
}

/// The numbers of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Such as `b8.conv0`.
    pub name: String,
    /// Side of the maps in pixels.
    pub resolution: usize,
    /// Before normalisation.
    pub before: Numbers,
    /// After it: the layer's output.
    pub after: Numbers,
}

/// See [`FeatureMapStatistics`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Over channels: the mean scale.
    pub scale: Quantiles,
    /// Over channels: the variation of the scale while the style of this layer and of those that follow is
    /// that of the first picture. None for the first layer, which has no layer before it whose styles could
    /// differ.
    pub variation: Option<Quantiles>,
    /// The peak of the most peaked map.
    pub peak: f64,
    /// The peak of all maps together.
    pub shared_peak: f64,
}

/// Runs `metrics feature-maps`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let Seeds(seeds) = &args.seeds;
    ensure!(
        seeds.len() >= 2,
        "--seeds: a single picture has nothing to be compared with; give two seeds or more"
    );
    // Measuring takes a while: what can't be written must be known before.
    for (option, path) in [("--out", &args.out), ("--maps", &args.maps)] {
        if let Some(path) = path {
            check_file(option, path)?;
        }
    }
    if let Some(path) = &args.maps {
        let is_png = path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("png"));
        ensure!(is_png, "--maps {}: must end in .png", path.display());
    }
    let source = Source::find(&args.trained.network, terminal)?;
    let trained = args.trained.open("metrics", terminal)?;
    let label = trained.label()?;
    let Trained {
        generator, device, ..
    } = trained;
    ensure!(
        generator.config.synthesis.has_styles(),
        "{}: the network has no styles; give a StyleGAN or a StyleGAN2",
        args.trained.network.display()
    );
    let label = match label {
        Some(label) => Some(label.repeat((seeds.len(), 1))?),
        None => None,
    };
    let z = latents::from_seeds(seeds, generator.config.z_dim, &device)?;
    let ws = generator.network.ws(&z, label.as_ref(), 1., None)?;

    let network = Network {
        synthesis: generator.network.synthesis(),
        noise: args.noise_mode,
    };
    let report = Report {
        network: source.name().into(),
        seeds: seeds.clone(),
        noise_mode: args.noise_mode,
        layers: measure(&network, &ws, |line| terminal.line(line))?,
    };
    print_table(&report.layers)?;
    if let Some(path) = &args.out {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        files::write(path, terminal, |path| {
            fs::write(path, json).with_context(|| format!("--out {}", path.display()))
        })?;
    }
    if let Some(path) = &args.maps {
        let shown = ws.narrow(0, 0, SHOWN.min(seeds.len()))?;
        let (image, columns, rows) = show(&network, &shown)?;
        let image = grid::to_image(&image, columns, rows)?;
        files::write(path, terminal, |path| {
            Ok(PictureFormat::Png.save(&image, path)?)
        })?;
    }
    Ok(())
}

/// What is measured.
struct Network<'a> {
    synthesis: &'a Synthesis,
    noise: Noise,
}

impl Network<'_> {
    fn noise_mode(&self) -> NoiseMode<'static> {
        match self.noise {
            Noise::Const => NoiseMode::Const,
            Noise::None => NoiseMode::None,
        }
    }

    fn feature_maps(&self, ws: &Tensor) -> Result<Vec<FeatureMaps>> {
        Ok(self.synthesis.feature_maps(ws, &mut self.noise_mode())?)
    }
}

/// What is collected before and after a layer.
#[derive(Default)]
struct Collected {
    before: FeatureMapStatistics,
    after: FeatureMapStatistics,
}

impl Collected {
    fn push(&mut self, maps: &FeatureMaps) -> Result<()> {
        self.before.push(&maps.before)?;
        self.after.push(&maps.after)?;
        Ok(())
    }
}

/// The numbers of every layer, from the pictures of ws `[N, num_ws, w_dim]`; tells which layer it is at, as
/// every one takes a pass over all pictures.
fn measure(network: &Network, ws: &Tensor, tell: impl Fn(&str)) -> Result<Vec<Layer>> {
    let mut layers: Vec<(String, usize, Collected)> = Vec::new();
    for batch in batches(ws)? {
        for (index, maps) in network.feature_maps(&batch)?.iter().enumerate() {
            if index == layers.len() {
                let side = maps.after.dim(3)?;
                layers.push((maps.layer.clone(), side, Collected::default()));
            }
            layers[index].2.push(maps)?;
        }
    }
    let count = layers.len();
    let mut measured = Vec::new();
    for (index, (name, resolution, all)) in layers.into_iter().enumerate() {
        tell(&format!("layer {} of {count}: {name}", index + 1));
        let held = match index {
            0 => Collected::default(),
            _ => with_held_style(network, ws, index)?,
        };
        measured.push(Layer {
            before: numbers(&all.before, &held.before).with_context(|| name.clone())?,
            after: numbers(&all.after, &held.after).with_context(|| name.clone())?,
            name,
            resolution,
        });
    }
    Ok(measured)
}

/// The maps of a layer whose style, and that of all that follow, is the first picture's, while the layers
/// before it have those of every picture: one crossing of styles, as in training.
fn with_held_style(network: &Network, ws: &Tensor, layer: usize) -> Result<Collected> {
    let mut collected = Collected::default();
    let rest = network.synthesis.num_ws() - layer;
    let held = ws.narrow(0, 0, 1)?.narrow(1, layer, rest)?;
    for batch in batches(ws)? {
        let held = held.repeat((batch.dim(0)?, 1, 1))?;
        let crossed = Tensor::cat(&[&batch.narrow(1, 0, layer)?, &held], 1)?;
        collected.push(&network.feature_maps(&crossed)?[layer])?;
    }
    Ok(collected)
}

fn batches(ws: &Tensor) -> Result<Vec<Tensor>> {
    let count = ws.dim(0)?;
    let firsts = (0..count).step_by(BATCH);
    let batches = firsts.map(|first| ws.narrow(0, first, BATCH.min(count - first))?.contiguous());
    Ok(batches.collect::<candle_core::Result<_>>()?)
}

fn numbers(all: &FeatureMapStatistics, held: &FeatureMapStatistics) -> Result<Numbers> {
    Ok(Numbers {
        scale: all.scale().context("the layer has no feature maps")?,
        variation: held.variation(),
        peak: all.peak(),
        shared_peak: all.shared_peak(),
    })
}

fn print_table(layers: &[Layer]) -> Result<()> {
    let width = layers.iter().map(|layer| layer.name.len()).max();
    let width = width.unwrap_or(0).max("layer".len());
    print_result(format_args!(
        "{:width$}  {:>17}  {:>15}  {:>15}  {:>15}  {:>6}",
        "", "scale", "varies", "peak", "shared", ""
    ))?;
    print_result(format_args!(
        "{0:width$}  {1:>8} {2:>8}  {1:>7} {2:>7}  {1:>7} {2:>7}  {1:>7} {2:>7}  {3:>6}",
        "layer", "before", "after", "most"
    ))?;
    for layer in layers {
        let Layer { before, after, .. } = layer;
        print_result(format_args!(
            "{:width$}  {:8.3} {:8.3}  {:>7} {:>7}  {:7.2} {:7.2}  {:7.2} {:7.2}  {:6.1}",
            layer.name,
            before.scale.median,
            after.scale.median,
            percent(before.variation),
            percent(after.variation),
            before.peak,
            after.peak,
            before.shared_peak,
            after.shared_peak,
            highest_peak(layer.resolution),
        ))?;
    }
    Ok(())
}

fn percent(variation: Option<Quantiles>) -> String {
    variation.map_or("-".to_string(), |quantiles| {
        format!("{:.1}%", 100. * quantiles.median)
    })
}

/// Rows of a picture and the most peaked map of every layer, with the numbers of columns and rows.
fn show(network: &Network, ws: &Tensor) -> Result<(Tensor, usize, usize)> {
    let pictures = network.synthesis.forward(ws, &mut network.noise_mode())?;
    let (rows, channels, side, _) = pictures.dims4()?;
    let shown_side = side.max(SHOWN_SIDE / side * side);
    let mut columns = vec![framed(&pictures.to_device(&Device::Cpu)?, shown_side)?];
    for maps in network.feature_maps(ws)? {
        let grey = with_channels(&most_peaked_maps(&maps.after)?, channels)?;
        columns.push(framed(&grey, shown_side)?);
    }
    let count = columns.len();
    let cells = Tensor::stack(&columns, 1)?.flatten(0, 1)?;
    Ok((cells, count, rows))
}

/// Pictures enlarged to a side, with a white gap at the right and below.
fn framed(images: &Tensor, side: usize) -> Result<Tensor> {
    let enlarged = images.upsample_nearest2d(side, side)?;
    let (n, c, ..) = enlarged.dims4()?;
    let with_gap = side + (side / 32).max(1);
    let paper = Tensor::ones(
        (n, c, with_gap, with_gap),
        enlarged.dtype(),
        enlarged.device(),
    )?;
    Ok(paper.slice_assign(&[0..n, 0..c, 0..side, 0..side], &enlarged)?)
}

/// Grey pictures `[N, 1, H, W]` with as many channels as others; a fourth is opaque.
fn with_channels(grey: &Tensor, channels: usize) -> Result<Tensor> {
    let colours = grey.repeat((1, channels.min(3), 1, 1))?;
    Ok(match channels {
        4 => Tensor::cat(&[&colours, &grey.ones_like()?], 1)?,
        _ => colours,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use stylegan_checkpoint::ParamStore;
    use stylegan_synthesis::SynthesisConfig;
    use stylegan_synthesis::{Generator, GeneratorConfig};

    /// The layers of a network that was not trained.
    fn layers(family: GeneratorConfig) -> Vec<Layer> {
        let config = GeneratorConfig {
            z_dim: 16,
            synthesis: SynthesisConfig {
                w_dim: 16,
                img_resolution: 16,
                channel_base: 256,
                channel_max: 16,
                ..family.synthesis
            },
            ..family
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let store = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
            Generator::new(&config, vb)
        });
        let network = Generator::new(&config, store.unwrap().frozen_var_builder()).unwrap();
        let z = latents::from_seeds(&[0, 1, 2, 3, 4, 5], 16, &Device::Cpu).unwrap();
        let ws = network.ws(&z, None, 1., None).unwrap();
        let network = Network {
            synthesis: network.synthesis(),
            noise: Noise::Const,
        };
        measure(&network, &ws, |_| ()).unwrap()
    }

    fn names(layers: &[Layer]) -> Vec<&str> {
        layers.iter().map(|layer| layer.name.as_str()).collect()
    }

    #[test]
    fn adain_lets_nothing_through_of_the_scale_of_its_input() {
        let layers = layers(GeneratorConfig::stylegan1());
        let expected = [
            "b4.input",
            "b4.conv1",
            "b8.conv0",
            "b8.conv1",
            "b16.conv0",
            "b16.conv1",
        ];
        assert_eq!(names(&layers), expected);
        assert_eq!(layers[0].after.variation, None);
        for layer in &layers[1..] {
            let [before, after] = [layer.before, layer.after].map(|n| n.variation.unwrap());
            assert!(before.median > 0.01, "{layer:?}");
            assert!(after.p95 < 1e-3, "{layer:?}");
            // Shifts and scales of whole maps don't change their peaks.
            assert!(
                (layer.before.peak - layer.after.peak).abs() < 1e-3,
                "{layer:?}"
            );
        }
    }

    #[test]
    fn demodulation_lets_the_scale_through() {
        let layers = layers(GeneratorConfig::default());
        let expected = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"];
        assert_eq!(names(&layers), expected);
        for layer in &layers[1..] {
            let [before, after] = [layer.before, layer.after].map(|n| n.variation.unwrap());
            assert!(after.median > 0.5 * before.median, "{layer:?}");
            assert!(after.p25 > 0.01, "{layer:?}");
        }
    }

    #[test]
    fn shown_pictures_have_a_white_gap_behind_them() {
        let black = Tensor::full(-1f32, (1, 1, 2, 2), &Device::Cpu).unwrap();
        let framed = framed(&black, 4).unwrap().squeeze(0).unwrap();
        let rows = framed.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let row = [-1., -1., -1., -1., 1.];
        assert_eq!(rows, [row, row, row, row, [1.; 5]]);
    }

    #[test]
    fn maps_are_shown_in_the_channels_of_the_picture() {
        let grey = Tensor::full(0.5f32, (2, 1, 4, 4), &Device::Cpu).unwrap();
        for channels in [1, 3, 4] {
            let shown = with_channels(&grey, channels).unwrap();
            assert_eq!(shown.dims(), [2, channels, 4, 4]);
            let last = shown.narrow(1, channels - 1, 1).unwrap().max_all().unwrap();
            let expected = if channels == 4 { 1. } else { 0.5 };
            assert_eq!(last.to_scalar::<f32>().unwrap(), expected);
        }
    }
}
