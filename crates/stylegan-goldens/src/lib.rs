//! Reference values for the tests of the stylegan crates, a development dependency only.
//!
//! A golden file is a pair `NAME.json` (a map from case to its parameters) and `NAME.safetensors`
//! (tensors under the keys `CASE/TENSOR`). The files are read from the folder that the environment
//! variable `STYLEGAN_GOLDENS` names, else from this crate's own `fixtures/`.
//!
//! The environment variable `STYLEGAN_DEVICE` (`cuda`, `cuda:N` or `metal`) has the tests of reference values compute on
//! a GPU, in a build with that feature: see [`device`].
//!
//! `checkpoints/` and `stylegan1/pkl/` hold files of the public tools as they are, and beside each group of them
//! what its networks compute.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::{DType, Device, Error, Result, Tensor};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The folder of reference values for one family, e.g. `stylegan2`.
///
/// # Panics
/// If `STYLEGAN_GOLDENS` names no folder.
pub fn folder(family: &str) -> PathBuf {
    root(std::env::var_os("STYLEGAN_GOLDENS")).join(family)
}

/// The folder that was named, or that of this crate.
fn root(named: Option<OsString>) -> PathBuf {
    let Some(named) = named.map(PathBuf::from) else {
        return PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    };
    assert!(
        named.is_dir(),
        "STYLEGAN_GOLDENS={}: there is no such folder (a relative path starts at the crate that is tested)",
        named.display()
    );
    named
}

/// The device that tests compute on: the one that `STYLEGAN_DEVICE` names, else the CPU.
///
/// It is opened once: candle takes two handles of one GPU for two devices, whose tensors don't go together.
///
/// # Panics
/// If the variable names no device of this machine and build, so that no test passes on another one.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let name = std::env::var("STYLEGAN_DEVICE").unwrap_or_else(|_| "cpu".to_string());
        open(&name).unwrap_or_else(|e| panic!("STYLEGAN_DEVICE={name}: {e}"))
    })
}

fn open(name: &str) -> Result<Device> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("cuda", number) => match number.parse() {
            Ok(number) => Device::new_cuda(number),
            Err(_) => Err(error(format!("{number} is not the number of a device"))),
        },
        ("metal", "0") => Device::new_metal(0),
        _ => Err(error("expected cpu, cuda, cuda:N or metal".to_string())),
    }
}

/// The names (without extension) of all golden files of a family that start with `prefix`, sorted.
///
/// An empty answer is an error: a test that walks nothing proves nothing.
pub fn names(family: &str, prefix: &str) -> Result<Vec<String>> {
    let dir = folder(family);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(|e| error(format!("{}: {e}", dir.display())))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
        if path.extension().is_some_and(|e| e == "json") && stem.starts_with(prefix) {
            names.push(stem.to_string());
        }
    }
    if names.is_empty() {
        return Err(error(format!("no {prefix}*.json in {}", dir.display())));
    }
    names.sort();
    Ok(names)
}

/// One case of a golden file: its parameters and its tensors.
pub struct Case<P> {
    /// `FILE/CASE`, for messages.
    pub name: String,
    /// The parameters from the JSON file.
    pub params: P,
    /// Tensors by name, in the data type asked for.
    pub tensors: BTreeMap<String, Tensor>,
}

impl<P> Case<P> {
    /// The tensor of that name; an error that names the case where it is missing.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        let missing = || error(format!("golden {} has no tensor {name}", self.name));
        self.tensors.get(name).ok_or_else(missing)
    }

    /// All tensors under `prefix`, with the prefix removed.
    pub fn with_prefix(&self, prefix: &str) -> HashMap<String, Tensor> {
        let strip =
            |(k, t): (&String, &Tensor)| Some((k.strip_prefix(prefix)?.to_string(), t.clone()));
        self.tensors.iter().filter_map(strip).collect()
    }
}

/// Whether the networks of a case of `stylegan1/` are ProGAN's rather than StyleGAN's: the generator's variables
/// tell, or the file's name where there are none.
pub fn is_progan<P>(case: &Case<P>) -> bool {
    let has = |prefix| case.tensors.keys().any(|name| name.starts_with(prefix));
    match has("G.") {
        true => !has("G.G_"),
        false => case.name.starts_with("progan"),
    }
}

/// All cases of the golden file `name` of a family, with tensors converted to `dtype`, on the [`device`] of the tests.
///
/// # Errors
/// If a file can't be read, or a case has no tensors. Exception: a case whose parameters hold the
/// reference values themselves, as a table under `rows`, needs none.
pub fn load<P: DeserializeOwned>(family: &str, name: &str, dtype: DType) -> Result<Vec<Case<P>>> {
    load_file(&folder(family).join(name), dtype)
}

