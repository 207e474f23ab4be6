//! Named directions of one network, in a file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use stylegan_checkpoint::{Checkpoint, CheckpointError};
use stylegan_import::Family;
use stylegan_synthesis::GeneratorConfig;

use crate::direction::{Direction, Method};
use crate::error::{EditError, Result};

/// The prefix of the vectors in a file.
const SECTION: &str = "directions.";

/// What a network must have in common with the one that directions were found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkKind {
    /// Its family.
    pub family: Family,
    /// Width of w.
    pub w_dim: usize,
    /// How many w a picture takes.
    pub num_ws: usize,
}

impl NetworkKind {
    /// That of a configuration.
    pub fn of(config: &GeneratorConfig) -> Self {
        Self {
            family: Family::of(config),
            w_dim: config.w_dim(),
            num_ws: config.synthesis.num_ws(),
        }
    }
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            w_dim,
            num_ws,
        } = self;
        write!(f, "{family} with {num_ws} w of {w_dim} numbers")
    }
}

/// Directions of one network, each under a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Directions {
    network: NetworkKind,
    list: Vec<Direction>,
}

/// The JSON document of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    directions: Content,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    network: NetworkKind,
    /// In order.
    list: Vec<Entry>,
}

/// A direction without its vector.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    layers: Vec<usize>,
    sigma: f64,
    method: Method,
}

impl Directions {
    /// Directions that were found in a network of that kind.
    ///
    /// # Errors
    /// If one has another width or layers that the network doesn't have, is not of length 1, has a name that
    /// can't be a file's, or two have the same.
    pub fn new(network: NetworkKind, list: Vec<Direction>) -> Result<Self> {
        let mut names = BTreeSet::new();
        for direction in &list {
            direction.validate(network.num_ws)?;
            if direction.vector.len() != network.w_dim {
                return Err(EditError::Shape {
                    expected: format!("[{}]", network.w_dim),
                    found: vec![direction.vector.len()],
                });
            }
            if !names.insert(&direction.name) {
                return Err(EditError::SameName {
                    name: direction.name.clone(),
                });
            }
        }
        Ok(Self { network, list })
    }

    /// All of them, in order.
    pub fn list(&self) -> &[Direction] {
        &self.list
    }

    /// The network that they were found in.
    pub fn network(&self) -> NetworkKind {
        self.network
    }

    /// The direction of that name.
    ///
    /// # Errors
    /// Lists all names where there is none.
    pub fn get(&self, name: &str) -> Result<&Direction> {
        let found = self.list.iter().find(|direction| direction.name == name);
        found.ok_or_else(|| EditError::NoSuchDirection {
            name: name.to_string(),
            found: self.list.iter().map(|it| it.name.clone()).collect(),
        })
    }

    /// Checks that they are directions of networks of that kind.
    ///
    /// # Errors
    /// Names both kinds where they differ.
    pub fn check_network(&self, network: NetworkKind) -> Result<()> {
        match self.network == network {
            true => Ok(()),
            false => Err(EditError::OtherNetwork {
                expected: self.network,
                found: network,
            }),
        }
    }

