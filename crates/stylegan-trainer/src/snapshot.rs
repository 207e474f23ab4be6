//! Training checkpoints: what they hold beside the weights, and how they are read back.

use std::path::Path;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stylegan_checkpoint::{Checkpoint, CheckpointError, ParamStore};
use stylegan_data::Sampler;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig};
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, GeneratorConfig};

use crate::error::TrainError;
use crate::growing::GrowingConfig;
use crate::recipe::Recipe;
use crate::run_folder::{find_snapshot, previous_snapshot};
use crate::state::{D, G_EMA, TrainingState};

/// The form of the checkpoints that this version writes, and the newest that it reads. It goes up when an
/// older version couldn't read what a newer one writes. 2: networks of the first generation, and what their
/// configurations add to those of StyleGAN2.
const FORMAT: u32 = 2;

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
    form: Form,
    #[serde(flatten)]
    recipe: Recipe,
    sampler: Sampler,
}

/// The part of the document that every version understands.
#[derive(Serialize, Deserialize)]
struct Form {
    /// Checkpoints without a number were written before there was a second form.
    #[serde(default = "first_format")]
    format: u32,
}

fn first_format() -> u32 {
    1
}

/// The part of the document that making pictures needs.
#[derive(Deserialize)]
struct GeneratorDocument {
    config: GeneratorPart,
    training: Option<Progress>,
}

#[derive(Deserialize)]
struct GeneratorPart {
    generator: GeneratorConfig,
    growing: Option<GrowingConfig>,
}

/// The part of the document that the discriminator needs.
#[derive(Deserialize)]
struct DiscriminatorDocument {
    config: DiscriminatorPart,
}

#[derive(Deserialize)]
struct DiscriminatorPart {
    discriminator: DiscriminatorConfig,
}

/// How far the training had come, by which a growing network has a level of detail.
#[derive(Deserialize)]
struct Progress {
    images_seen: u64,
    position_at: Option<u64>,
}

impl GeneratorDocument {
    /// The level of detail that the generator was trained at.
    fn lod(&self) -> candle_core::Result<Lod> {
        let (Some(growing), Some(progress)) = (&self.config.growing, &self.training) else {
            return Ok(Lod::FULL);
        };
        let position_at = progress.position_at.unwrap_or(progress.images_seen);
        let kimg = position_at as f64 / 1000.;
        growing.lod(kimg, self.config.generator.synthesis.img_resolution)
    }
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
            form: Form { format: FORMAT },
            recipe: recipe.clone(),
            sampler: sampler.clone(),
        };
        let document = serde_json::to_value(document).map_err(candle_core::Error::wrap)?;
        let (Value::Object(all), Value::Object(own)) = (&mut checkpoint.metadata, document) else {
            return Err(TrainError::run(path, "its document must be a JSON object"));
        };
        all.extend(own);
        Ok(checkpoint.write(path)?)
    }

    /// Reads a checkpoint that [`write`](Self::write) made.
    ///
    /// # Errors
    /// [`TrainError::Resume`] where the file is damaged, with the snapshot to use in its place;
    /// [`TrainError::NewerFormat`] or [`TrainError::Checkpoint`] where it is none that this version reads.
    pub fn read(path: &Path, device: &Device) -> Result<Self, TrainError> {
        let checkpoint = match read_checkpoint(path, device) {
            Err(TrainError::Checkpoint(source @ CheckpointError::Damaged { .. })) => {
                let advice = advice(path);
                return Err(TrainError::Resume { source, advice });
            }
            checkpoint => checkpoint?,
        };
        let Document {
            recipe, sampler, ..
        } = checkpoint.metadata_as()?;
        Ok(Self {
            state: TrainingState::from_checkpoint(&checkpoint, &recipe.config, device)?,
            recipe,
            sampler,
        })
    }
}

