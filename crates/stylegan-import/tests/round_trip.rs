//! What is written is read back exactly, and as the file of the other tool that it was.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{DType, Device, Error, Result, Tensor};
use common::{fixture, samples};
use stylegan_checkpoint::archive::Contents;
use stylegan_checkpoint::pickle::Limits;
use stylegan_import::{
    Config, Family, Format, Imported, Network, export_rosinality, export_safetensors, import,
};
use stylegan_synthesis::{GeneratorConfig, NoiseMode};

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
    for sample in samples()? {
        let before = import(&sample.path).map_err(Error::wrap)?;
        if before.origin != "the rosinality code in PyTorch" {
            continue;
        }
        let notes = export_rosinality(&before, &path).map_err(Error::wrap)?;
        assert_eq!(notes, Vec::<String>::new());
        let (theirs, ours) = (std::fs::read(&sample.path)?, std::fs::read(&path)?);
        assert_eq!(tensors_of(&theirs), tensors_of(&ours), "{}", sample.name);
        let after = import(&path).map_err(Error::wrap)?;
        assert_same_networks(&sample.name, &before, &after);
        export_rosinality(&after, &path).map_err(Error::wrap)?;
        assert_eq!(ours, std::fs::read(&path)?, "{}", sample.name);
    }
    Ok(())
}

#[test]
fn networks_without_noise_are_read_and_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("quiet.safetensors");
    let networks = import(fixture("checkpoints/ada.pkl")).map_err(Error::wrap)?;
    let noisy = networks.g_ema.unwrap();
    // As PyTorch stores a generator with use_noise=False.
    let quiet = noisy
        .tensors
        .iter()
        .filter(|(name, _)| !name.contains("noise"));
    let quiet: HashMap<_, _> = quiet
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect();
    candle_core::safetensors::save(&quiet, &path)?;
    let file = import(&path).map_err(Error::wrap)?;
    let quiet = file.g_ema.as_ref().unwrap();
    assert!(noisy.config.synthesis.use_noise && !quiet.config.synthesis.use_noise);
    let picture = |network: &Network<GeneratorConfig>, noise: &mut NoiseMode| {
        let generator = network
            .build(DType::F32, &Device::Cpu)
            .map_err(Error::wrap)?;
        let z = Tensor::ones((1, network.config.z_dim), DType::F32, &Device::Cpu)?;
        generator.forward(&z, None, 1., None, noise)
    };
    let without = picture(&noisy, &mut NoiseMode::None)?;
    assert_eq!(
        bits(&picture(quiet, &mut NoiseMode::Const)?),
        bits(&without)
    );
    assert_ne!(
        bits(&picture(&noisy, &mut NoiseMode::Const)?),
        bits(&without)
    );

    let out = folder.path().join("out.safetensors");
    export_safetensors(&file, &out).map_err(Error::wrap)?;
    assert_same_networks("quiet", &file, &import(&out).map_err(Error::wrap)?);
    let error = export_rosinality(&file, folder.path().join("out.pt")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "g_ema can't be written as a rosinality state dictionary: expected layers with noise, found layers without"
    );
    Ok(())
}

#[test]
fn networks_of_other_tools_become_rosinality_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.pt");
    for name in ["ada.pkl", "sg3.pkl"] {
        let mut before = import(fixture("checkpoints").join(name)).map_err(Error::wrap)?;
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
fn safetensors_have_every_name_of_the_public_tools() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    let checkpoints = fixture("checkpoints");
    let public = import(checkpoints.join("ada.pkl")).map_err(Error::wrap)?;
    let tensorflow = fixture("stylegan1/pkl").join("stylegan2_tf.pkl");
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
fn plain_safetensors_are_networks_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    let file = import(fixture("checkpoints").join("ada_cond.pkl")).map_err(Error::wrap)?;
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
    let checkpoints = fixture("checkpoints");
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

/// Networks of every architecture, with labels and without, as another program may have saved them.
#[test]
fn golden_configurations_are_known_from_shapes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    for name in stylegan_goldens::names("stylegan2", "network_")? {
        for case in stylegan_goldens::load::<serde_json::Value>("stylegan2", &name, DType::F32)? {
            let tensors = case.tensors.iter().filter(|(name, _)| {
                // Not the gradients.
                name.starts_with("G.") || name.starts_with("D.")
            });
            let tensors = tensors.map(|(name, tensor)| (name.clone(), tensor.clone()));
            candle_core::safetensors::save(&tensors.collect(), &path)?;
            let file = import(&path).map_err(Error::wrap)?;
            let (g, d) = (file.g.unwrap().config, file.d.unwrap().config);
            let mut expected = case.params["generator"].clone();
            // The tensors don't tell.
            expected["conv_clamp"] = serde_json::Value::Null;
            let synthesis = &g.synthesis;
            let found = serde_json::json!({
                "z_dim": g.z_dim,
                "c_dim": g.c_dim,
                "w_dim": synthesis.w_dim,
                "img_resolution": synthesis.img_resolution,
                "img_channels": synthesis.img_channels,
                "channel_base": synthesis.channel_base,
                "channel_max": synthesis.channel_max,
                "architecture": synthesis.architecture,
                "conv_clamp": synthesis.conv_clamp,
                "mapping_layers": g.mapping.num_layers,
            });
            assert_eq!(found, expected, "{}", case.name);
            let expected = &case.params["discriminator"];
            assert_eq!(
                serde_json::json!(d.architecture),
                expected["architecture"],
                "{}",
                case.name
            );
            assert_eq!(
                (d.c_dim, d.channel_base),
                (g.c_dim, synthesis.channel_base),
                "{}",
                case.name
            );
        }
    }
    Ok(())
}

