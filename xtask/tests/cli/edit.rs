//! `edit` and `blend`, and what `metrics` measures of them.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use stylegan_checkpoint::arrays;
use stylegan_edit::{Directions, Method};

use crate::common::{self, Run, fail, lines, snapshot, text, train_tiny, words};

/// A published network of 16x16 pixels: z and w of 16 values, 6 layers.
fn ada() -> String {
    golden("ada.pkl")
}

fn golden(name: &str) -> String {
    let path = stylegan_goldens::folder("checkpoints").join(name);
    text(&path).to_string()
}

fn succeed(arguments: &str) -> Run {
    common::succeed(&words(arguments).collect::<Vec<_>>())
}

fn error(arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let lines = lines(&fail(&arguments));
    let errors = lines.iter().find(|line| line.starts_with("error: "));
    errors.unwrap_or_else(|| panic!("{lines:?}")).clone()
}

fn printed(run: &Run) -> Vec<String> {
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    text.lines().map(str::to_string).collect()
}

/// The array of a file of one.
fn array(path: &Path) -> Vec<Vec<Vec<f64>>> {
    let [array] = &arrays::read(path).unwrap()[..] else {
        panic!("one array")
    };
    array
        .values
        .to_dtype(DType::F64)
        .unwrap()
        .to_vec3()
        .unwrap()
}

fn train(folder: &Path, more: &[&str]) -> PathBuf {
    snapshot(&train_tiny(folder, &[&["--kimg", "0.008"], more].concat()))
}

#[test]
fn directions_are_found_written_and_applied() {
    let folder = tempfile::tempdir().unwrap();
    let network = ada();
    let file = folder.path().join("sefa.safetensors");
    let factorize = format!(
        "edit factorize --network {network} --layers 1-3 --count 2 --samples 500 --out {}",
        text(&file)
    );
    let run = succeed(&factorize);
    let table = printed(&run);
    assert_eq!(table.len(), 4, "{table:?}");
    assert!(
        table[1].starts_with("sefa0 ") && table[2].starts_with("sefa1 "),
        "{table:?}"
    );
    assert_eq!(table[3], text(&file));
    let first = fs::read(&file).unwrap();
    let again = succeed(&format!("{factorize} --threads 1"));
    assert_eq!(
        lines(&again),
        ["note: replaced the file that was there before"]
    );
    assert!(fs::read(&file).unwrap() == first);

    // Three strengths of two directions for two seeds.
    let out = folder.path().join("out");
    let saved = folder.path().join("w.npz");
    let apply = format!(
        "edit apply --network {network} --directions {} --seeds 3,5 --strengths -2,0,1 --outdir {}",
        text(&file),
        text(&out)
    );
    let run = succeed(&format!("{apply} --trunc 0.7 --save-w {}", text(&saved)));
    let strips = ["sefa0.png", "sefa1.png"].map(|name| out.join(name));
    let paths = [&strips[0], &strips[1], &saved].map(|path| text(path).to_string());
    assert_eq!(printed(&run), paths);
    for strip in &strips {
        assert_eq!(image::image_dimensions(strip).unwrap(), (3 * 16, 2 * 16));
    }

    // A strength of 0 leaves a picture and its latent as they are.
    let plain = folder.path().join("plain.npz");
    let generate = format!(
        "generate --network {network} --seeds 3,5 --trunc 0.7 --outdir {} --save-w {}",
        text(&out),
        text(&plain)
    );
    succeed(&generate);
    let strip = image::open(&strips[1]).unwrap();
    let cell = strip.crop_imm(16, 16, 16, 16);
    assert!(cell == image::open(out.join("seed0005.png")).unwrap());
    // Others are moved by strength * sigma * direction, in the layers of the direction.
    let (plain, edited) = (array(&plain), array(&saved));
    let directions = Directions::read(&file).unwrap();
    for (number, ws) in edited.iter().enumerate() {
        let direction = &directions.list()[number / 6];
        let strength = [-2., 0., 1.][number % 3];
        for (layer, w) in ws.iter().enumerate() {
            let moved = if (1..=3).contains(&layer) {
                strength * direction.sigma
            } else {
                0.
            };
            for (k, value) in w.iter().enumerate() {
                let expected = plain[number / 3 % 2][layer][k] + moved * direction.vector[k];
                assert!((value - expected).abs() < 1e-5, "{number} {layer} {k}");
            }
        }
    }

    // A strip for each latent, of all directions; a unit of length; other layers.
    let rows =
        format!("{apply} --rows directions --unit length --layers fine,coarse --format webp");
    let expected = "error: --layers fine: begins at 64x64, but the pictures of the network are 16x16; choose coarse or middle, or layers: 0 (4x4), 1-2 (8x8), 3-5 (16x16)";
    assert_eq!(error(&rows), expected);
    let run = succeed(&rows.replace("fine,coarse", "coarse"));
    let strips = ["seed0003.webp", "seed0005.webp"].map(|name| text(&out.join(name)).to_string());
    assert_eq!(printed(&run), strips);
    // A picture that was edited can be edited again.
    let on = format!(
        "edit apply --network {network} --directions {} --only sefa1 --strengths 0,3 --latents {} --outdir {}",
        text(&file),
        text(&saved),
        text(&folder.path().join("on"))
    );
    succeed(&on);
    let size = image::image_dimensions(folder.path().join("on/sefa1.png")).unwrap();
    assert_eq!(size, (2 * 16, 12 * 16));
}

