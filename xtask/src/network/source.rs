//! What `--network` names: a file, a run folder or an address.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use stylegan_fetch::{Address, Cache, Event, Fetcher};
use stylegan_trainer::find_snapshot;

use crate::progress::Terminal;

/// How much of a file has come, and how fast.
const BAR: &str = "{bar:24} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";

/// The same where nobody knows how many there are.
const SPINNER: &str = "{spinner} {bytes}  {bytes_per_sec}";

/// A network file on this machine.
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The address that it comes from, if any.
    address: Option<Address>,
}

impl Source {
    /// The file itself, the newest checkpoint of a run folder, or what is behind an address, which is downloaded where
    /// the cache doesn't have it.
    pub fn find(network: &Path, terminal: &Terminal) -> Result<Self> {
        if let Some(text) = network.to_str().filter(|text| Address::is_one(text)) {
            let address: Address = text.parse()?;
            let path = fetch(&address, terminal)?;
            let address = Some(address);
            return Ok(Self { path, address });
        }
        ensure!(
            network.exists(),
            "{}: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address",
            network.display()
        );
        Ok(Self {
            path: find_snapshot(network)?,
            address: None,
        })
    }

    /// What a user knows it by.
    pub fn name(&self) -> String {
        match &self.address {
            Some(address) => address.to_string(),
            None => self.path.display().to_string(),
        }
    }

    /// Adds the address to an error that names the file.
    pub fn explain<T, E>(&self, result: std::result::Result<T, E>) -> Result<T>
    where
        std::result::Result<T, E>: Context<T, E>,
        anyhow::Error: From<E>,
    {
        match &self.address {
            Some(address) => result.with_context(|| address.to_string()),
            None => Ok(result?),
        }
    }
}

fn fetch(address: &Address, terminal: &Terminal) -> Result<PathBuf> {
    let mut bar = None;
    let fetched = Fetcher::new(Cache::of_user()?).fetch(address, &mut |event| match event {
        Event::Waiting => terminal.line(&format!(
            "waiting for another program that downloads {address}"
        )),
        Event::Started { bytes, total } => bar = download_bar(bytes, total, terminal),
        Event::Received { bytes } => {
            if let Some(bar) = &bar {
                bar.set_position(bytes);
            }
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let fetched = fetched?;
    if fetched.is_new && address.sum().is_none() {
        terminal.line(&format!(
            "note: downloaded {address}; {address}#sha256={} makes sure that it stays the same",
            fetched.sum
        ));
    }
    Ok(fetched.path)
}

/// A bar from what is there already.
fn download_bar(bytes: u64, total: Option<u64>, terminal: &Terminal) -> Option<ProgressBar> {
    let bar = terminal.styled_bar(total, if total.is_some() { BAR } else { SPINNER })?;
    bar.set_position(bytes);
    bar.reset_eta();
    Some(bar)
}
