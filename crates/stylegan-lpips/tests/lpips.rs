//! The distance beside that of the lpips package (`data/golden.py`), its gradients, and files of weights.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use stylegan_checkpoint::{ParamStore, load_network};
use stylegan_goldens::{Case, assert_close};
use stylegan_lpips::{Lpips, LpipsError, Vgg16Config};
use stylegan_ops::autograd;

#[derive(Deserialize)]
#[serde(untagged)]
enum Params {
    /// Weights, pictures and results are tensors.
    Narrow { widths: [usize; 5] },
    /// Weights and pictures come from [`uniform`].
    Published { rows: Distances },
}

#[derive(Deserialize)]
struct Distances {
    heads: [f64; 2],
    plain: [f64; 2],
}

fn golden(name: &str, dtype: DType) -> Case<Params> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lpips");
    let cases = stylegan_goldens::load_file(&path, dtype).unwrap();
    let name = format!("lpips/{name}");
    cases.into_iter().find(|case| case.name == name).unwrap()
}

/// The tensors of a network with heads, or without.
fn with_heads(tensors: &BTreeMap<String, Tensor>, heads: bool) -> BTreeMap<String, Tensor> {
    let is_part = |name: &str| name.starts_with("features.") || heads && name.starts_with("lin");
    let parts = tensors.iter().filter(|(name, _)| is_part(name));
    parts.map(|(name, t)| (name.clone(), t.clone())).collect()
}

fn build(config: &Vgg16Config, tensors: &BTreeMap<String, Tensor>, dtype: DType) -> Result<Lpips> {
    let build = |vb: VarBuilder| Lpips::new(config, vb);
    let params = load_network(tensors, dtype, &Device::Cpu, build)?;
    build(params.frozen_var_builder())
}

#[test]
fn distances_and_gradients_are_those_of_the_lpips_package() -> Result<()> {
    for (dtype, tolerance) in [(DType::F64, 1e-6), (DType::F32, 2e-4)] {
        let case = golden("narrow", dtype);
        let Params::Narrow { widths } = case.params else {
            panic!("the narrow network has no rows")
        };
        for (name, heads) in [("heads", true), ("plain", false)] {
            let tensors = with_heads(&case.tensors, heads);
            let lpips = build(&Vgg16Config { widths }, &tensors, dtype)?;
            assert_eq!(lpips.has_heads(), heads);
            let a = Var::from_tensor(case.get("a")?)?;
            let distance = lpips.distance(&a, case.get("b")?)?;
            let expected = case.get(&format!("distance.{name}"))?;
            assert_close(&format!("{dtype:?} {name}"), &distance, expected, tolerance);
            let gradients = autograd::backward(&distance)?;
            let expected = case.get(&format!("gradient.{name}"))?;
            let gradient = gradients.require("a", &a)?;
            assert_close(
                &format!("{dtype:?} gradient {name}"),
                gradient,
                expected,
                tolerance,
            );
        }
    }
    Ok(())
}

