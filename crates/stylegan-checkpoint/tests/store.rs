//! Parameter stores: initialisation, views that share storage, strict assignment.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Init, VarBuilder, init};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stylegan_checkpoint::{CheckpointError, ParamStore, is_buffer};

const NORMAL: Init = Init::Randn {
    mean: 0.0,
    stdev: 1.0,
};

/// y = (x + w_avg) * weight + bias, with names like those of a network.
struct Toy {
    weight: Tensor,
    bias: Tensor,
    w_avg: Tensor,
}

impl Toy {
    fn new(vb: VarBuilder) -> Result<Self> {
        let fc = vb.pp("mapping").pp("fc0");
        Ok(Self {
            weight: fc.get_with_hints(3, "weight", NORMAL)?,
            bias: fc.get_with_hints(3, "bias", Init::Const(0.5))?,
            w_avg: vb.pp("mapping").get(3, "w_avg")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        (x + &self.w_avg)?.mul(&self.weight)?.add(&self.bias)
    }
}

fn toy(seed: u64) -> Result<ParamStore> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, Toy::new)
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn all_values(store: &ParamStore) -> Result<Vec<Vec<f64>>> {
    store.iter().map(|(_, var)| values(var)).collect()
}

fn initialize(seed: u64, dtype: DType, shape: (usize, usize), hint: Init) -> Result<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let build = |vb: VarBuilder| vb.get_with_hints(shape, "x", hint);
    let store = ParamStore::initialize(dtype, &Device::Cpu, &mut rng, build)?;
    values(store.get("x").expect("x was asked for"))
}

#[test]
fn buffers_are_told_by_the_last_part_of_the_name() {
    for name in [
        "w_avg",
        "mapping.w_avg",
        "b4.conv1.noise_const",
        "b8.resample_filter",
    ] {
        assert!(is_buffer(name), "{name}");
    }
    for name in [
        "mapping.fc0.weight",
        "b4.conv1.noise_strength",
        "w_avg.weight",
        "my_w_avg",
        "",
    ] {
        assert!(!is_buffer(name), "{name}");
    }
}

#[test]
fn initialize_follows_the_hints() -> Result<()> {
    let constant = initialize(0, DType::F32, (2, 3), Init::Const(-1.5))?;
    assert_eq!(constant, [-1.5; 6]);

    let hint = Init::Randn {
        mean: 3.0,
        stdev: 0.5,
    };
    let normal = initialize(0, DType::F64, (100, 100), hint)?;
    let mean = normal.iter().sum::<f64>() / 1e4;
    let variance = normal.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4;
    assert!((mean - 3.0).abs() < 0.02, "mean {mean}");
    assert!(
        (variance.sqrt() - 0.5).abs() < 0.02,
        "deviation {}",
        variance.sqrt()
    );

    let uniform = initialize(
        0,
        DType::F64,
        (100, 100),
        Init::Uniform { lo: -2.0, up: 4.0 },
    )?;
    let (low, high) = uniform
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    assert!((-2.0..-1.98).contains(&low), "lowest {low}");
    assert!((3.98..4.0).contains(&high), "highest {high}");
    Ok(())
}

#[test]
fn initialize_gives_the_same_weights_for_a_seed_in_every_precision() -> Result<()> {
    let double = initialize(1, DType::F64, (5, 7), NORMAL)?;
    let single = initialize(1, DType::F32, (5, 7), NORMAL)?;
    let rounded: Vec<f64> = double.iter().map(|&v| f64::from(v as f32)).collect();
    assert_eq!(single, rounded);
    assert_eq!(all_values(&toy(1)?)?, all_values(&toy(1)?)?);
    assert_ne!(all_values(&toy(1)?)?, all_values(&toy(2)?)?);
    Ok(())
}

#[test]
fn initialize_accepts_a_boxed_generator() -> Result<()> {
    let mut rng: Box<dyn rand::Rng + Send> = Box::new(ChaCha8Rng::seed_from_u64(3));
    let store = ParamStore::initialize(DType::F32, &Device::Cpu, rng.as_mut(), Toy::new)?;
    assert_eq!(all_values(&store)?, all_values(&toy(3)?)?);
    Ok(())
}

#[test]
fn initialize_shares_a_tensor_that_is_asked_for_twice() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let store = ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
        assert!(!vb.contains_tensor("x"));
        let first = vb.get_with_hints(2, "x", NORMAL)?;
        assert!(vb.contains_tensor("x"));
        let second = vb.get_with_hints(2, "x", NORMAL)?;
        assert_eq!(values(&first)?, values(&second)?);
        let error = vb.get(3, "x").expect_err("another shape").to_string();
        assert!(error.contains("asked for twice"), "{error}");
        Ok(())
    })?;
    assert_eq!(store.len(), 1);
    Ok(())
}

