//! Whole runs of very small networks: train, resume, generate.

use std::fs;
use std::path::Path;

use crate::common::{
    fail, lines, snapshot, succeed, text, train_tiny, train_tiny_with, words, xtask,
};

const HALF: [&str; 2] = ["--kimg", "0.08"];
const WHOLE: [&str; 2] = ["--kimg", "0.16"];

fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

#[test]
fn the_same_seed_gives_the_same_checkpoint_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    // Wide enough that every operator has work for several threads.
    let networks = "--resolution 32 --channel-base 512 --channel-max 32 --batch 16 --kimg 0.064";
    let networks: Vec<&str> = networks.split(' ').collect();
    let train = |more: &[&str]| {
        let path = snapshot(&train_tiny(folder.path(), &with(&networks, more)));
        fs::read(path).unwrap()
    };
    let one = train(&["--threads", "1", "--seed", "7"]);
    let two = train(&["--threads", "2", "--seed", "7"]);
    assert!(one == two, "checkpoints differ between 1 and 2 threads");
    // The pools of the kernels and of candle's operators, each as large as the environment says.
    for threads in ["1", "3"] {
        let variables = [
            ("RAYON_NUM_THREADS", threads),
            ("CANDLE_NUM_THREADS", threads),
        ];
        let arguments = with(&networks, &["--seed", "7"]);
        let run = train_tiny_with(&variables, folder.path(), &arguments);
        let pools = fs::read(snapshot(&run)).unwrap();
        assert!(one == pools, "checkpoints differ with {variables:?}");
    }
    let other_seed = train(&["--threads", "2", "--seed", "8"]);
    assert!(one != other_seed, "the seed changes nothing");
}

#[test]
fn a_resumed_run_writes_the_bytes_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(snapshot(&train_tiny(folder.path(), &WHOLE))).unwrap();
    let half = snapshot(&train_tiny(folder.path(), &HALF));
    let half_bytes = fs::read(&half).unwrap();
    let run_folder = half.parent().unwrap();

    // A file goes on in a new folder and leaves its own as it is.
    let outdir = text(folder.path());
    let resume_file = xtask(&with(
        &["train", "--outdir", outdir, "--resume", text(&half)],
        &WHOLE,
    ));
    let from_file = snapshot(&resume_file);
    assert_ne!(from_file.parent(), Some(run_folder));
    assert!(
        fs::read(&from_file).unwrap() == whole,
        "resumed from a file"
    );

    // A run goes on in its folder.
    let resume_run = xtask(&with(&["train", "--resume", text(run_folder)], &WHOLE));
    let from_run = snapshot(&resume_run);
    assert_eq!(from_run.parent(), Some(run_folder));
    assert!(fs::read(&from_run).unwrap() == whole, "resumed from a run");
    assert!(
        fs::read(&half).unwrap() == half_bytes,
        "an older snapshot changed"
    );
    let log = fs::read_to_string(run_folder.join("log.txt")).unwrap();
    assert_eq!(log.matches("finished").count(), 2, "{log}");
    assert!(
        log.contains(&format!("resumed from {} at 0.08 kimg", half.display())),
        "{log}"
    );
}

/// From 4x4 to 8x8 and 16x16; the schedule is looked at every 32 pictures.
const GROWING: &str = "--cfg stylegan1 --resolution 16 --channel-base 128 --batch 8 \
    --lod-initial-resolution 4 --lod-training-kimg 0.032 --lod-transition-kimg 0.064";

