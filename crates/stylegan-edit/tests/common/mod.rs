//! Small networks that were not trained.

use candle_core::{DType, Device};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_import::Network;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, GeneratorConfig, SynthesisConfig};

/// A family's network of 16x16 pictures and 6 numbers in w.
pub fn config(family: GeneratorConfig) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 6,
        synthesis: SynthesisConfig {
            w_dim: 6,
            img_resolution: 16,
            channel_base: 128,
            channel_max: 12,
            ..family.synthesis
        },
        ..family
    }
}

/// A network of that configuration, with weights drawn from a seed.
pub fn network(config: &GeneratorConfig, seed: u64) -> Network<GeneratorConfig> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        Generator::new(config, vb)
    });
    let tensors = params.unwrap().to_tensors();
    Network::new("test", config.clone(), tensors, Lod::FULL).unwrap()
}
