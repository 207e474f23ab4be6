//! `generate`, `style-mixing`, `truncation` and `latent-grid`.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&[
        "checkpoints/ada.pkl",
        "checkpoints/ada_cond.pkl",
        "stylegan1/pkl/progan_tf.pkl",
        "stylegan1/pkl/stylegan1_tf.pkl",
    ]);
    desk.run("convert ada.pkl d.safetensors --only d");
    desk.write_half("cut.pkl", "ada.pkl");
    desk.make_folder("folder.npz");
    desk.write_arrays("vectors.npy", &[("", &[2, 16])]);
    desk.write_arrays("w.npz", &[("w", &[1, 6, 16])]);
    desk.write_arrays("four_w.npz", &[("w", &[4, 6, 16])]);
    desk.write_arrays("wide.npz", &[("w", &[1, 6, 512])]);
    desk.write_arrays("none.npz", &[("w", &[0, 16])]);
    desk.write_arrays("both.npz", &[("z", &[1, 16]), ("w", &[1, 16])]);
    desk.write_directions();
    desk
}

#[test]
fn wrong_input_of_generate_is_named() {
    let desk = desk();
    desk.assert_refused(
        "generate",
        &[
            ("", "the following required arguments were not provided:\n  --network <FILE|RUN|URL>\n  --seeds <LIST>"),
            ("--seeds 0", "the following required arguments were not provided:\n  --network <FILE|RUN|URL>"),
            ("--network no-such-file.pkl --seeds 0", "no-such-file.pkl: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network empty.pkl --seeds 0", "empty.pkl: expected a network, found an empty file"),
            ("--network cut.pkl --seeds 0", "cut.pkl: byte 147313: expected 75388 bytes of a frame, found 10599 to the end of the file"),
            ("--network folder --seeds 0", "folder: has no network-snapshot-*.safetensors: is it a run folder?"),
            ("--network d.safetensors --seeds 0", "d.safetensors: expected a generator, found only a discriminator"),
            ("--network ada_cond.pkl --seeds 0", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
            ("--network ada_cond.pkl --seeds 0 --class 4", "--class 4: the network has 4 classes; choose one from 0 to 3"),
            ("--network ada.pkl --seeds 0 --class 0", "--class 0: the network was trained without labels; leave the option out"),
            ("--network ada.pkl --seeds 0 --class=-1", "invalid value '-1' for '--class <N>': expected a whole number, 0 or more"),
            ("--network ada.pkl", "the following required arguments were not provided:\n  --seeds <LIST>"),
            ("--network ada.pkl --seeds 5-1", "invalid value '5-1' for '--seeds <LIST>': the range 5-1 ends before it starts; write 1-5"),
            ("--network ada.pkl --seeds one", "invalid value 'one' for '--seeds <LIST>': \"one\" is not a number from 0 to 4294967295; write e.g. 0-15,85"),
            ("--network ada.pkl --seeds 0,-1", "invalid value '0,-1' for '--seeds <LIST>': \"\" is not a number from 0 to 4294967295; write e.g. 0-15,85"),
            ("--network ada.pkl --seeds 4294967296", "invalid value '4294967296' for '--seeds <LIST>': \"4294967296\" is not a number from 0 to 4294967295; write e.g. 0-15,85"),
            ("--network ada.pkl --seeds 0-4294967295", "invalid value '0-4294967295' for '--seeds <LIST>': more than 1000000 numbers"),
            ("--network ada.pkl --seeds 0 --latents w.npz", "the argument '--seeds <LIST>' cannot be used with '--latents <FILE>...'"),
            ("--network ada.pkl --seeds 0-15 --grid 3x5", "--grid 3x5: has room for 15, but there are 16 seeds"),
            ("--network ada.pkl --seeds 0 --grid 3", "invalid value '3' for '--grid <CxR>': expected COLUMNSxROWS, each from 1 to 1000, such as 8x4"),
            ("--network ada.pkl --seeds 0 --trunc nan", "--trunc NaN: must be a number"),
            ("--network ada.pkl --seeds 0 --trunc much", "invalid value 'much' for '--trunc <PSI>': expected a number, such as 0.5"),
            ("--network ada.pkl --seeds 0 --trunc-cutoff 2", "--trunc-cutoff 2: this network's pictures are not truncated; add --trunc"),
            ("--network ada.pkl --seeds 0 --trunc 0.5 --trunc-cutoff 7", "--trunc-cutoff 7: the network has 6 layers; choose at most that many"),
            ("--network progan_tf.pkl --seeds 0 --trunc 0.5", "--trunc 0.5: the network keeps no average to truncate to; leave the option out"),
            ("--network progan_tf.pkl --seeds 0 --noise-mode random", "--noise-mode random: the layers of the network have no noise; leave the option out"),
            ("--network ada.pkl --seeds 0 --noise-mode loud", "invalid value 'loud' for '--noise-mode <MODE>'\n  [possible values: const, random, none]"),
            ("--network ada.pkl --seeds 0 --format gif", "invalid value 'gif' for '--format <FORMAT>'\n  [possible values: png, webp, jpeg]"),
            ("--network ada.pkl --seeds 0 --device tpu", "invalid value 'tpu' for '--device <DEVICE>': expected cpu, cuda, cuda:N or metal"),
            ("--network ada.pkl --seeds 0 --batch 0", "--batch 0: must be from 1 to 4096"),
            ("--network ada.pkl --seeds 0 --save-w w.txt", "--save-w w.txt: expected a name that ends in .npz, .npy or .safetensors"),
            ("--network ada.pkl --seeds 0 --save-w no/w.npz", "--save-w no/w.npz: there is no folder no; make it first"),
            ("--network ada.pkl --seeds 0 --save-w folder.npz", "--save-w folder.npz: is a folder; give the name of a file"),
            ("--network ada.pkl --seeds 0 --outdir words.pt", "--outdir words.pt: cannot make the folder: ..."),
            ("--network ada.pkl --seeds 0 --outdir words.pt/out", "--outdir words.pt/out: cannot make the folder: ..."),
            ("--network progan_tf.pkl --seeds 0 --precision bf16", "--precision bf16: is for the layers of StyleGAN2, and this network is of the first generation; leave the option out"),
            ("--network ada.pkl --latents vectors.npy", "vectors.npy: z and w of the network both have 16 values; say which these are with --latents-space z or --latents-space w"),
            ("--network ada.pkl --latents wide.npz", "wide.npz: expected z [N, 16], w [N, 16] or ws [N, 6, 16], found [1, 6, 512]"),
            ("--network ada.pkl --latents none.npz", "none.npz: there are no latents in it, only the shape [0, 16]"),
            ("--network ada.pkl --latents w.npz --latents-space z", "w.npz: --latents-space z: expected z [N, 16], found [1, 6, 16]"),
            ("--network ada.pkl --latents words.pt", "words.pt: not a file of arrays; expected .npy, .npz or .safetensors"),
            ("--network ada.pkl --latents empty.pkl", "empty.pkl: the file is empty; expected .npy, .npz or .safetensors"),
            ("--network ada.pkl --latents absent.npy", "absent.npy: no such file"),
            ("--network ada.pkl --latents folder", "folder: is not a file; expected .npy, .npz or .safetensors"),
            ("--network ada.pkl --latents both.npz", "both.npz: expected one array of latents, named z, w or ws, found w, z; choose with --latents-space z or --latents-space w"),
            ("--network ada.pkl --latents w.npz --trunc 0.5", "--trunc 0.5: is for seeds and z, but the w of files are used as they are; leave the option out"),
            ("--network ada.pkl --latents w.npz --grid 1x0", "invalid value '1x0' for '--grid <CxR>': expected COLUMNSxROWS, each from 1 to 1000, such as 8x4"),
            ("--network ada.pkl --seeds 0 --threads 0", "--threads 0: must be at least 1"),
        ],
    );
}

#[test]
fn wrong_input_of_style_mixing_is_named() {
    let desk = desk();
    desk.assert_refused(
        "style-mixing",
        &[
            ("--network ada.pkl --rows 1", "the following required arguments were not provided:\n  --cols <LIST|FILE>"),
            ("--network ada.pkl --rows 1 --cols 2 --styles fine", "--styles fine: begins at 64x64, but the pictures of the network are 16x16; choose coarse or middle, or layers: 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network ada.pkl --rows 1 --cols 2 --styles 0-6", "--styles: the network has no layer 6; its layers are 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network ada.pkl --rows 1 --cols 2 --styles large", "invalid value 'large' for '--styles <STYLES>': expected coarse, middle, fine, several of them such as coarse,middle, or numbers of layers such as 0-6"),
            ("--network ada.pkl --rows 0-9999 --cols 0-9999", "--rows and --cols: grid: expected at most 1 GiB of pixels, found a table of 10000x10000 pictures of 16x16; ask for fewer columns or rows"),
            ("--network ada.pkl --rows one --cols 2", "invalid value 'one' for '--rows <LIST|FILE>': \"one\" is not a number from 0 to 4294967295; write e.g. 0-15,85"),
            ("--network ada.pkl --rows absent.npz --cols 2", "absent.npz: no such file"),
            ("--network ada.pkl --rows w.npz --cols w.npz --trunc 0.5", "--trunc 0.5: is for seeds and z, but the w of files are used as they are; leave the option out"),
            ("--network ada.pkl --rows wide.npz --cols 2", "wide.npz: expected z [N, 16], w [N, 16] or ws [N, 6, 16], found [1, 6, 512]"),
            ("--network ada.pkl --rows vectors.npy --cols 2", "vectors.npy: z and w of the network both have 16 values; say which these are with --latents-space z or --latents-space w"),
            ("--network progan_tf.pkl --rows 1 --cols 2", "the network has no styles to mix: it makes a picture from the latent alone, as ProGAN does; give a StyleGAN or a StyleGAN2"),
            ("--network no-such-run --rows 1 --cols 2", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada_cond.pkl --rows 1 --cols 2", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
            ("--network ada.pkl --rows 1 --cols 2 --outdir words.pt", "--outdir words.pt: cannot make the folder: ..."),
        ],
    );
}

#[test]
fn wrong_input_of_truncation_is_named() {
    let desk = desk();
    desk.assert_refused(
        "truncation",
        &[
            ("--network ada.pkl --seeds 1 --psi 0,0.5,0", "--psi: 0 is there twice"),
            ("--network ada.pkl --seeds 1 --psi 0:1", "invalid value '0:1' for '--psi <LIST>': expected FROM:TO:COUNT with 2 to 1000 steps, such as -3:3:7, or up to 1000 numbers, such as -2,0,2"),
            ("--network ada.pkl --seeds 1 --trunc-cutoff 7", "--trunc-cutoff 7: the network has 6 layers; choose at most that many"),
            ("--network ada.pkl --seeds 1 --trunc 0.5", "unexpected argument '--trunc' found"),
            ("--network progan_tf.pkl --seeds 1", "the network keeps no average to truncate to, as ProGAN doesn't; give a StyleGAN or a StyleGAN2"),
            ("--network no-such-run --seeds 1", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl", "the following required arguments were not provided:\n  --seeds <LIST>"),
            ("--network ada.pkl --seeds 0-99999 --psi -1:1:1000", "--psi: grid: expected at most 1 GiB of pixels, found 1000x100000 pictures of 16x16 with 3 channels; ask for fewer columns or rows"),
            ("--network ada.pkl --latents absent.npz", "absent.npz: no such file"),
            ("--network ada_cond.pkl --seeds 1", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
        ],
    );
}

#[test]
fn wrong_input_of_latent_grid_is_named() {
    let desk = desk();
    desk.assert_refused(
        "latent-grid",
        &[
            ("--network ada.pkl --seeds 1,2", "expected 4 pictures for the corners, 3 for the middle and two that it changes towards, or 1 with --directions, found 2"),
            ("--network ada.pkl --seeds 1-3 --space z", "--space z: is for four corners, but there are 3 pictures; leave the option out"),
            ("--network ada.pkl --seeds 1-4 --space z --x 0:1.5", "--x 0:1.5: with --space z must be from 0 to 1"),
            ("--network ada.pkl --seeds 1-4 --x 1", "invalid value '1' for '--x <FROM:TO>': expected FROM:TO, such as -1:1"),
            ("--network ada.pkl --seeds 1-4 --grid 0x3", "invalid value '0x3' for '--grid <CxR>': expected COLUMNSxROWS, each from 1 to 1000, such as 8x4"),
            ("--network no-such-run --seeds 1-4", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --seeds 1-2 --directions sefa.safetensors", "--directions: expected 1 picture to change, found 2"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --space w", "the argument '--directions <FILE>' cannot be used with '--space <SPACE>'"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --only sefa0", "--only: expected two directions, the one to the right and the one down, found 1"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --only sefa0,sefa1,sefa0", "--only: expected two directions, the one to the right and the one down, found 3"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --only sefa0,smile", "--only smile: there is no direction smile; there are sefa0, sefa1"),
            ("--network ada.pkl --seeds 1 --directions one.safetensors", "--directions one.safetensors: expected two directions or more, found score; edit boundary --append adds to the file"),
            ("--network ada.pkl --seeds 1 --directions absent.safetensors", "--directions absent.safetensors: no such file of directions; check the path"),
            ("--network ada.pkl --seeds 1 --directions ada.pkl", "--directions ada.pkl: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"),
            ("--network ada.pkl --seeds 1 --directions words.pt", "--directions words.pt: not a file of directions; expected one that `edit factorize`, `edit pca` or `edit boundary` wrote"),
            ("--network stylegan1_tf.pkl --seeds 1 --directions sefa.safetensors", "--directions sefa.safetensors: the directions are those of a StyleGAN2 with 6 w of 16 numbers, but the network is a StyleGAN with 6 w of 16 numbers; find directions of this network"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --layers fine", "--layers fine: begins at 64x64, but the pictures of the network are 16x16; choose coarse or middle, or layers: 0 (4x4), 1-2 (8x8), 3-5 (16x16)"),
            ("--network ada.pkl --seeds 1-4 --only sefa0,sefa1", "the following required arguments were not provided:\n  --directions <FILE>"),
            ("--network ada.pkl --seeds 1-4 --unit length", "the following required arguments were not provided:\n  --directions <FILE>"),
            ("--network ada.pkl --seeds 1-4 --layers coarse", "the following required arguments were not provided:\n  --directions <FILE>"),
            ("--network ada.pkl --seeds 1 --directions sefa.safetensors --x=nan:1", "invalid value 'nan:1' for '--x <FROM:TO>': expected FROM:TO, such as -1:1"),
            ("--network ada.pkl --latents four_w.npz --space z", "--space z: the w of files have no z; leave the option out"),
            ("--network ada.pkl", "the following required arguments were not provided:\n  --seeds <LIST>"),
            ("--network ada.pkl --latents absent.npz", "absent.npz: no such file"),
            ("--network ada_cond.pkl --seeds 1-4", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
        ],
    );
}

#[test]
fn noise_maps_that_are_not_those_of_the_network_are_named() {
    let desk = Desk::new(&["checkpoints/ada.pkl"]);
    let (four, eight, sixteen) = (&[4, 4][..], &[8, 8][..], &[16, 16][..]);
    let whole = [
        ("noise.b16.conv0", sixteen),
        ("noise.b16.conv1", sixteen),
        ("noise.b4.conv1", four),
        ("noise.b8.conv0", eight),
        ("noise.b8.conv1", eight),
        ("w", &[1, 6, 16]),
    ];
    let [.., last, w] = whole;
    desk.write_arrays("whole.npz", &whole);
    desk.write_arrays("fewer.npz", &[&whole[..4], &[w]].concat());
    desk.write_arrays(
        "more.npz",
        &[&whole[..], &[("noise.b32.conv0", sixteen)]].concat(),
    );
    desk.write_arrays("small.npz", &[&whole[..4], &[(last.0, four), w]].concat());
    desk.write_arrays("alone.npz", &whole[..5]);
    desk.run("generate --network ada.pkl --latents whole.npz --outdir out");
    desk.run("generate --network ada.pkl --latents small.npz --noise-mode const --outdir out");
    desk.assert_refused(
        "generate --network ada.pkl --latents",
        &[
            ("fewer.npz", "fewer.npz: expected a noise map for every layer, found none called noise.b8.conv1; add --noise-mode const to do without the maps of the file"),
            ("more.npz", "more.npz: noise.b32.conv0: the network has no such layer with noise; add --noise-mode const to do without the maps of the file"),
            ("small.npz", "small.npz: noise.b8.conv1: expected [8, 8], found [4, 4]; add --noise-mode const to do without the maps of the file"),
            ("alone.npz", "alone.npz: expected one array of latents, named z, w or ws, found only noise maps"),
        ],
    );
}
