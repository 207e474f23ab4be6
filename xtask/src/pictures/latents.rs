//! `--seeds` and `--latents`: what pictures are made of.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use stylegan_checkpoint::arrays::{self, NamedArray};
use stylegan_mapping::{broadcast, latents};

use super::maker::PictureMaker;
use super::noise::{self, PictureNoise};
use crate::files::{self, check_file};
use crate::progress::Terminal;
use crate::seeds::Seeds;

/// Where latents come from.
#[derive(Debug, clap::Args)]
pub struct LatentArgs {
    /// Numbers and ranges, one picture each, such as 0-15,85
    #[arg(
        long,
        value_name = "LIST",
        required_unless_present = "latents",
        conflicts_with = "latents"
    )]
    seeds: Option<Seeds>,

    /// Files of latents in the place of seeds, .npz, .npy or .safetensors: z [N, z_dim], w [N, w_dim] or
    /// ws [N, layers, w_dim]; w and ws are not truncated
    #[arg(
        long,
        visible_alias = "projected-w",
        value_name = "FILE",
        num_args = 1..,
    )]
    latents: Vec<PathBuf>,

    /// What the latents of the files are where it doesn't show: in most networks z and w are equally long,
    /// and a file has no names that tell
    #[arg(long, value_name = "SPACE", requires = "latents")]
    latents_space: Option<Space>,
}

/// A space of latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Space {
    /// Normally distributed, before the mapping network
    Z,
    /// Behind the mapping network, one for all layers or one for each
    W,
}

/// What a picture is made of.
#[derive(Debug, Clone)]
pub struct Latent {
    /// `seed0085`, or `latent0002` of files: what its picture is called.
    pub name: String,
    pub noise: PictureNoise,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `[1, z_dim]`
    Z(Tensor),
    /// `[1, num_ws, w_dim]`
    W(Tensor),
}

impl Latent {
    /// The z `[1, z_dim]`; `None` of a latent that is a w.
    pub fn z(&self) -> Option<&Tensor> {
        match &self.value {
            Value::Z(z) => Some(z),
            Value::W(_) => None,
        }
    }

    /// The latent of a seed.
    pub fn from_seed(seed: u32, maker: &PictureMaker) -> Result<Self> {
        let trained = maker.trained();
        let z_dim = trained.generator.config.z_dim;
        Ok(Self {
            name: format!("seed{seed:04}"),
            noise: PictureNoise::of_seed(seed),
            value: Value::Z(latents::from_seeds(&[seed], z_dim, &trained.device)?),
        })
    }
}

impl LatentArgs {
    /// How many seeds there are; `None` where files are given instead.
    pub fn seeds(&self) -> Option<usize> {
        self.seeds.as_ref().map(|Seeds(seeds)| seeds.len())
    }

    /// All latents in the order given, each checked against the network.
    pub fn read(&self, maker: &PictureMaker) -> Result<Vec<Latent>> {
        if let Some(Seeds(seeds)) = &self.seeds {
            let latents = seeds.iter().map(|&seed| Latent::from_seed(seed, maker));
            return latents.collect();
        }
        let latents = read_files(&self.latents, self.latents_space, maker)?;
        check_options(&latents, maker)?;
        Ok(latents)
    }
}

/// Options of how z become w must have one to be about.
pub fn check_options(latents: &[Latent], maker: &PictureMaker) -> Result<()> {
    let has_z = latents.iter().any(|latent| latent.z().is_some());
    match &maker.asked_for {
        Some(option) if !has_z => bail!(
            "{option}: is for seeds and z, but the w of files are used as they are; leave the option \
             out"
        ),
        _ => Ok(()),
    }
}

/// Seeds, or the name of a file of latents, as the value of one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// Numbers and ranges.
    Seeds(Seeds),
    /// A file that is there, or whose name has the end of one.
    File(PathBuf),
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_file = matches!(extension, Some("npz" | "npy" | "safetensors")) || path.is_file();
        match is_file {
            true => Ok(Self::File(path.to_path_buf())),
            false => text.parse().map(Self::Seeds),
        }
    }
}

