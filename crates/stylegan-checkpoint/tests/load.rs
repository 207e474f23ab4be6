//! Strict loading of networks from named tensors.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, bail};
use candle_nn::VarBuilder;
use stylegan_checkpoint::{Checkpoint, CheckpointError, Mismatch, TensorProblems, load_network};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn tensors(names: &[(&str, &[usize])]) -> candle_core::Result<BTreeMap<String, Tensor>> {
    let ones = |&(name, shape): &(&str, &[usize])| {
        Ok((
            name.to_string(),
            Tensor::ones(shape, DType::F32, &Device::Cpu)?,
        ))
    };
    names.iter().map(ones).collect()
}

fn layer(vb: VarBuilder) -> candle_core::Result<()> {
    let conv = vb.pp("b4").pp("conv1");
    conv.get((2, 3), "weight")?;
    conv.get(2, "bias")?;
    conv.get((4, 4), "noise_const")?;
    Ok(())
}

const LAYER: [(&str, &[usize]); 3] = [
    ("b4.conv1.weight", &[2, 3]),
    ("b4.conv1.bias", &[2]),
    ("b4.conv1.noise_const", &[4, 4]),
];

#[test]
fn a_network_takes_exactly_its_tensors() -> TestResult {
    let store = load_network(&tensors(&LAYER)?, DType::F32, &Device::Cpu, layer)?;
    let names: Vec<_> = store.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["b4.conv1.bias", "b4.conv1.noise_const", "b4.conv1.weight"]
    );
    assert_eq!(store.trainable().count(), 2);
    layer(store.var_builder())?;
    Ok(())
}

#[test]
fn floating_point_tensors_are_converted_to_the_type_asked_for() -> TestResult {
    let mut tensors = tensors(&LAYER)?;
    for (tensor, dtype) in tensors
        .values_mut()
        .zip([DType::F16, DType::F32, DType::F64])
    {
        *tensor = tensor.to_dtype(dtype)?;
    }
    let store = load_network(&tensors, DType::F64, &Device::Cpu, layer)?;
    assert!(store.iter().all(|(_, var)| var.dtype() == DType::F64));
    let bias = store.get("b4.conv1.bias").expect("bias").to_vec1::<f64>()?;
    assert_eq!(bias, [1.0, 1.0]);
    Ok(())
}

#[test]
fn every_problem_is_reported_at_once() -> TestResult {
    let mut tensors = tensors(&[
        ("b4.conv1.weight", &[3, 2]),
        ("b4.conv1.noise_const", &[4, 4]),
        ("b8.conv0.weight", &[2, 3]),
    ])?;
    let noise = tensors["b4.conv1.noise_const"].to_dtype(DType::U32)?;
    tensors.insert("b4.conv1.noise_const".to_string(), noise);
    let error =
        load_network(&tensors, DType::F32, &Device::Cpu, layer).expect_err("must be refused");
    let mismatch = |name: &str, expected: &str, found: &str| Mismatch {
        name: name.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    };
    let expected = TensorProblems {
        missing: vec!["b4.conv1.bias".to_string()],
        unknown: vec!["b8.conv0.weight".to_string()],
        mismatched: vec![
            mismatch("b4.conv1.noise_const", "[4, 4] f32", "[4, 4] u32"),
            mismatch("b4.conv1.weight", "[2, 3] f32", "[3, 2] f32"),
        ],
    };
    match error {
        CheckpointError::Tensors {
            problems,
            path: None,
        } => assert_eq!(problems, expected),
        error => panic!("{error}"),
    }
    Ok(())
}

#[test]
fn a_long_list_of_problems_is_cut_and_counted() -> TestResult {
    let names: Vec<String> = (0..20).map(|i| format!("fc{i:02}.weight")).collect();
    let scalar = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    let tensors = names
        .into_iter()
        .map(|name| (name, scalar.clone()))
        .collect();
    let error =
        load_network(&tensors, DType::F32, &Device::Cpu, layer).expect_err("must be refused");
    let message = error.to_string();
    assert!(message.contains("fc05.weight and 14 more"), "{message}");
    assert!(!message.contains("fc06.weight"), "{message}");
    Ok(())
}

