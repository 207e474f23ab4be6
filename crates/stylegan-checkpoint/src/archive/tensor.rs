use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use crate::pickle::{ReadError, ReadErrorKind, Result};

/// Data types of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Truth values, a byte each.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// Floating point, 16 bits.
    F16,
    /// The upper half of a 32-bit floating point number.
    BF16,
    /// Floating point, 32 bits.
    F32,
    /// Floating point, 64 bits.
    F64,
}

impl Element {
    /// The name of a PyTorch storage class, without its module.
    pub(super) fn of_torch_storage(class: &str) -> Option<Self> {
        Some(match class {
            "BoolStorage" => Self::Bool,
            "ByteStorage" | "UntypedStorage" => Self::U8,
            "CharStorage" => Self::I8,
            "ShortStorage" => Self::I16,
            "IntStorage" => Self::I32,
            "LongStorage" => Self::I64,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::BF16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            _ => return None,
        })
    }

    /// NumPy's code for a data type, e.g. `f4`.
    pub(super) fn of_numpy(code: &str) -> Option<Self> {
        Some(match code {
            "b1" => Self::Bool,
            "u1" => Self::U8,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// The name that PyTorch has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Bool | Self::I8 => return None,
            Self::U8 => DType::U8,
            Self::I16 => DType::I16,
            Self::I32 => DType::I32,
            Self::I64 => DType::I64,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        })
    }
}

/// A tensor whose numbers are still in the file.
#[derive(Debug, Clone)]
pub struct LazyTensor<'a> {
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    /// In numbers, one for each dimension.
    pub(super) strides: Vec<usize>,
    /// The first number.
    pub(super) first: usize,
    /// The numbers, of which the tensor may be a part.
    pub(super) data: Cow<'a, [u8]>,
    pub(super) big_endian: bool,
    pub(super) path: String,
    pub(super) at_byte: usize,
}

/// No network has tensors of more dimensions, and candle has no use for them.
const MOST_DIMENSIONS: usize = 8;

impl<'a> LazyTensor<'a> {
    /// The tensor, if its numbers are in the data.
    ///
    /// # Errors
    /// If a number would be outside of the data, or the tensor has more numbers than the data.
    pub(super) fn checked(self) -> Result<Self> {
        let (rank, strides) = (self.shape.len(), self.strides.len());
        if rank > MOST_DIMENSIONS {
            let message = format!("expected at most {MOST_DIMENSIONS} dimensions, found {rank}");
            return Err(self.error(ReadErrorKind::Limit, message));
        }
        if rank != strides {
            let message = format!("expected {rank} strides, found {strides}");
            return Err(self.error(ReadErrorKind::Damaged, message));
        }
        let available = self.data.len() / self.element.size();
        let fits = self.end().is_some_and(|end| end <= available)
            && self.count().is_some_and(|count| count <= available);
        if !fits {
            let message = format!(
                "expected a storage of at least the {:?} {} numbers of the tensor, found {available}",
                self.shape,
                self.element.name()
            );
            return Err(self.error(ReadErrorKind::Damaged, message));
        }
        Ok(self)
    }

    /// A tensor that is all of the data, with the last dimension changing fastest.
    pub(super) fn contiguous(
        element: Element,
        shape: Vec<usize>,
        data: Cow<'a, [u8]>,
        path: String,
        at_byte: usize,
    ) -> Result<Self> {
        Self {
            element,
            strides: row_major(&shape),
            shape,
            first: 0,
            data,
            big_endian: false,
            path,
            at_byte,
        }
        .checked()
    }

    /// One more than the largest number's place in the data; none where that overflows.
    fn end(&self) -> Option<usize> {
        let mut last = self.first;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            match size.checked_sub(1) {
                Some(steps) => last = last.checked_add(steps.checked_mul(stride)?)?,
                // No numbers at all.
                None => return Some(0),
            }
        }
        last.checked_add(1)
    }

    /// How many numbers there are; none where that overflows, also in the product of the other sizes of an
    /// empty tensor, which candle computes for its strides.
    fn count(&self) -> Option<usize> {
        let sizes = |at_least: usize| self.shape.iter().map(move |&size| size.max(at_least));
        let largest = sizes(1).try_fold(1usize, usize::checked_mul)?;
        largest.checked_mul(self.element.size())?;
        Some(sizes(0).product())
    }

    /// The data type.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The sizes of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.count().unwrap_or(0)
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the numbers take.
    pub fn size_in_bytes(&self) -> usize {
        self.len() * self.element.size()
    }

    /// An error about this tensor.
    pub(super) fn error(&self, kind: ReadErrorKind, message: impl Into<String>) -> ReadError {
        ReadError::new(kind, message)
            .at_byte(self.at_byte)
            .at_path(self.path.as_str())
    }

    /// Copies the numbers.
    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        let dtype = self.element.dtype().ok_or_else(|| {
            let message = format!(
                "tensors of the type {} can't be computed with",
                self.element.name()
            );
            self.error(ReadErrorKind::Unsupported, message)
        })?;
        let bytes = self.gather();
        Tensor::from_raw_buffer(&bytes, dtype, &self.shape, &Device::Cpu)
            .map_err(|error| self.error(ReadErrorKind::Unsupported, error.to_string()))
    }

    /// The numbers in order, as little-endian bytes.
    fn gather(&self) -> Cow<'_, [u8]> {
        let size = self.element.size();
        let is_contiguous = self.is_empty() || self.strides_of_long_dimensions_are_row_major();
        let mut bytes = if is_contiguous {
            let start = self.first * size;
            let end = start + self.size_in_bytes();
            Cow::Borrowed(self.data.get(start..end).unwrap_or_default())
        } else {
            Cow::Owned(self.gather_strided())
        };
        if self.big_endian && size > 1 {
            for number in bytes.to_mut().chunks_exact_mut(size) {
                number.reverse();
            }
        }
        bytes
    }

    /// Dimensions of size 1 may have any stride.
    fn strides_of_long_dimensions_are_row_major(&self) -> bool {
        let dimensions = self.shape.iter().zip(&self.strides);
        let mut expected = row_major(&self.shape).into_iter().zip(dimensions);
        expected.all(|(expected, (&size, &stride))| size == 1 || stride == expected)
    }

    fn gather_strided(&self) -> Vec<u8> {
        let size = self.element.size();
        let mut bytes = Vec::with_capacity(self.size_in_bytes());
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.len() {
            let steps = index.iter().zip(&self.strides);
            let place = self.first + steps.map(|(i, stride)| i * stride).sum::<usize>();
            bytes.extend_from_slice(&self.data[place * size..(place + 1) * size]);
            // The next index, the last dimension first.
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        bytes
    }
}

/// Strides with the last dimension changing fastest.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i].saturating_mul(shape[i]);
    }
    strides
}

/// Strides with the first dimension changing fastest (Fortran).
pub(super) fn column_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        strides[i] = strides[i - 1].saturating_mul(shape[i - 1]);
    }
    strides
}
