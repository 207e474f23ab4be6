//! What is written is read back exactly, and as the file of the other tool that it was.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Error, Result, Tensor};
use common::samples;
use stylegan_checkpoint::archive::Contents;
use stylegan_checkpoint::pickle::Limits;
use stylegan_import::{
    Config, Family, Format, Imported, Network, export_rosinality, export_safetensors, import,
};

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The same configuration and every tensor bit by bit; filters may have been added.
fn assert_same<C: Config + std::fmt::Debug + PartialEq>(
    what: &str,
    before: &Option<Network<C>>,
    after: &Option<Network<C>>,
) {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, None) => return,
        _ => panic!("{what}: a network was lost or added"),
    };
    assert_eq!(before.config, after.config, "{what}");
    assert_eq!(before.lod, after.lod, "{what}");
    for (name, tensor) in &before.tensors {
        let copy = &after.tensors[name];
        assert_eq!(
            (tensor.dims(), bits(tensor)),
            (copy.dims(), bits(copy)),
            "{what} {name}"
        );
    }
    for name in after.tensors.keys() {
        let known = before.tensors.contains_key(name) || name.ends_with("resample_filter");
        assert!(known, "{what} {name}");
    }
}

fn assert_same_networks(what: &str, before: &Imported, after: &Imported) {
    assert_eq!(before.family, after.family, "{what}");
    assert_same(&format!("{what} G_ema"), &before.g_ema, &after.g_ema);
    assert_same(&format!("{what} G"), &before.g, &after.g);
    assert_same(&format!("{what} D"), &before.d, &after.d);
}

#[test]
fn golden_samples_survive_safetensors() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, second) = (
        folder.path().join("a.safetensors"),
        folder.path().join("b.safetensors"),
    );
    for sample in samples()? {
        let before = import(&sample.path).map_err(Error::wrap)?;
        export_safetensors(&before, &first).map_err(Error::wrap)?;
        let after = import(&first).map_err(Error::wrap)?;
        assert_same_networks(&sample.name, &before, &after);
        assert_eq!(
            (after.format, &after.origin),
            (Format::Safetensors, &before.origin)
        );
        export_safetensors(&after, &second).map_err(Error::wrap)?;
        assert_eq!(
            std::fs::read(&first)?,
            std::fs::read(&second)?,
            "{}",
            sample.name
        );
    }
    Ok(())
}

/// Every tensor of a PyTorch file, by the path to it, with its shape.
fn tensors_of(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let Contents::Tree(archive) = Contents::open(bytes, &Limits::default()).unwrap() else {
        panic!("no PyTorch file")
    };
    let mut tensors = BTreeMap::new();
    let mut add = |path: String, value: &stylegan_checkpoint::pickle::View| {
        if let Some(tensor) = archive.tensor(value).unwrap() {
            let tensor = archive.load(&tensor).unwrap();
            tensors.insert(path, (tensor.dims().to_vec(), bits(&tensor)));
        }
    };
    for (key, value) in archive.root().items().unwrap() {
        add(key.to_string(), &value);
        for (name, value) in value.items().unwrap_or_default() {
            add(format!("{key}.{name}"), &value);
        }
    }
    tensors
}

#[test]
fn golden_rosinality_files_are_written_as_they_were() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.pt");
    let mut count = 0;
    for sample in samples()? {
        if !sample.name.starts_with("rosinality") {
            continue;
        }
        let before = import(&sample.path).map_err(Error::wrap)?;
        let notes = export_rosinality(&before, &path).map_err(Error::wrap)?;
        assert_eq!(notes, Vec::<String>::new());
        let (theirs, ours) = (std::fs::read(&sample.path)?, std::fs::read(&path)?);
        assert_eq!(tensors_of(&theirs), tensors_of(&ours), "{}", sample.name);
        let after = import(&path).map_err(Error::wrap)?;
        assert_same_networks(&sample.name, &before, &after);
        export_rosinality(&after, &path).map_err(Error::wrap)?;
        assert_eq!(ours, std::fs::read(&path)?, "{}", sample.name);
        count += 1;
    }
    assert!(count > 0);
    Ok(())
}

