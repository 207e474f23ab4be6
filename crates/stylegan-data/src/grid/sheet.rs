use image::{ColorType, DynamicImage, GenericImage};

use super::grid_size;
use crate::DataError;

/// A grid that pictures are put into one after the other, row by row and side by side.
///
/// Cells that get none stay black, or transparent where pictures have an alpha channel.
///
/// ```
/// use image::DynamicImage;
/// use stylegan_data::grid::Sheet;
///
/// # fn main() -> Result<(), stylegan_data::DataError> {
/// let mut sheet = Sheet::new(3, 2, &DynamicImage::new_rgb8(8, 8))?;
/// for _ in 0..5 {
///     sheet.push(&DynamicImage::new_rgb8(8, 8))?;
/// }
/// assert_eq!(sheet.into_image().width(), 24);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sheet {
    columns: usize,
    rows: usize,
    size: (u32, u32),
    canvas: DynamicImage,
    count: usize,
}

impl Sheet {
    /// An empty grid for pictures of the size and colours of `like`.
    ///
    /// # Errors
    /// If there are no columns, rows or pixels, the grid takes more than 1 GiB, or a level of `like` has more
    /// than 8 bits.
    pub fn new(columns: usize, rows: usize, like: &DynamicImage) -> Result<Self, DataError> {
        let size = (like.width(), like.height());
        let color = like.color();
        let is_empty = columns == 0 || rows == 0 || size.0 == 0 || size.1 == 0;
        if is_empty || !is_plain(color) {
            return Err(DataError::InvalidGrid(format!(
                "expected columns, rows and pictures of 8 bits that are not empty, found {columns}x{rows} \
                 pictures of {}x{} {color:?}",
                size.0, size.1
            )));
        }
        let cell = (size.0 as usize, size.1 as usize);
        let (width, height) = grid_size(columns, rows, cell, color.channel_count().into())?;
        Ok(Self {
            columns,
            rows,
            size,
            canvas: DynamicImage::new(width, height, color),
            count: 0,
        })
    }

    /// Puts a picture into the next cell.
    ///
    /// # Errors
    /// If the grid is full, or the picture has another size or colours.
    pub fn push(&mut self, picture: &DynamicImage) -> Result<(), DataError> {
        let Self { columns, rows, .. } = *self;
        if self.count == columns * rows {
            return Err(DataError::InvalidGrid(format!(
                "expected at most {columns}x{rows} pictures, found more"
            )));
        }
        let (expected, found) = (self.size, (picture.width(), picture.height()));
        let (colors, color) = (self.canvas.color(), picture.color());
        if found != expected || color != colors {
            return Err(DataError::InvalidGrid(format!(
                "expected a picture of {}x{} {colors:?}, found {}x{} {color:?}",
                expected.0, expected.1, found.0, found.1
            )));
        }
        let column = (self.count % columns) as u32;
        let row = (self.count / columns) as u32;
        self.canvas
            .copy_from(picture, column * expected.0, row * expected.1)
            .map_err(|error| DataError::InvalidGrid(error.to_string()))?;
        self.count += 1;
        Ok(())
    }

    /// The grid.
    pub fn into_image(self) -> DynamicImage {
        self.canvas
    }
}

/// Of the colours that pictures of the networks have.
fn is_plain(color: ColorType) -> bool {
    matches!(color, ColorType::L8 | ColorType::Rgb8 | ColorType::Rgba8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::to_image;
    use candle_core::{Device, Tensor};

    #[test]
    fn pictures_stand_where_a_grid_of_the_batch_has_them() {
        for channels in [1, 3, 4] {
            let count = 5 * channels * 2 * 3;
            let values: Vec<f32> = (0..count).map(|i| i as f32 / count as f32).collect();
            let images = Tensor::from_vec(values, (5, channels, 2, 3), &Device::Cpu).unwrap();
            let mut sheet: Option<Sheet> = None;
            for number in 0..5 {
                let picture = to_image(&images.narrow(0, number, 1).unwrap(), 1, 1).unwrap();
                let sheet = sheet.get_or_insert_with(|| Sheet::new(2, 3, &picture).unwrap());
                sheet.push(&picture).unwrap();
            }
            let expected = to_image(&images, 2, 3).unwrap();
            assert_eq!(sheet.unwrap().into_image(), expected, "{channels}");
        }
    }

    #[test]
    fn what_has_no_place_is_an_error() {
        let picture = DynamicImage::new_rgb8(4, 2);
        let mut sheet = Sheet::new(1, 1, &picture).unwrap();
        let mut error = |picture: &DynamicImage| sheet.push(picture).unwrap_err().to_string();
        assert_eq!(
            error(&DynamicImage::new_rgb8(2, 4)),
            "grid: expected a picture of 4x2 Rgb8, found 2x4 Rgb8"
        );
        assert_eq!(
            error(&DynamicImage::new_luma8(4, 2)),
            "grid: expected a picture of 4x2 Rgb8, found 4x2 L8"
        );
        sheet.push(&picture).unwrap();
        let error = sheet.push(&picture).unwrap_err().to_string();
        assert_eq!(error, "grid: expected at most 1x1 pictures, found more");
        for (columns, picture) in [
            (0, picture),
            (1, DynamicImage::new_rgb8(0, 2)),
            (1, DynamicImage::new_rgb16(2, 2)),
        ] {
            let error = Sheet::new(columns, 1, &picture).unwrap_err().to_string();
            assert!(error.contains("that are not empty"), "{error}");
        }
        let error = Sheet::new(1 << 20, 1 << 20, &DynamicImage::new_rgb8(4, 2));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("at most 1 GiB"), "{error}");
    }
}
