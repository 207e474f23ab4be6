//! Writing and reading checkpoint files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;
use stylegan_checkpoint::{Checkpoint, CheckpointError};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn one_tensor() -> candle_core::Result<BTreeMap<String, Tensor>> {
    let tensor = Tensor::new(&[1.5f32, -2.0], &Device::Cpu)?;
    Ok(BTreeMap::from([("x".to_string(), tensor)]))
}

fn file_names(folder: &Path) -> std::io::Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder)?.map(name).collect()
}

#[test]
fn every_data_type_and_layout_comes_back() -> TestResult {
    let cpu = &Device::Cpu;
    let mut checkpoint = Checkpoint::new(json!({}));
    let base = Tensor::arange(0u32, 24, cpu)?.reshape((2, 3, 4))?;
    let dtypes = [
        DType::U8,
        DType::U32,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];
    for dtype in dtypes {
        let tensor = base.to_dtype(dtype)?;
        checkpoint
            .tensors
            .insert(format!("{}.plain", dtype.as_str()), tensor.clone());
        checkpoint.tensors.insert(
            format!("{}.transposed", dtype.as_str()),
            tensor.transpose(0, 2)?,
        );
        checkpoint.tensors.insert(
            format!("{}.narrowed", dtype.as_str()),
            tensor.narrow(1, 1, 2)?,
        );
    }
    let numbers = Tensor::new(
        &[f64::MIN_POSITIVE, -0.0, f64::INFINITY, 1.0 + f64::EPSILON],
        cpu,
    )?;
    checkpoint.tensors.insert("numbers".to_string(), numbers);
    checkpoint
        .tensors
        .insert("counter".to_string(), Tensor::new(i64::MAX - 1, cpu)?);
    checkpoint
        .tensors
        .insert("empty".to_string(), Tensor::zeros((0, 3), DType::F32, cpu)?);

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("all.safetensors");
    checkpoint.write(&file)?;
    let read = Checkpoint::read(&file, cpu)?;
    assert_eq!(read.path(), Some(file.as_path()));
    assert!(read.tensors.keys().eq(checkpoint.tensors.keys()));
    for (name, tensor) in &checkpoint.tensors {
        let back = &read.tensors[name];
        assert_eq!(
            (back.dims(), back.dtype()),
            (tensor.dims(), tensor.dtype()),
            "{name}"
        );
        let bits = |t: &Tensor| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (expected, got) = (bits(tensor)?, bits(back)?);
        assert!(
            expected
                .iter()
                .zip(&got)
                .all(|(a, b)| a.to_bits() == b.to_bits()),
            "{name}"
        );
    }
    assert_eq!(read.tensors["counter"].to_scalar::<i64>()?, i64::MAX - 1);
    Ok(())
}

#[test]
fn the_same_content_gives_the_same_bytes() -> TestResult {
    let folder = tempfile::tempdir()?;
    let names = ["b", "a", "d.e", "c"];
    let mut files = Vec::new();
    for round in 0..4 {
        let mut metadata = serde_json::Map::new();
        let mut checkpoint = Checkpoint::new(serde_json::Value::Null);
        for i in 0..names.len() {
            let name = names[(i + round) % names.len()];
            metadata.insert(name.to_string(), json!({ "z": 0.1, "a": [1, 2] }));
            let value = name.bytes().map(f32::from).sum::<f32>();
            let tensor = Tensor::full(value, (3, 5), &Device::Cpu)?;
            // A layout of another kind, the same numbers.
            let tensor = if round % 2 == 0 {
                tensor
            } else {
                tensor.t()?.contiguous()?.t()?
            };
            checkpoint.insert_section("G.", BTreeMap::from([(name.to_string(), tensor)]));
        }
        checkpoint.metadata = metadata.into();
        let file = folder.path().join(format!("{round}.safetensors"));
        checkpoint.write(&file)?;
        files.push(fs::read(&file)?);
        // What was read back is written the same again.
        Checkpoint::read(&file, &Device::Cpu)?.write(&file)?;
        files.push(fs::read(&file)?);
    }
    assert!(files.iter().all(|bytes| bytes == &files[0]));
    Ok(())
}

#[test]
fn the_file_can_be_read_by_any_safetensors_reader() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.safetensors");
    let mut checkpoint = Checkpoint::new(json!({ "resolution": 32 }));
    checkpoint.insert_section("G_ema.", one_tensor()?);
    checkpoint.write(&file)?;
    let tensors = candle_core::safetensors::load(&file, &Device::Cpu)?;
    assert_eq!(tensors["G_ema.x"].to_vec1::<f32>()?, [1.5, -2.0]);
    let bytes = fs::read(&file)?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)?;
    let entries = header.metadata().as_ref().expect("metadata");
    assert_eq!(entries.len(), 1);
    let entry: serde_json::Value = serde_json::from_str(&entries["stylegan-rs"])?;
    assert_eq!(entry["document"]["resolution"], 32);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn numbers_of_the_document_come_back_exactly(
        floats in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 50),
        integers in prop::collection::vec(any::<u64>(), 10),
        text in ".*",
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("x.safetensors");
        Checkpoint::new(json!({ "f": floats, "i": integers, "t": text })).write(&file).expect("written");
        let read = Checkpoint::read(&file, &Device::Cpu).expect("read");
        let document: (Vec<f64>, Vec<u64>, String) = (
            serde_json::from_value(read.metadata["f"].clone()).expect("floats"),
            serde_json::from_value(read.metadata["i"].clone()).expect("integers"),
            serde_json::from_value(read.metadata["t"].clone()).expect("text"),
        );
        prop_assert_eq!(document, (floats, integers, text));
    }
}

