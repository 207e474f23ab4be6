//! `train --resume FILE`: new trainings of networks that other tools have trained.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{fail, lines, sample, snapshot, text, xtask};

/// A training of a few steps, on pictures that are built in.
fn train(outdir: &Path, network: &Path, more: &[&str]) -> std::process::Output {
    let arguments = ["train", "--outdir", text(outdir), "--resume", text(network)];
    xtask(&[&arguments[..], &["--subset", "64", "--kimg", "0.008"], more].concat())
}

fn inspect(file: &Path) -> Value {
    let run = xtask(&["inspect", text(file), "--json"]);
    assert!(run.status.success(), "{:?}", lines(&run));
    serde_json::from_slice(&run.stdout).unwrap()
}

fn picture(network: &Path, outdir: &Path) -> Vec<u8> {
    let arguments = [
        "generate",
        "--network",
        text(network),
        "--seeds",
        "0",
        "--trunc",
        "0.7",
    ];
    let run = xtask(&[&arguments[..], &["--outdir", text(outdir)]].concat());
    assert!(run.status.success(), "{:?}", lines(&run));
    fs::read(outdir.join("seed0000.png")).unwrap()
}

#[test]
fn a_new_run_starts_from_the_networks_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (name, more) in [
        ("checkpoints/ada.pkl", &["--batch", "4"][..]),
        (
            "checkpoints/rosinality_train.pt",
            &["--batch", "4", "--cfg", "stylegan2"],
        ),
        ("stylegan1/pkl/stylegan1_tf.pkl", &["--batch", "4"]),
    ] {
        let file = sample(name);
        let run = train(folder.path(), &file, more);
        let last = snapshot(&run);
        let log = lines(&run);
        let line = format!("starts from the networks of {}", file.display());
        assert!(log.contains(&line), "{log:?}");
        let first = last.with_file_name("network-snapshot-000000.safetensors");
        assert!(picture(&first, &out) == picture(&file, &out), "{name}");
        assert!(picture(&last, &out) != picture(&file, &out), "{name}");
        let (theirs, ours) = (inspect(&file), inspect(&last));
        for network in ["g_ema", "g", "d"] {
            let parameters = |file: &Value| file["networks"][network]["parameters"].clone();
            assert_eq!(parameters(&ours), parameters(&theirs), "{name} {network}");
        }
        let options = fs::read(last.with_file_name("options.json")).unwrap();
        let options: Value = serde_json::from_slice(&options).unwrap();
        assert_eq!(options["started_from"], text(&file));

        // From here on it is a run like any other.
        let run = xtask(&[
            "train",
            "--resume",
            text(last.parent().unwrap()),
            "--kimg",
            "0.016",
        ]);
        assert_ne!(snapshot(&run), last);
    }
}

