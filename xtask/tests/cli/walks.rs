//! `interpolate`, `truncation` and `latent-grid`: what they write.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use stylegan_checkpoint::arrays;

use crate::common::{self, Run, lines, text, words};

/// Published networks of 16x16 pixels; z and w have 16 values, there are 6 layers.
fn network(name: &str) -> PathBuf {
    stylegan_goldens::folder("checkpoints").join(name)
}

fn arguments<'a>(command: &'a str, network: &'a Path, more: &'a str) -> Vec<&'a str> {
    let start = [command, "--network", text(network)];
    [&start[..], &more.split_whitespace().collect::<Vec<_>>()].concat()
}

fn succeed(command: &str, name: &str, more: &str) -> Run {
    let network = network(name);
    common::succeed(&arguments(command, &network, more))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|e| name(e).into_string().unwrap()).collect()
}

fn open(path: PathBuf) -> RgbImage {
    image::open(path).unwrap().to_rgb8()
}

/// The frames of an `interpolate` that writes a folder.
fn frames(folder: &Path, name: &str, more: &str) -> Vec<RgbImage> {
    let out = folder.join("frames");
    let _ = fs::remove_dir_all(&out);
    succeed("interpolate", name, &format!("{more} --out {}", text(&out)));
    let frames = names(&out);
    frames.iter().map(|name| open(out.join(name))).collect()
}

/// The pictures that `generate` makes.
fn pictures(folder: &Path, name: &str, more: &str) -> Vec<RgbImage> {
    let out = folder.join("pictures");
    let run = succeed("generate", name, &format!("{more} --outdir {}", text(&out)));
    let printed = String::from_utf8(run.stdout).unwrap();
    let pictures = printed.lines().filter(|path| path.ends_with(".png"));
    pictures.map(|path| open(path.into())).collect()
}

/// The mean difference of levels.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: f64 = a
        .iter()
        .zip(b.iter())
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum();
    sum / a.len() as f64
}

#[test]
fn a_walk_leads_through_the_pictures_given() {
    let folder = tempfile::tempdir().unwrap();
    for options in ["", "--trunc 0.6 --trunc-cutoff 4", "--noise-mode random"] {
        let keyframes = pictures(
            folder.path(),
            "ada.pkl",
            &format!("--seeds 3,8,9 {options}"),
        );
        for way in [
            "",
            "--space w",
            "--interpolation cubic",
            "--space w --interpolation cubic",
        ] {
            let walk = format!("--seeds 3,8,9 --frames 4 {options} {way}");
            let frames = frames(folder.path(), "ada.pkl", &walk);
            assert_eq!(frames.len(), 9, "{walk}");
            assert_eq!(frames[0], keyframes[0], "{walk}");
            if !options.contains("random") {
                // The noise is that of the first.
                assert_eq!(frames[4], keyframes[1], "{walk}");
                assert_eq!(frames[8], keyframes[2], "{walk}");
            }
            let steps = frames.windows(2).map(|pair| difference(&pair[0], &pair[1]));
            assert!(steps.clone().all(|step| step > 0.), "{walk}");
            let far = difference(&frames[0], &frames[4]);
            assert!(steps.take(4).all(|step| step < far), "{walk}");
        }
    }
}

#[test]
fn a_loop_closes_where_it_began() {
    let folder = tempfile::tempdir().unwrap();
    for way in ["linear", "cubic"] {
        let once = format!("--seeds 3,8,9 --frames 5 --loop --interpolation {way}");
        let once = frames(folder.path(), "ada.pkl", &once);
        assert_eq!(once.len(), 15);
        // The step from the last frame to the first is one like the others.
        let step = |i: usize| difference(&once[i], &once[(i + 1) % 15]);
        let longest = (0..14).map(step).fold(0., f64::max);
        assert!(step(14) > 0. && step(14) <= 1.5 * longest, "{way}");
    }
}

#[test]
fn frames_do_not_depend_on_batches_or_threads() {
    let folder = tempfile::tempdir().unwrap();
    let of = |more: &str| {
        let walks = "--seeds 1-8 --grid 2x2 --frames 3 --noise-mode random --trunc 0.7";
        frames(folder.path(), "ada.pkl", &format!("{walks} {more}"))
    };
    let one = of("--batch 1 --threads 1");
    assert_eq!(one.len(), 4);
    for more in ["", "--batch 3 --threads 2", "--batch 64 --threads 3"] {
        assert!(of(more) == one, "{more}");
    }
}

#[test]
fn several_walks_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let both = frames(
        folder.path(),
        "ada.pkl",
        "--seeds 1,2,3,4 --grid 2x1 --frames 3",
    );
    assert_eq!(both[0].dimensions(), (32, 16));
    for (left, seeds) in [(0, "1,2"), (16, "3,4")] {
        let alone = format!("--seeds {seeds} --frames 3");
        let alone = frames(folder.path(), "ada.pkl", &alone);
        for (both, alone) in both.iter().zip(&alone) {
            let half = image::imageops::crop_imm(both, left, 0, 16, 16).to_image();
            assert_eq!(&half, alone);
        }
    }
}

