use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_ops::nn::Scaling;

/// How labels c enter the network beside z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelInput {
    /// StyleGAN2: `[normalize(z), normalize(embed(c))]`, where embed is a fully connected layer.
    #[default]
    Embed,
    /// StyleGAN: `normalize([z, M c])`, with a matrix that makes c as wide as z.
    Matrix,
    /// ProGAN: `normalize([z, c])`.
    Concatenate,
}

/// Configuration of a [`Mapping`](crate::Mapping) network.
///
/// The default is the generator's of StyleGAN2: z and w 512 wide, 8 layers, no labels. StyleGAN's
/// differs in [`scaling`](Self::scaling) and [`label_input`](Self::label_input). ProGAN has no layers
/// at all: its w is the normalised input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// Width of the latent z; 0 for a network of labels only.
    pub z_dim: usize,
    /// Width of the label c; 0 for a network without labels.
    pub c_dim: usize,
    /// Width of w.
    pub w_dim: usize,
    /// Number of fully connected layers; 0 for none, w is then as wide as the input.
    pub num_layers: usize,
    /// Width of the embedded label; `w_dim` where not given. With [`LabelInput::Embed`] only.
    pub embed_features: Option<usize>,
    /// Width between the layers; `w_dim` where not given.
    pub layer_features: Option<usize>,
    /// Learning rate of the fully connected layers relative to the rest of the generator.
    pub lr_multiplier: f64,
    /// Whether the network stores a moving average of w, which truncation needs.
    pub w_avg: bool,
    /// Where the gain of the layers is, and their activation.
    pub scaling: Scaling,
    /// How labels enter.
    pub label_input: LabelInput,
    /// Whether the input is normalised to unit mean square.
    pub normalize_latents: bool,
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self {
            z_dim: 512,
            c_dim: 0,
            w_dim: 512,
            num_layers: 8,
            embed_features: None,
            layer_features: None,
            lr_multiplier: 0.01,
            w_avg: true,
            scaling: Scaling::Activation,
            label_input: LabelInput::Embed,
            normalize_latents: true,
        }
    }
}

impl MappingConfig {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        if self.z_dim == 0 && self.c_dim == 0 {
            bail!("mapping: expected z_dim or c_dim to be at least 1, got 0 for both")
        }
        let widths = [
            ("w_dim", self.w_dim),
            ("embed_features", self.embed_features()),
            ("layer_features", self.layer_features()),
        ];
        for (name, value) in widths {
            if value == 0 {
                bail!("mapping: {name}: expected at least 1, got 0")
            }
        }
        if !(self.lr_multiplier.is_finite() && self.lr_multiplier > 0.) {
            bail!(
                "mapping: lr_multiplier: expected a positive number, got {}",
                self.lr_multiplier
            )
        }
        if self.z_dim == 0 && self.label_input != LabelInput::Embed {
            bail!(
                "mapping: label_input: expected embed where z_dim is 0, got {:?}",
                self.label_input
            )
        }
        let input = self.input_features();
        if self.num_layers == 0 && self.w_dim != input {
            bail!(
                "mapping: w_dim: expected the {input} features of the input, since there are no \
                 layers, got {}",
                self.w_dim
            )
        }
        Ok(())
    }

    /// Width of z and of what is made of the labels, together.
    pub fn input_features(&self) -> usize {
        let labels = match self.label_input {
            _ if self.c_dim == 0 => 0,
            LabelInput::Embed => self.embed_features(),
            LabelInput::Matrix => self.z_dim,
            LabelInput::Concatenate => self.c_dim,
        };
        self.z_dim + labels
    }

    pub(crate) fn embed_features(&self) -> usize {
        self.embed_features.unwrap_or(self.w_dim)
    }

    fn layer_features(&self) -> usize {
        self.layer_features.unwrap_or(self.w_dim)
    }

    /// Input and output widths of the fully connected layers.
    pub(crate) fn layer_widths(&self) -> impl Iterator<Item = (usize, usize)> {
        let (first, between, last) = (self.input_features(), self.layer_features(), self.w_dim);
        let num_layers = self.num_layers;
        (0..num_layers).map(move |i| {
            let input = if i == 0 { first } else { between };
            let output = if i + 1 == num_layers { last } else { between };
            (input, output)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_widths_follow_the_configuration() {
        let config = MappingConfig {
            z_dim: 5,
            c_dim: 3,
            w_dim: 16,
            num_layers: 3,
            embed_features: Some(4),
            layer_features: Some(7),
            ..MappingConfig::default()
        };
        let widths: Vec<_> = config.layer_widths().collect();
        assert_eq!(widths, [(9, 7), (7, 7), (7, 16)]);

        let single = MappingConfig {
            num_layers: 1,
            c_dim: 0,
            ..config
        };
        assert_eq!(single.layer_widths().collect::<Vec<_>>(), [(5, 16)]);
    }

    #[test]
    fn numbers_out_of_range_are_errors_that_name_them() {
        let ok = MappingConfig::default();
        let cases = [
            (
                MappingConfig {
                    z_dim: 0,
                    ..ok.clone()
                },
                "z_dim or c_dim",
            ),
            (
                MappingConfig {
                    w_dim: 0,
                    ..ok.clone()
                },
                "w_dim",
            ),
            (
                MappingConfig {
                    num_layers: 0,
                    z_dim: 5,
                    ..ok.clone()
                },
                "w_dim: expected the 5 features of the input",
            ),
            (
                MappingConfig {
                    z_dim: 0,
                    c_dim: 3,
                    label_input: LabelInput::Matrix,
                    ..ok.clone()
                },
                "label_input: expected embed",
            ),
            (
                MappingConfig {
                    layer_features: Some(0),
                    ..ok.clone()
                },
                "layer_features",
            ),
            (
                MappingConfig {
                    lr_multiplier: 0.,
                    ..ok.clone()
                },
                "lr_multiplier",
            ),
        ];
        assert!(ok.validate().is_ok());
        for (config, name) in cases {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_take_their_default() {
        let config: MappingConfig = serde_json::from_str(r#"{"w_dim": 32}"#).unwrap();
        assert_eq!(
            config,
            MappingConfig {
                w_dim: 32,
                ..MappingConfig::default()
            }
        );
        assert!(serde_json::from_str::<MappingConfig>(r#"{"width": 32}"#).is_err());
    }
}
