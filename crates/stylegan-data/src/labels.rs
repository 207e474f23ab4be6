//! Labels from `dataset.json`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::DataError;

/// Class numbers are positions in a one-hot vector; one beyond this is surely a mistake.
const MAX_CLASSES: usize = 100_000;

/// The labels of all pictures, in their order.
#[derive(Debug, PartialEq)]
pub(crate) enum Labels {
    Classes { classes: Vec<usize>, count: usize },
    Vectors { vectors: Vec<Vec<f32>>, len: usize },
}

/// `{"labels": [["00000/img00000000.png", 3], ...]}`; other keys are left alone.
#[derive(Deserialize)]
struct Document {
    /// `null` in datasets that were written without labels.
    labels: Option<Vec<(String, Value)>>,
}

/// One label of the file.
enum Label {
    Class(usize),
    Vector(Vec<f32>),
}

impl Labels {
    /// Reads the bytes of `dataset.json`, called `file` in messages, for the pictures `names`.
    pub(crate) fn parse(bytes: &[u8], file: &str, names: &[String]) -> Result<Self, DataError> {
        Self::parse_rules(bytes, names).map_err(|rule| DataError::InvalidLabels {
            file: file.to_string(),
            rule,
        })
    }

    fn parse_rules(bytes: &[u8], names: &[String]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| {
            format!("expected {{\"labels\": [[\"FILE\", LABEL], ...]}}, found: {error}")
        })?;
        let entries = document
            .labels
            .ok_or("\"labels\" is missing or null, but labels are needed (--cond, or a network that was trained with labels); fill it")?;
        let positions: HashMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(position, name)| (name.as_str(), position))
            .collect();
        let mut found: Vec<Option<Label>> = names.iter().map(|_| None).collect();
        for (name, value) in &entries {
            let position = *positions.get(name.as_str()).ok_or_else(|| {
                format!("has a label for \"{name}\", which is not among the pictures; remove the label or add the picture")
            })?;
            let label =
                Label::parse(value).map_err(|rule| format!("label of \"{name}\": {rule}"))?;
            if found[position].replace(label).is_some() {
                return Err(format!("has two labels for \"{name}\"; keep one"));
            }
        }
        let missing: Vec<&String> = (names.iter().zip(&found))
            .filter_map(|(name, label)| label.is_none().then_some(name))
            .collect();
        if let Some(first) = missing.first() {
            return Err(format!(
                "every picture needs a label: \"{first}\" has none ({} of {} pictures without); add the labels or remove the pictures",
                missing.len(),
                names.len()
            ));
        }
        Self::collect(names, found.into_iter().flatten())
    }

    /// Checks that all labels are of the kind and length of the first.
    fn collect(names: &[String], labels: impl Iterator<Item = Label>) -> Result<Self, String> {
        let mut classes = Vec::new();
        let mut vectors: Vec<Vec<f32>> = Vec::new();
        for (name, label) in names.iter().zip(labels) {
            let mixed = |first: &str, found: &str| {
                format!(
                    "labels must be all class numbers or all vectors: \"{}\" has {first}, \"{name}\" has {found}",
                    names[0]
                )
            };
            match label {
                Label::Class(_) if !vectors.is_empty() => {
                    return Err(mixed("a vector", "a class number"));
                }
                Label::Vector(_) if !classes.is_empty() => {
                    return Err(mixed("a class number", "a vector"));
                }
                Label::Class(class) => classes.push(class),
                Label::Vector(vector) => {
                    if let Some(first) = vectors.first()
                        && first.len() != vector.len()
                    {
                        return Err(format!(
                            "all label vectors must have the same length: \"{}\" has {} numbers, \"{name}\" has {}",
                            names[0],
                            first.len(),
                            vector.len()
                        ));
                    }
                    vectors.push(vector);
                }
            }
        }
        Ok(match vectors.first().map(Vec::len) {
            Some(len) => Self::Vectors { vectors, len },
            None => {
                let count = classes.iter().max().map_or(0, |&largest| largest + 1);
                Self::Classes { classes, count }
            }
        })
    }

    /// Length of a label vector: the largest class + 1, or the length of the vectors.
    pub(crate) fn dim(&self) -> usize {
        match *self {
            Self::Classes { count, .. } => count,
            Self::Vectors { len, .. } => len,
        }
    }

    /// The label of a picture as a vector, one-hot for a class.
    pub(crate) fn vector(&self, picture: usize) -> Vec<f32> {
        match self {
            Self::Classes { classes, count } => {
                let mut vector = vec![0.0; *count];
                vector[classes[picture]] = 1.0;
                vector
            }
            Self::Vectors { vectors, .. } => vectors[picture].clone(),
        }
    }
}

