//! Files of other tools: what kind of file it is, its values, and its tensors by reference.
//!
//! [`Archive::open`] recognises a file by its content:
//!
//! | [`Container`] | what it is |
//! |---|---|
//! | `Pickle` | a pickle with everything in it: PyTorch modules as `.pkl`, TensorFlow networks with NumPy arrays |
//! | `TorchZip` | `torch.save` since PyTorch 1.6: a zip archive of one pickle and raw numbers |
//! | `TorchLegacy` | `torch.save` before: five pickles, then raw numbers |
//! | `Safetensors` | named tensors with a JSON header |
//!
//! The first three hold a [`Tree`] of values, see [`pickle`](crate::pickle).
//! [`Archive::tensor`] tells whether a value is a tensor, and where its numbers are in the file; they are
//! copied when [`Archive::load`] asks for them. So memory is bounded by a small multiple of the file's size,
//! whatever the file claims. Zip entries that are compressed are refused: PyTorch makes none, and a small one
//! can hold gigabytes.

mod legacy;
mod numpy;
mod tensor;
mod torch;
mod zip;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use candle_core::Tensor;
use safetensors::SafeTensors;

pub use tensor::{Element, LazyTensor};

use crate::checkpoint::METADATA_KEY;
use crate::pickle::{Limits, ReadError, ReadErrorKind, Result, Tree, View, parse};
use torch::Storages;

/// Kinds of files; see the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A single pickle.
    Pickle,
    /// A zip archive that PyTorch wrote.
    TorchZip,
    /// A file of PyTorch before 1.6.
    TorchLegacy,
    /// A safetensors file.
    Safetensors,
}

/// What a file holds.
#[derive(Debug)]
pub enum Contents<'a> {
    /// The values of a pickle, and where its tensors are.
    Tree(Archive<'a>),
    /// Tensors by name.
    Tensors(NamedTensors<'a>),
}

impl<'a> Contents<'a> {
    /// Reads a file of any kind.
    ///
    /// # Errors
    /// If it is none of the kinds, is damaged, or exceeds a limit.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        limits.check_file_size(bytes.len() as u64)?;
        match bytes {
            [_, _, _, _, _, _, _, _, b'{', ..] => {
                NamedTensors::open(bytes, limits).map(Self::Tensors)
            }
            _ => Archive::open(bytes, limits).map(Self::Tree),
        }
    }
}

/// How many bytes of a kind may still be worked on.
#[derive(Debug)]
struct Budget {
    left: Cell<usize>,
}

impl Budget {
    /// A multiple of a file's size.
    fn new(file: &[u8], factor: usize) -> Self {
        Self {
            left: Cell::new(file.len().saturating_mul(factor)),
        }
    }

    /// Whether there were that many left.
    fn spend(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(self.left.get()));
        left.is_some()
    }

    /// Copies a tensor's numbers.
    fn load(&self, tensor: &LazyTensor) -> Result<Tensor> {
        let bytes = tensor.size_in_bytes();
        if !self.spend(bytes) {
            let message = format!(
                "expected at most {} bytes of tensors that share their numbers, found one of {bytes} more",
                self.left.get()
            );
            return Err(tensor.error(ReadErrorKind::Limit, message));
        }
        tensor.to_tensor()
    }
}

/// The tensors of a safetensors file.
#[derive(Debug)]
pub struct NamedTensors<'a> {
    /// The tensors by name.
    pub tensors: BTreeMap<String, LazyTensor<'a>>,
    /// The texts in the file's header.
    pub metadata: BTreeMap<String, String>,
    loading: Budget,
}

impl<'a> NamedTensors<'a> {
    fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let damaged = |error: safetensors::SafeTensorError| {
            let message = format!("not a whole safetensors file ({error})");
            ReadError::new(ReadErrorKind::Damaged, message)
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let archive = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in archive.iter() {
            let element = Element::of_safetensors(view.dtype());
            let element = element.ok_or_else(|| {
                let message = format!("tensors of the type {} are not read", view.dtype());
                ReadError::new(ReadErrorKind::Unsupported, message).at_path(name)
            })?;
            let (shape, data) = (view.shape().to_vec(), Cow::Borrowed(view.data()));
            let tensor = LazyTensor::contiguous(element, shape, data, name.to_string(), 0)?;
            tensors.insert(name.to_string(), tensor);
        }
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self {
            tensors,
            metadata: metadata.into_iter().collect(),
            loading: Budget::new(bytes, limits.tensor_bytes_factor),
        })
    }

    /// Whether [`Checkpoint`](crate::Checkpoint) wrote the file.
    pub fn is_checkpoint(&self) -> bool {
        self.metadata.contains_key(METADATA_KEY)
    }

    /// Copies a tensor's numbers.
    ///
    /// # Errors
    /// Those of [`Archive::load`].
    pub fn load(&self, tensor: &LazyTensor) -> Result<Tensor> {
        self.loading.load(tensor)
    }
}

