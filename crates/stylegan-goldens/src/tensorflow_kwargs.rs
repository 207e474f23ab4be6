//! Arguments of the TensorFlow networks of `stylegan1/`, as their golden files give them: those that
//! a file leaves out have the defaults of the implementation that computed it.

use candle_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::Case;

/// Arguments by name, e.g. the `config` of a case.
pub type Kwargs = Map<String, Value>;

/// The implementation that computed a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implementation {
    /// StyleGAN.
    StyleGan,
    /// The ProGAN in StyleGAN's repository: the discriminator takes no notice of labels.
    ProGan,
    /// ProGAN's own repository: kernels of fused upsampling convolutions are `[kh, kw, out, in]`, and
    /// the discriminator classifies.
    OriginalProGan,
}

impl Implementation {
    /// That of a case, whose `layout` tells how kernels are stored.
    ///
    /// Where that doesn't decide, the generator's variables do, or the file's name.
    pub fn of<P>(case: &Case<P>, layout: &str) -> Self {
        let progan = match case.tensors.keys().find(|name| name.starts_with("G.")) {
            Some(_) => !case.tensors.keys().any(|name| name.starts_with("G.G_")),
            None => case.name.starts_with("progan"),
        };
        match (layout.contains("[kh,kw,out,in]"), progan) {
            (true, _) => Self::OriginalProGan,
            (false, true) => Self::ProGan,
            (false, false) => Self::StyleGan,
        }
    }

    fn is_progan(self) -> bool {
        self != Self::StyleGan
    }
}

/// Arguments of a generator.
///
/// Channels at resolution 2^r: `min(fmap_base / 2^(r-1), fmap_max)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorKwargs {
    /// Color channels.
    pub num_channels: usize,
    /// Width and height of an image.
    pub resolution: usize,
    /// Width of a label; 0 without labels.
    pub label_size: usize,
    /// Width of z; where not given, `min(fmap_base, fmap_max)` (ProGAN).
    pub latent_size: Option<usize>,
    /// Width of w.
    pub dlatent_size: usize,
    /// Number of dense layers of the mapping network; 0 for ProGAN.
    pub mapping_layers: usize,
    /// Width between the dense layers of the mapping network.
    pub mapping_fmaps: usize,
    /// Learning rate of the mapping network relative to the rest.
    pub mapping_lrmul: f64,
    /// `lrelu` or `relu`, in the mapping network.
    pub mapping_nonlinearity: String,
    /// Whether z is normalised.
    pub normalize_latents: bool,
    /// Channels at resolution 2.
    pub fmap_base: usize,
    /// The most channels at any resolution.
    pub fmap_max: usize,
    /// Whether layers are modulated by w.
    pub use_styles: bool,
    /// Whether the first layer is a learned constant rather than a dense layer.
    pub const_input_layer: bool,
    /// Whether layers add noise.
    pub use_noise: bool,
    /// `lrelu` or `relu`.
    pub nonlinearity: String,
    /// Whether stored weights are scaled by the He constant at run time.
    pub use_wscale: bool,
    /// Whether layers normalise over channels.
    pub use_pixel_norm: bool,
    /// Whether layers normalise over positions.
    pub use_instance_norm: bool,
    /// Whether resampling and convolution are one operation; none for `auto`, i.e. from 128 up.
    #[serde(deserialize_with = "fused_scale")]
    pub fused_scale: Option<bool>,
    /// Taps of the filter behind upsampling convolutions, if any.
    pub blur_filter: Option<Vec<f64>>,
}

