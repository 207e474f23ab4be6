//! The zip archive that `torch.save` writes: a pickle of the structure, and raw numbers beside it.

use std::io::{Seek, Write};

use candle_core::{DType, Error, Result, Tensor, bail};
use safetensors::tensor::View;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::rosinality::StateDict;

/// The dictionary that is saved.
#[derive(Default)]
pub(super) struct Root {
    /// State dictionaries, in their order.
    pub(super) networks: Vec<(&'static str, StateDict)>,
    pub(super) latent_avg: Option<Tensor>,
}

/// The folder in the archive that everything is in. PyTorch takes any.
const FOLDER: &str = "archive";

/// Numbers begin at multiples of it, as PyTorch has it, so that they can be mapped into memory.
const ALIGNMENT: u16 = 64;

/// The same content gives the same bytes.
pub(super) fn write(root: &Root, file: impl Write + Seek) -> Result<()> {
    let mut zip = ZipWriter::new(file);
    let mut pickle = Pickle::new();
    pickle.root(root)?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT);
    let mut entry = |name: &str, bytes: &[u8]| -> Result<()> {
        let options = options.large_file(bytes.len() >= u32::MAX as usize);
        zip.start_file(format!("{FOLDER}/{name}"), options)
            .map_err(Error::wrap)?;
        zip.write_all(bytes)?;
        Ok(())
    };
    entry("data.pkl", &pickle.bytes)?;
    entry("byteorder", b"little")?;
    for (key, tensor) in pickle.storages.iter().enumerate() {
        entry(&format!("data/{key}"), &(&tensor).data())?;
    }
    entry("version", b"3\n")?;
    zip.finish().map_err(Error::wrap)?.flush()?;
    Ok(())
}

/// A pickle of protocol 2, of the few instructions that `weights_only=True` allows.
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Tensor>,
}

impl Pickle {
    fn new() -> Self {
        Self {
            bytes: vec![0x80, 2],
            storages: Vec::new(),
        }
    }

    fn root(&mut self, root: &Root) -> Result<()> {
        self.bytes.extend(b"}(");
        for (name, tensors) in &root.networks {
            self.text(name)?;
            self.global("collections", "OrderedDict");
            self.bytes.extend(b")R(");
            for (name, tensor) in tensors {
                self.text(name)?;
                self.tensor(tensor)?;
            }
            self.bytes.push(b'u');
        }
        if let Some(latent_avg) = &root.latent_avg {
            self.text("latent_avg")?;
            self.tensor(latent_avg)?;
        }
        self.bytes.extend(b"u.");
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor) -> Result<()> {
        let storage = match tensor.dtype() {
            DType::F16 => "HalfStorage",
            DType::BF16 => "BFloat16Storage",
            DType::F32 => "FloatStorage",
            DType::F64 => "DoubleStorage",
            dtype => bail!("expected tensors of floating point numbers, got {dtype:?}"),
        };
        let tensor = tensor.to_device(&candle_core::Device::Cpu)?.contiguous()?;
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage")?;
        self.global("torch", storage);
        self.text(&self.storages.len().to_string())?;
        self.text("cpu")?;
        self.int(tensor.elem_count())?;
        self.bytes.extend(b"tQ");
        self.int(0)?;
        self.sizes(tensor.dims())?;
        self.sizes(tensor.stride())?;
        // No gradient, no hooks.
        self.bytes.push(0x89);
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")RtR");
        self.storages.push(tensor);
        Ok(())
    }

    fn sizes(&mut self, sizes: &[usize]) -> Result<()> {
        self.bytes.push(b'(');
        for &size in sizes {
            self.int(size)?;
        }
        self.bytes.push(b't');
        Ok(())
    }

    fn int(&mut self, value: usize) -> Result<()> {
        let value = i32::try_from(value).map_err(Error::wrap)?;
        self.bytes.push(b'J');
        self.bytes.extend(value.to_le_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        let length = u32::try_from(text.len()).map_err(Error::wrap)?;
        self.bytes.push(b'X');
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(text.as_bytes());
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }
}
