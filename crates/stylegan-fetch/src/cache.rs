use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Fetched;
use crate::address::Address;
use crate::error::{FetchError, Result};
use crate::partial::Partial;
use crate::sum::{Sum, feed};

/// The environment variable that names the folder of the user's cache.
pub const CACHE_VARIABLE: &str = "STYLEGAN_CACHE";

/// A folder of files under the sums of their contents.
///
/// ```text
/// files/SUM               the files
/// addresses/KEY.json      which file an address had; KEY is the sum of the address
/// partial/KEY.*           downloads that are not complete
/// ```
///
/// It may be removed at any time, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// Which file an address had.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    address: String,
    sum: Sum,
    bytes: u64,
}

impl Cache {
    /// A cache in that folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The user's: the folder that `STYLEGAN_CACHE` names, or else `stylegan-rs` in the folder that the system has for
    /// caches (`$XDG_CACHE_HOME` or `~/.cache`; on Windows `%LOCALAPPDATA%`).
    ///
    /// # Errors
    /// If there is no home folder.
    pub fn of_user() -> Result<Self> {
        match std::env::var_os(CACHE_VARIABLE).filter(|folder| !folder.is_empty()) {
            Some(folder) => Ok(Self::new(folder)),
            None => match etcetera::choose_base_strategy() {
                Ok(folders) => Ok(Self::new(folders.cache_dir().join("stylegan-rs"))),
                Err(error) => Err(FetchError::NoHome {
                    problem: error.to_string(),
                }),
            },
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that an address has in the cache, if any; a damaged one is removed.
    ///
    /// # Errors
    /// If the cache can't be read.
    pub fn find(&self, address: &Address) -> Result<Option<Fetched>> {
        let entry = self.entry(address)?;
        let Some(sum) = address
            .sum()
            .copied()
            .or(entry.as_ref().map(|entry| entry.sum))
        else {
            return Ok(None);
        };
        let path = self.file(&sum);
        let is_whole = match address.sum() {
            // Whoever gives a sum wants it checked.
            Some(_) => sum_of(&path).map(|found| found == sum),
            None => {
                fs::metadata(&path).map(|info| Some(info.len()) == entry.map(|entry| entry.bytes))
            }
        };
        match is_whole {
            Ok(true) => Ok(Some(Fetched {
                path,
                sum,
                is_new: false,
            })),
            Ok(false) => {
                fs::remove_file(&path).map_err(FetchError::writing(&path))?;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FetchError::reading(&path)(error)),
        }
    }

    /// The download of an address, as far as it has come, for this program alone.
    pub(crate) fn partial(&self, address: &Address, waiting: impl FnOnce()) -> Result<Partial> {
        let folder = self.folder.join("partial");
        create(&folder)?;
        Partial::open(&folder.join(key(address)), waiting)
    }

    /// Takes a complete download in.
    pub(crate) fn keep(&self, address: &Address, partial: Partial, sum: Sum) -> Result<Fetched> {
        let path = self.file(&sum);
        create(&self.folder.join("files"))?;
        let (bytes, _lock) = partial.persist(&path)?;
        let entry = Entry {
            address: address.to_string(),
            sum,
            bytes,
        };
        self.write_entry(address, &entry)?;
        Ok(Fetched {
            path,
            sum,
            is_new: true,
        })
    }

    fn file(&self, sum: &Sum) -> PathBuf {
        self.folder.join("files").join(sum.to_string())
    }

    fn entry_path(&self, address: &Address) -> PathBuf {
        let name = format!("{}.json", key(address));
        self.folder.join("addresses").join(name)
    }

    /// One that can't be understood counts as none: the file is downloaded again.
    fn entry(&self, address: &Address) -> Result<Option<Entry>> {
        let path = self.entry_path(address);
        match fs::read(&path) {
            Ok(bytes) => {
                let entry = serde_json::from_slice(&bytes).ok();
                Ok(entry.filter(|entry: &Entry| entry.address == address.url()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FetchError::reading(&path)(error)),
        }
    }

    fn write_entry(&self, address: &Address, entry: &Entry) -> Result<()> {
        let path = self.entry_path(address);
        let folder = self.folder.join("addresses");
        create(&folder)?;
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer_pretty(&mut file, entry)?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map_err(FetchError::writing(&path))?;
        Ok(())
    }
}

/// The name of an address in the cache.
fn key(address: &Address) -> String {
    Sum::of(address.url().as_bytes()).to_string()
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(FetchError::writing(folder))
}

fn sum_of(path: &Path) -> io::Result<Sum> {
    let mut hasher = Sha256::new();
    feed(&mut hasher, File::open(path)?)?;
    Ok(hasher.into())
}
