//! Where files come from: a nested folder or a zip archive. Reading is thread-safe.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use walkdir::WalkDir;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::DataError;

/// Name of the labels file at the top of a dataset.
const LABELS_NAME: &str = "dataset.json";
/// The most bytes of a picture's file: far more than any real one has.
const PICTURE_LIMIT_BYTES: u64 = 256 << 20;
/// The most bytes of the labels file: room for millions of pictures.
const LABELS_LIMIT_BYTES: u64 = 1 << 30;
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// The pictures of a folder or zip, sorted by name, and its labels file.
#[derive(Debug)]
pub(crate) struct Source {
    root: PathBuf,
    names: Vec<String>,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    /// Paths of the pictures, in the order of `names`.
    Folder(Vec<PathBuf>),
    /// Entry numbers of the pictures, in the order of `names`.
    Zip {
        archive: ZipArchive<SharedReader>,
        entries: Vec<usize>,
    },
}

impl Source {
    /// Lists the pictures below `root`, in the order of their names.
    pub(crate) fn open(root: &Path) -> Result<Self, DataError> {
        let metadata = std::fs::metadata(root).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DataError::NotFound { path: root.into() },
            _ => read_error(root.display(), source),
        })?;
        let source = if metadata.is_dir() {
            let (names, paths) = split_pictures(root, list_folder(root)?)?;
            Self {
                root: root.into(),
                names,
                storage: Storage::Folder(paths),
            }
        } else {
            let (archive, files) = list_zip(root)?;
            let (names, entries) = split_pictures(root, files)?;
            Self {
                root: root.into(),
                names,
                storage: Storage::Zip { archive, entries },
            }
        };
        Ok(source)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Names of the pictures relative to the root, `/` between folders.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How a picture is called in messages.
    pub(crate) fn describe(&self, index: usize) -> String {
        format!("{}: {}", self.root.display(), self.names[index])
    }

    /// The bytes of a picture.
    pub(crate) fn read(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let bytes = self.read_start(index, PICTURE_LIMIT_BYTES + 1)?;
        within(PICTURE_LIMIT_BYTES, bytes, || self.describe(index))
    }

    /// The first `len` bytes of a picture, or all where there are fewer.
    pub(crate) fn read_start(&self, index: usize, len: u64) -> Result<Vec<u8>, DataError> {
        match &self.storage {
            Storage::Folder(paths) => read_file(&paths[index], len),
            Storage::Zip { archive, entries } => read_entry(archive, entries[index], len),
        }
        .map_err(|source| read_error(self.describe(index), source))
    }

    /// How the labels file is called in messages.
    pub(crate) fn labels_name(&self) -> String {
        format!("{}: {LABELS_NAME}", self.root.display())
    }

    /// The bytes of the labels file, `None` where there is none.
    pub(crate) fn read_labels(&self) -> Result<Option<Vec<u8>>, DataError> {
        let len = LABELS_LIMIT_BYTES + 1;
        let bytes = match &self.storage {
            Storage::Folder(_) => match read_file(&self.root.join(LABELS_NAME), len) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other,
            },
            Storage::Zip { archive, .. } => match archive.index_for_name(LABELS_NAME) {
                None => return Ok(None),
                Some(entry) => read_entry(archive, entry, len),
            },
        };
        let bytes = bytes.map_err(|source| read_error(self.labels_name(), source))?;
        within(LABELS_LIMIT_BYTES, bytes, || self.labels_name()).map(Some)
    }
}

/// The bytes of a picture that is no part of a dataset.
pub(crate) fn read_single(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = || path.display().to_string();
    let bytes = read_file(path, PICTURE_LIMIT_BYTES + 1);
    let bytes = bytes.map_err(|source| read_error(file(), source))?;
    within(PICTURE_LIMIT_BYTES, bytes, file)
}

/// The bytes, unless there are more than `limit`.
fn within(limit: u64, bytes: Vec<u8>, file: impl FnOnce() -> String) -> Result<Vec<u8>, DataError> {
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLarge {
            file: file(),
            limit_mib: limit >> 20,
        });
    }
    Ok(bytes)
}

fn read_error(file: impl ToString, source: io::Error) -> DataError {
    DataError::Read {
        file: file.to_string(),
        source,
    }
}

/// Keeps the pictures among `files`, sorted by name.
fn split_pictures<T>(
    root: &Path,
    files: Vec<(String, T)>,
) -> Result<(Vec<String>, Vec<T>), DataError> {
    let (mut pictures, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(name, _)| is_picture(name));
    if pictures.is_empty() {
        let mut others: Vec<_> = others.into_iter().map(|(name, _)| name).collect();
        others.sort();
        return Err(DataError::Empty {
            path: root.into(),
            others,
        });
    }
    pictures.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(pictures.into_iter().unzip())
}

fn is_picture(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// Hidden files, and the folder of resource forks that macOS puts into zips.
fn is_ignored(component: &str) -> bool {
    component.starts_with('.') || component == "__MACOSX"
}

fn list_folder(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let walk = WalkDir::new(root)
        .follow_links(true)
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !is_ignored(&entry.file_name().to_string_lossy())
        });
    let mut files = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| {
            let file = error.path().unwrap_or(root).display().to_string();
            read_error(file, error.into())
        })?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
            let components: Vec<_> = relative
                .components()
                .map(|component| component.as_os_str().to_string_lossy())
                .collect();
            files.push((components.join("/"), entry.into_path()));
        }
    }
    Ok(files)
}

type ZipListing = (ZipArchive<SharedReader>, Vec<(String, usize)>);

fn list_zip(root: &Path) -> Result<ZipListing, DataError> {
    let not_an_archive = |source: ZipError| DataError::NotAnArchive {
        path: root.into(),
        source,
    };
    let file = File::open(root).map_err(|source| read_error(root.display(), source))?;
    let archive = ZipArchive::new(SharedReader::new(file)).map_err(not_an_archive)?;
    let mut files = Vec::with_capacity(archive.len());
    for (entry, name) in archive.file_names().enumerate() {
        // Some Windows tools write backslashes, against the zip specification.
        let name = name.map_err(not_an_archive)?.replace('\\', "/");
        if !name.ends_with('/') && !name.split('/').any(is_ignored) {
            files.push((name, entry));
        }
    }
    Ok((archive, files))
}

fn read_file(path: &Path, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_entry(archive: &ZipArchive<SharedReader>, entry: usize, len: u64) -> io::Result<Vec<u8>> {
    // A clone shares the listing and the file, and has its own position.
    let mut archive = archive.clone();
    let mut bytes = Vec::new();
    archive.by_index(entry)?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A buffered reader whose clones read the same open file from positions of their own.
#[derive(Debug)]
struct SharedReader(BufReader<SharedFile>);

#[derive(Debug, Clone)]
struct SharedFile {
    file: Arc<Mutex<File>>,
    position: u64,
}

impl SharedReader {
    fn new(file: File) -> Self {
        Self(BufReader::new(SharedFile {
            file: Arc::new(Mutex::new(file)),
            position: 0,
        }))
    }
}

impl Clone for SharedReader {
    /// The clone starts with an empty buffer: seek before reading.
    fn clone(&self) -> Self {
        Self(BufReader::new(self.0.get_ref().clone()))
    }
}

impl Read for SharedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for SharedReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A panic elsewhere can't leave the file in a bad state: every read seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.position))?;
        let count = file.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => {
                let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.metadata()?.len().checked_add_signed(offset)
            }
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek before the start of the file",
            )
        })?;
        Ok(self.position)
    }
}
