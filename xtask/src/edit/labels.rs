//! `--labels`: what is known about latents, from a table or an array.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use candle_core::DType;
use stylegan_checkpoint::arrays;
use stylegan_edit::{EditError, classes_of_scores};

/// The column that says which seed a row is about.
pub const SEED: &str = "seed";

/// A column of numbers, one for each latent.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// The column's name.
    pub column: String,
    /// The seeds of the latents, where the file has them.
    pub seeds: Option<Vec<u32>>,
    values: Vec<f64>,
}

impl Labels {
    /// Reads a column of a table, or an array of an .npy, .npz or .safetensors file; the only one beside `seed` where
    /// none is named.
    pub fn read(path: &Path, column: Option<&str>) -> Result<Self> {
        ensure!(
            path.is_file(),
            "--labels {}: there is no such file",
            path.display()
        );
        let extension = path.extension().and_then(|extension| extension.to_str());
        let labels = match extension {
            Some("npy" | "npz" | "safetensors") => Self::from_arrays(path, column)?,
            _ => Self::from_table(path, column)?,
        };
        ensure!(
            labels.values.iter().all(|value| value.is_finite()),
            "{}: column {}: expected finite numbers",
            path.display(),
            labels.column
        );
        Ok(labels)
    }

    /// The array `[N]` or `[N, 1]` of that name.
    fn from_arrays(path: &Path, column: Option<&str>) -> Result<Self> {
        let arrays = arrays::read(path)?;
        let names: Vec<String> = arrays.iter().map(|array| array.name.clone()).collect();
        let (number, name) = choose(&names, column).with_context(|| path.display().to_string())?;
        let values = &arrays[number].values;
        ensure!(
            matches!(values.dims(), [_] | [_, 1]),
            "{}: expected labels [N], found {:?}",
            path.display(),
            values.dims()
        );
        Ok(Self {
            column: name,
            seeds: None,
            values: values.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?,
        })
    }

    /// A column of a CSV file, whose first line names the columns.
    fn from_table(path: &Path, column: Option<&str>) -> Result<Self> {
        let in_file = || path.display().to_string();
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(path)
            .with_context(in_file)?;
        let names: Vec<String> = reader
            .headers()
            .with_context(in_file)?
            .iter()
            .map(str::to_string)
            .collect();
        let (column, name) = choose(&names, column).with_context(in_file)?;
        let seed_column = names.iter().position(|name| name == SEED);
        let mut seeds = seed_column.map(|_| Vec::new());
        let mut values: Vec<f64> = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let record = record.with_context(in_file)?;
            // People count from 1, and the first line has the names.
            let line = number + 2;
            values.push(cell(&record, column, &name, line).with_context(in_file)?);
            if let (Some(seeds), Some(column)) = (&mut seeds, seed_column) {
                seeds.push(cell(&record, column, SEED, line).with_context(in_file)?);
            }
        }
        Ok(Self {
            column: name,
            seeds,
            values,
        })
    }

    /// How many latents have a label.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The class of every latent: of two values the larger is the class; others are scores, of which the highest and
    /// the lowest share are taken.
    pub fn classes(&self, share: Option<f64>) -> Result<Vec<Option<bool>>> {
        const SHARE: f64 = 0.25;
        let column = &self.column;
        let distinct: BTreeSet<u64> = self.values.iter().map(|value| value.to_bits()).collect();
        match (distinct.len(), share) {
            (0 | 1, _) => bail!("--labels: column {column} has no two values to tell apart"),
            (2, Some(share)) => bail!(
                "--share {share}: column {column} has two values, which are classes already; leave the option out"
            ),
            (2, None) => {
                let largest = self.values.iter().copied().fold(f64::MIN, f64::max);
                Ok(self
                    .values
                    .iter()
                    .map(|&value| Some(value == largest))
                    .collect())
            }
            (_, share) => {
                let share = share.unwrap_or(SHARE);
                let classes = classes_of_scores(&self.values, share);
                classes.map_err(|error| match error {
                    EditError::OutOfRange { expected, .. } => {
                        anyhow!("--share {share}: expected {expected}")
                    }
                    error => error.into(),
                })
            }
        }
    }
}

/// The number and the name of a column.
fn choose(names: &[String], wanted: Option<&str>) -> Result<(usize, String)> {
    let others: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|&name| name != SEED)
        .collect();
    let name = match (wanted, &others[..]) {
        (Some(wanted), _) if others.contains(&wanted) => wanted,
        (Some(wanted), _) => bail!(
            "there is no column {wanted}; there are {}",
            others.join(", ")
        ),
        (None, &[only]) => only,
        (None, []) => bail!("expected a column of labels, found none beside {SEED}"),
        (None, _) => bail!("choose a column with --column: {}", others.join(", ")),
    };
    let number = names.iter().position(|other| other == name);
    Ok((number.unwrap_or(0), name.to_string()))
}