#[test]
fn a_run_resumed_while_a_resolution_fades_in_writes_the_bytes_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let growing: Vec<&str> = GROWING.split_whitespace().collect();
    let train = |more: &[&str]| snapshot(&train_tiny(folder.path(), &with(&growing, more)));
    let end = ["--kimg", "0.2"];
    let whole = train(&end);
    let bytes = fs::read(&whole).unwrap();
    for threads in ["1", "2", "3"] {
        let other = train(&with(&end, &["--threads", threads]));
        assert!(fs::read(other).unwrap() == bytes, "{threads} threads");
    }
    // In the first fade between two looks at the schedule, at its end, and in the second fade, which began
    // with new optimizers.
    for kimg in ["0.072", "0.096", "0.136"] {
        let part = train(&["--kimg", kimg]);
        let resumed = xtask(&with(
            &["train", "--resume", text(part.parent().unwrap())],
            &end,
        ));
        assert!(
            fs::read(snapshot(&resumed)).unwrap() == bytes,
            "resumed at {kimg} kimg"
        );
    }

    let run = whole.parent().unwrap();
    assert!(run.ends_with("00000-portraits-subset100-stylegan1-batch8"));
    let log = fs::read_to_string(run.join("log.txt")).unwrap();
    for entry in [
        "8x8 fades in: batch 8, learning rate 0.001",
        "16x16 fades in: batch 8, learning rate 0.001",
        "  lod 0.00 at 16x16  ",
    ] {
        assert!(log.contains(entry), "{entry} in {log}");
    }
    let options = with(
        &["train", "--resume", text(run)],
        &["--lod-training-kimg", "1"],
    );
    let error = lines(&fail(&options));
    let expected = "error: --lod-training-kimg 1: the checkpoint was trained with 0.032; leave the option out to go on with that, or leave --resume out to start anew";
    assert_eq!(error, [expected]);
}

#[test]
fn every_network_that_grows_trains_with_labels_and_makes_pictures_in_a_fade() {
    let folder = tempfile::tempdir().unwrap();
    let options = "--resolution 8 --subset 100 --channel-base 64 --channel-max 8 --z-dim 8 --batch 8 --cond --tick 0.024 --lod-initial-resolution 4 --lod-training-kimg 0.016 --lod-transition-kimg 0.064 --kimg 0.048";
    let outdir = text(folder.path());
    for cfg in ["stylegan1", "progan", "stylegan1-b", "stylegan1-c"] {
        let start = ["train", "--outdir", outdir, "--cfg", cfg];
        let options: Vec<&str> = options.split(' ').collect();
        let newest = snapshot(&xtask(&with(&start, &options)));
        let stats = fs::read_to_string(newest.with_file_name("stats.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
        // At 32 pictures the schedule was last looked at.
        assert_eq!(
            (&last["lod"], &last["resolution"]),
            (&0.75.into(), &8.into()),
            "{cfg}"
        );
        let classifies = last.get("class_loss_real").is_some();
        assert_eq!(classifies, cfg == "progan", "{cfg}");
        let out = folder.path().join(cfg);
        let generate = [
            "generate",
            "--network",
            text(&newest),
            "--seeds",
            "0",
            "--class",
            "1",
        ];
        let run = xtask(&with(&generate, &["--outdir", text(&out)]));
        assert!(run.status.success(), "{cfg}: {:?}", lines(&run));
        assert!(out.join("seed0000.png").is_file());
    }
}

#[test]
fn a_run_folder_holds_everything_and_its_network_makes_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = ["--kimg", "0.08", "--tick", "0.04", "--snap", "1"];
    let newest = snapshot(&train_tiny(folder.path(), &schedule));
    let run = newest.parent().unwrap();
    assert_eq!(
        run.file_name().unwrap(),
        "00000-portraits-subset100-auto-batch8"
    );
    let mut names: Vec<String> = fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "fakes000000.040.png",
        "fakes000000.080.png",
        "fakes000000.png",
        "log.txt",
        "network-snapshot-000000.040.safetensors",
        "network-snapshot-000000.080.safetensors",
        "network-snapshot-000000.safetensors",
        "options.json",
        "reals.png",
        "stats.jsonl",
    ];
    assert_eq!(names, expected);

    let stats = fs::read_to_string(run.join("stats.jsonl")).unwrap();
    let ticks: Vec<serde_json::Value> = stats
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(ticks.len(), 2);
    for (key, tick) in [
        ("kimg", &ticks[1]),
        ("loss_g", &ticks[1]),
        ("loss_d", &ticks[1]),
        ("r1_penalty", &ticks[0]),
    ] {
        assert!(tick[key].as_f64().unwrap().is_finite(), "{key} in {stats}");
    }

    let out = folder.path().join("pictures");
    let arguments = [
        "generate",
        "--network",
        text(run),
        "--seeds",
        "0-2,85",
        "--trunc",
        "0.7",
        "--outdir",
        text(&out),
        "--grid",
        "3x2",
    ];
    let first = xtask(&arguments);
    assert!(first.status.success(), "{:?}", lines(&first));
    let paths = String::from_utf8(first.stdout.clone()).unwrap();
    let names: Vec<_> = paths
        .lines()
        .map(|p| Path::new(p).file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "seed0000.png",
            "seed0001.png",
            "seed0002.png",
            "seed0085.png",
            "grid.png"
        ]
    );
    let picture = fs::read(out.join("seed0001.png")).unwrap();
    assert_ne!(picture, fs::read(out.join("seed0000.png")).unwrap());

    let second = xtask(&arguments);
    assert_eq!(
        lines(&second),
        ["note: replaced 5 pictures that were there before"]
    );
    assert_eq!(picture, fs::read(out.join("seed0001.png")).unwrap());
}

