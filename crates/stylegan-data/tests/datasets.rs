//! Datasets read from real files: folders and zips equal, every broken rule named.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use candle_core::Device;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, RgbaImage};
use stylegan_data::{DataError, Dataset, DatasetOptions};
use tempfile::TempDir;

type Files = Vec<(String, Vec<u8>)>;

/// A picture whose pixels depend on their position and a seed.
fn picture(width: u32, height: u32, seed: u8) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([
            (x as u8).wrapping_mul(7).wrapping_add(seed),
            (y as u8).wrapping_mul(5),
            seed.wrapping_mul(31),
        ])
    })
    .into()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(width: u32, height: u32, seed: u8) -> Vec<u8> {
    encode(&picture(width, height, seed), ImageFormat::Png)
}

fn files<const N: usize>(files: [(&str, Vec<u8>); N]) -> Files {
    files.map(|(name, bytes)| (name.to_string(), bytes)).into()
}

fn write_folder(root: &Path, files: &Files) -> PathBuf {
    let path = root.join("pictures");
    fs::create_dir(&path).unwrap();
    for (name, bytes) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    path
}

fn write_zip(root: &Path, files: &Files) -> PathBuf {
    let path = root.join("pictures.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn options(path: PathBuf) -> DatasetOptions {
    DatasetOptions {
        path: Some(path),
        ..Default::default()
    }
}

/// The message for `files`, which must be the same in a folder and in a zip, paths aside.
fn message(files: &Files, change: impl Fn(&mut DatasetOptions)) -> String {
    let root = TempDir::new().unwrap();
    let messages = [
        write_folder(root.path(), files),
        write_zip(root.path(), files),
    ]
    .map(|path| {
        let name = path.display().to_string();
        let mut options = options(path);
        change(&mut options);
        let error = Dataset::open(&options).and_then(|dataset| dataset.verify());
        let error: DataError = error.expect_err("the dataset breaks a rule");
        error.to_string().replace(&name, "DATA")
    });
    assert_eq!(messages[0], messages[1]);
    messages[0].clone()
}

fn with_labels(json: &str) -> Files {
    files([
        ("0/a.png", png(8, 8, 1)),
        ("0/b.png", png(8, 8, 2)),
        ("dataset.json", json.into()),
    ])
}

#[test]
fn folder_and_zip_give_the_same_pictures_and_labels() {
    let root = TempDir::new().unwrap();
    let files = files([
        ("b/2.webp", encode(&picture(8, 8, 9), ImageFormat::WebP)),
        ("a/10.png", png(8, 8, 1)),
        ("a/9.PNG", png(8, 8, 5)),
        (
            "dataset.json",
            br#"{"labels": [["a/9.PNG", 2], ["a/10.png", 0], ["b/2.webp", 1]]}"#.into(),
        ),
        ("readme.txt", b"not a picture".into()),
        (".hidden.png", b"not a picture".into()),
        ("a/.thumbs/1.png", b"not a picture".into()),
        ("__MACOSX/a/._10.png", b"not a picture".into()),
    ]);
    let open = |path| {
        let mut options = options(path);
        options.cond = true;
        Dataset::open(&options).unwrap()
    };
    let folder = open(write_folder(root.path(), &files));
    let zip = open(write_zip(root.path(), &files));
    for dataset in [&folder, &zip] {
        assert_eq!((dataset.len(), dataset.resolution()), (3, 8));
        assert_eq!((dataset.channels(), dataset.label_dim()), (3, 3));
        // By name: a/10.png, a/9.PNG, b/2.webp.
        assert_eq!(dataset.label(1).unwrap().unwrap(), [0.0, 0.0, 1.0]);
        let pixels = dataset.image_u8(2).unwrap();
        assert_eq!(&pixels[..3], [9, 16, 23]);
        assert_eq!(pixels[2 * 64], 9u8.wrapping_mul(31));
    }
    for index in 0..3 {
        assert_eq!(
            folder.image_u8(index).unwrap(),
            zip.image_u8(index).unwrap()
        );
    }
}

#[test]
fn batch_is_scaled_to_minus_one_to_one_and_grid_restores_the_bytes() {
    let root = TempDir::new().unwrap();
    let files = with_labels(r#"{"labels": [["0/a.png", [0.5, 2]], ["0/b.png", [1, -3]]]}"#);
    let mut options = options(write_zip(root.path(), &files));
    options.cond = true;
    let dataset = Dataset::open(&options).unwrap();
    let (images, labels) = dataset.batch(&[1, 0, 1], &Device::Cpu).unwrap();
    assert_eq!(images.dims(), [3, 3, 8, 8]);
    let labels: Vec<Vec<f32>> = labels.unwrap().to_vec2().unwrap();
    assert_eq!(labels, [[1.0, -3.0], [0.5, 2.0], [1.0, -3.0]]);
    let grid = stylegan_data::grid::to_image(&images, 1, 3).unwrap();
    assert_eq!(grid.crop_imm(0, 8, 8, 8), picture(8, 8, 1));
    assert_eq!(grid.crop_imm(0, 16, 8, 8), picture(8, 8, 2));
}

#[test]
fn mirror_appends_the_flipped_pictures() {
    let root = TempDir::new().unwrap();
    let files = files([("a.png", png(8, 8, 1)), ("b.png", png(8, 8, 2))]);
    let mut options = options(write_folder(root.path(), &files));
    options.mirror = true;
    let dataset = Dataset::open(&options).unwrap();
    assert_eq!(dataset.len(), 4);
    let mut flipped = dataset.image_u8(1).unwrap();
    flipped.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    assert_eq!(dataset.image_u8(3).unwrap(), flipped);
    assert!(
        dataset.describe().contains("2 pictures from"),
        "{}",
        dataset.describe()
    );
    assert!(
        dataset
            .describe()
            .ends_with("8x8 RGB, 4 with their mirror images")
    );
}

#[test]
fn subset_depends_on_the_seed_and_keeps_pictures_and_labels_together() {
    let root = TempDir::new().unwrap();
    let mut files: Files = (0..40u8)
        .map(|i| (format!("{i:02}.png"), png(4, 4, i)))
        .collect();
    let labels: Vec<String> = (0..40).map(|i| format!("[\"{i:02}.png\", {i}]")).collect();
    let json = format!("{{\"labels\": [{}]}}", labels.join(","));
    files.push(("dataset.json".to_string(), json.into_bytes()));
    let path = write_folder(root.path(), &files);
    let open = |seed| {
        let mut options = options(path.clone());
        (options.subset, options.seed, options.cond) = (Some(12), seed, true);
        Dataset::open(&options).unwrap()
    };
    let pictures = |dataset: &Dataset| -> Vec<u8> {
        (0..dataset.len())
            .map(|i| dataset.image_u8(i).unwrap()[0])
            .collect()
    };
    let first = open(1);
    assert_eq!(first.len(), 12);
    assert_eq!(first.label_dim(), 40);
    assert_eq!(pictures(&first), pictures(&open(1)));
    assert_ne!(pictures(&first), pictures(&open(2)));
    for (index, value) in pictures(&first).into_iter().enumerate() {
        assert_eq!(
            first.label(index).unwrap().unwrap()[usize::from(value)],
            1.0
        );
    }
}

#[test]
fn resolution_crops_to_the_centre_and_averages_areas() {
    let root = TempDir::new().unwrap();
    // 12 wide: the square is columns 2 to 9; blocks of 2x2 become pixels.
    let wide = GrayImage::from_fn(12, 8, |x, _| Luma([x as u8 * 10]));
    let small = GrayImage::from_pixel(4, 4, Luma([77]));
    let files = files([
        ("a.png", encode(&wide.into(), ImageFormat::Png)),
        ("b.png", encode(&small.into(), ImageFormat::Png)),
    ]);
    let mut options = options(write_zip(root.path(), &files));
    options.resolution = Some(4);
    let dataset = Dataset::open(&options).unwrap();
    assert_eq!((dataset.channels(), dataset.resolution()), (1, 4));
    assert_eq!(dataset.image_u8(0).unwrap(), [25, 45, 65, 85].repeat(4));
    assert_eq!(dataset.image_u8(1).unwrap(), [77; 16]);
}

#[test]
fn sixteen_bit_values_are_scaled_and_rounded() {
    let root = TempDir::new().unwrap();
    let values: Vec<u16> = (0..16u16).map(|i| 4096 * i + 128 + i % 2).collect();
    let gray = image::ImageBuffer::<Luma<u16>, _>::from_vec(4, 4, values.clone()).unwrap();
    let file = encode(&DynamicImage::ImageLuma16(gray), ImageFormat::Png);
    let path = write_folder(root.path(), &files([("a.png", file)]));
    let dataset = Dataset::open(&options(path)).unwrap();
    let expected: Vec<u8> = (values.iter())
        .map(|&value| (f64::from(value) * 255.0 / 65535.0).round() as u8)
        .collect();
    assert_eq!(dataset.image_u8(0).unwrap(), expected);
}

#[test]
fn gray_with_alpha_becomes_rgba_and_jpeg_rgb() {
    let root = TempDir::new().unwrap();
    let gray = DynamicImage::new_luma_a8(4, 4);
    let path = write_folder(
        root.path(),
        &files([("a.png", encode(&gray, ImageFormat::Png))]),
    );
    assert_eq!(Dataset::open(&options(path)).unwrap().channels(), 4);
    let jpeg = encode(&picture(16, 16, 3), ImageFormat::Jpeg);
    let path = write_zip(root.path(), &files([("a.jpg", jpeg)]));
    let dataset = Dataset::open(&options(path)).unwrap();
    assert_eq!(dataset.image_u8(0).unwrap().len(), 3 * 16 * 16);
}

#[test]
fn reading_from_many_threads_gives_what_one_thread_reads() {
    let root = TempDir::new().unwrap();
    let files: Files = (0..60u8)
        .map(|i| (format!("{i:02}.png"), png(16, 16, i)))
        .collect();
    let path = write_zip(root.path(), &files);
    let dataset = Dataset::open(&options(path.clone())).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(8)
        .build()
        .unwrap();
    let indices: Vec<usize> = (0..60).rev().chain(0..60).collect();
    let (images, _) = pool
        .install(|| dataset.batch(&indices, &Device::Cpu))
        .unwrap();
    let alone = Dataset::open(&options(path)).unwrap();
    for (row, &index) in indices.iter().enumerate() {
        let values: Vec<f32> = images
            .get(row)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let expected: Vec<f32> = (alone.image_u8(index).unwrap().into_iter())
            .map(|byte| f32::from(byte) / 127.5 - 1.0)
            .collect();
        assert_eq!(values, expected);
    }
}

#[test]
fn different_sizes_name_both_pictures() {
    let files = files([("a/1.png", png(8, 8, 1)), ("a/2.png", png(8, 4, 1))]);
    assert_eq!(
        message(&files, |_| ()),
        "DATA: a/2.png: all pictures must have the same size: expected 8x8 like a/1.png, found 8x4; give a resolution (--resolution) to resize them all"
    );
}

#[test]
fn different_modes_name_both_pictures_even_with_a_resolution() {
    let alpha = encode(&RgbaImage::new(8, 8).into(), ImageFormat::Png);
    let files = files([("1.png", png(8, 8, 1)), ("2.png", alpha)]);
    assert_eq!(
        message(&files, |options| options.resolution = Some(4)),
        "DATA: 2.png: all pictures must have the same mode: expected RGB like 1.png, found RGBA; convert the pictures to one mode"
    );
}

#[test]
fn pictures_that_are_not_square_or_of_an_odd_size_say_what_to_do() {
    assert_eq!(
        message(&files([("a.png", png(8, 6, 1))]), |_| ()),
        "DATA: a.png: pictures must be square, this one is 8x6; give a resolution (--resolution) to crop to the centre and resize"
    );
    assert_eq!(
        message(&files([("a.png", png(12, 12, 1))]), |_| ()),
        "DATA: a.png: the side must be a power of two from 4 to 1024, this picture is 12x12; give a resolution (--resolution) to resize"
    );
}

#[test]
fn damaged_pictures_are_named() {
    let whole = png(64, 64, 3);
    for (damaged, part) in [
        (
            b"this is no picture".to_vec(),
            "damaged or unsupported picture: ",
        ),
        (Vec::new(), "damaged or unsupported picture: "),
        (whole[..20].to_vec(), "damaged or unsupported picture: "),
        (
            whole[..whole.len() / 2].to_vec(),
            "damaged or unsupported picture: ",
        ),
    ] {
        let message = message(
            &files([("a.png", whole.clone()), ("b.png", damaged)]),
            |_| (),
        );
        assert!(message.starts_with("DATA: b.png: "), "{message}");
        assert!(message.contains(part), "{message}");
        assert!(message.ends_with("; replace or remove it"), "{message}");
    }
}

#[test]
fn a_jpeg_that_was_cut_short_is_damaged() {
    let whole = encode(&picture(64, 64, 3), ImageFormat::Jpeg);
    let cut = whole[..whole.len() * 2 / 3].to_vec();
    assert_eq!(
        message(&files([("a.jpg", whole), ("b.jpg", cut)]), |_| ()),
        "DATA: b.jpg: damaged or unsupported picture: the JPEG data end too early; replace or remove it"
    );
}

#[test]
fn a_dataset_without_pictures_says_what_it_has_instead() {
    assert_eq!(
        message(
            &files([("a.gif", vec![]), ("b.txt", vec![]), (".c.png", vec![])]),
            |_| ()
        ),
        "DATA: no pictures found; expected files ending in .png, .jpg, .jpeg or .webp; found only other files: a.gif and 1 more"
    );
    assert!(message(&vec![], |_| ()).ends_with(".webp; there are no files at all"));
}

#[test]
fn a_path_that_is_missing_or_neither_folder_nor_zip_is_named() {
    let root = TempDir::new().unwrap();
    let missing = root.path().join("nothing.zip");
    let error = Dataset::open(&options(missing)).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "nothing.zip: no such file or folder; expected a folder or a zip of pictures"
        ),
        "{error}"
    );
    let file = root.path().join("a.png");
    fs::write(&file, png(8, 8, 1)).unwrap();
    let error = Dataset::open(&options(file)).unwrap_err().to_string();
    assert!(
        error.contains("a.png: neither a folder nor a readable zip archive ("),
        "{error}"
    );
}

