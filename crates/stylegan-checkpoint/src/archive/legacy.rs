//! `torch.save` before PyTorch 1.6: a magic number, the version of the format, facts about the machine, the
//! object and the keys of its storages, each a pickle; then for every key a count and the raw numbers.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use super::torch::{Storage, StorageId, Storages};
use crate::pickle::{Limits, Node, ReadError, ReadErrorKind, Result, Tree, View, parse};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC_NUMBER: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The one version of the format that there is.
const VERSION: usize = 1001;

/// Whether a value is what all such files begin with.
pub(super) fn is_magic_number(value: &View) -> bool {
    matches!(value.node(), Some(Node::Long(bytes)) if **bytes == MAGIC_NUMBER)
}

/// Reads the file that begins at byte `start`: the object, and where its storages are.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    start: usize,
    limits: &Limits,
) -> Result<(Tree<'a>, Storages<'a>)> {
    let (magic, end) = parse(bytes, start, limits)?;
    if !is_magic_number(&magic.root()) {
        return Err(magic.root().expected("the magic number of a PyTorch file"));
    }
    let (version, end) = parse(bytes, end, limits)?;
    let version = version.root();
    if version.to_usize()? != VERSION {
        return Err(version.expected("the version 1001 of the format"));
    }
    let (machine, end) = parse(bytes, end, limits)?;
    let little_endian = machine.root().get("little_endian");
    let big_endian = little_endian.and_then(|value| value.bool()) == Some(false);
    let (tree, end) = parse(bytes, end, limits)?;
    let (keys, mut position) = parse(bytes, end, limits)?;

    let sizes = element_sizes(&tree)?;
    let mut data = HashMap::new();
    for key in keys.root().elements()? {
        let name = key.to_text()?;
        let truncated = |message: String| {
            ReadError::new(ReadErrorKind::Truncated, message)
                .at_byte(position)
                .at_path(format!("storage {name}"))
        };
        let rest = bytes.get(position..).unwrap_or_default();
        let Some((count, rest)) = rest.split_first_chunk::<8>() else {
            return Err(truncated(format!(
                "expected a count of 8 bytes, found {} to the end of the file",
                rest.len()
            )));
        };
        let count = match big_endian {
            true => u64::from_be_bytes(*count),
            false => u64::from_le_bytes(*count),
        };
        let size = sizes.get(name).copied().ok_or_else(|| {
            key.error(
                ReadErrorKind::Damaged,
                format!("expected a storage that a tensor uses, found {name:?}"),
            )
        })?;
        let length = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size));
        let storage = length.and_then(|length| rest.get(..length));
        let storage = storage.ok_or_else(|| {
            truncated(format!(
                "expected {count} numbers of {size} bytes, found {} bytes to the end of the file",
                rest.len()
            ))
        })?;
        position += 8 + storage.len();
        let storage = Storage {
            bytes: storage,
            crc32: Cell::new(None),
        };
        data.insert(name.to_string(), storage);
    }
    Ok((tree, Storages { data, big_endian }))
}

/// Bytes of a number, by storage.
fn element_sizes(tree: &Tree) -> Result<BTreeMap<String, usize>> {
    let mut sizes = BTreeMap::new();
    for node in tree.nodes() {
        if let Some(id) = node.persistent() {
            let StorageId { key, element, .. } = StorageId::new(&id)?;
            sizes.insert(key.to_string(), element.size());
        }
    }
    Ok(sizes)
}
