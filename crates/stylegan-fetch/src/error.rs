use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::sum::Sum;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, FetchError>;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none, or none that is followed.
    #[error("{address}: {problem}")]
    Address {
        /// As it was given.
        address: String,
        /// What was expected and found.
        problem: String,
    },
    /// No answer.
    #[error(
        "{address}: can't be reached, and isn't in the cache: {problem}; check the address and the connection"
    )]
    Unreachable {
        /// Of the file.
        address: String,
        /// What failed.
        problem: String,
    },
    /// An answer that isn't the file.
    #[error("{address}: the server answers {status}; check the address")]
    Status {
        /// Of the file.
        address: String,
        /// The number and its meaning.
        status: String,
    },
    /// The address leads to another one that isn't followed.
    #[error("{address}: leads to {to}, but only https:// addresses are followed")]
    Redirect {
        /// Of the file.
        address: String,
        /// Where it leads.
        to: String,
    },
    /// The file is larger than allowed.
    #[error("{address}: expected a file of at most {largest} bytes, found {found}")]
    TooLarge {
        /// Of the file.
        address: String,
        /// What is allowed.
        largest: u64,
        /// What the server announces, or that there is more.
        found: String,
    },
    /// A page for people that stands before the file.
    #[error("{address}: expected a file, found a web page; give the address of the file itself")]
    WebPage {
        /// Of the page.
        address: String,
    },
    /// The download ended before the file did.
    #[error("{address}: the download ended after {received}: {problem}; {advice}")]
    Broken {
        /// Of the file.
        address: String,
        /// Bytes that came, and of how many.
        received: String,
        /// What failed.
        problem: String,
        /// Whether it can go on.
        advice: &'static str,
    },
    /// The content is another one than expected.
    #[error("{address}: expected the SHA-256 sum {expected}, found {found}; nothing was kept")]
    Sum {
        /// Of the file.
        address: String,
        /// That of the address.
        expected: Sum,
        /// That of the content.
        found: Sum,
    },
    /// A file of the cache can't be read or written.
    #[error("{}: the cache can't be {doing}: {source}; STYLEGAN_CACHE can name another folder for it", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no place for a cache.
    #[error(
        "there is no home folder to keep downloads in: {problem}; set STYLEGAN_CACHE to a folder"
    )]
    NoHome {
        /// What failed.
        problem: String,
    },
    /// Nobody is trusted.
    #[error(
        "no certificates to trust: {problem}; install the ca-certificates of your system, or set SSL_CERT_FILE"
    )]
    Roots {
        /// What failed.
        problem: String,
    },
}

impl FetchError {
    pub(crate) fn roots(problem: impl Display) -> Self {
        Self::Roots {
            problem: problem.to_string(),
        }
    }

    /// For `map_err` where a file of the cache is read.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::cache(path, "read")
    }

    /// For `map_err` where a file of the cache is written.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::cache(path, "written")
    }

    fn cache(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Cache {
            path: path.to_path_buf(),
            doing,
            source,
        }
    }
}