fn cell<T: std::str::FromStr>(
    record: &csv::StringRecord,
    column: usize,
    name: &str,
    line: usize,
) -> Result<T> {
    let text = record.get(column).unwrap_or("");
    text.parse()
        .map_err(|_| anyhow!("line {line}, column {name}: expected a number, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;

    fn read(text: &str, column: Option<&str>) -> Result<Labels, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        let folder = format!("{}/", folder.path().display());
        Labels::read(&path, column).map_err(|error| format!("{error:#}").replace(&folder, ""))
    }

    #[test]
    fn a_column_is_read_with_the_seeds_beside_it() {
        let text = "seed, smile, age\n4, 1, 30\n7, 0, 20.5\n";
        let labels = read(text, Some("age")).unwrap();
        assert_eq!(labels.seeds, Some(vec![4, 7]));
        assert_eq!(labels.values, [30., 20.5]);
        let only = read("smile\n1\n0\n", None).unwrap();
        assert_eq!((only.len(), only.seeds), (2, None));
        assert_eq!(only.column, "smile");
    }

    #[test]
    fn arrays_are_labels_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.npz");
        let device = &candle_core::Device::Cpu;
        let smile = Tensor::new(&[[0.5f32], [2.]], device).unwrap();
        let wide = Tensor::new(&[[0.5f32, 1.], [2., 3.]], device).unwrap();
        arrays::write(&path, &[("smile", &smile), ("wide", &wide)]).unwrap();
        let labels = Labels::read(&path, Some("smile")).unwrap();
        assert_eq!((&labels.seeds, &labels.values[..]), (&None, &[0.5, 2.][..]));
        let error = |column| format!("{:#}", Labels::read(&path, column).unwrap_err());
        let file = path.display();
        assert_eq!(
            error(Some("wide")),
            format!("{file}: expected labels [N], found [2, 2]")
        );
        assert_eq!(
            error(None),
            format!("{file}: choose a column with --column: smile, wide")
        );
    }

    #[test]
    fn wrong_files_are_errors_that_name_the_place() {
        let error = |text, column| read(text, column).unwrap_err();
        let two = "seed,smile,age\n4,1,30\n7,x,20\n";
        assert_eq!(
            error(two, None),
            "labels.csv: choose a column with --column: smile, age"
        );
        assert_eq!(
            error(two, Some("hair")),
            "labels.csv: there is no column hair; there are smile, age"
        );
        assert_eq!(
            error(two, Some("smile")),
            "labels.csv: line 3, column smile: expected a number, found \"x\""
        );
        assert_eq!(
            error("seed,a\n-1,0\n", None),
            "labels.csv: line 2, column seed: expected a number, found \"-1\""
        );
        assert_eq!(
            error("seed\n1\n", None),
            "labels.csv: expected a column of labels, found none beside seed"
        );
        assert_eq!(
            error("a\nNaN\n", None),
            "labels.csv: column a: expected finite numbers"
        );
        let ragged = error("a,b\n1\n", Some("a"));
        assert!(ragged.starts_with("labels.csv: CSV error"), "{ragged}");
    }

    #[test]
    fn two_values_are_classes_and_more_are_scores() {
        let classes = |text, share| {
            let labels = read(text, None).unwrap();
            labels.classes(share).map_err(|error| format!("{error:#}"))
        };
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(classes("a\n0\n1\n1\n", None), Ok(vec![no, yes, yes]));
        assert_eq!(classes("a\n-1\n1\n", None), Ok(vec![no, yes]));
        assert_eq!(
            classes("a\n3\n1\n2\n4\n", None),
            Ok(vec![None, no, None, yes])
        );
        assert_eq!(
            classes("a\n3\n1\n2\n4\n", Some(0.5)),
            Ok(vec![yes, no, no, yes])
        );
        assert_eq!(
            classes("a\n0\n1\n", Some(0.1)).unwrap_err(),
            "--share 0.1: column a has two values, which are classes already; leave the option out"
        );
        assert_eq!(
            classes("a\n1\n1\n", None).unwrap_err(),
            "--labels: column a has no two values to tell apart"
        );
        assert_eq!(
            classes("a\n1\n2\n3\n", Some(0.7)).unwrap_err(),
            "--share 0.7: expected more than 0 and at most 0.5"
        );
    }
}
