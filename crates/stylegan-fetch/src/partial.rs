//! Downloads that are not complete.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{FetchError, Result};
use crate::sum::{Sum, feed};

/// What a server called the content that it sends: RFC 9110's strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) etag: String,
}

/// The part of a file that has come so far: `KEY.part`, beside `KEY.json` with the server's name of the content.
/// `KEY.lock` is this program's as long as the value lives.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    bytes: u64,
    hasher: Sha256,
    version: Option<Version>,
    lock: File,
}

impl Partial {
    /// What there is under that key, a name without an extension, waiting for other programs that are at it.
    pub(crate) fn open(key: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let lock = lock(&key.with_extension("lock"), waiting)?;
        let path = key.with_extension("part");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let file = open().map_err(FetchError::writing(&path))?;
        let version = fs::read(key.with_extension("json"));
        let version = version
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut hasher = Sha256::new();
        let bytes = match &version {
            Some(_) => feed(&mut hasher, &file).map_err(FetchError::reading(&path))?,
            None => 0,
        };
        let mut partial = Self {
            path,
            file,
            bytes,
            hasher,
            version,
            lock,
        };
        if partial.bytes == 0 {
            partial.restart(None)?;
        }
        Ok(partial)
    }

    /// How much there is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The content that what is there is the beginning of; none where that isn't known.
    pub(crate) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Forgets what is there; what comes next is of that content.
    pub(crate) fn restart(&mut self, version: Option<Version>) -> Result<()> {
        let info = self.path.with_extension("json");
        let mut restart = || {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            match &version {
                Some(version) => fs::write(&info, serde_json::to_vec(version)?),
                None => remove(&info),
            }
        };
        restart().map_err(FetchError::writing(&self.path))?;
        self.bytes = 0;
        self.hasher = Sha256::new();
        self.version = version;
        Ok(())
    }

    /// The next bytes of the file.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(FetchError::writing(&self.path))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The sum of what is there.
    pub(crate) fn sum(&self) -> Sum {
        self.hasher.clone().into()
    }

    /// Moves the file to its place when all of it is on the disk; returns its size, and the lock to hold on to
    /// until others can find it.
    pub(crate) fn persist(self, to: &Path) -> Result<(u64, File)> {
        let info = self.path.with_extension("json");
        let Self {
            path,
            file,
            bytes,
            lock,
            ..
        } = self;
        file.sync_all().map_err(FetchError::writing(&path))?;
        drop(file);
        fs::rename(&path, to).map_err(FetchError::writing(to))?;
        remove(&info).map_err(FetchError::writing(&info))?;
        Ok((bytes, lock))
    }

    /// Keeps what a later try can go on from, and nothing else.
    pub(crate) fn abandon(self) -> Result<()> {
        match (&self.version, self.bytes) {
            (None, _) | (_, 0) => self.discard(),
            (Some(_), _) => Ok(()),
        }
    }

    /// Removes it.
    pub(crate) fn discard(self) -> Result<()> {
        let info = self.path.with_extension("json");
        let Self {
            path,
            file,
            lock: _lock,
            ..
        } = self;
        drop(file);
        for path in [info, path] {
            remove(&path).map_err(FetchError::writing(&path))?;
        }
        Ok(())
    }
}

/// Locks a file for as long as it is open.
fn lock(path: &Path, waiting: impl FnOnce()) -> Result<File> {
    let lock = || {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()?;
                Ok(file)
            }
        }
    };
    lock().map_err(FetchError::writing(path))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: &str) -> Option<Version> {
        Some(Version {
            etag: etag.to_string(),
        })
    }

    #[test]
    fn what_has_come_of_a_known_content_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let open = || Partial::open(&key, || panic!("nobody else is at it")).unwrap();
        let mut partial = open();
        partial.restart(version("\"a\"")).unwrap();
        partial.append(b"ab").unwrap();
        drop(partial);
        let mut partial = open();
        assert_eq!(
            (partial.bytes(), partial.version()),
            (2, version("\"a\"").as_ref())
        );
        partial.append(b"c").unwrap();
        assert_eq!(partial.sum(), Sum::of(b"abc"));
        let whole = folder.path().join("whole");
        assert_eq!(partial.persist(&whole).unwrap().0, 3);
        assert_eq!(fs::read(&whole).unwrap(), b"abc");
        assert_eq!(open().bytes(), 0);
    }

    #[test]
    fn what_has_come_of_an_unknown_content_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let open = || Partial::open(&key, || panic!("nobody else is at it")).unwrap();
        let mut partial = open();
        partial.append(b"ab").unwrap();
        drop(partial);
        let mut partial = open();
        assert_eq!(partial.bytes(), 0);
        partial.append(b"c").unwrap();
        assert_eq!(partial.sum(), Sum::of(b"c"));
        partial.discard().unwrap();
        let names = fs::read_dir(folder.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["key.lock"]);
    }

    #[test]
    fn a_second_program_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let first = Partial::open(&key, || panic!("nobody else is at it")).unwrap();
        let (says, hears) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                Partial::open(&key, || says.send(()).unwrap()).unwrap();
            });
            hears.recv().unwrap();
            assert!(!second.is_finished());
            drop(first);
        });
    }
}
