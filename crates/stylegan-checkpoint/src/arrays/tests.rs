//! Files that NumPy has written, our own, and damaged and hostile ones.

use std::fs;

use proptest::prelude::*;

use super::*;

/// The values `0, 1, 2, ...` of a shape.
fn counting(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn assert_same(values: &Tensor, expected: &Tensor) {
    assert_eq!(values.dims(), expected.dims());
    let flat = |values: &Tensor| values.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(values), flat(expected));
}

/// Reads a file of that content.
fn read_content(content: &[u8]) -> Result<Vec<NamedArray>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    read(&path).map_err(|error| {
        let message = error.to_string();
        let path = format!("{}: ", path.display());
        message.strip_prefix(&path).unwrap().to_string()
    })
}

fn error(content: &[u8]) -> String {
    read_content(content).unwrap_err()
}

/// A `.npy` file with a header and values.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [npy::MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
}

#[test]
fn files_of_numpy_are_read_in_every_float_type_and_order() {
    // Written by NumPy 2.4: savez and savez_compressed of w = [1, 2, 3] f32 and z = [2, 3] f16.
    for content in [
        &include_bytes!("numpy/savez.npz")[..],
        include_bytes!("numpy/savez_compressed.npz"),
    ] {
        let arrays = read_content(content).unwrap();
        let [w, z] = &arrays[..] else {
            panic!("{arrays:?}")
        };
        assert_eq!((&w.name[..], &z.name[..]), ("w", "z"));
        assert_same(&w.values, &counting(&[1, 2, 3]));
        assert_same(&z.values, &counting(&[2, 3]));
    }
    // numpy.save
    for (content, shape) in [
        (&include_bytes!("numpy/f8_fortran.npy")[..], &[2, 3][..]),
        (include_bytes!("numpy/f4_big_endian.npy"), &[2, 3]),
        (include_bytes!("numpy/f2_line.npy"), &[3]),
    ] {
        let [array] = &read_content(content).unwrap()[..] else {
            panic!("one array")
        };
        assert_eq!(array.name, "");
        assert_same(&array.values, &counting(shape));
    }
}

#[test]
fn what_is_written_reads_back_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let (w, z) = (counting(&[2, 4, 3]), counting(&[5, 7]));
    for extension in ["npz", "safetensors"] {
        let path = folder.path().join(format!("file.{extension}"));
        write(&path, &[("z", &z), ("w", &w)]).unwrap();
        let arrays = read(&path).unwrap();
        assert_eq!([&arrays[0].name[..], &arrays[1].name[..]], ["w", "z"]);
        assert_same(&arrays[0].values, &w);
        assert_same(&arrays[1].values, &z);
        let first = fs::read(&path).unwrap();
        write(&path, &[("z", &z), ("w", &w)]).unwrap();
        assert!(first == fs::read(&path).unwrap(), "{extension}");
    }
    let path = folder.path().join("file.npy");
    write(&path, &[("z", &z)]).unwrap();
    assert_same(&read(&path).unwrap()[0].values, &z);
    // NumPy maps the values into memory where they begin at a multiple of 64.
    let values = 5 * 7 * 4;
    assert_eq!((fs::read(&path).unwrap().len() - values) % 64, 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn other_names_and_folders_that_are_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let z = counting(&[1]);
    let path = folder.path().join("z.txt");
    let error = write(&path, &[("z", &z)]).unwrap_err().to_string();
    let expected = "expected a name that ends in .npz, .npy or .safetensors";
    assert_eq!(error, format!("{}: {expected}", path.display()));
    // A .npy file has one array.
    let path = folder.path().join("both.npy");
    let error = write(&path, &[("z", &z), ("w", &z)])
        .unwrap_err()
        .to_string();
    assert!(error.ends_with(expected), "{error}");
    let path = folder.path().join("missing").join("z.npz");
    let error = write(&path, &[("z", &z)]).unwrap_err().to_string();
    assert!(error.contains("z.npz: can't be written: "), "{error}");

    let error = read(&folder.path().join("none.npz")).unwrap_err();
    assert!(error.to_string().ends_with("none.npz: no such file"));
    let error = read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with(": is not a file; expected .npy, .npz or .safetensors"));
}