#[test]
fn filters_that_nobody_asks_for_are_dropped_and_others_kept() -> TestResult {
    let mut tensors = tensors(&LAYER)?;
    let filter = Tensor::ones((4, 4), DType::F32, &Device::Cpu)?;
    tensors.insert("b4.resample_filter".to_string(), filter.clone());
    tensors.insert("b4.conv1.resample_filter".to_string(), filter);
    let with_filter = |vb: VarBuilder| {
        assert!(vb.contains_tensor("b4.conv1.resample_filter"));
        vb.get((4, 4), "b4.conv1.resample_filter")?;
        layer(vb)
    };
    let store = load_network(&tensors, DType::F32, &Device::Cpu, with_filter)?;
    assert!(store.get("b4.conv1.resample_filter").is_some());
    assert!(store.get("b4.resample_filter").is_none());

    tensors.insert(
        "b4.noise_const".to_string(),
        Tensor::ones((4, 4), DType::F32, &Device::Cpu)?,
    );
    let error = load_network(&tensors, DType::F32, &Device::Cpu, with_filter);
    assert!(
        error
            .expect_err("other buffers")
            .to_string()
            .contains("unknown b4.noise_const")
    );
    Ok(())
}

#[test]
fn errors_of_the_network_itself_come_through() -> TestResult {
    let refuse =
        |_: VarBuilder| -> candle_core::Result<()> { bail!("resolution 100 is no power of two") };
    let error = load_network(&tensors(&LAYER)?, DType::F32, &Device::Cpu, refuse);
    assert!(
        error
            .expect_err("must be refused")
            .to_string()
            .contains("resolution 100")
    );
    Ok(())
}

#[test]
fn a_tensor_asked_for_without_its_shape_is_loaded_or_reported() -> TestResult {
    let shapeless = |vb: VarBuilder| {
        layer(vb.clone())?;
        vb.get_unchecked("extra.weight")
    };
    let mut tensors = tensors(&LAYER)?;
    let error = load_network(&tensors, DType::F32, &Device::Cpu, shapeless).expect_err("missing");
    assert!(
        error.to_string().contains("missing extra.weight"),
        "{error}"
    );
    tensors.insert(
        "extra.weight".to_string(),
        Tensor::ones(7, DType::F32, &Device::Cpu)?,
    );
    let store = load_network(&tensors, DType::F32, &Device::Cpu, shapeless)?;
    assert_eq!(store.get("extra.weight").expect("loaded").dims(), [7]);
    Ok(())
}

#[test]
fn loading_from_a_checkpoint_names_the_file() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("network-000100.safetensors");
    let mut checkpoint = Checkpoint::new(serde_json::Value::Null);
    checkpoint.insert_section("G_ema.", tensors(&LAYER[1..])?);
    checkpoint.insert_section("D.", tensors(&LAYER)?);
    checkpoint.write(&file)?;
    let checkpoint = Checkpoint::read(&file, &Device::Cpu)?;
    checkpoint.load_network("D.", DType::F32, &Device::Cpu, layer)?;

    let error = checkpoint.load_network("G_ema.", DType::F32, &Device::Cpu, layer);
    let message = error.expect_err("a tensor is missing").to_string();
    assert!(message.contains("network-000100.safetensors"), "{message}");
    assert!(message.contains("missing b4.conv1.weight"), "{message}");

    let error = checkpoint.load_network("G.", DType::F32, &Device::Cpu, layer);
    let message = error.expect_err("no such section").to_string();
    for part in ["network-000100.safetensors", "`G.`", "D., G_ema."] {
        assert!(message.contains(part), "{message}");
    }
    Ok(())
}
