//! Directions of a file, for the commands that apply them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use stylegan_edit::{Direction, Directions, NetworkKind, Unit};

use crate::pictures::Trained;
use crate::styles::Styles;

/// Which directions of a file change pictures, and in which layers.
#[derive(Debug, clap::Args)]
pub struct DirectionArgs {
    /// File of directions that edit factorize, edit pca or edit boundary wrote
    #[arg(long, value_name = "FILE")]
    directions: PathBuf,

    /// Directions to take, such as sefa0,sefa3 [default: all of the file]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,

    /// Layers to change: coarse, middle, fine, several of them such as coarse,middle, or numbers of layers such
    /// as 0-5 [default: those that the direction was found in]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<Styles>,
}

impl DirectionArgs {
    /// The directions, before there is a network.
    pub fn read(&self) -> Result<Chosen<'_>> {
        Chosen::read(&self.directions, &self.only, self.layers.as_ref())
    }
}

/// The file of directions that an option names.
pub fn read_directions(option: &str, path: &Path) -> Result<Directions> {
    Directions::read(path).map_err(|error| {
        // The error names the file.
        let message = format!("{option} {error}");
        anyhow::Error::new(error).context(message)
    })
}

/// What a strength of 1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UnitArg {
    /// A standard deviation of w along the direction
    Sigma,
    /// A length of 1 in w, as in the code of SeFa
    Length,
}

impl From<UnitArg> for Unit {
    fn from(arg: UnitArg) -> Self {
        match arg {
            UnitArg::Sigma => Self::Sigma,
            UnitArg::Length => Self::Length,
        }
    }
}

/// Directions that were chosen from a file.
pub struct Chosen<'a> {
    path: &'a Path,
    file: Directions,
    list: Vec<Direction>,
    layers: Option<&'a Styles>,
}

impl<'a> Chosen<'a> {
    /// The directions of the names in `only`, or all; they change `layers`, or those that they were found in.
    pub fn read(path: &'a Path, only: &[String], layers: Option<&'a Styles>) -> Result<Self> {
        let file = read_directions("--directions", path)?;
        let list = match only {
            [] => file.list().to_vec(),
            names => {
                let named = names.iter().map(|name| {
                    let found = file.get(name).with_context(|| format!("--only {name}"));
                    found.cloned()
                });
                named.collect::<Result<_>>()?
            }
        };
        Ok(Self {
            path,
            file,
            list,
            layers,
        })
    }

    /// The names, in the order chosen.
    pub fn names(&self) -> Vec<&str> {
        self.list.iter().map(|it| it.name.as_str()).collect()
    }

    /// The directions, which must be those of such a network, each with the layers that it is to change.
    pub fn for_network(self, trained: &Trained) -> Result<Vec<Direction>> {
        let kind = NetworkKind::of(&trained.generator.config);
        let fits = self.file.check_network(kind);
        fits.with_context(|| of_option(self.path))?;
        let mut list = self.list;
        if let Some(styles) = self.layers {
            let layers = styles.layers("--layers", trained.generator.network.synthesis())?;
            for direction in &mut list {
                direction.layers.clone_from(&layers);
            }
        }
        Ok(list)
    }
}

fn of_option(path: &Path) -> String {
    format!("--directions {}", path.display())
}