#[test]
fn saved_latents_and_classes_are_walked_too() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("w.npz");
    let saved = text(&saved);
    let keyframes = pictures(
        folder.path(),
        "ada_cond.pkl",
        &format!("--seeds 1,2 --class 3 --trunc 0.8 --save-w {saved}"),
    );
    let frames_of = |more: &str| frames(folder.path(), "ada_cond.pkl", more);
    let walk = frames_of(&format!("--latents {saved} --frames 2"));
    assert_eq!([&walk[0], &walk[2]], [&keyframes[0], &keyframes[1]]);
    let classes = |class: &str| {
        let pictures = format!("--seeds 1 --class {class}");
        pictures_of(folder.path(), &pictures)
    };
    for space in ["z", "w"] {
        let walk = format!("--seeds 1,1 --classes 0,2 --frames 2 --space {space}");
        let walk = frames_of(&walk);
        assert_eq!([&walk[0], &walk[2]], [&classes("0"), &classes("2")]);
        assert!(walk[1] != walk[0] && walk[1] != walk[2]);
    }
}

fn pictures_of(folder: &Path, more: &str) -> RgbImage {
    pictures(folder, "ada_cond.pkl", more).remove(0)
}

#[test]
fn the_name_decides_what_a_video_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, start) in [
        ("walk.mp4", &b"\0\0\0"[..]),
        ("walk.webp", b"RIFF"),
        ("walk.gif", b"GIF89a"),
    ] {
        let path = folder.path().join(name);
        let more = format!("--seeds 1,2 --frames 3 --fps 10 --out {}", text(&path));
        let run = succeed("interpolate", "ada.pkl", &more);
        assert_eq!(String::from_utf8(run.stdout).unwrap().trim(), text(&path));
        let first = fs::read(&path).unwrap();
        assert!(first.starts_with(start), "{name}");
        let again = succeed("interpolate", "ada.pkl", &more);
        let note = "note: replaced the file that was there before";
        assert_eq!(lines(&again), [note]);
        assert!(first == fs::read(&path).unwrap(), "{name}");
    }
    let frames = folder.path().join("frames");
    let out = |seeds: &str| format!("--seeds {seeds} --frames 1 --out {}", text(&frames));
    assert!(lines(&succeed("interpolate", "ada.pkl", &out("1-4"))).is_empty());
    assert_eq!(
        lines(&succeed("interpolate", "ada.pkl", &out("1,2"))),
        [
            "note: replaced 2 pictures that were there before",
            "note: 2 frames after these are of a longer video that was there before"
        ]
    );
}

#[test]
fn truncation_goes_from_the_opposite_to_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("strip");
    let strip = format!("--seeds 3,8 --psi -1:1.5:6 --outdir {}", text(&out));
    succeed("truncation", "ada.pkl", &strip);
    let psis = ["-1", "-0.5", "0", "0.5", "1", "1.5"];
    let mut expected = BTreeSet::from(["truncation.png".to_string()]);
    for seed in [3, 8] {
        expected.extend(psis.map(|psi| format!("seed000{seed}-psi{psi}.png")));
    }
    assert_eq!(names(&out), expected);
    let strip = open(out.join("truncation.png"));
    assert_eq!(strip.dimensions(), (6 * 16, 2 * 16));
    for (column, psi) in psis.into_iter().enumerate() {
        let same = pictures(
            folder.path(),
            "ada.pkl",
            &format!("--seeds 3,8 --trunc {psi}"),
        );
        for (row, (seed, picture)) in [3, 8].into_iter().zip(&same).enumerate() {
            let single = open(out.join(format!("seed000{seed}-psi{psi}.png")));
            assert_eq!(&single, picture, "{psi}");
            let (left, top) = (16 * column as u32, 16 * row as u32);
            let cell = image::imageops::crop_imm(&strip, left, top, 16, 16).to_image();
            assert_eq!(&cell, picture, "{psi}");
        }
        if psi == "0" {
            assert_eq!(same[0], same[1], "the average picture");
        }
    }

    // Only some layers; ws of a file, which keep what they have where psi is 1.
    let saved = folder.path().join("w.npz");
    let more = format!("--seeds 3 --save-w {}", text(&saved));
    let original = pictures(folder.path(), "ada.pkl", &more).remove(0);
    let of_file = format!(
        "--latents {} --psi 0.5,1 --trunc-cutoff 2 --format webp --outdir {}",
        text(&saved),
        text(&out)
    );
    succeed("truncation", "ada.pkl", &of_file);
    assert_eq!(open(out.join("latent0000-psi1.webp")), original);
    let cutoff = pictures(
        folder.path(),
        "ada.pkl",
        "--seeds 3 --trunc 0.5 --trunc-cutoff 2",
    );
    assert_eq!(open(out.join("latent0000-psi0.5.webp")), cutoff[0]);
}

