//! Every format read back by another decoder than the one beside the encoder.

use std::fs;
use std::path::Path;

use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, RgbImage, RgbaImage};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use stylegan_video::{VideoError, VideoFormat, VideoOptions, VideoWriter, Written};

/// A soft spot that moves over a gradient.
fn frame(number: u32, width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let (dx, dy) = (x as f32 - number as f32, y as f32 - height as f32 / 2.);
        let spot = 120. * (-(dx * dx + dy * dy) / 60.).exp();
        let level = |value: f32| (value + spot).min(255.) as u8;
        image::Rgb([
            level(100. * x as f32 / width as f32),
            level(110.),
            level(120. * y as f32 / height as f32),
        ])
    };
    RgbImage::from_fn(width, height, pixel).into()
}

fn write(path: &Path, options: &VideoOptions, frames: &[DynamicImage]) -> Written {
    let mut video = VideoWriter::create(path, options).unwrap();
    for frame in frames {
        video.add(frame).unwrap();
    }
    video.finish().unwrap()
}

fn frames(count: u32, width: u32, height: u32) -> Vec<DynamicImage> {
    (0..count).map(|n| frame(n, width, height)).collect()
}

/// The largest and the mean difference of levels.
fn difference(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions());
    let differences: Vec<u8> = a
        .iter()
        .zip(b.iter())
        .map(|(a, b)| a.abs_diff(*b))
        .collect();
    let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
    let largest = differences.iter().copied().max().unwrap();
    (largest, sum / differences.len() as f64)
}

/// What a player finds in an MP4.
struct Played {
    size: (u16, u16),
    seconds: f64,
    keyframes: Vec<usize>,
    frames: Vec<RgbImage>,
    index_first: bool,
}

/// Y'CbCr of ITU-R BT.709 back to RGB.
fn to_rgb(yuv: &impl YUVSource) -> RgbImage {
    let (width, height) = yuv.dimensions();
    let (y_stride, u_stride, v_stride) = yuv.strides();
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let luma = (f32::from(yuv.y()[y * y_stride + x]) - 16.) * 255. / 219.;
        let part = |plane: &[u8], stride| (f32::from(plane[y / 2 * stride + x / 2]) - 128.) / 224.;
        let u = part(yuv.u(), u_stride) * 255. * 1.8556;
        let v = part(yuv.v(), v_stride) * 255. * 1.5748;
        let (red, blue) = (luma + v, luma + u);
        let green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152;
        image::Rgb([red, green, blue].map(|level| level.round() as u8))
    })
}

fn play(path: &Path) -> Played {
    let file = fs::read(path).unwrap();
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(required) = demuxer.required_input() {
        let start = required.position as usize;
        let input = Input {
            position: required.position,
            data: &file[start.min(file.len())..],
        };
        demuxer.handle_input(input);
    }
    let mut decoder = Decoder::new().unwrap();
    let mut played = Played {
        size: (0, 0),
        seconds: 0.,
        keyframes: Vec::new(),
        frames: Vec::new(),
        index_first: position(&file, b"moov") < position(&file, b"mdat"),
    };
    while let Some(sample) = demuxer.next_sample().unwrap() {
        let mut stream = Vec::new();
        if let Some(SampleEntry::Avc1(entry)) = sample.sample_entry {
            played.size = (entry.visual.width, entry.visual.height);
            if played.frames.is_empty() {
                for unit in entry
                    .avcc_box
                    .sps_list
                    .iter()
                    .chain(&entry.avcc_box.pps_list)
                {
                    stream.extend([0, 0, 0, 1]);
                    stream.extend(unit);
                }
            }
        }
        if sample.keyframe {
            played.keyframes.push(played.frames.len());
        }
        played.seconds += f64::from(sample.duration) / f64::from(sample.track.timescale.get());
        let start = sample.data_offset as usize;
        let mut units = &file[start..start + sample.data_size];
        while let Some((length, rest)) = units.split_first_chunk() {
            let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
            units = rest;
        }
        let decoded = decoder.decode(&stream).unwrap();
        played.frames.push(to_rgb(&decoded.unwrap()));
    }
    played
}

