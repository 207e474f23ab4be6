use std::f64::consts::SQRT_2;

use candle_core::{Result, bail};
use candle_nn::Init;
use serde::{Deserialize, Serialize};

use crate::{Activation, BiasAct, Filter};

/// The activation functions of the first generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlinearity {
    /// Leaky ReLU with slope 0.2.
    #[default]
    Lrelu,
    /// ReLU.
    Relu,
}

/// Where the gain that makes up for an activation is applied.
///
/// Halving a normal variable's range loses half of its variance; a gain of `sqrt(2)` restores it. The
/// generations of the networks differ in the side of the bias that they put it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// StyleGAN2: behind the leaky ReLU, so the bias is scaled too (Karras et al. 2020, appendix B).
    #[default]
    Activation,
    /// ProGAN and StyleGAN: in the weight, before the bias is added (Karras et al. 2018, section 4.1).
    Weight {
        /// The activation function.
        nonlinearity: Nonlinearity,
        /// Whether weights are scaled at run time (equalized learning rate), or once when they are drawn.
        use_wscale: bool,
    },
}

impl Scaling {
    /// Leaky ReLU and weights scaled at run time: ProGAN and StyleGAN as published.
    pub const FIRST_GENERATION: Self = Self::Weight {
        nonlinearity: Nonlinearity::Lrelu,
        use_wscale: true,
    };

    /// What follows the weights of a layer with an activation.
    pub fn act(self) -> BiasAct {
        let Self::Weight { nonlinearity, .. } = self else {
            return BiasAct::lrelu();
        };
        let alpha = match nonlinearity {
            Nonlinearity::Lrelu => 0.2,
            Nonlinearity::Relu => 0.,
        };
        BiasAct {
            act: Activation::LeakyRelu,
            alpha,
            ..BiasAct::linear()
        }
    }

    /// The scale of the weights before an activation.
    pub fn nonlinear(self) -> WeightScale {
        match self {
            Self::Activation => WeightScale::default(),
            Self::Weight { use_wscale, .. } => WeightScale {
                gain: SQRT_2,
                use_wscale,
            },
        }
    }

    /// The scale of the weights of a layer without an activation.
    pub fn linear(self) -> WeightScale {
        match self {
            Self::Activation => WeightScale::default(),
            Self::Weight { use_wscale, .. } => WeightScale {
                gain: 1.,
                use_wscale,
            },
        }
    }
}

/// How a stored weight becomes the one that is computed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightScale {
    /// The standard deviation of a weight is `gain / sqrt(fan_in)` when training begins.
    pub gain: f64,
    /// Whether the stored weight has unit variance and is scaled at run time (equalized learning rate).
    pub use_wscale: bool,
}

impl Default for WeightScale {
    /// Equalized learning rate with gain 1.
    fn default() -> Self {
        Self {
            gain: 1.,
            use_wscale: true,
        }
    }
}

impl WeightScale {
    /// What the stored weight is multiplied by.
    pub(super) fn runtime(self, fan_in: usize, lr_multiplier: f64) -> f64 {
        match self.use_wscale {
            true => lr_multiplier * self.gain / (fan_in as f64).sqrt(),
            false => lr_multiplier,
        }
    }

    /// How the stored weight is drawn.
    pub(super) fn init(self, fan_in: usize, lr_multiplier: f64) -> Init {
        let stdev = match self.use_wscale {
            true => 1. / lr_multiplier,
            false => self.gain / (fan_in as f64).sqrt() / lr_multiplier,
        };
        Init::Randn { mean: 0., stdev }
    }
}

/// How a convolution layer doubles or halves its resolution.
#[derive(Debug, Clone, PartialEq)]
pub enum Resampling {
    /// StyleGAN2: one filter next to a convolution of stride 2
    /// ([`conv2d_resample`](crate::conv2d_resample)). A `resample_filter` stored with the layer takes its place.
    Fir(Filter),
    /// ProGAN and StyleGAN: nearest neighbours up, the mean of 2x2 pixels down.
    ///
    /// Up, the filter follows the convolution, down, it precedes it; it sees zeros around a picture of
    /// unchanged size.
    Blur {
        /// The blur, which ProGAN has none of.
        filter: Option<Filter>,
        /// Whether an upsampling convolution is fused with its upsampling: it then takes its kernel
        /// rotated by 180 degrees. Downsampling is the same either way.
        fused: bool,
    },
}

impl Default for Resampling {
    fn default() -> Self {
        Self::Fir(Filter::default())
    }
}

