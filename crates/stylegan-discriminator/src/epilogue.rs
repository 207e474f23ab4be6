use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::minibatch_std;
use stylegan_ops::nn::{Conv2dLayer, FullyConnected, FullyConnectedConfig, Pyramid};

use crate::DiscriminatorConfig;

/// The last block at 4x4: minibatch standard deviation, convolution and two fully connected layers.
///
/// Parameters: `conv.{weight,bias}`, `fc.{weight,bias}`, `out.{weight,bias}`.
#[derive(Debug, Clone)]
pub(crate) struct Epilogue {
    mbstd_group_size: Option<usize>,
    mbstd_num_channels: usize,
    conv: Conv2dLayer,
    fc: FullyConnected,
    out: FullyConnected,
}

impl Epilogue {
    /// `out_features` is what the label head asks for.
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        pyramid: &Pyramid,
        out_features: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let channels = pyramid.channels(4);
        let fc_features = config.fc_features(pyramid);
        let scaling = config.scaling();
        let conv = config.nonlinear_conv(channels + config.mbstd_num_channels, channels, 3);
        let fc = FullyConnectedConfig {
            act: scaling.act(),
            scale: scaling.nonlinear(),
            ..FullyConnectedConfig::new(channels * 4 * 4, fc_features)
        };
        let out = FullyConnectedConfig {
            scale: scaling.linear(),
            ..FullyConnectedConfig::new(fc_features, out_features)
        };
        Ok(Self {
            mbstd_group_size: config.mbstd_group_size,
            mbstd_num_channels: config.mbstd_num_channels,
            conv: Conv2dLayer::new(conv, vb.pp("conv"))?,
            fc: FullyConnected::new(fc, vb.pp("fc"))?,
            out: FullyConnected::new(out, vb.pp("out"))?,
        })
    }
}

impl Module for Epilogue {
    /// x `[N, channels, 4, 4]` to `[N, out_features]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.mbstd_num_channels > 0 {
            minibatch_std(x, self.mbstd_group_size, self.mbstd_num_channels)?
        } else {
            x.clone()
        };
        let x = self.conv.forward(&x)?.flatten_from(1)?;
        self.out.forward(&self.fc.forward(&x)?)
    }
}
