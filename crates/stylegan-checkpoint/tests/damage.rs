//! Files that are damaged, cut short, or no checkpoints at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use serde_json::json;
use stylegan_checkpoint::{Checkpoint, CheckpointError};
use tempfile::TempDir;

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct Sample {
    folder: TempDir,
    checkpoint: Checkpoint,
    bytes: Vec<u8>,
}

impl Sample {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut checkpoint = Checkpoint::new(json!({ "images_seen": 64000, "pl_mean": 0.1 }));
        let x = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((3, 4))?;
        let step = Tensor::new(&[7u32, 8], &Device::Cpu)?;
        let tensors = BTreeMap::from([("x".to_string(), x), ("step".to_string(), step)]);
        checkpoint.insert_section("G.", tensors);
        let file = folder.path().join("good.safetensors");
        checkpoint.write(&file)?;
        let bytes = fs::read(&file)?;
        Ok(Self {
            folder,
            checkpoint,
            bytes,
        })
    }

    fn read(&self, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        read(self.folder.path(), bytes)
    }

    fn is_unchanged(&self, read: &Checkpoint) -> bool {
        let content =
            |c: &Checkpoint| format!("{} {:?}", c.metadata, c.tensors.keys().collect::<Vec<_>>());
        let numbers = |c: &Checkpoint| {
            c.tensors
                .values()
                .map(|t| format!("{t}"))
                .collect::<Vec<_>>()
        };
        content(read) == content(&self.checkpoint) && numbers(read) == numbers(&self.checkpoint)
    }
}

/// Reads a file of those bytes, and checks that an error names the file and says what to do.
fn read(folder: &Path, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let file: PathBuf = folder.join("odd.safetensors");
    fs::write(&file, bytes).expect("a writable temporary folder");
    let result = Checkpoint::read(&file, &Device::Cpu);
    if let Err(error) = &result {
        let message = error.to_string();
        assert!(message.contains("odd.safetensors"), "{message}");
        let advice = ["copy it again", "expected a .safetensors file"];
        assert!(
            advice.iter().any(|part| message.contains(part)),
            "{message}"
        );
    }
    result
}

/// A safetensors file of that header.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [length.as_slice(), header.as_bytes(), data].concat()
}

#[test]
fn a_file_cut_anywhere_is_reported() -> TestResult {
    let sample = Sample::new()?;
    assert!(sample.is_unchanged(&sample.read(&sample.bytes)?));
    for length in 0..sample.bytes.len() {
        let error = sample.read(&sample.bytes[..length]).expect_err("cut");
        assert!(
            matches!(error, CheckpointError::Damaged { .. }),
            "{length}: {error}"
        );
    }
    Ok(())
}

#[test]
fn a_file_with_bytes_added_is_reported() -> TestResult {
    let sample = Sample::new()?;
    let longer = [sample.bytes.as_slice(), &[0; 8]].concat();
    let error = sample.read(&longer).expect_err("too long");
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    Ok(())
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_harmless() -> TestResult {
    let sample = Sample::new()?;
    let mut harmless = 0;
    for offset in 0..sample.bytes.len() {
        for bit in 0..8 {
            let mut bytes = sample.bytes.clone();
            bytes[offset] ^= 1 << bit;
            if let Ok(read) = sample.read(&bytes) {
                assert!(sample.is_unchanged(&read), "offset {offset}, bit {bit}");
                harmless += 1;
            }
        }
    }
    // Only the spaces that pad the header mean the same in another form.
    assert!(harmless < 32, "{harmless} changes passed");
    Ok(())
}

#[test]
fn exchanged_tensors_are_reported() -> TestResult {
    let sample = Sample::new()?;
    let mut bytes = sample.bytes.clone();
    let data = bytes.len() - 12 * 4 - 2 * 4;
    // Another value of the same length in the data, which the format alone can't notice.
    bytes[data..].rotate_left(4);
    let error = sample.read(&bytes).expect_err("rotated data");
    assert!(error.to_string().contains("checksum"), "{error}");
    Ok(())
}

#[test]
fn other_files_are_told_apart_from_damaged_checkpoints() -> TestResult {
    let folder = tempfile::tempdir()?;
    let others: [&[u8]; 4] = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04\x14\0\0\0\x08\0 a zip archive, or a pickle",
        b"just a line of text",
        b"\x10\0\0\0\0\0\0\0[\"some other JSON\"]",
    ];
    for bytes in others {
        let error = read(folder.path(), bytes).expect_err("not ours");
        assert!(
            matches!(error, CheckpointError::NotACheckpoint { .. }),
            "{error}"
        );
    }
    let error = Checkpoint::read(folder.path(), &Device::Cpu).expect_err("a folder");
    assert!(
        matches!(error, CheckpointError::NotACheckpoint { .. }),
        "{error}"
    );
    let error = Checkpoint::read(folder.path().join("none"), &Device::Cpu).expect_err("nothing");
    assert!(matches!(error, CheckpointError::NotFound { .. }), "{error}");
    Ok(())
}

