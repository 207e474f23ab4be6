//! Reading one picture: its header, and its pixels as 8-bit planes.

use std::fmt;
use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits};

use crate::resize;

/// What the pixels of a picture are made of.
///
/// - Palettes are read as RGB, or RGBA where an entry of the palette is transparent.
/// - Grayscale with alpha is read as RGBA.
/// - 16-bit values v become round(v * 255 / 65535).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One channel.
    Grayscale,
    /// Three channels.
    Rgb,
    /// Three channels and alpha, not premultiplied.
    Rgba,
}

impl Mode {
    /// Number of channels: 1, 3 or 4.
    pub fn channels(self) -> usize {
        match self {
            Self::Grayscale => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    fn of(color: ColorType) -> Self {
        match (color.has_color(), color.has_alpha()) {
            (_, true) => Self::Rgba,
            (true, false) => Self::Rgb,
            (false, false) => Self::Grayscale,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grayscale => "grayscale",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
        })
    }
}

/// Size and mode of a picture, its EXIF orientation applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) mode: Mode,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} {}", self.width, self.height, self.mode)
    }
}

/// Whether the header of a picture can be read from the start of its file.
///
/// WebP keeps the orientation at the end.
pub(crate) fn header_is_at_the_start(prefix: &[u8]) -> bool {
    !matches!(image::guess_format(prefix), Ok(ImageFormat::WebP))
}

/// Reads size and mode from a file, or from the start of one.
pub(crate) fn read_header(bytes: &[u8]) -> ImageResult<Header> {
    let mut decoder = reader(bytes)?.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let mode = Mode::of(decoder.color_type());
    let turned = decoder.orientation()?.to_exif() >= 5;
    let (width, height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Header {
        width,
        height,
        mode,
    })
}

/// Decodes a whole file to 8 bits a channel.
pub(crate) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    if image::guess_format(bytes).ok() == Some(ImageFormat::Jpeg) && !has_jpeg_end(bytes) {
        return Err("the JPEG data end too early".to_string());
    }
    decode_image(bytes).map_err(|error| error.to_string())
}

fn decode_image(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let mut decoder = reader(bytes)?.into_decoder()?;
    let orientation = decoder.orientation()?;
    // The reader keeps this limit for what a decoder needs besides the pixels.
    Limits::default().reserve(decoder.total_bytes())?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(match Mode::of(image.color()) {
        Mode::Grayscale => image.into_luma8().into(),
        Mode::Rgb => image.into_rgb8().into(),
        Mode::Rgba => image.into_rgba8().into(),
    })
}

pub(crate) fn header_of(image: &DynamicImage) -> Header {
    Header {
        width: image.width(),
        height: image.height(),
        mode: Mode::of(image.color()),
    }
}

/// Crops to the centre square, resizes, and turns pixels (HWC) into planes (CHW).
pub(crate) fn to_planes(image: &DynamicImage, resolution: usize) -> Vec<u8> {
    let pixels = to_square(image, resolution);
    let channels = Mode::of(image.color()).channels();
    let mut planes = Vec::with_capacity(pixels.len());
    for channel in 0..channels {
        planes.extend(pixels.iter().skip(channel).step_by(channels));
    }
    planes
}

/// The pixels of the centre square, resized.
pub(crate) fn to_square(image: &DynamicImage, resolution: usize) -> Vec<u8> {
    let (x, y, side) = resize::centre_square(image.width() as usize, image.height() as usize);
    let channels = Mode::of(image.color()).channels();
    let row_bytes = image.width() as usize * channels;
    let square: Vec<u8> = image
        .as_bytes()
        .chunks_exact(row_bytes)
        .skip(y)
        .take(side)
        .flat_map(|row| &row[x * channels..(x + side) * channels])
        .copied()
        .collect();
    resize::area_filter(&square, side, channels, resolution)
}

fn reader(bytes: &[u8]) -> ImageResult<ImageReader<Cursor<&[u8]>>> {
    // The content decides, not the extension: many pictures carry the wrong one.
    Ok(ImageReader::new(Cursor::new(bytes)).with_guessed_format()?)
}

/// Whether a JPEG file goes on to an end marker after its last scan.
///
/// The decoder fills what is missing from a cut file with gray and reports nothing. Inside a scan
/// neither marker can occur; in an embedded thumbnail both come before the picture's own scan.
fn has_jpeg_end(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    matches!((last([0xff, 0xda]), last([0xff, 0xd9])), (Some(scan), Some(end)) if end > scan)
}
