//! Wrong input on the command line: the exact lines that a user gets to read.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Run, fail, lines, train_tiny, xtask, xtask_with};

#[test]
fn a_resolution_that_is_no_power_of_two_names_the_nearest() {
    let run = fail(&["train", "--resolution", "100", "--dry-run"]);
    let expected =
        "error: --resolution 100: must be a power of two from 4 to 1024; the nearest is 64 or 128";
    assert_eq!(lines(&run), [expected]);
}

#[test]
fn a_batch_of_nothing_is_refused() {
    let run = fail(&["train", "--batch", "0", "--dry-run"]);
    assert_eq!(lines(&run), ["error: --batch 0: must be from 1 to 65536"]);
}

#[test]
fn a_batch_beyond_all_memory_is_refused_at_once() {
    let run = fail(&["train", "--batch-gpu", "18446744073709551615", "--dry-run"]);
    let expected = "error: --batch-gpu 18446744073709551615: must be from 1 to 65536";
    assert_eq!(lines(&run), [expected]);
}

#[test]
fn a_batch_that_does_not_split_says_what_to_change() {
    let run = fail(&["train", "--batch", "16", "--batch-gpu", "6", "--dry-run"]);
    let expected = "error: --batch 16: isn't a multiple of --batch-gpu 6; use --batch-gpu 4";
    assert_eq!(lines(&run), [expected]);

    let run = fail(&["train", "--batch", "6", "--dry-run"]);
    let expected = "error: --batch 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch 4 or --batch 8";
    assert_eq!(lines(&run), [expected]);
}

#[test]
fn options_of_growing_are_refused_where_nothing_grows() {
    let run = fail(&["train", "--lod-training-kimg", "60", "--dry-run"]);
    let expected = "error: --lod-training-kimg 60: the networks of --cfg auto don't grow; leave the option out, or choose a --cfg whose networks do: stylegan1, progan, stylegan1-a, stylegan1-b, stylegan1-c, stylegan1-d, stylegan1-e, stylegan1-f";
    assert_eq!(lines(&run), [expected]);

    let stylegan1 = ["train", "--cfg", "stylegan1", "--dry-run"];
    let error = |more: &[&str]| lines(&fail(&[&stylegan1, more].concat()));
    let expected = "error: --lod-initial-resolution 10: must be a power of two from 4 to 1024; the nearest is 8 or 16";
    assert_eq!(error(&["--lod-initial-resolution", "10"]), [expected]);
    let expected = "error: --lod-transition-kimg -1: must be 0 or more (thousands of pictures)";
    assert_eq!(error(&["--lod-transition-kimg=-1"]), [expected]);
    let large = ["--lod-initial-resolution", "32", "--resolution", "16"];
    let expected = "error: --lod-initial-resolution 32: is more than the 16 pixels of the pictures";
    assert_eq!(error(&large), [expected]);
}

#[test]
fn what_progan_does_not_have_is_refused_with_the_reason() {
    let progan = ["train", "--cfg", "progan", "--resolution", "8", "--dry-run"];
    let error = |more: &[&str]| lines(&fail(&[&progan, more].concat()));
    let why = "--cfg progan has no mapping network: its w is the normalised z, with the label beside it; leave the option out, or choose the width with --z-dim";
    let expected = format!("error: --w-dim 64: {why}");
    assert_eq!(error(&["--w-dim", "64"]), [expected]);
    let expected = format!("error: --mapping-layers 4: {why}");
    assert_eq!(error(&["--mapping-layers", "4"]), [expected]);
    let expected = "error: --mixing-prob 0.9: the generator of --cfg progan has no styles to mix; leave the option out";
    assert_eq!(error(&["--mixing-prob", "0.9"]), [expected]);
    let gamma = error(&["--gamma", "10"]);
    assert!(
        gamma[0].starts_with("error: --gamma 10: R1 isn't part of --loss wgan-gp"),
        "{gamma:?}"
    );
}

#[test]
fn a_data_folder_without_pictures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let run = fail(&["train", "--data", data, "--dry-run"]);
    let message = &lines(&run)[0];
    assert!(
        message.starts_with(&format!(
            "error: {data}: no pictures found; expected files ending in .png"
        )),
        "{message}"
    );
}

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
fn a_network_that_is_not_there_is_named() {
    let run = fail(&["generate", "--network", "no-such-run", "--seeds", "0"]);
    let expected = "error: no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address";
    assert_eq!(lines(&run), [expected]);
}

#[test]
fn wrong_seeds_and_grids_that_are_too_small_are_refused() {
    let run = fail(&["generate", "--network", "x", "--seeds", "5-1"]);
    let expected = "error: invalid value '5-1' for '--seeds <LIST>': the range 5-1 ends before it starts; write 1-5";
    assert_eq!(lines(&run)[0], expected);

    let run = fail(&[
        "generate",
        "--network",
        "x",
        "--seeds",
        "0-15",
        "--grid",
        "3x5",
    ]);
    let expected = "error: --grid 3x5: has room for 15, but there are 16 seeds";
    assert_eq!(lines(&run), [expected]);
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