impl Sources {
    /// All latents in their order, seeds named by their numbers, others `ROLE0`, `ROLE1`, ...
    pub fn read(
        &self,
        role: &str,
        space: Option<Space>,
        maker: &PictureMaker,
    ) -> Result<Vec<Latent>> {
        match self {
            Self::Seeds(Seeds(seeds)) => {
                let named = seeds.iter().map(|&seed| {
                    let name = seed.to_string();
                    Ok(Latent {
                        name,
                        ..Latent::from_seed(seed, maker)?
                    })
                });
                named.collect()
            }
            Self::File(file) => {
                let mut latents = read_files(std::slice::from_ref(file), space, maker)?;
                for (number, latent) in latents.iter_mut().enumerate() {
                    latent.name = format!("{role}{number}");
                }
                Ok(latents)
            }
        }
    }
}

/// All latents of files in their order, with the noise maps of their files unless other noise was asked for.
pub fn read_files(
    files: &[PathBuf],
    space: Option<Space>,
    maker: &PictureMaker,
) -> Result<Vec<Latent>> {
    let config = &maker.trained().generator.config;
    let sizes = Sizes {
        z_dim: config.z_dim,
        w_dim: config.w_dim(),
        num_ws: config.synthesis.num_ws(),
    };
    let device = &maker.trained().device;
    let mut latents = Vec::new();
    for file in files {
        let in_file = || file.display().to_string();
        let (maps, arrays) = noise::split(arrays::read(file)?);
        let array = choose(arrays, space, file)?;
        let values = values_of(&array, space, &sizes, device).with_context(in_file)?;
        let maps = match maker.noise {
            None => noise::maps_for(maker.synthesis(), &maps, device).with_context(in_file)?,
            Some(_) => None,
        };
        for value in values {
            let number = u32::try_from(latents.len())?;
            let noise = PictureNoise {
                seed: number,
                maps: maps.clone(),
            };
            latents.push(Latent {
                name: format!("latent{number:04}"),
                noise,
                value,
            });
        }
    }
    Ok(latents)
}

/// Sizes of a network's latents.
struct Sizes {
    z_dim: usize,
    w_dim: usize,
    num_ws: usize,
}

impl Sizes {
    fn expected(&self) -> String {
        let Self {
            z_dim,
            w_dim,
            num_ws,
        } = self;
        format!("z [N, {z_dim}], w [N, {w_dim}] or ws [N, {num_ws}, {w_dim}]")
    }
}

/// What an array is by its name, as this and other tools name them.
fn space_of(name: &str) -> Option<Space> {
    match name.to_ascii_lowercase().as_str() {
        "z" | "zs" => Some(Space::Z),
        "w" | "ws" | "wp" | "w_plus" | "projected_w" => Some(Space::W),
        _ => None,
    }
}

/// The array of a file that has the latents: the only one, or the only one with a name that says so.
fn choose(mut arrays: Vec<NamedArray>, space: Option<Space>, file: &Path) -> Result<NamedArray> {
    if arrays.len() == 1 {
        return Ok(arrays.remove(0));
    }
    let names: Vec<String> = arrays.iter().map(|array| array.name.clone()).collect();
    let is_wanted = |array: &NamedArray| {
        let found = space_of(&array.name);
        found.is_some() && (space.is_none() || found == space)
    };
    arrays.retain(is_wanted);
    match arrays.len() {
        1 => Ok(arrays.remove(0)),
        _ => bail!(
            "{}: expected one array of latents, named z, w or ws, found {}{}",
            file.display(),
            match names.is_empty() {
                true => "only noise maps".to_string(),
                false => names.join(", "),
            },
            match space {
                None if arrays.len() > 1 => "; choose with --latents-space z or --latents-space w",
                _ => "",
            }
        ),
    }
}

