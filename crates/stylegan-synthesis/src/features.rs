use candle_core::Tensor;

/// The feature maps of one synthesis layer, `[N, C, R, R]`, on both sides of what keeps their scale in
/// check; see [`Synthesis::feature_maps`](crate::Synthesis::feature_maps).
#[derive(Debug, Clone)]
pub struct FeatureMaps {
    /// The layer's path, e.g. `b8.conv0`.
    pub layer: String,
    /// Layers of ProGAN and StyleGAN: after the activation, before normalisation and style. Layers of
    /// StyleGAN2: the convolution with modulated weights that are not demodulated.
    pub before: Tensor,
    /// What the layer gives.
    pub after: Tensor,
}