/// A network of the largest resolution and few channels, drawn from a seed.
fn drawn<C: Config>(name: &str, config: C) -> Network<C> {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let params =
        stylegan_checkpoint::ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, |vb| {
            config.build(vb)
        });
    Network::new(
        name,
        config.clone(),
        params.unwrap().to_tensors(),
        Default::default(),
    )
    .unwrap()
}

#[test]
fn the_largest_networks_survive_both_formats() -> Result<()> {
    use stylegan_discriminator::DiscriminatorConfig;
    use stylegan_synthesis::{GeneratorConfig, SynthesisConfig};
    let g = drawn(
        "G",
        GeneratorConfig {
            z_dim: 4,
            synthesis: SynthesisConfig {
                w_dim: 4,
                channel_base: 2048,
                channel_max: 6,
                conv_clamp: None,
                ..SynthesisConfig::default()
            },
            ..GeneratorConfig::default()
        },
    );
    let d = drawn(
        "D",
        DiscriminatorConfig {
            channel_base: 2048,
            channel_max: 6,
            conv_clamp: None,
            ..DiscriminatorConfig::default()
        },
    );
    let networks = Imported {
        family: Family::StyleGan2,
        format: Format::Safetensors,
        origin: "stylegan-rs".to_string(),
        g: None,
        d: Some(d),
        g_ema: Some(g),
        extras: Vec::new(),
        notes: Vec::new(),
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out");
    export_safetensors(&networks, &path).map_err(Error::wrap)?;
    assert_same_networks(
        "safetensors",
        &networks,
        &import(&path).map_err(Error::wrap)?,
    );
    assert_eq!(
        export_rosinality(&networks, &path).map_err(Error::wrap)?,
        Vec::<String>::new()
    );
    assert_same_networks(
        "rosinality",
        &networks,
        &import(&path).map_err(Error::wrap)?,
    );
    Ok(())
}

/// The file with another `lod` in all networks: single numbers that are 0.
fn growing(name: &str, lod: f32) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(fixture("stylegan1/pkl").join(name))?;
    let zero = b"C\x04\0\0\0\0";
    let places: Vec<usize> = (0..bytes.len() - zero.len())
        .filter(|&at| bytes[at..].starts_with(zero))
        .collect();
    assert!(!places.is_empty(), "{name}");
    for at in places {
        bytes[at + 2..at + 6].copy_from_slice(&lod.to_le_bytes());
    }
    Ok(bytes)
}

#[test]
fn a_growing_network_stands_where_it_was_saved() -> Result<()> {
    use stylegan_synthesis::NoiseMode;
    let file =
        stylegan_import::import_bytes(&growing("stylegan1_tf.pkl", 1.25)?).map_err(Error::wrap)?;
    assert_eq!(
        file.notes,
        [
            "Gs: still growing, at lod 1.25: pictures have 8 pixels a side",
            "G: still growing, at lod 1.25: pictures have 8 pixels a side",
        ]
    );
    let (g_ema, d) = (file.g_ema.as_ref().unwrap(), file.d.as_ref().unwrap());
    assert_eq!((g_ema.lod.get(), d.lod.get()), (1.25, 1.25));
    let network = g_ema.build(DType::F32, &Device::Cpu).map_err(Error::wrap)?;
    let z = Tensor::ones((1, g_ema.config.z_dim), DType::F32, &Device::Cpu)?;
    let picture = network.forward(&z, None, 1., None, &mut NoiseMode::Const)?;
    let full =
        network
            .at_lod(Default::default())?
            .forward(&z, None, 1., None, &mut NoiseMode::Const)?;
    assert_ne!(bits(&picture), bits(&full));

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.safetensors");
    export_safetensors(&file, &path).map_err(Error::wrap)?;
    assert_same_networks("growing", &file, &import(&path).map_err(Error::wrap)?);

    let file =
        stylegan_import::import_bytes(&growing("stylegan2_tf.pkl", 2.)?).map_err(Error::wrap)?;
    assert_eq!(
        file.notes[0],
        "Gs: lod 2 was passed over, since StyleGAN2 doesn't grow"
    );
    assert_eq!(file.g_ema.unwrap().lod.get(), 0.);

    let error = stylegan_import::import_bytes(&growing("progan_tf.pkl", 3.)?).unwrap_err();
    // candle adds a backtrace where the environment asks for one.
    assert_eq!(
        error.to_string().lines().next(),
        Some("Gs: lod: expected at most 2, the halvings from 16 to 4 pixels, got 3")
    );
    Ok(())
}
