//! Modules as PyTorch pickles them.

use std::collections::{BTreeMap, HashSet};

use stylegan_checkpoint::archive::{Archive, LazyTensor};
use stylegan_checkpoint::pickle::{ReadErrorKind, Value, View};

use crate::error::{ImportError, Result};
use crate::public::Hints;
use crate::shapes::checked_name;

/// Modules within modules within modules. Networks have four levels.
const DEEPEST_MODULE: usize = 32;

/// Tensors that are still in the file, by name.
pub(crate) type Lazy<'t> = BTreeMap<String, LazyTensor<'t>>;

/// A PyTorch module: the attributes that it was pickled with.
pub(crate) struct Module<'t, 'a> {
    value: View<'t, 'a>,
    class: &'t str,
    state: View<'t, 'a>,
}

impl<'t, 'a> Module<'t, 'a> {
    /// The public tools pickle a module with its source code, by a function that runs it; others by its
    /// class. Neither is looked at.
    pub(crate) fn new(value: &View<'t, 'a>) -> Option<Self> {
        let (_, callee) = value.callee()?;
        value.object()?;
        let (class, state) = if callee == "_reconstruct_persistent_obj" {
            let meta = value.args().ok()?.elements().ok()?.into_iter().next()?;
            let meta = meta.named(value.path());
            let class = meta.get("class_name")?.text()?;
            (class, meta.get("state")?.named(value.path()))
        } else {
            (callee, value.state()?)
        };
        state.get("_parameters")?;
        Some(Self {
            value: value.clone(),
            class,
            state,
        })
    }

    fn children(&self) -> Result<Vec<(&'t str, Module<'t, 'a>)>> {
        let Some(modules) = self.state.get("_modules") else {
            return Ok(Vec::new());
        };
        let mut children = Vec::new();
        for (name, value) in modules.named(self.value.path()).items()? {
            if let Some(module) = Module::new(&value) {
                children.push((name, module));
            }
        }
        Ok(children)
    }

    fn child(&self, name: &str) -> Option<Module<'t, 'a>> {
        let modules = self.state.get("_modules")?.named(self.value.path());
        Module::new(&modules.get(name)?)
    }

