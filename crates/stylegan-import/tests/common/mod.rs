//! The sample files of the public tools.

#![allow(dead_code)] // Every test uses a part of it.

#[path = "../../../stylegan-checkpoint/tests/common/builder.rs"]
pub mod builder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use candle_core::{Result, Tensor, bail};
use stylegan_goldens::device;

/// A file of one of the tools, and what its networks compute.
pub struct Sample {
    pub name: String,
    pub path: PathBuf,
    pub expected: BTreeMap<String, Tensor>,
}

impl Sample {
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.expected.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("{}: no expected {name}", self.name),
        }
    }
}

/// A sample that is in this project, whichever folder of golden files is named.
pub fn fixture(path: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../stylegan-goldens/fixtures");
    PathBuf::from(fixtures).join(path)
}

/// All samples: each `.pkl`, `.pt` and `.pth` of the two folders.
///
/// `X_expected.safetensors` is of every file whose name begins with `X`; the longest one counts. A file without one, one
/// without a file, and a file of another kind are errors.
pub fn samples() -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for folder in ["checkpoints", "stylegan1/pkl"] {
        let folder = stylegan_goldens::folder(folder);
        let mut paths = Vec::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => bail!("{}: {error}", folder.display()),
        };
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.sort();
        let name = |path: &PathBuf| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let mut expected: Vec<String> = paths
            .iter()
            .filter_map(|path| {
                Some(
                    name(path)
                        .strip_suffix("_expected.safetensors")?
                        .to_string(),
                )
            })
            .collect();
        expected.sort_by_key(String::len);
        let mut unused: BTreeSet<&String> = expected.iter().collect();
        for path in &paths {
            let name = name(path);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("pkl" | "pt" | "pth") => {}
                _ if name.ends_with("_expected.safetensors") => continue,
                _ if name.ends_with("_expected.json") => continue,
                _ => bail!(
                    "{}: neither a sample nor what is expected of one",
                    path.display()
                ),
            }
            let Some(stem) = expected
                .iter()
                .rev()
                .find(|stem| name.starts_with(stem.as_str()))
            else {
                bail!("{}: no expected values beside it", path.display());
            };
            unused.remove(stem);
            let file = folder.join(format!("{stem}_expected.safetensors"));
            let tensors = candle_core::safetensors::load(file, device())?;
            samples.push(Sample {
                name,
                path: path.clone(),
                expected: tensors.into_iter().collect(),
            });
        }
        if let Some(stem) = unused.first() {
            bail!("{stem}: expected values without a sample")
        }
    }
    if samples.is_empty() {
        bail!("no sample files");
    }
    Ok(samples)
}
