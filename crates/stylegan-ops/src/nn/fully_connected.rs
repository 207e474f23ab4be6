use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder};
use tracing::trace_span;

use super::WeightScale;
use crate::{BiasAct, bias_act};

/// Configuration of a [`FullyConnected`] layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FullyConnectedConfig {
    /// Features of the input.
    pub in_features: usize,
    /// Features of the output.
    pub out_features: usize,
    /// Whether the layer has a bias.
    pub bias: bool,
    /// Activation, gain and clamp behind the product.
    pub act: BiasAct,
    /// How the stored weight becomes the one that is computed with.
    pub scale: WeightScale,
    /// Learning rate of this layer relative to others; 0.01 in mapping networks.
    pub lr_multiplier: f64,
    /// Initial value of the bias as it is used, i.e. after multiplication by `lr_multiplier`.
    pub bias_init: f64,
}

impl FullyConnectedConfig {
    /// A linear layer with a bias that starts at 0 and an `lr_multiplier` of 1.
    pub fn new(in_features: usize, out_features: usize) -> Self {
        Self {
            in_features,
            out_features,
            bias: true,
            act: BiasAct::linear(),
            scale: WeightScale::default(),
            lr_multiplier: 1.,
            bias_init: 0.,
        }
    }
}

/// Fully connected layer with equalized learning rate:
/// `y = bias_act(gain * x w^T, lr_multiplier * b)` with
/// `gain = lr_multiplier * scale.gain / sqrt(in_features)`.
///
/// x is `[N, in_features]`, y is `[N, out_features]`.
///
/// Parameters: `weight` `[out_features, in_features]`, initially N(0, 1) / lr_multiplier, and `bias`
/// `[out_features]`, initially bias_init / lr_multiplier. Without `scale.use_wscale` the gain is that of
/// the multiplier alone, and the rest of it is in the weight from the start.
#[derive(Debug, Clone)]
pub struct FullyConnected {
    config: FullyConnectedConfig,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl FullyConnected {
    /// Builds the layer from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If `in_features` is 0, or a parameter is missing or has another shape.
    pub fn new(config: FullyConnectedConfig, vb: VarBuilder) -> Result<Self> {
        let FullyConnectedConfig {
            in_features,
            out_features,
            scale,
            lr_multiplier,
            bias_init,
            ..
        } = config;
        if in_features == 0 {
            bail!("fully connected: expected at least 1 in_features, got 0")
        }
        let init = scale.init(in_features, lr_multiplier);
        let weight = vb.get_with_hints((out_features, in_features), "weight", init)?;
        let bias = if config.bias {
            let init = Init::Const(bias_init / lr_multiplier);
            Some(vb.get_with_hints(out_features, "bias", init)?)
        } else {
            None
        };
        Ok(Self {
            config,
            weight,
            bias,
        })
    }

    /// The matrix `[out_features, in_features]` of the affine map that the layer is without its activation:
    /// the stored weight times the gains before and behind the product.
    ///
    /// # Errors
    /// Those of candle.
    pub fn matrix(&self) -> Result<Tensor> {
        let FullyConnectedConfig {
            in_features,
            scale,
            lr_multiplier,
            act,
            ..
        } = self.config;
        &self.weight * (scale.runtime(in_features, lr_multiplier) * act.gain)
    }
}

impl Module for FullyConnected {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let FullyConnectedConfig {
            in_features,
            scale,
            lr_multiplier,
            ..
        } = self.config;
        if x.rank() != 2 || x.dims()[1] != in_features {
            bail!(
                "fully connected: expected x [N, {in_features}], got {:?}",
                x.dims()
            )
        }
        let _span = trace_span!("fully_connected").entered();
        let gain = scale.runtime(in_features, lr_multiplier);
        let y = (x.contiguous()?.matmul(&self.weight.t()?)? * gain)?;
        let bias = match &self.bias {
            Some(bias) if lr_multiplier != 1. => Some((bias * lr_multiplier)?),
            bias => bias.clone(),
        };
        bias_act(&y, bias.as_ref(), None, &self.config.act)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device};

    use super::*;

    fn layer(config: FullyConnectedConfig) -> Result<FullyConnected> {
        let tensor = |v: &[f64], shape: &[usize]| Tensor::from_slice(v, shape, &Device::Cpu);
        let tensors = HashMap::from([
            ("weight".to_string(), tensor(&[1., -2., 3., 4.], &[1, 4])?),
            ("bias".to_string(), tensor(&[5.], &[1])?),
        ]);
        FullyConnected::new(
            config,
            VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu),
        )
    }

    #[test]
    fn weight_and_bias_are_scaled_by_the_equalized_gain() -> Result<()> {
        let x = Tensor::new(&[[1f64, 1., 1., 1.]], &Device::Cpu)?;
        let config = FullyConnectedConfig::new(4, 1);
        let y = layer(config)?.forward(&x)?;
        assert_eq!(y.to_vec2::<f64>()?, [[6. / 2. + 5.]]);

        let config = FullyConnectedConfig {
            lr_multiplier: 0.5,
            ..config
        };
        let y = layer(config)?.forward(&x)?;
        assert_eq!(y.to_vec2::<f64>()?, [[0.5 * (6. / 2. + 5.)]]);

        let config = FullyConnectedConfig {
            bias: false,
            act: BiasAct::lrelu(),
            ..config
        };
        let y = layer(config)?.forward(&x.neg()?)?;
        let expected = -0.2 * 2f64.sqrt() * 0.5 * 3.;
        assert!((y.to_vec2::<f64>()?[0][0] - expected).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn the_matrix_is_what_one_unit_of_input_adds() -> Result<()> {
        let config = FullyConnectedConfig {
            lr_multiplier: 0.5,
            act: BiasAct::linear().scaled(3.),
            ..FullyConnectedConfig::new(4, 1)
        };
        let layer = layer(config)?;
        let zero = layer.forward(&Tensor::zeros((1, 4), DType::F64, &Device::Cpu)?)?;
        let unit = Tensor::new(&[[0f64, 1., 0., 0.]], &Device::Cpu)?;
        let added = (layer.forward(&unit)? - zero)?.to_vec2::<f64>()?[0][0];
        assert!((layer.matrix()?.to_vec2::<f64>()?[0][1] - added).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn a_strided_input_is_accepted() -> Result<()> {
        let wide = Tensor::new(&[[[1f64, 1., 1., 1.], [9., 9., 9., 9.]]], &Device::Cpu)?;
        let x = wide.narrow(1, 0, 1)?.squeeze(1)?.broadcast_as((3, 4))?;
        let y = layer(FullyConnectedConfig::new(4, 1))?.forward(&x)?;
        assert_eq!(y.to_vec2::<f64>()?, [[8.], [8.], [8.]]);
        Ok(())
    }

    #[test]
    fn a_layer_without_inputs_is_an_error() {
        let error = layer(FullyConnectedConfig::new(0, 1)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("at least 1 in_features, got 0"), "{error}");
    }

    #[test]
    fn a_wrong_width_is_an_error_that_names_both_shapes() -> Result<()> {
        let x = Tensor::zeros((2, 3), DType::F64, &Device::Cpu)?;
        let error = layer(FullyConnectedConfig::new(4, 1))?
            .forward(&x)
            .unwrap_err();
        let error = error.to_string();
        assert!(error.contains("expected x [N, 4], got [2, 3]"), "{error}");
        Ok(())
    }
}