impl GeneratorKwargs {
    /// `given` over the defaults of that implementation.
    ///
    /// # Errors
    /// If an argument has another type. Arguments that the structure doesn't have are passed over: they
    /// don't change what the golden files hold.
    pub fn new(implementation: Implementation, given: &Kwargs) -> Result<Self> {
        let progan = implementation.is_progan();
        let defaults = Self {
            num_channels: 3,
            resolution: 1024,
            label_size: 0,
            latent_size: if progan { None } else { Some(512) },
            dlatent_size: 512,
            mapping_layers: if progan { 0 } else { 8 },
            mapping_fmaps: 512,
            mapping_lrmul: 0.01,
            mapping_nonlinearity: "lrelu".to_string(),
            normalize_latents: true,
            fmap_base: 8192,
            fmap_max: 512,
            use_styles: !progan,
            const_input_layer: !progan,
            use_noise: !progan,
            nonlinearity: "lrelu".to_string(),
            use_wscale: true,
            use_pixel_norm: progan,
            use_instance_norm: !progan,
            fused_scale: default_fused_scale(implementation),
            blur_filter: default_blur_filter(implementation),
        };
        over_defaults(defaults, given)
    }

    /// Width of z.
    pub fn z_dim(&self) -> usize {
        self.latent_size
            .unwrap_or(self.fmap_base.min(self.fmap_max))
    }
}

/// Arguments of a discriminator.
///
/// Channels at resolution 2^r: `min(fmap_base / 2^(r-1), fmap_max)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiscriminatorKwargs {
    /// Color channels.
    pub num_channels: usize,
    /// Width and height of an image.
    pub resolution: usize,
    /// Width of a label; 0 without labels.
    pub label_size: usize,
    /// Channels at resolution 2.
    pub fmap_base: usize,
    /// The most channels at any resolution.
    pub fmap_max: usize,
    /// `lrelu` or `relu`.
    pub nonlinearity: String,
    /// Whether stored weights are scaled by the He constant at run time.
    pub use_wscale: bool,
    /// Pictures per group of the minibatch standard deviation; 0 without it.
    pub mbstd_group_size: usize,
    /// Channels that the minibatch standard deviation appends.
    pub mbstd_num_features: usize,
    /// Whether resampling and convolution are one operation; none for `auto`, i.e. from 128 up.
    #[serde(deserialize_with = "fused_scale")]
    pub fused_scale: Option<bool>,
    /// Taps of the filter before downsampling convolutions, if any.
    pub blur_filter: Option<Vec<f64>>,
}

impl DiscriminatorKwargs {
    /// `given` over the defaults of that implementation.
    ///
    /// # Errors
    /// As for [`GeneratorKwargs::new`].
    pub fn new(implementation: Implementation, given: &Kwargs) -> Result<Self> {
        let defaults = Self {
            num_channels: 3,
            resolution: 1024,
            label_size: 0,
            fmap_base: 8192,
            fmap_max: 512,
            nonlinearity: "lrelu".to_string(),
            use_wscale: true,
            mbstd_group_size: 4,
            mbstd_num_features: 1,
            fused_scale: default_fused_scale(implementation),
            blur_filter: default_blur_filter(implementation),
        };
        over_defaults(defaults, given)
    }
}

fn default_fused_scale(implementation: Implementation) -> Option<bool> {
    implementation.is_progan().then_some(true)
}

fn default_blur_filter(implementation: Implementation) -> Option<Vec<f64>> {
    (!implementation.is_progan()).then(|| vec![1., 2., 1.])
}

/// A truth value, or none for `auto`.
fn fused_scale<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<bool>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Bool(fused) => Ok(Some(fused)),
        Value::String(text) if text == "auto" => Ok(None),
        other => Err(serde::de::Error::custom(format!(
            "fused_scale: expected true, false or \"auto\", got {other}"
        ))),
    }
}

