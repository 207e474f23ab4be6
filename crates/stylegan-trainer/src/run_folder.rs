//! The folder of one training run: its name, its files, and finding the newest snapshot again.
//!
//! ```text
//! OUTDIR/00000-emoji64-auto-batch16/
//!   options.json                          the resolved configuration
//!   log.txt  stats.jsonl                  what happened, for people and for programs
//!   reals.png                             a grid of training pictures
//!   fakes000000.png  fakes000200.png      grids from the EMA generator, one latent a tile
//!   network-snapshot-000000.safetensors   checkpoints, one every `--snap` ticks, all kept
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stylegan_checkpoint::write_atomically;

use crate::error::TrainError;

/// The name of the file with a run's options.
pub(crate) const OPTIONS: &str = "options.json";

/// Run folders are numbered with five digits.
const HIGHEST_NUMBER: u32 = 99_999;

const SNAPSHOT_PREFIX: &str = "network-snapshot-";
const SNAPSHOT_SUFFIX: &str = ".safetensors";

/// The folder of one training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates `OUTDIR/NNNNN-description`, where NNNNN is one more than the highest number there.
    ///
    /// # Errors
    /// [`TrainError::File`] where the folder can't be created, e.g. because `outdir` is a file;
    /// [`TrainError::Run`] where `outdir` has used up its numbers.
    pub fn create(outdir: &Path, description: &str) -> Result<Self, TrainError> {
        fs::create_dir_all(outdir).map_err(TrainError::file("create the folder", outdir))?;
        for number in next_number(outdir)?..=HIGHEST_NUMBER {
            let path = outdir.join(format!("{number:05}-{description}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Another run took the number in between.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(TrainError::file("create the folder", &path)(e)),
            }
        }
        let problem = format!(
            "has a run with the highest number, {HIGHEST_NUMBER}; give another folder with --outdir"
        );
        Err(TrainError::run(outdir, problem))
    }

    /// The run in an existing folder.
    ///
    /// # Errors
    /// [`TrainError::Run`] where `path` is no folder.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        if !path.is_dir() {
            return Err(TrainError::run(path, "is not a run folder"));
        }
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `options.json`.
    pub fn options(&self) -> PathBuf {
        self.path.join(OPTIONS)
    }

    /// Writes `options.json`, in one go.
    ///
    /// # Errors
    /// [`TrainError::File`] where the folder can't be written.
    pub fn write_options(&self, json: &str) -> Result<(), TrainError> {
        let path = self.options();
        write_atomically(&path, |file| fs::write(file, format!("{json}\n")))
            .map_err(TrainError::file("write", &path))
    }

    /// `log.txt`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// `stats.jsonl`.
    pub fn stats(&self) -> PathBuf {
        self.path.join("stats.jsonl")
    }

    /// `reals.png`.
    pub fn reals(&self) -> PathBuf {
        self.path.join("reals.png")
    }

    /// `fakesKKKKKK.png` for the number of pictures seen; see [`kimg_label`].
    pub fn fakes(&self, images_seen: u64, batch: usize) -> PathBuf {
        let label = kimg_label(images_seen, batch);
        self.path.join(format!("fakes{label}.png"))
    }

    /// `network-snapshot-KKKKKK.safetensors` for the number of pictures seen; see [`kimg_label`].
    pub fn snapshot(&self, images_seen: u64, batch: usize) -> PathBuf {
        let label = kimg_label(images_seen, batch);
        self.path
            .join(format!("{SNAPSHOT_PREFIX}{label}{SNAPSHOT_SUFFIX}"))
    }

    /// All snapshots, oldest first.
    ///
    /// # Errors
    /// [`TrainError::File`] where the folder can't be listed.
    pub fn snapshots(&self) -> Result<Vec<PathBuf>, TrainError> {
        let mut found = Vec::new();
        for (name, path) in entries(&self.path)? {
            if let Some(thousandths) = snapshot_order(&name) {
                found.push((thousandths, path));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// [`TrainError::Run`] where the folder has none.
    pub fn newest_snapshot(&self) -> Result<PathBuf, TrainError> {
        let none = || {
            TrainError::run(
                &self.path,
                format!("has no {SNAPSHOT_PREFIX}*{SNAPSHOT_SUFFIX}: is it a run folder?"),
            )
        };
        self.snapshots()?.pop().ok_or_else(none)
    }
}

/// The checkpoint that `FILE|RUN` on a command line means: the file itself, or a run's newest.
///
/// # Errors
/// [`TrainError::Run`] where there is no such file, or the folder has no snapshot.
pub fn find_snapshot(file_or_run: &Path) -> Result<PathBuf, TrainError> {
    if file_or_run.is_dir() {
        RunFolder::open(file_or_run)?.newest_snapshot()
    } else if file_or_run.is_file() {
        Ok(file_or_run.to_path_buf())
    } else {
        Err(TrainError::run(
            file_or_run,
            "no such file or folder; give a network-snapshot-*.safetensors or a run folder",
        ))
    }
}

/// The snapshot beside `snapshot` that was written just before it.
pub fn previous_snapshot(snapshot: &Path) -> Option<PathBuf> {
    let order = snapshot_order(snapshot.file_name()?.to_str()?)?;
    let siblings = RunFolder::open(snapshot.parent()?).ok()?.snapshots().ok()?;
    siblings
        .into_iter()
        .rev()
        .find(|path| file_order(path).is_some_and(|other| other < order))
}

/// How file names say when they were written: `KKKKKK`, the thousands of pictures seen, six digits.
///
/// That is the name at the first step that reaches a new thousand, where regular snapshots fall. A snapshot
/// elsewhere (an interrupted run, a fractional `--kimg`) adds the rest, `000005.312`, so that no file
/// ever replaces an earlier one.
pub fn kimg_label(images_seen: u64, batch: usize) -> String {
    let (thousands, rest) = (images_seen / 1000, images_seen % 1000);
    if rest < batch as u64 {
        format!("{thousands:06}")
    } else {
        format!("{thousands:06}.{rest:03}")
    }
}

/// Pictures seen according to a snapshot's name, for sorting.
fn snapshot_order(name: &str) -> Option<u64> {
    let label = name
        .strip_prefix(SNAPSHOT_PREFIX)?
        .strip_suffix(SNAPSHOT_SUFFIX)?;
    let (thousands, rest) = label.split_once('.').unwrap_or((label, "0"));
    let thousands = thousands.parse::<u64>().ok()?.checked_mul(1000)?;
    thousands.checked_add(rest.parse().ok()?)
}

fn file_order(path: &Path) -> Option<u64> {
    snapshot_order(path.file_name()?.to_str()?)
}

/// One more than the highest number of a run folder in `outdir`.
fn next_number(outdir: &Path) -> Result<u32, TrainError> {
    let entries = entries(outdir)?;
    let runs = entries.iter().filter(|(_, path)| path.is_dir());
    let highest = runs.filter_map(|(name, _)| run_number(name)).max();
    Ok(highest.map_or(0, |number| number + 1))
}

/// The number of a run folder: five digits before a dash. Other folders may start with numbers too.
fn run_number(name: &str) -> Option<u32> {
    let (number, _) = name.split_once('-')?;
    let is_number = number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_number)
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, TrainError> {
    let list = || -> io::Result<Vec<(String, PathBuf)>> {
        fs::read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                Ok((
                    entry.file_name().to_string_lossy().into_owned(),
                    entry.path(),
                ))
            })
            .collect()
    };
    list().map_err(TrainError::file("list the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_after_the_highest() {
        let outdir = tempfile::tempdir().unwrap();
        let first = RunFolder::create(outdir.path(), "portraits-auto").unwrap();
        assert_eq!(first.path(), outdir.path().join("00000-portraits-auto"));
        fs::create_dir(outdir.path().join("00041-other")).unwrap();
        for other in [
            "not a run",
            "2024-notes",
            "000099-six",
            "+0050-sign",
            "00060",
        ] {
            fs::create_dir(outdir.path().join(other)).unwrap();
        }
        fs::write(outdir.path().join("00070-file"), "x").unwrap();
        let next = RunFolder::create(outdir.path(), "portraits-auto").unwrap();
        assert_eq!(next.path(), outdir.path().join("00042-portraits-auto"));
    }

    #[test]
    fn a_folder_that_used_up_its_numbers_is_an_error() {
        let outdir = tempfile::tempdir().unwrap();
        fs::create_dir(outdir.path().join("99999-last")).unwrap();
        let message = RunFolder::create(outdir.path(), "x").unwrap_err();
        let message = message.to_string();
        assert!(message.contains("the highest number, 99999"), "{message}");
    }

    #[test]
    fn snapshot_names_beyond_all_numbers_are_no_snapshots() {
        let name = |label: &str| format!("{SNAPSHOT_PREFIX}{label}{SNAPSHOT_SUFFIX}");
        assert_eq!(snapshot_order(&name("000005.312")), Some(5312));
        assert_eq!(snapshot_order(&name(&u64::MAX.to_string())), None);
    }

    #[test]
    fn options_are_replaced_whole_and_leave_nothing_else() {
        let outdir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(outdir.path(), "x").unwrap();
        run.write_options("{\"a\": 1}").unwrap();
        run.write_options("{}").unwrap();
        assert_eq!(fs::read_to_string(run.options()).unwrap(), "{}\n");
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_place_of_outdir_is_an_error_that_names_it() {
        let outdir = tempfile::tempdir().unwrap();
        let file = outdir.path().join("taken");
        fs::write(&file, "x").unwrap();
        let message = RunFolder::create(&file, "x").unwrap_err().to_string();
        let expected = format!("cannot create the folder {}", file.display());
        assert!(message.starts_with(&expected), "{message}");
    }

    #[test]
    fn labels_of_a_run_never_repeat() {
        for batch in [1, 7, 16, 32, 64, 300, 1500] {
            let labels: Vec<String> = (0..4000)
                .map(|step| kimg_label(step * batch as u64, batch))
                .collect();
            let mut unique = labels.clone();
            unique.dedup();
            assert_eq!(labels.len(), unique.len(), "batch {batch}");
        }
        assert_eq!(kimg_label(0, 16), "000000");
        assert_eq!(kimg_label(16, 16), "000000.016");
        assert_eq!(kimg_label(4000, 16), "000004");
        assert_eq!(kimg_label(4016, 32), "000004");
        assert_eq!(kimg_label(5312, 32), "000005.312");
        assert_eq!(kimg_label(1_048_600, 32), "001048.600");
    }

    #[test]
    fn the_newest_snapshot_is_the_one_that_saw_most_pictures() {
        let outdir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(outdir.path(), "x").unwrap();
        let none = run.newest_snapshot().unwrap_err().to_string();
        assert!(none.contains("has no network-snapshot-*"), "{none}");
        for images in [16, 0, 5312, 4000, 5000] {
            fs::write(run.snapshot(images, 16), "x").unwrap();
        }
        let newest = run.newest_snapshot().unwrap();
        assert_eq!(newest, run.snapshot(5312, 16));
        assert_eq!(previous_snapshot(&newest), Some(run.snapshot(5000, 16)));
        assert_eq!(previous_snapshot(&run.snapshot(0, 16)), None);
        assert_eq!(find_snapshot(run.path()).unwrap(), newest);
    }
}
