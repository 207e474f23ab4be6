//! What a user gets to read besides the errors of `wrong_input`: devices, dry runs, notes and help.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Run, fail, lines, train_tiny, xtask, xtask_with};

#[test]
fn devices_that_are_not_compiled_in_name_the_alias_that_has_them() {
    if !cfg!(feature = "cuda") {
        let run = fail(&["train", "--device", "cuda:1", "--dry-run"]);
        let expected =
            "error: --device cuda:1: this build has no CUDA; use `cargo xtask-cuda train ...`";
        assert_eq!(lines(&run), [expected]);
    }
    if !cfg!(feature = "metal") {
        let run = fail(&[
            "generate",
            "--device",
            "metal",
            "--network",
            "x",
            "--seeds",
            "0",
        ]);
        let expected = "error: --device metal: this build has no Metal; on a Mac use `cargo xtask-metal generate ...`";
        assert_eq!(lines(&run), [expected]);
    }
    let run = fail(&["train", "--device", "gpu"]);
    let expected =
        "error: invalid value 'gpu' for '--device <DEVICE>': expected cpu, cuda, cuda:N or metal";
    assert_eq!(lines(&run)[0], expected);
}

#[test]
fn a_file_in_the_place_of_the_run_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("taken");
    fs::write(&outdir, "a file").unwrap();
    let run = train_tiny(&outdir, &[]);
    assert!(!run.status.success());
    let expected = format!("error: cannot create the folder {}: ", outdir.display());
    assert!(lines(&run)[0].starts_with(&expected), "{:?}", lines(&run));
}

#[test]
fn a_dry_run_prints_the_configuration_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = train_tiny(folder.path(), &["--dry-run", "--mirror", "--gamma", "3.5"]);
    assert!(run.status.success(), "{:?}", lines(&run));
    let options: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(options["preset"], "auto");
    assert_eq!(options["config"]["loss"]["r1_gamma"], 3.5);
    assert_eq!(
        options["config"]["generator"]["synthesis"]["img_resolution"],
        8
    );
    assert_eq!(options["data"]["mirror"], true);
    assert!(lines(&run)[0].starts_with("data: "), "{:?}", lines(&run));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["train", "--resolution", "8", "--dry-run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert!(run.status.success(), "{:?}", lines(&run));
}

#[test]
fn the_allocator_keeps_freed_memory_unless_the_user_says_otherwise() {
    let arguments = ["--verbose", "train", "--resolution", "8", "--dry-run"];
    let delay = |run: &Run| {
        let is_delay = |line: &String| line.contains("allocator purge_delay=");
        let line = lines(run).into_iter().find(is_delay).unwrap();
        line.split_once('=').unwrap().1.to_string()
    };
    assert_eq!(delay(&xtask(&arguments)), "-1");
    let variables = [("MIMALLOC_PURGE_DELAY", "1234")];
    assert_eq!(delay(&xtask_with(&variables, &arguments)), "1234");
}

#[test]
fn presets_can_be_used_at_other_resolutions_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let run = train_tiny(
        folder.path(),
        &["--dry-run", "--cfg", "paper512", "--batch", "8"],
    );
    let note = "note: --cfg paper512 was tuned for 512x512 pictures, these are 8x8";
    assert!(lines(&run).contains(&note.to_string()), "{:?}", lines(&run));
}

#[test]
fn help_names_every_option_and_its_default() {
    let run = xtask(&["train", "--help"]);
    let all = String::from_utf8(run.stdout).unwrap();
    // Examples name options too.
    let (help, _) = all.split_once("\nExamples:").unwrap();
    let lines: Vec<&str> = help.lines().map(str::trim).collect();
    let switches = "cond mirror dry-run";
    let options = "outdir data cfg resolution subset batch batch-gpu gamma kimg seed snap tick ema-kimg \
        lod-initial-resolution lod-training-kimg lod-transition-kimg \
        channel-base channel-max z-dim w-dim mapping-layers lr pl-weight mixing-prob loss resume device threads";
    let has_value = |option| format!("--{option} <");
    let is_switch = |option| format!("--{option}");
    let starts = switches.split(' ').map(is_switch);
    let starts = starts.chain(options.split_whitespace().map(has_value));
    for start in starts {
        let is_it = |line: &&str| match start.ends_with('<') {
            true => line.starts_with(&start),
            false => line.split(' ').next() == Some(&start),
        };
        assert_eq!(
            lines.iter().filter(|line| is_it(line)).count(),
            1,
            "{start}"
        );
    }
    for heading in [
        "Data:",
        "Network:",
        "Training:",
        "Growing (stylegan1, progan, stylegan1-a to -f):",
        "Run:",
    ] {
        assert!(lines.contains(&heading), "{heading}");
    }
    for default in ["[default: runs]", "[default: by --cfg]", "[default: cpu]"] {
        assert!(help.contains(default), "{default}");
    }
}
