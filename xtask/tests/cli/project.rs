//! `project`: the files that it writes, that they are the same for any number of threads, and what other commands make of
//! them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::{ParamStore, arrays};
use stylegan_lpips::{Lpips, Vgg16Config};

use crate::common::{Run, fail, lines, snapshot, succeed, text, train_progan, train_tiny, words};

/// A published network of 16x16 pixels with its discriminator: w of 16 values, 6 layers.
fn ada() -> PathBuf {
    stylegan_goldens::folder("checkpoints").join("ada.pkl")
}

/// The picture of a seed, as a file.
fn picture(network: &Path, seed: &str, folder: &Path) -> PathBuf {
    let arguments = ["generate", "--network", text(network), "--seeds", seed];
    let run = succeed(&[&arguments[..], &["--outdir", text(folder)]].concat());
    PathBuf::from(String::from_utf8(run.stdout).unwrap().trim())
}

/// `project` with more arguments.
fn arguments<'a>(
    network: &'a Path,
    target: &'a Path,
    outdir: &'a Path,
    more: &'a str,
) -> Vec<&'a str> {
    let start = ["project", "--network", text(network)];
    let target = ["--target", text(target), "--outdir", text(outdir)];
    let more = more.split_whitespace();
    start.into_iter().chain(target).chain(more).collect()
}

/// The content of all files of a folder, by their names.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// The `D` of a last line `...: distance D after ...`.
fn distance(run: &Run) -> f64 {
    let lines = lines(run);
    let line = lines.iter().find(|line| line.contains(": distance "));
    let line = line.unwrap_or_else(|| panic!("no distance: {lines:?}"));
    let (_, rest) = line.split_once(": distance ").unwrap();
    rest.split_once(" after ").unwrap().0.parse().unwrap()
}

#[test]
fn a_projection_writes_latents_maps_pictures_and_a_video() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let out = folder.path().join("out");
    let start = succeed(&arguments(&network, &target, &out, "--num-steps 1"));
    let run = succeed(&arguments(&network, &target, &out, "--num-steps 100"));
    assert!(distance(&run) < 0.5 * distance(&start), "{:?}", lines(&run));

    let written = files(&out);
    let names: Vec<&str> = written.keys().map(String::as_str).collect();
    let expected = [
        "comparison.png",
        "proj.mp4",
        "proj.png",
        "projected.safetensors",
        "projected_w.npz",
        "target.png",
    ];
    assert_eq!(names, expected);
    let printed = String::from_utf8(run.stdout.clone()).unwrap();
    assert_eq!(printed.lines().count(), expected.len());
    assert!(printed.lines().all(|path| Path::new(path).is_file()));
    let note = "note: replaced the projection that was in ";
    assert!(lines(&run)[0].starts_with(note), "{:?}", lines(&run));
    let last = lines(&run);
    let last = last.iter().find(|line| line.contains("distance")).unwrap();
    let end = " of 255 levels apart (rms)";
    assert!(last.starts_with("seed0003.png: distance ") && last.ends_with(end));
    assert!(last.contains(" after 100 steps, "), "{last}");

    let pixels = |name: &str| image::open(out.join(name)).unwrap().into_rgb8();
    assert_eq!(
        pixels("target.png"),
        image::open(&target).unwrap().into_rgb8()
    );
    let comparison = pixels("comparison.png");
    assert_eq!(comparison.dimensions(), (32, 16));
    for (name, left) in [("target.png", 0), ("proj.png", 16)] {
        let half = image::imageops::crop_imm(&comparison, left, 0, 16, 16);
        assert_eq!(half.to_image(), pixels(name), "{name}");
    }

    let of_npz = arrays::read(&out.join("projected_w.npz")).unwrap();
    assert_eq!(
        (&of_npz[0].name[..], of_npz[0].values.dims()),
        ("w", &[1, 6, 16][..])
    );
    let all = arrays::read(&out.join("projected.safetensors")).unwrap();
    let shapes: Vec<(&str, &[usize])> = all
        .iter()
        .map(|array| (&array.name[..], array.values.dims()))
        .collect();
    let expected: [(&str, &[usize]); 6] = [
        ("noise.b16.conv0", &[16, 16]),
        ("noise.b16.conv1", &[16, 16]),
        ("noise.b4.conv1", &[4, 4]),
        ("noise.b8.conv0", &[8, 8]),
        ("noise.b8.conv1", &[8, 8]),
        ("w", &[1, 6, 16]),
    ];
    assert_eq!(shapes, expected);
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&all[5].values), values(&of_npz[0].values));
}

