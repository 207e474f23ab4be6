use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use tracing::trace_span;

/// Where the noise of the synthesis layers comes from.
pub enum NoiseMode<'a> {
    /// The stored maps: the same for every picture.
    Const,
    /// No noise.
    None,
    /// Fresh N(0, 1) maps for every picture and layer, drawn on the CPU.
    Random(&'a mut dyn Rng),
    /// Maps of the caller's in place of the stored ones: `[1, 1, R, R]`, or `[N, 1, R, R]` for a map per
    /// picture, one for every layer that [`Synthesis::noise_maps`](crate::Synthesis::noise_maps) lists.
    Maps(&'a [Tensor]),
}

/// The stored noise map of one synthesis layer.
#[derive(Debug, Clone)]
pub struct NoiseMap {
    /// The layer's path, e.g. `b8.conv0`.
    pub layer: String,
    /// `[R, R]`, not yet times the layer's strength.
    pub map: Tensor,
}

/// The noise of one layer.
///
/// Parameter: `noise_strength`, `[]` for all channels or `[C]`, initially 0. Buffer: `noise_const` `[R, R]`.
#[derive(Debug, Clone)]
pub(crate) struct NoiseInput {
    stored: Tensor,
    strength: Tensor,
}

impl NoiseInput {
    /// `strength` is the shape of the layer's strengths.
    pub(crate) fn new(
        resolution: usize,
        strength: impl Into<Shape>,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let init = Init::Randn {
            mean: 0.,
            stdev: 1.,
        };
        Ok(Self {
            stored: vb.get_with_hints((resolution, resolution), "noise_const", init)?,
            strength: vb.get_with_hints(strength, "noise_strength", Init::Const(0.))?,
        })
    }

    /// The maps `[n or 1, 1, R, R]`, not yet times their strength. `number` counts the layers with noise, of which
    /// there are as many as maps of the caller's.
    pub(crate) fn maps(
        &self,
        n: usize,
        number: usize,
        mode: &mut NoiseMode,
    ) -> Result<Option<Tensor>> {
        let stored = &self.stored;
        let side = stored.dims()[0];
        match mode {
            NoiseMode::Maps(maps) => {
                let map = &maps[number];
                if !fits(map, n, side) {
                    bail!(
                        "noise: expected map {number} of shape [1, 1, {side}, {side}] or \
                         [{n}, 1, {side}, {side}], got {:?}",
                        map.dims()
                    )
                }
                Ok(Some(map.clone()))
            }
            NoiseMode::None => Ok(None),
            NoiseMode::Const => Ok(Some(stored.reshape((1, 1, side, side))?)),
            NoiseMode::Random(rng) => {
                normal_maps(*rng, n, side, stored.dtype(), stored.device()).map(Some)
            }
        }
    }

    /// The stored map `[R, R]`.
    pub(crate) fn stored(&self) -> &Tensor {
        &self.stored
    }

    pub(crate) fn strength(&self) -> &Tensor {
        &self.strength
    }
}

/// Whether a map has the shape that a layer takes.
fn fits(map: &Tensor, n: usize, side: usize) -> bool {
    matches!(*map.dims(), [count, 1, h, w] if (count == 1 || count == n) && [h, w] == [side, side])
}

/// N(0, 1) maps `[n, 1, side, side]`: the same numbers on every device.
fn normal_maps(
    rng: &mut dyn Rng,
    n: usize,
    side: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let _span = trace_span!("random numbers").entered();
    let values: Vec<f32> = StandardNormal
        .sample_iter(rng)
        .take(n * side * side)
        .collect();
    Tensor::from_vec(values, (n, 1, side, side), device)?.to_dtype(dtype)
}
