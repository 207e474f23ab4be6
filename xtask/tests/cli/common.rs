//! Runs the built program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the program wrote, and how it ended.
pub type Run = Output;

/// Runs `cargo xtask ARGUMENTS`.
pub fn xtask(arguments: &[&str]) -> Run {
    xtask_with(&[], arguments)
}

/// Runs `cargo xtask ARGUMENTS` in a folder.
pub fn xtask_in(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs `cargo xtask ARGUMENTS` with environment variables.
pub fn xtask_with(variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.envs(variables.iter().copied());
    command.args(arguments).output().unwrap()
}

/// Runs the program with arguments that it must take.
pub fn succeed(arguments: &[&str]) -> Run {
    let run = xtask(arguments);
    assert!(run.status.success(), "{arguments:?}: {:?}", lines(&run));
    run
}

/// Runs the program with arguments that it must refuse.
pub fn fail(arguments: &[&str]) -> Run {
    let run = xtask(arguments);
    assert!(!run.status.success(), "accepted {arguments:?}");
    run
}

/// The arguments of a command line.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

/// A sample file of one of the public tools.
pub fn sample(name: &str) -> PathBuf {
    let fixtures = "../crates/stylegan-goldens/fixtures";
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(fixtures)
        .join(name)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The lines on standard error.
pub fn lines(run: &Run) -> Vec<String> {
    let text = String::from_utf8(run.stderr.clone()).unwrap();
    text.lines().map(str::to_string).collect()
}

/// Trains very small networks on 8x8 portraits, unless `more` says otherwise.
pub fn train_tiny(outdir: &Path, more: &[&str]) -> Run {
    train_tiny_with(&[], outdir, more)
}

/// [`train_tiny`] with environment variables.
pub fn train_tiny_with(variables: &[(&str, &str)], outdir: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["train", "--outdir", outdir.to_str().unwrap()];
    let defaults = "resolution=8 subset=100 channel-base=64 channel-max=8 z-dim=8 w-dim=8 batch=8";
    let defaults: Vec<(String, &str)> = defaults
        .split(' ')
        .filter_map(|default| default.split_once('='))
        .map(|(name, value)| (format!("--{name}"), value))
        .collect();
    for (option, value) in &defaults {
        if !more.contains(&option.as_str()) {
            arguments.extend([option, *value]);
        }
    }
    arguments.extend(more);
    xtask_with(variables, &arguments)
}

/// A very small ProGAN, which has neither mapping network nor noise.
pub fn train_progan(outdir: &Path) -> PathBuf {
    let progan = "train --cfg progan --resolution 8 --channel-base 64 --channel-max 8 --z-dim 8 --batch 8 \
        --subset 100 --kimg 0.008 --outdir";
    let arguments: Vec<&str> = words(progan).chain([text(outdir)]).collect();
    snapshot(&xtask(&arguments))
}

/// The path that a training prints last: its newest checkpoint.
pub fn snapshot(run: &Run) -> PathBuf {
    assert!(run.status.success(), "{:#?}", lines(run));
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    PathBuf::from(text.lines().last().unwrap())
}
