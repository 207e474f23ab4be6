//! `edit`, and what `metrics` measures of directions.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&[
        "checkpoints/ada.pkl",
        "checkpoints/ada_cond.pkl",
        "stylegan1/pkl/progan_tf.pkl",
        "stylegan1/pkl/stylegan1_tf.pkl",
    ]);
    desk.run("convert ada.pkl d.safetensors --only d");
    desk.write_directions();
    desk.write_half("cut.safetensors", "sefa.safetensors");
    desk.write_arrays("vectors.npy", &[("", &[2, 16])]);
    desk.write_arrays("w.npz", &[("w", &[1, 6, 16])]);
    for (name, table) in [
        ("smile.csv", "seed,smile\n0,1\n1,0\n2,1\n"),
        ("two.csv", "seed,a,b\n0,1,1\n1,0,0\n"),
        ("noseed.csv", "smile\n1\n0\n"),
        ("words.csv", "seed,smile\n0,yes\n1,no\n"),
        ("same.csv", "seed,smile\n0,1\n1,1\n"),
        ("seeds.csv", "seed\n1\n2\n"),
        ("empty.csv", ""),
    ] {
        desk.write(name, table.as_bytes());
    }
    desk
}

#[test]
fn wrong_input_of_edit_factorize_is_named() {
    let desk = desk();
    desk.assert_refused(
        "edit factorize",
        &[
            ("--network ada.pkl", "the following required arguments were not provided:\n  --out <FILE>"),
            ("--network no-such-run --out new.safetensors", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --out missing/a.safetensors", "--out missing/a.safetensors: there is no folder missing; make it first"),
            ("--network ada.pkl --out folder", "--out folder: is a folder; give the name of a file"),
            ("--network ada.pkl --count 17 --out new.safetensors", "--count 17: w has 16 dimensions; ask for 1 to 16"),
            ("--network ada.pkl --count 0 --out new.safetensors", "--count 0: w has 16 dimensions; ask for 1 to 16"),
            ("--network ada.pkl --samples 1 --out new.safetensors", "--samples 1: must be from 2 to 10000000"),
            ("--network ada.pkl --layers 4-9 --out new.safetensors", "--layers: the network has no layer 6; its layers are 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network progan_tf.pkl --out new.safetensors", "the layers of the network have no styles, as ProGAN's have none, so there is nothing to factorize; give a StyleGAN or a StyleGAN2"),
        ],
    );
}

#[test]
fn wrong_input_of_edit_pca_is_named() {
    let desk = desk();
    desk.assert_refused(
        "edit pca",
        &[
            ("--network ada.pkl", "the following required arguments were not provided:\n  --out <FILE>"),
            ("--network no-such-run --out new.safetensors", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network progan_tf.pkl --out new.safetensors", "the network has no mapping network: its w is the normalised z, as ProGAN's is, and varies alike in all directions; give a StyleGAN or a StyleGAN2"),
            ("--network ada_cond.pkl --class 9 --out new.safetensors", "--class 9: the network has 4 classes; choose one from 0 to 3"),
            ("--network ada.pkl --count 17 --out new.safetensors", "--count 17: w has 16 dimensions; ask for 1 to 16"),
            ("--network ada.pkl --out missing/a.safetensors", "--out missing/a.safetensors: there is no folder missing; make it first"),
            ("--network ada.pkl --layers fine --out new.safetensors", "--layers fine: begins at 64x64, but the pictures of the network are 16x16; choose coarse or middle, or layers: 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
        ],
    );
}

#[test]
fn wrong_input_of_edit_boundary_is_named() {
    let desk = desk();
    desk.assert_refused(
        "edit boundary",
        &[
            ("--network ada.pkl --out new.safetensors", "the following required arguments were not provided:\n  --labels <FILE>"),
            ("--network ada.pkl --labels absent.csv --out new.safetensors", "--labels absent.csv: there is no such file"),
            ("--network ada.pkl --labels empty.csv --out new.safetensors", "empty.csv: expected a column of labels, found none beside seed"),
            ("--network ada.pkl --labels smile.csv --out new.safetensors", "--labels smile.csv: expected at least 10 latents of each class, found 2 of the class and 1 of the other"),
            ("--network ada.pkl --labels two.csv --out new.safetensors", "two.csv: choose a column with --column: a, b"),
            ("--network ada.pkl --labels two.csv --column c --out new.safetensors", "two.csv: there is no column c; there are a, b"),
            ("--network ada.pkl --labels noseed.csv --out new.safetensors", "noseed.csv: expected a column seed, or the latents that its lines are about with --latents"),
            ("--network ada.pkl --labels words.csv --out new.safetensors", "words.csv: line 2, column smile: expected a number, found \"yes\""),
            ("--network ada.pkl --labels same.csv --out new.safetensors", "--labels: column smile has no two values to tell apart"),
            ("--network ada.pkl --labels seeds.csv --out new.safetensors", "seeds.csv: expected a column of labels, found none beside seed"),
            ("--network ada.pkl --labels smile.csv --share 0.2 --out new.safetensors", "--share 0.2: column smile has two values, which are classes already; leave the option out"),
            ("--network ada.pkl --labels scores.csv --share 0.7 --out new.safetensors", "--share 0.7: expected more than 0 and at most 0.5"),
            ("--network ada.pkl --labels smile.csv --name a/b --out new.safetensors", "direction \"a/b\": expected a name of 1 to 64 letters, digits, - and _, which is also the name of files"),
            ("--network ada.pkl --labels smile.csv --orthogonal-to sefa.safetensors:x --out new.safetensors", "--orthogonal-to sefa.safetensors:x: there is no direction x; there are sefa0, sefa1"),
            ("--network ada.pkl --labels smile.csv --orthogonal-to absent.safetensors --out new.safetensors", "--orthogonal-to absent.safetensors: no such file of directions; check the path"),
            ("--network ada.pkl --labels smile.csv --append --out new.safetensors", "--append to new.safetensors: no such file of directions; check the path"),
            ("--network ada.pkl --labels smile.csv --append --out d.safetensors", "--append to d.safetensors: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"),
            ("--network ada.pkl --labels smile.csv --latents w.npz --out new.safetensors", "--labels smile.csv: expected a line for each latent, 1 in all, found 3"),
            ("--network ada.pkl --labels smile.csv --latents absent.npz --out new.safetensors", "absent.npz: no such file"),
            ("--network ada.pkl --labels vectors.npy --out new.safetensors", "vectors.npy: expected labels [N], found [2, 16]"),
            ("--network ada.pkl --labels smile.csv --latents-space z --out new.safetensors", "the following required arguments were not provided:\n  --latents <FILE>..."),
            ("--network no-such-run --labels smile.csv --out new.safetensors", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --labels smile.csv --out missing/a.safetensors", "--out missing/a.safetensors: there is no folder missing; make it first"),
        ],
    );
}

#[test]
fn wrong_input_of_edit_apply_is_named() {
    let desk = desk();
    desk.assert_refused(
        "edit apply",
        &[
            ("--network ada.pkl --seeds 0", "the following required arguments were not provided:\n  --directions <FILE>"),
            ("--network ada.pkl --directions sefa.safetensors", "the following required arguments were not provided:\n  --seeds <LIST>"),
            ("--network no-such-run --directions sefa.safetensors --seeds 0", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --only sefa0,sefa7", "--only sefa7: there is no direction sefa7; there are sefa0, sefa1"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --strengths 1:2", "invalid value '1:2' for '--strengths <LIST>': expected FROM:TO:COUNT with 2 to 1000 steps, such as -3:3:7, or up to 1000 numbers, such as -2,0,2"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --strengths nan", "invalid value 'nan' for '--strengths <LIST>': expected FROM:TO:COUNT with 2 to 1000 steps, such as -3:3:7, or up to 1000 numbers, such as -2,0,2"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --layers fine", "--layers fine: begins at 64x64, but the pictures of the network are 16x16; choose coarse or middle, or layers: 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --unit mile", "invalid value 'mile' for '--unit <UNIT>'\n  [possible values: sigma, length]"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --rows seeds", "invalid value 'seeds' for '--rows <ROWS>'\n  [possible values: latents, directions]"),
            ("--network ada.pkl --directions absent.safetensors --seeds 0", "--directions absent.safetensors: no such file of directions; check the path"),
            ("--network ada.pkl --directions d.safetensors --seeds 0", "--directions d.safetensors: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"),
            ("--network ada.pkl --directions cut.safetensors --seeds 0", "--directions cut.safetensors: the file of directions is damaged: it should start with a header of 656 bytes, but has 460 bytes"),
            ("--network ada.pkl --directions words.pt --seeds 0", "--directions words.pt: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"),
            ("--network stylegan1_tf.pkl --directions sefa.safetensors --seeds 0", "--directions sefa.safetensors: the directions are those of a StyleGAN2 with 6 w of 16 numbers, but the network is a StyleGAN with 6 w of 16 numbers; find directions of this network"),
            ("--network ada.pkl --directions sefa.safetensors --latents w.npz --trunc 0.5", "--trunc 0.5: is for seeds and z, but the w of files are used as they are; leave the option out"),
            ("--network ada.pkl --directions sefa.safetensors --latents absent.npz", "absent.npz: no such file"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0-9999 --strengths -3:3:1000", "--strengths: grid: expected at most 1 GiB of pixels, found 1000x10000 pictures of 16x16 with 3 channels; ask for fewer columns or rows"),
            ("--network ada.pkl --directions sefa.safetensors --seeds 0 --save-w w.txt", "--save-w w.txt: expected a name that ends in .npz, .npy or .safetensors"),
        ],
    );
}

#[test]
fn wrong_input_of_metrics_directions_is_named() {
    let desk = desk();
    desk.assert_refused(
        "metrics directions",
        &[
            ("--network ada.pkl", "the following required arguments were not provided:\n  --directions <FILE>"),
            ("--network ada.pkl --directions sefa.safetensors --strengths 1", "--strengths: effects are differences; give two strengths or more"),
            ("--network ada.pkl --directions sefa.safetensors --strengths 1,1", "--strengths: effects are differences; give two strengths or more"),
            ("--network ada.pkl --directions absent.safetensors", "--directions absent.safetensors: no such file of directions; check the path"),
            ("--network stylegan1_tf.pkl --directions sefa.safetensors", "--directions sefa.safetensors: the directions are those of a StyleGAN2 with 6 w of 16 numbers, but the network is a StyleGAN with 6 w of 16 numbers; find directions of this network"),
            ("--network ada.pkl --directions sefa.safetensors --only smile", "--only smile: there is no direction smile; there are sefa0, sefa1"),
            ("--network ada.pkl --directions sefa.safetensors --layers 6", "--layers: the network has no layer 6; its layers are 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network no-such-run --directions sefa.safetensors", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
        ],
    );
}

#[test]
fn wrong_input_of_metrics_factors_is_named() {
    let desk = desk();
    desk.assert_refused(
        "metrics factors",
        &[
            ("--network ada.pkl", "the following required arguments were not provided:\n  --out <FILE>"),
            ("--network no-such-run --out a.csv", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --out missing/a.csv", "--out missing/a.csv: there is no folder missing; make it first"),
            ("--network ada.pkl --out folder", "--out folder: is a folder; give the name of a file"),
            ("--network ada.pkl --seeds 5-1 --out a.csv", "invalid value '5-1' for '--seeds <LIST>': the range 5-1 ends before it starts; write 1-5"),
            ("--network ada_cond.pkl --out a.csv", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
        ],
    );
}
