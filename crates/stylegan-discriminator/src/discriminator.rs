use candle_core::{Result, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::average_pool2d;
use stylegan_ops::growing::Lod;
use stylegan_ops::nn::{Architecture, Conv2dLayer};

use crate::DiscriminatorConfig;
use crate::block::{Block, ImageInput, from_rgb};
use crate::epilogue::Epilogue;
use crate::head::Head;

/// The discriminator: blocks from the image's resolution down to 8, then the epilogue at 4, then the
/// logit ([`LabelHead`](crate::LabelHead)).
///
/// A progressive network stands at a level of detail ([`at_lod`](Self::at_lod)) with `f` halvings and the
/// fraction `t`. The first `f` blocks are left out, and the image, of side `a = R / 2^f`, enters the next
/// one. Behind that, `x + t (fromrgb_{a/2}(down(image)) - x)` goes on: t falls from 1 to 0 while the
/// resolution a fades in (Karras et al. 2018, figure 2).
///
/// Parameters, for every resolution r above 4: `b{r}.{conv0,conv1}.{weight,bias}` and, in the resnet
/// architecture, `b{r}.skip.weight`; `b{r}.fromrgb.{weight,bias}` in the first block (skip and
/// progressive: in all blocks and `b4`); `b4.{conv,fc,out}.{weight,bias}`; where labels are projected on,
/// `mapping.*` ([`Mapping`](stylegan_mapping::Mapping)).
#[derive(Debug, Clone)]
pub struct Discriminator {
    config: DiscriminatorConfig,
    lod: Lod,
    from_rgb: Conv2dLayer,
    blocks: Vec<(Block, Option<ImageInput>)>,
    epilogue: Epilogue,
    head: Head,
}

impl Discriminator {
    /// Builds the network, fully grown, from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`DiscriminatorConfig::validate`]), or a parameter is
    /// missing or has another shape.
    pub fn new(config: &DiscriminatorConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let pyramid = config.pyramid()?;
        let block_vb = |resolution: usize| vb.pp(format!("b{resolution}"));

        let first = config.img_resolution;
        let from_rgb_vb = block_vb(first).pp("fromrgb");
        let from_rgb = from_rgb(config, pyramid.channels(first), from_rgb_vb)?;
        let mut blocks = Vec::new();
        for resolution in pyramid.resolutions().rev().filter(|&r| r > 4) {
            let block = Block::new(config, &pyramid, resolution, block_vb(resolution))?;
            let image_input = ImageInput::new(config, &pyramid, resolution, &vb)?;
            blocks.push((block, image_input));
        }
        let head = Head::new(config, &vb)?;
        let out_features = head.out_features(config.c_dim);
        let epilogue = Epilogue::new(config, &pyramid, out_features, block_vb(4))?;
        Ok(Self {
            config: config.clone(),
            lod: Lod::FULL,
            from_rgb,
            blocks,
            epilogue,
            head,
        })
    }

    /// The same network at another level of detail, with the same parameters.
    ///
    /// # Errors
    /// If the architecture isn't progressive, and for levels below 4x4 pixels.
    pub fn at_lod(&self, lod: Lod) -> Result<Self> {
        let DiscriminatorConfig {
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

    /// The level of detail that the network stands at.
    pub fn lod(&self) -> Lod {
        self.lod
    }

    /// Logits `[N, 1]` of images and labels c `[N, c_dim]`.
    ///
    /// Images are `[N, img_channels, R, R]` or have the active resolution `a` already, which gives
    /// the same: larger ones are pooled first. Only active layers are computed. Labels are needed by
    /// [`LabelHead`](crate::LabelHead)s other than a classifier, unless `c_dim` is 0.
    ///
    /// # Errors
    /// If an input has another shape, c is missing or not wanted, or N is not divisible by the group
    /// size of the minibatch standard deviation.
    pub fn forward(&self, image: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        let image = self.active_image(image)?;
        self.check_labels(&image, c)?;
        let out = self.outputs(&image, self.lod.halvings())?;
        self.head.logits(&out, c)
    }

    /// Logits `[N, 1]` and class logits `[N, c_dim]` of a network with an auxiliary classifier.
    ///
    /// # Errors
    /// If the network has none, and as [`forward`](Self::forward).
    pub fn forward_with_classes(&self, image: &Tensor) -> Result<(Tensor, Tensor)> {
        let image = self.active_image(image)?;
        let out = self.outputs(&image, self.lod.halvings())?;
        match self.head.class_logits(&out)? {
            Some(class_logits) => Ok((self.head.logits(&out, None)?, class_logits)),
            None => bail!(
                "discriminator: expected label_head Classifier and c_dim of at least 1 for class \
                 logits, got {:?} and {}",
                self.config.label_head,
                self.config.c_dim
            ),
        }
    }

    /// [`forward`](Self::forward) computed another way, for comparison: all blocks, whether active or not,
    /// and behind every one a fade with a weight limited to 0..1.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), if the images have the active resolution only, and if the architecture
    /// isn't progressive.
    pub fn forward_linear(&self, image: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        if self.config.architecture != Architecture::Progressive {
            bail!(
                "discriminator: expected the architecture progressive to compute linearly, got {:?}",
                self.config.architecture
            )
        }
        let side = self.config.img_resolution;
        self.check_image(image, &[side])?;
        self.check_labels(image, c)?;
        self.head.logits(&self.outputs(image, 0)?, c)
    }

    /// The feature maps behind the image input and behind every active block, `[N, C, r, r]` with r from the
    /// active resolution down to 4. Other pictures of the batch have no part in them.
    ///
    /// # Errors
    /// If the images have another shape.
    pub fn feature_maps(&self, image: &Tensor) -> Result<Vec<Tensor>> {
        let image = self.active_image(image)?;
        let mut maps = Vec::new();
        self.features(&image, self.lod.halvings(), |x| maps.push(x.clone()))?;
        Ok(maps)
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &DiscriminatorConfig {
        &self.config
    }

    /// The outputs of the epilogue, where the image enters the block of that number.
    fn outputs(&self, image: &Tensor, first: usize) -> Result<Tensor> {
        let x = self.features(image, first, |_| ())?;
        self.epilogue.forward(&x)
    }

    /// The features that reach the epilogue, where the image enters the block of that number; `observe` sees
    /// them behind the image input and behind every block.
    fn features(
        &self,
        image: &Tensor,
        first: usize,
        mut observe: impl FnMut(&Tensor),
    ) -> Result<Tensor> {
        let (inactive, active) = self.blocks.split_at(first);
        let from_rgb = match inactive.last() {
            Some((_, Some(image_input))) => &image_input.from_rgb,
            _ => &self.from_rgb,
        };
        let mut x = from_rgb.forward(image)?;
        observe(&x);
        let mut image = image.clone();
        for (halvings, (block, image_input)) in (first..).zip(active) {
            x = block.forward(&x)?;
            if let Some(image_input) = image_input {
                let fade = (self.lod.get() - halvings as f64).clamp(0., 1.);
                (x, image) = image_input.forward(&x, &image, fade)?;
            }
            observe(&x);
        }
        Ok(x)
    }

    /// The image at the active resolution.
    fn active_image(&self, image: &Tensor) -> Result<Tensor> {
        let side = self.config.img_resolution;
        let active = self.lod.resolution(side);
        self.check_image(image, &[side, active])?;
        match image.dims()[3] {
            found if found == active => Ok(image.clone()),
            found => average_pool2d(image, found / active),
        }
    }

    /// Checks the shape of the images, which may have any of the given sides.
    fn check_image(&self, image: &Tensor, sides: &[usize]) -> Result<()> {
        let channels = self.config.img_channels;
        let fits = |&side: &usize| image.dims()[1..] == [channels, side, side];
        if image.rank() == 4 && sides.iter().any(fits) {
            return Ok(());
        }
        let mut expected: Vec<_> = sides
            .iter()
            .map(|side| format!("[N, {channels}, {side}, {side}]"))
            .collect();
        expected.dedup();
        bail!(
            "discriminator: expected image {}, got {:?}",
            expected.join(" or "),
            image.dims()
        )
    }

    fn check_labels(&self, image: &Tensor, c: Option<&Tensor>) -> Result<()> {
        self.head.check_labels(image.dim(0)?, self.config.c_dim, c)
    }
}