/// Whether the upsampling convolutions of the first generation are fused with their upsampling.
///
/// A network needs the form that it was trained with: one takes its kernels rotated by 180 degrees in
/// respect of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusedScale {
    /// From 128x128 pixels up.
    #[default]
    Auto,
    /// At every resolution.
    On,
    /// At no resolution.
    Off,
}

impl FusedScale {
    /// Whether the layer between `resolution / 2` and `resolution` is fused.
    pub fn at(self, resolution: usize) -> bool {
        match self {
            Self::Auto => resolution >= 128,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// What the convolution layers of ProGAN and StyleGAN have in common.
///
/// The default is StyleGAN's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstGeneration {
    /// The activation function.
    pub nonlinearity: Nonlinearity,
    /// Whether weights are scaled at run time (equalized learning rate), or once when they are drawn.
    pub use_wscale: bool,
    /// Taps of the separable blur beside resampling convolutions; none where there is no blur.
    pub blur_filter: Vec<f64>,
    /// Whether upsampling convolutions are fused with their upsampling.
    pub fused_scale: FusedScale,
}

impl Default for FirstGeneration {
    fn default() -> Self {
        Self {
            nonlinearity: Nonlinearity::Lrelu,
            use_wscale: true,
            blur_filter: vec![1., 2., 1.],
            fused_scale: FusedScale::Auto,
        }
    }
}

impl FirstGeneration {
    /// ProGAN's: no blur, and fused upsampling.
    pub fn progan() -> Self {
        Self {
            blur_filter: Vec::new(),
            fused_scale: FusedScale::On,
            ..Self::default()
        }
    }

    /// Where the gain is, and the activation.
    pub fn scaling(&self) -> Scaling {
        Scaling::Weight {
            nonlinearity: self.nonlinearity,
            use_wscale: self.use_wscale,
        }
    }

    /// How the layer between `resolution / 2` and `resolution` resamples.
    ///
    /// # Errors
    /// If the blur's taps are no filter.
    pub fn resampling(&self, resolution: usize) -> Result<Resampling> {
        let filter = match self.blur_filter.is_empty() {
            true => None,
            false => Some(Filter::separable(&self.blur_filter)?),
        };
        Ok(Resampling::Blur {
            filter,
            fused: self.fused_scale.at(resolution),
        })
    }

    /// Checks that the blur keeps the size of a picture and doesn't darken it.
    ///
    /// # Errors
    /// Names the field, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        let taps = &self.blur_filter;
        let sum: f64 = taps.iter().sum();
        if !taps.is_empty() && (taps.len().is_multiple_of(2) || !sum.is_finite() || sum == 0.) {
            bail!(
                "blur_filter: expected no taps or an odd number of them with a sum other than 0, got \
                 {taps:?}"
            )
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_on_one_side_of_the_bias() {
        let (first, second) = (Scaling::FIRST_GENERATION, Scaling::Activation);
        assert_eq!((first.nonlinear().gain, first.act().gain), (SQRT_2, 1.));
        assert_eq!((second.nonlinear().gain, second.act().gain), (1., SQRT_2));
        assert_eq!((first.linear().gain, second.linear().gain), (1., 1.));
        assert_eq!((first.act().alpha, second.act().alpha), (0.2, 0.2));
        let relu = Scaling::Weight {
            nonlinearity: Nonlinearity::Relu,
            use_wscale: false,
        };
        assert_eq!((relu.act().alpha, relu.nonlinear().use_wscale), (0., false));
    }

    #[test]
    fn a_weight_is_scaled_when_it_is_used_or_when_it_is_drawn() {
        let deviation = |scale: WeightScale| {
            let Init::Randn { stdev, .. } = scale.init(16, 0.01) else {
                panic!("weights are drawn from a normal distribution");
            };
            stdev * scale.runtime(16, 0.01)
        };
        for use_wscale in [true, false] {
            let scale = WeightScale {
                gain: 3.,
                use_wscale,
            };
            assert!((deviation(scale) - 0.75).abs() < 1e-12);
        }
    }

    #[test]
    fn fused_scale_is_automatic_from_128_up() {
        assert!(FusedScale::Auto.at(128) && !FusedScale::Auto.at(64));
        assert!(FusedScale::On.at(8) && !FusedScale::Off.at(1024));
    }

    #[test]
    fn a_blur_that_would_move_or_darken_the_picture_is_refused() {
        for taps in [vec![1., 1.], vec![1., -2., 1.], vec![1., f64::NAN, 1.]] {
            let config = FirstGeneration {
                blur_filter: taps,
                ..FirstGeneration::default()
            };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with("blur_filter: expected"), "{error}");
        }
        FirstGeneration::progan().validate().unwrap();
        FirstGeneration::default().validate().unwrap();
    }
}