#[test]
fn files_of_other_kinds_and_damaged_ones_are_told_apart() {
    assert_eq!(
        error(b""),
        "the file is empty; expected .npy, .npz or .safetensors"
    );
    let other = "not a file of arrays; expected .npy, .npz or .safetensors";
    assert_eq!(error(b"\x89PNG\r\n\x1a\n-------"), other);
    let npz = include_bytes!("numpy/savez.npz");
    let cut_off = error(&npz[..100]);
    assert!(
        cut_off.starts_with("not a whole zip archive ("),
        "{cut_off}"
    );
    let mut changed = npz.to_vec();
    changed[200] ^= 1;
    let message = error(&changed);
    assert!(message.starts_with("array "), "{message}");
    let safetensors = [&100u64.to_le_bytes()[..], b"{\"w\":"].concat();
    let message = error(&safetensors);
    assert!(
        message.starts_with("not a whole safetensors file ("),
        "{message}"
    );
    assert_eq!(
        error(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        "there are no arrays in the file"
    );
}

#[test]
fn headers_that_numpy_does_not_write_are_errors_that_say_what_is_wrong() {
    let fine = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    assert!(read_content(&npy(fine, &[0; 8])).is_ok());
    assert_eq!(
        error(&npy(fine, &[0; 7])),
        "expected 8 bytes of values of the shape [1, 2], found 7 bytes"
    );
    for shape in ["(18446744073709551615, 2)", "(0, 9223372036854775808, 4)"] {
        let message = error(&npy(&fine.replace("(1, 2)", shape), &[]));
        let expected = "expected values that fit into memory of the shape [";
        assert!(message.starts_with(expected), "{message}");
    }
    for descr in ["<i8", "|O", "<U5", "f16"] {
        assert_eq!(
            error(&npy(&fine.replace("<f4", descr), &[0; 8])),
            format!("expected values of f16, f32 or f64 (f2, f4, f8), found {descr}")
        );
    }
    let records = fine.replace("'<f4'", "[('a', '<f4')]");
    assert!(error(&npy(&records, &[])).ends_with("found records"));
    for broken in [
        "",
        "{}",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
        "{'other': '<f4', 'fortran_order': False, 'shape': (1,)}",
    ] {
        let expected =
            format!("expected a header with descr, fortran_order and shape, found {broken:?}");
        assert_eq!(error(&npy(broken, &[])), expected);
    }
    let cut_off = "the array is cut off in its header";
    assert_eq!(error(b"\x93NUMPY\x01"), cut_off);
    assert_eq!(error(b"\x93NUMPY\x01\x00\xff"), cut_off);
    assert_eq!(error(b"\x93NUMPY\x01\x00\x10\x00{"), cut_off);
    assert_eq!(
        error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
        "expected a header of at most 10000 bytes, found 4294967295"
    );
    assert_eq!(
        error(b"\x93NUMPY\x09\x01\x00\x00{"),
        "expected version 1, 2 or 3 of the .npy format, found 9.1"
    );
}

#[test]
fn values_that_are_no_finite_numbers_are_named() {
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
    let with = |second: f64| npy(header, &[0f64.to_le_bytes(), second.to_le_bytes()].concat());
    assert!(read_content(&with(1e38)).is_ok());
    assert_eq!(
        error(&with(1e39)),
        "expected finite numbers, found inf at position 1"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.npz");
    let w = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
    write(&path, &[("w", &w)]).unwrap();
    let message = read(&path).unwrap_err().to_string();
    let expected = "array w: expected finite numbers, found NaN at position 0";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn tensors_of_other_types_in_safetensors_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.safetensors");
    let tensor = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    tensor.save_safetensors("w", &path).unwrap();
    let message = read(&path).unwrap_err().to_string();
    let expected = "array w: expected values of f16, bf16, f32 or f64, found u32";
    assert!(message.ends_with(expected), "{message}");
}

proptest! {
    #[test]
    fn no_content_makes_the_reader_panic(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
    ) {
        let sources: [&[u8]; 3] = [
            include_bytes!("numpy/savez.npz"),
            include_bytes!("numpy/savez_compressed.npz"),
            include_bytes!("numpy/f8_fortran.npy"),
        ];
        let mut content = sources[which].to_vec();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        let _ = read_content(&content);
        let _ = read_content(&content[..keep.index(content.len())]);
    }
}