/// The cases of `PATH.json` and `PATH.safetensors`, for values that a crate keeps beside its tests.
///
/// # Errors
/// Those of [`load`].
pub fn load_file<P: DeserializeOwned>(path: &Path, dtype: DType) -> Result<Vec<Case<P>>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let json = std::fs::read_to_string(path.with_extension("json"))
        .map_err(|e| error(format!("{}.json: {e}", path.display())))?;
    let params: BTreeMap<String, Value> =
        serde_json::from_str(&json).map_err(|e| error(format!("{}.json: {e}", path.display())))?;
    let mut tensors = BTreeMap::<String, BTreeMap<String, Tensor>>::new();
    let file = path.with_extension("safetensors");
    let loaded = candle_core::safetensors::load(&file, device())
        .map_err(|e| error(format!("{}: {e}", file.display())))?;
    for (key, tensor) in loaded {
        if let Some((case, tensor_name)) = key.split_once('/') {
            let case = tensors.entry(case.to_string()).or_default();
            case.insert(tensor_name.to_string(), tensor.to_dtype(dtype)?);
        }
    }
    let mut cases = Vec::with_capacity(params.len());
    for (case, params) in params {
        let tensors = match tensors.remove(&case) {
            Some(tensors) => tensors,
            None if params.get("rows").is_some() => BTreeMap::new(),
            None => return Err(error(format!("{name}.json: no tensors for case {case}"))),
        };
        let params = serde_json::from_value(params)
            .map_err(|e| error(format!("{}.json: case {case}: {e}", path.display())))?;
        cases.push(Case {
            name: format!("{name}/{case}"),
            params,
            tensors,
        });
    }
    if cases.is_empty() {
        return Err(error(format!("{name}.json has no cases")));
    }
    Ok(cases)
}

/// The largest absolute difference over the largest magnitude of `expected`.
///
/// Shapes must agree, and a value that is not finite is infinitely far off, on either side.
pub fn relative_error(got: &Tensor, expected: &Tensor) -> Result<f64> {
    if got.dims() != expected.dims() {
        return Err(error(format!(
            "shape: expected {:?}, got {:?}",
            expected.dims(),
            got.dims()
        )));
    }
    let flat = |t: &Tensor| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    let (got, expected) = (flat(got)?, flat(expected)?);
    let scale = expected
        .iter()
        .fold(0f64, |m, v| m.max(v.abs()))
        .max(f64::MIN_POSITIVE);
    let mut worst = 0f64;
    for (g, e) in got.iter().zip(&expected) {
        if !(g.is_finite() && e.is_finite()) {
            return Ok(f64::INFINITY);
        }
        worst = worst.max((g - e).abs());
    }
    Ok(if worst == 0.0 { 0.0 } else { worst / scale })
}

/// Panics, naming the case and tensor, unless `got` is within `tolerance` of `expected` relative to
/// the largest magnitude.
#[track_caller]
pub fn assert_close(what: &str, got: &Tensor, expected: &Tensor, tolerance: f64) {
    match relative_error(got, expected) {
        Ok(e) if e <= tolerance => {}
        Ok(e) => panic!("{what}: relative error {e:.2e}, allowed {tolerance:.0e}"),
        Err(e) => panic!("{what}: {e}"),
    }
}

