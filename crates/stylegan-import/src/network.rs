use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_mapping::latents;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, GeneratorConfig};

use crate::error::{ImportError, Result};
use crate::shapes::Tensors;

/// A kind of network: what builds it.
pub trait Config: Clone + Serialize + DeserializeOwned {
    /// What it builds.
    type Network;

    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range, or a parameter is missing or has another shape.
    fn build(&self, vb: VarBuilder) -> candle_core::Result<Self::Network>;

    /// The same network at another level of detail.
    ///
    /// # Errors
    /// If it doesn't grow, or not as far.
    fn at_lod(network: Self::Network, lod: Lod) -> candle_core::Result<Self::Network>;
}

impl Config for GeneratorConfig {
    type Network = Generator;

    fn build(&self, vb: VarBuilder) -> candle_core::Result<Generator> {
        Generator::new(self, vb)
    }

    fn at_lod(network: Generator, lod: Lod) -> candle_core::Result<Generator> {
        network.at_lod(lod)
    }
}

impl Config for DiscriminatorConfig {
    type Network = Discriminator;

    fn build(&self, vb: VarBuilder) -> candle_core::Result<Discriminator> {
        Discriminator::new(self, vb)
    }

    fn at_lod(network: Discriminator, lod: Lod) -> candle_core::Result<Discriminator> {
        network.at_lod(lod)
    }
}

/// One network of a file: its configuration, and its tensors under our names.
#[derive(Debug, Clone)]
pub struct Network<C> {
    /// What network it is.
    pub config: C,
    /// Parameters and buffers on the CPU, in the data type that they are stored in. Besides those that the
    /// network asks for, there may be a `resample_filter` in every layer, as in the public files.
    pub tensors: Tensors,
    /// Where a growing network stands; full resolution for all others.
    pub lod: Lod,
}

impl<C: Config> Network<C> {
    /// A network whose tensors were found to be those of its configuration, on the CPU.
    ///
    /// # Errors
    /// If they aren't, naming all that is missing, unknown or of another shape.
    pub fn new(name: &str, config: C, tensors: Tensors, lod: Lod) -> Result<Self> {
        let mut network = Self {
            config,
            tensors,
            lod,
        };
        network.set_lod(name, lod)?;
        Ok(network)
    }

    /// Places it at a level of detail, which its tensors must be enough for.
    pub(crate) fn set_lod(&mut self, name: &str, lod: Lod) -> Result<()> {
        let checked = load_network(&self.tensors, DType::F32, &Device::Cpu, |vb| {
            C::at_lod(self.config.build(vb)?, lod)
        });
        checked.map_err(|source| ImportError::tensors(name, source))?;
        self.lod = lod;
        Ok(())
    }

    /// The parameters that the network asks for, in another precision or on another device.
    ///
    /// # Errors
    /// If the tensors were changed and don't fit any more, or the device has no room.
    pub fn params(&self, dtype: DType, device: &Device) -> Result<ParamStore> {
        load_network(&self.tensors, dtype, device, |vb| self.config.build(vb))
            .map_err(|source| ImportError::tensors("network", source))
    }

    /// The network at its level of detail, ready for use; it records no gradients.
    ///
    /// # Errors
    /// Those of [`params`](Self::params).
    pub fn build(&self, dtype: DType, device: &Device) -> Result<C::Network> {
        let params = self.params(dtype, device)?;
        let network = self.config.build(params.frozen_var_builder())?;
        Ok(C::at_lod(network, self.lod)?)
    }
}

impl Network<GeneratorConfig> {
    /// Gives a generator that was stored without an average w the mean w of the seeds below `samples`.
    ///
    /// Nothing changes where there is one. The rosinality code stores none while it trains, and takes the mean
    /// of 4096 samples when it makes pictures; its own samples, so that truncated pictures differ a little.
    ///
    /// # Errors
    /// If the network takes labels, which its average would depend on, or `samples` is 0.
    pub fn estimate_w_avg(&mut self, samples: u32) -> Result<()> {
        const BATCH: usize = 256;
        if self.config.mapping.w_avg {
            return Ok(());
        }
        if self.config.c_dim > 0 || samples == 0 {
            let problem =
                "expected a generator without labels and at least one sample for an average w";
            return Err(ImportError::network("generator", problem));
        }
        let generator = self.build(DType::F32, &Device::Cpu)?;
        let mut sum = Tensor::zeros(self.config.w_dim(), DType::F64, &Device::Cpu)?;
        let seeds: Vec<u32> = (0..samples).collect();
        for seeds in seeds.chunks(BATCH) {
            let z = latents::from_seeds(seeds, self.config.z_dim, &Device::Cpu)?;
            let w = generator.mapping().forward(Some(&z), None)?;
            sum = (sum + w.to_dtype(DType::F64)?.sum(0)?)?;
        }
        let dtype = self
            .tensors
            .values()
            .next()
            .map_or(DType::F32, Tensor::dtype);
        let w_avg = (sum / f64::from(samples))?.to_dtype(dtype)?;
        self.tensors.insert("mapping.w_avg".to_string(), w_avg);
        self.config.mapping.w_avg = true;
        Ok(())
    }
}