#[test]
fn initialize_refuses_what_it_cannot_draw() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut message = |dtype, build: fn(VarBuilder) -> Result<Tensor>| {
        let store = ParamStore::initialize(dtype, &Device::Cpu, &mut rng, build);
        store.expect_err("must be refused").to_string()
    };
    let kaiming = message(DType::F32, |vb| {
        vb.get_with_hints(2, "a.weight", init::DEFAULT_KAIMING_NORMAL)
    });
    assert!(
        kaiming.contains("a.weight") && kaiming.contains("Kaiming"),
        "{kaiming}"
    );
    let shapeless = message(DType::F32, |vb| vb.get_unchecked("b"));
    assert!(shapeless.contains("b can't be initialised"), "{shapeless}");
    let integer = message(DType::U32, |vb| vb.get(2, "c"));
    assert!(integer.contains("U32"), "{integer}");
}

#[test]
fn iteration_is_sorted_and_splits_parameters_from_buffers() -> Result<()> {
    let store = toy(0)?;
    let names: Vec<_> = store.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["mapping.fc0.bias", "mapping.fc0.weight", "mapping.w_avg"]
    );
    let trainable: Vec<_> = store.trainable().map(|(name, _)| name).collect();
    assert_eq!(trainable, ["mapping.fc0.bias", "mapping.fc0.weight"]);
    let buffers: Vec<_> = store.buffers().map(|(name, _)| name).collect();
    assert_eq!(buffers, ["mapping.w_avg"]);
    assert_eq!(
        (store.len(), store.element_count(), store.is_empty()),
        (3, 9, false)
    );
    Ok(())
}

/// Sets every tensor to a number of its own.
fn set_all(store: &ParamStore) -> Result<()> {
    for (i, (_, var)) in store.iter().enumerate() {
        var.set(&Tensor::full(10.0 + i as f32, 3, &Device::Cpu)?)?;
    }
    Ok(())
}

#[test]
fn a_frozen_network_sees_later_updates_of_parameters_and_buffers() -> Result<()> {
    let store = toy(0)?;
    let network = Toy::new(store.frozen_var_builder())?;
    set_all(&store)?;
    // bias 10, weight 11, w_avg 12
    let y = network.forward(&Tensor::ones(3, DType::F32, &Device::Cpu)?)?;
    assert_eq!(values(&y)?, [(1.0 + 12.0) * 11.0 + 10.0; 3]);
    Ok(())
}

#[test]
fn a_training_network_sees_later_updates_of_parameters_and_buffers() -> Result<()> {
    let store = toy(0)?;
    let network = Toy::new(store.var_builder())?;
    set_all(&store)?;
    let y = network.forward(&Tensor::ones(3, DType::F32, &Device::Cpu)?)?;
    assert_eq!(values(&y)?, [(1.0 + 12.0) * 11.0 + 10.0; 3]);
    Ok(())
}

#[test]
fn gradients_reach_parameters_only_through_the_training_builder() -> Result<()> {
    let store = toy(0)?;
    let x = Var::ones(3, DType::F32, &Device::Cpu)?;
    let gradients = |vb| Toy::new(vb)?.forward(&x)?.sum_all()?.backward();

    let training = gradients(store.var_builder())?;
    for (name, var) in store.iter() {
        assert_eq!(training.get(var).is_some(), !is_buffer(name), "{name}");
    }
    let frozen = gradients(store.frozen_var_builder())?;
    assert!(frozen.get(&x).is_some());
    for (name, var) in store.iter() {
        assert!(frozen.get(var).is_none(), "{name}");
    }
    Ok(())
}

#[test]
fn builders_refuse_unknown_names_shapes_and_data_types() -> Result<()> {
    let store = toy(0)?;
    for vb in [store.var_builder(), store.frozen_var_builder()] {
        let fc = vb.pp("mapping.fc0");
        assert!(fc.contains_tensor("weight") && !fc.contains_tensor("gain"));
        let unknown = fc.get(3, "gain").expect_err("unknown").to_string();
        assert!(unknown.contains("mapping.fc0.gain"), "{unknown}");
        let shape = fc.get((3, 1), "weight").expect_err("shape").to_string();
        for part in ["mapping.fc0.weight", "[3, 1]", "[3]"] {
            assert!(shape.contains(part), "{shape}");
        }
        let dtype = fc
            .to_dtype(DType::F64)
            .get(3, "weight")
            .expect_err("dtype")
            .to_string();
        for part in ["mapping.fc0.weight", "F64", "F32"] {
            assert!(dtype.contains(part), "{dtype}");
        }
    }
    Ok(())
}