/// The latents of an array, one by one.
fn values_of(
    array: &NamedArray,
    space: Option<Space>,
    sizes: &Sizes,
    device: &Device,
) -> Result<Vec<Value>> {
    let values = array.values.to_device(device)?;
    let values = match values.rank() {
        1 => values.unsqueeze(0)?,
        _ => values,
    };
    let wrong = || {
        anyhow::anyhow!(
            "expected {}, found {:?}",
            sizes.expected(),
            array.values.dims()
        )
    };
    ensure!(
        values.rank() < 2 || values.dim(0)? > 0,
        "there are no latents in it, only the shape {:?}",
        values.dims()
    );
    let each = |values: &Tensor| {
        (0..values.dim(0)?)
            .map(|n| values.narrow(0, n, 1))
            .collect()
    };
    let each = |values: &Tensor| -> candle_core::Result<Vec<Tensor>> { each(values) };
    match *values.dims() {
        [_, num_ws, w_dim] if num_ws == sizes.num_ws && w_dim == sizes.w_dim => {
            ensure!(
                space != Some(Space::Z),
                "--latents-space z: expected z [N, {}], found {:?}",
                sizes.z_dim,
                values.dims()
            );
            Ok(each(&values)?.into_iter().map(Value::W).collect())
        }
        [_, length] => match space_of_vectors(&array.name, length, space, sizes)? {
            Some(Space::Z) => Ok(each(&values)?.into_iter().map(Value::Z).collect()),
            Some(Space::W) => {
                let ws = broadcast(&values, sizes.num_ws)?;
                Ok(each(&ws)?.into_iter().map(Value::W).collect())
            }
            None => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// What vectors of a length are; `None` where they fit nothing.
fn space_of_vectors(
    name: &str,
    length: usize,
    space: Option<Space>,
    sizes: &Sizes,
) -> Result<Option<Space>> {
    let fits = |space| match space {
        Space::Z => length == sizes.z_dim,
        Space::W => length == sizes.w_dim,
    };
    if let Some(space) = space {
        return Ok(Some(space).filter(|&space| fits(space)));
    }
    let fitting = [Space::Z, Space::W].map(fits);
    match (fitting, space_of(name)) {
        ([false, false], _) => Ok(None),
        ([true, false], None | Some(Space::Z)) => Ok(Some(Space::Z)),
        ([false, true], None | Some(Space::W)) => Ok(Some(Space::W)),
        ([true, true], Some(space)) => Ok(Some(space)),
        ([true, true], None) => bail!(
            "z and w of the network both have {length} values; say which these are with \
             --latents-space z or --latents-space w"
        ),
        ([z, _], Some(_)) => bail!(
            "an array called {name} has the length of a {}, {length}; say what it is with \
             --latents-space",
            if z { "z" } else { "w" }
        ),
    }
}

/// `--save-w`.
#[derive(Debug, clap::Args)]
pub struct SaveW {
    /// File for the ws of all pictures, [N, layers, w_dim] under the name w: .npz, which the public tools
    /// read too, .npy or .safetensors
    #[arg(long, value_name = "FILE")]
    save_w: Option<PathBuf>,
}

impl SaveW {
    /// The name must be one of a file of arrays, in a folder that is there.
    pub fn check(&self) -> Result<()> {
        let Some(path) = &self.save_w else {
            return Ok(());
        };
        let extension = path.extension().and_then(|extension| extension.to_str());
        ensure!(
            matches!(extension, Some("npz" | "npy" | "safetensors")),
            "--save-w {}: expected a name that ends in .npz, .npy or .safetensors",
            path.display()
        );
        check_file("--save-w", path)
    }

    /// Writes the ws, each `[1, num_ws, w_dim]`, where the option is given.
    pub fn write(&self, ws: &[Tensor], terminal: &Terminal) -> Result<()> {
        let Some(path) = &self.save_w else {
            return Ok(());
        };
        let ws = Tensor::cat(ws, 0)?;
        files::write(path, terminal, |path| {
            Ok(arrays::write(path, &[("w", &ws)])?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    const SQUARE: Sizes = Sizes {
        z_dim: 4,
        w_dim: 4,
        num_ws: 6,
    };
    const OBLONG: Sizes = Sizes {
        z_dim: 8,
        w_dim: 4,
        num_ws: 6,
    };

    fn array(name: &str, shape: &[usize]) -> NamedArray {
        NamedArray {
            name: name.to_string(),
            values: Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap(),
        }
    }

    /// How many z and how many w there are.
    fn counts(name: &str, shape: &[usize], space: Option<Space>, sizes: &Sizes) -> (usize, usize) {
        let values = values_of(&array(name, shape), space, sizes, &Device::Cpu).unwrap();
        let is_z = |value: &&Value| match value {
            Value::Z(z) => {
                assert_eq!(z.dims(), [1, sizes.z_dim]);
                true
            }
            Value::W(ws) => {
                assert_eq!(ws.dims(), [1, sizes.num_ws, sizes.w_dim]);
                false
            }
        };
        let z = values.iter().filter(is_z).count();
        (z, values.len() - z)
    }

    fn error(name: &str, shape: &[usize], space: Option<Space>, sizes: &Sizes) -> String {
        let values = values_of(&array(name, shape), space, sizes, &Device::Cpu);
        values.unwrap_err().to_string()
    }

    #[test]
    fn the_shape_tells_what_latents_are_where_it_can() {
        assert_eq!(counts("", &[3, 8], None, &OBLONG), (3, 0));
        assert_eq!(counts("", &[3, 4], None, &OBLONG), (0, 3));
        assert_eq!(counts("", &[8], None, &OBLONG), (1, 0));
        for sizes in [&SQUARE, &OBLONG] {
            assert_eq!(counts("", &[2, 6, 4], None, sizes), (0, 2));
        }
    }

    #[test]
    fn the_name_or_the_option_tells_where_the_shape_does_not() {
        assert_eq!(counts("z", &[3, 4], None, &SQUARE), (3, 0));
        assert_eq!(counts("W", &[3, 4], None, &SQUARE), (0, 3));
        assert_eq!(counts("", &[4], Some(Space::W), &SQUARE), (0, 1));
        assert_eq!(counts("w", &[3, 4], Some(Space::Z), &SQUARE), (3, 0));
        assert_eq!(
            error("arr_0", &[3, 4], None, &SQUARE),
            "z and w of the network both have 4 values; say which these are with --latents-space z \
             or --latents-space w"
        );
    }

    #[test]
    fn latents_of_other_networks_are_errors_that_say_what_this_one_has() {
        let expected = "expected z [N, 8], w [N, 4] or ws [N, 6, 4], found";
        for shape in [&[3, 5][..], &[2, 5, 4], &[2, 6, 8], &[1, 1, 6, 4], &[]] {
            assert_eq!(
                error("w", shape, None, &OBLONG),
                format!("{expected} {shape:?}")
            );
        }
        assert_eq!(
            error("w", &[3, 8], Some(Space::W), &OBLONG),
            format!("{expected} [3, 8]")
        );
        assert_eq!(
            error("w", &[2, 6, 4], Some(Space::Z), &OBLONG),
            "--latents-space z: expected z [N, 8], found [2, 6, 4]"
        );
        assert_eq!(
            error("w", &[3, 8], None, &OBLONG),
            "an array called w has the length of a z, 8; say what it is with --latents-space"
        );
        assert_eq!(
            error("w", &[0, 4], None, &OBLONG),
            "there are no latents in it, only the shape [0, 4]"
        );
    }

    #[test]
    fn of_several_arrays_the_one_with_a_telling_name_is_chosen() {
        let arrays = || vec![array("image", &[1]), array("w", &[1]), array("z", &[1])];
        let file = Path::new("file.npz");
        let chosen = |space| choose(arrays(), Some(space), file).unwrap().name;
        assert_eq!((&chosen(Space::Z)[..], &chosen(Space::W)[..]), ("z", "w"));
        let error = choose(arrays(), None, file).unwrap_err().to_string();
        assert_eq!(
            error,
            "file.npz: expected one array of latents, named z, w or ws, found image, w, z; choose \
             with --latents-space z or --latents-space w"
        );
        let others = vec![array("a", &[1]), array("b", &[1])];
        let error = choose(others, Some(Space::W), file)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "file.npz: expected one array of latents, named z, w or ws, found a, b"
        );
        assert_eq!(
            choose(vec![array("a", &[1])], None, file).unwrap().name,
            "a"
        );
    }
}
