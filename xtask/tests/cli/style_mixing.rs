//! `style-mixing`: the figure and its pictures, and the truncation that it shares with `generate`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::{fail, lines, snapshot, succeed, text, train_progan, train_tiny};

fn mix<'a>(network: &'a Path, outdir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let network = ["style-mixing", "--network", text(network)];
    let outdir = ["--outdir", text(outdir)];
    [&network[..], &outdir[..], more].concat()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_figure_and_every_picture_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let training = ["--kimg", "0.008", "--resolution", "16"];
    let network = snapshot(&train_tiny(folder.path(), &training));
    let out = folder.path().join("out");
    let sources = ["--rows", "0,7", "--cols", "2-3,7"];
    let arguments = mix(&network, &out, &sources);
    let first = succeed(&arguments);
    let mut expected: BTreeSet<String> = [
        "2-2", "3-3", "7-7", "0-0", "0-2", "0-3", "0-7", "7-2", "7-3",
    ]
    .iter()
    .map(|name| format!("{name}.png"))
    .collect();
    expected.insert("grid.png".to_string());
    assert_eq!(names(&out), expected);
    let printed = String::from_utf8(first.stdout).unwrap();
    assert_eq!(printed.lines().count(), expected.len());
    assert_eq!(printed.lines().last(), Some(text(&out.join("grid.png"))));
    // 16x16 pictures are shown at 160: 4 across and 3 down, with their spaces.
    let size = image::image_dimensions(out.join("grid.png")).unwrap();
    let length = |count: u32| 26 + 160 + 41 + count * 160 + (count - 1) * 12 + 26;
    assert_eq!(size, (length(3), length(2)));

    let second = lines(&succeed(&arguments));
    assert_eq!(
        second,
        ["note: replaced 10 pictures that were there before"]
    );
}

#[test]
fn sources_are_what_generate_makes_and_every_choice_of_styles_another_mix() {
    let folder = tempfile::tempdir().unwrap();
    let training = ["--kimg", "0.008", "--resolution", "16"];
    let network = snapshot(&train_tiny(folder.path(), &training));
    let generated = folder.path().join("generated");
    let generate = ["generate", "--network", text(&network), "--seeds", "0,2"];
    let random = [
        "--noise-mode",
        "random",
        "--trunc",
        "0.8",
        "--trunc-cutoff",
        "3",
    ];
    succeed(&[&generate[..], &["--outdir", text(&generated)], &random[..]].concat());

    let mixed = |styles: &str| {
        let out = folder.path().join(styles);
        let sources = ["--rows", "0", "--cols", "2", "--styles", styles];
        succeed(&mix(&network, &out, &[&sources[..], &random[..]].concat()));
        ["0-0.png", "2-2.png", "0-2.png"].map(|name| fs::read(out.join(name)).unwrap())
    };
    let [a, b, coarse] = mixed("coarse");
    assert!(a == fs::read(generated.join("seed0000.png")).unwrap());
    assert!(b == fs::read(generated.join("seed0002.png")).unwrap());
    let [.., middle] = mixed("middle");
    let [.., numbers] = mixed("3-5");
    assert!(middle == numbers, "16x16 has the layers 3 to 5");
    assert!(coarse != middle && coarse != a && middle != a);
    // The noise stays that of the row, so that even all styles don't make it the column's picture.
    let [.., all] = mixed("0-5");
    assert!(all != b && all != a);
}

#[test]
fn several_scales_are_bands_of_one_figure() {
    let folder = tempfile::tempdir().unwrap();
    let training = ["--kimg", "0.008", "--resolution", "16"];
    let network = snapshot(&train_tiny(folder.path(), &training));
    let mixed = |styles: &str| {
        let out = folder.path().join(styles);
        let sources = ["--row-seeds", "0,7", "--col-seeds", "2,7", "--col-styles"];
        succeed(&mix(&network, &out, &[&sources[..], &[styles]].concat()));
        out
    };
    let out = mixed("middle,coarse");
    let mut expected: BTreeSet<String> = ["grid.png", "0-0.png", "2-2.png", "7-7.png"]
        .map(str::to_string)
        .into();
    for scale in ["coarse", "middle"] {
        let alone = mixed(scale);
        for pair in ["0-2", "0-7", "7-2"] {
            let name = format!("{pair}-{scale}.png");
            let [band, alone] = [out.join(&name), alone.join(format!("{pair}.png"))];
            assert!(
                fs::read(band).unwrap() == fs::read(alone).unwrap(),
                "{name}"
            );
            expected.insert(name);
        }
    }
    assert_eq!(names(&out), expected);
    // Two rows twice, the bands as far apart as from the sources.
    let size = image::image_dimensions(out.join("grid.png")).unwrap();
    let height = 26 + 160 + 2 * (41 + 2 * 160 + 12) + 26;
    assert_eq!(size, (26 + 160 + 41 + 2 * 160 + 12 + 26, height));
}

#[test]
fn all_styles_of_a_picture_make_that_picture() {
    let folder = tempfile::tempdir().unwrap();
    let network = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008"]));
    let out = folder.path().join("out");
    let sources = ["--rows", "0", "--cols", "2", "--styles", "0-3"];
    succeed(&mix(&network, &out, &sources));
    let [mixed, column] = ["0-2.png", "2-2.png"].map(|name| fs::read(out.join(name)).unwrap());
    assert!(mixed == column);
}

#[test]
fn the_first_generation_has_its_own_truncation_and_grows_and_progan_has_no_styles() {
    let folder = tempfile::tempdir().unwrap();
    let stylegan = ["--cfg", "stylegan1", "--kimg", "0.008"];
    let stylegan = snapshot(&train_tiny(folder.path(), &stylegan));
    let picture = |more: &[&str]| {
        let out = folder.path().join("generated");
        let generate = ["generate", "--network", text(&stylegan), "--seeds", "5"];
        succeed(&[&generate[..], &["--outdir", text(&out)], more].concat());
        fs::read(out.join("seed0005.png")).unwrap()
    };
    let own = picture(&[]);
    // All of its layers are among the eight that the paper truncates.
    assert!(own == picture(&["--trunc", "0.7", "--trunc-cutoff", "4"]));
    assert!(own != picture(&["--trunc", "1"]));
    let out = folder.path().join("mixed");
    let sources = ["--rows", "5,6", "--cols", "1"];
    succeed(&mix(&stylegan, &out, &sources));
    assert!(own == fs::read(out.join("5-5.png")).unwrap());

    let young = [
        "--cfg",
        "stylegan1",
        "--kimg",
        "0.008",
        "--resolution",
        "16",
    ];
    let young = snapshot(&train_tiny(folder.path(), &young));
    let note = "note: the network has grown to 8x8 of 16x16";
    let growing = folder.path().join("growing");
    assert_eq!(lines(&succeed(&mix(&young, &growing, &sources))), [note]);
    let middle = [&sources[..], &["--styles", "middle"]].concat();
    let expected = "error: --styles middle: begins at 16x16, but the network has grown to 8x8 of 16x16; choose coarse, or layers: 0-1 (4x4), 2-3 (8x8)";
    assert_eq!(
        lines(&fail(&mix(&young, &growing, &middle))),
        [note, expected]
    );

    let progan = train_progan(folder.path());
    let messages = lines(&fail(&mix(&progan, &out, &sources)));
    let [note, message] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(note, "note: the network has grown to 4x4 of 8x8");
    let expected = "error: the network has no styles to mix";
    assert!(message.starts_with(expected), "{message}");
}
