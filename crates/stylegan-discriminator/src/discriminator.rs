use candle_core::{Result, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use stylegan_mapping::Mapping;
use stylegan_ops::Filter;
use stylegan_ops::nn::{Architecture, Conv2dLayer};

use crate::DiscriminatorConfig;
use crate::block::{Block, ImageInput, from_rgb};
use crate::epilogue::Epilogue;

/// The discriminator: blocks from the image's resolution down to 8, then the epilogue at 4.
///
/// With labels the logit is `<out, mapping(c)> / sqrt(cmap_dim)`, without them the epilogue's output.
///
/// Parameters, for every resolution r above 4: `b{r}.{conv0,conv1}.{weight,bias}` and, in the resnet
/// architecture, `b{r}.skip.weight`; `b{r}.fromrgb.{weight,bias}` in the first block (skip: in all
/// blocks and `b4`); `b4.{conv,fc,out}.{weight,bias}`; with labels `mapping.*` ([`Mapping`]).
#[derive(Debug, Clone)]
pub struct Discriminator {
    config: DiscriminatorConfig,
    from_rgb: Conv2dLayer,
    blocks: Vec<(Block, Option<ImageInput>)>,
    epilogue: Epilogue,
    mapping: Option<Mapping>,
}

impl Discriminator {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`DiscriminatorConfig::validate`]), or a parameter is
    /// missing or has another shape.
    pub fn new(config: &DiscriminatorConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let pyramid = config.pyramid()?;
        let filter = Filter::separable(&config.resample_filter)?;
        let block_vb = |resolution: usize| vb.pp(format!("b{resolution}"));

        let first = config.img_resolution;
        let from_rgb_vb = block_vb(first).pp("fromrgb");
        let from_rgb = from_rgb(config, pyramid.channels(first), from_rgb_vb)?;
        let mut blocks = Vec::new();
        for resolution in pyramid.resolutions().rev().filter(|&r| r > 4) {
            let block = Block::new(config, &pyramid, &filter, resolution, block_vb(resolution))?;
            let image_input = if config.architecture == Architecture::Skip {
                Some(ImageInput::new(config, &pyramid, &filter, resolution, &vb)?)
            } else {
                None
            };
            blocks.push((block, image_input));
        }
        let mapping = match config.mapping_config()? {
            Some(mapping) => Some(Mapping::new(&mapping, vb.pp("mapping"))?),
            None => None,
        };
        let out_features = mapping.as_ref().map_or(1, |m| m.config().w_dim);
        let epilogue = Epilogue::new(config, pyramid.channels(4), out_features, block_vb(4))?;
        Ok(Self {
            config: config.clone(),
            from_rgb,
            blocks,
            epilogue,
            mapping,
        })
    }

    /// Logits `[N, 1]` of images `[N, img_channels, R, R]` and, with labels, c `[N, c_dim]`.
    ///
    /// # Errors
    /// If an input has another shape, c is missing or not wanted, or N is not divisible by the group
    /// size of the minibatch standard deviation.
    pub fn forward(&self, image: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        self.check_inputs(image, c)?;
        let mut x = self.from_rgb.forward(image)?;
        let mut image = image.clone();
        for (block, image_input) in &self.blocks {
            x = block.forward(&x)?;
            if let Some(image_input) = image_input {
                (x, image) = image_input.forward(&x, &image)?;
            }
        }
        let out = self.epilogue.forward(&x)?;
        match &self.mapping {
            Some(mapping) => {
                let cmap = mapping.forward(None, c)?;
                let cmap_dim = mapping.config().w_dim as f64;
                (out * cmap)?.sum_keepdim(1)? / cmap_dim.sqrt()
            }
            None => Ok(out),
        }
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &DiscriminatorConfig {
        &self.config
    }

    fn check_inputs(&self, image: &Tensor, c: Option<&Tensor>) -> Result<()> {
        let DiscriminatorConfig {
            c_dim,
            img_channels,
            img_resolution: side,
            ..
        } = self.config;
        if image.rank() != 4 || image.dims()[1..] != [img_channels, side, side] {
            bail!(
                "discriminator: expected image [N, {img_channels}, {side}, {side}], got {:?}",
                image.dims()
            )
        }
        let n = image.dims()[0];
        match c {
            None if c_dim == 0 => {}
            Some(c) if c_dim > 0 && c.dims() == [n, c_dim] => {}
            None => bail!("discriminator: expected c [{n}, {c_dim}], got none"),
            Some(c) if c_dim == 0 => bail!(
                "discriminator: expected no c, since c_dim is 0, got c {:?}",
                c.dims()
            ),
            Some(c) => bail!(
                "discriminator: expected c [{n}, {c_dim}], got {:?}",
                c.dims()
            ),
        }
        Ok(())
    }
}
