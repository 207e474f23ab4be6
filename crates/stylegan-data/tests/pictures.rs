//! Kinds of picture files: palettes, 16 bits, CMYK, turned pictures, and ones that are too large.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, GenericImageView, ImageEncoder, Rgb, RgbImage};
use stylegan_data::{DataError, Dataset, DatasetOptions};
use tempfile::TempDir;

/// A dataset of one file.
fn open(root: &TempDir, name: &str, bytes: &[u8]) -> Result<Dataset, DataError> {
    let folder = root.path().join(format!("of {name}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
    open_path(&folder, None)
}

fn open_path(path: &Path, resolution: Option<usize>) -> Result<Dataset, DataError> {
    Dataset::open(&DatasetOptions {
        path: Some(PathBuf::from(path)),
        resolution,
        ..DatasetOptions::default()
    })
}

/// A 4x4 PNG with a palette of red, green and blue, whose pixel i has the colour i mod 3.
fn palette_png(alpha: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![255, 0, 0, 0, 255, 0, 0, 0, 255]);
    if let Some(alpha) = alpha {
        encoder.set_trns(alpha.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    let indices: Vec<u8> = (0..16).map(|i| i % 3).collect();
    writer.write_image_data(&indices).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Where the palette's colour `index` is in [`palette_png`], as 0 and 255.
fn palette_plane(index: usize) -> Vec<u8> {
    (0..16)
        .map(|i| if i % 3 == index { 255 } else { 0 })
        .collect()
}

#[test]
fn palettes_are_read_as_rgb() {
    let root = TempDir::new().unwrap();
    let dataset = open(&root, "a.png", &palette_png(None)).unwrap();
    assert_eq!(dataset.channels(), 3);
    let expected: Vec<u8> = (0..3).flat_map(palette_plane).collect();
    assert_eq!(dataset.image_u8(0).unwrap(), expected);
}

#[test]
fn palettes_with_a_transparent_entry_are_read_as_rgba() {
    let root = TempDir::new().unwrap();
    let dataset = open(&root, "a.png", &palette_png(Some(&[255, 0, 255]))).unwrap();
    assert_eq!(dataset.channels(), 4);
    let alpha = palette_plane(1).into_iter().map(|value| 255 - value);
    let expected: Vec<u8> = (0..3).flat_map(palette_plane).chain(alpha).collect();
    assert_eq!(dataset.image_u8(0).unwrap(), expected);
}

#[test]
fn sixteen_bit_colours_are_scaled_and_rounded() {
    let root = TempDir::new().unwrap();
    let value = |x: u32, y: u32, channel: u32| (4096 * (4 * y + x) + 128 + channel) as u16;
    let picture = image::ImageBuffer::<Rgb<u16>, Vec<u16>>::from_fn(4, 4, |x, y| {
        Rgb([0, 1, 2].map(|channel| value(x, y, channel)))
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(picture)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    let dataset = open(&root, "a.png", bytes.get_ref()).unwrap();
    let expected: Vec<u8> = (0..48)
        .map(|i| value(i % 4, i / 4 % 4, i / 16))
        .map(|value| (f64::from(value) * 255.0 / 65535.0).round() as u8)
        .collect();
    assert_eq!(dataset.image_u8(0).unwrap(), expected);
}

#[test]
fn cmyk_jpegs_are_read_as_rgb() {
    // 16x16: the left half cyan, the right half 60 % black.
    let bytes = include_bytes!("fixtures/cmyk.jpg");
    let root = TempDir::new().unwrap();
    let dataset = open(&root, "a.jpg", bytes).unwrap();
    assert_eq!((dataset.channels(), dataset.resolution()), (3, 16));
    let pixels = dataset.image_u8(0).unwrap();
    for (position, found) in pixels.into_iter().enumerate() {
        let (x, channel) = (position % 16, position / 256);
        let expected: u8 = match (x < 8, channel) {
            (true, 0) => 0,
            (true, _) => 255,
            (false, _) => 102,
        };
        assert!(found.abs_diff(expected) <= 2, "{position}: {found}");
    }
}

/// An EXIF block that says nothing but the orientation.
fn orientation(value: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, value, 0, 0, 0]);
    exif.extend([0; 4]);
    exif
}

fn turned(image: &RgbImage, value: u8, mut encoder: impl ImageEncoder) {
    encoder.set_exif_metadata(orientation(value)).unwrap();
    image.write_with_encoder(encoder).unwrap();
}

#[test]
fn pictures_are_turned_as_their_exif_orientation_says() {
    // A black, a dark, a light and a white quarter, along the blocks of JPEG.
    let image = RgbImage::from_fn(32, 32, |x, y| Rgb([(x / 16 * 85 + y / 16 * 170) as u8; 3]));
    let whole = DynamicImage::from(image.clone());
    let root = TempDir::new().unwrap();
    for (value, expected) in [
        (1, whole.clone()),
        (2, whole.fliph()),
        (3, whole.rotate180()),
        (6, whole.rotate90()),
        (8, whole.rotate270()),
    ] {
        let (mut png, mut jpeg, mut webp) = (Vec::new(), Vec::new(), Vec::new());
        turned(&image, value, PngEncoder::new(&mut png));
        turned(&image, value, JpegEncoder::new_with_quality(&mut jpeg, 100));
        turned(&image, value, WebPEncoder::new_lossless(&mut webp));
        for (name, bytes) in [("a.png", png), ("a.jpg", jpeg), ("a.webp", webp)] {
            let pixels = open(&root, name, &bytes).unwrap().image_u8(0).unwrap();
            for (x, y, pixel) in expected.pixels() {
                let found = pixels[(32 * y + x) as usize];
                assert!(
                    found.abs_diff(pixel.0[0]) <= 2,
                    "{name}, orientation {value}, {x} {y}: {found}"
                );
            }
        }
    }
}

#[test]
fn a_quarter_turn_swaps_width_and_height() {
    let root = TempDir::new().unwrap();
    let mut bytes = Vec::new();
    turned(&RgbImage::new(8, 4), 6, PngEncoder::new(&mut bytes));
    let error = open(&root, "a.png", &bytes).unwrap_err().to_string();
    assert!(error.contains("this one is 4x8"), "{error}");
}

#[test]
fn a_picture_whose_pixels_take_too_much_memory_is_named() {
    let root = TempDir::new().unwrap();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 30_000, 30_000);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    // Enough of the pixels for the header to be read.
    writer.write_chunk(png::chunk::IDAT, &[0; 8]).unwrap();
    drop(writer);
    fs::write(root.path().join("a.png"), bytes).unwrap();
    let dataset = open_path(root.path(), Some(4)).unwrap();
    let error = dataset.verify().unwrap_err().to_string();
    assert!(error.contains("a.png: damaged or unsupported"), "{error}");
    assert!(error.contains("Memory limit exceeded"), "{error}");
}

#[test]
fn a_file_that_is_larger_than_any_picture_is_named() {
    const LEN: u64 = (256 << 20) + 1;
    let root = TempDir::new().unwrap();
    // A sparse file in a folder, and an entry of a small archive that unpacks to as much.
    let folder = root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let file = fs::File::create(folder.join("a.png")).unwrap();
    file.set_len(LEN).unwrap();
    let archive = root.path().join("archive.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&archive).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_level(Some(1));
    writer.start_file("a.png", options).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..LEN.div_ceil(1 << 20) {
        writer.write_all(&zeros).unwrap();
    }
    writer.finish().unwrap();
    assert!(fs::metadata(&archive).unwrap().len() < 4 << 20);
    for path in [folder, archive] {
        let error = open_path(&path, None).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "{}: a.png: larger than 256 MiB, the most that is read; replace or remove it",
                path.display()
            )
        );
    }
}