/// A checkpoint whose form this version knows.
fn read_checkpoint(path: &Path, device: &Device) -> Result<Checkpoint, TrainError> {
    let checkpoint = Checkpoint::read(path, device)?;
    let Form { format } = checkpoint.metadata_as()?;
    if format > FORMAT {
        return Err(TrainError::NewerFormat {
            path: path.to_path_buf(),
            found: format,
            known: FORMAT,
        });
    }
    Ok(checkpoint)
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
    /// The network, with the moving average of the trained weights; records no gradients. One that was still
    /// growing stands at the level of detail that it had come to.
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
        Self::from_checkpoint(&read_checkpoint(&path, device)?, device)
    }

    /// [`load`](Self::load), and the discriminator that was trained with it, at the same level of detail, from one
    /// reading of the file.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_with_discriminator(
        file_or_run: &Path,
        device: &Device,
    ) -> Result<(Self, Discriminator), TrainError> {
        let path = find_snapshot(file_or_run)?;
        let checkpoint = read_checkpoint(&path, device)?;
        let generator = Self::from_checkpoint(&checkpoint, device)?;
        let DiscriminatorDocument { config } = checkpoint.metadata_as()?;
        let config = config.discriminator;
        let weights =
            checkpoint.load_network(D, DType::F32, device, |vb| Discriminator::new(&config, vb))?;
        let discriminator = Discriminator::new(&config, weights.frozen_var_builder())?;
        let discriminator = discriminator.at_lod(generator.network.lod())?;
        Ok((generator, discriminator))
    }

    fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self, TrainError> {
        let document: GeneratorDocument = checkpoint.metadata_as()?;
        let lod = document.lod()?;
        let config = document.config.generator;
        let weights =
            checkpoint.load_network(G_EMA, DType::F32, device, |vb| Generator::new(&config, vb))?;
        Self::from_weights(config, &weights, lod)
    }

    /// The network of weights that are being trained; it sees their later updates.
    pub(crate) fn from_weights(
        config: GeneratorConfig,
        weights: &ParamStore,
        lod: Lod,
    ) -> Result<Self, TrainError> {
        let network = Generator::new(&config, weights.frozen_var_builder())?.at_lod(lod)?;
        Ok(Self { network, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::presets::Preset;
    use crate::testing::tiny_options;
    use std::path::PathBuf;

    /// A snapshot whose document was changed.
    fn snapshot(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, PathBuf) {
        let plan = Plan::new(&tiny_options(), &Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network-snapshot-000000.safetensors");
        Snapshot::write(&path, &plan.recipe, &plan.state, &plan.sampler).unwrap();
        let mut checkpoint = Checkpoint::read(&path, &Device::Cpu).unwrap();
        assert_eq!(checkpoint.metadata["format"], FORMAT);
        change(&mut checkpoint.metadata);
        checkpoint.write(&path).unwrap();
        (folder, path)
    }

    fn remove(object: &mut Value, key: &str) {
        assert!(object.as_object_mut().unwrap().remove(key).is_some());
    }

    #[test]
    fn a_checkpoint_of_a_newer_version_says_so() {
        // A newer form may look different in every other way.
        let (_folder, path) = snapshot(|document| *document = serde_json::json!({ "format": 3 }));
        let expected = format!(
            "{}: the checkpoint was made by a newer version of stylegan-rs: its format is 3, this version reads up to 2; use the newer version",
            path.display()
        );
        let resume = Snapshot::read(&path, &Device::Cpu).err().unwrap();
        assert_eq!(resume.to_string(), expected);
        let generate = TrainedGenerator::load(&path, &Device::Cpu).err().unwrap();
        assert_eq!(generate.to_string(), expected);
    }

    #[test]
    fn numbers_that_an_older_version_did_not_write_have_their_defaults() {
        let (_folder, path) = snapshot(|document| {
            remove(document, "format");
            remove(&mut document["config"]["loss"], "drift");
            remove(&mut document["config"]["optimizer"], "eps");
            remove(&mut document["config"]["ema"], "w_avg_beta");
            // Before there was a first generation of networks.
            let config = &mut document["config"];
            remove(&mut config["loss"], "classifier_weight");
            for field in ["scaling", "label_input", "normalize_latents"] {
                remove(&mut config["generator"]["mapping"], field);
            }
            remove(&mut config["generator"]["synthesis"], "layers");
            remove(&mut config["discriminator"], "first_generation");
            remove(&mut config["discriminator"], "label_head");
        });
        assert!(TrainedGenerator::load(&path, &Device::Cpu).is_ok());
        let config = Snapshot::read(&path, &Device::Cpu).unwrap().recipe.config;
        assert_eq!(config.growing, None);
        let expected = Preset::Auto.training(8, Some(4));
        let (g, d) = (&config.generator.synthesis, &config.discriminator);
        assert_eq!(g.layers, expected.generator.synthesis.layers);
        assert_eq!(d.label_head, expected.discriminator.label_head);
        let (loss, optimizer, ema) = (config.loss, config.optimizer, config.ema);
        assert_eq!(
            (loss.drift, optimizer.eps, ema.w_avg_beta),
            (0.001, 1e-8, 0.995)
        );
    }

    #[test]
    fn a_growing_generator_stands_where_its_checkpoint_was_written() {
        let mut options = tiny_options();
        options.preset = Some(Preset::Stylegan1);
        options.growing.lod_initial_resolution = Some(4);
        options.growing.lod_training_kimg = Some(0.008);
        options.growing.lod_transition_kimg = Some(0.016);
        let mut plan = Plan::new(&options, &Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network-snapshot-000000.safetensors");
        // images seen, of which the schedule knows, level of detail
        let cases = [
            (0, None, 1.0),
            (12, Some(12), 0.75),
            (20, Some(12), 0.75),
            (40, Some(36), 0.0),
        ];
        for (images_seen, position_at, lod) in cases {
            (plan.state.images_seen, plan.state.position_at) = (images_seen, position_at);
            Snapshot::write(&path, &plan.recipe, &plan.state, &plan.sampler).unwrap();
            let generator = TrainedGenerator::load(&path, &Device::Cpu).unwrap();
            let found = generator.network.lod().get();
            assert!((found - lod).abs() < 1e-9, "{found} at {images_seen}");
            let (generator, discriminator) =
                TrainedGenerator::load_with_discriminator(&path, &Device::Cpu).unwrap();
            for lod in [generator.network.lod(), discriminator.lod()] {
                assert_eq!(lod.get(), found);
            }
            let state = Snapshot::read(&path, &Device::Cpu).unwrap().state;
            assert_eq!(state.position_at, position_at);
        }
    }

    #[test]
    fn making_pictures_needs_nothing_but_the_generator() {
        let (_folder, path) = snapshot(|document| {
            remove(document, "sampler");
            remove(document, "preset");
            remove(&mut document["config"], "discriminator");
        });
        let generator = TrainedGenerator::load(&path, &Device::Cpu).unwrap();
        assert_eq!(generator.config.z_dim, 8);
        let message = Snapshot::read(&path, &Device::Cpu).err().unwrap();
        let message = message.to_string();
        // An earlier snapshot would be no better: there is no advice to take one.
        assert!(message.contains("metadata doesn't fit"), "{message}");
        assert!(!message.contains("earlier snapshot"), "{message}");
    }
}
