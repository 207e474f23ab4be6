//! Tensors of PyTorch's and NumPy's own files.

#![allow(clippy::duplicate_mod)]

#[allow(dead_code)] // Every test uses a part of it.
#[path = "common/builder.rs"]
mod builder;

use std::path::Path;

use builder::{Pickled, legacy, tensor};
use candle_core::{DType, Tensor};
use stylegan_checkpoint::archive::{Archive, Container, Contents, Element};
use stylegan_checkpoint::pickle::Limits;

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    std::fs::read(folder.join(name)).unwrap()
}

fn open(bytes: &[u8]) -> Archive<'_> {
    match Contents::open(bytes, &Limits::default()).unwrap() {
        Contents::Tree(archive) => archive,
        Contents::Tensors(_) => panic!("expected a pickle"),
    }
}

/// The type, shape and numbers of the tensor under a key.
fn numbers(archive: &Archive, key: &str) -> (Element, Vec<usize>, Vec<f64>) {
    let value = archive.root().field(key).unwrap();
    let lazy = archive.tensor(&value).unwrap().unwrap();
    let tensor: Tensor = archive.load(&lazy).unwrap();
    assert_eq!(tensor.dims(), lazy.shape());
    let flat = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    (
        lazy.element(),
        tensor.dims().to_vec(),
        flat.to_vec1().unwrap(),
    )
}

#[test]
fn arrays_of_every_protocol_order_and_type_are_read() {
    let whole = || vec![0., 1., 2., 3., 4., 5.];
    let cases = [
        ("rows", Element::F32, vec![2, 3], whole()),
        ("columns", Element::F32, vec![2, 3], whole()),
        ("big", Element::F64, vec![2, 3], whole()),
        ("half", Element::F16, vec![2, 3], whole()),
        ("bytes", Element::U8, vec![2, 3], whole()),
        ("long", Element::I64, vec![2, 3], whole()),
        ("strided", Element::F32, vec![2, 2], vec![0., 2., 3., 5.]),
        ("empty", Element::F32, vec![0, 3], vec![]),
        ("scalar", Element::F32, vec![], vec![2.5]),
        ("zero_rank", Element::F32, vec![], vec![2.5]),
    ];
    for protocol in 0..=5 {
        let bytes = read(&format!("numpy_protocol{protocol}.pkl"));
        let archive = open(&bytes);
        assert_eq!(archive.container(), Container::Pickle);
        for (key, element, shape, values) in cases.clone() {
            let expected = (element, shape, values);
            assert_eq!(
                numbers(&archive, key),
                expected,
                "protocol {protocol}, {key}"
            );
        }
    }
}

#[test]
fn tensors_of_both_kinds_of_torch_files_are_read() {
    let grid = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| -> Vec<f64> {
        let row = |r: usize| columns.clone().map(move |c| (6 * r + c) as f64);
        rows.flat_map(row).collect()
    };
    let transposed = (0..6).flat_map(|c| (0..4).map(move |r| (6 * r + c) as f64));
    let three = || vec![0., 1., 2.];
    let cases = [
        ("whole", Element::F32, vec![4, 6], grid(0..4, 0..6)),
        ("transposed", Element::F32, vec![6, 4], transposed.collect()),
        ("part", Element::F32, vec![2, 3], grid(1..3, 2..5)),
        ("row", Element::F32, vec![6], grid(2..3, 0..6)),
        ("scalar", Element::F32, vec![], vec![7.]),
        ("expanded", Element::F32, vec![3, 1], three()),
        ("half", Element::F16, vec![3], three()),
        ("bfloat", Element::BF16, vec![3], three()),
        ("double", Element::F64, vec![3], three()),
        ("long", Element::I64, vec![3], three()),
        ("int", Element::I32, vec![3], three()),
        ("short", Element::I16, vec![3], three()),
        ("byte", Element::U8, vec![3], three()),
        ("empty", Element::F32, vec![0, 3], vec![]),
        ("parameter", Element::F32, vec![2], vec![1., 1.]),
    ];
    for (file, container) in [
        ("torch_zip.pt", Container::TorchZip),
        ("torch_legacy.pt", Container::TorchLegacy),
    ] {
        let bytes = read(file);
        let archive = open(&bytes);
        assert_eq!(archive.container(), container);
        for (key, element, shape, values) in cases.clone() {
            assert_eq!(
                numbers(&archive, key),
                (element, shape, values),
                "{file} {key}"
            );
        }
        let bool = archive.root().field("bool").unwrap();
        let bool = archive.tensor(&bool).unwrap().unwrap();
        assert_eq!(
            (bool.element(), bool.len(), bool.size_in_bytes()),
            (Element::Bool, 2, 2)
        );
        let error = archive.load(&bool).unwrap_err().to_string();
        let expected = "at bool: tensors of the type bool can't be computed with";
        assert!(error.ends_with(expected), "{error}");
    }
}

/// Files of before 0.4 name a part of a storage where later ones have an offset.
#[test]
fn parts_of_storages_in_very_old_files_are_read() {
    let view = |first, count| {
        let part = [
            Pickled::text("part"),
            Pickled::int(first),
            Pickled::int(count),
        ];
        let id = [
            Pickled::text("storage"),
            Pickled::global("torch", "FloatStorage"),
            Pickled::text("0"),
            Pickled::text("cpu"),
            Pickled::int(4),
            Pickled::tuple(part),
        ];
        Pickled::tuple(id).persistent()
    };
    let content: Vec<u8> = [1f32, 2., 3., 4.]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let root = |first| Pickled::dict([("x", tensor(view(first, 2), 0, &[2], &[1]))]);
    let bytes = legacy(root(1), &[("0", 4, &content)]);
    let archive = open(&bytes);
    assert_eq!(
        numbers(&archive, "x"),
        (Element::F32, vec![2], vec![2., 3.])
    );
    let bytes = legacy(root(3), &[("0", 4, &content)]);
    let archive = open(&bytes);
    let x = archive.root().field("x").unwrap();
    let error = archive.tensor(&x).unwrap_err().to_string();
    let expected = "expected 2 numbers from 3 on in the storage \"0\", found 16 bytes";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn files_above_the_limit_are_not_read() {
    let limits = Limits {
        file_bytes: 3,
        ..Limits::default()
    };
    let error = Contents::open(b"N...", &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a file of at most 3 bytes, found 4"
    );
}
