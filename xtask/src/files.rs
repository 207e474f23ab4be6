//! Files that commands write.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::print_result;
use crate::progress::Terminal;

/// The folder of a file that an option names must be there, before the work for it begins.
pub fn check_file(option: &str, file: &Path) -> Result<()> {
    check(&format!("{option} {}", file.display()), file)
}

/// [`check_file`] of a file that is no option's.
pub fn check_output(file: &Path) -> Result<()> {
    check(&file.display().to_string(), file)
}

/// `name` is what a user knows the file by.
fn check(name: &str, file: &Path) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!(
            "{name}: there is no folder {}; make it first",
            folder.display()
        )
    }
    ensure!(
        !file.is_dir(),
        "{name}: is a folder; give the name of a file"
    );
    Ok(())
}

/// Writes a file, prints its path, and says what it replaced.
pub fn write(
    path: &Path,
    terminal: &Terminal,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    replace(path, terminal, write)?;
    print_result(path.display())
}

/// [`write`](fn@write) for a command whose result is something else: no path is printed.
pub fn replace(
    path: &Path,
    terminal: &Terminal,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let replaces = path.exists();
    write(path)?;
    if replaces {
        terminal.line("note: replaced the file that was there before");
    }
    Ok(())
}
