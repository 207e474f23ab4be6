//! What several tests of this crate need.

use crate::options::{NetworkOptions, TrainOptions};

/// Very small networks on a few 8x8 portraits, for 4 minibatches of 4 pictures.
pub(crate) fn tiny_options() -> TrainOptions {
    let mut options = TrainOptions::default();
    options.data.resolution = Some(8);
    options.data.subset = Some(64);
    options.network = NetworkOptions {
        channel_base: Some(64),
        channel_max: Some(8),
        z_dim: Some(8),
        w_dim: Some(8),
        mapping_layers: None,
    };
    options.training.batch = Some(4);
    options.schedule.kimg = Some(0.016);
    options
}
