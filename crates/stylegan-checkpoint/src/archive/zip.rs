//! `torch.save` since PyTorch 1.6: the zip entries `NAME/data.pkl` and `NAME/data/KEY`, not compressed.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Cursor;

use ::zip::{CompressionMethod, ZipArchive};

use super::torch::{Storage, Storages};
use crate::pickle::{Limits, ReadError, ReadErrorKind, Result, Tree, parse};

const PICKLE: &str = "data.pkl";

pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Tree<'a>, Storages<'a>)> {
    let damaged = |error: ::zip::result::ZipError| {
        let message = format!("not a whole zip archive ({error})");
        ReadError::new(ReadErrorKind::Damaged, message)
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > limits.nodes {
        let message = format!(
            "expected at most {} zip entries, found {}",
            limits.nodes,
            archive.len()
        );
        return Err(ReadError::new(ReadErrorKind::Limit, message));
    }
    let mut entries = HashMap::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let problem = |kind, message: String| ReadError::new(kind, message).in_part(&name);
        if entry.encrypted() {
            let message = "expected a plain zip entry, found an encrypted one".to_string();
            return Err(problem(ReadErrorKind::Unsupported, message));
        }
        let start = entry
            .data_start()
            .and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.compressed_size()).ok();
        let range = start.zip(length);
        let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let data = range.and_then(|range| bytes.get(range)).ok_or_else(|| {
            let message = format!(
                "expected {} bytes, found fewer to the end of the file",
                entry.compressed_size()
            );
            problem(ReadErrorKind::Truncated, message)
        })?;
        let entry = Entry {
            storage: Storage {
                bytes: data,
                crc32: Cell::new(Some(entry.crc32())),
            },
            is_stored: entry.compression() == CompressionMethod::Stored,
        };
        entries.insert(name, entry);
    }

    let mut pickles = entries.keys().filter(|name| {
        let folder = name.strip_suffix(PICKLE);
        folder.is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
    });
    let pickle = match (pickles.next(), pickles.next()) {
        (Some(pickle), None) => pickle.clone(),
        (None, _) => {
            let mut names: Vec<&str> = entries.keys().map(String::as_str).collect();
            names.sort_unstable();
            let found = match names[..] {
                [] => "an empty zip archive".to_string(),
                [only] => format!("a zip archive with {only} only"),
                [first, ref others @ ..] => {
                    format!("a zip archive with {first} and {} others", others.len())
                }
            };
            let message = format!("expected a PyTorch file with an entry {PICKLE}, found {found}");
            return Err(ReadError::new(ReadErrorKind::Unsupported, message));
        }
        (Some(_), Some(_)) => {
            let message = format!("expected one entry {PICKLE}, found several");
            return Err(ReadError::new(ReadErrorKind::Damaged, message));
        }
    };
    let folder = pickle.strip_suffix(PICKLE).unwrap_or_default();
    if entries.contains_key(&format!("{folder}constants.pkl")) {
        let message = "expected saved tensors, found a TorchScript program; save its state_dict()";
        return Err(ReadError::new(ReadErrorKind::Unsupported, message));
    }
    let byte_order = entries.get(&format!("{folder}byteorder"));
    let big_endian = match byte_order {
        Some(entry) => entry.checked(&format!("{folder}byteorder"))? == b"big",
        None => false,
    };
    let program = entries[&pickle].checked(&pickle)?;
    let (tree, _) = parse(program, 0, limits).map_err(|error| error.in_part(&pickle))?;

    let prefix = format!("{folder}data/");
    let mut data = HashMap::new();
    for (name, entry) in &entries {
        if let Some(key) = name.strip_prefix(&prefix) {
            entry.check_stored(name)?;
            data.insert(key.to_string(), entry.storage.clone());
        }
    }
    Ok((tree, Storages { data, big_endian }))
}

struct Entry<'a> {
    storage: Storage<'a>,
    is_stored: bool,
}

impl<'a> Entry<'a> {
    fn check_stored(&self, name: &str) -> Result<()> {
        if self.is_stored {
            return Ok(());
        }
        let message = "expected an entry that is not compressed, as PyTorch writes it, found a compressed one; \
                       pack the archive again with `zip -0`";
        Err(ReadError::new(ReadErrorKind::Unsupported, message).in_part(name))
    }

    /// The bytes, which are as they were written.
    fn checked(&self, name: &str) -> Result<&'a [u8]> {
        self.check_stored(name)?;
        let Storage { bytes, crc32 } = &self.storage;
        if crc32
            .get()
            .is_some_and(|expected| crc32fast::hash(bytes) != expected)
        {
            let message = "the bytes don't match their checksum";
            return Err(ReadError::new(ReadErrorKind::Damaged, message).in_part(name));
        }
        Ok(bytes)
    }
}
