//! Each wrong input, and the exact error.

mod common;

use candle_core::{DType, Device, Tensor};
use common::builder::*;
use common::fixture;
use stylegan_import::{export_rosinality, import, import_bytes};
use zip::CompressionMethod::{Deflated, Stored};

/// The error, without the backtrace that candle adds where the environment asks for one.
fn error(bytes: &[u8]) -> String {
    let message = import_bytes(bytes).unwrap_err().to_string();
    let end = message.find("\n   0: ").unwrap_or(message.len());
    message[..end].to_string()
}

fn check(cases: Vec<(Vec<u8>, &str)>) {
    for (bytes, expected) in cases {
        assert_eq!(error(&bytes), expected);
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    let kinds: [(&[u8], &str); 9] = [
        (b"", "an empty file"),
        (
            b"<!DOCTYPE html><html>",
            "a web page or XML; download the file itself",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
        ),
        (b"\x89HDF\r\n\x1a\n1234", "an HDF5 file, as Keras writes it"),
        (b"\x1f\x8b\x08\x00", "a gzip archive; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
        (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
    ];
    for (bytes, what) in kinds {
        assert_eq!(error(bytes), format!("expected a network, found {what}"));
    }
    let message = "expected a pickle, a PyTorch file or a safetensors file, found none of them";
    assert_eq!(error(b"hello"), message);
    assert_eq!(
        error(&[16, 0, 0, 0, 0, 0, 0, 0, b'{', b'"']),
        "not a whole safetensors file (invalid header length)"
    );
}

#[test]
fn paths_that_are_no_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("ffhq.pkl");
    assert_eq!(
        import(&missing).unwrap_err().to_string(),
        format!("{}: no such file; check the path", missing.display())
    );
    assert_eq!(
        import(folder.path()).unwrap_err().to_string(),
        format!(
            "{}: expected a ProGAN, StyleGAN or StyleGAN2 network, found a folder",
            folder.path().display()
        )
    );
    #[cfg(unix)]
    assert_eq!(
        import("/dev/zero").unwrap_err().to_string(),
        "/dev/zero: expected a ProGAN, StyleGAN or StyleGAN2 network, found no regular file"
    );
    std::fs::write(&missing, b"hello").unwrap();
    assert_eq!(
        import(&missing).unwrap_err().to_string(),
        format!(
            "{}: expected a pickle, a PyTorch file or a safetensors file, found none of them",
            missing.display()
        )
    );
}

#[test]
fn pickles_without_a_network_say_what_they_hold() {
    let expected =
        |found: &str| format!("expected a ProGAN, StyleGAN or StyleGAN2 network, found {found}");
    let system = Pickled::call("os", "system", [Pickled::text("rm -rf /")]);
    assert_eq!(
        error(&system.clone().finish()),
        expected("an object of os.system")
    );
    assert_eq!(
        error(&Pickled::dict([("G_ema", system), ("epoch", Pickled::int(3))]).finish()),
        expected("a dictionary of 2 with G_ema, epoch")
    );
    assert_eq!(
        error(&Pickled::list([Pickled::int(1)]).finish()),
        "byte 2: expected a dictionary, found a list of 1"
    );
    assert_eq!(
        error(&Pickled::int(1).finish()),
        "byte 0: expected a dictionary, found 1"
    );
    let network = network([], [], []);
    assert_eq!(
        error(&Pickled::tuple([network.clone(), network.clone()]).finish()),
        expected("2 TensorFlow networks, not the usual three: G, D and Gs")
    );
    assert_eq!(
        error(&network.finish()),
        expected("TensorFlow networks of another kind")
    );
}

#[test]
fn other_networks_are_named() {
    let layers =
        ["input", "L0_36_512", "L1_36_512"].map(|name| (name, module("SynthesisLayer", [], [])));
    let synthesis = module("SynthesisNetwork", [], layers);
    let generator = module("Generator", [], [("synthesis", synthesis)]);
    assert_eq!(
        error(&Pickled::dict([("G_ema", generator)]).finish()),
        "expected a ProGAN, StyleGAN or StyleGAN2 network, found a StyleGAN3 generator 256x256 with 2 \
         alias-free layers at G_ema"
    );
    let number = || tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    let names = ["fc.bias", "fc.weight", "conv.weight"].map(|name| (name, number()));
    assert_eq!(
        error(&legacy(Pickled::dict(names), &[("0", 1, &[0; 4])])),
        "expected a ProGAN, StyleGAN or StyleGAN2 network, found network with the tensors conv.weight, \
         fc.bias, fc.weight"
    );
}

/// A dictionary of tensors, of which the last is given.
fn state(last: Pickled) -> Pickled {
    let number = || tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    Pickled::dict([
        ("a", number()),
        ("b", number()),
        ("c", number()),
        ("d", last),
    ])
}

/// A PyTorch file of both kinds with four bytes of numbers, of which the last tensor is given.
fn torch_files(last: Pickled) -> [Vec<u8>; 2] {
    let root = state(last);
    let pickle = root.clone().finish();
    let entries: [(&str, &[u8], _); 2] = [
        ("a/data.pkl", &pickle, Stored),
        ("a/data/0", &[0; 4], Stored),
    ];
    [zip(&entries), legacy(root, &[("0", 1, &[0; 4])])]
}

/// What is behind the place in a message, which is the last tensor or a part of it.
fn problem(bytes: &[u8]) -> String {
    let error = error(bytes);
    let place = error
        .split_once(", at d")
        .and_then(|(_, rest)| rest.split_once(": "));
    match place {
        Some((_, problem)) => problem.to_string(),
        None => panic!("{error}"),
    }
}

#[test]
fn tensors_whose_numbers_are_not_in_the_file_are_errors() {
    let floats = |count| storage("FloatStorage", "0", count);
    let huge = i64::MAX;
    let cases = [
        (
            tensor(floats(1), 0, &[2], &[1]),
            "expected a storage of at least the [2] float32 numbers of the tensor, found 1",
        ),
        (
            tensor(floats(1), 0, &[1 << 40, 1 << 40], &[1 << 40, 1]),
            "expected a storage of at least the [1099511627776, 1099511627776] float32 numbers of the tensor, found 1",
        ),
        // Without a stride, all are the same number.
        (
            tensor(floats(1), 0, &[1 << 40], &[0]),
            "expected a storage of at least the [1099511627776] float32 numbers of the tensor, found 1",
        ),
        (
            tensor(floats(1), 0, &[0, huge, huge], &[1, 1, 1]),
            "expected a storage of at least the [0, 9223372036854775807, 9223372036854775807] float32 \
             numbers of the tensor, found 1",
        ),
        (
            tensor(floats(1), 1, &[1], &[1]),
            "expected a storage of at least the [1] float32 numbers of the tensor, found 1",
        ),
        (
            tensor(floats(1), 0, &[1; 9], &[1; 9]),
            "expected at most 8 dimensions, found 9",
        ),
        (
            tensor(floats(1), 0, &[1], &[1, 1]),
            "expected 1 strides, found 2",
        ),
        (
            tensor(floats(1), 0, &[1], &[-1]),
            "expected an integer of at least 0, found -1",
        ),
        (
            tensor(floats(2), 0, &[1], &[1]),
            "expected 2 float32 numbers in the storage \"0\", found 4 bytes",
        ),
        (
            tensor(floats(huge), 0, &[1], &[1]),
            "expected 9223372036854775807 float32 numbers in the storage \"0\", found 4 bytes",
        ),
        (
            tensor(Pickled::int(0), 0, &[1], &[1]),
            "expected a storage, found 0",
        ),
        (
            Pickled::call("torch._utils", "_rebuild_qtensor", []),
            "tensors made by torch._utils._rebuild_qtensor are not read",
        ),
    ];
    for (last, expected) in cases {
        for file in torch_files(last) {
            assert_eq!(problem(&file), expected);
        }
    }
    let other = tensor(storage("FloatStorage", "7", 1), 0, &[1], &[1]);
    let [zip, _] = torch_files(other);
    assert_eq!(
        problem(&zip),
        "expected a storage with the key \"7\", found none"
    );
}

#[test]
fn storages_that_pytorch_does_not_have_are_errors() {
    let class = tensor(storage("system", "0", 1), 0, &[1], &[1]);
    let [zip, legacy] = torch_files(class);
    assert_eq!(
        problem(&zip),
        "expected a storage class of PyTorch, found the global torch.system"
    );
    let error = error(&legacy);
    assert!(
        error.ends_with("expected a storage class of PyTorch, found the global torch.system"),
        "{error}"
    );
}

#[test]
fn zip_archives_that_pytorch_does_not_write_are_errors() {
    let pickle = Pickled::dict([]).finish();
    check(vec![
        (
            zip(&[("a/b.txt", b"", Stored)]),
            "expected a PyTorch file with an entry data.pkl, found a zip archive with a/b.txt only",
        ),
        (
            zip(&[
                ("a/data.pkl", &pickle, Stored),
                ("b/data.pkl", &pickle, Stored),
            ]),
            "expected one entry data.pkl, found several",
        ),
        (
            zip(&[
                ("a/data.pkl", &pickle, Stored),
                ("a/constants.pkl", b"", Stored),
            ]),
            "expected saved tensors, found a TorchScript program; save its state_dict()",
        ),
        (
            zip(&[("a/data.pkl", &pickle, Deflated)]),
            "a/data.pkl: expected an entry that is not compressed, as PyTorch writes it, found a compressed \
             one; pack the archive again with `zip -0`",
        ),
        (
            // A bomb: half a megabyte of zeros in half a kilobyte.
            zip(&[
                ("a/data.pkl", &pickle, Stored),
                ("a/data/0", &[0; 1 << 19], Deflated),
            ]),
            "a/data/0: expected an entry that is not compressed, as PyTorch writes it, found a compressed \
             one; pack the archive again with `zip -0`",
        ),
        (
            zip(&[("a/data.pkl", b"\x80\x02}", Stored)]),
            "a/data.pkl, byte 3: expected 1 bytes of an instruction, found 0 to the end of the file",
        ),
        (
            b"PK\x03\x04".to_vec(),
            "not a whole zip archive (invalid Zip archive: Could not find EOCD)",
        ),
    ]);
    // Numbers that were changed.
    let [mut file, _] = torch_files(tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]));
    let name = b"a/data/0";
    let at = file
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    file[at + name.len()] ^= 1;
    let message = error(&file);
    assert!(
        message.ends_with("at a: the bytes of the storage \"0\" don't match their checksum"),
        "{message}"
    );
}

