//! What all commands that make pictures share: latents from files, formats and batches.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use stylegan_checkpoint::arrays;
use stylegan_mapping::latents;

use crate::common::{succeed, text};

/// A published network of 16x16 pixels: z and w of 16 values, 6 layers.
fn ada() -> PathBuf {
    stylegan_goldens::folder("checkpoints").join("ada.pkl")
}

/// `generate` with more arguments; the content of the files that it printed.
fn generate(outdir: &Path, more: &str) -> Vec<Vec<u8>> {
    let network = ada();
    let start = [
        "generate",
        "--network",
        text(&network),
        "--outdir",
        text(outdir),
    ];
    let more: Vec<&str> = more.split_whitespace().collect();
    let run = succeed(&[&start[..], &more].concat());
    let printed = String::from_utf8(run.stdout).unwrap();
    printed
        .lines()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

fn write(path: &Path, name: &str, values: &Tensor) -> String {
    arrays::write(path, &[(name, values)]).unwrap();
    text(path).to_string()
}

#[test]
fn latents_from_files_make_the_pictures_of_their_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let saved = folder.path().join("w.npz");
    let save = format!("--seeds 3,5 --trunc 0.7 --save-w {}", text(&saved));
    let mut expected = generate(&out, &save);
    let written = expected.pop().unwrap();
    assert!(written == fs::read(&saved).unwrap());
    let [array] = &arrays::read(&saved).unwrap()[..] else {
        panic!("one array")
    };
    assert_eq!(
        (&array.name[..], array.values.dims()),
        ("w", &[2, 6, 16][..])
    );

    // Saved ws, as they are.
    let latents = format!("--latents {}", text(&saved));
    assert!(generate(&out, &latents) == expected);
    let projected = format!("--projected-w {}", text(&saved));
    assert!(generate(&out, &projected) == expected);
    // z, which are truncated.
    let z = latents::from_seeds(&[3, 5], 16, &Device::Cpu).unwrap();
    for name in ["z.npz", "z.safetensors"] {
        let path = write(&folder.path().join(name), "z", &z);
        assert!(generate(&out, &format!("--latents {path} --trunc 0.7")) == expected);
    }
    let path = write(&folder.path().join("z.npy"), "", &z);
    let asked = format!("--latents {path} --latents-space z --trunc 0.7");
    assert!(generate(&out, &asked) == expected);
    // One w for all layers; several files.
    let w = array.values.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    let first = write(&folder.path().join("w0.npy"), "", &w.get(0).unwrap());
    let second = write(&folder.path().join("w1.npy"), "", &w.get(1).unwrap());
    let asked = format!("--latents {first} {second} --latents-space w");
    assert!(generate(&out, &asked) == expected);
    assert!(out.join("latent0001.png").exists());
}

#[test]
fn pictures_do_not_depend_on_the_batch_or_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    for noise in ["const", "random"] {
        let of = |more: &str| {
            let out = folder.path().join(format!("{noise}{more}"));
            let seeds = format!("--seeds 0-6 --noise-mode {noise} {more}");
            generate(&out, &seeds)
        };
        let one = of("--batch 1 --threads 1");
        assert!(one[0] != one[1]);
        for more in [
            "",
            "--batch 2",
            "--batch 7 --threads 2",
            "--batch 100 --threads 3",
        ] {
            assert!(of(more) == one, "{noise} {more}");
        }
    }
}

#[test]
fn every_format_has_its_name_and_the_same_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (format, name) in [
        ("png", "seed0004.png"),
        ("webp", "seed0004.webp"),
        ("jpeg", "seed0004.jpg"),
        ("jpg", "seed0004.jpg"),
    ] {
        generate(&out, &format!("--seeds 4 --format {format}"));
        assert!(out.join(name).exists(), "{format}");
    }
    let read = |name: &str| image::open(out.join(name)).unwrap().to_rgb8();
    assert_eq!(read("seed0004.png"), read("seed0004.webp"));
    let loss = read("seed0004.png");
    let loss = loss
        .iter()
        .zip(read("seed0004.jpg").iter())
        .map(|(a, b)| a.abs_diff(*b))
        .max();
    assert!(loss < Some(60), "{loss:?}");
}