fn over_defaults<T: Serialize + DeserializeOwned>(defaults: T, given: &Kwargs) -> Result<T> {
    let merge = || -> serde_json::Result<T> {
        let mut merged: Kwargs = serde_json::from_value(serde_json::to_value(defaults)?)?;
        merged.extend(
            given
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        serde_json::from_value(Value::Object(merged))
    };
    merge().map_err(|e| Error::Msg(format!("arguments of a network: {e}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{Device, Tensor};
    use serde_json::json;

    use super::*;

    fn generator(implementation: Implementation, given: Value) -> Result<GeneratorKwargs> {
        GeneratorKwargs::new(implementation, given.as_object().unwrap())
    }

    #[test]
    fn arguments_that_are_not_given_have_the_defaults_of_the_implementation() -> Result<()> {
        let stylegan = generator(Implementation::StyleGan, json!({ "fmap_base": 64 }))?;
        assert_eq!((stylegan.fmap_base, stylegan.fmap_max), (64, 512));
        assert_eq!(stylegan.z_dim(), 512);
        assert_eq!(stylegan.mapping_layers, 8);
        assert_eq!(stylegan.fused_scale, None);
        assert_eq!(stylegan.blur_filter, Some(vec![1., 2., 1.]));
        let progan = generator(Implementation::ProGan, json!({ "fmap_base": 64 }))?;
        assert_eq!((progan.z_dim(), progan.mapping_layers), (64, 0));
        assert_eq!(progan.fused_scale, Some(true));
        assert_eq!(progan.blur_filter, None);
        let d = DiscriminatorKwargs::new(Implementation::OriginalProGan, &Kwargs::new())?;
        assert_eq!((d.mbstd_group_size, d.mbstd_num_features), (4, 1));
        assert_eq!((d.fused_scale, d.blur_filter), (Some(true), None));
        Ok(())
    }

    #[test]
    fn given_arguments_win_and_unknown_ones_are_passed_over() -> Result<()> {
        let given = json!({
            "blur_filter": null,
            "fused_scale": false,
            "latent_size": 12,
            "use_pixel_norm": false,
            "style_mixing_prob": null,
        });
        let kwargs = generator(Implementation::ProGan, given)?;
        assert_eq!(
            (kwargs.fused_scale, kwargs.blur_filter.as_ref()),
            (Some(false), None)
        );
        assert_eq!((kwargs.z_dim(), kwargs.use_pixel_norm), (12, false));
        let kwargs = generator(Implementation::ProGan, json!({ "fused_scale": "auto" }))?;
        assert_eq!(kwargs.fused_scale, None);
        Ok(())
    }

    #[test]
    fn an_argument_of_another_type_is_an_error_that_names_it() {
        let error = generator(Implementation::StyleGan, json!({ "fused_scale": "no" }));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("fused_scale: expected true, false or \"auto\", got \"no\""),
            "{error}"
        );
    }

    #[test]
    fn the_implementation_is_known_from_the_layout_the_variables_or_the_file() {
        let of = |name: &str, variable: &str, layout: &str| {
            let scalar = Tensor::new(1f32, &Device::Cpu).unwrap();
            let case = Case {
                name: name.to_string(),
                params: (),
                tensors: BTreeMap::from([(variable.to_string(), scalar)]),
            };
            Implementation::of(&case, layout)
        };
        let layout = "conv kernels [kh,kw,in,out]";
        let original = "conv kernels [kh,kw,in,out]. G Conv0_up/weight is [kh,kw,out,in]";
        let stylegan = of("losses/a", "G.G_synthesis/4x4/Const/const", layout);
        assert_eq!(stylegan, Implementation::StyleGan);
        assert_eq!(
            of("stylegan1_D/a", "D.lod", layout),
            Implementation::StyleGan
        );
        assert_eq!(
            of("losses/a", "G.4x4/Dense/bias", layout),
            Implementation::ProGan
        );
        assert_eq!(of("progan_D/a", "D.lod", layout), Implementation::ProGan);
        let losses = of("losses/a", "G.4x4/Dense/bias", original);
        assert_eq!(losses, Implementation::OriginalProGan);
        assert_eq!(
            of("progan_D/a", "D.lod", original),
            Implementation::OriginalProGan
        );
    }
}