/// The configuration that a training would have.
fn plan(network: &Path, more: &[&str]) -> Value {
    let run = train(
        Path::new("unused"),
        network,
        &[&["--dry-run"], more].concat(),
    );
    assert!(run.status.success(), "{:?}", lines(&run));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn the_configuration_is_that_of_the_file_and_of_a_preset_of_its_family() {
    let ada = sample("checkpoints/ada.pkl");
    let found = plan(&ada, &["--batch", "8", "--gamma", "3"]);
    let file = inspect(&ada)["networks"].clone();
    let side = &file["g_ema"]["config"]["synthesis"]["img_resolution"];
    assert_eq!(found["preset"], "auto");
    assert_eq!(&found["data"]["resolution"], side);
    let config = &found["config"];
    assert_eq!(config["generator"], file["g_ema"]["config"]);
    let mut d = file["d"]["config"].clone();
    d["mbstd_group_size"] = json!(4);
    assert_eq!(config["discriminator"], d);
    assert_eq!(
        (&config["loss"]["r1_gamma"], &config["batch"]),
        (&json!(3.0), &json!(8))
    );
    assert_eq!(config["ema"]["rampup"], Value::Null);

    // Grown networks don't grow again, unless they are asked to.
    for (name, preset) in [
        ("stylegan1/pkl/stylegan1_tf.pkl", "stylegan1"),
        ("stylegan1/pkl/progan_tf.pkl", "progan"),
    ] {
        let file = sample(name);
        let found = plan(&file, &[]);
        assert_eq!(found["preset"], preset);
        let growing = &found["config"]["growing"];
        assert_eq!(
            growing["lod_initial_resolution"],
            found["data"]["resolution"]
        );
        let found = plan(&file, &["--lod-initial-resolution", "4"]);
        assert_eq!(found["config"]["growing"]["lod_initial_resolution"], 4);
    }
    let mixed = plan(
        &sample("stylegan1/pkl/stylegan1_tf.pkl"),
        &["--cfg", "stylegan1-e"],
    );
    assert_eq!(mixed["config"]["loss"]["style_mixing_prob"], 0.0);
}

#[test]
fn a_file_with_one_generator_starts_both() {
    let folder = tempfile::tempdir().unwrap();
    let ada = sample("checkpoints/ada.pkl");
    for (only, note) in [
        (
            "g,d",
            "note: there is no g_ema in the file: the average starts from g",
        ),
        (
            "g_ema,d",
            "note: there is no g in the file: the generator starts from g_ema",
        ),
    ] {
        let file = folder.path().join(format!("{only}.safetensors"));
        let convert = ["convert", text(&ada), text(&file), "--only", only];
        assert!(xtask(&convert).status.success());
        let run = train(folder.path(), &file, &["--batch", "4", "--dry-run"]);
        assert!(run.status.success(), "{:?}", lines(&run));
        assert!(lines(&run).contains(&note.to_string()), "{:?}", lines(&run));
    }
}

#[test]
fn what_does_not_fit_the_networks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.pkl");
    fs::write(&words, "This is no network.").unwrap();
    let ada = sample("checkpoints/ada.pkl");
    let d = folder.path().join("d.safetensors");
    assert!(
        xtask(&["convert", text(&ada), text(&d), "--only", "d"])
            .status
            .success()
    );
    let alone = sample("checkpoints/rosinality_converted.pt");
    let labelled = sample("checkpoints/ada_cond.pkl");
    let stylegan = sample("stylegan1/pkl/stylegan1_tf.pkl");
    let [words, ada, d, alone, labelled, stylegan] =
        [&words, &ada, &d, &alone, &labelled, &stylegan].map(|path| text(path));
    let side =
        inspect(Path::new(ada))["networks"]["g"]["config"]["synthesis"]["img_resolution"].clone();
    let cases = [
        ("missing.pkl", &[][..], "error: missing.pkl: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address".to_string()),
        (words, &[], format!("error: {words}: expected a pickle, a PyTorch file or a safetensors file, found none of them")),
        (d, &[], format!("error: {d}: expected a generator and a discriminator to train, found no generator")),
        (alone, &[], format!("error: {alone}: expected a generator and a discriminator to train, found no discriminator")),
        (ada, &["--resolution", "64"], format!("error: --resolution 64: the networks of {ada} are for {side}x{side} pictures; leave the option out")),
        (ada, &["--z-dim", "7"], format!("error: --z-dim 7: the networks of {ada} have 16; leave the option out")),
        (ada, &["--channel-base", "99"], format!("error: --channel-base 99: the networks of {ada} have 256; leave the option out")),
        (ada, &["--cfg", "progan"], format!("error: --cfg progan: the networks of {ada} are of another family; leave the option out, or choose one of auto, stylegan2, paper256, paper512, paper1024, cifar")),
        (stylegan, &["--cfg", "auto"], format!("error: --cfg auto: the networks of {stylegan} are of another family; leave the option out, or choose one of stylegan1, stylegan1-c, stylegan1-d, stylegan1-e, stylegan1-f")),
        (labelled, &[], format!("error: --resume {labelled}: the networks are for labels of 4 classes, but the data has no labels: DATA; add --cond, with labels in the data's dataset.json")),
        (ada, &["--lod-training-kimg", "1"], "error: --lod-training-kimg 1: the networks of --cfg auto don't grow; leave the option out, or choose a --cfg whose networks do: stylegan1, progan, stylegan1-a, stylegan1-b, stylegan1-c, stylegan1-d, stylegan1-e, stylegan1-f".to_string()),
    ];
    for (network, more, expected) in cases {
        let arguments = ["train", "--dry-run", "--resume", network];
        let found = lines(&fail(&[&arguments[..], more].concat()));
        let found = found.last().unwrap();
        match expected.split_once("DATA") {
            Some((start, end)) => {
                assert!(found.starts_with(start) && found.ends_with(end), "{found}")
            }
            None => assert_eq!(found, &expected),
        }
    }
}

#[test]
fn networks_that_are_still_growing_say_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let stylegan = sample("stylegan1/pkl/stylegan1_tf.pkl");
    let young = ["--lod-initial-resolution", "4", "--batch", "4"];
    let grown = snapshot(&train(folder.path(), &stylegan, &young));
    let young = folder.path().join("young.safetensors");
    let convert = ["convert", text(&grown), text(&young)];
    assert!(xtask(&convert).status.success());
    let file = inspect(&young);
    let lod = file["networks"]["g_ema"]["lod"].as_f64().unwrap();
    let full = &file["networks"]["g_ema"]["config"]["synthesis"]["img_resolution"];
    assert!(lod > 0.);
    let found = lines(&fail(&["train", "--dry-run", "--resume", text(&young)]));
    let expected = format!(
        "error: --resume {}: the networks are still growing, at 4x4 of {full}x{full}; add --lod-initial-resolution 4 to go on from there",
        young.display()
    );
    assert_eq!(found, [expected]);
    plan(&young, &["--lod-initial-resolution", "4"]);
}
