//! Python pickles as plain data, without Python and without running anything.
//!
//! A pickle is a program for a stack machine that may import any function and call it. [`parse`] runs the
//! machine but not the functions: "import" makes a node with two names, and "call" a node with a callee and
//! its arguments ([`Object`]). What comes out is a [`Tree`] of numbers, texts, lists and such nodes, and
//! whoever reads it decides what `torch._utils._rebuild_tensor_v2` stands for; `os.system` stands for nothing.
//!
//! Files come from strangers: [`Limits`] bound nesting, memo, stack and number of nodes; texts and bytes are
//! borrowed from the input; a value that is used twice is stored once. So memory is bounded by a small
//! multiple of the input's size, and a list that contains itself is only a number that occurs twice.
//!
//! All protocols from 0 to 5 are read. The format is that of the Python module `pickletools`.
//!
//! ```
//! use stylegan_checkpoint::pickle::{Limits, parse};
//!
//! // pickle.dumps({"lr": 0.5, "call": os.system}, protocol=2), as far as a pickle can be trusted
//! let bytes = b"\x80\x02}(U\x02lrG\x3f\xe0\x00\x00\x00\x00\x00\x00U\x04callcos\nsystem\nu.";
//! let (tree, _) = parse(bytes, 0, &Limits::default())?;
//! let root = tree.root();
//! assert_eq!(root.field("lr")?.to_f64()?, 0.5);
//! assert_eq!(root.field("call")?.describe(), "the global os.system");
//! # Ok::<(), stylegan_checkpoint::pickle::ReadError>(())
//! ```

mod error;
mod machine;
mod tree;
mod view;

pub use error::{ReadError, ReadErrorKind, Result};
pub use machine::parse;
pub use tree::{Node, Object, Tree, Value};
pub use view::View;

/// How much a file may ask for. The defaults are ten times what published networks need, or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file in bytes.
    pub file_bytes: usize,
    /// How deeply values may be nested.
    pub depth: usize,
    /// Values that a pickle may keep for later use.
    pub memo: usize,
    /// Values that may be on a pickle's stack at once.
    pub stack: usize,
    /// Values other than numbers, of all pickles in a file together.
    pub nodes: usize,
    /// Bytes of all tensors that are taken out of a file together, as a multiple of the file's size:
    /// several tensors may share their numbers.
    pub tensor_bytes_factor: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 30,
            depth: 256,
            memo: 1 << 20,
            stack: 1 << 20,
            nodes: 1 << 20,
            tensor_bytes_factor: 4,
        }
    }
}

impl Limits {
    /// Checks the size of a file before it is read.
    ///
    /// # Errors
    /// If it is above the limit.
    pub fn check_file_size(&self, bytes: u64) -> Result<()> {
        if bytes <= self.file_bytes as u64 {
            return Ok(());
        }
        let message = format!(
            "expected a file of at most {} bytes, found {bytes}",
            self.file_bytes
        );
        Err(ReadError::new(ReadErrorKind::Limit, message))
    }
}
