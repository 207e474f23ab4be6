//! The networks of ProGAN and StyleGAN from the variables and arguments of the TensorFlow ones.

use std::collections::BTreeMap;

use candle_core::{DType, Error, Result, Tensor};
use stylegan_checkpoint::tensorflow::{self, Layout};
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::Discriminator;
use stylegan_goldens::{Case, device, is_progan};
use stylegan_import::tensorflow::{DiscriminatorKwargs, GeneratorKwargs, Implementation, Kwargs};
use stylegan_synthesis::Generator;

/// Both networks of a case, trainable, and the way from TensorFlow's names to theirs.
pub struct Networks {
    pub g: Generator,
    pub d: Discriminator,
    pub g_params: ParamStore,
    pub d_params: ParamStore,
    resolution: usize,
    layout: Layout,
}

impl Networks {
    /// Reads the variables `G.*` and `D.*` of a case; `layout` tells how they are stored, `generator` and
    /// `discriminator` are the networks' arguments.
    pub fn new<P>(
        case: &Case<P>,
        layout: &str,
        generator: &Kwargs,
        discriminator: &Kwargs,
        dtype: DType,
    ) -> Result<Self> {
        let has_transposed_kernels = layout.contains("[kh,kw,out,in]");
        let implementation = Implementation::new(is_progan(case), has_transposed_kernels);
        let kwargs = GeneratorKwargs::new(implementation, generator)?;
        let mut g_config = kwargs.config(implementation);
        g_config.mapping.w_avg = case.tensors.contains_key("G.dlatent_avg");
        let resolution = kwargs.resolution;
        let kwargs = DiscriminatorKwargs::new(implementation, discriminator)?;
        let d_config = kwargs.config(implementation);
        let layout = implementation.layout();
        let variables = |prefix| BTreeMap::from_iter(case.with_prefix(prefix));
        let device = device();
        let tensors = tensorflow::generator(&variables("G."), resolution, layout);
        let tensors = tensors.map_err(Error::wrap)?;
        let g_params = load_network(&tensors, dtype, device, |vb| Generator::new(&g_config, vb));
        let g_params = g_params.map_err(Error::wrap)?;
        let tensors = tensorflow::discriminator(&variables("D."), resolution);
        let tensors = tensors.map_err(Error::wrap)?;
        let d_params = load_network(&tensors, dtype, device, |vb| {
            Discriminator::new(&d_config, vb)
        });
        let d_params = d_params.map_err(Error::wrap)?;
        Ok(Self {
            g: Generator::new(&g_config, g_params.var_builder())?,
            d: Discriminator::new(&d_config, d_params.var_builder())?,
            g_params,
            d_params,
            resolution,
            layout,
        })
    }

    /// Some of the generator's variables, or their gradients, by our names.
    pub fn of_generator(
        &self,
        variables: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        tensorflow::generator(variables, self.resolution, self.layout).map_err(Error::wrap)
    }

    /// Some of the discriminator's variables, or their gradients, by our names.
    pub fn of_discriminator(
        &self,
        variables: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        tensorflow::discriminator(variables, self.resolution).map_err(Error::wrap)
    }
}