#[test]
fn safetensors_of_other_programs_are_told_apart() -> TestResult {
    let folder = tempfile::tempdir()?;
    let plain = r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let foreign = r#"{"__metadata__":{"format":"pt"}}"#;
    for bytes in [with_header(plain, &[0; 4]), with_header(foreign, &[])] {
        let error = read(folder.path(), &bytes).expect_err("not ours");
        assert!(
            error.to_string().contains("without `stylegan-rs` metadata"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn headers_that_claim_too_much_are_refused_without_reading_on() -> TestResult {
    let folder = tempfile::tempdir()?;
    for claim in [17, 1 << 20, 100_000_000, 100_000_001, 1 << 40, u64::MAX] {
        let bytes = [claim.to_le_bytes().as_slice(), b"{\"x\":{}}"].concat();
        read(folder.path(), &bytes).expect_err("too long a header");
    }
    let huge = [
        r#"{"x":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}"#,
        r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}"#,
    ];
    for header in huge {
        read(folder.path(), &with_header(header, &[0; 4])).expect_err("too large a tensor");
    }
    let nested = format!("{{\"x\":{}", "[".repeat(200_000));
    read(folder.path(), &with_header(&nested, &[])).expect_err("deep nesting");
    Ok(())
}

/// A well-formed checkpoint, checksum included, with one tensor without elements.
fn empty_tensor(dtype: &str, shape: &str) -> Vec<u8> {
    let crc32 = crc32fast::hash(format!("null\nx {dtype} {shape}\n").as_bytes());
    let entry = json!(format!("{{\"crc32\":{crc32},\"document\":null}}"));
    let tensor = format!(r#""x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,0]}}"#);
    with_header(
        &format!(r#"{{"__metadata__":{{"stylegan-rs":{entry}}},{tensor}}}"#),
        &[],
    )
}

#[test]
fn a_shape_whose_strides_overflow_is_refused() -> TestResult {
    let folder = tempfile::tempdir()?;
    let good = read(folder.path(), &empty_tensor("F32", "[0, 3]"))?;
    assert_eq!(good.tensors["x"].dims(), [0, 3]);
    let bad = empty_tensor("F32", "[0, 4611686018427387904, 8]");
    let error = read(folder.path(), &bad).expect_err("overflow");
    assert!(error.to_string().contains("impossible shape"), "{error}");
    Ok(())
}

#[test]
fn a_data_type_that_candle_lacks_is_an_error_that_names_the_tensor() -> TestResult {
    let folder = tempfile::tempdir()?;
    for dtype in ["BOOL", "U64", "C64", "F4", "F8_E4M3"] {
        let error = read(folder.path(), &empty_tensor(dtype, "[0]")).expect_err(dtype);
        let message = error.to_string();
        assert!(
            message.contains("tensor x") && message.contains(dtype),
            "{message}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        prop_assert!(read(folder.path(), &bytes).is_err());
        let header = format!("{{{}", String::from_utf8_lossy(&bytes));
        let started = read(folder.path(), &with_header(&header, &bytes));
        prop_assert!(started.is_err());
    }

    #[test]
    fn several_changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let sample = Sample::new().expect("a sample");
        let mut bytes = sample.bytes.clone();
        for (index, value) in changes {
            bytes[index.index(sample.bytes.len())] = value;
        }
        if let Ok(read) = sample.read(&bytes) {
            prop_assert!(sample.is_unchanged(&read));
        }
    }
}