#[test]
fn labels_that_are_asked_for_must_be_there_and_match() {
    let cond = |options: &mut DatasetOptions| options.cond = true;
    let plain = files([("a.png", png(8, 8, 1))]);
    let found = message(&plain, cond);
    assert!(
        found.contains("dataset.json: not found, but labels are needed (--cond, or a network that was trained with labels)"),
        "{found}"
    );
    assert_eq!(
        message(&with_labels(r#"{"labels": [["0/a.png", 1]]}"#), cond),
        "DATA: dataset.json: every picture needs a label: \"0/b.png\" has none (1 of 2 pictures without); add the labels or remove the pictures"
    );
}

#[test]
fn labels_are_not_looked_at_unless_asked_for() {
    let root = TempDir::new().unwrap();
    let path = write_folder(root.path(), &with_labels("not even JSON"));
    let dataset = Dataset::open(&options(path)).unwrap();
    assert_eq!(dataset.label_dim(), 0);
    assert_eq!(dataset.label(0).unwrap(), None);
}

#[test]
fn resolutions_that_the_networks_do_not_take_are_errors() {
    for (resolution, hint) in [
        (100, "the nearest are 64 and 128"),
        (0, "the nearest is 4"),
        (2, "the nearest is 4"),
        (2048, "the nearest is 1024"),
    ] {
        let options = DatasetOptions {
            resolution: Some(resolution),
            ..Default::default()
        };
        assert_eq!(
            Dataset::open(&options).unwrap_err().to_string(),
            format!("resolution {resolution}: expected a power of two from 4 to 1024; {hint}")
        );
    }
}

#[test]
fn subsets_and_indices_out_of_range_are_errors() {
    for subset in [0, 3] {
        let files = files([("a.png", png(8, 8, 1)), ("b.png", png(8, 8, 2))]);
        assert_eq!(
            message(&files, |options| options.subset = Some(subset)),
            format!("subset {subset}: expected 1 to 2, the number of pictures in DATA")
        );
    }
    let dataset = Dataset::open(&DatasetOptions::default()).unwrap();
    let error = dataset.image_u8(dataset.len()).unwrap_err();
    assert!(
        matches!(error, DataError::IndexOutOfRange { .. }),
        "{error}"
    );
}
