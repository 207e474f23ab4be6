use candle_core::{IndexOp, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use stylegan_ops::Filter;

use crate::block::Block;
use crate::{NoiseMode, SynthesisConfig};

/// The synthesis network: a learned constant and blocks of resolutions 4, 8, ... up to the image's.
///
/// Parameters, for every resolution r: `b{r}.conv0`, `b{r}.conv1` (each with `affine.{weight,bias}`,
/// `weight`, `bias`, `noise_strength` and the buffer `noise_const`), `b{r}.torgb.{affine.*,weight,bias}`
/// where the block has an image output, `b{r}.skip.weight` in the resnet architecture, and `b4.const`
/// in place of `b4.conv0`.
#[derive(Debug, Clone)]
pub struct Synthesis {
    config: SynthesisConfig,
    constant: Tensor,
    blocks: Vec<Block>,
}

impl Synthesis {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`SynthesisConfig::validate`]), or a parameter is
    /// missing or has another shape.
    pub fn new(config: &SynthesisConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let pyramid = config.pyramid()?;
        let filter = Filter::separable(&config.resample_filter)?;
        let block_vb = |resolution: usize| vb.pp(format!("b{resolution}"));
        let init = Init::Randn {
            mean: 0.,
            stdev: 1.,
        };
        let constant = block_vb(4).get_with_hints((pyramid.channels(4), 4, 4), "const", init)?;
        let blocks = pyramid
            .resolutions()
            .map(|r| Block::new(config, &pyramid, &filter, r, block_vb(r)))
            .collect::<Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            constant,
            blocks,
        })
    }

    /// Images `[N, img_channels, R, R]`, about in [-1, 1], from ws `[N, num_ws, w_dim]`.
    ///
    /// Layer k takes `ws[:, k]`; a block's image output takes the w of the layer that follows it.
    ///
    /// # Errors
    /// If ws has another shape.
    pub fn forward(&self, ws: &Tensor, noise: &mut NoiseMode) -> Result<Tensor> {
        let (num_ws, w_dim) = (self.config.num_ws(), self.config.w_dim);
        if ws.rank() != 3 || ws.dims()[1..] != [num_ws, w_dim] {
            bail!(
                "synthesis: expected ws [N, {num_ws}, {w_dim}], got {:?}",
                ws.dims()
            )
        }
        let n = ws.dims()[0];
        let ws: Vec<Tensor> = (0..num_ws).map(|k| ws.i((.., k))).collect::<Result<_>>()?;
        let (channels, height, width) = self.constant.dims3()?;
        let mut x = self.constant.unsqueeze(0)?;
        x = x.broadcast_as((n, channels, height, width))?;
        let mut image = None;
        for block in &self.blocks {
            (x, image) = block.forward(&x, image, &ws, noise)?;
        }
        match image {
            Some(image) => Ok(image),
            None => bail!("synthesis: the last block has no image output"),
        }
    }

    /// How many w one picture takes.
    pub fn num_ws(&self) -> usize {
        self.config.num_ws()
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &SynthesisConfig {
        &self.config
    }
}