#[test]
fn what_was_found_with_the_networks_own_noise_is_what_generate_makes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let out = folder.path().join("out");
    let more = "--num-steps 5 --space w+ --noise-mode const --save-video false --format webp";
    succeed(&arguments(&network, &target, &out, more));
    let names: Vec<String> = files(&out).into_keys().collect();
    let expected = [
        "comparison.webp",
        "proj.webp",
        "projected.safetensors",
        "projected_w.npz",
        "target.webp",
    ];
    assert_eq!(names, expected);
    let proj = image::open(out.join("proj.webp")).unwrap().into_rgb8();
    for file in ["projected_w.npz", "projected.safetensors"] {
        let again = folder.path().join("again");
        let latents = out.join(file);
        let generate = [
            "generate",
            "--network",
            text(&network),
            "--latents",
            text(&latents),
        ];
        succeed(&[&generate[..], &["--outdir", text(&again)]].concat());
        let again = image::open(again.join("latent0000.png")).unwrap();
        assert_eq!(again.into_rgb8(), proj, "{file}");
    }
    // A w for every layer.
    let w = &arrays::read(&out.join("projected_w.npz")).unwrap()[0].values;
    let layer = |k: usize| w.narrow(1, k, 1).unwrap().flatten_all().unwrap();
    let (first, last) = (layer(0), layer(5));
    assert_ne!(
        first.to_vec1::<f32>().unwrap(),
        last.to_vec1::<f32>().unwrap()
    );
}

/// Runs a command line.
fn run(line: &str) -> Run {
    succeed(&words(line).collect::<Vec<_>>())
}

fn open(path: &Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

/// The largest difference of two pictures in levels.
fn levels_apart(a: &RgbImage, b: &RgbImage) -> u8 {
    let differences = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b));
    differences.max().unwrap()
}

/// What `generate` makes of a projection's file, with more options.
fn made_again(network: &Path, out: &Path, more: &str) -> RgbImage {
    let (again, latents) = (out.join("again"), out.join("projected.safetensors"));
    let [network, latents, outdir] = [network, &latents, &again].map(text);
    run(&format!(
        "generate --network {network} --latents {latents} --outdir {outdir} {more}"
    ));
    open(&again.join("latent0000.png"))
}

/// A projection's file makes its picture to within a level.
fn assert_made_again(network: &Path, out: &Path) {
    let proj = open(&out.join("proj.png"));
    let found = levels_apart(&made_again(network, out, ""), &proj);
    assert!(found <= 1, "{found} levels");
}

#[test]
fn a_latent_is_kept_with_the_noise_that_its_picture_was_found_with() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let out = folder.path().join("out");
    for noise in ["optimize", "none", "const"] {
        let more = format!("--num-steps 5 --save-video false --noise-mode {noise}");
        succeed(&arguments(&network, &target, &out, &more));
        assert_made_again(&network, &out);
        // Whoever asks for other noise gets it.
        let proj = open(&out.join("proj.png"));
        for other in ["const", "none", "random"] {
            let made = made_again(&network, &out, &format!("--noise-mode {other}"));
            let is_same = levels_apart(&made, &proj) <= 1;
            assert_eq!(is_same, other == noise, "{noise} {other}");
        }
    }
}

