use candle_core::{IndexOp, Result, Tensor, bail};
use candle_nn::VarBuilder;
use stylegan_ops::growing::{Lod, cross_fade};
use stylegan_ops::nn::Architecture;
use stylegan_ops::{Filter, Precision, add, nearest_upsample2d, upsample2d};

use crate::block::{Block, Features};
use crate::features::FeatureMaps;
use crate::layers::{Pass, Setting};
use crate::{Layers, NoiseMap, NoiseMode, SynthesisConfig};

/// The synthesis network: blocks of resolutions 4, 8, ... up to the image's, joined as the
/// [architecture](SynthesisConfig::architecture) says, of [layers](SynthesisConfig::layers) of either
/// generation.
///
/// Parameters of modulated layers, for every resolution r: `b{r}.conv0`, `b{r}.conv1` (each with
/// `affine.{weight,bias}`, `weight`, `bias`, `noise_strength` and the buffer `noise_const`),
/// `b{r}.torgb.{affine.*,weight,bias}` where the block has an image output, `b{r}.skip.weight` in the
/// resnet architecture, and `b4.const` in place of `b4.conv0`.
///
/// Those of the first generation have the same names, where they have the part: `affine` is twice as wide
/// (scale and shift), `noise_strength` has one number per channel, `torgb` has no `affine`. Their first
/// layer `b4.input` has everything but a convolution: its input is `b4.const`, or made by `b4.input.weight`.
///
/// A progressive network stands at a level of detail ([`at_lod`](Self::at_lod)) and computes the blocks
/// that are active there.
#[derive(Debug, Clone)]
pub struct Synthesis {
    config: SynthesisConfig,
    blocks: Vec<Block>,
    lod: Lod,
}

