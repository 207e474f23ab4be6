use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder};
use stylegan_ops::nn::{FullyConnected, FullyConnectedConfig};
use stylegan_ops::{BiasAct, normalize_2nd_moment};

use crate::MappingConfig;

/// The mapping network:
/// `w = fc_last(... fc0([normalize(z), normalize(embed(c))]))`, leaky ReLU behind every layer.
///
/// Parameters: `embed.{weight,bias}` with labels, `fc{i}.{weight,bias}`. Buffer: `w_avg` `[w_dim]`,
/// initially 0, where the configuration asks for it.
#[derive(Debug, Clone)]
pub struct Mapping {
    config: MappingConfig,
    embed: Option<FullyConnected>,
    layers: Vec<FullyConnected>,
    w_avg: Option<Tensor>,
}

impl Mapping {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`MappingConfig::validate`]), or a parameter is missing
    /// or has another shape.
    pub fn new(config: &MappingConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let embed = if config.c_dim > 0 {
            let layer = FullyConnectedConfig::new(config.c_dim, config.embed_features());
            Some(FullyConnected::new(layer, vb.pp("embed"))?)
        } else {
            None
        };
        let layers = config
            .layer_widths()
            .enumerate()
            .map(|(i, (in_features, out_features))| {
                let layer = FullyConnectedConfig {
                    act: BiasAct::lrelu(),
                    lr_multiplier: config.lr_multiplier,
                    ..FullyConnectedConfig::new(in_features, out_features)
                };
                FullyConnected::new(layer, vb.pp(format!("fc{i}")))
            })
            .collect::<Result<_>>()?;
        let w_avg = if config.w_avg {
            Some(vb.get_with_hints(config.w_dim, "w_avg", Init::Const(0.))?)
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            embed,
            layers,
            w_avg,
        })
    }

    /// The intermediate latents w `[N, w_dim]` of z `[N, z_dim]` and c `[N, c_dim]`.
    ///
    /// z is given unless `z_dim` is 0, c is given unless `c_dim` is 0.
    ///
    /// # Errors
    /// If an input is missing, is not wanted, or has another shape.
    pub fn forward(&self, z: Option<&Tensor>, c: Option<&Tensor>) -> Result<Tensor> {
        let n = match (z, c) {
            (Some(x), _) | (None, Some(x)) if x.rank() > 0 => x.dims()[0],
            _ => 1,
        };
        check_input("z", z, n, self.config.z_dim)?;
        check_input("c", c, n, self.config.c_dim)?;
        let z = z.map(normalize_2nd_moment).transpose()?;
        let y = match (&self.embed, c) {
            (Some(embed), Some(c)) => Some(normalize_2nd_moment(&embed.forward(c)?)?),
            _ => None,
        };
        let inputs: Vec<Tensor> = z.into_iter().chain(y).collect();
        let mut x = Tensor::cat(&inputs, 1)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// The moving average of w `[w_dim]`, where the network keeps one.
    pub fn w_avg(&self) -> Option<&Tensor> {
        self.w_avg.as_ref()
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &MappingConfig {
        &self.config
    }
}

/// Checks that an input is `[n, dim]`, or absent where `dim` is 0.
fn check_input(name: &str, input: Option<&Tensor>, n: usize, dim: usize) -> Result<()> {
    match input {
        None if dim == 0 => Ok(()),
        Some(x) if dim > 0 && x.dims() == [n, dim] => Ok(()),
        None => bail!("mapping: expected {name} [N, {dim}], got none"),
        Some(x) if dim == 0 => bail!(
            "mapping: expected no {name}, since {name}_dim is 0, got {name} {:?}",
            x.dims()
        ),
        Some(x) => bail!("mapping: expected {name} [{n}, {dim}], got {:?}", x.dims()),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn mapping(z_dim: usize, c_dim: usize) -> Mapping {
        let config = MappingConfig {
            z_dim,
            c_dim,
            w_dim: 8,
            num_layers: 2,
            ..MappingConfig::default()
        };
        Mapping::new(&config, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap()
    }

    #[test]
    fn wrong_inputs_are_errors_that_name_them() {
        let (z, c) = (zeros(&[4, 5]), zeros(&[4, 3]));
        let label = mapping(5, 3);
        let cases = [
            (label.forward(Some(&z), None), "expected c [N, 3], got none"),
            (label.forward(None, Some(&c)), "expected z [N, 5], got none"),
            (
                label.forward(Some(&z), Some(&zeros(&[3]))),
                "expected c [4, 3], got [3]",
            ),
            (
                label.forward(Some(&z), Some(&zeros(&[2, 3]))),
                "expected c [4, 3], got [2, 3]",
            ),
            (
                label.forward(Some(&zeros(&[4, 6])), Some(&c)),
                "expected z [4, 5], got [4, 6]",
            ),
            (mapping(5, 0).forward(Some(&z), Some(&c)), "expected no c"),
            (mapping(0, 3).forward(Some(&z), Some(&c)), "expected no z"),
            (
                mapping(0, 3).forward(None, None),
                "expected c [N, 3], got none",
            ),
        ];
        for (result, message) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn latents_and_labels_may_each_be_absent() -> Result<()> {
        let (z, c) = (zeros(&[4, 5]), zeros(&[4, 3]));
        assert_eq!(mapping(5, 3).forward(Some(&z), Some(&c))?.dims(), [4, 8]);
        assert_eq!(mapping(5, 0).forward(Some(&z), None)?.dims(), [4, 8]);
        assert_eq!(mapping(0, 3).forward(None, Some(&c))?.dims(), [4, 8]);
        Ok(())
    }
}