/// The conversion of the public tools: `(x * 127.5 + 128).clamp(0, 255)`, cut off.
fn public_levels(image: &Tensor) -> Vec<u8> {
    let values = image.permute((1, 2, 0)).unwrap().flatten_all().unwrap();
    let values = values.to_vec1::<f32>().unwrap().into_iter();
    values
        .map(|x| (x * 127.5 + 128.).clamp(0., 255.) as u8)
        .collect()
}

/// What the public tools compute with a network of a folder of goldens.
fn expected(folder: &str, name: &str) -> std::collections::HashMap<String, Tensor> {
    let path = stylegan_goldens::folder(folder).join(format!("{name}_expected.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// Makes pictures, and compares them with images `[N, C, R, R]` of the public tools.
fn assert_public(network: &Path, options: &str, images: &Tensor) {
    let folder = tempfile::tempdir().unwrap();
    let start = ["generate", "--network", text(network), "--outdir"];
    let start = [&start[..], &[text(folder.path())]].concat();
    let options: Vec<&str> = options.split_whitespace().collect();
    let run = succeed(&[&start[..], &options].concat());
    let printed = String::from_utf8(run.stdout).unwrap();
    let name = network.display();
    assert_eq!(printed.lines().count(), images.dim(0).unwrap(), "{name}");
    for (number, path) in printed.lines().enumerate() {
        let picture = image::open(path).unwrap().to_rgb8();
        let expected = public_levels(&images.get(number).unwrap());
        let differences = picture.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.max() <= Some(1), "{name} {options:?} {number}");
    }
}

#[test]
fn pictures_of_a_seed_are_those_of_the_public_tools_to_within_a_level() {
    for (file, name, image, options) in [
        ("ada.pkl", "ada", "img_psi07_const", "--trunc 0.7"),
        ("ada.pkl", "ada", "img_none", "--noise-mode none"),
        ("sg3.pkl", "sg3", "img_psi07_const", "--trunc 0.7"),
        ("sg3.pkl", "sg3", "img_none", "--noise-mode none"),
        (
            "rosinality_converted.pt",
            "rosinality",
            "img_psi07_const",
            "--trunc 0.7",
        ),
        ("rosinality_old_format.pt", "rosinality", "img_const", ""),
        // It keeps no average to truncate to.
        ("rosinality_train.pt", "rosinality", "img_const", ""),
    ] {
        let network = stylegan_goldens::folder("checkpoints").join(file);
        let options = format!("--seeds 0,1 {options}");
        assert_public(&network, &options, &expected("checkpoints", name)[image]);
    }
    // Seed 0 is of class 0, seed 1 of class 1.
    for name in ["ada_cond", "sg3_cond"] {
        let network = stylegan_goldens::folder("checkpoints").join(format!("{name}.pkl"));
        let images = &expected("checkpoints", name)["img_psi07_const"];
        for number in 0..2 {
            let options = format!("--seeds {number} --class {number} --trunc 0.7");
            assert_public(&network, &options, &images.narrow(0, number, 1).unwrap());
        }
    }
}

#[test]
fn pictures_of_tensorflow_networks_are_those_of_their_tools_to_within_a_level() {
    let folder = tempfile::tempdir().unwrap();
    for (name, image, options) in [
        ("progan_tf", "image", ""),
        ("stylegan1_tf", "image", "--trunc 1"),
        ("stylegan1_tf", "image_psi07_cutoff8", ""),
        (
            "stylegan1_tf",
            "image_psi07_cutoff4",
            "--trunc 0.7 --trunc-cutoff 4",
        ),
        ("stylegan2_tf", "image_psi05", "--trunc 0.5"),
        (
            "stylegan2_tf",
            "image_psi07_cutoff4",
            "--trunc 0.7 --trunc-cutoff 4",
        ),
    ] {
        let network = stylegan_goldens::folder("stylegan1/pkl").join(format!("{name}.pkl"));
        let expected = expected("stylegan1/pkl", name);
        // Their latents are not those of seeds.
        let z = write(&folder.path().join("z.npz"), "z", &expected["z"]);
        let options = format!("--latents {z} {options}");
        assert_public(&network, &options, &expected[image]);
    }
}