#[test]
fn golden_networks_of_other_tools_become_rosinality_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.pt");
    for name in ["ada.pkl", "sg3.pkl"] {
        let mut before =
            import(stylegan_goldens::folder("checkpoints").join(name)).map_err(Error::wrap)?;
        // Its minibatch standard deviation has other groups.
        before.d = None;
        let notes = export_rosinality(&before, &path).map_err(Error::wrap)?;
        let clamped = before
            .g_ema
            .as_ref()
            .unwrap()
            .config
            .synthesis
            .conv_clamp
            .is_some();
        assert_eq!(notes.len(), if clamped { 2 } else { 0 });
        let after = import(&path).map_err(Error::wrap)?;
        let (before, after) = (before.g_ema.unwrap(), after.g_ema.unwrap());
        for (name, tensor) in &after.tensors {
            assert_eq!(bits(tensor), bits(&before.tensors[name]), "{name}");
        }
        let parameters = |network: &Network<_>| -> Result<BTreeSet<String>> {
            let params = network
                .params(DType::F32, &Device::Cpu)
                .map_err(Error::wrap)?;
            Ok(params.iter().map(|(name, _)| name.to_string()).collect())
        };
        assert_eq!(parameters(&before)?, parameters(&after)?);
    }
    Ok(())
}

/// What `load_state_dict` of the public tools asks for.
#[test]
fn golden_safetensors_have_every_name_of_the_public_tools() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    let checkpoints = stylegan_goldens::folder("checkpoints");
    let public = import(checkpoints.join("ada.pkl")).map_err(Error::wrap)?;
    let tensorflow = stylegan_goldens::folder("stylegan1/pkl").join("stylegan2_tf.pkl");
    let converted = import(tensorflow).map_err(Error::wrap)?;
    assert_eq!(converted.family, Family::StyleGan2);
    export_safetensors(&converted, &path).map_err(Error::wrap)?;
    let converted = import(&path).map_err(Error::wrap)?;
    // That of the mapping network differs in its number of layers.
    let names = |tensors: &BTreeMap<String, Tensor>| -> BTreeSet<String> {
        let names = tensors
            .keys()
            .filter(|name| !name.starts_with("mapping.fc"));
        names.cloned().collect()
    };
    assert_eq!(
        names(&public.g_ema.unwrap().tensors),
        names(&converted.g_ema.unwrap().tensors)
    );
    assert_eq!(
        names(&public.d.unwrap().tensors),
        names(&converted.d.unwrap().tensors)
    );
    Ok(())
}

/// Tensors that another program saved under the same names, without a configuration.
#[test]
fn golden_plain_safetensors_are_networks_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    let file = import(stylegan_goldens::folder("checkpoints").join("ada_cond.pkl"))
        .map_err(Error::wrap)?;
    let (g_ema, d) = (file.g_ema.unwrap(), file.d.unwrap());
    let mut tensors = std::collections::HashMap::new();
    let mut add = |prefix: &str, own: &BTreeMap<String, Tensor>| {
        tensors.extend(
            own.iter()
                .map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())),
        );
    };
    add("G_ema.", &g_ema.tensors);
    add("D.", &d.tensors);
    candle_core::safetensors::save(&tensors, &path)?;
    let plain = import(&path).map_err(Error::wrap)?;
    assert_eq!(plain.g_ema.unwrap().config, g_ema.config);
    let mut config = d.config;
    // The tensors don't tell.
    config.mbstd_group_size = Some(4);
    assert_eq!(plain.d.unwrap().config, config);
    assert_eq!(plain.notes.len(), 2, "{:?}", plain.notes);

    candle_core::safetensors::save(&g_ema.tensors.into_iter().collect(), &path)?;
    let alone = import(&path).map_err(Error::wrap)?;
    assert_eq!(alone.g_ema.unwrap().config, g_ema.config);
    Ok(())
}

#[test]
fn what_else_is_in_a_file_is_listed() -> Result<()> {
    let checkpoints = stylegan_goldens::folder("checkpoints");
    let extras = |name: &str| -> Result<BTreeMap<String, serde_json::Value>> {
        let file = import(checkpoints.join(name)).map_err(Error::wrap)?;
        Ok(file
            .extras
            .into_iter()
            .map(|extra| (extra.name, extra.content))
            .collect())
    };
    let ada = extras("ada.pkl")?;
    assert_eq!(
        ada.keys().collect::<Vec<_>>(),
        ["augment_pipe", "training_set_kwargs"]
    );
    assert_eq!(ada["augment_pipe"]["class"], "AugmentPipe");
    assert_eq!(ada["augment_pipe"]["arguments"]["xflip"], 1);
    assert_eq!(ada["training_set_kwargs"]["resolution"], 16);
    let train = extras("rosinality_train.pt")?;
    assert_eq!(
        train.keys().collect::<Vec<_>>(),
        ["ada_aug_p", "args", "d_optim", "g_optim"]
    );
    assert_eq!(train["ada_aug_p"], 0.1);
    assert!(train["g_optim"]["param_groups"].is_array());
    Ok(())
}
