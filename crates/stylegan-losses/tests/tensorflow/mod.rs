//! The networks of ProGAN and StyleGAN from the variables and arguments of the TensorFlow ones.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Error, Result, Tensor};
use stylegan_checkpoint::tensorflow::{self, Layout};
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_goldens::Case;
use stylegan_goldens::tensorflow_kwargs::{
    DiscriminatorKwargs, GeneratorKwargs, Implementation, Kwargs,
};
use stylegan_mapping::LabelInput;
use stylegan_ops::nn::{FirstGeneration, FusedScale, Nonlinearity, Scaling};
use stylegan_synthesis::{
    Generator, GeneratorConfig, Layers, MappingOptions, StyledLayers, SynthesisConfig,
};

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
        let implementation = Implementation::of(case, layout);
        let kwargs = GeneratorKwargs::new(implementation, generator)?;
        let w_avg = case.tensors.contains_key("G.dlatent_avg");
        let g_config = generator_config(&kwargs, implementation, w_avg)?;
        let resolution = kwargs.resolution;
        let kwargs = DiscriminatorKwargs::new(implementation, discriminator)?;
        let d_config = discriminator_config(&kwargs, implementation)?;

        let layout = match implementation {
            Implementation::OriginalProGan => Layout::ProGan,
            Implementation::ProGan | Implementation::StyleGan => Layout::StyleGan,
        };
        let variables = |prefix| BTreeMap::from_iter(case.with_prefix(prefix));
        let device = Device::Cpu;
        let tensors = tensorflow::generator(&variables("G."), resolution, layout);
        let tensors = tensors.map_err(Error::wrap)?;
        let g_params = load_network(&tensors, dtype, &device, |vb| Generator::new(&g_config, vb));
        let g_params = g_params.map_err(Error::wrap)?;
        let tensors = tensorflow::discriminator(&variables("D."), resolution);
        let tensors = tensors.map_err(Error::wrap)?;
        let d_params = load_network(&tensors, dtype, &device, |vb| {
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

fn first_generation(
    nonlinearity: &str,
    use_wscale: bool,
    blur_filter: &Option<Vec<f64>>,
    fused_scale: Option<bool>,
) -> Result<FirstGeneration> {
    Ok(FirstGeneration {
        nonlinearity: parse_nonlinearity(nonlinearity)?,
        use_wscale,
        blur_filter: blur_filter.clone().unwrap_or_default(),
        fused_scale: match fused_scale {
            None => FusedScale::Auto,
            Some(true) => FusedScale::On,
            Some(false) => FusedScale::Off,
        },
    })
}

fn parse_nonlinearity(name: &str) -> Result<Nonlinearity> {
    serde_json::from_value(name.into()).map_err(Error::wrap)
}

fn generator_config(
    kwargs: &GeneratorKwargs,
    implementation: Implementation,
    w_avg: bool,
) -> Result<GeneratorConfig> {
    let (z_dim, c_dim) = (kwargs.z_dim(), kwargs.label_size);
    let progan = implementation != Implementation::StyleGan;
    Ok(GeneratorConfig {
        z_dim,
        c_dim,
        mapping: MappingOptions {
            num_layers: kwargs.mapping_layers,
            layer_features: Some(kwargs.mapping_fmaps),
            lr_multiplier: kwargs.mapping_lrmul,
            w_avg,
            scaling: Scaling::Weight {
                nonlinearity: parse_nonlinearity(&kwargs.mapping_nonlinearity)?,
                use_wscale: kwargs.use_wscale,
            },
            label_input: match progan {
                true => LabelInput::Concatenate,
                false => LabelInput::Matrix,
            },
            normalize_latents: kwargs.normalize_latents,
            ..GeneratorConfig::stylegan1().mapping
        },
        synthesis: SynthesisConfig {
            w_dim: match progan {
                true => z_dim + c_dim,
                false => kwargs.dlatent_size,
            },
            img_resolution: kwargs.resolution,
            img_channels: kwargs.num_channels,
            channel_base: 2 * kwargs.fmap_base,
            channel_max: kwargs.fmap_max,
            layers: Layers::Styled(StyledLayers {
                use_styles: kwargs.use_styles,
                use_noise: kwargs.use_noise,
                use_instance_norm: kwargs.use_instance_norm,
                use_pixel_norm: kwargs.use_pixel_norm,
                const_input_layer: kwargs.const_input_layer,
                convolution: first_generation(
                    &kwargs.nonlinearity,
                    kwargs.use_wscale,
                    &kwargs.blur_filter,
                    kwargs.fused_scale,
                )?,
            }),
            ..GeneratorConfig::stylegan1().synthesis
        },
    })
}

fn discriminator_config(
    kwargs: &DiscriminatorKwargs,
    implementation: Implementation,
) -> Result<DiscriminatorConfig> {
    let group_size = kwargs.mbstd_group_size;
    let (family, c_dim) = match implementation {
        Implementation::StyleGan => (DiscriminatorConfig::stylegan1(), kwargs.label_size),
        Implementation::OriginalProGan => (DiscriminatorConfig::progan(), kwargs.label_size),
        // It takes no notice of labels.
        Implementation::ProGan => (DiscriminatorConfig::progan(), 0),
    };
    Ok(DiscriminatorConfig {
        c_dim,
        img_resolution: kwargs.resolution,
        img_channels: kwargs.num_channels,
        channel_base: 2 * kwargs.fmap_base,
        channel_max: kwargs.fmap_max,
        first_generation: Some(first_generation(
            &kwargs.nonlinearity,
            kwargs.use_wscale,
            &kwargs.blur_filter,
            kwargs.fused_scale,
        )?),
        mbstd_group_size: Some(group_size.max(1)),
        mbstd_num_channels: match group_size > 1 {
            true => kwargs.mbstd_num_features,
            false => 0,
        },
        ..family
    })
}