impl Synthesis {
    /// Builds the network, at its full resolution, from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`SynthesisConfig::validate`]), or a parameter is
    /// missing or has another shape.
    pub fn new(config: &SynthesisConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let pyramid = config.pyramid()?;
        let filter = Filter::separable(&config.resample_filter)?;
        let setting = Setting {
            config,
            pyramid: &pyramid,
            filter: &filter,
        };
        let blocks = pyramid
            .resolutions()
            .map(|r| Block::new(setting, r, vb.pp(format!("b{r}"))))
            .collect::<Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            blocks,
            lod: Lod::FULL,
        })
    }

    /// The same network at another level of detail, with the same parameters.
    ///
    /// # Errors
    /// If the architecture isn't progressive, and for levels below 4x4 pixels.
    pub fn at_lod(&self, lod: Lod) -> Result<Self> {
        let SynthesisConfig {
            architecture,
            img_resolution,
            ..
        } = self.config;
        architecture.check_lod(lod, img_resolution)?;
        Ok(Self {
            lod,
            ..self.clone()
        })
    }

    /// The same network, faster, for parameters that don't change any more: the weights of modulated layers are kept a
    /// second time, in the form in which the kernels read them ([`PreparedLayer`](stylegan_ops::PreparedLayer)).
    ///
    /// These copies don't follow later changes of the parameters, so a network whose parameters are trained, here or
    /// in the view of another network of the same store, must not be prepared.
    ///
    /// With [`Precision::Bf16`] the products of 3x3 convolutions are of numbers in bf16, added up in f32: pictures change a
    /// little ([`PreparedLayer::new`](stylegan_ops::PreparedLayer::new)). The layers of ProGAN and StyleGAN are
    /// not prepared.
    ///
    /// # Errors
    /// If the parameters are variables. For products in bf16 also if the network is not in f32 on the CPU, or has no
    /// modulated layers.
    pub fn prepared(self, precision: Precision) -> Result<Self> {
        if precision == Precision::Bf16 && self.config.layers != Layers::Modulated {
            bail!(
                "synthesis: expected modulated layers for products in bf16, got those of ProGAN or StyleGAN"
            )
        }
        let blocks = self
            .blocks
            .into_iter()
            .map(|block| block.prepared(precision));
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            ..self
        })
    }

    /// The level of detail that the network stands at.
    pub fn lod(&self) -> Lod {
        self.lod
    }

    /// Images `[N, img_channels, R, R]`, about in [-1, 1], from ws `[N, num_ws, w_dim]`.
    ///
    /// Layer k takes `ws[:, k]`; the image output of a block of modulated layers takes the w of the layer
    /// that follows it. At a level of detail above 0 this is
    /// [`forward_active`](Self::forward_active), enlarged to R by repeating pixels.
    ///
    /// # Errors
    /// If ws, or a map of [`NoiseMode::Maps`], has another shape, or there are too few or too many maps.
    pub fn forward(&self, ws: &Tensor, noise: &mut NoiseMode) -> Result<Tensor> {
        let image = self.forward_active(ws, noise)?;
        nearest_upsample2d(&image, 1 << self.lod.halvings())
    }

    /// Images `[N, img_channels, a, a]` at the active resolution `a = R / 2^floor(lod)`, as the
    /// discriminator sees them in training. Only the blocks up to `a` are computed.
    ///
    /// With t the fraction of the level of detail, the image is `torgb_a + t (up(torgb_{a/2}) - torgb_a)`:
    /// t falls from 1 to 0 while the resolution a fades in (Karras et al. 2018, figure 2).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_active(&self, ws: &Tensor, noise: &mut NoiseMode) -> Result<Tensor> {
        self.image(ws, &mut Pass::new(noise, None))
    }

    /// [`forward`](Self::forward) computed another way, for comparison: all blocks, whether active or not,
    /// and at every resolution a fade with a weight limited to 0..1.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the architecture isn't progressive.
    pub fn forward_linear(&self, ws: &Tensor, noise: &mut NoiseMode) -> Result<Tensor> {
        if self.config.architecture != Architecture::Progressive {
            bail!(
                "synthesis: expected the architecture progressive to compute linearly, got {:?}",
                self.config.architecture
            )
        }
        let ws = self.layer_ws(ws)?;
        self.check_noise(noise)?;
        let mut pass = Pass::new(noise, None);
        let mut lod = self.blocks.len() as f64;
        let mut x = None;
        let mut image = None;
        for block in &self.blocks {
            lod -= 1.;
            let features = block.forward(x.as_ref(), &ws, &mut pass)?;
            let new = output(block, &features)?;
            image = Some(match image {
                Some(old) => {
                    let t = (self.lod.get() - lod).clamp(0., 1.);
                    cross_fade(&new, &nearest_upsample2d(&old, 2)?, t)?
                }
                None => new,
            });
            x = Some(features.x);
        }
        image.ok_or_else(no_image)
    }

    /// The feature maps of every active layer, in order.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn feature_maps(&self, ws: &Tensor, noise: &mut NoiseMode) -> Result<Vec<FeatureMaps>> {
        let mut features = Vec::new();
        self.image(ws, &mut Pass::new(noise, Some(&mut features)))?;
        Ok(features)
    }

    /// The stored noise maps of all layers with noise, in their order, whether they are active or not. Active
    /// layers come first.
    pub fn noise_maps(&self) -> Vec<NoiseMap> {
        self.blocks.iter().flat_map(Block::noise_maps).collect()
    }

    /// For every w that a picture takes, the matrix `[styles, w_dim]` from it to the style of its layer, with all
    /// gains: a step d in w changes the style by `matrix d`.
    ///
    /// The last w of modulated layers is that of the last image output. Other image outputs share the w of the
    /// layer that follows them, whose matrix is given.
    ///
    /// # Errors
    /// If the layers have no styles.
    pub fn style_matrices(&self) -> Result<Vec<Tensor>> {
        if !self.config.has_styles() {
            bail!(
                "synthesis: expected layers with styles, as StyleGAN and StyleGAN2 have, found none"
            )
        }
        let mut matrices = Vec::new();
        for block in &self.blocks {
            matrices.extend(block.style_matrices()?);
        }
        if let Some(block) = self.blocks.last() {
            matrices.extend(block.image_style_matrix()?);
        }
        Ok(matrices)
    }

    /// How many w one picture takes.
    pub fn num_ws(&self) -> usize {
        self.config.num_ws()
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &SynthesisConfig {
        &self.config
    }

    /// How the blocks of all architectures are joined.
    fn image(&self, ws: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let ws = self.layer_ws(ws)?;
        self.check_noise(pass.noise)?;
        let fade = self.lod.fade();
        let active = self.blocks.len() - self.lod.halvings();
        let mut x = None;
        let mut image = None;
        for (index, block) in self.blocks[..active].iter().enumerate() {
            let features = block.forward(x.as_ref(), &ws, pass)?;
            image = match self.config.architecture {
                Architecture::Skip => {
                    let new = output(block, &features)?;
                    match image {
                        Some(image) => Some(add(&upsample2d(&image, &block.image_filter)?, &new)?),
                        None => Some(new),
                    }
                }
                Architecture::Resnet | Architecture::Orig => block.image(&features)?,
                Architecture::Progressive => match (active - 1 - index, image) {
                    (0, Some(old)) => {
                        let new = output(block, &features)?;
                        Some(cross_fade(&new, &nearest_upsample2d(&old, 2)?, fade)?)
                    }
                    (0, None) => Some(output(block, &features)?),
                    (1, _) if fade > 0. => Some(output(block, &features)?),
                    _ => None,
                },
            };
            x = Some(features.x);
        }
        image.ok_or_else(no_image)
    }

    /// Checks that there are as many maps of the caller's as layers with noise.
    fn check_noise(&self, noise: &NoiseMode) -> Result<()> {
        let NoiseMode::Maps(maps) = noise else {
            return Ok(());
        };
        let layers = self.noise_maps().len();
        if maps.len() != layers {
            bail!(
                "noise: expected {layers} maps, one for every layer with noise, got {}",
                maps.len()
            )
        }
        Ok(())
    }

    /// One w `[N, w_dim]` for every layer; the same for all where the layers have no styles.
    fn layer_ws(&self, ws: &Tensor) -> Result<Vec<Tensor>> {
        let (num_ws, w_dim) = (self.config.num_ws(), self.config.w_dim);
        if ws.rank() != 3 || ws.dims()[1..] != [num_ws, w_dim] {
            bail!(
                "synthesis: expected ws [N, {num_ws}, {w_dim}], got {:?}",
                ws.dims()
            )
        }
        if !self.config.has_styles() {
            return Ok(vec![ws.i((.., 0))?; 2 * self.blocks.len()]);
        }
        (0..num_ws).map(|k| ws.i((.., k))).collect()
    }
}

/// The image of a block that must have one.
fn output(block: &Block, features: &Features) -> Result<Tensor> {
    block.image(features)?.ok_or_else(no_image)
}

fn no_image() -> candle_core::Error {
    candle_core::Error::Msg("synthesis: the block has no image output".to_string())
}