impl Label {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Number(_) => Self::parse_class(value),
            Value::Array(numbers) => Self::parse_vector(numbers),
            _ => Err(format!(
                "expected a class number or a vector of numbers, found {value}"
            )),
        }
    }

    fn parse_class(value: &Value) -> Result<Self, String> {
        let class = value
            .as_u64()
            .ok_or_else(|| format!("class numbers are whole and not negative, found {value}"))?;
        match usize::try_from(class) {
            Ok(class) if class < MAX_CLASSES => Ok(Self::Class(class)),
            _ => Err(format!(
                "class numbers go from 0 to {}, found {class}; number the classes without gaps",
                MAX_CLASSES - 1
            )),
        }
    }

    fn parse_vector(numbers: &[Value]) -> Result<Self, String> {
        if numbers.is_empty() {
            return Err("expected at least one number in the vector".to_string());
        }
        let vector: Option<Vec<f32>> = numbers
            .iter()
            .map(|number| number.as_f64().map(|number| number as f32))
            .map(|number| number.filter(|number| number.is_finite()))
            .collect();
        vector.map(Self::Vector).ok_or_else(|| {
            format!(
                "expected a vector of finite numbers, found {}",
                Value::from(numbers)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Labels, DataError> {
        let names = ["a.png", "b/c.png"].map(String::from);
        Labels::parse(json.as_bytes(), "faces.zip: dataset.json", &names)
    }

    fn message(json: &str) -> String {
        parse(json).unwrap_err().to_string()
    }

    #[test]
    fn classes_become_one_hot_over_the_largest_class() {
        let labels = parse(r#"{"labels": [["b/c.png", 3], ["a.png", 0]], "note": 1}"#).unwrap();
        assert_eq!(labels.dim(), 4);
        assert_eq!(labels.vector(0), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(labels.vector(1), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn vectors_stay_as_they_are() {
        let labels = parse(r#"{"labels": [["a.png", [0.5, -1]], ["b/c.png", [2, 3]]]}"#).unwrap();
        assert_eq!(labels.dim(), 2);
        assert_eq!(labels.vector(0), [0.5, -1.0]);
    }

    #[test]
    fn every_broken_rule_is_named_with_its_picture() {
        let cases = [
            (
                r#"{"labels": [["a.png", 1], ["b/c.png", [1]]]}"#,
                r#"labels must be all class numbers or all vectors: "a.png" has a class number, "b/c.png" has a vector"#,
            ),
            (
                r#"{"labels": [["a.png", [1]], ["b/c.png", 1]]}"#,
                r#""a.png" has a vector, "b/c.png" has a class number"#,
            ),
            (
                r#"{"labels": [["a.png", [1, 2]], ["b/c.png", [1, 2, 3]]]}"#,
                r#"all label vectors must have the same length: "a.png" has 2 numbers, "b/c.png" has 3"#,
            ),
            (
                r#"{"labels": [["a.png", -1], ["b/c.png", 0]]}"#,
                r#"label of "a.png": class numbers are whole and not negative, found -1"#,
            ),
            (
                r#"{"labels": [["a.png", 1.5], ["b/c.png", 0]]}"#,
                "class numbers are whole and not negative, found 1.5",
            ),
            (
                r#"{"labels": [["a.png", 4294967296], ["b/c.png", 0]]}"#,
                "class numbers go from 0 to 99999, found 4294967296",
            ),
            (
                r#"{"labels": [["a.png", "cat"], ["b/c.png", 0]]}"#,
                r#"label of "a.png": expected a class number or a vector of numbers, found "cat""#,
            ),
            (
                r#"{"labels": [["a.png", []], ["b/c.png", []]]}"#,
                "expected at least one number in the vector",
            ),
            (
                r#"{"labels": [["a.png", [1e300]], ["b/c.png", [1]]]}"#,
                "expected a vector of finite numbers, found [1e+300]",
            ),
            (
                r#"{"labels": [["a.png", 1]]}"#,
                r#"every picture needs a label: "b/c.png" has none (1 of 2 pictures without)"#,
            ),
            (
                r#"{"labels": [["a.png", 1], ["b/c.png", 1], ["x.png", 1]]}"#,
                r#"has a label for "x.png", which is not among the pictures"#,
            ),
            (
                r#"{"labels": [["a.png", 1], ["a.png", 1], ["b/c.png", 1]]}"#,
                r#"has two labels for "a.png"; keep one"#,
            ),
            (
                r#"{"labels": null}"#,
                r#""labels" is missing or null, but labels are needed (--cond, or a network"#,
            ),
            (
                r#"{"labels": ["#,
                r#"expected {"labels": [["FILE", LABEL], ...]}, found: EOF"#,
            ),
            (r#"{}"#, r#""labels" is missing or null"#),
        ];
        for (json, expected) in cases {
            let message = message(json);
            assert!(
                message.starts_with("faces.zip: dataset.json: "),
                "{message}"
            );
            assert!(message.contains(expected), "{message}\nlacks {expected}");
        }
    }
}
