//! Grids and tables of pictures.

mod sheet;
mod table;

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

use crate::DataError;

pub use sheet::Sheet;
pub use table::{Place, Table, on_paper};

/// The most bytes that the pixels of a grid may take.
const LIMIT_BYTES: u64 = 1 << 30;

/// Lays out a batch of pictures row by row, `columns` by `rows`.
///
/// `images` is `[N, C, H, W]` of any float type on any device, C = 1, 3 or 4. A value x becomes
/// round((x + 1) * 127.5), clamped to 0..=255. Cells beyond N stay 0 (black, or transparent with
/// four channels).
///
/// # Errors
/// If the shape is another, N is 0 or more than `columns * rows`, the grid takes more than 1 GiB, or
/// a value is not a number.
pub fn to_image(images: &Tensor, columns: usize, rows: usize) -> Result<DynamicImage, DataError> {
    let (count, channels, height, width) = match *images.dims() {
        [count, channels @ (1 | 3 | 4), height, width] if height > 0 && width > 0 => {
            (count, channels, height, width)
        }
        _ => {
            return Err(DataError::InvalidGrid(format!(
                "expected pictures [N, C, H, W] with C = 1, 3 or 4, found shape {:?}",
                images.dims()
            )));
        }
    };
    if count == 0 || columns.checked_mul(rows).is_none_or(|cells| count > cells) {
        return Err(DataError::InvalidGrid(format!(
            "expected 1 to {columns}x{rows} pictures, found {count}"
        )));
    }
    let (grid_width, grid_height) = grid_size(columns, rows, (width, height), channels)?;
    let row_bytes = grid_width as usize * channels;
    let mut bytes = vec![0u8; row_bytes * grid_height as usize];
    let values: Vec<f32> = images
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1()?;
    for (cell, picture) in values.chunks_exact(channels * height * width).enumerate() {
        let (left, top) = (cell % columns * width, cell / columns * height);
        for (position, &value) in picture.iter().enumerate() {
            if value.is_nan() {
                return Err(DataError::InvalidGrid(format!(
                    "picture {cell} has a value that is not a number (NaN)"
                )));
            }
            let channel = position / (height * width);
            let (y, x) = (position / width % height, position % width);
            bytes[(top + y) * row_bytes + (left + x) * channels + channel] = to_byte(value);
        }
    }
    match channels {
        1 => GrayImage::from_raw(grid_width, grid_height, bytes).map(DynamicImage::from),
        3 => RgbImage::from_raw(grid_width, grid_height, bytes).map(DynamicImage::from),
        _ => RgbaImage::from_raw(grid_width, grid_height, bytes).map(DynamicImage::from),
    }
    .ok_or_else(|| DataError::InvalidGrid("the pixels don't fill the grid".to_string()))
}

/// Width and height of a grid, unless it is too large.
fn grid_size(
    columns: usize,
    rows: usize,
    (width, height): (usize, usize),
    channels: usize,
) -> Result<(u32, u32), DataError> {
    let too_large = || {
        DataError::InvalidGrid(format!(
            "expected at most 1 GiB of pixels, found {columns}x{rows} pictures of {width}x{height} \
             with {channels} channels; ask for fewer columns or rows"
        ))
    };
    let side = |cells: usize, pixels: usize| -> Result<u32, DataError> {
        let side = cells.checked_mul(pixels).ok_or_else(too_large)?;
        u32::try_from(side).map_err(|_| too_large())
    };
    let (grid_width, grid_height) = (side(columns, width)?, side(rows, height)?);
    if u64::from(grid_width) * u64::from(grid_height) > LIMIT_BYTES / channels as u64 {
        return Err(too_large());
    }
    Ok((grid_width, grid_height))
}

/// -1 becomes 0, 1 becomes 255; the cast clamps.
fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(values: &[f32], shape: (usize, usize, usize, usize)) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn values_are_clamped_and_rounded_to_the_nearest_byte() {
        let tensor = images(&[-1.0, 1.0, 0.0, -7.0, 7.0, 0.25], (1, 1, 2, 3));
        let grid = to_image(&tensor, 1, 1).unwrap();
        assert_eq!(grid.as_bytes(), [0, 255, 128, 0, 255, 159]);
    }

    #[test]
    fn pictures_fill_rows_first_and_free_cells_stay_black() {
        let tensor = images(
            &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.5],
            (3, 3, 1, 1),
        );
        let grid = to_image(&tensor, 2, 2).unwrap().into_rgb8();
        assert_eq!(grid.dimensions(), (2, 2));
        let pixels: Vec<[u8; 3]> = grid.pixels().map(|pixel| pixel.0).collect();
        assert_eq!(pixels, [[255; 3], [128; 3], [64, 128, 191], [0; 3]]);
    }

    #[test]
    fn f64_pictures_with_alpha_become_rgba() {
        let tensor = images(&[0.0; 4], (1, 4, 1, 1))
            .to_dtype(DType::F64)
            .unwrap();
        let grid = to_image(&tensor, 1, 1).unwrap();
        assert_eq!(grid.color(), image::ColorType::Rgba8);
    }

    #[test]
    fn shapes_counts_and_nan_are_errors() {
        let message = |tensor, columns, rows| {
            let error: DataError = to_image(&tensor, columns, rows).unwrap_err();
            error.to_string()
        };
        let two = images(&[0.0; 4], (1, 2, 1, 2));
        assert_eq!(
            message(two, 1, 1),
            "grid: expected pictures [N, C, H, W] with C = 1, 3 or 4, found shape [1, 2, 1, 2]"
        );
        let five = images(&[0.0; 5], (5, 1, 1, 1));
        assert_eq!(
            message(five, 2, 2),
            "grid: expected 1 to 2x2 pictures, found 5"
        );
        let nan = images(&[0.0, f32::NAN], (2, 1, 1, 1));
        assert_eq!(
            message(nan, 2, 1),
            "grid: picture 1 has a value that is not a number (NaN)"
        );
    }

    #[test]
    fn a_grid_of_more_than_a_gibibyte_is_an_error_before_memory_is_asked_for() {
        let one = images(&[0.0; 4], (1, 1, 2, 2));
        for (columns, rows) in [
            (1 << 14, (1 << 14) + 1),
            (1 << 31, 1),
            (1, usize::MAX),
            (1 << 30, 1 << 30),
        ] {
            let error = to_image(&one, columns, rows).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "grid: expected at most 1 GiB of pixels, found {columns}x{rows} pictures of \
                     2x2 with 1 channels; ask for fewer columns or rows"
                )
            );
        }
    }
}