/// SplitMix64 as in `data/golden.py`.
fn uniform(stream: u64, shape: &[usize], scale: f64) -> Tensor {
    let number = |i: u64| {
        let mut z = (stream << 32).wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (((z >> 11) as f64 / (1u64 << 52) as f64 - 1.) * scale) as f32
    };
    let count = shape.iter().product::<usize>() as u64;
    let numbers: Vec<f32> = (1..=count).map(number).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// The weights of a network of the published widths.
fn published() -> Result<BTreeMap<String, Tensor>> {
    let stages = [
        (64, &[0, 2][..]),
        (128, &[5, 7]),
        (256, &[10, 12, 14]),
        (512, &[17, 19, 21]),
        (512, &[24, 26, 28]),
    ];
    let mut tensors = BTreeMap::new();
    let mut channels = 3;
    for (stage, (width, layers)) in (0..).zip(stages) {
        for &layer in layers {
            let scale = (6. / (9 * channels) as f64).sqrt();
            let weight = uniform(layer + 1, &[width, channels, 3, 3], scale);
            tensors.insert(format!("features.{layer}.weight"), weight);
            let bias = uniform(101 + layer, &[width], 0.1);
            tensors.insert(format!("features.{layer}.bias"), bias);
            channels = width;
        }
        let head = uniform(200 + stage, &[1, width, 1, 1], 1.).abs()?;
        tensors.insert(format!("lin{stage}.model.1.weight"), head);
    }
    Ok(tensors)
}

#[test]
fn a_network_of_the_published_widths_gives_the_distances_of_the_package() -> Result<()> {
    let Params::Published { rows } = golden("published", DType::F32).params else {
        panic!("the published widths have rows alone")
    };
    let folder = tempfile::tempdir()?;
    let (a, b) = (
        uniform(300, &[2, 3, 32, 32], 1.),
        uniform(301, &[2, 3, 32, 32], 1.),
    );
    for (heads, expected) in [(true, rows.heads), (false, rows.plain)] {
        let mut tensors = with_heads(&published()?, heads);
        // As in the whole network of torchvision.
        tensors.insert("classifier.6.bias".to_string(), uniform(0, &[1000], 1.));
        let path = save(folder.path(), tensors);
        let lpips = Lpips::read(&path, DType::F32, &Device::Cpu).unwrap();
        let expected = Tensor::new(&expected, &Device::Cpu)?;
        assert_close("distance", &lpips.distance(&a, &b)?, &expected, 1e-4);
    }
    Ok(())
}

/// A narrow network with random weights.
fn narrow(dtype: DType) -> Result<(Vgg16Config, ParamStore)> {
    let config = Vgg16Config {
        widths: [4, 4, 6, 6, 6],
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let params =
        ParamStore::initialize(dtype, &Device::Cpu, &mut rng, |vb| Lpips::new(&config, vb))?;
    Ok((config, params))
}

#[test]
fn pictures_are_as_far_from_each_other_as_their_embeddings() -> Result<()> {
    let (config, params) = narrow(DType::F64)?;
    let lpips = Lpips::new(&config, params.frozen_var_builder())?;
    let pictures = |stream| uniform(stream, &[3, 3, 16, 24], 1.).to_dtype(DType::F64);
    let (a, b) = (pictures(1)?, pictures(2)?);
    let distance = lpips.distance(&a, &b)?;
    let mut sum = 0.;
    for (a, b) in lpips.embed(&a)?.iter().zip(&lpips.embed(&b)?) {
        sum += (a - b)?.sqr()?.sum_all()?.to_scalar::<f64>()?;
    }
    assert!((distance.sum_all()?.to_scalar::<f64>()? - sum).abs() < 1e-12 * sum);
    assert!(distance.to_vec1::<f64>()?.iter().all(|&d| d > 0.01));
    assert_eq!(lpips.distance(&a, &a)?.to_vec1::<f64>()?, [0.; 3]);
    assert_close("symmetric", &lpips.distance(&b, &a)?, &distance, 1e-12);
    Ok(())
}

/// Nothing is above zero behind the first layer of a black network: all lengths are zero.
#[test]
fn pixels_without_features_have_finite_gradients() -> Result<()> {
    let (config, params) = narrow(DType::F32)?;
    for (name, var) in params.iter().filter(|(name, _)| name.ends_with("bias")) {
        let bias = if name.starts_with("features.0.") {
            -1e3
        } else {
            0.
        };
        var.set(&Tensor::full(bias as f32, var.dims(), &Device::Cpu)?)?;
    }
    let lpips = Lpips::new(&config, params.frozen_var_builder())?;
    let a = Var::from_tensor(&uniform(1, &[1, 3, 16, 16], 1.))?;
    let distance = lpips.distance(&a, &uniform(2, &[1, 3, 16, 16], 1.))?;
    assert_eq!(distance.to_vec1::<f32>()?, [0.]);
    let gradients = autograd::backward(&distance)?;
    let gradient = gradients
        .require("a", &a)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    assert!(gradient.iter().all(|&g| g == 0.), "{gradient:?}");
    Ok(())
}

#[test]
fn pictures_of_another_shape_are_errors_that_name_it() -> Result<()> {
    let (config, params) = narrow(DType::F32)?;
    let lpips = Lpips::new(&config, params.frozen_var_builder())?;
    let error = |a: &[usize], b: &[usize]| {
        let distance = lpips.distance(&uniform(1, a, 1.), &uniform(1, b, 1.));
        distance.unwrap_err().to_string()
    };
    let cases = [
        (
            error(&[1, 1, 16, 16], &[1, 1, 16, 16]),
            "LPIPS: expected pictures [N, 3, H, W], got [1, 1, 16, 16]",
        ),
        (
            error(&[1, 3, 16, 15], &[1, 3, 16, 15]),
            "VGG16: expected pictures [N, 3, H, W] with sides of at least 16, got [1, 3, 16, 15]",
        ),
        (
            error(&[1, 3, 16, 16], &[2, 3, 16, 16]),
            "LPIPS: expected pictures of one shape, got [1, 3, 16, 16] and [2, 3, 16, 16]",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with(expected), "{message}");
    }
    Ok(())
}

fn save(folder: &Path, tensors: BTreeMap<String, Tensor>) -> PathBuf {
    let path = folder.join("vgg16.safetensors");
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    path
}

#[test]
fn files_that_are_not_the_weights_are_errors_that_say_what_is_wrong() -> Result<()> {
    let (config, params) = narrow(DType::F32)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vgg16.safetensors");
    let read = || -> std::result::Result<Lpips, LpipsError> {
        Lpips::read_as(&config, &path, DType::F32, &Device::Cpu)
    };
    let error = || {
        read()
            .unwrap_err()
            .to_string()
            .replace(path.to_str().unwrap(), "FILE")
    };
    assert!(
        error().starts_with("FILE: the file can't be read: "),
        "{}",
        error()
    );
    std::fs::write(&path, b"PK\x03\x04")?;
    assert!(error().starts_with("FILE: "), "{}", error());
    // A pickled dictionary without entries.
    std::fs::write(&path, b"\x80\x02}q\x00.")?;
    assert_eq!(
        error(),
        "FILE: expected a safetensors file with the weights of VGG16, found a pickle or a PyTorch file; docs/projection.md says how to make one"
    );
    let good = params.to_tensors();
    let changed = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors = good.clone();
        change(&mut tensors);
        save(folder.path(), tensors);
        error()
    };
    let not_vgg = "FILE: these are not the weights of VGG16: ";
    let advice = "; docs/projection.md says how to make the file";
    let missing = changed(&|tensors| {
        tensors.remove("features.7.bias");
    });
    assert_eq!(missing, format!("{not_vgg}missing features.7.bias{advice}"));
    let unknown = changed(&|tensors| {
        tensors.insert("features.30.weight".to_string(), uniform(0, &[1], 1.));
    });
    assert_eq!(
        unknown,
        format!("{not_vgg}unknown features.30.weight{advice}")
    );
    let shape = changed(&|tensors| {
        tensors.insert("features.0.weight".to_string(), uniform(0, &[4, 3, 3], 1.));
    });
    assert_eq!(
        shape,
        format!(
            "{not_vgg}features.0.weight (expected [4, 3, 3, 3] f32, found [4, 3, 3] f32){advice}"
        )
    );
    let head = |tensors: &mut BTreeMap<String, Tensor>, stage: usize, value: f32| {
        let weight = Tensor::full(value, (1, config.widths[stage], 1, 1), &Device::Cpu);
        tensors.insert(format!("lin{stage}.model.1.weight"), weight.unwrap());
    };
    let some_heads = changed(&|tensors| (0..4).for_each(|stage| head(tensors, stage, 1.)));
    assert_eq!(
        some_heads,
        format!("{not_vgg}missing lin4.model.1.weight{advice}")
    );
    let negative = changed(&|tensors| (0..5).for_each(|stage| head(tensors, stage, -0.5)));
    assert!(
        negative.starts_with(
            "FILE: lin0.model.1.weight: expected weights that are not negative, got -0.5"
        ),
        "{negative}"
    );
    save(folder.path(), good);
    assert!(!read().unwrap().has_heads());
    Ok(())
}
