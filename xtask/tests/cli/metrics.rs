//! `metrics`: from networks and from saved pictures.

use std::fs;
use std::path::Path;

use crate::common::{fail, lines, snapshot, train_tiny, xtask};

/// Pictures `seed0000.png`, ... of a network.
fn generate(network: &Path, outdir: &Path, more: &[&str]) {
    let arguments = ["generate", "--network", network.to_str().unwrap()];
    let outdir = ["--outdir", outdir.to_str().unwrap()];
    let run = xtask(&[&arguments, &outdir[..], more].concat());
    assert!(run.status.success(), "{:?}", lines(&run));
}

fn swd(more: &[&str]) -> serde_json::Value {
    let run = xtask(&[&["metrics", "swd", "--json"], more].concat());
    assert!(run.status.success(), "{:?}", lines(&run));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn a_network_measures_as_its_saved_pictures_do() {
    let folder = tempfile::tempdir().unwrap();
    let training = ["--kimg", "0.008", "--resolution", "16"];
    let network = snapshot(&train_tiny(folder.path(), &training));
    let [reals, fakes] = ["reals", "fakes"].map(|name| folder.path().join(name));
    generate(&network, &fakes, &["--seeds", "0-19"]);
    generate(&network, &reals, &["--seeds", "100-119", "--trunc", "0.5"]);
    let [network, reals, fakes] = [&network, &reals, &fakes].map(|p| p.to_str().unwrap());

    for resolution in ["16", "8"] {
        let both = ["--reals", reals, "--resolution", resolution];
        let of_network = swd(&[&both[..], &["--network", network, "--threads", "1"]].concat());
        let of_files = swd(&[&both[..], &["--fakes", fakes]].concat());
        assert_eq!(of_network, of_files);
        assert_eq!(of_files["count"], 20);
        assert_eq!(of_files["resolution"].to_string(), resolution);
        assert_eq!(of_files["levels"][0]["swd"], of_files["swd"]);
        assert!(of_files["layout"].as_f64().unwrap() > 0.);
    }

    let run = xtask(&["metrics", "swd", "--reals", reals, "--fakes", fakes]);
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line[..14].trim()).collect();
    assert_eq!(names, ["swd 16x16", "swd mean", "layout"]);
    assert!(lines(&run)[0].starts_with("reals: 20 pictures from "));

    let run = fail(&[
        "metrics", "swd", "--reals", reals, "--fakes", fakes, "--count", "21",
    ]);
    let expected =
        "error: --count 21: there are only 20 pictures to compare; use --count 20 or less";
    assert_eq!(lines(&run), [expected]);
    let larger = ["--reals", reals, "--network", network, "--resolution", "32"];
    let run = fail(&[&["metrics", "swd"], &larger[..]].concat());
    let expected =
        "error: --resolution 32: the network makes pictures of 16x16; leave the option out";
    assert_eq!(lines(&run), [expected]);
}

#[test]
fn a_network_with_labels_gets_those_of_the_reals() {
    let folder = tempfile::tempdir().unwrap();
    let network = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008", "--cond"]));
    let reals = folder.path().join("reals");
    generate(&network, &reals, &["--seeds", "0-3", "--class", "1"]);
    let [network, path] = [&network, &reals].map(|p| p.to_str().unwrap());
    let arguments = ["--reals", path, "--network", network];

    let run = fail(&[&["metrics", "swd"], &arguments[..]].concat());
    let message = &lines(&run)[0];
    assert!(message.contains("dataset.json: not found"), "{message}");

    let last = stylegan_data::portraits::CLASS_COUNT - 1;
    let label = |others: usize| {
        let labels: Vec<String> = (0..4)
            .map(|i| (i, if i == 0 { last } else { others }))
            .map(|(i, class)| format!(r#"["seed000{i}.png", {class}]"#))
            .collect();
        let json = format!(r#"{{"labels": [{}]}}"#, labels.join(", "));
        fs::write(reals.join("dataset.json"), json).unwrap();
        swd(&arguments)
    };
    let layout = |others| label(others)["layout"].as_f64().unwrap();
    assert!(layout(1) < layout(0), "labels of the reals aren't used");
}
