use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, Module, VarBuilder};
use stylegan_ops::nn::{FullyConnected, FullyConnectedConfig};
use stylegan_ops::normalize_2nd_moment;

use crate::{LabelInput, MappingConfig};

/// The mapping network: `w = fc_last(... fc0(input))`, an activation behind every layer, where the
/// input is made of z and c as [`LabelInput`] says and normalised to unit mean square.
///
/// Parameters: with labels, `embed.{weight,bias}` ([`LabelInput::Embed`]) or `embed.weight`
/// `[z_dim, c_dim]` ([`LabelInput::Matrix`]); `fc{i}.{weight,bias}`. Buffer: `w_avg` `[w_dim]`,
/// initially 0, where the configuration asks for it.
#[derive(Debug, Clone)]
pub struct Mapping {
    config: MappingConfig,
    embed: Option<Embed>,
    layers: Vec<FullyConnected>,
    w_avg: Option<Tensor>,
}

/// What labels pass through before they join z.
#[derive(Debug, Clone)]
enum Embed {
    Layer(FullyConnected),
    /// `[z_dim, c_dim]`, not scaled.
    Matrix(Tensor),
}

impl Embed {
    /// None where labels are absent, or join z as they are.
    fn new(config: &MappingConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let MappingConfig { z_dim, c_dim, .. } = *config;
        match config.label_input {
            _ if c_dim == 0 => Ok(None),
            LabelInput::Embed => {
                let layer = FullyConnectedConfig {
                    scale: config.scaling.linear(),
                    ..FullyConnectedConfig::new(c_dim, config.embed_features())
                };
                Ok(Some(Self::Layer(FullyConnected::new(layer, vb)?)))
            }
            LabelInput::Matrix => {
                let init = Init::Randn {
                    mean: 0.,
                    stdev: 1.,
                };
                let matrix = vb.get_with_hints((z_dim, c_dim), "weight", init)?;
                Ok(Some(Self::Matrix(matrix)))
            }
            LabelInput::Concatenate => Ok(None),
        }
    }

    fn forward(&self, c: &Tensor) -> Result<Tensor> {
        match self {
            Self::Layer(layer) => layer.forward(c),
            Self::Matrix(matrix) => c.contiguous()?.matmul(&matrix.t()?),
        }
    }
}

impl Mapping {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`MappingConfig::validate`]), or a parameter is missing
    /// or has another shape.
    pub fn new(config: &MappingConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let embed = Embed::new(config, vb.pp("embed"))?;
        let layers = config
            .layer_widths()
            .enumerate()
            .map(|(i, (in_features, out_features))| {
                let layer = FullyConnectedConfig {
                    act: config.scaling.act(),
                    scale: config.scaling.nonlinear(),
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
        let mut x = self.input(z, c)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    /// What the first layer sees.
    fn input(&self, z: Option<&Tensor>, c: Option<&Tensor>) -> Result<Tensor> {
        let normalize = |x: Tensor| match self.config.normalize_latents {
            true => normalize_2nd_moment(&x),
            false => Ok(x),
        };
        let c = match (&self.embed, c) {
            (Some(embed), Some(c)) => Some(embed.forward(c)?),
            (_, c) => c.cloned(),
        };
        let parts = z.cloned().into_iter().chain(c);
        if self.config.label_input == LabelInput::Embed {
            let parts: Vec<Tensor> = parts.map(normalize).collect::<Result<_>>()?;
            return Tensor::cat(&parts, 1);
        }
        normalize(Tensor::cat(&parts.collect::<Vec<_>>(), 1)?)
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
