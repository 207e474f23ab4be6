//! Files of a few arrays, such as latents: `.npy`, `.npz` and safetensors.
//!
//! [`read`] recognises the format from the content, [`write()`] chooses it by the name. What NumPy's `save`,
//! `savez` and `savez_compressed` write is read, and NumPy reads what is written here. Nothing in a file is
//! executed: arrays of objects, which NumPy stores as pickles, are refused.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use stylegan_checkpoint::arrays;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("projected_w.npz");
//! let w = Tensor::zeros((1, 18, 512), candle_core::DType::F32, &Device::Cpu)?;
//! arrays::write(&path, &[("w", &w)])?;
//!
//! let arrays = arrays::read(&path)?;
//! assert_eq!(arrays[0].name, "w");
//! assert_eq!(arrays[0].values.dims(), [1, 18, 512]);
//! # Ok(())
//! # }
//! ```

mod npy;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::file::write_atomically;

/// The most that a file, or all arrays of a compressed one, may take.
const LIMIT_BYTES: u64 = 1 << 30;

/// The most arrays that are read from a file.
const MOST_ARRAYS: usize = 10_000;

/// An array of a file.
#[derive(Debug, Clone)]
pub struct NamedArray {
    /// Its name; empty in a `.npy` file, which has none.
    pub name: String,
    /// Its values as f32, on the CPU.
    pub values: Tensor,
}

/// What is wrong with a file of arrays.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct ArrayError {
    path: PathBuf,
    reason: String,
}

/// The formats, by their content.
enum Format {
    Npy,
    Npz,
    Safetensors,
}

impl Format {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [] => Err("the file is empty; expected .npy, .npz or .safetensors".to_string()),
            _ if bytes.starts_with(npy::MAGIC) => Ok(Self::Npy),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Self::Npz),
            [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Self::Safetensors),
            _ => Err("not a file of arrays; expected .npy, .npz or .safetensors".to_string()),
        }
    }
}

/// All arrays of a file, as f32, sorted by their names.
///
/// Arrays of f16, bf16 (in safetensors), f32 and f64 are read, of any byte order and of either order of axes.
///
/// # Errors
/// If the file can't be read, is in another format, is damaged or cut off, has no arrays, or one that is not
/// of floats or has a value that f32 has no finite number for. Memory is bounded by the size of the file or,
/// where it is compressed, by 1 GiB.
pub fn read(path: &Path) -> Result<Vec<NamedArray>, ArrayError> {
    let arrays = read_bytes(path).and_then(|bytes| match Format::of(&bytes)? {
        Format::Npy => Ok(vec![NamedArray {
            name: String::new(),
            values: npy::read(&bytes)?,
        }]),
        Format::Npz => read_npz(&bytes),
        Format::Safetensors => read_safetensors(&bytes),
    });
    arrays
        .and_then(checked)
        .map_err(|reason| error(path, reason))
}

/// Writes arrays as f32 under their names: `.npz` or `.safetensors`, or `.npy` for a single one, by the
/// extension of `path`. The file is whole or not there.
///
/// # Errors
/// If the extension is another, or the file can't be written.
pub fn write(path: &Path, arrays: &[(&str, &Tensor)]) -> Result<(), ArrayError> {
    let bytes = match (path.extension().and_then(|e| e.to_str()), arrays) {
        (Some("npy"), [(_, values)]) => npy::write(values),
        (Some("npz"), _) => write_npz(arrays),
        (Some("safetensors"), _) => write_safetensors(arrays),
        _ => Err("expected a name that ends in .npz, .npy or .safetensors".to_string()),
    };
    let written = bytes.and_then(|bytes| {
        write_atomically(path, |file| std::fs::write(file, &bytes))
            .map_err(|error| format!("can't be written: {error}"))
    });
    written.map_err(|reason| error(path, reason))
}

