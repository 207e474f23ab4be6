//! Pictures as files, which are either whole or not there.

use std::io::{Cursor, Write};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageResult};

use crate::DataError;
use crate::grid::on_paper;

/// JPEG's quality: differences are hard to see.
const JPEG_QUALITY: u8 = 95;

/// How a picture is coded in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PictureFormat {
    /// PNG, without loss, as small as it gets.
    #[default]
    Png,
    /// WebP without loss.
    Webp,
    /// JPEG of quality 95, with all of the colour; what is transparent becomes white.
    Jpeg,
}

impl PictureFormat {
    /// The usual end of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Jpeg => "jpg",
        }
    }

    /// The format that the end of a file's name stands for, without the dot and in small or capital letters.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "webp" => Some(Self::Webp),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }

    /// Writes a picture to a file of any name; see [`write_file`].
    ///
    /// # Errors
    /// If the format has no place for so many pixels, or the folder can't be written to.
    pub fn save(self, picture: &DynamicImage, path: &Path) -> Result<(), DataError> {
        let bytes = self.encode(picture).map_err(|error| DataError::Write {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
        write_file(path, &bytes)
    }

    fn encode(self, picture: &DynamicImage) -> ImageResult<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        match self {
            Self::Png => picture.write_with_encoder(PngEncoder::new_with_quality(
                &mut bytes,
                CompressionType::Best,
                FilterType::Adaptive,
            ))?,
            Self::Webp => picture.write_with_encoder(WebPEncoder::new_lossless(&mut bytes))?,
            Self::Jpeg => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
                match picture.color().has_alpha() {
                    true => on_paper(picture).write_with_encoder(encoder)?,
                    false => picture.write_with_encoder(encoder)?,
                }
            }
        }
        Ok(bytes.into_inner())
    }
}

/// Writes a file under a temporary name in the same folder and renames it, so that `path` never holds half of
/// it; an existing file is replaced.
///
/// # Errors
/// If the folder can't be written to.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), DataError> {
    let failed = |reason: String| DataError::Write {
        path: path.to_path_buf(),
        reason,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".tmp");
    // Temporary files are private by default; pictures get the usual permissions.
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| failed(error.to_string()))?;
    file.as_file_mut()
        .write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| failed(error.to_string()))?;
    file.persist(path)
        .map_err(|error| failed(error.error.to_string()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GenericImageView, ImageFormat, RgbImage, Rgba, RgbaImage};

    #[test]
    fn every_format_is_known_by_its_extension() {
        for format in [PictureFormat::Png, PictureFormat::Webp, PictureFormat::Jpeg] {
            let extension = format.extension();
            assert_eq!(PictureFormat::of_extension(extension), Some(format));
        }
        assert_eq!(
            PictureFormat::of_extension("JPEG"),
            Some(PictureFormat::Jpeg)
        );
        assert_eq!(PictureFormat::of_extension("bmp"), None);
    }

    /// A picture with an edge and a gradient.
    fn picture() -> DynamicImage {
        let pixel = |x: u32, y: u32| match y {
            0..8 => image::Rgb([8 * x as u8, 200, 90]),
            _ => image::Rgb([20, 40, 8 * x as u8]),
        };
        RgbImage::from_fn(32, 16, pixel).into()
    }

    fn saved(picture: &DynamicImage, format: PictureFormat) -> (DynamicImage, Option<ImageFormat>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        std::fs::write(&path, "old").unwrap();
        format.save(picture, &path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let reader = image::ImageReader::open(&path).unwrap();
        let reader = reader.with_guessed_format().unwrap();
        let format = reader.format();
        (reader.decode().unwrap(), format)
    }

    #[test]
    fn every_format_reads_back_and_leaves_no_other_file() {
        let colours = picture();
        for picture in [
            &colours,
            &colours.to_luma8().into(),
            &colours.to_rgba8().into(),
        ] {
            for (format, kind) in [
                (PictureFormat::Png, ImageFormat::Png),
                (PictureFormat::Webp, ImageFormat::WebP),
            ] {
                let (read, found) = saved(picture, format);
                assert_eq!(found, Some(kind));
                assert_eq!(read.to_rgba8(), picture.to_rgba8());
            }
            let (read, found) = saved(picture, PictureFormat::Jpeg);
            assert_eq!(found, Some(ImageFormat::Jpeg));
            assert_eq!(read.dimensions(), picture.dimensions());
            let (read, picture) = (read.to_rgb8(), picture.to_rgb8());
            let differences = read.iter().zip(picture.iter());
            let worst = differences.map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst < Some(16), "{worst:?}");
        }
    }

    #[test]
    fn what_is_transparent_is_white_in_a_jpeg() {
        let clear = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
        let (read, _) = saved(&clear.into(), PictureFormat::Jpeg);
        assert!(read.to_rgb8().iter().all(|&level| level > 250));
    }

    #[test]
    fn more_pixels_than_a_format_has_room_for_are_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.webp");
        let wide = DynamicImage::new_rgb8(16385, 1);
        let error = PictureFormat::Webp
            .save(&wide, &path)
            .unwrap_err()
            .to_string();
        assert!(error.contains("wide.webp: can't be written: "), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("grid.png");
        let picture = DynamicImage::new_rgb8(1, 1);
        let error = PictureFormat::Png
            .save(&picture, &path)
            .unwrap_err()
            .to_string();
        assert!(error.contains("grid.png: can't be written:"), "{error}");
    }
}