#[test]
fn old_files_that_end_early_or_contradict_themselves_are_errors() {
    let root = state(tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]));
    let whole = legacy(root.clone(), &[("0", 1, &[0; 4])]);
    let end = whole.len();
    let at = |message: &str, at: usize| message.replace("AT", &at.to_string());
    assert_eq!(
        error(&whole[..end - 1]),
        at(
            "byte AT, at storage 0: expected 1 numbers of 4 bytes, found 3 bytes to the end of the file",
            end - 12
        )
    );
    assert_eq!(
        error(&whole[..end - 5]),
        at(
            "byte AT, at storage 0: expected a count of 8 bytes, found 7 to the end of the file",
            end - 12
        )
    );
    let claims = legacy(root.clone(), &[("0", i64::MAX, &[0; 4])]);
    assert_eq!(
        error(&claims),
        at(
            "byte AT, at storage 0: expected 9223372036854775807 numbers of 4 bytes, found 4 bytes to the end of the file",
            end - 12
        )
    );
    let unused = legacy(root, &[("0", 1, &[0; 4]), ("9", 1, &[0; 4])]);
    assert!(
        error(&unused).ends_with("at 1: expected a storage that a tensor uses, found \"9\""),
        "{}",
        error(&unused)
    );
    let mut version = whole;
    // 1001 follows the magic number, a header and two bytes of its own.
    version[19] = 7;
    assert!(
        error(&version).starts_with("byte 0: expected the version 1001 of the format, found "),
        "{}",
        error(&version)
    );
}

