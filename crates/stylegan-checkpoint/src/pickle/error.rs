use std::fmt;

/// Why a foreign file can't be read, and where in it.
///
/// ```text
/// data.pkl, byte 1204, at g_ema.conv1.conv.weight: expected a storage of 36864 bytes, found 12
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The file inside of the file, e.g. the entry of a zip archive.
    pub part: Option<String>,
    /// Bytes from the beginning of the file, or of the part of it.
    pub offset: Option<usize>,
    /// The way from the root to the value, e.g. `G_ema.z_dim`.
    pub path: String,
    /// What kind of problem it is.
    pub kind: ReadErrorKind,
    /// What was expected and what was found.
    pub message: String,
}

/// Kinds of [`ReadError`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// The file ends too early.
    Truncated,
    /// The file contradicts itself or its format.
    Damaged,
    /// The file asks for more than [`Limits`](super::Limits) allow.
    Limit,
    /// The file is in order, but holds something that is not read.
    Unsupported,
    /// The file is in order, but doesn't hold what was looked for.
    Unexpected,
}

/// The result type of readers of foreign files.
pub type Result<T> = std::result::Result<T, ReadError>;

impl ReadError {
    /// A problem of the whole file.
    pub fn new(kind: ReadErrorKind, message: impl Into<String>) -> Self {
        Self {
            part: None,
            offset: None,
            path: String::new(),
            kind,
            message: message.into(),
        }
    }

    /// The same problem at a number of bytes from the beginning.
    pub fn at_byte(self, offset: usize) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    /// The same problem at a way from the root.
    pub fn at_path(self, path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..self
        }
    }

    /// The same problem in a part of the file, where it doesn't name one yet.
    pub fn in_part(self, part: &str) -> Self {
        Self {
            part: self.part.or_else(|| Some(part.to_string())),
            ..self
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place: Vec<String> = [
            self.part.clone(),
            self.offset.map(|offset| format!("byte {offset}")),
            (!self.path.is_empty()).then(|| format!("at {}", self.path)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}