    /// All parameters and buffers, by the names of `state_dict()`.
    pub(crate) fn tensors(&self, archive: &'t Archive<'a>) -> Result<Lazy<'t>> {
        self.check_family()?;
        let mut tensors = Lazy::new();
        self.collect(
            archive,
            "",
            DEEPEST_MODULE,
            &mut HashSet::new(),
            &mut tensors,
        )?;
        Ok(tensors)
    }

    fn collect(
        &self,
        archive: &'t Archive<'a>,
        prefix: &str,
        levels: usize,
        seen: &mut HashSet<u32>,
        tensors: &mut Lazy<'t>,
    ) -> Result<()> {
        let Value::Node(node) = self.value.value() else {
            return Ok(());
        };
        if levels == 0 || !seen.insert(node) {
            let message =
                "expected modules of their own, found one that is used twice or contains itself";
            return Err(self.value.error(ReadErrorKind::Damaged, message).into());
        }
        for kind in ["_parameters", "_buffers"] {
            let Some(own) = self.state.get(kind) else {
                continue;
            };
            for (name, value) in own.named(self.value.path()).items()? {
                if value.is_none() {
                    continue;
                }
                let tensor = archive.tensor(&value)?;
                let tensor = tensor.ok_or_else(|| value.expected("a tensor"))?;
                tensors.insert(checked_name(format!("{prefix}{name}"))?, tensor);
            }
        }
        for (name, child) in self.children()? {
            child.collect(
                archive,
                &checked_name(format!("{prefix}{name}."))?,
                levels - 1,
                seen,
                tensors,
            )?;
        }
        Ok(())
    }

    /// Networks of other families that are pickled in the same way.
    fn check_family(&self) -> Result<()> {
        let Some(synthesis) = self.child("synthesis") else {
            return Ok(());
        };
        let names: Vec<&str> = match synthesis.state.get("_modules") {
            Some(modules) => modules.items()?.into_iter().map(|(name, _)| name).collect(),
            None => Vec::new(),
        };
        let layers = names.iter().filter(|name| name.starts_with('L')).count();
        if names.contains(&"input") && layers > 0 {
            let resolution = self.state.get("img_resolution").and_then(|r| r.int());
            let resolution =
                resolution.map_or("of an unknown size".to_string(), |r| format!("{r}x{r}"));
            return Err(ImportError::no_network(format!(
                "a StyleGAN3 generator {resolution} with {layers} alias-free layers at {}",
                self.value.path()
            )));
        }
        Ok(())
    }

    /// Which of the tools wrote it.
    pub(crate) fn tool(&self) -> &'static str {
        let later = |block: Module| block.state.get("fused_modconv_default").is_some();
        let block = self
            .child("synthesis")
            .and_then(|synthesis| synthesis.child("b4"));
        let arguments = self.state.get("_init_kwargs");
        let nested = arguments.and_then(|arguments| arguments.get("synthesis_kwargs"));
        match (nested, block.map(later)) {
            (Some(_), _) | (None, Some(false)) => "the StyleGAN2-ADA tools in PyTorch",
            (None, Some(true)) => "the StyleGAN3 tools in PyTorch",
            (None, None) => "the public tools in PyTorch",
        }
    }

    /// An attribute, of the module or the arguments that it was made with.
    fn attribute(&self, name: &str) -> Option<View<'t, 'a>> {
        let arguments = || self.state.get("_init_kwargs")?.get(name);
        self.state.get(name).or_else(arguments)
    }

    /// What the attributes tell of the network beyond its tensors.
    pub(crate) fn hints(&self, network: &str) -> Result<Hints> {
        match self.child("synthesis") {
            Some(_) => self.generator_hints(network),
            None => self.discriminator_hints(network),
        }
    }

    /// The class, and the arguments that the module was made with, for people to read.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let arguments = self.state.get("_init_kwargs");
        serde_json::json!({
            "class": self.class,
            "arguments": arguments.map(|arguments| arguments.to_json()),
        })
    }

    fn generator_hints(&self, network: &str) -> Result<Hints> {
        let mut hints = Hints::default();
        let arguments = self.state.get("_init_kwargs");
        // One generation of the tools nests the arguments, the other doesn't.
        let nested = arguments
            .as_ref()
            .and_then(|arguments| arguments.get("synthesis_kwargs"));
        let synthesis = self.child("synthesis");
        let own = synthesis
            .as_ref()
            .and_then(|synthesis| synthesis.state.get("_init_kwargs"));
        hints.channels = [own, nested, arguments]
            .into_iter()
            .flatten()
            .find_map(channels);
        if let Some(synthesis) = &synthesis {
            let layer = synthesis.child("b4").and_then(|block| block.child("conv1"));
            hints.conv_clamp = clamp(layer.as_ref())?;
            let activation = layer
                .as_ref()
                .and_then(|layer| layer.attribute("activation"));
            check_activation(network, "synthesis layers", activation)?;
        }
        self.mapping_hints(network, &mut hints)?;
        Ok(hints)
    }

    /// What the first layer of the mapping network tells, if there is one.
    fn mapping_hints(&self, network: &str, hints: &mut Hints) -> Result<()> {
        let mapping = self.child("mapping");
        let Some(layer) = mapping.and_then(|mapping| mapping.child("fc0")) else {
            return Ok(());
        };
        if let Some(lr_multiplier) = layer
            .attribute("lr_multiplier")
            .or(layer.attribute("bias_gain"))
        {
            hints.lr_multiplier = lr_multiplier.to_f64()?;
        }
        check_activation(network, "mapping layers", layer.attribute("activation"))
    }

    fn discriminator_hints(&self, network: &str) -> Result<Hints> {
        let mut hints = Hints {
            channels: self.state.get("_init_kwargs").and_then(channels),
            ..Hints::default()
        };
        if let Some(epilogue) = self.child("b4") {
            let layer = epilogue.child("conv");
            hints.conv_clamp = clamp(layer.as_ref())?;
            let activation = layer
                .as_ref()
                .and_then(|layer| layer.attribute("activation"));
            check_activation(network, "layers", activation)?;
            if let Some(mbstd) = epilogue.child("mbstd") {
                let group_size = mbstd.state.get("group_size");
                hints.mbstd_group_size = group_size.map(|size| size.to_usize()).transpose()?;
            }
        }
        self.mapping_hints(network, &mut hints)?;
        Ok(hints)
    }
}

fn channels(arguments: View) -> Option<(usize, usize)> {
    let number = |name: &str| arguments.get(name)?.to_usize().ok();
    Some((number("channel_base")?, number("channel_max")?))
}

fn clamp(layer: Option<&Module>) -> Result<Option<f64>> {
    let clamp = layer.and_then(|layer| layer.attribute("conv_clamp"));
    Ok(clamp.map(|clamp| clamp.to_f64()).transpose()?)
}

fn check_activation(network: &str, layers: &str, activation: Option<View>) -> Result<()> {
    match activation.as_ref().and_then(|activation| activation.text()) {
        None | Some("lrelu") => Ok(()),
        Some(other) => {
            let problem = format!("expected {layers} with the activation lrelu, found {other:?}");
            Err(ImportError::network(network, problem))
        }
    }
}
