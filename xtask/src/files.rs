//! Files that commands write.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::print_result;
use crate::progress::Terminal;

/// The folder of a file that an option names must be there, before the work for it begins.
pub fn check_file(option: &str, file: &Path) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "{option} {}: there is no folder {}; make it first",
            file.display(),
            folder.display()
        )
    }
    ensure!(
        !file.is_dir(),
        "{option} {}: is a folder; give the name of a file",
        file.display()
    );
    Ok(())
}

/// Writes a file, prints its path, and says what it replaced.
pub fn write(
    path: &Path,
    terminal: &Terminal,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let replaces = path.exists();
    write(path)?;
    if replaces {
        terminal.line("note: replaced the file that was there before");
    }
    print_result(path.display())
}
