//! `metrics feature-maps` and `plot feature-maps`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{lines, snapshot, text, train_tiny, xtask};

/// Trains a network that is 16x16 in the end.
fn train(folder: &Path, cfg: &str) -> PathBuf {
    let mut training = vec!["--cfg", cfg, "--kimg", "0.008", "--resolution", "16"];
    if cfg == "stylegan1" {
        training.extend(["--lod-initial-resolution", "16"]);
    }
    snapshot(&train_tiny(folder, &training))
}

#[test]
fn adain_fixes_the_scale_of_maps_and_demodulation_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["stylegan1", "auto"].map(|cfg| {
        let network = train(folder.path(), cfg);
        let out = folder.path().join(format!("{cfg}.json"));
        let maps = folder.path().join(format!("{cfg}.png"));
        let noise_mode = if cfg == "auto" { "none" } else { "const" };
        let mut files = vec!["--out", text(&out), "--maps", text(&maps)];
        files.extend(["--seeds", "0-4,9", "--noise-mode", noise_mode]);
        let measure = ["metrics", "feature-maps", "--network", text(&network)];
        let run = xtask(&[&measure, &files[..]].concat());
        assert!(run.status.success(), "{:?}", lines(&run));
        let progress = lines(&run);
        let printed = String::from_utf8(run.stdout).unwrap();
        let written: Vec<&str> = printed.lines().rev().take(2).collect();
        assert_eq!(written, [text(&maps), text(&out)]);

        let report: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
        assert_eq!(report["network"], text(&network));
        assert_eq!(report["seeds"], serde_json::json!([0, 1, 2, 3, 4, 9]));
        assert_eq!(report["noise_mode"], noise_mode);
        let layers = report["layers"].as_array().unwrap().clone();
        assert_eq!(progress.len(), layers.len());
        let first = format!("layer 1 of {}: b4.", layers.len());
        assert!(progress[0].starts_with(&first), "{progress:?}");
        // Two lines of titles and two of files.
        assert_eq!(printed.lines().count(), layers.len() + 4);
        // Four pictures of 16x16, each with a map of every layer, six times as large, with gaps.
        let size = image::image_dimensions(&maps).unwrap();
        assert_eq!(size, (99 * (layers.len() as u32 + 1), 4 * 99));
        (out, layers)
    });
    let variation = |layer: &Value, side: &str| layer[side]["variation"]["median"].as_f64();
    let [(_, stylegan), (_, stylegan2)] = &files;
    assert_eq!((stylegan.len(), stylegan2.len()), (6, 5));
    for layer in &stylegan[1..] {
        assert!(variation(layer, "before").unwrap() > 1e-3, "{layer}");
        assert!(variation(layer, "after").unwrap() < 1e-3, "{layer}");
    }
    for layer in &stylegan2[1..] {
        assert!(variation(layer, "after").unwrap() > 1e-3, "{layer}");
    }
    assert_eq!(variation(&stylegan2[0], "after"), None);

    let svg = folder.path().join("feature-maps.svg");
    let [first, second] = [&files[0].0, &files[1].0].map(|path| text(path));
    let plot = ["plot", "feature-maps", first, second, "--out", text(&svg)];
    let run = xtask(&plot);
    assert!(run.status.success(), "{:?}", lines(&run));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), text(&svg));
    let drawn = fs::read_to_string(&svg).unwrap();
    // Every network has a column, and every panel marks the resolutions of its layers.
    let counts = [
        ("Scale of the channels", 2),
        ("Peak shared by all maps", 2),
        ("highest possible", 2),
        ("16x16", 8),
    ];
    for (name, count) in counts {
        let found = drawn.matches(&format!(">\n{name}\n<")).count();
        assert_eq!(found, count, "{name}");
    }
    assert!(drawn.len() < 100_000, "{} bytes", drawn.len());
    let again = lines(&xtask(&plot));
    assert_eq!(again, ["note: replaced the file that was there before"]);
}
