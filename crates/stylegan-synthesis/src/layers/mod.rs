//! Synthesis layers and image outputs: the place where the layers of the families differ.
//! [`GeneratorConfig`](crate::GeneratorConfig) has a table of all differences.

mod modulated;
mod styled;

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use stylegan_ops::nn::{Conv2dLayer, Pyramid};
use stylegan_ops::{BiasAct, Filter, Precision};

use crate::features::FeatureMaps;
use crate::noise::NoiseInput;
use crate::{Layers, NoiseMap, NoiseMode, SynthesisConfig};
use modulated::{ModulatedLayer, ModulatedLayerConfig, ModulatedToRgb};
use styled::{EpilogueConfig, StyledInput, StyledLayer};

const STANDARD_NORMAL: Init = Init::Randn {
    mean: 0.,
    stdev: 1.,
};

/// The path of the first layer, where the input is one.
const INPUT_LAYER: &str = "b4.input";

/// What accompanies a forward pass through all layers.
pub(crate) struct Pass<'a, 'b> {
    pub(crate) noise: &'a mut NoiseMode<'b>,
    /// Collects feature maps, where somebody wants them.
    pub(crate) features: Option<&'a mut Vec<FeatureMaps>>,
    /// What the layer under way has before normalisation.
    before: Option<Tensor>,
    /// How many layers have asked for their noise.
    noisy_layers: usize,
}

impl<'a, 'b> Pass<'a, 'b> {
    pub(crate) fn new(
        noise: &'a mut NoiseMode<'b>,
        features: Option<&'a mut Vec<FeatureMaps>>,
    ) -> Self {
        Self {
            noise,
            features,
            before: None,
            noisy_layers: 0,
        }
    }

    /// The noise maps `[n or 1, 1, R, R]` of the next layer with noise, not yet times their strength.
    fn noise_maps(&mut self, input: &NoiseInput, n: usize) -> Result<Option<Tensor>> {
        let number = self.noisy_layers;
        self.noisy_layers += 1;
        input.maps(n, number, self.noise)
    }

    /// Keeps what a layer has before it is normalised.
    fn observe_before(&mut self, maps: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if self.features.is_some() {
            self.before = Some(maps()?);
        }
        Ok(())
    }

    /// Keeps what a layer gives.
    fn observe_after(&mut self, name: &str, maps: &Tensor) {
        if let (Some(features), Some(before)) = (&mut self.features, self.before.take()) {
            features.push(FeatureMaps {
                layer: name.to_string(),
                before,
                after: maps.clone(),
            });
        }
    }
}

/// What a layer of a network is built from, beside its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) config: &'a SynthesisConfig,
    pub(crate) pyramid: &'a Pyramid,
    pub(crate) filter: &'a Filter,
}

/// A convolution layer `b{r}.conv0` or `b{r}.conv1`.
#[derive(Debug, Clone)]
pub(crate) struct SynthesisLayer {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Modulated(ModulatedLayer),
    Styled(StyledLayer),
}

impl SynthesisLayer {
    /// `gain` multiplies the output. `block` points at the block of `resolution`.
    pub(crate) fn new(
        setting: Setting,
        name: &str,
        resolution: usize,
        up: usize,
        gain: f64,
        block: &VarBuilder,
    ) -> Result<Self> {
        let Setting {
            config,
            pyramid,
            filter,
        } = setting;
        let (in_channels, out_channels) = (
            pyramid.channels(resolution / up),
            pyramid.channels(resolution),
        );
        let vb = block.pp(name);
        let kind = match &config.layers {
            Layers::Modulated => {
                let layer = ModulatedLayerConfig {
                    in_channels,
                    out_channels,
                    w_dim: config.w_dim,
                    resolution,
                    up,
                    act: BiasAct::lrelu().with_clamp(config.conv_clamp).scaled(gain),
                    filter,
                    use_noise: config.use_noise,
                };
                Kind::Modulated(ModulatedLayer::new(layer, vb)?)
            }
            Layers::Styled(layers) => {
                let epilogue = epilogue(setting, resolution);
                Kind::Styled(StyledLayer::new(layers, in_channels, up, epilogue, vb)?)
            }
        };
        Ok(Self {
            name: format!("b{resolution}.{name}"),
            kind,
        })
    }

    /// The stored noise map, where the layer has noise.
    pub(crate) fn noise_map(&self) -> Option<NoiseMap> {
        let noise = match &self.kind {
            Kind::Modulated(layer) => layer.noise(),
            Kind::Styled(layer) => layer.noise(),
        };
        Some(NoiseMap {
            layer: self.name.clone(),
            map: noise?.stored().clone(),
        })
    }

    /// The same layer for parameters that don't change any more.
    pub(crate) fn prepared(self, precision: Precision) -> Result<Self> {
        let kind = match self.kind {
            Kind::Modulated(layer) => Kind::Modulated(layer.prepared(precision)?),
            Kind::Styled(layer) => Kind::Styled(layer),
        };
        Ok(Self { kind, ..self })
    }

