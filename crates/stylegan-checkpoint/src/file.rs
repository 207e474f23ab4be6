//! Whole files: written so that a reader never sees half of one, and read only if worth it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{CheckpointError, Result};

/// The largest header that the safetensors format allows, in bytes.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Calls `write` with the name of a new file in the folder of `path`, flushes that file to the disk and
/// renames it to `path`, which holds either its old or its new content whatever happens.
///
/// # Errors
/// That of `write`, or of the folder: it is missing, can't be written, or is full. `path` is then as it
/// was, and the new file is gone.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-").suffix(".tmp");
    // A temporary file is private by default; ours have the permissions of any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;
    let permissions = temporary.as_file().metadata()?.permissions();
    let temporary = temporary.into_temp_path();
    write(&temporary)?;
    // `write` may have replaced the file and its permissions.
    let file = File::options().write(true).open(&temporary)?;
    file.set_permissions(permissions)?;
    file.sync_all()?;
    drop(file);
    temporary.persist(path).map_err(|e| e.error)
}

/// The whole file, unless its first bytes show that it is no safetensors file, or not all of it.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::NotFound {
            path: path.to_path_buf(),
        },
        _ => CheckpointError::Read {
            path: path.to_path_buf(),
            source,
        },
    };
    let info = std::fs::metadata(path).map_err(failed)?;
    let not_ours = |reason: String| CheckpointError::NotACheckpoint {
        path: path.to_path_buf(),
        reason,
    };
    if !info.is_file() {
        return Err(not_ours("it is not a file".to_string()));
    }
    let mut file = File::open(path).map_err(failed)?.take(info.len());
    let mut bytes = Vec::new();
    (&mut file)
        .take(9)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let damaged = |reason: String| CheckpointError::Damaged {
        path: path.to_path_buf(),
        reason,
    };
    let Some((length, start)) = bytes.split_first_chunk::<8>() else {
        return Err(damaged(format!("it has only {} bytes", info.len())));
    };
    let header = u64::from_le_bytes(*length);
    if header > MAX_HEADER_BYTES || !matches!(start, [] | [b'{']) {
        return Err(not_ours(
            "it doesn't start like a safetensors file".to_string(),
        ));
    }
    if header > info.len() - 8 {
        return Err(damaged(format!(
            "it should start with a header of {header} bytes, but has {} bytes",
            info.len()
        )));
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