#[test]
fn a_deep_copy_has_storage_of_its_own() -> Result<()> {
    let store = toy(0)?;
    let copy = store.deep_copy()?;
    let before = all_values(&store)?;
    assert_eq!(all_values(&copy)?, before);
    set_all(&store)?;
    assert_eq!(all_values(&copy)?, before);
    assert_ne!(all_values(&store)?, before);
    Ok(())
}

#[test]
fn a_store_from_tensors_copies_even_variables() -> Result<()> {
    let var = Var::ones(2, DType::F64, &Device::Cpu)?;
    let tensors = BTreeMap::from([("x".to_string(), var.as_tensor().clone())]);
    let store = ParamStore::from_tensors(tensors)?;
    var.set(&Tensor::zeros(2, DType::F64, &Device::Cpu)?)?;
    assert_eq!(all_values(&store)?, [[1.0, 1.0]]);
    assert_eq!(store.dtype(), DType::F64);
    Ok(())
}

#[test]
fn a_store_from_tensors_needs_one_floating_point_type() -> Result<()> {
    let tensor = |dtype| Tensor::zeros(2, dtype, &Device::Cpu);
    let message = |tensors| {
        ParamStore::from_tensors(tensors)
            .expect_err("must be refused")
            .to_string()
    };
    assert!(message(BTreeMap::new()).contains("at least one tensor"));
    let integers = BTreeMap::from([("i".to_string(), tensor(DType::I64)?)]);
    assert!(message(integers).contains("I64"));
    let mixed = BTreeMap::from([
        ("a".to_string(), tensor(DType::F32)?),
        ("b".to_string(), tensor(DType::F64)?),
    ]);
    let mixed = message(mixed);
    assert!(
        mixed.contains("b: expected F32") && mixed.contains("F64"),
        "{mixed}"
    );
    Ok(())
}

#[test]
fn assign_overwrites_in_place() -> Result<()> {
    let (store, other) = (toy(0)?, toy(1)?);
    let network = Toy::new(store.frozen_var_builder())?;
    store.assign(&other.to_tensors())?;
    assert_eq!(all_values(&store)?, all_values(&other)?);
    let weight = other.get("mapping.fc0.weight").expect("weight");
    assert_eq!(values(&network.weight)?, values(weight)?);
    Ok(())
}

#[test]
fn assign_accepts_the_stores_own_tensors_even_exchanged() -> Result<()> {
    let store = toy(0)?;
    let (bias, weight) = ("mapping.fc0.bias", "mapping.fc0.weight");
    let before = all_values(&store)?;
    let mut tensors = store.to_tensors();
    store.assign(&tensors)?;
    assert_eq!(all_values(&store)?, before);

    let old_bias = tensors.insert(bias.to_string(), tensors[weight].clone());
    tensors.insert(weight.to_string(), old_bias.expect("bias"));
    store.assign(&tensors)?;
    let exchanged = [before[1].clone(), before[0].clone(), before[2].clone()];
    assert_eq!(all_values(&store)?, exchanged);
    Ok(())
}

#[test]
fn assign_reports_every_problem_and_changes_nothing() -> Result<()> {
    let store = toy(0)?;
    let before = all_values(&store)?;
    let mut tensors = toy(1)?.to_tensors();
    tensors.remove("mapping.w_avg");
    let weight = Tensor::zeros((3, 1), DType::F32, &Device::Cpu)?;
    tensors.insert("mapping.fc0.weight".to_string(), weight.clone());
    tensors.insert("mapping.fc9.weight".to_string(), weight);
    let bias = Tensor::zeros(3, DType::F64, &Device::Cpu)?;
    tensors.insert("mapping.fc0.bias".to_string(), bias);

    let error = store.assign(&tensors).expect_err("must be refused");
    let message = error.to_string();
    for part in [
        "missing mapping.w_avg",
        "unknown mapping.fc9.weight",
        "mapping.fc0.weight (expected [3] f32, found [3, 1] f32)",
        "mapping.fc0.bias (expected [3] f32, found [3] f64)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(matches!(error, CheckpointError::Tensors { path: None, .. }));
    assert_eq!(all_values(&store)?, before);
    Ok(())
}

#[test]
fn a_store_can_be_used_from_other_threads() -> Result<()> {
    let store = toy(0)?;
    let here = all_values(&store)?;
    let there = std::thread::scope(|scope| scope.spawn(|| all_values(&store)).join());
    assert_eq!(there.expect("no panic")?, here);
    Ok(())
}