fn position(file: &[u8], name: &[u8]) -> usize {
    file.windows(name.len()).position(|w| w == name).unwrap()
}

#[test]
fn an_mp4_plays_at_once_with_the_right_length_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("walk.mp4");
    let options = VideoOptions {
        fps: 10,
        ..Default::default()
    };
    let frames = frames(45, 256, 192);
    let written = write(&path, &options, &frames);
    assert_eq!((written.frames, written.seconds()), (45, 4.5));
    let played = play(&path);
    assert_eq!(played.size, (256, 192));
    assert!(played.index_first);
    assert!((played.seconds - 4.5).abs() < 1e-9);
    assert_eq!(played.keyframes, [0, 20, 40]);
    assert_eq!(played.frames.len(), 45);
    for (number, (decoded, frame)) in played.frames.iter().zip(&frames).enumerate() {
        let (largest, mean) = difference(decoded, &frame.to_rgb8());
        assert!(largest <= 24 && mean < 2., "{number}: {largest}, {mean}");
    }
    let first = fs::read(&path).unwrap();
    let again = write(&path, &options, &frames);
    assert_eq!(again.replaced, 1);
    assert!(first == fs::read(&path).unwrap(), "the same bytes");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn quality_decides_over_size_and_loss() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(5, 256, 256);
    for extension in ["mp4", "webp"] {
        let of = |quality| {
            let path = folder.path().join(format!("{quality}.{extension}"));
            let options = VideoOptions {
                quality: Some(quality),
                ..Default::default()
            };
            write(&path, &options, &frames);
            fs::metadata(&path).unwrap().len()
        };
        assert!(of(10) < of(60) && of(60) < of(100), "{extension}");
    }
    let loss = |quality| {
        let played = play(&folder.path().join(format!("{quality}.mp4")));
        difference(&played.frames[4], &frames[4].to_rgb8()).1
    };
    assert!(loss(100) < loss(60) && loss(60) < loss(10));
}

#[test]
fn odd_and_tiny_frames_are_made_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.mp4");
    for ((width, height), scale, size) in [
        ((4, 4), None, (256, 256)),
        ((100, 60), None, (200, 120)),
        ((33, 31), Some(1), (34, 32)),
        ((8, 8), Some(3), (24, 24)),
    ] {
        let options = VideoOptions {
            scale,
            ..Default::default()
        };
        write(&path, &options, &frames(2, width, height));
        assert_eq!(play(&path).size, size, "{width}x{height}");
    }
}

/// The frames of an animation, and its length in milliseconds.
type Animation = (Vec<RgbImage>, f64);

fn animated_webp(path: &Path) -> Animation {
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let frames = WebPDecoder::new(file).unwrap().into_frames();
    let (mut pictures, mut length) = (Vec::new(), 0.);
    for frame in frames.map(Result::unwrap) {
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        length += f64::from(numerator) / f64::from(denominator);
        pictures.push(DynamicImage::from(frame.into_buffer()).to_rgb8());
    }
    (pictures, length)
}

fn animated_gif(path: &Path) -> Animation {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(fs::File::open(path).unwrap()).unwrap();
    let (mut pictures, mut length) = (Vec::new(), 0.);
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        length += 10. * f64::from(frame.delay);
        let (width, height) = (frame.width.into(), frame.height.into());
        let pixels = RgbaImage::from_raw(width, height, frame.buffer.to_vec()).unwrap();
        pictures.push(DynamicImage::from(pixels).to_rgb8());
    }
    (pictures, length)
}