#[test]
fn every_command_makes_pictures_with_the_noise_maps_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let out = folder.path().join("out");
    let more = "--num-steps 5 --save-video false";
    succeed(&arguments(&network, &target, &out, more));
    let proj = open(&out.join("proj.png"));
    let path = |name: &str| text(&out.join(name)).to_string();
    let (latents, sefa) = (path("projected.safetensors"), path("sefa.safetensors"));
    let (made, network) = (path("made"), text(&network));
    run(&format!(
        "edit factorize --network {network} --samples 100 --out {sefa}"
    ));
    // A command, and where it shows the picture as it is: in which file, how far from the left.
    let directions = format!("--latents {latents} --directions {sefa}");
    for (command, file, left) in [
        (
            format!("truncation --latents {latents} --psi 0,1 --outdir"),
            "latent0000-psi1.png",
            0,
        ),
        (
            format!("style-mixing --rows {latents} --cols 1 --outdir"),
            "row0-row0.png",
            0,
        ),
        (
            format!("latent-grid {directions} --grid 3x1 --y 0:0 --outdir"),
            "0-1.png",
            0,
        ),
        (
            format!("edit apply {directions} --only sefa0 --strengths 1,0 --outdir"),
            "sefa0.png",
            16,
        ),
        // All frames of a walk have the noise of the first picture.
        (
            format!("interpolate --latents {latents} {latents} --frames 1 --out"),
            "frame00001.png",
            0,
        ),
    ] {
        run(&format!("{command} {made} --network {network}"));
        let shown = open(&Path::new(&made).join(file));
        let shown = image::imageops::crop_imm(&shown, left, 0, 16, 16).to_image();
        assert!(levels_apart(&shown, &proj) <= 1, "{command}");
    }
}

#[test]
fn the_files_are_the_same_for_any_number_of_threads_and_differ_between_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let project = |more: &str| {
        let out = folder.path().join("out");
        let steps = format!("--num-steps 4 {more}");
        succeed(&arguments(&network, &target, &out, &steps));
        files(&out)
    };
    let one = project("--threads 1");
    for threads in ["2", "3"] {
        assert!(project(&format!("--threads {threads}")) == one, "{threads}");
    }
    assert!(project("--seed 304")["projected_w.npz"] != one["projected_w.npz"]);
}

#[test]
fn several_targets_have_a_folder_each() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let targets = ["3", "4"].map(|seed| picture(&network, seed, folder.path()));
    let out = folder.path().join("out");
    let mut all = arguments(&network, &targets[0], &out, "--num-steps 2 --save-video=0");
    let first = all.iter().position(|&a| a == text(&targets[0])).unwrap();
    all.insert(first + 1, text(&targets[1]));
    let run = succeed(&all);
    let results = lines(&run);
    for (number, seed) in ["seed0003", "seed0004"].into_iter().enumerate() {
        assert!(results[number].starts_with(&format!("{seed}.png: distance ")));
        assert_eq!(files(&out.join(seed)).len(), 5);
        let target = image::open(out.join(seed).join("target.png")).unwrap();
        assert_eq!(target, image::open(&targets[number]).unwrap());
    }
}

/// Weights of VGG16 that were never trained.
fn vgg16(folder: &Path) -> PathBuf {
    let config = Vgg16Config::default();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let params = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        Lpips::new(&config, vb)
    });
    let tensors: HashMap<String, Tensor> = params.unwrap().to_tensors().into_iter().collect();
    let path = folder.join("vgg16.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    path
}