fn error(path: &Path, reason: String) -> ArrayError {
    ArrayError {
        path: path.to_path_buf(),
        reason,
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    if !path.exists() {
        return Err("no such file".to_string());
    }
    if !path.is_file() {
        return Err("is not a file; expected .npy, .npz or .safetensors".to_string());
    }
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err("expected at most 1 GiB, found more".to_string());
    }
    Ok(bytes)
}

fn read_npz(bytes: &[u8]) -> Result<Vec<NamedArray>, String> {
    let damaged = |error: zip::result::ZipError| format!("not a whole zip archive ({error})");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > MOST_ARRAYS {
        let found = archive.len();
        return Err(format!(
            "expected at most {MOST_ARRAYS} arrays, found {found}"
        ));
    }
    let mut arrays = Vec::new();
    let mut left = LIMIT_BYTES;
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(damaged)?;
        let file_name = entry.name().map_err(damaged)?.into_owned();
        let Some(name) = file_name.strip_suffix(".npy") else {
            return Err(format!(
                "expected a zip of .npy files, as NumPy's savez writes it, found {file_name:?} in it"
            ));
        };
        let mut content = Vec::new();
        let read = entry.take(left + 1).read_to_end(&mut content);
        read.map_err(|error| format!("array {name}: can't be unpacked: {error}"))?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or("expected at most 1 GiB of arrays, found more")?;
        arrays.push(NamedArray {
            values: npy::read(&content).map_err(|reason| format!("array {name}: {reason}"))?,
            name: name.to_string(),
        });
    }
    Ok(arrays)
}

fn read_safetensors(bytes: &[u8]) -> Result<Vec<NamedArray>, String> {
    let damaged = |error| format!("not a whole safetensors file ({error})");
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let arrays = file.iter().map(|(name, view)| {
        use candle_core::safetensors::Load;
        use safetensors::Dtype;
        let dtype = view.dtype();
        if !matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
            let found = format!("{dtype:?}").to_lowercase();
            return Err(format!(
                "array {name}: expected values of f16, bf16, f32 or f64, found {found}"
            ));
        }
        let values = view
            .load(&Device::Cpu)
            .and_then(|values| values.to_dtype(DType::F32))
            .map_err(|error| format!("array {name}: {error}"))?;
        let name = name.to_string();
        Ok(NamedArray { name, values })
    });
    arrays.collect()
}

/// The arrays in the order of their names; none at all, or one with a value that is no number, is an error.
fn checked(mut arrays: Vec<NamedArray>) -> Result<Vec<NamedArray>, String> {
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    if arrays.is_empty() {
        return Err("there are no arrays in the file".to_string());
    }
    for NamedArray { name, values } in &arrays {
        let values = values
            .flatten_all()
            .and_then(|values| values.to_vec1::<f32>());
        let values = values.map_err(|error| error.to_string())?;
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let array = match &name[..] {
                "" => String::new(),
                name => format!("array {name}: "),
            };
            return Err(format!(
                "{array}expected finite numbers, found {} at position {position}",
                values[position]
            ));
        }
    }
    Ok(arrays)
}

/// The same arrays give the same bytes: the archive has no times in it.
fn write_npz(arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (name, values) in arrays {
        let bytes = npy::write(values)?;
        archive
            .start_file(format!("{name}.npy"), options)
            .map_err(|error| error.to_string())?;
        archive
            .write_all(&bytes)
            .map_err(|error| error.to_string())?;
    }
    let archive = archive.finish().map_err(|error| error.to_string())?;
    Ok(archive.into_inner())
}

fn write_safetensors(arrays: &[(&str, &Tensor)]) -> Result<Vec<u8>, String> {
    let mut tensors = BTreeMap::new();
    for (name, values) in arrays {
        let values = values
            .to_dtype(DType::F32)
            .and_then(|v| v.to_device(&Device::Cpu));
        tensors.insert(name, values.map_err(|error| error.to_string())?);
    }
    safetensors::serialize(&tensors, None).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