#[test]
fn principal_components_have_falling_variances_in_every_family() {
    let folder = tempfile::tempdir().unwrap();
    let stylegan = train(folder.path(), &["--cfg", "stylegan1"]);
    for network in [ada(), golden("ada_cond.pkl"), text(&stylegan).to_string()] {
        let file = folder.path().join("pca.safetensors");
        let run = succeed(&format!(
            "edit pca --network {network} --count 8 --samples 300 --out {}",
            text(&file)
        ));
        let sums = printed(&run);
        assert!(sums[1].starts_with("pca0 "), "{sums:?}");
        let directions = Directions::read(&file).unwrap();
        let list = directions.list();
        assert_eq!(list.len(), 8);
        for pair in list.windows(2) {
            assert!(pair[0].sigma >= pair[1].sigma, "{network}");
        }
        let Method::PrincipalComponent { samples, .. } = list[0].method else {
            panic!("{:?}", list[0])
        };
        assert_eq!(samples, 300);
    }
}

#[test]
fn a_boundary_is_fitted_to_labels_of_seeds_or_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name)).to_string();
    let network = ada();
    let (w, out) = (file("w.npz"), file("out"));
    succeed(&format!(
        "generate --network {network} --seeds 0-299 --trunc 1 --outdir {out} --save-w {w}"
    ));
    // What is labelled is a number of w: its direction is planted, the others are noise.
    let w = array(Path::new(&w));
    let scores: Vec<f64> = w.iter().map(|ws| ws[0][5]).collect();
    let rows = scores.iter().enumerate();
    let table: String = rows
        .map(|(seed, score)| format!("{seed},{score}\n"))
        .collect();
    fs::write(file("scores.csv"), format!("seed,fifth\n{table}")).unwrap();
    let boundary = format!("edit boundary --network {network}");
    let run = succeed(&format!(
        "{boundary} --labels {} --out {}",
        file("scores.csv"),
        file("fifth.safetensors")
    ));
    assert!(
        printed(&run)[1].starts_with("fifth "),
        "{:?}",
        printed(&run)
    );
    let directions = Directions::read(file("fifth.safetensors")).unwrap();
    let fifth = directions.get("fifth").unwrap();
    assert!(fifth.vector[5] > 0.8, "{fifth:?}");
    let Method::Boundary {
        accuracy, samples, ..
    } = fifth.method
    else {
        panic!("{fifth:?}")
    };
    // A quarter at each end, less 3 of 10.
    assert!(
        accuracy > 0.9 && samples == 2 * (75 - 23),
        "{accuracy} {samples}"
    );

    // The same latents from a file with classes in another, orthogonal to the first and added to its file.
    let classes: Vec<f32> = w
        .iter()
        .map(|ws| f32::from(u8::from(ws[0][2] > 0.)))
        .collect();
    let classes = Tensor::new(classes, &Device::Cpu).unwrap();
    arrays::write(Path::new(&file("labels.npy")), &[("", &classes)]).unwrap();
    succeed(&format!(
        "{boundary} --labels {} --latents {} --name second --orthogonal-to {}:fifth --append --out {}",
        file("labels.npy"),
        file("w.npz"),
        file("fifth.safetensors"),
        file("fifth.safetensors")
    ));
    let directions = Directions::read(file("fifth.safetensors")).unwrap();
    assert_eq!(directions.list().len(), 2);
    let [fifth, second] = ["fifth", "second"].map(|name| directions.get(name).unwrap());
    let product: f64 = fifth
        .vector
        .iter()
        .zip(&second.vector)
        .map(|(a, b)| a * b)
        .sum();
    assert!(product.abs() < 1e-9 && second.vector[2] > 0.6, "{second:?}");
}

