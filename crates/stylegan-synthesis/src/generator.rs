use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use stylegan_mapping::{Mapping, broadcast, truncate};
use stylegan_ops::Precision;
use stylegan_ops::growing::Lod;

use crate::{GeneratorConfig, NoiseMode, Synthesis};

/// A mapping network with a synthesis network behind it.
///
/// Parameters: `mapping.*` ([`Mapping`]) and `synthesis.*` ([`Synthesis`]).
#[derive(Debug, Clone)]
pub struct Generator {
    mapping: Mapping,
    synthesis: Synthesis,
}

impl Generator {
    /// Builds the generator from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If the configuration is out of range ([`GeneratorConfig::validate`]), or a parameter is
    /// missing or has another shape.
    pub fn new(config: &GeneratorConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            mapping: Mapping::new(&config.mapping_config(), vb.pp("mapping"))?,
            synthesis: Synthesis::new(&config.synthesis, vb.pp("synthesis"))?,
        })
    }

    /// The same network at another level of detail, with the same parameters; see
    /// [`Synthesis::at_lod`].
    ///
    /// # Errors
    /// Those of [`Synthesis::at_lod`].
    pub fn at_lod(&self, lod: Lod) -> Result<Self> {
        Ok(Self {
            mapping: self.mapping.clone(),
            synthesis: self.synthesis.at_lod(lod)?,
        })
    }

    /// The same network, faster, for parameters that don't change any more; see [`Synthesis::prepared`].
    ///
    /// # Errors
    /// Those of [`Synthesis::prepared`].
    pub fn prepared(self, precision: Precision) -> Result<Self> {
        Ok(Self {
            mapping: self.mapping,
            synthesis: self.synthesis.prepared(precision)?,
        })
    }

    /// The level of detail that the network stands at.
    pub fn lod(&self) -> Lod {
        self.synthesis.lod()
    }

    /// The ws `[N, num_ws, w_dim]` of z `[N, z_dim]` and, with labels, c `[N, c_dim]`.
    ///
    /// A `psi` other than 1 truncates the first `cutoff` layers, or all of them
    /// ([`truncate`]).
    ///
    /// # Errors
    /// If z or c has another shape, or `psi` is not 1 and the network keeps no average of w.
    pub fn ws(
        &self,
        z: &Tensor,
        c: Option<&Tensor>,
        psi: f64,
        cutoff: Option<usize>,
    ) -> Result<Tensor> {
        let w = self.mapping.forward(Some(z), c)?;
        let ws = broadcast(&w, self.synthesis.num_ws())?;
        if psi == 1. {
            return Ok(ws);
        }
        match self.mapping.w_avg() {
            Some(w_avg) => truncate(&ws, w_avg, psi, cutoff),
            None => bail!(
                "generator: truncation with psi {psi} needs the average w, which this network does \
                 not keep; use a psi of 1"
            ),
        }
    }

    /// Images `[N, img_channels, R, R]`, about in [-1, 1]: [`Generator::ws`] and then
    /// [`Synthesis::forward`].
    ///
    /// # Errors
    /// Those of the two.
    pub fn forward(
        &self,
        z: &Tensor,
        c: Option<&Tensor>,
        psi: f64,
        cutoff: Option<usize>,
        noise: &mut NoiseMode,
    ) -> Result<Tensor> {
        self.synthesis.forward(&self.ws(z, c, psi, cutoff)?, noise)
    }

    /// The mapping network.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The synthesis network.
    pub fn synthesis(&self) -> &Synthesis {
        &self.synthesis
    }
}