#[test]
fn animations_have_the_right_length_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(30, 256, 64);
    for extension in ["webp", "gif"] {
        let path = folder.path().join(format!("walk.{extension}"));
        write(&path, &VideoOptions::default(), &frames);
        let (decoded, length) = match extension {
            "gif" => animated_gif(&path),
            _ => animated_webp(&path),
        };
        assert_eq!(decoded.len(), 30, "{extension}");
        assert_eq!(length, 1000., "{extension}");
        for (decoded, frame) in decoded.iter().zip(&frames) {
            let (_, mean) = difference(decoded, &frame.to_rgb8());
            assert!(mean < 4., "{extension}: {mean}");
        }
    }
}

#[test]
fn a_folder_gets_numbered_frames_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames");
    assert_eq!(VideoFormat::of(&path).unwrap(), VideoFormat::Frames);
    let three = frames(3, 8, 8);
    let written = write(&path, &VideoOptions::default(), &three);
    assert_eq!((written.replaced, written.left_over), (0, 0));
    for (number, frame) in three.iter().enumerate() {
        let read = image::open(path.join(format!("frame0000{number}.png"))).unwrap();
        assert_eq!(&read, frame);
    }
    let written = write(&path, &VideoOptions::default(), &three[..2]);
    assert_eq!((written.replaced, written.left_over), (2, 1));
}

#[test]
fn wrong_names_options_and_frames_are_errors_that_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str, options: &VideoOptions| {
        let path = folder.path().join(name);
        let error = VideoWriter::create(&path, options)
            .err()
            .unwrap()
            .to_string();
        let start = format!("{}: ", path.display());
        error.strip_prefix(&start).unwrap().to_string()
    };
    let usual = VideoOptions::default();
    assert_eq!(
        error("walk.avi", &usual),
        "expected a name that ends in .mp4, .webp or .gif, or of a folder for frames"
    );
    fs::write(folder.path().join("taken"), "").unwrap();
    assert!(error("taken", &usual).starts_with("expected a name"));
    assert_eq!(
        error("missing/walk.gif", &usual),
        format!(
            "there is no folder {}; make it first",
            folder.path().join("missing").display()
        )
    );
    for (name, options, expected) in [
        (
            "walk.mp4",
            VideoOptions { fps: 0, ..usual },
            "expected 1 to 240 frames per second, found 0",
        ),
        (
            "walk.gif",
            VideoOptions { fps: 60, ..usual },
            "browsers show a GIF with at most 50 frames per second, found 60; use fewer, or .mp4 or .webp",
        ),
        (
            "walk.webp",
            VideoOptions {
                quality: Some(0),
                ..usual
            },
            "expected a quality from 1 to 100, found 0",
        ),
        (
            "frames",
            VideoOptions {
                quality: Some(90),
                ..usual
            },
            "frames in a folder lose nothing, found a quality of 90; leave it out",
        ),
        (
            "walk.mp4",
            VideoOptions {
                scale: Some(65),
                ..usual
            },
            "expected a scale from 1 to 64, found 65",
        ),
    ] {
        assert_eq!(error(name, &options), expected);
    }

    let path = folder.path().join("walk.mp4");
    let mut video = VideoWriter::create(&path, &usual).unwrap();
    video.add(&frame(0, 32, 32)).unwrap();
    let message = video.add(&frame(0, 16, 32)).unwrap_err().to_string();
    let expected = "walk.mp4: frame 1: expected 32x32 pixels like the first, found 16x32";
    assert!(message.ends_with(expected), "{message}");
    drop(video);
    assert!(!path.exists(), "an unfinished video is no file");

    let mut video = VideoWriter::create(&path, &usual).unwrap();
    let message = video.add(&frame(0, 4000, 16)).unwrap_err().to_string();
    let expected = "frame 0: an MP4 has room for 16x16 to 3840x2160 pixels, found 4000x16";
    assert!(message.ends_with(expected), "{message}");
    let video = VideoWriter::create(&path, &usual).unwrap();
    assert!(matches!(video.finish(), Err(VideoError::Empty { .. })));
}
