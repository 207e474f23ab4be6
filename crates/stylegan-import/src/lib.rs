//! Networks of the public ProGAN, StyleGAN and StyleGAN2 tools, in and out.
//!
//! [`import`] reads a file of any of these kinds, recognised by its content, into our configurations and
//! tensors under our names. Nothing in a file is executed; see [`stylegan_checkpoint::pickle`].
//!
//! | [`Format`] | written by | networks |
//! |---|---|---|
//! | `TorchPickle` | `.pkl` of the StyleGAN2-ADA and StyleGAN3 tools | StyleGAN2, with labels or without |
//! | `TorchZip`, `TorchLegacy` | `torch.save` (`.pt`, `.pth`), e.g. of the rosinality code | StyleGAN2 |
//! | `TensorFlow` | `.pkl` of the ProGAN, StyleGAN and StyleGAN2 tools | all three families |
//! | `Safetensors` | us, or any tool under the public or the rosinality names | all three families, StyleGAN2 |
//!
//! [`export_safetensors`] and [`export_rosinality`] write what [`import`] read, exactly.
//!
//! A configuration is put together from the shapes of the tensors and, where these don't decide, the arguments
//! that the file keeps. A network whose tensors are not exactly those of its configuration is an error that
//! lists every difference, so that nothing is guessed in silence; [`Imported::notes`] says what was.
//!
//! ```no_run
//! use candle_core::{DType, Device};
//! use stylegan_synthesis::NoiseMode;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = stylegan_import::import("ffhq.pkl")?;
//! println!("{} from {}", file.family, file.origin);
//! if let Some(network) = &file.g_ema {
//!     let generator = network.build(DType::F32, &Device::Cpu)?;
//!     let z = candle_core::Tensor::zeros((1, network.config.z_dim), DType::F32, &Device::Cpu)?;
//!     let picture = generator.forward(&z, None, 0.7, None, &mut NoiseMode::Const)?;
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod export;
mod module;
mod native;
mod network;
mod public;
mod rosinality;
mod shapes;
pub mod tensorflow;
mod torch;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stylegan_checkpoint::archive::Contents;
use stylegan_checkpoint::pickle::Limits;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{GeneratorConfig, Layers};

pub use error::{ImportError, Result};
pub use export::{export_rosinality, export_safetensors};
pub use network::{Config, Network};
pub use shapes::Tensors;

/// Families of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Karras et al. 2018.
    ProGan,
    /// Karras et al. 2019.
    StyleGan,
    /// Karras et al. 2020, and with adaptive discriminator augmentation.
    StyleGan2,
}

impl Family {
    /// The family of a generator: what its layers do with styles.
    pub fn of(config: &GeneratorConfig) -> Self {
        match &config.synthesis.layers {
            Layers::Modulated => Self::StyleGan2,
            Layers::Styled(layers) if layers.use_styles => Self::StyleGan,
            Layers::Styled(_) => Self::ProGan,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProGan => "ProGAN",
            Self::StyleGan => "StyleGAN",
            Self::StyleGan2 => "StyleGAN2",
        })
    }
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A pickle of PyTorch modules.
    TorchPickle,
    /// `torch.save` since PyTorch 1.6.
    TorchZip,
    /// `torch.save` before.
    TorchLegacy,
    /// A pickle of TensorFlow networks.
    TensorFlow,
    /// Named tensors, with our configurations or without.
    Safetensors,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchPickle => "a pickle of PyTorch modules",
            Self::TorchZip => "a PyTorch file (zip)",
            Self::TorchLegacy => "a PyTorch file (before 1.6)",
            Self::TensorFlow => "a pickle of TensorFlow networks",
            Self::Safetensors => "a safetensors file",
        })
    }
}

/// Something in a file that is no network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extra {
    /// Its name in the file, e.g. `augment_pipe`.
    pub name: String,
    /// What it holds, for people to read: long lists are cut off, tensors are their types and shapes.
    pub content: serde_json::Value,
}

/// The networks of a file.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What kind of networks they are.
    pub family: Family,
    /// What kind of file it is.
    pub format: Format,
    /// Which tools wrote it.
    pub origin: String,
    /// The generator as it was trained.
    pub g: Option<Network<GeneratorConfig>>,
    /// The discriminator.
    pub d: Option<Network<DiscriminatorConfig>>,
    /// The moving average of the generator's weights, which makes the best pictures. A generator that is alone
    /// in its file is taken for it.
    pub g_ema: Option<Network<GeneratorConfig>>,
    /// What else is in the file: training options, optimizer states, augmentation.
    pub extras: Vec<Extra>,
    /// What was passed over or assumed, for people to read.
    pub notes: Vec<String>,
}

impl Imported {
    /// The generator to make pictures with: the average, or else the trained one.
    pub fn generator(&self) -> Option<&Network<GeneratorConfig>> {
        self.g_ema.as_ref().or(self.g.as_ref())
    }

    /// Places the networks at a level of detail. That of a training checkpoint follows from the schedule of the
    /// training, which this crate doesn't read: its networks are at full resolution, with a note.
    ///
    /// # Errors
    /// If a network doesn't grow, or not as far.
    pub fn set_lod(&mut self, lod: Lod) -> Result<()> {
        for (name, network) in [("g_ema", &mut self.g_ema), ("g", &mut self.g)] {
            if let Some(network) = network {
                network.set_lod(name, lod)?;
            }
        }
        if let Some(network) = &mut self.d {
            network.set_lod("d", lod)?;
        }
        self.notes.retain(|note| note != native::FULL_RESOLUTION);
        Ok(())
    }
}

/// Reads the networks of a file.
///
/// # Errors
/// Each names the file: it is missing, can't be read, is damaged or hostile ([`ImportError::File`], with the
/// place), holds no network of a supported family, or one whose tensors don't make a network.
pub fn import(path: impl AsRef<Path>) -> Result<Imported> {
    let path = path.as_ref();
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ImportError::NotFound {
            path: path.to_path_buf(),
        },
        _ => ImportError::Read {
            path: path.to_path_buf(),
            source,
        },
    };
    let in_file = |source: ImportError| ImportError::InFile {
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    let info = std::fs::metadata(path).map_err(failed)?;
    if !info.is_file() {
        let found = if info.is_dir() {
            "a folder"
        } else {
            "no regular file"
        };
        return Err(in_file(ImportError::no_network(found)));
    }
    let limits = Limits::default();
    // Before it is in memory.
    limits
        .check_file_size(info.len())
        .map_err(|error| in_file(error.into()))?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(info.len())
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    import_bytes_with(&bytes, &limits).map_err(in_file)
}

/// Reads the networks of a file's content.
///
/// # Errors
/// Those of [`import`], without the file.
pub fn import_bytes(bytes: &[u8]) -> Result<Imported> {
    import_bytes_with(bytes, &Limits::default())
}

/// [`import_bytes`] with limits of the caller's.
///
/// # Errors
/// Those of [`import`], without the file.
pub fn import_bytes_with(bytes: &[u8], limits: &Limits) -> Result<Imported> {
    match Contents::open(bytes, limits)? {
        Contents::Tensors(file) if file.is_checkpoint() => native::import(bytes),
        Contents::Tensors(file) => torch::import_safetensors(&file),
        Contents::Tree(archive) => {
            let root = archive.root();
            let is_tensorflow = |value| tensorflow::is_network(&value);
            let first = root
                .elements()
                .ok()
                .and_then(|elements| elements.into_iter().next());
            if is_tensorflow(root.clone()) || first.is_some_and(is_tensorflow) {
                tensorflow::import(&archive)
            } else {
                torch::import(&archive)
            }
        }
    }
}