fn tensorflow<'a>(variables: impl IntoIterator<Item = (&'a str, Pickled)>) -> Vec<u8> {
    network([("resolution", Pickled::int(4))], [], variables).finish()
}

#[test]
fn arrays_that_are_no_numbers_of_the_file_are_errors() {
    let name = "4x4/Conv/weight";
    let one = |shape: &[i64], dtype: &str, content: &[u8]| {
        tensorflow([(name, array(shape, dtype, content))])
    };
    let cases = [
        (
            one(&[2], "f4", &[0; 4]),
            "at Gs.4x4/Conv/weight: expected a storage of at least the [2] float32 numbers of the tensor, found 1",
        ),
        (
            one(&[1], "O8", &[0; 8]),
            "at Gs.4x4/Conv/weight.2: arrays of the type \"O8\" are not read",
        ),
        (
            one(&[1], "b1", &[0]),
            "at Gs.4x4/Conv/weight: tensors of the type bool can't be computed with",
        ),
        (
            tensorflow([(name, Pickled::int(1))]),
            "at Gs.4x4/Conv/weight: expected an array, found 1",
        ),
        (
            tensorflow([
                (name, array(&[1], "f4", &[0; 4])),
                (name, array(&[1], "f4", &[0; 4])),
            ]),
            "at Gs.4x4/Conv/weight: expected one value, found two",
        ),
    ];
    for (file, expected) in cases {
        let error = error(&file);
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn tensors_that_share_their_numbers_too_often_are_an_error() {
    // A hundred tensors of one storage.
    let storage = || storage("FloatStorage", "0", 256);
    let names: Vec<String> = (0..100).map(|i| format!("conv{i}")).collect();
    let whole = |name: &'static str| (name, tensor(storage(), 0, &[256], &[1]));
    let names = names.into_iter().map(|name| whole(name.leak()));
    let file = legacy(Pickled::dict(names), &[("0", 256, &[0; 1024])]);
    let message = error(&file);
    let expected = "bytes of tensors that share their numbers, found one of 1024 more";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn networks_that_lack_something_name_all_of_it() {
    let file = tensorflow([
        ("4x4/Dense/weight", array(&[1, 16], "f4", &[0; 64])),
        ("4x4/Conv/bias", array(&[1], "f4", &[0; 4])),
        ("ToRGB_lod0/bias", array(&[3], "f4", &[0; 12])),
        ("lod", array(&[], "f4", &[0; 4])),
    ]);
    assert_eq!(
        error(&file),
        "Gs: the tensors don't match: missing synthesis.b4.conv1.weight, synthesis.b4.input.bias, \
         synthesis.b4.torgb.weight; synthesis.b4.conv1.bias (expected [512] f32, found [1] f32), \
         synthesis.b4.input.weight (expected [8192, 512] f32, found [16, 1] f32); check that they come from a \
         network of the same configuration"
    );
    let huge = network(
        [("fmap_base", Pickled::int(i64::MAX))],
        [],
        [
            ("ToRGB_lod0/bias", array(&[3], "f4", &[0; 12])),
            ("4x4/Conv/bias", array(&[1], "f4", &[0; 4])),
        ],
    );
    assert_eq!(
        error(&huge.finish()),
        "arguments of a network: fmap_base: expected at most 1048576, got 9223372036854775807"
    );
    let backwards = tensorflow([
        ("ToRGB_lod0/bias", array(&[3], "f4", &[0; 12])),
        ("4x4/Conv/bias", array(&[1], "f4", &[0; 4])),
        ("lod", array(&[], "f4", &(-1f32).to_le_bytes())),
    ]);
    assert_eq!(
        error(&backwards),
        "Gs: level of detail: expected a finite lod of at least 0, got -1"
    );
}

#[test]
fn safetensors_of_other_networks_are_errors() {
    let tensor = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let tensors = std::collections::BTreeMap::from([("fc.weight", tensor)]);
    let bytes = safetensors::serialize(&tensors, None).unwrap();
    assert_eq!(
        error(&bytes),
        "expected a ProGAN, StyleGAN or StyleGAN2 network, found network with the tensors fc.weight"
    );
}

#[test]
fn networks_that_a_format_does_not_have_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.pt");
    let checkpoints = fixture("checkpoints");
    let tensorflow = fixture("stylegan1/pkl");
    let cases = [
        (
            checkpoints.join("ada_cond.pkl"),
            "g_ema can't be written as a rosinality state dictionary: expected no labels, found 4 classes",
        ),
        (
            tensorflow.join("stylegan1_tf.pkl"),
            "g_ema can't be written as a rosinality state dictionary: expected a StyleGAN2 generator, found \
             one of the first generation",
        ),
        (
            checkpoints.join("ada.pkl"),
            "d can't be written as a rosinality state dictionary: expected groups of 4 and 1 feature in the \
             minibatch standard deviation, found groups of 2 and 1",
        ),
    ];
    for (file, expected) in cases {
        let networks = import(file).unwrap();
        let error = export_rosinality(&networks, &path).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!path.exists());
    }
    let networks = import(checkpoints.join("rosinality_train.pt")).unwrap();
    let missing = folder.path().join("missing").join("out.pt");
    let error = export_rosinality(&networks, &missing)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!(
            "{}: the file can't be written: ",
            missing.display()
        )),
        "{error}"
    );
}