/// The tensors of the generator of a file.
fn tensors(path: &Path) -> stylegan_import::Tensors {
    let file = stylegan_import::import(path).unwrap();
    file.g_ema.unwrap().tensors
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_blend_has_the_low_layers_of_one_network_and_the_high_ones_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let low = train(folder.path(), &["--resolution", "16"]);
    let high = train(folder.path(), &["--resolution", "16", "--seed", "7"]);
    let blend = |out: &Path, more: &str| {
        let (low, high, out) = (text(&low), text(&high), text(out));
        format!("blend {low} {high} {out} --at 16 {more}")
    };
    let (out, preview) = (file("blend.safetensors"), file("blend.png"));
    let run = succeed(&blend(
        &out,
        &format!("--preview {} --seeds 1-3", text(&preview)),
    ));
    assert_eq!(printed(&run), [text(&out), text(&preview)]);
    assert_eq!(image::image_dimensions(&preview).unwrap(), (3 * 16, 3 * 16));
    let [a, b, blended] = [&low, &high, &out].map(|path| tensors(path));
    for (name, tensor) in &a {
        let source = if name.starts_with("synthesis.b16.") {
            &b
        } else {
            &a
        };
        assert_eq!(values(&blended[name]), values(&source[name]), "{name}");
        assert!(tensor.dims() == blended[name].dims());
    }
    // The rows of the preview are the pictures of the three networks.
    let shown = image::open(&preview).unwrap();
    for (row, network) in [&low, &out, &high].into_iter().enumerate() {
        let pictures = file("pictures");
        let (network, outdir) = (text(network), text(&pictures));
        succeed(&format!(
            "generate --network {network} --seeds 2 --outdir {outdir}"
        ));
        let cell = shown.crop_imm(16, 16 * row as u32, 16, 16);
        assert!(
            cell == image::open(pictures.join("seed0002.png")).unwrap(),
            "{row}"
        );
    }

    let smooth = file("smooth.safetensors");
    succeed(&blend(&smooth, "--smooth 4"));
    let smooth = tensors(&smooth);
    let name = "synthesis.b8.conv1.weight";
    let parts = values(&a[name]).into_iter().zip(values(&b[name]));
    for ((a, b), found) in parts.zip(values(&smooth[name])) {
        assert!((a + 0.375 * (b - a) - found).abs() < 1e-5);
    }

    let exists = "exists already; choose another name, or add --force to replace it";
    assert_eq!(
        error(&blend(&out, "")),
        format!("error: {}: {exists}", text(&out))
    );
    let again = lines(&succeed(&blend(&out, "--force")));
    assert_eq!(again, ["note: replaced the file that was there before"]);

    let new = file("new.safetensors");
    let other = blend(&new, "").replace(text(&high), &ada());
    let found = error(&other);
    let expected = "error: the networks can't be blended, since they differ in ";
    assert!(found.starts_with(expected), "{found}");
    assert!(!new.exists());
}

/// A network of 8x8 pixels that has learned where portraits are light and dark.
#[test]
fn a_boundary_of_a_factor_moves_that_factor() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name)).to_string();
    let training = [
        "--kimg", "6", "--subset", "2000", "--lr", "0.005", "--tick", "6",
    ];
    let network = snapshot(&train_tiny(folder.path(), &training));
    let network = text(&network);
    let (factors, found) = (file("factors.csv"), file("found.safetensors"));
    succeed(&format!(
        "metrics factors --network {network} --seeds 0-399 --out {factors}"
    ));
    let table = fs::read_to_string(&factors).unwrap();
    assert_eq!(table.lines().count(), 401);
    let names = table.lines().next().unwrap();
    assert!(
        names.starts_with("seed,") && names.contains(",back-light,"),
        "{names}"
    );
    assert!(!names.contains("smile"), "{names}");
    succeed(&format!(
        "edit boundary --network {network} --labels {factors} --column back-light --out {found}"
    ));
    let measure =
        format!("metrics directions --network {network} --directions {found} --seeds 0-15");
    let run = succeed(&format!("{measure} --random 4 --json"));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["random"].as_array().unwrap().len(), 4);
    let effects = report["directions"][0]["effects"].as_array().unwrap();
    let effect = effects
        .iter()
        .find(|effect| effect["factor"] == "back-light")
        .unwrap();
    assert!(effect["slope"].as_f64().unwrap() > 0.1, "{effects:#?}");
    assert!(
        effect["monotonicity"].as_f64().unwrap() > 0.8,
        "{effects:#?}"
    );
    let shares: f64 = effects
        .iter()
        .map(|effect| effect["share"].as_f64().unwrap())
        .sum();
    assert!((shares - 1.).abs() < 1e-9);

    let table = printed(&succeed(&format!("{measure} --random 2")));
    assert!(table[0].starts_with("factor "), "{table:?}");
    assert!(
        table.iter().any(|line| line.ends_with("left out")),
        "{table:?}"
    );
    assert!(
        table[table.len() - 2].starts_with("back-light "),
        "{table:?}"
    );
    assert!(table[table.len() - 1].starts_with("2 random "), "{table:?}");
}
