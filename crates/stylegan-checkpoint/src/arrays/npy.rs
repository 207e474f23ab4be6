//! One array as NumPy's `save` writes it: a magic number, a version, a Python dictionary with the shape and the
//! data type, and the values.
//!
//! The readers of candle and of the crate npyz were looked at first: both overflow on the shape of a hostile
//! header. Headers here are as NumPy writes them, so a parser of its few forms is all that is needed.
//!
//! Format: NumPy Enhancement Proposal 1.

use candle_core::{DType, Device, Tensor};
use half::f16;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read, as in NumPy.
const LONGEST_HEADER: usize = 10_000;

/// The most axes of an array, as in NumPy.
const MOST_AXES: usize = 64;

/// The header's dictionary.
#[derive(Debug, PartialEq)]
struct Header {
    /// Bytes of a float: 2, 4 or 8.
    width: usize,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// The array of a whole `.npy` file as f32.
pub(super) fn read(bytes: &[u8]) -> Result<Tensor, String> {
    let (header, data) = split(bytes)?;
    let header = Header::parse(header)?;
    let expected = header.bytes();
    if expected != Some(data.len()) {
        let expected = match expected {
            Some(bytes) => format!("{bytes} bytes of values"),
            None => "values that fit into memory".to_string(),
        };
        return Err(format!(
            "expected {expected} of the shape {:?}, found {} bytes",
            header.shape,
            data.len()
        ));
    }
    header.tensor(data).map_err(|error| error.to_string())
}

/// The text of the header, and what comes behind it.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let cut_off = || "the array is cut off in its header".to_string();
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("not an array of NumPy's: it doesn't start like a .npy file")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut_off)?;
    let (length, rest) = match version {
        [1, _] => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => {
            return Err(format!(
                "expected version 1, 2 or 3 of the .npy format, found {major}.{minor}"
            ));
        }
    };
    if length > LONGEST_HEADER {
        return Err(format!(
            "expected a header of at most {LONGEST_HEADER} bytes, found {length}"
        ));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut_off)?;
    let header = std::str::from_utf8(header).map_err(|_| malformed("bytes that are not text"))?;
    Ok((header, data))
}

fn malformed(found: &str) -> String {
    format!("expected a header with descr, fortran_order and shape, found {found}")
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 512), }`, in any order.
    fn parse(text: &str) -> Result<Self, String> {
        let broken = || malformed(&format!("{:?}", text.trim()));
        let inside = text
            .trim()
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'));
        let mut rest = inside.ok_or_else(broken)?.trim_start();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(broken)?;
            let value = after.trim_start().strip_prefix(':').ok_or_else(broken)?;
            let value = value.trim_start();
            let after = match key {
                "descr" => {
                    // Of records it is a list.
                    let (name, after) = quoted(value).ok_or_else(|| wrong_type("records"))?;
                    descr = Some(name);
                    after
                }
                "fortran_order" => {
                    let (is_fortran, after) = boolean(value).ok_or_else(broken)?;
                    fortran_order = Some(is_fortran);
                    after
                }
                "shape" => {
                    let inside = value.strip_prefix('(').ok_or_else(broken)?;
                    let (lengths, after) = inside.split_once(')').ok_or_else(broken)?;
                    shape = Some(lengths);
                    after
                }
                _ => return Err(broken()),
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if after.is_empty() => after,
                None => return Err(broken()),
            };
        }
        let (width, big_endian) = float(descr.ok_or_else(broken)?)?;
        Ok(Self {
            width,
            big_endian,
            fortran_order: fortran_order.ok_or_else(broken)?,
            shape: lengths(shape.ok_or_else(broken)?).ok_or_else(broken)?,
        })
    }

    /// What the values take; none where that, or a step along an axis, is beyond all memory.
    fn bytes(&self) -> Option<usize> {
        let steps = self.shape.iter().try_fold(self.width, |product, &length| {
            product.checked_mul(length.max(1))
        });
        match self.shape.contains(&0) {
            true => steps.and(Some(0)),
            false => steps,
        }
    }

    /// The values, as many as the shape says.
    fn tensor(&self, data: &[u8]) -> candle_core::Result<Tensor> {
        let values = data.chunks_exact(self.width).map(|bytes| self.value(bytes));
        let values: Vec<f32> = values.collect();
        if !self.fortran_order {
            return Tensor::from_vec(values, &self.shape[..], &Device::Cpu);
        }
        let reversed: Vec<usize> = self.shape.iter().rev().copied().collect();
        let axes: Vec<usize> = (0..reversed.len()).rev().collect();
        let tensor = Tensor::from_vec(values, &reversed[..], &Device::Cpu)?;
        tensor.permute(&axes[..])?.contiguous()
    }

    fn value(&self, bytes: &[u8]) -> f32 {
        let mut little = [0; 8];
        let little = &mut little[..self.width];
        little.copy_from_slice(bytes);
        if self.big_endian {
            little.reverse();
        }
        match *little {
            [a, b] => f16::from_le_bytes([a, b]).to_f32(),
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
            [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
            _ => unreachable!("a header has floats of 2, 4 or 8 bytes"),
        }
    }
}

/// A string in quotes at the start, and what comes behind it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn boolean(text: &str) -> Option<(bool, &str)> {
    let is = |word, value| Some((value, text.strip_prefix(word)?));
    is("True", true).or_else(|| is("False", false))
}

/// `2, 512`, with or without a comma at the end.
fn lengths(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    let lengths = text.split(',').map(|length| length.trim().parse().ok());
    let lengths: Vec<usize> = lengths.collect::<Option<_>>()?;
    (lengths.len() <= MOST_AXES).then_some(lengths)
}

/// Bytes and byte order of a data type such as `<f4`.
fn float(descr: &str) -> Result<(usize, bool), String> {
    let (order, kind) = match descr.strip_prefix(['<', '>', '=', '|']) {
        Some(kind) => (&descr[..1], kind),
        None => ("=", descr),
    };
    let width = match kind {
        "f2" => 2,
        "f4" => 4,
        "f8" => 8,
        _ => return Err(wrong_type(descr)),
    };
    Ok((width, order == ">"))
}

fn wrong_type(found: &str) -> String {
    format!("expected values of f16, f32 or f64 (f2, f4, f8), found {found}")
}

/// The content of a `.npy` file of f32.
pub(super) fn write(values: &Tensor) -> Result<Vec<u8>, String> {
    let failed = |error: candle_core::Error| error.to_string();
    let shape = values.dims().iter().map(|length| format!("{length},"));
    let shape: String = shape.collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    // The values begin at a multiple of 64 bytes, after spaces and a line feed.
    let start = MAGIC.len() + 4;
    let length = (start + header.len() + 1).next_multiple_of(64) - start;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    let written_length = u16::try_from(length).map_err(|_| "too many axes".to_string())?;
    bytes.extend(written_length.to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    let flat = values
        .to_dtype(DType::F32)
        .and_then(|values| {
            values
                .to_device(&Device::Cpu)?
                .flatten_all()?
                .to_vec1::<f32>()
        })
        .map_err(failed)?;
    bytes.extend(flat.iter().flat_map(|value| value.to_le_bytes()));
    Ok(bytes)
}
