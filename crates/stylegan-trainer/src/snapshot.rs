//! Training checkpoints: what they hold beside the weights, and how they are read back.

use std::path::Path;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use stylegan_checkpoint::{Checkpoint, CheckpointError, ParamStore};
use stylegan_data::Sampler;
use stylegan_synthesis::{Generator, GeneratorConfig};

use crate::error::TrainError;
use crate::recipe::Recipe;
use crate::run_folder::{find_snapshot, previous_snapshot};
use crate::state::TrainingState;

/// The section of a checkpoint that holds the generator to make pictures with.
const G_EMA: &str = "G_ema.";

/// Everything that a run needs to go on as if it had never stopped.
pub struct Snapshot {
    /// What is trained, and on what.
    pub recipe: Recipe,
    /// Weights, optimizer moments, random generators and counters.
    pub state: TrainingState,
    /// The order of the pictures.
    pub sampler: Sampler,
}

/// What a run adds to the JSON document of a [`TrainingState`], which has the `config` already.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    recipe: Recipe,
    sampler: Sampler,
}

impl Snapshot {
    /// Writes a checkpoint: under a temporary name first, then renamed.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where the folder can't be written.
    pub fn write(
        path: &Path,
        recipe: &Recipe,
        state: &TrainingState,
        sampler: &Sampler,
    ) -> Result<(), TrainError> {
        let mut checkpoint = state.to_checkpoint(&recipe.config)?;
        let document = Document {
            recipe: recipe.clone(),
            sampler: sampler.clone(),
        };
        let document = serde_json::to_value(document).map_err(candle_core::Error::wrap)?;
        if let (Some(all), serde_json::Value::Object(own)) =
            (checkpoint.metadata.as_object_mut(), document)
        {
            all.extend(own);
        }
        Ok(checkpoint.write(path)?)
    }

    /// Reads a checkpoint that [`write`](Self::write) made.
    ///
    /// # Errors
    /// [`TrainError::Resume`] where the file is damaged or isn't a training checkpoint; it names the
    /// snapshot to use in its place.
    pub fn read(path: &Path, device: &Device) -> Result<Self, TrainError> {
        let read = || -> Result<Self, CheckpointError> {
            let checkpoint = Checkpoint::read(path, device)?;
            let Document { recipe, sampler } = checkpoint.metadata_as()?;
            Ok(Self {
                state: TrainingState::from_checkpoint(&checkpoint, &recipe.config, device)?,
                recipe,
                sampler,
            })
        };
        read().map_err(|source| TrainError::Resume {
            advice: advice(path),
            source,
        })
    }
}

fn advice(path: &Path) -> String {
    match previous_snapshot(path) {
        Some(previous) => format!(
            "the snapshot before it may be whole: --resume {}",
            previous.display()
        ),
        None => "there is no earlier snapshot beside it: train anew, without --resume".to_string(),
    }
}

/// A trained generator, ready to make pictures.
pub struct TrainedGenerator {
    /// The network, with the moving average of the trained weights; records no gradients.
    pub network: Generator,
    /// Its configuration.
    pub config: GeneratorConfig,
}

impl TrainedGenerator {
    /// Loads the EMA generator from a checkpoint, or from the newest one of a run folder.
    ///
    /// # Errors
    /// There is no such file, or it isn't a training checkpoint, or it is damaged.
    pub fn load(file_or_run: &Path, device: &Device) -> Result<Self, TrainError> {
        let path = find_snapshot(file_or_run)?;
        let checkpoint = Checkpoint::read(&path, device)?;
        let config = checkpoint
            .metadata_as::<Document>()?
            .recipe
            .config
            .generator;
        let weights =
            checkpoint.load_network(G_EMA, DType::F32, device, |vb| Generator::new(&config, vb))?;
        Self::from_weights(config, &weights)
    }

    /// The network of weights that are being trained; it sees their later updates.
    pub(crate) fn from_weights(
        config: GeneratorConfig,
        weights: &ParamStore,
    ) -> Result<Self, TrainError> {
        let network = Generator::new(&config, weights.frozen_var_builder())?;
        Ok(Self { network, config })
    }
}
