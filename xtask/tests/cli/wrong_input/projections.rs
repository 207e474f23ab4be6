//! `project`.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&[
        "checkpoints/ada.pkl",
        "checkpoints/ada_cond.pkl",
        "stylegan1/pkl/progan_tf.pkl",
    ]);
    desk.run("convert ada.pkl d.safetensors --only d");
    desk.run("convert ada.pkl alone.safetensors --only g_ema");
    desk.write_half("cut.pkl", "ada.pkl");
    desk.run("generate --network ada.pkl --seeds 0 --outdir pictures");
    desk.write("damaged.png", &desk.read("pictures/seed0000.png")[..100]);
    desk
}

#[test]
fn wrong_input_of_project_is_named() {
    let desk = desk();
    desk.assert_refused(
        "project",
        &[
            ("--network ada.pkl", "the following required arguments were not provided:\n  --target <FILE>..."),
            ("--network no-such-run --target pictures/seed0000.png", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --target none.png", "--target: none.png: can't be read: ..."),
            ("--network ada.pkl --target words.pt", "--target: words.pt: damaged or unsupported picture: The image format could not be determined; replace or remove it"),
            ("--network ada.pkl --target folder", "--target: folder: can't be read: ..."),
            ("--network ada.pkl --target pictures/seed0000.png --format bmp", "invalid value 'bmp' for '--format <FORMAT>'\n  [possible values: png, webp, jpeg]"),
            ("--network ada.pkl --target pictures/seed0000.png --fps 0", "out/proj.mp4: expected 1 to 240 frames per second, found 0"),
            ("--network ada.pkl --target pictures/seed0000.png --outdir words.pt", "--outdir words.pt: cannot make the folder: ..."),
            ("--network d.safetensors --target pictures/seed0000.png", "d.safetensors: expected a generator, found only a discriminator"),
            ("--network cut.pkl --target pictures/seed0000.png", "cut.pkl: byte 147313: expected 75388 bytes of a frame, found 10599 to the end of the file"),
            ("--network ada.pkl --target pictures/seed0000.png --num-steps 0", "--num-steps 0: must be at least 1"),
            ("--network ada.pkl --target pictures/seed0000.png --num-steps=-5", "invalid value '-5' for '--num-steps <N>': expected a whole number, 0 or more"),
            ("--network ada.pkl --target pictures/seed0000.png --lr 0", "--lr 0: must be a positive number"),
            ("--network ada.pkl --target pictures/seed0000.png --lr -0.1", "--lr -0.1: must be a positive number"),
            ("--network ada.pkl --target pictures/seed0000.png --lr nan", "--lr NaN: must be a positive number"),
            ("--network ada.pkl --target pictures/seed0000.png --w-noise -1", "--w-noise -1: must be at least 0"),
            ("--network ada.pkl --target pictures/seed0000.png --noise-weight -1", "--noise-weight -1: must be at least 0"),
            ("--network ada.pkl --target pictures/seed0000.png --noise-weight 5 --noise-mode const", "--noise-weight 5: is for noise maps that are optimised; leave it or --noise-mode out"),
            ("--network ada.pkl --target pictures/seed0000.png --noise-mode random", "invalid value 'random' for '--noise-mode <MODE>'\n  [possible values: optimize, const, none]"),
            ("--network ada.pkl --target pictures/seed0000.png --space z", "invalid value 'z' for '--space <SPACE>'\n  [possible values: w, w+]"),
            ("--network ada.pkl --target pictures/seed0000.png --distance vgg", "invalid value 'vgg' for '--distance <KIND>'\n  [possible values: lpips, features, pixels]"),
            ("--network ada.pkl --target pictures/seed0000.png --distance lpips", "--distance lpips: needs the weights of VGG16; give them with --lpips FILE (docs/projection.md says how to make the file)"),
            ("--network ada.pkl --target pictures/seed0000.png --distance pixels --lpips vgg16.safetensors", "--lpips vgg16.safetensors: --distance pixels has no use for it; leave one of the two out"),
            ("--network ada.pkl --target pictures/seed0000.png --class 2", "--class 2: the network was trained without labels; leave the option out"),
            ("--network ada.pkl --target pictures/seed0000.png --save-video maybe", "invalid value 'maybe' for '--save-video [<BOOL>]': expected true or false"),
            ("--network ada.pkl --target pictures/seed0000.png --lpips absent.safetensors", "--lpips: absent.safetensors: the file can't be read: ..."),
            ("--network ada.pkl --target pictures/seed0000.png --lpips words.pt", "--lpips: words.pt: expected a pickle, a PyTorch file or a safetensors file, found none of them"),
            ("--network ada.pkl --target pictures/seed0000.png --seed=-1", "invalid value '-1' for '--seed <N>': expected a whole number, 0 or more"),
            ("--network ada.pkl --target pictures/seed0000.png --quality 0", "out/proj.mp4: expected a quality from 1 to 100, found 0"),
            ("--network ada_cond.pkl --target pictures/seed0000.png", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
            ("--network alone.safetensors --target pictures/seed0000.png --distance features", "--distance features: there is no discriminator in the file; use --distance pixels, or lpips"),
            ("--network progan_tf.pkl --target pictures/seed0000.png --space w+", "--space w+: the network has one w for all layers; leave the option out"),
            ("--network progan_tf.pkl --target pictures/seed0000.png --noise-mode optimize", "--noise-mode optimize: the layers of the network have no noise; leave the option out"),
            ("--network progan_tf.pkl --target pictures/seed0000.png --noise-weight 7", "--noise-weight 7: the layers of the network have no noise; leave the option out"),
            ("--network ada.pkl --target damaged.png", "--target: damaged.png: damaged or unsupported picture: unexpected end of file; replace or remove it"),
            ("--network ada.pkl --target pictures/seed0000.png other/seed0000.jpg", "--target: the results of pictures/seed0000.png and other/seed0000.jpg would both be in out/seed0000; rename one of them"),
            ("--network empty.pkl --target pictures/seed0000.png", "empty.pkl: expected a network, found an empty file"),
        ],
    );
}
