//! A network at work: from latents to ws to pictures, several at a time.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use image::DynamicImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use stylegan_data::grid::{self, Sheet};
use stylegan_mapping::Truncation;
use stylegan_synthesis::{NoiseMode, Synthesis};

use super::batch;
use super::latents::{Latent, Value};
use super::network::Trained;
use super::noise::{Noise, PictureNoise};
use crate::progress::Terminal;

/// A trained network, and how to make pictures with it.
pub struct PictureMaker {
    pub(super) trained: Trained,
    pub(super) truncation: Truncation,
    /// `None` for the maps that a picture has of its own, else the network's.
    pub(super) noise: Option<Noise>,
    pub(super) batch: usize,
    /// An option that says how z become w, such as `--trunc 0.7`.
    pub(super) asked_for: Option<String>,
    pub(super) terminal: Terminal,
}

/// What a picture is made of.
#[derive(Clone)]
pub struct Shot {
    /// `[1, num_ws, w_dim]`
    pub ws: Tensor,
    pub noise: PictureNoise,
}

impl PictureMaker {
    /// The full variety of a network's pictures, not truncated and with constant noise.
    pub fn plain(trained: Trained, terminal: &Terminal) -> Result<Self> {
        let config = &trained.generator.config.synthesis;
        Ok(Self {
            truncation: Truncation::NONE,
            noise: Some(Noise::Const),
            batch: batch::size(None, config, &trained.device)?,
            asked_for: None,
            terminal: terminal.clone(),
            trained,
        })
    }

    /// The network, and what pictures it makes.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// The synthesis network, with its configuration and how far it has grown.
    pub fn synthesis(&self) -> &Synthesis {
        self.trained.generator.network.synthesis()
    }

    /// A picture of the size and colours of this network's, with nothing on it.
    fn blank(&self) -> Result<DynamicImage> {
        let config = self.synthesis().config();
        let blank = Tensor::zeros(
            (
                1,
                config.img_channels,
                config.img_resolution,
                config.img_resolution,
            ),
            DType::F32,
            &Device::Cpu,
        )?;
        Ok(grid::to_image(&blank, 1, 1)?)
    }

    /// A grid for pictures of this network; one that is too large is an error before any is made.
    pub fn sheet(&self, columns: usize, rows: usize) -> Result<Sheet> {
        Ok(Sheet::new(columns, rows, &self.blank()?)?)
    }

    /// The ws `[1, num_ws, w_dim]` of a latent: those of a z truncated, others as they are.
    pub fn ws(&self, latent: &Latent) -> Result<Tensor> {
        match &latent.value {
            Value::Z(z) => self.ws_of_z(z, self.trained.label()?.as_ref()),
            Value::W(ws) => Ok(ws.clone()),
        }
    }

    /// The truncated ws `[1, num_ws, w_dim]` of a z `[1, z_dim]` with a label `[1, c_dim]`.
    pub fn ws_of_z(&self, z: &Tensor, label: Option<&Tensor>) -> Result<Tensor> {
        let Truncation { psi, cutoff } = self.truncation;
        Ok(self.trained.generator.network.ws(z, label, psi, cutoff)?)
    }

    /// Makes `count` pictures, which `shot` describes by their numbers, and hands them to `each` in order.
    ///
    /// Several are computed at the same time, each by itself, so that none depends on the others; meanwhile there is a
    /// progress bar.
    pub fn pictures(
        &self,
        count: usize,
        shot: impl Fn(usize) -> Result<Shot>,
        mut each: impl FnMut(usize, DynamicImage) -> Result<()>,
    ) -> Result<()> {
        self.tensors(count, shot, |number, image| {
            each(number, grid::to_image(image, 1, 1)?)
        })
    }

    /// [`pictures`](Self::pictures) as tensors `[1, C, R, R]`, about in [-1, 1].
    pub fn tensors(
        &self,
        count: usize,
        shot: impl Fn(usize) -> Result<Shot>,
        mut each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let bar = self.terminal.bar(count, "pictures");
        for first in (0..count).step_by(self.batch) {
            let numbers = first..count.min(first + self.batch);
            let shots: Vec<Shot> = numbers.clone().map(&shot).collect::<Result<_>>()?;
            let images: Vec<Tensor> = shots
                .par_iter()
                .map(|shot| self.image(shot))
                .collect::<Result<_>>()?;
            for (number, image) in numbers.zip(&images) {
                each(number, image)?;
                bar.advance();
            }
        }
        Ok(())
    }

    /// The picture `[1, C, R, R]` of a shot.
    fn image(&self, shot: &Shot) -> Result<Tensor> {
        let PictureNoise { seed, maps } = &shot.noise;
        let mut rng = ChaCha8Rng::seed_from_u64((*seed).into());
        let mut noise = match (self.noise, maps) {
            (None, Some(maps)) => NoiseMode::Maps(maps),
            (None | Some(Noise::Const), _) => NoiseMode::Const,
            (Some(Noise::Random), _) => NoiseMode::Random(&mut rng),
            (Some(Noise::None), _) => NoiseMode::None,
        };
        Ok(self.synthesis().forward(&shot.ws, &mut noise)?)
    }
}