#[test]
fn pictures_can_be_compared_by_lpips_by_features_or_by_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let weights = vgg16(folder.path());
    let lpips = format!("--lpips {}", text(&weights));
    let mut found = Vec::new();
    for more in [&lpips[..], "--distance features", "--distance pixels", ""] {
        let out = folder.path().join("out");
        let steps = format!("--num-steps 10 --save-video false {more}");
        let run = succeed(&arguments(&network, &target, &out, &steps));
        let notes = lines(&run);
        let has_note = notes.iter().any(|line| line.contains("no linear heads"));
        assert_eq!(has_note, more.starts_with("--lpips"), "{notes:?}");
        found.push(files(&out)["projected_w.npz"].clone());
    }
    // The file has a discriminator, so that its features are the default.
    assert!(found[1] == found[3]);
    assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);

    let alone = folder.path().join("alone.safetensors");
    succeed(&["convert", text(&network), text(&alone), "--only", "g_ema"]);
    let out = folder.path().join("alone");
    let run = succeed(&arguments(
        &alone,
        &target,
        &out,
        "--num-steps 10 --save-video false",
    ));
    let note =
        "note: there is no discriminator in the file: pictures are compared by their pixels alone";
    assert_eq!(lines(&run)[0], note);
    assert!(files(&out)["projected_w.npz"] == found[2]);
    let refused = fail(&arguments(&alone, &target, &out, "--distance features"));
    assert_eq!(
        lines(&refused)[0],
        "error: --distance features: there is no discriminator in the file; use --distance pixels, or lpips"
    );
}

#[test]
fn the_first_generation_is_projected_and_what_it_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let train = |cfg: &str| {
        snapshot(&train_tiny(
            folder.path(),
            &["--cfg", cfg, "--kimg", "0.008"],
        ))
    };
    let out = folder.path().join("out");
    let stylegan = train("stylegan1");
    let target = picture(&stylegan, "3", folder.path());
    succeed(&arguments(&stylegan, &target, &out, "--num-steps 2"));
    assert_made_again(&stylegan, &out);
    // Of a network that is still growing, only the maps of active layers are kept.
    let young = [
        "--cfg",
        "stylegan1",
        "--kimg",
        "0.008",
        "--resolution",
        "16",
    ];
    let young = snapshot(&train_tiny(folder.path(), &young));
    let growing = folder.path().join("growing");
    succeed(&arguments(&young, &target, &growing, "--num-steps 2"));
    assert_made_again(&young, &growing);
    let weights = vgg16(folder.path());
    let lpips = format!("--lpips {}", text(&weights));
    let run = fail(&arguments(&stylegan, &target, &out, &lpips));
    let expected =
        "error: --lpips: VGG16 takes pictures from 16x16 on, those of the network are 8x8";
    assert_eq!(lines(&run).pop().unwrap(), expected);

    let progan = train_progan(folder.path());
    let out = folder.path().join("progan");
    succeed(&arguments(&progan, &target, &out, "--num-steps 2"));
    assert_made_again(&progan, &out);
    let arrays = arrays::read(&out.join("projected.safetensors")).unwrap();
    assert_eq!(arrays.len(), 1, "there are no noise maps");
    let no_noise = "the layers of the network have no noise; leave the option out";
    let cases = [
        (
            "--space w+",
            "error: --space w+: the network has one w for all layers; leave the option out"
                .to_string(),
        ),
        (
            "--noise-mode optimize",
            format!("error: --noise-mode optimize: {no_noise}"),
        ),
        (
            "--noise-weight 7",
            format!("error: --noise-weight 7: {no_noise}"),
        ),
    ];
    for (more, expected) in cases {
        let run = fail(&arguments(&progan, &target, &out, more));
        assert_eq!(lines(&run).pop().unwrap(), expected);
    }
}

/// Ctrl-C is a signal on Unix; on Windows a console event, which can't be sent to one process.
#[cfg(unix)]
#[test]
fn an_interrupt_writes_what_was_found_so_far() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let target = picture(&network, "3", folder.path());
    let out = folder.path().join("out");
    let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments(&network, &target, &out, "--num-steps 1000000"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The folder is made when the search begins.
    let begun = Instant::now();
    while !out.exists() {
        assert!(begun.elapsed() < Duration::from_secs(300), "no search");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let log = lines(&output);
    assert!(output.status.success(), "{log:?}");
    let expected =
        "stopping: writing what was found so far; Ctrl-C again ends at once, without writing";
    assert_eq!(log[0], expected);
    assert!(log[1].contains(" of 1000000 steps, "), "{log:?}");
    assert_eq!(files(&out).len(), 6);
}