#[test]
fn a_latent_grid_has_its_pictures_in_the_corners_or_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("grid");
    let corners = pictures(folder.path(), "ada.pkl", "--seeds 1-4 --trunc 0.8");
    for space in ["w", "z"] {
        let more = format!(
            "--seeds 1-4 --trunc 0.8 --space {space} --grid 4x3 --outdir {}",
            text(&out)
        );
        succeed("latent-grid", "ada.pkl", &more);
        assert_eq!(names(&out).len(), 4 * 3 + 1);
        assert_eq!(open(out.join("grid.png")).dimensions(), (64, 48));
        for (name, corner) in ["0-0", "0-3", "2-0", "2-3"].iter().zip(&corners) {
            assert_eq!(&open(out.join(format!("{name}.png"))), corner, "{space}");
        }
        let inside = open(out.join("1-1.png"));
        assert!(corners.iter().all(|corner| *corner != inside));
    }

    let saved = folder.path().join("w.npz");
    let more = format!(
        "--seeds 1-3 --grid 3x3 --save-w {} --outdir {}",
        text(&saved),
        text(&out)
    );
    succeed("latent-grid", "ada.pkl", &more);
    let whole = pictures(folder.path(), "ada.pkl", "--seeds 1-3");
    for (name, picture) in ["1-1", "1-2", "2-1"].iter().zip(&whole) {
        let found = open(out.join(format!("{name}.png")));
        // w1 + (w2 - w1) is w2 but for rounding.
        assert!(difference(&found, picture) < 0.1, "{name}");
    }
    let ws = arrays::read(&saved).unwrap();
    assert_eq!(ws[0].values.dims(), [9, 6, 16]);
}

#[test]
fn a_latent_grid_of_two_directions_crosses_their_strips() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_string();
    let (pca, out, saved) = (path("pca.safetensors"), path("out"), path("w.npz"));
    let edit = |more: &str| {
        let network = network("ada.pkl");
        let line = format!("edit {more} --network {}", text(&network));
        common::succeed(&words(&line).collect::<Vec<_>>());
    };
    edit(&format!(
        "pca --count 3 --samples 200 --layers 0-3 --out {pca}"
    ));
    let start = format!("--seeds 3 --trunc 0.8 --directions {pca}");
    // A cell of a strip of one row.
    let strip = |direction: &str, more: &str, column: u32| {
        let strips = path("strips");
        edit(&format!(
            "apply {start} --only {direction} {more} --outdir {strips}"
        ));
        let strip = open(Path::new(&strips).join(format!("{direction}.png")));
        image::imageops::crop_imm(&strip, 16 * column, 0, 16, 16).to_image()
    };
    let cell = |row: u32, column: u32| open(Path::new(&out).join(format!("{row}-{column}.png")));

    // Without more, the first two directions, from -3 to 3, and the picture in the middle.
    let usual = format!("{start} --grid 3x3 --outdir {out}");
    succeed("latent-grid", "ada.pkl", &usual);
    let plain = pictures(folder.path(), "ada.pkl", "--seeds 3 --trunc 0.8").remove(0);
    assert_eq!(cell(1, 1), plain);
    for (column, place) in [(0, 0), (1, 2)] {
        let strip = |direction| strip(direction, "--strengths -3,3", column);
        assert_eq!(cell(1, place), strip("pca0"), "{place}");
        assert_eq!(cell(place, 1), strip("pca1"), "{place}");
    }

    // Chosen ones, in other layers.
    let chosen = format!(
        "{start} --only pca2,pca0 --unit length --layers coarse --x -2:2 --y 0:1 --grid 5x2 \
         --outdir {out} --save-w {saved}"
    );
    succeed("latent-grid", "ada.pkl", &chosen);
    assert_eq!(
        open(Path::new(&out).join("grid.png")).dimensions(),
        (5 * 16, 2 * 16)
    );
    for column in 0..5 {
        let more = "--unit length --layers coarse --strengths -2:2:5";
        assert_eq!(cell(0, column), strip("pca2", more, column), "{column}");
    }
    // A step down is the same in every column.
    let ws = arrays::read(Path::new(&saved)).unwrap().remove(0).values;
    let down = |column: usize| (ws.get(5 + column).unwrap() - ws.get(column).unwrap()).unwrap();
    for column in 0..5 {
        let difference = (down(column) - down(2)).unwrap().abs().unwrap();
        assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-5);
        let length = down(column)
            .get(0)
            .unwrap()
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap();
        assert!((length.to_scalar::<f32>().unwrap() - 1.).abs() < 1e-4);
    }
}