#[test]
fn a_random_generator_goes_on_from_a_checkpoint() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.safetensors");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..100_001 {
        rng.random::<u32>();
    }
    Checkpoint::new(serde_json::to_value(&rng)?).write(&file)?;
    let mut read: ChaCha8Rng = Checkpoint::read(&file, &Device::Cpu)?.metadata_as()?;
    assert_eq!(read.random::<u64>(), rng.random::<u64>());
    Ok(())
}

#[test]
fn sections_come_back_without_their_prefix() -> TestResult {
    let mut checkpoint = Checkpoint::new(json!({}));
    checkpoint.insert_section("G.", one_tensor()?);
    checkpoint.insert_section("G_ema.", one_tensor()?);
    assert!(checkpoint.tensors.keys().eq(["G.x", "G_ema.x"]));
    assert!(checkpoint.section("G.")?.keys().eq(["x"]));
    let error = checkpoint.section("D.").expect_err("no discriminator");
    assert!(matches!(&error, CheckpointError::MissingSection { prefix, .. } if prefix == "D."));
    assert_eq!(
        error.to_string(),
        "no tensors under `D.`; found the sections: G., G_ema."
    );
    Ok(())
}

#[test]
fn a_document_of_another_form_is_an_error_that_names_the_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("odd.safetensors");
    Checkpoint::new(json!({ "a": "text" })).write(&file)?;
    let read = Checkpoint::read(&file, &Device::Cpu)?;
    let good: BTreeMap<String, String> = read.metadata_as()?;
    assert_eq!(good["a"], "text");
    let error = read
        .metadata_as::<BTreeMap<String, u32>>()
        .expect_err("not a number")
        .to_string();
    assert!(
        error.contains("odd.safetensors") && error.contains("expected u32"),
        "{error}"
    );
    Ok(())
}

#[test]
fn writing_replaces_the_old_file_and_leaves_nothing_else() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.safetensors");
    for i in 0..3 {
        Checkpoint::new(json!(i)).write(&file)?;
        assert_eq!(Checkpoint::read(&file, &Device::Cpu)?.metadata, i);
    }
    assert_eq!(file_names(folder.path())?, ["x.safetensors"]);
    Ok(())
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_that_says_what_to_do() -> TestResult {
    let folder = tempfile::tempdir()?;
    let checkpoint = Checkpoint::new(json!({}));
    fs::write(folder.path().join("plain"), "a file")?;
    fs::create_dir(folder.path().join("taken.safetensors"))?;
    for place in [
        "missing/x.safetensors",
        "plain/x.safetensors",
        "taken.safetensors",
    ] {
        let error = checkpoint
            .write(folder.path().join(place))
            .expect_err(place);
        assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains("safetensors") && message.contains("choose a folder"),
            "{message}"
        );
    }
    let mut names = file_names(folder.path())?;
    names.sort();
    assert_eq!(names, ["plain", "taken.safetensors"]);
    Ok(())
}

#[test]
fn tensors_that_no_checkpoint_can_hold_are_refused_before_writing() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.safetensors");
    let mut checkpoint = Checkpoint::new(json!({}));
    let tensor = Tensor::zeros(2, DType::F32, &Device::Cpu)?;
    checkpoint
        .tensors
        .insert("__metadata__".to_string(), tensor.clone());
    let error = checkpoint
        .write(&file)
        .expect_err("a reserved name")
        .to_string();
    assert!(error.contains("reserves this name"), "{error}");

    checkpoint.tensors.clear();
    checkpoint
        .tensors
        .insert("tiny".to_string(), tensor.to_dtype(DType::F8E4M3)?);
    let error = checkpoint.write(&file).expect_err("f8").to_string();
    assert!(
        error.contains("tiny") && error.contains("F8E4M3"),
        "{error}"
    );
    assert!(file_names(folder.path())?.is_empty());
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_checkpoint_has_the_permissions_of_any_new_file() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    let (plain, file) = (
        folder.path().join("plain"),
        folder.path().join("x.safetensors"),
    );
    fs::write(&plain, "")?;
    Checkpoint::new(json!({})).write(&file)?;
    let mode = |path| fs::metadata(path).map(|info| info.permissions().mode());
    assert_eq!(mode(&file)?, mode(&plain)?);
    Ok(())
}
