//! Files behind `https` addresses: downloaded once, checked, and kept by their content.
//!
//! An [`Address`] is that of a file, and may say what is in it: `https://.../ffhq.pkl#sha256=a205...`.
//! [`Fetcher::fetch`] gives the path of a copy on this machine. It is in a [`Cache`] under the SHA-256 sum of its
//! content, so the same file is downloaded once, wherever it comes from, and a second run needs no connection.
//!
//! - Only `https` is spoken, and only redirects to `https` are followed. The certificates that the system trusts
//!   count, or those in the file that the environment variable `SSL_CERT_FILE` names; a proxy is that of
//!   `HTTPS_PROXY`.
//! - A file is there whole or not at all: it is renamed into its place when its length and sum are known to be right.
//! - A download that breaks off goes on where it ended, in the same run and in the next one, if the server can do so
//!   and says that the file is still the same. Programs that want the same file at once download it once.
//! - Nothing is endless: connecting, waiting and every read have a time limit, and files a size limit.
//!
//! ```no_run
//! use stylegan_fetch::{Address, Cache, Event, Fetcher};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let address: Address = "https://example.org/networks/ffhq.pkl".parse()?;
//! let fetched = Fetcher::new(Cache::of_user()?).fetch(&address, &mut |event| {
//!     if let Event::Received { bytes } = event {
//!         println!("{bytes} bytes");
//!     }
//! })?;
//! println!("{} with the sum {}", fetched.path.display(), fetched.sum);
//! # Ok(())
//! # }
//! ```

mod address;
mod cache;
mod download;
mod error;
mod partial;
mod sum;

use std::path::PathBuf;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

pub use address::Address;
pub use cache::{CACHE_VARIABLE, Cache};
pub use error::{FetchError, Result};
pub use sum::Sum;

/// Larger than any network that was published.
const LARGEST_FILE: u64 = 16 << 30;

/// For a connection, for the first bytes of an answer, and for each of the next.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happens in [`Fetcher::fetch`], for people to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Another program downloads the same file; this one waits for it.
    Waiting,
    /// A download begins, or goes on after `bytes` that were there already.
    Started {
        /// What is there already.
        bytes: u64,
        /// The size of the file, where the server says it.
        total: Option<u64>,
    },
    /// There are `bytes` now.
    Received {
        /// From the beginning of the file.
        bytes: u64,
    },
}

/// A file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is. The name is its sum.
    pub path: PathBuf,
    /// The sum of its content.
    pub sum: Sum,
    /// Whether it was downloaded just now.
    pub is_new: bool,
}

/// Gets files from a cache or the network.
#[derive(Debug, Clone)]
pub struct Fetcher {
    cache: Cache,
    /// In place of those that the system trusts.
    roots: Option<Vec<Certificate<'static>>>,
    patience: Duration,
    largest: u64,
    is_direct: bool,
}

impl Fetcher {
    /// Files of at most 16 GiB, with 30 seconds of patience.
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            roots: None,
            patience: PATIENCE,
            largest: LARGEST_FILE,
            is_direct: false,
        }
    }

    /// With another limit of the size of a file, in bytes.
    pub fn with_largest(self, largest: u64) -> Self {
        Self { largest, ..self }
    }

    /// With other time limits: for a connection, for the first bytes of an answer, and for each of the next.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Trusts the certificates of a PEM text rather than those that the system trusts.
    ///
    /// # Errors
    /// If there is none in it, or a damaged one.
    pub fn with_roots(self, pem: &str) -> Result<Self> {
        let mut roots = Vec::new();
        for item in parse_pem(pem.as_bytes()) {
            if let PemItem::Certificate(root) = item.map_err(FetchError::roots)? {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(FetchError::roots("there is none in the text"));
        }
        Ok(Self {
            roots: Some(roots),
            ..self
        })
    }

    /// Speaks to servers themselves, whatever the environment says about a proxy.
    pub fn without_proxy(self) -> Self {
        Self {
            is_direct: true,
            ..self
        }
    }

    /// The file behind an address: that in the cache, or else a new one.
    ///
    /// An address with a sum is that of any file with this sum; its content is checked even where it is in the cache.
    /// An address without one is that of the file that was there first: to look again, remove it from the cache.
    ///
    /// # Errors
    /// Each names the address, or the file of the cache: the server can't be reached, refuses, leads elsewhere than to
    /// `https`, stops, or sends more than allowed or something else than expected; the cache can't be written.
    pub fn fetch(&self, address: &Address, watch: &mut dyn FnMut(Event)) -> Result<Fetched> {
        if let Some(found) = self.cache.find(address)? {
            return Ok(found);
        }
        let mut partial = self.cache.partial(address, || watch(Event::Waiting))?;
        // Another program may have been faster.
        if let Some(found) = self.cache.find(address)? {
            partial.discard()?;
            return Ok(found);
        }
        let downloaded = self
            .agent()
            .and_then(|agent| download::run(&agent, address, &mut partial, self.largest, watch));
        match (downloaded, address.sum()) {
            (Err(error), _) => {
                partial.abandon()?;
                Err(error)
            }
            (Ok(found), Some(&expected)) if found != expected => {
                partial.discard()?;
                let address = address.to_string();
                Err(FetchError::Sum {
                    address,
                    expected,
                    found,
                })
            }
            (Ok(sum), _) => self.cache.keep(address, partial, sum),
        }
    }

    fn agent(&self) -> Result<Agent> {
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => system_roots()?,
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::from(roots));
        let mut config = Config::builder()
            .tls_config(tls.build())
            .https_only(true)
            .http_status_as_error(false)
            .user_agent(concat!("stylegan-rs/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.patience))
            .timeout_recv_response(Some(self.patience))
            .timeout_per_read(Some(self.patience));
        if self.is_direct {
            config = config.proxy(None);
        }
        Ok(config.build().new_agent())
    }
}

/// Certificates that the system trusts, or those that the environment names in their place.
fn system_roots() -> Result<Vec<Certificate<'static>>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    if let Some(file) = named.filter(|file| !file.is_file()) {
        let problem = format!("SSL_CERT_FILE names {}, which isn't a file", file.display());
        return Err(FetchError::roots(problem));
    }
    let found = rustls_native_certs::load_native_certs();
    match (found.certs.is_empty(), found.errors.first()) {
        (false, _) => {
            let roots = found.certs.iter();
            let roots = roots.map(|root| Certificate::from_der(root).to_owned());
            Ok(roots.collect())
        }
        (true, Some(error)) => Err(FetchError::roots(error)),
        (true, None) => Err(FetchError::roots("the system has none")),
    }
}
