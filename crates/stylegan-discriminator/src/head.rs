use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use stylegan_mapping::Mapping;

use crate::DiscriminatorConfig;

/// What labels have to do with the logits. Without labels (`c_dim` 0) the one output is the logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelHead {
    /// `logit = <out, mapping(c)> / sqrt(cmap_dim)`: StyleGAN2, after Miyato and Koyama, "cGANs with
    /// Projection Discriminator" (2018).
    #[default]
    Projection,
    /// `logit = <out, c>` with `c_dim` outputs: StyleGAN, after Mescheder et al., "Which Training Methods
    /// for GANs do actually Converge?" (2018).
    Product,
    /// One output is the logit, `c_dim` others are class logits: ProGAN, after Odena et al., "Conditional
    /// Image Synthesis with Auxiliary Classifier GANs" (2017).
    Classifier,
}

/// From the epilogue's outputs to logits.
#[derive(Debug, Clone)]
pub(crate) enum Head {
    /// Without labels.
    Unconditional,
    Projection(Box<Mapping>),
    Product,
    Classifier,
}

impl Head {
    /// `vb` points at the whole discriminator.
    pub(crate) fn new(config: &DiscriminatorConfig, vb: &VarBuilder) -> Result<Self> {
        Ok(match config.label_head {
            _ if config.c_dim == 0 => Self::Unconditional,
            LabelHead::Projection => {
                let mapping = config.mapping_config()?;
                Self::Projection(Box::new(Mapping::new(&mapping, vb.pp("mapping"))?))
            }
            LabelHead::Product => Self::Product,
            LabelHead::Classifier => Self::Classifier,
        })
    }

    /// How many outputs the epilogue of a network with `c_dim` labels has to have.
    pub(crate) fn out_features(&self, c_dim: usize) -> usize {
        match self {
            Self::Unconditional => 1,
            Self::Projection(mapping) => mapping.config().w_dim,
            Self::Product => c_dim,
            Self::Classifier => 1 + c_dim,
        }
    }

    /// Checks that a batch of n images has labels where the logits need them, and none where the network
    /// knows of none. A classifier predicts them: they may be there or not.
    pub(crate) fn check_labels(&self, n: usize, c_dim: usize, c: Option<&Tensor>) -> Result<()> {
        match (self, c) {
            (Self::Unconditional, Some(c)) => bail!(
                "discriminator: expected no c, since c_dim is 0, got c {:?}",
                c.dims()
            ),
            (Self::Projection(_) | Self::Product, None) => {
                bail!("discriminator: expected c [{n}, {c_dim}], got none")
            }
            (_, Some(c)) if c.dims() != [n, c_dim] => bail!(
                "discriminator: expected c [{n}, {c_dim}], got {:?}",
                c.dims()
            ),
            _ => Ok(()),
        }
    }

    /// Logits `[N, 1]` of outputs `[N, out_features]` and labels that were checked.
    pub(crate) fn logits(&self, out: &Tensor, c: Option<&Tensor>) -> Result<Tensor> {
        match (self, c) {
            (Self::Projection(mapping), c) => {
                let cmap = mapping.forward(None, c)?;
                let cmap_dim = mapping.config().w_dim as f64;
                (out * cmap)?.sum_keepdim(1)? / cmap_dim.sqrt()
            }
            (Self::Product, Some(c)) => (out * c)?.sum_keepdim(1),
            (Self::Product, None) => bail!("discriminator: expected c, got none"),
            (Self::Classifier, _) => out.narrow(1, 0, 1)?.contiguous(),
            (Self::Unconditional, _) => Ok(out.clone()),
        }
    }

    /// Class logits `[N, c_dim]` of outputs `[N, 1 + c_dim]`; none where the head is no classifier.
    pub(crate) fn class_logits(&self, out: &Tensor) -> Result<Option<Tensor>> {
        match self {
            Self::Classifier => Ok(Some(out.narrow(1, 1, out.dim(1)? - 1)?.contiguous()?)),
            Self::Unconditional | Self::Projection(_) | Self::Product => Ok(None),
        }
    }
}
