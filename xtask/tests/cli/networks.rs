//! Networks of other tools: `inspect`, `convert`, and pictures from them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{fail, lines, sample, snapshot, succeed, text, train_tiny};

fn inspect(file: &Path) -> Value {
    let run = succeed(&["inspect", text(file), "--json"]);
    assert_eq!(lines(&run), Vec::<String>::new());
    serde_json::from_slice(&run.stdout).unwrap()
}

/// Converts a file, and returns the new one's content.
fn convert(from: &Path, to: &Path, more: &[&str]) -> Vec<u8> {
    let run = succeed(&[&["convert", text(from), text(to)], more].concat());
    let printed = String::from_utf8(run.stdout).unwrap();
    assert_eq!(printed.trim_end(), text(to));
    fs::read(to).unwrap()
}

/// The picture of seed 3.
fn picture(network: &Path, more: &[&str]) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    let arguments = ["generate", "--network", text(network), "--seeds", "3"];
    succeed(&[&arguments[..], &["--outdir", text(out.path())], more].concat());
    let path = out.path().join("seed0003.png");
    assert_eq!(image::image_dimensions(&path).unwrap().0, side(network));
    fs::read(path).unwrap()
}

fn side(network: &Path) -> u32 {
    let config = &inspect(network)["networks"]["g_ema"]["config"];
    let side = config["synthesis"]["img_resolution"].as_u64().unwrap();
    u32::try_from(side).unwrap()
}

#[test]
fn inspect_knows_every_family_and_format() {
    let torch = "torchpickle";
    // file, family, format, networks, classes, parameters of the generator
    let files = [
        ("checkpoints/ada.pkl", "stylegan2", torch, 3, 0, 14_734),
        ("checkpoints/sg3_cond.pkl", "stylegan2", torch, 3, 4, 15_070),
        (
            "checkpoints/rosinality_train.pt",
            "stylegan2",
            "torchzip",
            3,
            0,
            14_734,
        ),
        (
            "checkpoints/rosinality_old_format.pt",
            "stylegan2",
            "torchlegacy",
            2,
            0,
            14_734,
        ),
        (
            "stylegan1/pkl/progan_tf.pkl",
            "progan",
            "tensorflow",
            3,
            0,
            4_033,
        ),
        (
            "stylegan1/pkl/stylegan1_tf.pkl",
            "stylegan",
            "tensorflow",
            3,
            0,
            16_473,
        ),
        (
            "stylegan1/pkl/stylegan2_tf.pkl",
            "stylegan2",
            "tensorflow",
            3,
            0,
            15_278,
        ),
    ];
    for (name, family, format, networks, classes, parameters) in files {
        let found = inspect(&sample(name));
        assert_eq!(
            (&found["family"], &found["format"]),
            (&json!(family), &json!(format)),
            "{name}"
        );
        let by_name = found["networks"].as_object().unwrap();
        assert_eq!(by_name.len(), networks, "{name}");
        let generator = &by_name["g_ema"];
        assert_eq!(generator["config"]["c_dim"], classes, "{name}");
        assert_eq!(generator["parameters"], parameters, "{name}");
        let sum = |of: &str| {
            by_name
                .values()
                .map(|it| it[of].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!(found["parameters"], sum("parameters"), "{name}");
        assert_eq!(found["buffers"], sum("buffers"), "{name}");
        for network in by_name.values() {
            let layers = network["layers"].as_array().unwrap();
            let numbers = |shape: &Value| -> u64 {
                let shape = shape.as_array().unwrap().iter();
                shape.map(|side| side.as_u64().unwrap()).product()
            };
            for layer in layers {
                let tensors = layer["tensors"].as_array().unwrap().iter();
                let all: u64 = tensors.map(|tensor| numbers(&tensor["shape"])).sum();
                let [parameters, buffers] =
                    ["parameters", "buffers"].map(|of| layer[of].as_u64().unwrap());
                assert_eq!(parameters + buffers, all, "{name} {}", layer["name"]);
            }
        }
    }
}

#[test]
fn inspect_shows_tables_and_what_else_is_in_the_file() {
    let run = succeed(&["inspect", text(&sample("checkpoints/ada_cond.pkl"))]);
    let table = String::from_utf8(run.stdout).unwrap();
    let expected = [
        "family  StyleGAN2",
        "format  a pickle of PyTorch modules",
        "makes   pictures of 16x16 pixels from 16 random numbers each, in 6 layers with styles; of 4 classes, --class 0 to --class 3",
        "g_ema, the average of the generator, which makes pictures: 15,070 parameters, 800 numbers in buffers",
        "c_dim                      4",
        "layer                       parameters  buffers  tensors",
        "mapping.fc0                        528        0  bias [16], weight [16, 32]",
        "g, the generator as it is trained: 15,070 parameters, 800 numbers in buffers; configuration and layers of g_ema",
        "d, the discriminator: 18,960 parameters, 160 numbers in buffers",
        "total: 49,100 parameters, 1,760 numbers in buffers",
        r#"augment_pipe         {"arguments":{"rotate90":1,"xflip":1,"xint":1},"class":"AugmentPipe"}"#,
    ];
    for line in expected {
        assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    }

    let run = succeed(&["inspect", text(&sample("checkpoints/rosinality_train.pt"))]);
    let table = String::from_utf8(run.stdout).unwrap();
    let note = "note: g_ema: stored without an average w, which truncation needs";
    assert!(table.lines().any(|found| found == note), "{table}");
}

#[test]
fn a_run_is_inspected_and_converted_as_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let young = [
        "--cfg",
        "stylegan1",
        "--resolution",
        "16",
        "--kimg",
        "0.008",
    ];
    let young = snapshot(&train_tiny(folder.path(), &young));
    let run = young.parent().unwrap();
    let found = inspect(run);
    assert_eq!(found["file"], text(&young));
    assert_eq!(found["origin"], "stylegan-rs");
    for network in found["networks"].as_object().unwrap().values() {
        assert_eq!(network["lod"], 1.0);
    }
    assert_eq!(found["notes"], json!([]));
    let out = folder.path().join("young.safetensors");
    convert(run, &out, &[]);
    assert_eq!(inspect(&out)["networks"], found["networks"]);
    assert!(picture(&young, &[]) == picture(&out, &[]));

    let whole = fs::read(&young).unwrap();
    fs::write(&young, &whole[..whole.len() / 2]).unwrap();
    let generate = ["generate", "--seeds", "0", "--network", text(&young)];
    let expected = format!("error: {}: the checkpoint is damaged: ", young.display());
    let found = lines(&fail(&generate));
    assert!(found[0].starts_with(&expected), "{found:?}");
}

#[test]
fn networks_of_other_tools_make_pictures_before_and_after_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (
        folder.path().join("a.safetensors"),
        folder.path().join("b.safetensors"),
    );
    for (name, more) in [
        ("checkpoints/ada.pkl", &["--trunc", "0.7"][..]),
        ("checkpoints/sg3_cond.pkl", &["--class", "2"]),
        ("checkpoints/rosinality_converted.pt", &["--trunc", "0.5"]),
        ("stylegan1/pkl/progan_tf.pkl", &[]),
        ("stylegan1/pkl/stylegan1_tf.pkl", &[]),
        (
            "stylegan1/pkl/stylegan2_resnet_skip_cond_tf.pkl",
            &["--class", "1"],
        ),
    ] {
        let original = sample(name);
        let written = convert(&original, &first, &["--force"]);
        assert!(written == convert(&first, &second, &["--force"]), "{name}");
        assert!(picture(&original, more) == picture(&first, more), "{name}");
    }
}

