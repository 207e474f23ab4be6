//! Networks to start a new training from.

use std::collections::BTreeMap;

use candle_core::Tensor;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::GeneratorConfig;

/// Networks that were trained before, here or with other tools: a new run starts from their weights
/// ([`Plan::transfer`](crate::Plan::transfer)), with a new optimizer.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// What they are called in messages: their file or address.
    pub name: String,
    /// The configuration of both generators.
    pub generator: GeneratorConfig,
    /// The configuration of the discriminator.
    pub discriminator: DiscriminatorConfig,
    /// How far networks that grow have come.
    pub lod: Lod,
    /// The generator's parameters and buffers, by our names.
    pub g: BTreeMap<String, Tensor>,
    /// Those of its moving average.
    pub g_ema: BTreeMap<String, Tensor>,
    /// The discriminator's.
    pub d: BTreeMap<String, Tensor>,
}
