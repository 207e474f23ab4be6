//! `bench peers`: the same networks in PyTorch, ONNX Runtime and OpenVINO, and how many times as fast ours are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::work::Kind;
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  Everything, with the tables of docs/performance.md at the end (an hour or so):
    cargo xtask bench peers --threads 2
  One picture of 256x256 pixels, beside PyTorch only:
    cargo xtask bench peers --only generate-256-1 --peers pytorch

The first time, a virtual environment is made in the build folder, and PyTorch, ONNX Runtime and \
OpenVINO are installed into it from PyPI, some gigabytes. All compute in f32 on the same number of \
threads, each in a process of its own, and their results have to be ours before anything is timed. \
Then they take turns. Close other programs first.";

/// Compare with PyTorch, torch.compile, ONNX Runtime and OpenVINO
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to time, separated by commas [default: everything]
    #[arg(long, value_name = "WORK", value_delimiter = ',')]
    only: Vec<Case>,

    /// Whom to compare with, separated by commas [default: all who can do the work]
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Peer>,

    /// Turns of each
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,

    /// File that every turn is added to as a line of JSON [default: results.jsonl beside the
    /// virtual environment]
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,

    /// Python 3.10 or newer, to make the virtual environment with
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// Work with targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    #[value(name = "generate-256-1")]
    Generate256Single,
    #[value(name = "generate-256-8")]
    Generate256Batch,
    #[value(name = "generate-1024-1")]
    Generate1024,
    #[value(name = "train-32")]
    Train32,
    #[value(name = "train-64")]
    Train64,
    #[value(name = "train-small")]
    TrainSmall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Peer {
    Pytorch,
    TorchCompile,
    Onnxruntime,
    Openvino,
}

/// What `compare.py` is told of a [`Case`].
#[derive(Debug, Serialize)]
struct Job {
    name: String,
    work: Kind,
    /// Of `bench`.
    options: Vec<&'static str>,
    peers: Vec<Peer>,
    targets: Targets,
}

/// How many times as fast as others ours should be.
#[derive(Debug, Default, Serialize)]
struct Targets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pytorch: Option<f64>,
    /// The better of ONNX Runtime and OpenVINO.
    #[serde(skip_serializing_if = "Option::is_none")]
    runtimes: Option<f64>,
    /// Peak memory, as a part of PyTorch's.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<f64>,
}

impl Case {
    fn job(self, peers: &[Peer]) -> Job {
        let (work, options) = match self {
            Self::Generate256Single => (
                Kind::Generate,
                "--resolution 256 --channel-base 16384 --batch 1",
            ),
            Self::Generate256Batch => (
                Kind::Generate,
                "--resolution 256 --channel-base 16384 --batch 8",
            ),
            Self::Generate1024 => (
                Kind::Generate,
                "--resolution 1024 --channel-base 32768 --batch 1",
            ),
            Self::Train32 => (
                Kind::TrainStep,
                "--resolution 32 --channel-base 8192 --channel-max 256 --batch 16",
            ),
            Self::Train64 => (
                Kind::TrainStep,
                "--resolution 64 --channel-base 16384 --batch 8",
            ),
            Self::TrainSmall => (
                Kind::TrainStep,
                "--resolution 32 --channel-base 1024 --channel-max 64 --z-dim 64 --w-dim 64 --batch 16",
            ),
        };
        let (pytorch, runtimes, memory) = match self {
            Self::Generate256Single => (Some(3.0), Some(2.0), None),
            Self::Generate256Batch => (Some(4.0), Some(2.0), None),
            Self::Generate1024 => (None, Some(2.0), None),
            Self::Train32 | Self::Train64 => (Some(2.5), None, Some(1.0)),
            Self::TrainSmall => (Some(3.0), None, None),
        };
        let can = |peer: &&Peer| work == Kind::Generate || peer.trains();
        Job {
            name: value_name(self),
            work,
            options: options.split(' ').collect(),
            peers: peers.iter().filter(can).copied().collect(),
            targets: Targets {
                pytorch,
                runtimes,
                memory,
            },
        }
    }
}

impl Peer {
    /// The runtimes only make pictures.
    fn trains(self) -> bool {
        matches!(self, Self::Pytorch | Self::TorchCompile)
    }
}

fn value_name(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_string())
        .unwrap_or_default()
}

/// Runs `bench peers`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds 0: must be at least 1");
    let jobs = args.jobs()?;
    let binary = env::current_exe().context("cannot tell where this program is")?;
    let scripts = scripts();
    ensure!(
        scripts.is_dir(),
        "{}: no such folder; keep the repository that the program was built in",
        scripts.display()
    );
    let folder = folder(&binary)?;
    let python = environment(&folder, &args.python, &scripts, terminal)?;
    let cases = folder.join("cases.json");
    write(&cases, &serde_json::to_string(&jobs)?)?;
    let results = args
        .results
        .clone()
        .unwrap_or_else(|| folder.join("results.jsonl"));
    let mut compare = Command::new(python);
    compare.arg(scripts.join("compare.py"));
    // The scripts are in the repository, where nothing else should appear.
    compare.env("PYTHONDONTWRITEBYTECODE", "1");
    for (option, value) in [
        ("--binary", &binary),
        ("--cases", &cases),
        ("--folder", &folder),
        ("--results", &results),
    ] {
        compare.arg(option).arg(value);
    }
    for (option, value) in [
        ("--threads", rayon::current_num_threads()),
        ("--rounds", args.rounds),
    ] {
        compare.arg(option).arg(value.to_string());
    }
    let status = compare.status().context("cannot run compare.py")?;
    terminal.line(&format!("every turn: {}", results.display()));
    ensure!(
        status.success(),
        "compare.py ended with {status}: its messages are above"
    );
    Ok(())
}

