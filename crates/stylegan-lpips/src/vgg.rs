//! The convolutions of VGG16.

use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};
use stylegan_ops::{Activation, BiasAct, Conv2d, bias_act, conv2d, max_pool2d};

/// The numbers that torchvision gives the convolutions of each stage.
const STAGES: [&[usize]; 5] = [
    &[0, 2],
    &[5, 7],
    &[10, 12, 14],
    &[17, 19, 21],
    &[24, 26, 28],
];

/// Pictures are halved four times.
const SMALLEST_SIDE: usize = 1 << 4;

const RELU: BiasAct = BiasAct {
    act: Activation::LeakyRelu,
    alpha: 0.,
    gain: 1.,
    clamp: None,
};

/// Configuration of a [`Vgg16`]; the default is the published network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vgg16Config {
    /// Channels of the five stages.
    pub widths: [usize; 5],
}

impl Default for Vgg16Config {
    fn default() -> Self {
        Self {
            widths: [64, 128, 256, 512, 512],
        }
    }
}

/// The convolutions of VGG16: five stages of two or three 3x3 convolutions with ReLU, between them the largest
/// pixels of 2x2 squares.
///
/// Parameters, under torchvision's names: `features.{i}.weight` `[O, I, 3, 3]` and `features.{i}.bias` `[O]` with
/// i = 0, 2 · 5, 7 · 10, 12, 14 · 17, 19, 21 · 24, 26, 28. The fully connected layers are left out.
#[derive(Debug, Clone)]
pub struct Vgg16 {
    stages: Vec<Vec<Layer>>,
}

#[derive(Debug, Clone)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Vgg16 {
    /// Builds the network from the parameters at the path of `vb`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(config: &Vgg16Config, vb: VarBuilder) -> Result<Self> {
        let mut in_channels = 3;
        let mut stages = Vec::with_capacity(STAGES.len());
        for (numbers, channels) in STAGES.iter().zip(config.widths) {
            let mut layers = Vec::with_capacity(numbers.len());
            for number in *numbers {
                let vb = vb.pp(format!("features.{number}"));
                layers.push(Layer::new(in_channels, channels, vb)?);
                in_channels = channels;
            }
            stages.push(layers);
        }
        Ok(Self { stages })
    }

    /// What the last layer of every stage gives (`relu1_2`, `relu2_2`, `relu3_3`, `relu4_3`, `relu5_3`):
    /// `[N, widths[k], H >> k, W >> k]`.
    ///
    /// `x` is `[N, 3, H, W]`, normalised as the network was trained.
    ///
    /// # Errors
    /// If `x` has another shape, or a side is shorter than 16.
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        match *x.dims() {
            [_, 3, h, w] if h.min(w) >= SMALLEST_SIDE => {}
            ref got => bail!(
                "VGG16: expected pictures [N, 3, H, W] with sides of at least {SMALLEST_SIDE}, got {got:?}"
            ),
        }
        let mut x = x.clone();
        let mut features = Vec::with_capacity(self.stages.len());
        for (number, stage) in self.stages.iter().enumerate() {
            if number > 0 {
                x = max_pool2d(&x)?;
            }
            for layer in stage {
                x = layer.forward(&x)?;
            }
            features.push(x.clone());
        }
        Ok(features)
    }
}

impl Layer {
    fn new(in_channels: usize, out_channels: usize, vb: VarBuilder) -> Result<Self> {
        // Keeps the mean square of activations, where there are no weights to load.
        let init = Init::Randn {
            mean: 0.,
            stdev: (2. / (9 * in_channels) as f64).sqrt(),
        };
        let shape = (out_channels, in_channels, 3, 3);
        Ok(Self {
            weight: vb.get_with_hints(shape, "weight", init)?,
            bias: vb.get_with_hints(out_channels, "bias", Init::Const(0.))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let config = Conv2d {
            padding: 1,
            ..Conv2d::default()
        };
        let x = conv2d(x, &self.weight, None, &config)?;
        bias_act(&x, Some(&self.bias), None, &RELU)
    }
}