    /// The matrix from w to the layer's style; `None` where it has none.
    pub(crate) fn style_matrix(&self) -> Result<Option<Tensor>> {
        match &self.kind {
            Kind::Modulated(layer) => layer.style_matrix().map(Some),
            Kind::Styled(layer) => layer.style_matrix(),
        }
    }

    /// x `[N, I, H, W]` and w `[N, w_dim]` to `[N, O, H * up, W * up]`.
    pub(crate) fn forward(&self, x: &Tensor, w: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let y = match &self.kind {
            Kind::Modulated(layer) => layer.forward(x, w, pass)?,
            Kind::Styled(layer) => layer.forward(x, w, pass)?,
        };
        pass.observe_after(&self.name, &y);
        Ok(y)
    }
}

fn epilogue(setting: Setting, resolution: usize) -> EpilogueConfig {
    EpilogueConfig {
        channels: setting.pyramid.channels(resolution),
        w_dim: setting.config.w_dim,
        resolution,
    }
}

/// What the first block starts from.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A learned constant, `const` `[C, 4, 4]`, as it is.
    Constant(Tensor),
    /// A layer of its own, with a w of its own.
    Layer(Box<StyledInput>),
}

impl Input {
    /// `block` points at the first block.
    pub(crate) fn new(setting: Setting, block: &VarBuilder) -> Result<Self> {
        match &setting.config.layers {
            Layers::Modulated => {
                let shape = (setting.pyramid.channels(4), 4, 4);
                let constant = block.get_with_hints(shape, "const", STANDARD_NORMAL)?;
                Ok(Self::Constant(constant))
            }
            Layers::Styled(layers) => {
                let input = StyledInput::new(layers, epilogue(setting, 4), block)?;
                Ok(Self::Layer(Box::new(input)))
            }
        }
    }

    /// The stored noise map, where it is a layer with noise.
    pub(crate) fn noise_map(&self) -> Option<NoiseMap> {
        match self {
            Self::Constant(_) => None,
            Self::Layer(layer) => Some(NoiseMap {
                layer: INPUT_LAYER.to_string(),
                map: layer.noise()?.stored().clone(),
            }),
        }
    }

    /// The matrix from w to its style; `None` where it has none.
    pub(crate) fn style_matrix(&self) -> Result<Option<Tensor>> {
        match self {
            Self::Constant(_) => Ok(None),
            Self::Layer(layer) => layer.style_matrix(),
        }
    }

    /// The first features `[N, C, 4, 4]`, and how many of the ws they took.
    pub(crate) fn forward(&self, ws: &[Tensor], pass: &mut Pass) -> Result<(Tensor, usize)> {
        match self {
            Self::Constant(constant) => {
                let (channels, height, width) = constant.dims3()?;
                let shape = (ws[0].dims()[0], channels, height, width);
                Ok((constant.unsqueeze(0)?.broadcast_as(shape)?, 0))
            }
            Self::Layer(layer) => {
                let x = layer.forward(&ws[0], pass)?;
                pass.observe_after(INPUT_LAYER, &x);
                Ok((x, 1))
            }
        }
    }
}

/// The image output `b{r}.torgb` of a block.
#[derive(Debug, Clone)]
pub(crate) enum ToRgb {
    Modulated(ModulatedToRgb),
    Plain(Conv2dLayer),
}

impl ToRgb {
    /// `block` points at the block of `resolution`.
    pub(crate) fn new(setting: Setting, resolution: usize, block: &VarBuilder) -> Result<Self> {
        let Setting {
            config, pyramid, ..
        } = setting;
        let (channels, vb) = (pyramid.channels(resolution), block.pp("torgb"));
        match &config.layers {
            Layers::Modulated => {
                let (img_channels, clamp) = (config.img_channels, config.conv_clamp);
                let layer = ModulatedToRgb::new(channels, img_channels, config.w_dim, clamp, vb)?;
                Ok(Self::Modulated(layer))
            }
            Layers::Styled(layers) => {
                let scaling = layers.convolution.scaling();
                let layer = styled::to_rgb(scaling, channels, config.img_channels, vb)?;
                Ok(Self::Plain(layer))
            }
        }
    }

    /// The matrix from w to its style; `None` where it has none.
    pub(crate) fn style_matrix(&self) -> Result<Option<Tensor>> {
        match self {
            Self::Modulated(layer) => layer.style_matrix().map(Some),
            Self::Plain(_) => Ok(None),
        }
    }

    /// x `[N, I, R, R]` and the ws that the block's convolutions left over to an image `[N, C, R, R]`.
    pub(crate) fn forward(&self, x: &Tensor, ws: &[Tensor]) -> Result<Tensor> {
        match self {
            Self::Modulated(layer) => layer.forward(x, &ws[0]),
            Self::Plain(layer) => layer.forward(x),
        }
    }
}