    /// Writes a safetensors file: a tensor `directions.NAME` `[w_dim]` (f64) for each, and everything else in the
    /// header. The same directions give the same bytes.
    ///
    /// # Errors
    /// If the file can't be written; what was there before is then untouched.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let entry = |direction: &Direction| Entry {
            name: direction.name.clone(),
            layers: direction.layers.clone(),
            sigma: direction.sigma,
            method: direction.method.clone(),
        };
        let document = Document {
            directions: Content {
                network: self.network,
                list: self.list.iter().map(entry).collect(),
            },
        };
        let document = serde_json::to_value(document).map_err(candle_core::Error::wrap)?;
        let mut checkpoint = Checkpoint::new(document);
        for direction in &self.list {
            let vector = Tensor::new(&direction.vector[..], &Device::Cpu)?;
            let name = format!("{SECTION}{}", direction.name);
            checkpoint.tensors.insert(name, vector);
        }
        Ok(checkpoint.write(path)?)
    }

    /// Reads a file that [`write`](Self::write) made.
    ///
    /// # Errors
    /// Each names the file: there is none, it is damaged, or it holds something else.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let none = || EditError::NotDirections {
            path: path.to_path_buf(),
        };
        let checkpoint = match Checkpoint::read(path, &Device::Cpu) {
            Err(CheckpointError::NotFound { path }) => return Err(EditError::NotFound { path }),
            Err(CheckpointError::NotACheckpoint { .. }) => return Err(none()),
            Err(CheckpointError::Damaged { path, reason }) => {
                return Err(EditError::Damaged { path, reason });
            }
            checkpoint => checkpoint?,
        };
        if checkpoint.metadata.get("directions").is_none() {
            return Err(none());
        }
        let Document {
            directions: Content { network, list },
        } = checkpoint.metadata_as()?;
        let damaged = |reason: String| EditError::Damaged {
            path: path.to_path_buf(),
            reason,
        };
        let direction = |entry: Entry| {
            let Entry {
                name,
                layers,
                sigma,
                method,
            } = entry;
            let vector = checkpoint.tensors.get(&format!("{SECTION}{name}"));
            let vector = vector.ok_or_else(|| damaged(format!("it has no vector {name}")))?;
            if vector.rank() != 1 {
                let found = vector.dims();
                return Err(damaged(format!(
                    "the vector {name} has the shape {found:?}"
                )));
            }
            Ok(Direction {
                vector: vector.to_dtype(DType::F64)?.to_vec1()?,
                name,
                layers,
                sigma,
                method,
            })
        };
        let list = list.into_iter().map(direction).collect::<Result<_>>()?;
        Self::new(network, list).map_err(|error| damaged(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(name: &str, vector: [f64; 2]) -> Direction {
        Direction {
            name: name.to_string(),
            vector: vector.to_vec(),
            layers: vec![0, 3],
            sigma: 0.1 + 0.2,
            method: Method::Boundary {
                accuracy: 0.9,
                chance: 0.5,
                samples: 700,
                orthogonal_to: vec!["age".to_string()],
            },
        }
    }

    fn kind() -> NetworkKind {
        NetworkKind {
            family: Family::StyleGan2,
            w_dim: 2,
            num_ws: 4,
        }
    }

    #[test]
    fn directions_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directions.safetensors");
        // In an order that is not that of their names.
        let list = vec![direction("smile", [0.6, 0.8]), direction("age", [1., 0.])];
        let directions = Directions::new(kind(), list).unwrap();
        directions.write(&path).unwrap();
        assert_eq!(Directions::read(&path).unwrap(), directions);
        let first = std::fs::read(&path).unwrap();
        directions.write(&path).unwrap();
        assert!(std::fs::read(&path).unwrap() == first);
    }

    #[test]
    fn names_that_are_not_there_list_those_that_are() {
        let directions = Directions::new(kind(), vec![direction("smile", [0.6, 0.8])]).unwrap();
        assert_eq!(directions.get("smile").unwrap().name, "smile");
        assert_eq!(
            directions.get("age").unwrap_err().to_string(),
            "there is no direction age; there are smile"
        );
    }

    #[test]
    fn directions_of_other_networks_and_of_the_wrong_form_are_errors() {
        let error = |list: Vec<Direction>| Directions::new(kind(), list).unwrap_err().to_string();
        let smile = direction("smile", [0.6, 0.8]);
        assert_eq!(
            error(vec![smile.clone(), smile.clone()]),
            "two directions are called smile; give one another name"
        );
        assert_eq!(
            error(vec![direction("smile", [1., 1.])]),
            "length: expected a direction of length 1, found 1.4142135623730951"
        );
        let wide = Direction {
            vector: vec![0.6, 0., 0.8],
            ..smile.clone()
        };
        assert_eq!(error(vec![wide]), "expected latents [2], found [3]");
        let directions = Directions::new(kind(), vec![smile]).unwrap();
        let other = NetworkKind {
            family: Family::StyleGan,
            ..kind()
        };
        assert_eq!(
            directions.check_network(other).unwrap_err().to_string(),
            "the directions are those of a StyleGAN2 with 4 w of 2 numbers, but the network is a StyleGAN with 4 w of 2 numbers; find directions of this network"
        );
        directions.check_network(kind()).unwrap();
    }

    #[test]
    fn files_of_another_kind_and_damaged_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        let error = || Directions::read(&path).unwrap_err().to_string();
        let name = path.display().to_string();
        assert_eq!(
            error(),
            format!("{name}: no such file of directions; check the path")
        );
        Checkpoint::new(serde_json::json!({})).write(&path).unwrap();
        assert_eq!(
            error(),
            format!(
                "{name}: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"
            )
        );
        let directions = Directions::new(kind(), vec![direction("smile", [0.6, 0.8])]).unwrap();
        directions.write(&path).unwrap();
        let mut file = Checkpoint::read(&path, &Device::Cpu).unwrap();
        let vector = Tensor::new(&[3f64, 4.], &Device::Cpu).unwrap();
        file.tensors.insert("directions.smile".to_string(), vector);
        file.write(&path).unwrap();
        assert_eq!(
            error(),
            format!(
                "{name}: the file of directions is damaged: length: expected a direction of length 1, found 5"
            )
        );
        file.tensors.clear();
        file.write(&path).unwrap();
        assert_eq!(
            error(),
            format!("{name}: the file of directions is damaged: it has no vector smile")
        );
    }
}
