//! Everything that changes in a training, and its form in a checkpoint.

use candle_core::{DType, Device};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stylegan_checkpoint::{Checkpoint, CheckpointError, ParamStore, Result, load_network};
use stylegan_discriminator::Discriminator;
use stylegan_synthesis::Generator;

use crate::adam::Adam;
use crate::config::TrainingConfig;
use crate::transfer::Pretrained;

const G: &str = "G.";
pub(crate) const D: &str = "D.";
/// The section of a checkpoint that holds the generator to make pictures with.
pub(crate) const G_EMA: &str = "G_ema.";
const G_ADAM: [&str; 2] = ["G_adam_m.", "G_adam_v."];
const D_ADAM: [&str; 2] = ["D_adam_m.", "D_adam_v."];

/// The state of a training between two minibatches: together with its [`TrainingConfig`] and the
/// position in the data it determines how the training goes on.
#[derive(Debug)]
pub struct TrainingState {
    /// The generator.
    pub g: ParamStore,
    /// The discriminator.
    pub d: ParamStore,
    /// The generator with averaged weights, for use.
    pub g_ema: ParamStore,
    /// The generator's optimizer.
    pub g_adam: Adam,
    /// The discriminator's optimizer.
    pub d_adam: Adam,
    /// The moving average of the path length.
    pub pl_mean: f64,
    /// Real images shown to the discriminator.
    pub images_seen: u64,
    /// Minibatches done.
    pub minibatches: u64,
    /// Where the networks grow: the images that had been seen when the schedule was last looked at, and by
    /// which training stands until the next time. `None` before the first.
    pub position_at: Option<u64>,
    /// The source of every random draw.
    pub rng: ChaCha8Rng,
}

/// The part of the state that is not tensors.
#[derive(Serialize, Deserialize)]
struct Counters {
    pl_mean: f64,
    images_seen: u64,
    minibatches: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position_at: Option<u64>,
    g_adam_steps: u64,
    d_adam_steps: u64,
    rng: ChaCha8Rng,
}

/// What this crate puts into a checkpoint's document; others may add fields of their own.
#[derive(Deserialize)]
struct Document {
    training: Counters,
}

impl TrainingState {
    /// The state before the first minibatch: weights drawn from the configuration's seed, in f32.
    ///
    /// # Errors
    /// Where the configuration is not valid, or the device fails.
    pub fn new(config: &TrainingConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let g = ParamStore::initialize(DType::F32, device, &mut rng, |vb| {
            Generator::new(&config.generator, vb)
        })?;
        let d = ParamStore::initialize(DType::F32, device, &mut rng, |vb| {
            Discriminator::new(&config.discriminator, vb)
        })?;
        Self::before_training(g.deep_copy()?, g, d, rng)
    }

    /// The state before the first minibatch of a new training: weights of `pretrained`, in f32, all else as in
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// Where the configuration is not valid, or the weights aren't those of its networks.
    pub fn transferred(
        config: &TrainingConfig,
        pretrained: &Pretrained,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let generator = |tensors| {
            load_network(tensors, DType::F32, device, |vb| {
                Generator::new(&config.generator, vb)
            })
        };
        let d = load_network(&pretrained.d, DType::F32, device, |vb| {
            Discriminator::new(&config.discriminator, vb)
        })?;
        let rng = ChaCha8Rng::seed_from_u64(config.seed);
        Self::before_training(
            generator(&pretrained.g_ema)?,
            generator(&pretrained.g)?,
            d,
            rng,
        )
    }

    fn before_training(
        g_ema: ParamStore,
        g: ParamStore,
        d: ParamStore,
        rng: ChaCha8Rng,
    ) -> Result<Self> {
        Ok(Self {
            g_ema,
            g_adam: Adam::new(&g)?,
            d_adam: Adam::new(&d)?,
            g,
            d,
            pl_mean: 0.,
            images_seen: 0,
            minibatches: 0,
            position_at: None,
            rng,
        })
    }

    /// A checkpoint of this state: tensors under `G.`, `D.`, `G_ema.` and the optimizers' prefixes,
    /// and a document with `config` and `training`, to which the caller may add. Networks trained
    /// from scratch store no `resample_filter`: the filter's taps are in `config`.
    ///
    /// The tensors share this state's memory: write the checkpoint before the next step.
    ///
    /// # Errors
    /// Where the document can't be expressed as JSON.
    pub fn to_checkpoint(&self, config: &TrainingConfig) -> Result<Checkpoint> {
        let counters = Counters {
            pl_mean: self.pl_mean,
            images_seen: self.images_seen,
            minibatches: self.minibatches,
            position_at: self.position_at,
            g_adam_steps: self.g_adam.steps(),
            d_adam_steps: self.d_adam.steps(),
            rng: self.rng.clone(),
        };
        let unfit = |source| CheckpointError::Metadata { path: None, source };
        let mut checkpoint = Checkpoint::new(json!({
            "config": serde_json::to_value(config).map_err(unfit)?,
            "training": serde_json::to_value(counters).map_err(unfit)?,
        }));
        for (prefix, store) in [(G, &self.g), (D, &self.d), (G_EMA, &self.g_ema)] {
            checkpoint.insert_section(prefix, store.to_tensors());
        }
        for (prefixes, adam) in [(G_ADAM, &self.g_adam), (D_ADAM, &self.d_adam)] {
            let (m, v) = adam.moments();
            checkpoint.insert_section(prefixes[0], m);
            checkpoint.insert_section(prefixes[1], v);
        }
        Ok(checkpoint)
    }

    /// The state that [`to_checkpoint`](Self::to_checkpoint) wrote, for networks of `config`, which
    /// may differ from the saved one in everything but the networks.
    ///
    /// # Errors
    /// Where a part is missing, or the tensors don't fit the networks of `config`.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &TrainingConfig,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let Document { training: counters } = checkpoint.metadata_as()?;
        let generator = |prefix| {
            checkpoint.load_network(prefix, DType::F32, device, |vb| {
                Generator::new(&config.generator, vb)
            })
        };
        let (g, g_ema) = (generator(G)?, generator(G_EMA)?);
        let d = checkpoint.load_network(D, DType::F32, device, |vb| {
            Discriminator::new(&config.discriminator, vb)
        })?;
        let adam = |params: &ParamStore, [m, v]: [&str; 2], steps| {
            let mut adam = Adam::new(params)?;
            adam.restore(&checkpoint.section(m)?, &checkpoint.section(v)?, steps)?;
            Ok::<_, CheckpointError>(adam)
        };
        Ok(Self {
            g_adam: adam(&g, G_ADAM, counters.g_adam_steps)?,
            d_adam: adam(&d, D_ADAM, counters.d_adam_steps)?,
            g,
            d,
            g_ema,
            pl_mean: counters.pl_mean,
            images_seen: counters.images_seen,
            minibatches: counters.minibatches,
            position_at: counters.position_at,
            rng: counters.rng,
        })
    }
}