#[test]
fn classes_are_for_networks_that_were_trained_with_labels() {
    let folder = tempfile::tempdir().unwrap();
    let plain = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008"]));
    let run = fail(&[
        "generate",
        "--network",
        text(&plain),
        "--seeds",
        "0",
        "--class",
        "1",
    ]);
    let expected = "error: --class 1: the network was trained without labels; leave the option out";
    assert_eq!(lines(&run), [expected]);

    let labelled = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008", "--cond"]));
    let out = folder.path().join("out");
    let generate = [
        "generate",
        "--network",
        text(&labelled),
        "--seeds",
        "0",
        "--outdir",
        text(&out),
    ];
    let missing = fail(&generate);
    assert!(lines(&missing)[0].contains("choose one with --class 0 to --class "));
    for noise in ["const", "random", "none"] {
        let run = xtask(&with(&generate, &["--class", "1", "--noise-mode", noise]));
        assert!(run.status.success(), "{:?}", lines(&run));
    }
}

#[test]
fn a_damaged_checkpoint_names_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let newest = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008"]));
    let run = newest.parent().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let resume = fail(&["train", "--resume", text(run)]);
    let lines = lines(&resume);
    let start = format!("error: {}: the checkpoint is damaged: ", newest.display());
    assert!(lines[0].starts_with(&start), "{lines:?}");
    let first = run.join("network-snapshot-000000.safetensors");
    let advice = format!(
        "  the snapshot before it may be whole: --resume {}",
        first.display()
    );
    assert_eq!(lines[1], advice);

    let go_on = xtask(&[
        "train",
        "--resume",
        text(&first),
        "--outdir",
        text(folder.path()),
        "--kimg",
        "0.016",
    ]);
    assert!(go_on.status.success(), "the advice doesn't help");
}

#[test]
fn options_that_contradict_the_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newest = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008"]));
    let resume = |more: &[&str]| lines(&fail(&with(&["train", "--resume", text(&newest)], more)));
    let expected = "error: --batch 16: the checkpoint was trained with 8; leave the option out to go on with that, or leave --resume out to start anew";
    assert_eq!(resume(&["--batch", "16"]), [expected]);
    let expected = "error: --mirror: the checkpoint was trained with it off; leave the option out to go on with that, or leave --resume out to start anew";
    assert_eq!(resume(&["--mirror"]), [expected]);
    let done = resume(&[]);
    assert!(
        done[0].starts_with("error: --kimg 0.008: ")
            && done[0].ends_with("give a larger --kimg to train on"),
        "{done:?}"
    );
}