/// A file that holds a pickle.
#[derive(Debug)]
pub struct Archive<'a> {
    container: Container,
    tree: Tree<'a>,
    storages: Storages<'a>,
    trailing: usize,
    limits: Limits,
    loading: Budget,
    /// Storages that are files in the file are parsed when a tensor of theirs is asked for.
    parsing: Budget,
}

impl<'a> Archive<'a> {
    /// Reads a pickle, or a file that PyTorch wrote.
    ///
    /// # Errors
    /// If it is neither, is damaged, or exceeds a limit.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        if let Some(what) = known_by_its_beginning(bytes) {
            let message = format!("expected a network, found {what}");
            return Err(ReadError::new(ReadErrorKind::Unsupported, message));
        }
        let (container, tree, storages, trailing);
        if bytes.starts_with(b"PK\x03\x04") {
            (container, trailing) = (Container::TorchZip, 0);
            (tree, storages) = zip::open(bytes, limits)?;
        } else if !matches!(bytes.first(), Some(0x80 | b'(' | b']' | b'}' | b')' | b'c')) {
            // Protocols before 2 have no signature; such pickles begin with a container or a global.
            let message =
                "expected a pickle, a PyTorch file or a safetensors file, found none of them";
            return Err(ReadError::new(ReadErrorKind::Unsupported, message));
        } else {
            let (first, end) = parse(bytes, 0, limits)?;
            if legacy::is_magic_number(&first.root()) {
                (container, trailing) = (Container::TorchLegacy, 0);
                (tree, storages) = legacy::open(bytes, 0, limits)?;
            } else {
                (container, trailing) = (Container::Pickle, bytes.len() - end);
                (tree, storages) = (first, Storages::default());
            }
        }
        Ok(Self {
            container,
            tree,
            storages,
            trailing,
            limits: limits.clone(),
            loading: Budget::new(bytes, limits.tensor_bytes_factor),
            parsing: Budget::new(bytes, limits.tensor_bytes_factor),
        })
    }

    /// What kind of file it is.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The value that was saved.
    pub fn root(&self) -> View<'_, 'a> {
        self.tree.root()
    }

    /// All values.
    pub fn tree(&self) -> &Tree<'a> {
        &self.tree
    }

    /// How many bytes follow the pickle.
    pub fn trailing_bytes(&self) -> usize {
        self.trailing
    }

    /// The tensor or array that a value stands for; none where it stands for something else.
    ///
    /// # Errors
    /// If it is a tensor of a kind that is not read, or its numbers are not in the file.
    pub fn tensor<'t>(&'t self, value: &View<'t, 'a>) -> Result<Option<LazyTensor<'t>>> {
        if let Some(array) = numpy::array(value)? {
            return Ok(Some(array));
        }
        torch::tensor(value, &self.storages, &self.limits, &self.parsing)
    }

    /// Copies a tensor's numbers.
    ///
    /// # Errors
    /// If candle has no such data type, or all tensors together exceed the limit.
    pub fn load(&self, tensor: &LazyTensor) -> Result<Tensor> {
        self.loading.load(tensor)
    }
}

/// Files that are no networks, but are given as such.
fn known_by_its_beginning(bytes: &[u8]) -> Option<&'static str> {
    let beginnings: [(&[u8], &str); 10] = [
        (b"", "an empty file"),
        (b"<", "a web page or XML; download the file itself"),
        (b"\x0a<", "a web page or XML; download the file itself"),
        (
            b"version https://git-lfs",
            "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
        ),
        (b"\x89HDF", "an HDF5 file, as Keras writes it"),
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
        (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
        (b"Rar!", "a RAR archive; unpack it first"),
        (b"\x89PNG", "a PNG picture"),
        (b"\x93NUMPY", "a NumPy array"),
    ];
    let is_it = |&&(beginning, _): &&(&[u8], &str)| match beginning {
        [] => bytes.is_empty(),
        _ => bytes.starts_with(beginning),
    };
    beginnings.iter().find(is_it).map(|&(_, what)| what)
}
