use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};
use stylegan_ops::nn::{Conv2dConfig, Conv2dLayer, FullyConnected, FullyConnectedConfig};
use stylegan_ops::{BiasAct, minibatch_std};

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
    /// `out_features` is 1, or the width of the mapped label.
    pub(crate) fn new(
        config: &DiscriminatorConfig,
        channels: usize,
        out_features: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        let conv = Conv2dConfig {
            act: BiasAct::lrelu().with_clamp(config.conv_clamp),
            ..Conv2dConfig::new(channels + config.mbstd_num_channels, channels, 3)
        };
        let fc = FullyConnectedConfig {
            act: BiasAct::lrelu(),
            ..FullyConnectedConfig::new(channels * 4 * 4, channels)
        };
        let out = FullyConnectedConfig::new(channels, out_features);
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