impl Args {
    fn jobs(&self) -> Result<Vec<Job>> {
        let cases = match self.only.is_empty() {
            true => Case::value_variants(),
            false => &self.only,
        };
        let peers = match self.peers.is_empty() {
            true => Peer::value_variants(),
            false => &self.peers,
        };
        let jobs: Vec<Job> = cases.iter().map(|case| case.job(peers)).collect();
        if let Some(job) = jobs.iter().find(|job| job.peers.is_empty()) {
            let names: Vec<String> = peers.iter().copied().map(value_name).collect();
            bail!(
                "--only {}: {} can't train; add --peers pytorch, or leave the option out",
                job.name,
                names.join(" and ")
            );
        }
        Ok(jobs)
    }
}

/// Where the programs of the peers are, in the repository.
fn scripts() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.with_file_name("benches").join("peers")
}

/// `target/peers`, beside the folder that the program was built in.
fn folder(binary: &Path) -> Result<PathBuf> {
    let target = binary.parent().and_then(Path::parent);
    let folder = target
        .context("cannot tell where the build folder is")?
        .join("peers");
    fs::create_dir_all(&folder)
        .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    Ok(folder)
}

/// The Python of a virtual environment in `folder` that has what the peers need.
fn environment(
    folder: &Path,
    python: &Path,
    scripts: &Path,
    terminal: &Terminal,
) -> Result<PathBuf> {
    let venv = folder.join("venv");
    let inside = match cfg!(windows) {
        true => venv.join("Scripts").join("python.exe"),
        false => venv.join("bin").join("python"),
    };
    let requirements = scripts.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("{}: cannot read it", requirements.display()))?;
    // What was installed last, written when it was complete.
    let installed = folder.join("installed.txt");
    if inside.exists() && fs::read_to_string(&installed).is_ok_and(|list| list == wanted) {
        return Ok(inside);
    }
    terminal.line(&format!("making a virtual environment: {}", venv.display()));
    let status = Command::new(python)
        .args(["-m", "venv"])
        .arg(&venv)
        .status()
        .with_context(|| {
            format!(
                "--python {}: cannot run it; the peers want Python 3.10 or newer",
                python.display()
            )
        })?;
    ensure!(
        status.success(),
        "{}: cannot make a virtual environment ({status}); on Debian and Ubuntu that is the package python3-venv",
        venv.display()
    );
    terminal.line("installing PyTorch, ONNX Runtime and OpenVINO, some gigabytes");
    let status = Command::new(&inside)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg("--requirement")
        .arg(&requirements)
        .status()
        .with_context(|| format!("{}: cannot run it", inside.display()))?;
    ensure!(
        status.success(),
        "pip could not install {} ({status}): its messages are above",
        requirements.display()
    );
    write(&installed, &wanted)?;
    Ok(inside)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot write it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[Case], peers: &[Peer]) -> Args {
        Args {
            only: only.to_vec(),
            peers: peers.to_vec(),
            rounds: 1,
            results: None,
            python: PathBuf::new(),
        }
    }

    #[test]
    fn every_peer_does_the_work_that_it_can() {
        let jobs = args(&[], &[]).jobs().unwrap();
        let counts: Vec<_> = jobs
            .iter()
            .map(|job| (&*job.name, job.peers.len()))
            .collect();
        let expected = [
            ("generate-256-1", 4),
            ("generate-256-8", 4),
            ("generate-1024-1", 4),
            ("train-32", 2),
            ("train-64", 2),
            ("train-small", 2),
        ];
        assert_eq!(counts, expected);
        let json = serde_json::to_value(&jobs[3]).unwrap();
        assert_eq!(
            json["peers"],
            serde_json::json!(["pytorch", "torch-compile"])
        );
        assert_eq!(
            json["targets"],
            serde_json::json!({ "pytorch": 2.5, "memory": 1.0 })
        );
    }

    #[test]
    fn without_python_or_its_venv_the_error_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = |python: &str| {
            let python = Path::new(python);
            let made = environment(folder.path(), python, &scripts(), &Terminal::new());
            made.unwrap_err().to_string()
        };
        let expected =
            "--python no-such-python: cannot run it; the peers want Python 3.10 or newer";
        assert_eq!(error("no-such-python"), expected);
        if cfg!(unix) {
            let venv = folder.path().join("venv");
            let expected = format!("{}: cannot make a virtual environment (", venv.display());
            assert!(error("false").starts_with(&expected), "{}", error("false"));
        }
    }

    #[test]
    fn every_peer_is_installed_in_a_fixed_version() {
        let requirements = fs::read_to_string(scripts().join("requirements.txt")).unwrap();
        for package in ["torch", "onnxruntime", "openvino"] {
            let is_fixed = |line: &str| line.starts_with(&format!("{package}=="));
            assert!(requirements.lines().any(is_fixed), "{package}");
        }
        for script in ["compare.py", "worker.py"] {
            assert!(scripts().join(script).is_file(), "{script}");
        }
    }

    #[test]
    fn a_runtime_is_not_asked_to_train() {
        let error = args(&[Case::Train32], &[Peer::Openvino])
            .jobs()
            .unwrap_err();
        let expected =
            "--only train-32: openvino can't train; add --peers pytorch, or leave the option out";
        assert_eq!(error.to_string(), expected);
    }
}
