//! Progressive growing in a step: when the networks move on, and what of them takes part.

use candle_core::{Result, Tensor, Var, bail};
use stylegan_checkpoint::ParamStore;
use stylegan_ops::average_pool2d;
use stylegan_ops::growing::{Lod, fade_images};
use stylegan_ops::nn::Architecture;

use super::Stepper;
use crate::growing::Position;

impl Stepper {
    /// Looks at the schedule where it is time to, and moves on to where training should stand.
    pub(super) fn grow(&mut self) -> Result<()> {
        let Some(growing) = &self.config.growing else {
            return Ok(());
        };
        if !(self.state.minibatches).is_multiple_of(growing.minibatch_repeats) {
            return Ok(());
        }
        let images_seen = self.state.images_seen;
        let position = self.config.position(images_seen)?;
        self.state.position_at = Some(images_seen);
        let enters = position.lod.halvings() != self.position.lod.halvings();
        if enters && growing.reset_optimizer {
            self.state.g_adam.reset()?;
            self.state.d_adam.reset()?;
        }
        self.move_to(position)
    }

    /// Brings the networks and their lists of parameters to a position.
    pub(super) fn move_to(&mut self, position: Position) -> Result<()> {
        self.networks = self.networks.at_lod(position.lod)?;
        self.current = self.config.at(&position);
        self.position = position;
        let list = |store: &ParamStore, architecture| {
            let tensor = |(name, var): (&str, &Var)| (name.to_string(), var.as_tensor().clone());
            let stage = Stage::new(architecture, &position);
            stage.trainable(store).map(tensor).collect()
        };
        let (g, d) = (&self.config.generator, &self.config.discriminator);
        self.g_params = list(&self.state.g, g.synthesis.architecture);
        self.d_params = list(&self.state.d, d.architecture);
        Ok(())
    }
}

/// Real images as a network at `lod` sees them: from `[N, C, R, R]` to the active resolution by means of
/// pixels, there cross-faded with themselves at half of it.
///
/// "Progressive Growing of GANs" (Karras et al. 2018, section 2).
///
/// # Errors
/// Where the images can't be halved that often.
pub fn fade_reals(images: &Tensor, lod: Lod) -> Result<Tensor> {
    let factor = u32::try_from(lod.halvings()).ok();
    let Some(factor) = factor.and_then(|halvings| 1usize.checked_shl(halvings)) else {
        bail!(
            "reals: expected images that can be halved {lod} times, got {:?}",
            images.dims()
        )
    };
    let images = average_pool2d(images, factor)?;
    fade_images(&images, lod.fade())
}

/// What of a network takes part in training at a position: everything, or in the progressive architecture
/// the layers up to the active resolution. Of the layers between features and image only the active
/// resolution's does, and while that fades in the one's below it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    architecture: Architecture,
    resolution: usize,
    fades: bool,
}

impl Stage {
    pub(super) fn new(architecture: Architecture, position: &Position) -> Self {
        Self {
            architecture,
            resolution: position.resolution,
            fades: position.lod.fade() > 0.,
        }
    }

    /// The trainable parameters that take part, in the order of their names.
    pub(super) fn trainable(self, store: &ParamStore) -> impl Iterator<Item = (&str, &Var)> {
        store
            .trainable()
            .filter(move |(name, _)| self.takes_part(name))
    }

    fn takes_part(self, name: &str) -> bool {
        let block = |part: &str| part.strip_prefix('b')?.parse::<usize>().ok();
        let resolution = name.split('.').find_map(block);
        match resolution {
            // Outside of the blocks, such as the mapping network.
            None => true,
            Some(_) if self.architecture != Architecture::Progressive => true,
            Some(r) if name.contains(".torgb.") || name.contains(".fromrgb.") => {
                r == self.resolution || (self.fades && 2 * r == self.resolution)
            }
            Some(r) => r <= self.resolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_layers_take_part() {
        let at = |lod: f64| Position {
            lod: Lod::new(lod).unwrap(),
            resolution: Lod::new(lod).unwrap().resolution(16),
            batch: 4,
            g_lr: 0.001,
            d_lr: 0.001,
        };
        let cases = [
            // name, at 16x16, while it fades in, at 8x8
            ("mapping.fc0.bias", [true, true, true]),
            ("synthesis.b4.const", [true, true, true]),
            ("synthesis.b8.conv0.affine.bias", [true, true, true]),
            ("synthesis.b16.conv1.bias", [true, true, false]),
            ("synthesis.b16.torgb.weight", [true, true, false]),
            ("synthesis.b8.torgb.weight", [false, true, true]),
            ("synthesis.b4.torgb.weight", [false, false, false]),
            ("b16.fromrgb.bias", [true, true, false]),
            ("b8.fromrgb.bias", [false, true, true]),
            ("b16.conv0.weight", [true, true, false]),
            ("b4.fc.weight", [true, true, true]),
        ];
        let positions = [0., 0.25, 1.].map(at);
        for (name, expected) in cases {
            let stage = |architecture| {
                positions.map(|position| Stage::new(architecture, &position).takes_part(name))
            };
            assert_eq!(stage(Architecture::Progressive), expected, "{name}");
            assert_eq!(stage(Architecture::Skip), [true; 3], "{name}");
        }
    }
}
