//! Networks blended of two.

mod common;

use candle_core::{DType, Device, Tensor};
use stylegan_edit::{Blend, blend};
use stylegan_import::{Imported, Network, export_safetensors, import};
use stylegan_synthesis::{GeneratorConfig, MappingOptions, NoiseMode, SynthesisConfig};

use common::{config, network};

const FAMILIES: [fn() -> GeneratorConfig; 3] = [
    GeneratorConfig::progan,
    GeneratorConfig::stylegan1,
    GeneratorConfig::default,
];

fn hard(at: usize) -> Blend {
    Blend { at, smooth: 0. }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// The resolution that a tensor's name says.
fn resolution(name: &str) -> Option<usize> {
    let (block, _) = name.strip_prefix("synthesis.b")?.split_once('.')?;
    block.parse().ok()
}

#[test]
fn layers_below_are_the_first_networks_and_those_above_the_seconds_bit_by_bit() {
    for family in FAMILIES {
        let config = config(family());
        let [low, high] = [1, 2].map(|seed| network(&config, seed));
        for at in [8, 16] {
            let blended = blend(&low, &high, hard(at)).unwrap();
            assert_eq!(blended.config, low.config);
            assert_eq!(blended.tensors.len(), low.tensors.len());
            for (name, tensor) in &blended.tensors {
                let source = match resolution(name) {
                    Some(resolution) if resolution >= at => &high,
                    _ => &low,
                };
                assert_eq!(bits(tensor), bits(&source.tensors[name]), "{name} at {at}");
            }
        }
    }
}

#[test]
fn over_a_smooth_border_weights_are_in_between() {
    let config = config(GeneratorConfig::default());
    let [low, high] = [1, 2].map(|seed| network(&config, seed));
    let blended = blend(&low, &high, Blend { at: 8, smooth: 4. }).unwrap();
    let shares = [
        ("synthesis.b4.const", 0.125),
        ("synthesis.b4.conv1.weight", 0.375),
        ("synthesis.b4.torgb.weight", 0.375),
        ("synthesis.b8.conv0.affine.weight", 0.625),
        ("synthesis.b8.conv1.weight", 0.875),
        ("synthesis.b16.conv0.weight", 1.),
        ("mapping.fc0.weight", 0.),
    ];
    for (name, share) in shares {
        let [a, b, found] = [&low, &high, &blended].map(|network| {
            let tensor = network.tensors[name].flatten_all().unwrap();
            tensor
                .to_dtype(DType::F64)
                .unwrap()
                .to_vec1::<f64>()
                .unwrap()
        });
        for ((a, b), found) in a.iter().zip(b).zip(found) {
            assert!((a + share * (b - a) - found).abs() < 1e-6, "{name}");
        }
    }
    // Noise keeps its strength: it is that of the nearer network.
    for (name, source) in [("b4.conv1", &low), ("b8.conv0", &high), ("b8.conv1", &high)] {
        let name = format!("synthesis.{name}.noise_const");
        assert_eq!(
            bits(&blended.tensors[&name]),
            bits(&source.tensors[&name]),
            "{name}"
        );
    }
}

#[test]
fn a_network_blended_with_itself_is_itself() {
    let network = network(&config(GeneratorConfig::stylegan1()), 1);
    for smooth in [0., 3.] {
        let blended = blend(&network, &network, Blend { at: 8, smooth }).unwrap();
        let pictures = [&network, &blended].map(|network: &Network<GeneratorConfig>| {
            let generator = network.build(DType::F32, &Device::Cpu).unwrap();
            let z = Tensor::ones((1, 6), DType::F32, &Device::Cpu).unwrap();
            let picture = generator.forward(&z, None, 0.7, None, &mut NoiseMode::Const);
            bits(&picture.unwrap())
        });
        assert_eq!(pictures[0], pictures[1]);
    }
}

#[test]
fn blends_are_written_and_read_back() {
    let config = config(GeneratorConfig::default());
    let [low, high] = [1, 2].map(|seed| network(&config, seed));
    let blended = blend(&low, &high, Blend { at: 16, smooth: 2. }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blend.safetensors");
    let file = Imported {
        family: stylegan_import::Family::of(&config),
        format: stylegan_import::Format::Safetensors,
        origin: "a blend".to_string(),
        g: None,
        d: None,
        g_ema: Some(blended.clone()),
        extras: Vec::new(),
        notes: Vec::new(),
    };
    export_safetensors(&file, &path).unwrap();
    let read = import(&path).unwrap().g_ema.unwrap();
    assert_eq!(read.config, blended.config);
    for (name, tensor) in &blended.tensors {
        assert_eq!(bits(tensor), bits(&read.tensors[name]), "{name}");
    }
}

#[test]
fn filters_that_only_one_file_stores_are_no_difference() {
    let config = config(GeneratorConfig::default());
    let [low, mut high] = [1, 2].map(|seed| network(&config, seed));
    let filter = Tensor::full(1f32 / 16., (4, 4), &Device::Cpu).unwrap();
    for layer in ["b8.conv0", "b16.conv0"] {
        high.tensors
            .insert(format!("synthesis.{layer}.resample_filter"), filter.clone());
    }
    let blended = blend(&low, &high, hard(16)).unwrap();
    let filters: Vec<_> = blended
        .tensors
        .keys()
        .filter(|name| name.ends_with("resample_filter"))
        .collect();
    assert_eq!(filters, ["synthesis.b16.conv0.resample_filter"]);
}

#[test]
fn networks_that_differ_are_refused_with_all_differences() {
    let config = config(GeneratorConfig::default());
    let low = network(&config, 1);
    let error = |high: &Network<GeneratorConfig>, options| {
        blend(&low, high, options).unwrap_err().to_string()
    };
    let synthesis = SynthesisConfig {
        channel_max: 8,
        conv_clamp: None,
        ..config.synthesis.clone()
    };
    let other = network(
        &GeneratorConfig {
            synthesis,
            ..config.clone()
        },
        2,
    );
    assert_eq!(
        error(&other, hard(8)),
        "the networks can't be blended, since they differ in channel_max (12 and 8); conv_clamp (256.0 and null)"
    );
    // Tensors that someone has tampered with.
    let mut other = network(&config, 2);
    let name = "synthesis.b8.conv1.bias";
    other.tensors.insert(
        name.to_string(),
        Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap(),
    );
    other.tensors.remove("synthesis.b4.const");
    assert_eq!(
        error(&other, hard(8)),
        "the networks can't be blended, since they differ in synthesis.b4.const ([12, 4, 4] and none); synthesis.b8.conv1.bias ([12] and [5])"
    );
    // Mapping networks may differ: the first one's is taken.
    let mapping = MappingOptions {
        num_layers: 2,
        ..MappingOptions::default()
    };
    let other = network(
        &GeneratorConfig {
            mapping,
            ..config.clone()
        },
        2,
    );
    blend(&low, &other, hard(8)).unwrap();
    for at in [4, 12, 32] {
        assert_eq!(
            error(&other, hard(at)),
            format!(
                "{at}: expected a resolution at which the second network begins, a power of two from 8 to 16"
            )
        );
    }
    let smooth = Blend { at: 8, smooth: -1. };
    assert_eq!(
        error(&other, smooth),
        "smooth: expected 0 or more layers, found -1"
    );
}
