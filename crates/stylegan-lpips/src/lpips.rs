//! The distance.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use stylegan_ops::{channel_affine, channel_dot, modulate, pixel_dot, pixel_modulate};

use crate::{Vgg16, Vgg16Config};

/// Mean and standard deviation of the channels of ImageNet's pictures from -1 to 1, to two digits each, as the
/// heads were trained with.
const MEAN: [f64; 3] = [-0.030, -0.088, -0.188];
const DEVIATION: [f64; 3] = [0.458, 0.448, 0.450];

/// Added to squared lengths, so that pixels without any feature have a gradient.
const EPSILON: f64 = 1e-20;

/// LPIPS with VGG16, version 0.1.
///
/// With `f_k` the features of stage k of [`Vgg16`], every pixel's scaled to unit length:
///
/// ```text
/// d(a, b) = sum_k mean over pixels of  sum_c w_kc (f_kc(a) - f_kc(b))^2
/// ```
///
/// The weights `w` are the linear heads, fitted to the judgements of people. Without heads every channel counts
/// the same, `w` = 1: the cosine distance of the features (Zhang et al. 2018, section 3), which the `lpips` package
/// computes with `lpips=False`.
///
/// Parameters: those of [`Vgg16`], and, all of them or none, `lin{k}.model.1.weight` `[1, widths[k], 1, 1]` for k
/// from 0 to 4, none of them negative.
#[derive(Debug, Clone)]
pub struct Lpips {
    vgg: Vgg16,
    /// The roots of `w_k`, `[1, widths[k]]`.
    heads: Vec<Tensor>,
    has_heads: bool,
}

impl Lpips {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape, or a head has a negative weight.
    pub fn new(config: &Vgg16Config, vb: VarBuilder) -> Result<Self> {
        let vgg = Vgg16::new(config, vb.clone())?;
        let name = |stage: usize| format!("lin{stage}.model.1.weight");
        let has_heads = (0..config.widths.len()).any(|stage| vb.contains_tensor(&name(stage)));
        let mut heads = Vec::with_capacity(config.widths.len());
        for (stage, channels) in config.widths.into_iter().enumerate() {
            heads.push(match has_heads {
                true => {
                    let shape = (1, channels, 1, 1);
                    let weights = vb.get_with_hints(shape, &name(stage), Init::Const(1.))?;
                    check_head(&name(stage), &weights)?;
                    weights.reshape((1, channels))?.sqrt()?
                }
                false => Tensor::ones((1, channels), vb.dtype(), vb.device())?,
            });
        }
        Ok(Self {
            vgg,
            heads,
            has_heads,
        })
    }

    /// Whether channels are weighted by linear heads.
    pub fn has_heads(&self) -> bool {
        self.has_heads
    }

    /// What the distance is made of: five tensors `[N, widths[k], H >> k, W >> k]`. The distance of two pictures is
    /// the sum of the squared differences of all of them.
    ///
    /// `images` is `[N, 3, H, W]`, from -1 to 1. The embedding of a picture that is compared with many needs to be
    /// computed only once.
    ///
    /// # Errors
    /// If `images` has another shape, or a side is shorter than 16.
    pub fn embed(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let &[n, 3, _, _] = images.dims() else {
            bail!(
                "LPIPS: expected pictures [N, 3, H, W], got {:?}",
                images.dims()
            )
        };
        let features = self.vgg.features(&normalize(images, n)?)?;
        let embed = |(features, head): (&Tensor, &Tensor)| {
            let (_, channels, h, w) = features.dims4()?;
            let scale = (head / ((h * w) as f64).sqrt())?;
            let scale = scale.broadcast_as((n, channels))?.contiguous()?;
            modulate(&unit_length(features)?, &scale)
        };
        features.iter().zip(&self.heads).map(embed).collect()
    }

    /// The distances `[N]` of two batches of pictures `[N, 3, H, W]`, from -1 to 1.
    ///
    /// # Errors
    /// Those of [`embed`](Self::embed), and if the shapes differ.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if a.dims() != b.dims() {
            bail!(
                "LPIPS: expected pictures of one shape, got {:?} and {:?}",
                a.dims(),
                b.dims()
            )
        }
        let mut sum = Tensor::zeros(a.dim(0)?, a.dtype(), a.device())?;
        for (a, b) in self.embed(a)?.iter().zip(&self.embed(b)?) {
            let difference = (a - b)?;
            sum = (sum + channel_dot(&difference, &difference)?.sum(1)?)?;
        }
        Ok(sum)
    }
}

/// A root is taken of every weight.
fn check_head(name: &str, weights: &Tensor) -> Result<()> {
    let lowest = weights.flatten_all()?.min(0)?.to_dtype(DType::F64)?;
    match lowest.to_scalar::<f64>()? {
        lowest if lowest >= 0. => Ok(()),
        lowest => bail!("{name}: expected weights that are not negative, got {lowest}"),
    }
}

/// Channels of mean 0 and standard deviation 1 over ImageNet's pictures.
fn normalize(images: &Tensor, n: usize) -> Result<Tensor> {
    let channels = |values: [f64; 3]| {
        Tensor::new(&values, images.device())?
            .to_dtype(images.dtype())?
            .broadcast_as((n, 3))?
            .contiguous()
    };
    let scale = DEVIATION.map(f64::recip);
    let shift = [0, 1, 2].map(|c| -MEAN[c] * scale[c]);
    channel_affine(images, &channels(scale)?, &channels(shift)?)
}

/// The features of every pixel, scaled to length 1.
fn unit_length(x: &Tensor) -> Result<Tensor> {
    let lengths = (pixel_dot(x, x)? + EPSILON)?;
    pixel_modulate(x, &lengths.powf(-0.5)?)
}
