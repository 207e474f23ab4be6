//! Pickles of the first generation's networks, of every kind that the reference values have: with labels and
//! without, of all three implementations. They give the configurations and tensors of the variables themselves.

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Error, Result, Tensor};
use common::builder::{Pickled, array, network_of};
use serde::Deserialize;
use serde_json::Value;
use stylegan_checkpoint::tensorflow::{discriminator, generator};
use stylegan_goldens::is_progan;
use stylegan_import::tensorflow::{DiscriminatorKwargs, GeneratorKwargs, Implementation, Kwargs};
use stylegan_import::{Family, import_bytes};

#[derive(Deserialize)]
struct Params {
    generator: Kwargs,
    discriminator: Kwargs,
    layout: String,
}

type Variables = BTreeMap<String, Tensor>;

fn pickled(value: &Value) -> Pickled {
    match value {
        Value::Null => Pickled::none(),
        Value::Bool(value) => Pickled::bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Pickled::int(value),
            None => Pickled::float(number.as_f64().unwrap()),
        },
        Value::String(text) => Pickled::text(text),
        Value::Array(elements) => Pickled::list(elements.iter().map(pickled)),
        Value::Object(items) => Pickled::dict(items.iter().map(|(k, v)| (k.as_str(), pickled(v)))),
    }
}

fn pickled_tensor(tensor: &Tensor) -> Pickled {
    let shape: Vec<i64> = tensor.dims().iter().map(|&size| size as i64).collect();
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    array(&shape, "f4", &bytes)
}

/// A network whose variables `G_name/...` are those of its component `name`.
fn pickled_network(module: &str, kwargs: &Kwargs, variables: &Variables) -> Pickled {
    let arguments = || {
        kwargs
            .iter()
            .map(|(name, value)| (name.as_str(), pickled(value)))
    };
    let of = |prefix: &str| -> Vec<(String, Pickled)> {
        let own = variables.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?;
            let is_own = !prefix.is_empty() || !name.starts_with("G_");
            is_own.then(|| (name.to_string(), pickled_tensor(tensor)))
        });
        own.collect()
    };
    fn named(variables: &[(String, Pickled)]) -> impl Iterator<Item = (&str, Pickled)> {
        variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
    }
    let components = ["synthesis", "mapping"].map(|name| (name, of(&format!("G_{name}/"))));
    let components = components
        .iter()
        .filter(|(_, variables)| !variables.is_empty())
        .map(|(name, variables)| (*name, network_of(module, arguments(), [], named(variables))));
    network_of(module, arguments(), components, named(&of("")))
}

fn assert_same(what: &str, found: &Variables, expected: &Variables) {
    let names = |tensors: &Variables| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, tensor) in expected {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&found[name]), values(tensor), "{what} {name}");
    }
}

#[test]
fn golden_pickles_of_every_kind_of_network_are_read() -> Result<()> {
    let mut kinds = std::collections::BTreeSet::new();
    for case in stylegan_goldens::load::<Params>("stylegan1", "losses", DType::F32)? {
        let Params {
            generator: g_kwargs,
            discriminator: d_kwargs,
            layout,
        } = &case.params;
        let is_original = layout.contains("[kh,kw,out,in]");
        let implementation = Implementation::new(is_progan(&case), is_original);
        let module = if is_original {
            "tfutil"
        } else {
            "dnnlib.tflib.network"
        };
        let variables = |prefix| Variables::from_iter(case.with_prefix(prefix));
        let (g, d) = (variables("G."), variables("D."));
        let g_pickled = pickled_network(module, g_kwargs, &g);
        let d_pickled = pickled_network(module, d_kwargs, &d);
        let file = Pickled::tuple([g_pickled.clone(), d_pickled, g_pickled]).finish();
        let file = import_bytes(&file).map_err(Error::wrap)?;

        let progan = implementation != Implementation::StyleGan;
        assert_eq!(
            file.family,
            if progan {
                Family::ProGan
            } else {
                Family::StyleGan
            }
        );
        let kwargs = GeneratorKwargs::new(implementation, g_kwargs)?;
        let mut config = kwargs.config(implementation);
        config.mapping.w_avg = g.contains_key("dlatent_avg");
        let (g_ema, resolution) = (file.g_ema.unwrap(), kwargs.resolution);
        assert_eq!(g_ema.config, config, "{}", case.name);
        let expected = generator(&g, resolution, implementation.layout()).map_err(Error::wrap)?;
        assert_same(&case.name, &g_ema.tensors, &expected);

        let kwargs = DiscriminatorKwargs::new(implementation, d_kwargs)?;
        let network = file.d.unwrap();
        assert_eq!(
            network.config,
            kwargs.config(implementation),
            "{}",
            case.name
        );
        let expected = discriminator(&d, resolution).map_err(Error::wrap)?;
        assert_same(&case.name, &network.tensors, &expected);
        kinds.insert((progan, is_original, config.c_dim > 0));
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
    Ok(())
}
