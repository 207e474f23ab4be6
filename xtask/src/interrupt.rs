//! Ctrl-C as a wish to stop, rather than an end.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::progress::Terminal;

/// Exit status of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// A flag that the first Ctrl-C raises, with a line that says what happens now; the second ends the program at
/// once.
pub fn stop_on_interrupt(terminal: &Terminal, line: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (raised, terminal) = (Arc::clone(&stop), terminal.clone());
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            process::exit(INTERRUPTED);
        }
        terminal.line(line);
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(stop)
}
