//! PyTorch files and plain safetensors: modules as the public tools pickle them, and dictionaries of tensors.

use std::collections::BTreeMap;

use candle_core::Tensor;
use stylegan_checkpoint::archive::{Archive, Container, NamedTensors};
use stylegan_checkpoint::pickle::View;
use stylegan_discriminator::DiscriminatorConfig;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::GeneratorConfig;

use crate::error::{ImportError, Result};
use crate::module::{Lazy, Module};
use crate::network::Network;
use crate::public::{self, Hints};
use crate::shapes::{Shapes, Tensors, checked_name, list_names};
use crate::{Extra, Family, Format, Imported, rosinality};

/// What a network of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    GEma,
    G,
    D,
}

impl Role {
    /// That of a network under a key of a dictionary.
    fn of(key: &str) -> Option<Self> {
        match key {
            "G_ema" | "g_ema" => Some(Self::GEma),
            "G" | "g" | "generator" => Some(Self::G),
            "D" | "d" | "discriminator" => Some(Self::D),
            _ => None,
        }
    }
}

/// How a file names the tensors of its networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Public,
    Rosinality,
}

impl Naming {
    /// The naming of a network, and whether it is a generator.
    fn of(tensors: &Tensors) -> Option<(Self, bool)> {
        if rosinality::is_generator(tensors) {
            Some((Self::Rosinality, true))
        } else if rosinality::is_discriminator(tensors) {
            Some((Self::Rosinality, false))
        } else if public::is_generator(tensors) {
            Some((Self::Public, true))
        } else if public::is_discriminator(tensors) {
            Some((Self::Public, false))
        } else {
            None
        }
    }
}

/// One network of a file.
struct Section {
    name: String,
    tensors: Tensors,
    /// What its module tells beyond the tensors, and which tool made it.
    module: Option<(Hints, &'static str)>,
}

impl Section {
    /// How the tensors are named.
    ///
    /// # Errors
    /// If they are those of no generator, or discriminator.
    fn naming(&self, is_generator: bool) -> Result<Naming> {
        match Naming::of(&self.tensors) {
            Some((naming, found)) if found == is_generator => Ok(naming),
            _ => Err(unknown(self)),
        }
    }

    /// Which tools made the network.
    fn origin(&self) -> &'static str {
        match (Naming::of(&self.tensors), &self.module) {
            (Some((Naming::Rosinality, _)), _) => "the rosinality code in PyTorch",
            (_, Some((_, tool))) => tool,
            (_, None) => "tensors under the public names",
        }
    }

    /// What was assumed of a network under the public names that has no arguments with it. The rosinality code
    /// has no choice.
    fn assumption(&self) -> Option<String> {
        let (Some((Naming::Public, is_generator)), None) =
            (Naming::of(&self.tensors), &self.module)
        else {
            return None;
        };
        let groups = match is_generator {
            true => "",
            false => ", and the minibatch standard deviation to have groups of 4",
        };
        Some(format!(
            "{}: stored without its configuration: activations are taken to be unclamped{groups}",
            self.name
        ))
    }

    fn hints(&self) -> Hints {
        match &self.module {
            Some((hints, _)) => hints.clone(),
            None => Hints::default(),
        }
    }

    fn generator(self, latent_avg: Option<&Tensor>) -> Result<Network<GeneratorConfig>> {
        let (name, hints) = (self.name.as_str(), self.hints());
        let tensors = match self.naming(true)? {
            Naming::Public => self.tensors,
            Naming::Rosinality => rosinality::read_generator(name, &self.tensors, latent_avg)?,
        };
        let shapes = Shapes {
            network: name,
            tensors: &tensors,
        };
        let config = public::generator_config(&shapes, &hints)?;
        Network::new(name, config, tensors, Lod::FULL)
    }

    fn discriminator(self) -> Result<Network<DiscriminatorConfig>> {
        let (name, hints) = (self.name.as_str(), self.hints());
        let tensors = match self.naming(false)? {
            Naming::Public => self.tensors,
            Naming::Rosinality => rosinality::read_discriminator(name, &self.tensors)?,
        };
        let shapes = Shapes {
            network: name,
            tensors: &tensors,
        };
        let config = public::discriminator_config(&shapes, &hints)?;
        Network::new(name, config, tensors, Lod::FULL)
    }
}

/// What a file holds beside its networks.
#[derive(Default)]
struct Rest {
    latent_avg: Option<Tensor>,
    extras: Vec<Extra>,
    notes: Vec<String>,
}

/// The networks of a file whose root is a dictionary, a module or a dictionary of tensors.
pub(crate) fn import(archive: &Archive) -> Result<Imported> {
    let root = archive.root();
    let mut sections = BTreeMap::new();
    let mut rest = Rest::default();
    match section(archive, &root, "network")? {
        Some(section) => {
            let (role, section) = alone(section)?;
            sections.insert(role, section);
        }
        None => {
            for (key, value) in root.items()? {
                if let Some(role) = Role::of(key)
                    && let Some(section) = section(archive, &value, key)?
                {
                    sections.insert(role, section);
                } else if key == "latent_avg"
                    && let Some(tensor) = archive.tensor(&value)?
                {
                    rest.latent_avg = Some(archive.load(&tensor)?);
                } else {
                    rest.extras.push(extra(archive, key, &value));
                }
            }
        }
    }
    if sections.is_empty() {
        let keys = list_names(root.items()?.into_iter().map(|(key, _)| key));
        return Err(ImportError::no_network(match &keys[..] {
            "" => root.describe(),
            keys => format!("{} with {keys}", root.describe()),
        }));
    }
    if archive.trailing_bytes() > 0 {
        let bytes = archive.trailing_bytes();
        rest.notes
            .push(format!("{bytes} bytes behind the pickle were passed over"));
    }
    let format = match archive.container() {
        Container::TorchZip => Format::TorchZip,
        Container::TorchLegacy => Format::TorchLegacy,
        Container::Pickle | Container::Safetensors => Format::TorchPickle,
    };
    assemble(sections, rest, format)
}

