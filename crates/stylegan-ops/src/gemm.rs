//! Matrix products on strided slices, on the calling thread.

use std::ops::Range;

use crate::kernel::Float;

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A matrix whose rows are contiguous and start `row_stride` elements apart.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            holds(data.len(), rows, columns, row_stride),
            "matrix outside its slice"
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
        }
    }
}

/// A matrix to write to, whose rows are contiguous and start `row_stride` elements apart.
pub(crate) struct MatrixMut<'a, T> {
    data: *mut T,
    rows: usize,
    columns: usize,
    row_stride: usize,
    lifetime: std::marker::PhantomData<&'a mut T>,
}

impl<'a, T> MatrixMut<'a, T> {
    /// A matrix within a slice.
    pub(crate) fn new(data: &'a mut [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            holds(data.len(), rows, columns, row_stride),
            "matrix outside its slice"
        );
        // SAFETY: the slice is borrowed for the matrix's lifetime, and holds all its elements.
        unsafe { Self::from_ptr(data.as_mut_ptr(), rows, columns, row_stride) }
    }

    /// A matrix whose rows start at `data`, `data + row_stride`, ...
    ///
    /// # Safety
    /// All elements of all rows must be valid for writes, and nothing else may access them, for `'a`.
    pub(crate) unsafe fn from_ptr(
        data: *mut T,
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride,
            lifetime: std::marker::PhantomData,
        }
    }
}

impl<T> MatrixMut<'_, T> {
    /// Some of the columns.
    pub(crate) fn columns(&mut self, columns: Range<usize>) -> MatrixMut<'_, T> {
        assert!(
            columns.start <= columns.end && columns.end <= self.columns,
            "columns outside the matrix"
        );
        MatrixMut {
            data: self.data.wrapping_add(columns.start),
            columns: columns.len(),
            lifetime: std::marker::PhantomData,
            ..*self
        }
    }
}

fn holds(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row_stride + columns <= len
}

/// `out = gain * a * b`, or `out += gain * a * b` if `accumulate`.
pub(crate) fn multiply<T: Float>(
    out: &mut MatrixMut<T>,
    a: Matrix<T>,
    b: Matrix<T>,
    gain: f64,
    accumulate: bool,
) {
    assert!(
        a.rows == out.rows && b.columns == out.columns && a.columns == b.rows,
        "product of {}x{} and {}x{} into {}x{}",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        out.rows,
        out.columns
    );
    // SAFETY: the constructors of the three matrices checked (or were promised) that every element
    // addressed by these sizes and strides is valid, and `out` is exclusive.
    unsafe {
        ::gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.data,
            1,
            out.row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            1,
            a.row_stride as isize,
            b.data.as_ptr(),
            1,
            b.row_stride as isize,
            T::one(),
            T::from_f64(gain),
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}