fn error(message: String) -> Error {
    Error::Msg(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_name() {
        assert!(open("cpu").unwrap().is_cpu());
        for wrong in ["", "gpu", "cpu:1", "metal:1", "cuda:x"] {
            assert!(open(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reference_values_are_in_the_folder_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(root(Some(folder.path().into())), folder.path());
        assert!(root(None).join("stylegan2").is_dir());
    }

    #[test]
    #[should_panic(expected = "STYLEGAN_GOLDENS=no/such/folder: there is no such folder")]
    fn a_folder_that_is_named_must_be_there() {
        root(Some("no/such/folder".into()));
    }

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::new(values, device()).unwrap()
    }

    fn error_of(got: &[f64], expected: &[f64]) -> f64 {
        relative_error(&tensor(got), &tensor(expected)).unwrap()
    }

    #[test]
    fn the_relative_error_is_that_of_the_largest_magnitude() {
        assert_eq!(error_of(&[1., -4., 2.], &[1., -4., 2.]), 0.);
        assert_eq!(error_of(&[1., -4., 3.], &[1., -4., 2.]), 0.25);
        assert_eq!(error_of(&[0., 0.], &[0., 0.]), 0.);
        assert!(error_of(&[1., 0.], &[0., 0.]) > 1e300);
        assert_eq!(error_of(&[], &[]), 0.);
    }

    #[test]
    fn a_value_that_is_not_finite_is_infinitely_far_off_on_either_side() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(error_of(&[bad, 1.], &[1., 1.]), f64::INFINITY);
            assert_eq!(error_of(&[1., 1.], &[1., bad]), f64::INFINITY);
            assert_eq!(error_of(&[bad, 1.], &[bad, 1.]), f64::INFINITY);
        }
    }

    #[test]
    fn different_shapes_are_an_error_that_names_both() {
        let error = relative_error(&tensor(&[1.]), &tensor(&[1., 2.])).unwrap_err();
        assert!(
            error.to_string().contains("expected [2], got [1]"),
            "{error}"
        );
    }

    #[test]
    #[should_panic(expected = "conv/a y: relative error 5.00e-1, allowed 1e-4")]
    fn a_value_beyond_the_tolerance_panics_with_its_name() {
        assert_close("conv/a y", &tensor(&[3.]), &tensor(&[2.]), 1e-4);
    }

    #[test]
    fn a_value_within_the_tolerance_passes() {
        assert_close("y", &tensor(&[2.0001]), &tensor(&[2.]), 1e-4);
    }

    #[test]
    fn every_file_of_reference_values_is_found_and_has_cases() {
        for (family, file) in [("stylegan2", "bias_act"), ("stylegan1", "losses")] {
            let names = names(family, "").unwrap();
            assert!(names.is_sorted());
            assert!(names.iter().any(|name| name == file), "{names:?}");
            for name in names {
                for case in load::<Value>(family, &name, DType::F64).unwrap() {
                    assert!(case.name.starts_with(&format!("{name}/")), "{}", case.name);
                    assert!(case.tensors.values().all(|t| t.dtype() == DType::F64));
                    let table = case.params.get("rows").is_some();
                    assert!(table || !case.tensors.is_empty(), "{}", case.name);
                }
            }
        }
    }

    #[test]
    fn a_case_needs_tensors_unless_it_is_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |json: &str| {
            std::fs::write(path.with_extension("json"), json).unwrap();
            let tensors = HashMap::from([("a/x", tensor(&[1.]))]);
            candle_core::safetensors::save(&tensors, path.with_extension("safetensors")).unwrap();
            load_file::<Value>(&path, DType::F32)
        };
        let cases = write(r#"{"a": {}, "b": {"rows": [1]}}"#).unwrap();
        let sizes: Vec<_> = cases
            .iter()
            .map(|c| (&c.name[..], c.tensors.len()))
            .collect();
        assert_eq!(sizes, [("file/a", 1), ("file/b", 0)]);
        let error = cases[1].get("x").unwrap_err().to_string();
        assert_eq!(error, "golden file/b has no tensor x");
        let error = write(r#"{"a": {}, "b": {}}"#).err().unwrap().to_string();
        assert!(
            error.contains("file.json: no tensors for case b"),
            "{error}"
        );
        std::fs::remove_file(path.with_extension("safetensors")).unwrap();
        let error = load_file::<Value>(&path, DType::F32).err().unwrap();
        assert!(error.to_string().contains("file.safetensors: "), "{error}");
        let error = write("{}").err().unwrap().to_string();
        assert!(error.contains("file.json has no cases"), "{error}");
    }

    #[test]
    fn progan_is_known_from_the_variables_or_the_file() {
        let of = |name: &str, variable: &str| {
            is_progan(&Case {
                name: name.to_string(),
                params: (),
                tensors: BTreeMap::from([(variable.to_string(), tensor(&[1.]))]),
            })
        };
        assert!(!of("losses/a", "G.G_synthesis/4x4/Const/const"));
        assert!(!of("stylegan1_D/a", "D.lod"));
        assert!(of("losses/a", "G.4x4/Dense/bias"));
        assert!(of("progan_D/a", "D.lod"));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_it() {
        let message = |error: Error| error.to_string();
        let error = message(names("stylegan2", "nothing_").unwrap_err());
        assert!(error.contains("no nothing_*.json in"), "{error}");
        assert!(names("stylegan0", "").is_err());
        let error = load::<Value>("stylegan2", "nothing", DType::F32);
        let error = message(error.err().unwrap());
        assert!(error.contains("nothing.json"), "{error}");
        let case = Case {
            name: "conv/a".to_string(),
            params: (),
            tensors: BTreeMap::from([("G.b4.const".to_string(), tensor(&[1.]))]),
        };
        let error = message(case.get("y").unwrap_err());
        assert_eq!(error, "golden conv/a has no tensor y");
        let stripped = case.with_prefix("G.");
        assert_eq!(stripped.keys().collect::<Vec<_>>(), ["b4.const"]);
        assert!(case.with_prefix("D.").is_empty());
    }
}
