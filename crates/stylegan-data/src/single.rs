//! Single pictures, as the networks take them.

use std::path::Path;

use candle_core::{Device, Tensor};
use image::{DynamicImage, GrayImage, RgbImage, RgbaImage};

use crate::grid::on_paper;
use crate::picture::{self, Mode};
use crate::{DataError, is_valid_resolution, source};

/// Reads one picture (PNG, JPEG or WebP) as a dataset would: its centre square, resized to `resolution` by the exact
/// area filter, its EXIF orientation applied.
///
/// A picture of another mode is converted: colours become their luminance in a grayscale picture, and what is
/// transparent becomes white where `mode` has no transparency.
///
/// # Errors
/// If the file is missing, can't be read or decoded, or the networks take no pictures of that resolution.
pub fn read_picture(path: &Path, resolution: usize, mode: Mode) -> Result<DynamicImage, DataError> {
    if !is_valid_resolution(resolution) {
        return Err(DataError::InvalidResolution { resolution });
    }
    let damaged = |reason| DataError::Damaged {
        file: path.display().to_string(),
        reason,
    };
    let picture = picture::decode(&source::read_single(path)?).map_err(damaged)?;
    let pixels = picture::to_square(&picture, resolution);
    let side = resolution as u32;
    let square = match picture::header_of(&picture).mode {
        Mode::Grayscale => GrayImage::from_raw(side, side, pixels).map(DynamicImage::from),
        Mode::Rgb => RgbImage::from_raw(side, side, pixels).map(DynamicImage::from),
        Mode::Rgba => RgbaImage::from_raw(side, side, pixels).map(DynamicImage::from),
    };
    let square = square.ok_or_else(|| damaged("its pixels are incomplete".to_string()))?;
    Ok(convert(square, mode))
}

fn convert(picture: DynamicImage, mode: Mode) -> DynamicImage {
    let opaque = |picture: DynamicImage| match picture.color().has_alpha() {
        true => on_paper(&picture).into(),
        false => picture,
    };
    match mode {
        Mode::Grayscale => opaque(picture).into_luma8().into(),
        Mode::Rgb => opaque(picture).into_rgb8().into(),
        Mode::Rgba => picture.into_rgba8().into(),
    }
}

/// A picture as a tensor `[1, C, H, W]` in f32 from -1 to 1 (byte / 127.5 - 1), of 1, 3 or 4 channels: the inverse of
/// [`grid::to_image`](crate::grid::to_image).
///
/// # Errors
/// If the device refuses.
pub fn to_tensor(picture: &DynamicImage, device: &Device) -> Result<Tensor, DataError> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (channels, bytes) = match picture.color() {
        color if !color.has_color() && !color.has_alpha() => (1, picture.to_luma8().into_raw()),
        color if !color.has_alpha() => (3, picture.to_rgb8().into_raw()),
        _ => (4, picture.to_rgba8().into_raw()),
    };
    let mut values = Vec::with_capacity(bytes.len());
    for channel in 0..channels {
        let plane = bytes.iter().skip(channel).step_by(channels);
        values.extend(plane.map(|&byte| f32::from(byte) / 127.5 - 1.0));
    }
    Ok(Tensor::from_vec(
        values,
        (1, channels, height, width),
        device,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::to_image;
    use crate::{Dataset, DatasetOptions};
    use image::{Rgb, Rgba};

    /// A wide picture with an edge.
    fn picture() -> RgbImage {
        let pixel = |x: u32, y: u32| match x {
            0..9 => Rgb([12 * y as u8, 200, 90]),
            _ => Rgb([20, 40, 10 * x as u8]),
        };
        RgbImage::from_fn(24, 16, pixel)
    }

    fn saved(picture: &DynamicImage) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        picture.save(&path).unwrap();
        (folder, path)
    }

    #[test]
    fn a_picture_is_read_as_in_a_dataset() {
        let (folder, path) = saved(&picture().into());
        let read = read_picture(&path, 8, Mode::Rgb).unwrap();
        let tensor = to_tensor(&read, &Device::Cpu).unwrap();
        let dataset = Dataset::open(&DatasetOptions {
            path: Some(folder.path().to_path_buf()),
            resolution: Some(8),
            ..Default::default()
        });
        let (expected, _) = dataset.unwrap().batch(&[0], &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 8, 8]);
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&tensor), values(&expected));
    }

    #[test]
    fn tensors_turn_back_into_the_picture() {
        let colours = DynamicImage::from(picture());
        for picture in [
            DynamicImage::from(colours.to_luma8()),
            colours.clone(),
            colours.to_rgba8().into(),
        ] {
            let tensor = to_tensor(&picture, &Device::Cpu).unwrap();
            assert_eq!(to_image(&tensor, 1, 1).unwrap(), picture);
        }
    }

    #[test]
    fn other_modes_are_converted_and_what_is_transparent_is_white() {
        let mut transparent = DynamicImage::from(picture()).to_rgba8();
        for pixel in transparent.pixels_mut().skip(1) {
            *pixel = Rgba([0, 0, 0, 0]);
        }
        let (_folder, path) = saved(&transparent.into());
        let of = |mode| read_picture(&path, 16, mode).unwrap();
        let last = |picture: &DynamicImage| picture.as_bytes().last().copied();
        for (mode, level) in [(Mode::Grayscale, 255), (Mode::Rgb, 255), (Mode::Rgba, 0)] {
            let picture = of(mode);
            assert_eq!(
                usize::from(picture.color().channel_count()),
                mode.channels()
            );
            assert_eq!(last(&picture), Some(level));
        }
    }

    #[test]
    fn wrong_files_and_sizes_are_errors_that_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        let error = |side| {
            let read = read_picture(&path, side, Mode::Rgb);
            read.unwrap_err().to_string()
        };
        assert!(
            error(8).contains("picture.png: can't be read: "),
            "{}",
            error(8)
        );
        std::fs::write(&path, "no picture").unwrap();
        let damaged = "picture.png: damaged or unsupported picture: ";
        assert!(error(8).contains(damaged), "{}", error(8));
        assert!(error(48).starts_with("resolution 48: expected a power of two"));
    }
}