#[test]
fn other_pictures_than_those_of_the_training_are_refused_with_a_way_to_use_them() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = text(folder.path());
    // On all portraits.
    let tiny = "train --resolution 8 --channel-base 64 --channel-max 8 --z-dim 8 --w-dim 8 --batch 8 --kimg 0.008";
    let train: Vec<&str> = words(tiny).chain(["--outdir", outdir]).collect();
    let newest = snapshot(&xtask(&train));
    let network = text(&newest);
    let pictures = folder.path().join("pictures");
    let generate = ["generate", "--seeds", "0-2", "--network", network];
    succeed(&with(&generate, &["--outdir", text(&pictures)]));
    let more = ["--data", text(&pictures), "--kimg", "0.016"];
    let expected = format!(
        "error: {network}: was trained with 8192 pictures, but the data has 3: 3 pictures from {}, 8x8 RGB; give \
         the pictures of that training with --data, or start a new one from its networks: resume from a copy of them \
         that convert makes",
        pictures.display()
    );
    let refused = fail(&with(&["train", "--resume", network], &more));
    assert_eq!(lines(&refused), [expected]);
    let copy = folder.path().join("copy.safetensors");
    succeed(&["convert", network, text(&copy)]);
    let resume = ["train", "--outdir", outdir, "--resume", text(&copy)];
    snapshot(&xtask(&with(&resume, &more)));
}

#[test]
fn a_diverged_training_can_be_resumed_as_its_error_advises() {
    let folder = tempfile::tempdir().unwrap();
    let newest = snapshot(&train_tiny(folder.path(), &["--kimg", "0.008"]));
    let outdir = text(folder.path());
    let resume = ["train", "--outdir", outdir, "--resume", text(&newest)];
    let advised = ["--kimg", "0.016", "--lr", "0.001", "--gamma", "20"];
    let resume = xtask(&with(&resume, &advised));
    let log = lines(&resume);
    assert!(resume.status.success(), "{log:?}");
    let note = "note: --lr 0.001 replaces the checkpoint's 0.0025";
    assert!(log.contains(&note.to_string()), "{log:?}");
    let is_note = |line: &String| line.starts_with("note: --gamma 20 replaces");
    assert!(log.iter().any(is_note), "{log:?}");
    // The checkpoint goes on with these numbers.
    let lowered = snapshot(&resume);
    let again = ["train", "--resume", text(&lowered), "--kimg", "1"];
    let again = xtask(&with(&again, &["--dry-run"]));
    let options: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(options["config"]["optimizer"]["d_lr"], 0.001);
    assert_eq!(options["config"]["loss"]["r1_gamma"], 20.0);
}

#[test]
fn every_loss_trains_and_gradients_accumulate() {
    let folder = tempfile::tempdir().unwrap();
    for loss in ["wgan-gp", "hinge"] {
        let run = train_tiny(
            folder.path(),
            &["--kimg", "0.008", "--loss", loss, "--batch-gpu", "4"],
        );
        assert!(run.status.success(), "{loss}: {:?}", lines(&run));
    }
}

/// Ctrl-C is a signal on Unix; on Windows a console event, which can't be sent to one process.
#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_ends_cleanly() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let options = "--resolution 8 --subset 100 --channel-base 64 --channel-max 8 --z-dim 8 --w-dim 8 --batch 8 --tick 0.008";
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["train", "--outdir", text(folder.path())])
        .args(options.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_tick = |line: &std::io::Result<String>| line.as_ref().unwrap().starts_with("tick");
    assert!(log.any(|line| is_tick(&line)), "no tick before the end");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let rest: Vec<String> = log.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{rest:#?}");
    let last = rest.last().unwrap();
    assert!(
        last.starts_with("go on with: cargo xtask train --resume "),
        "{rest:#?}"
    );
    let saved = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(saved.trim()).is_file(), "{saved}");
}
