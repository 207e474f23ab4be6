//! PyTorch tensors in pickles.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use super::tensor::{Element, LazyTensor};
use super::{Budget, legacy};
use crate::pickle::{Limits, ReadError, ReadErrorKind, Result, View};

/// The raw numbers of a PyTorch file, by key.
#[derive(Debug, Default)]
pub(super) struct Storages<'a> {
    pub(super) data: HashMap<String, Storage<'a>>,
    pub(super) big_endian: bool,
}

/// The raw numbers of one storage.
#[derive(Debug, Clone)]
pub(super) struct Storage<'a> {
    pub(super) bytes: &'a [u8],
    /// What the bytes of a zip entry must have; none where they were found to have it, or are not of a zip.
    pub(super) crc32: Cell<Option<u32>>,
}

/// A part of a storage, and the type of its numbers.
struct Part<'t> {
    element: Element,
    data: &'t [u8],
    big_endian: bool,
}

/// The tensor that a value stands for; none where it stands for something else.
///
/// Tensors are `_rebuild_tensor_v2(storage, offset, size, stride, ...)`; a parameter is
/// `_rebuild_parameter(tensor, ...)`.
pub(super) fn tensor<'t, 'a>(
    value: &View<'t, 'a>,
    storages: &'t Storages<'a>,
    limits: &Limits,
    parsing: &Budget,
) -> Result<Option<LazyTensor<'t>>> {
    let Some(("torch._utils", function)) = value.callee() else {
        return Ok(None);
    };
    if value.object().is_none() {
        return Ok(None);
    }
    let args = value.args()?.elements()?;
    let args: Vec<View> = args
        .into_iter()
        .map(|arg| arg.named(value.path()))
        .collect();
    match (function, &args[..]) {
        ("_rebuild_parameter" | "_rebuild_parameter_with_state", [inner, ..]) => {
            // One level only: a parameter of itself would never end.
            match inner.callee() {
                Some(("torch._utils", name)) if name.starts_with("_rebuild_tensor") => {
                    tensor(inner, storages, limits, parsing)
                }
                _ => Err(inner.expected("the tensor of a parameter")),
            }
        }
        ("_rebuild_tensor" | "_rebuild_tensor_v2", [storage, offset, size, stride, ..]) => {
            let part = storage_of(storage, storages, limits, parsing)?;
            LazyTensor {
                element: part.element,
                shape: size.to_sizes()?,
                strides: stride.to_sizes()?,
                first: offset.to_usize()?,
                data: Cow::Borrowed(part.data),
                big_endian: part.big_endian,
                path: value.path().to_string(),
                at_byte: value.offset(),
            }
            .checked()
            .map(Some)
        }
        (function, _) if function.starts_with("_rebuild") => {
            let message = format!("tensors made by torch._utils.{function} are not read");
            Err(value.error(ReadErrorKind::Unsupported, message))
        }
        _ => Ok(None),
    }
}

/// A storage is an identification of raw numbers in the same file, or a whole PyTorch file in bytes.
fn storage_of<'t, 'a>(
    value: &View<'t, 'a>,
    storages: &'t Storages<'a>,
    limits: &Limits,
    parsing: &Budget,
) -> Result<Part<'t>> {
    if value.is_call_of("torch.storage", "_load_from_bytes") {
        let args = value.args()?.elements()?;
        let [file] = &args[..] else {
            return Err(value.expected("a storage in bytes"));
        };
        let bytes = file.to_bytes()?;
        let Cow::Borrowed(bytes) = bytes else {
            return Err(file.expected("bytes as they are"));
        };
        let within = |error: ReadError| {
            // From the beginning of the outer file.
            let offset = error.offset.map(|offset| offset + file.offset());
            ReadError {
                offset: offset.or(Some(file.offset())),
                path: value.path().to_string(),
                ..error
            }
        };
        if !parsing.spend(bytes.len()) {
            let message = "expected storages of their own, found one that many tensors share";
            return Err(value.error(ReadErrorKind::Limit, message));
        }
        let (tree, inner) = legacy::open(bytes, 0, limits).map_err(within)?;
        let root = tree.root();
        let id = root
            .persistent()
            .ok_or_else(|| within(root.expected("a storage")))?;
        return part(&id, &inner, within);
    }
    match value.persistent() {
        Some(id) => part(&id, storages, |error| error),
        None => Err(value.expected("a storage")),
    }
}

/// The identification of a storage: `("storage", class, key, location, count)`, in old files followed by
/// none or the part of the storage that is meant, `(key, first, count)`.
pub(super) struct StorageId<'t> {
    pub(super) key: &'t str,
    pub(super) element: Element,
    /// How many numbers the whole storage has, where it is given.
    pub(super) count: usize,
    /// The first number and the count of a part.
    pub(super) view: Option<(usize, usize)>,
}

impl<'t> StorageId<'t> {
    pub(super) fn new(id: &View<'t, '_>) -> Result<Self> {
        let parts = id.elements()?;
        let (kind, class, key, count, view) = match &parts[..] {
            [kind, class, key, _, count] => (kind, class, key, count, None),
            [kind, class, key, _, count, view] => (kind, class, key, count, Some(view)),
            _ => return Err(id.expected("the identification of a storage")),
        };
        if kind.to_text()? != "storage" {
            return Err(kind.expected("the text \"storage\""));
        }
        let element = match class.callee() {
            Some(("torch" | "torch.storage" | "torch.cuda", name)) => {
                Element::of_torch_storage(name)
            }
            _ => None,
        };
        let element = element.ok_or_else(|| class.expected("a storage class of PyTorch"))?;
        let view = match view {
            Some(view) if !view.is_none() => {
                let parts = view.elements()?;
                let [_, first, count] = &parts[..] else {
                    return Err(view.expected("a part of a storage"));
                };
                Some((first.to_usize()?, count.to_usize()?))
            }
            _ => None,
        };
        Ok(Self {
            key: key.to_text()?,
            element,
            count: count.to_usize()?,
            view,
        })
    }
}

fn part<'t, 's: 't>(
    id: &View<'_, '_>,
    storages: &Storages<'s>,
    within: impl Fn(ReadError) -> ReadError,
) -> Result<Part<'t>> {
    let StorageId {
        key,
        element,
        count,
        view,
    } = StorageId::new(id).map_err(&within)?;
    let damaged = |message: String| within(id.error(ReadErrorKind::Damaged, message));
    let Some(storage) = storages.data.get(key) else {
        return Err(damaged(format!(
            "expected a storage with the key {key:?}, found none"
        )));
    };
    let found = storage.bytes.len();
    let expected = count.checked_mul(element.size());
    if expected.is_none_or(|expected| expected > found) {
        return Err(damaged(format!(
            "expected {count} {} numbers in the storage {key:?}, found {found} bytes",
            element.name()
        )));
    }
    if let Some(expected) = storage.crc32.get() {
        if crc32fast::hash(storage.bytes) != expected {
            return Err(damaged(format!(
                "the bytes of the storage {key:?} don't match their checksum"
            )));
        }
        storage.crc32.set(None);
    }
    let bytes = match view {
        None => storage.bytes,
        Some((first, count)) => {
            let size = element.size();
            let end = first
                .checked_add(count)
                .and_then(|end| end.checked_mul(size));
            let part = end.and_then(|end| storage.bytes.get(first * size..end));
            part.ok_or_else(|| {
                damaged(format!(
                    "expected {count} numbers from {first} on in the storage {key:?}, found {found} bytes"
                ))
            })?
        }
    };
    Ok(Part {
        element,
        data: bytes,
        big_endian: storages.big_endian,
    })
}