#[test]
fn state_dictionaries_keep_every_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let train = sample("checkpoints/rosinality_train.pt");
    let direct = convert(&train, &path("a.safetensors"), &[]);
    let pt = convert(&train, &path("a.pt"), &[]);
    assert!(direct == convert(&path("a.pt"), &path("b.safetensors"), &[]));
    assert!(
        pt == convert(
            &path("b.safetensors"),
            &path("b.pth"),
            &["--format", "rosinality"]
        )
    );

    let g = path("g.pt");
    let arguments = ["convert", text(&train), text(&g), "--only", "g"];
    let found = lines(&succeed(&arguments));
    assert_eq!(
        found,
        [
            "g: 14,734 parameters",
            "note: g: stored without an average w, which truncation needs",
            "note: left out: g_optim, d_optim, args, ada_aug_p",
        ]
    );

    // A network of another tool, without its discriminator.
    let ada = sample("checkpoints/ada.pkl");
    convert(&ada, &path("ada.pt"), &["--only", "g_ema"]);
    let found = inspect(&path("ada.pt"));
    let names: Vec<_> = found["networks"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["g_ema"]);
    assert!(picture(&ada, &["--trunc", "0.7"]) == picture(&path("ada.pt"), &["--trunc", "0.7"]));
}

#[test]
fn convert_says_what_it_wrote_and_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sg3.pt");
    let sg3 = sample("checkpoints/sg3.pkl");
    let arguments = ["convert", text(&sg3), text(&out), "--only", "g_ema,g"];
    let clamped =
        |name| format!("note: {name}: activations are clamped to 256, which the format can't say");
    let mut expected = vec![
        "g_ema: 14,734 parameters".to_string(),
        "g: 14,734 parameters".to_string(),
        clamped("g_ema"),
        clamped("g"),
        "note: left out: augment_pipe, training_set_kwargs".to_string(),
    ];
    assert_eq!(lines(&succeed(&arguments)), expected);
    let forced = succeed(&[&arguments[..], &["--force"]].concat());
    expected.push("note: replaced the file that was there before".to_string());
    assert_eq!(lines(&forced), expected);
}

#[test]
fn truncation_finds_an_average_where_a_file_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let network = sample("checkpoints/rosinality_train.pt");
    let arguments = ["generate", "--network", text(&network), "--seeds", "0,1"];
    let outdir = ["--outdir", text(folder.path()), "--trunc", "0"];
    let run = succeed(&[&arguments[..], &outdir].concat());
    let expected = [
        "note: g_ema: stored without an average w, which truncation needs",
        "note: the mean w of 4096 seeds takes the place of the average",
    ];
    assert_eq!(lines(&run), expected);
    let [a, b] =
        ["seed0000.png", "seed0001.png"].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert!(a == b, "both are the average picture");
}

#[test]
fn other_commands_take_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(folder.path());
    let network = sample("stylegan1/pkl/stylegan1_tf.pkl");
    let network = ["--network", text(&network)];
    let mix = [
        "--rows", "0", "--cols", "1", "--styles", "coarse", "--outdir", out,
    ];
    succeed(&[&["style-mixing"], &network[..], &mix].concat());
    assert!(folder.path().join("0-1.png").is_file());
    let json = folder.path().join("maps.json");
    let maps = ["metrics", "feature-maps", "--out", text(&json)];
    succeed(&[&maps[..], &network].concat());
    let swd = ["metrics", "swd", "--count", "8", "--json"];
    let run = succeed(&[&swd[..], &network].concat());
    let swd: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(swd["count"], 8);
}