/// The networks of a safetensors file that has no configuration.
pub(crate) fn import_safetensors(file: &NamedTensors) -> Result<Imported> {
    let mut by_role: BTreeMap<Role, (&str, Tensors)> = BTreeMap::new();
    let mut alone_tensors = Tensors::new();
    for (name, tensor) in &file.tensors {
        let tensor = file.load(tensor)?;
        match name
            .split_once('.')
            .and_then(|(key, name)| Some((Role::of(key)?, key, name)))
        {
            Some((role, key, name)) => {
                let (_, tensors) = by_role.entry(role).or_insert((key, Tensors::new()));
                tensors.insert(checked_name(name.to_string())?, tensor);
            }
            None => {
                alone_tensors.insert(checked_name(name.clone())?, tensor);
            }
        }
    }
    let mut rest = Rest {
        latent_avg: alone_tensors.remove("latent_avg"),
        ..Rest::default()
    };
    let section = |name: &str, tensors| Section {
        name: name.to_string(),
        tensors,
        module: None,
    };
    let mut sections: BTreeMap<Role, Section> = by_role
        .into_iter()
        .map(|(role, (key, tensors))| (role, section(key, tensors)))
        .collect();
    if sections.is_empty() {
        let (role, section) = alone(section("network", alone_tensors))?;
        sections.insert(role, section);
    } else {
        for (name, tensor) in alone_tensors {
            rest.extras.push(Extra {
                name,
                content: describe(tensor.dtype().as_str(), tensor.dims()),
            });
        }
    }
    assemble(sections, rest, Format::Safetensors)
}

/// The role of a network that is alone in its file, which doesn't tell.
fn alone(section: Section) -> Result<(Role, Section)> {
    match Naming::of(&section.tensors) {
        Some((_, true)) => Ok((Role::GEma, section)),
        Some((_, false)) => Ok((Role::D, section)),
        None => Err(unknown(&section)),
    }
}

fn unknown(section: &Section) -> ImportError {
    let names = list_names(section.tensors.keys().map(String::as_str));
    ImportError::no_network(format!("{} with the tensors {names}", section.name))
}

fn assemble(mut sections: BTreeMap<Role, Section>, rest: Rest, format: Format) -> Result<Imported> {
    let Rest {
        latent_avg,
        extras,
        mut notes,
    } = rest;
    let origin = sections.values().next().map_or("", Section::origin);
    notes.extend(sections.values().filter_map(Section::assumption));
    let mut generator = |role, notes: &mut Vec<String>| {
        let Some(section) = sections.remove(&role) else {
            return Ok(None);
        };
        let name = section.name.clone();
        let network = section.generator(latent_avg.as_ref())?;
        if !network.config.mapping.w_avg {
            notes.push(format!(
                "{name}: stored without an average w, which truncation needs"
            ));
        }
        Ok::<_, ImportError>(Some(network))
    };
    Ok(Imported {
        family: Family::StyleGan2,
        format,
        origin: origin.to_string(),
        g_ema: generator(Role::GEma, &mut notes)?,
        g: generator(Role::G, &mut notes)?,
        d: match sections.remove(&Role::D) {
            Some(section) => Some(section.discriminator()?),
            None => None,
        },
        extras,
        notes,
    })
}

/// The tensors of a module, or of a dictionary that has some; none where it is something else.
fn section(archive: &Archive, value: &View, name: &str) -> Result<Option<Section>> {
    let mut tensors = Lazy::new();
    let module = Module::new(value);
    if let Some(module) = &module {
        tensors = module.tensors(archive)?;
    } else {
        for (key, value) in value.items().unwrap_or_default() {
            if let Some(tensor) = archive.tensor(&value)? {
                // As modules for several devices name theirs.
                let key = key.strip_prefix("module.").unwrap_or(key);
                tensors.insert(checked_name(key.to_string())?, tensor);
            }
        }
        // A dictionary of networks may have a tensor of its own.
        if tensors.len() < 3 {
            return Ok(None);
        }
    }
    let mut loaded = Tensors::new();
    for (name, tensor) in &tensors {
        loaded.insert(name.clone(), archive.load(tensor)?);
    }
    let module = module.map(|module| Ok::<_, ImportError>((module.hints(name)?, module.tool())));
    Ok(Some(Section {
        name: name.to_string(),
        tensors: loaded,
        module: module.transpose()?,
    }))
}

fn extra(archive: &Archive, key: &str, value: &View) -> Extra {
    let content = match (Module::new(value), archive.tensor(value)) {
        (Some(module), _) => module.to_json(),
        (None, Ok(Some(tensor))) => describe(tensor.element().name(), tensor.shape()),
        (None, _) => value.to_json(),
    };
    Extra {
        name: key.to_string(),
        content,
    }
}

fn describe(element: &str, shape: &[usize]) -> serde_json::Value {
    serde_json::json!({ "tensor": element, "shape": shape })
}
