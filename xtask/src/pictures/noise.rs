//! Where the noise of pictures comes from, and the noise maps that files of latents may have, as `project` writes them.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use stylegan_checkpoint::arrays::NamedArray;
use stylegan_synthesis::{NoiseMap, Synthesis};

/// What the arrays of noise maps are called, before the name of their layer.
const PREFIX: &str = "noise.";

const ADVICE: &str = "add --noise-mode const to do without the maps of the file";

/// Where the fine detail comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Noise {
    Const,
    Random,
    None,
}

/// What a picture has for its noise.
#[derive(Debug, Clone)]
pub struct PictureNoise {
    /// Where random noise is drawn from: the seed, or the number in the files.
    pub(super) seed: u32,
    /// Maps `[1, 1, R, R]` of its own, one for every layer with noise.
    pub(super) maps: Option<Vec<Tensor>>,
}

impl PictureNoise {
    /// That of a seed, which has no maps.
    pub fn of_seed(seed: u32) -> Self {
        Self { seed, maps: None }
    }
}

/// What a file calls the noise map of a layer.
pub fn map_name(layer: &str) -> String {
    format!("{PREFIX}{layer}")
}

/// Divides the arrays of a file into its noise maps and all others.
pub(super) fn split(arrays: Vec<NamedArray>) -> (Vec<NamedArray>, Vec<NamedArray>) {
    arrays
        .into_iter()
        .partition(|array| array.name.starts_with(PREFIX))
}

/// The maps of a file `[1, 1, R, R]`, one for every layer of the network with noise, in their order; `None` where the
/// file has none. Layers that have not grown in yet may be missing.
pub(super) fn maps_for(
    synthesis: &Synthesis,
    found: &[NamedArray],
    device: &Device,
) -> Result<Option<Vec<Tensor>>> {
    if found.is_empty() {
        return Ok(None);
    }
    let layers = synthesis.noise_maps();
    if let Some(unknown) = found.iter().find(|array| {
        let mut layers = layers.iter();
        !layers.any(|layer| map_name(&layer.layer) == array.name)
    }) {
        bail!(
            "{}: the network has no such layer with noise; {ADVICE}",
            unknown.name
        )
    }
    let active = synthesis
        .lod()
        .resolution(synthesis.config().img_resolution);
    let map = |layer: &NoiseMap| map_for(layer, active, found, device);
    layers.iter().map(map).collect::<Result<_>>().map(Some)
}

/// The map of one layer.
fn map_for(
    NoiseMap { layer, map }: &NoiseMap,
    active: usize,
    found: &[NamedArray],
    device: &Device,
) -> Result<Tensor> {
    let name = map_name(layer);
    let side = map.dim(0)?;
    let Some(array) = found.iter().find(|array| array.name == name) else {
        ensure!(
            side > active,
            "expected a noise map for every layer, found none called {name}; {ADVICE}"
        );
        return Ok(Tensor::zeros((1, 1, side, side), DType::F32, device)?);
    };
    let dims = array.values.dims();
    ensure!(
        dims == [side, side],
        "{name}: expected [{side}, {side}], found {dims:?}; {ADVICE}"
    );
    let map = array.values.to_device(device)?;
    map.reshape((1, 1, side, side)).context(name)
}
