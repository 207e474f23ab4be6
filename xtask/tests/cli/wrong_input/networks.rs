//! `inspect`, `convert` and `blend`.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&[
        "checkpoints/ada.pkl",
        "checkpoints/ada_cond.pkl",
        "checkpoints/rosinality_converted.pt",
        "stylegan1/pkl/progan_tf.pkl",
        "stylegan1/pkl/stylegan1_tf.pkl",
    ]);
    desk.write("number.pkl", b"\x80\x03K\x01.");
    let call = b"\x80\x03cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
    desk.write("call.pkl", call);
    desk.run("convert ada.pkl d.safetensors --only d");
    desk.run("convert ada.pkl other.safetensors");
    desk.write_half("cut.pkl", "ada.pkl");
    desk.write_half("cut.pt", "rosinality_converted.pt");
    desk.write_half("cut.safetensors", "other.safetensors");
    desk.make_folder("folder.safetensors");
    desk.write_arrays("latents.npz", &[("w", &[1, 6, 16])]);
    desk.write_directions();
    desk
}

#[test]
fn wrong_input_of_inspect_is_named() {
    let desk = desk();
    desk.assert_refused(
        "inspect",
        &[
            ("", "the following required arguments were not provided:\n  <FILE|RUN|URL>"),
            ("no-such-file.pkl", "no-such-file.pkl: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("empty.pkl", "empty.pkl: expected a network, found an empty file"),
            ("words.pt", "words.pt: expected a pickle, a PyTorch file or a safetensors file, found none of them"),
            ("number.pkl", "number.pkl: byte 0: expected a dictionary, found 1"),
            ("call.pkl", "call.pkl: expected a ProGAN, StyleGAN or StyleGAN2 network, found an object of os.system"),
            ("cut.pkl", "cut.pkl: byte 147313: expected 75388 bytes of a frame, found 10599 to the end of the file"),
            ("cut.pt", "cut.pt: not a whole zip archive (invalid Zip archive: Could not find EOCD)"),
            ("cut.safetensors", "cut.safetensors: not a whole safetensors file (incomplete metadata, file not fully covered)"),
            ("folder", "folder: has no network-snapshot-*.safetensors: is it a run folder?"),
            ("http://example.org/ada.pkl", "http://example.org/ada.pkl: expected an https:// address: what http:// sends can be changed on its way"),
            ("latents.npz", "latents.npz: expected a PyTorch file with an entry data.pkl, found a zip archive with w.npy only"),
            ("sefa.safetensors", "sefa.safetensors: expected a ProGAN, StyleGAN or StyleGAN2 network, found a file of stylegan-rs with directions"),
            ("ada.pkl cut.pkl", "unexpected argument 'cut.pkl' found"),
            ("ada.pkl --json=yes", "unexpected value 'yes' for '--json' found; no more were expected"),
        ],
    );
}

#[test]
fn wrong_input_of_convert_is_named() {
    let desk = desk();
    desk.assert_refused(
        "convert",
        &[
            ("ada.pkl", "the following required arguments were not provided:\n  <OUT>"),
            ("no-such-file.pkl out.pt", "no-such-file.pkl: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("empty.pkl out.pt", "empty.pkl: expected a network, found an empty file"),
            ("words.pt out.safetensors", "words.pt: expected a pickle, a PyTorch file or a safetensors file, found none of them"),
            ("cut.pkl out.safetensors", "cut.pkl: byte 147313: expected 75388 bytes of a frame, found 10599 to the end of the file"),
            ("cut.pt out.safetensors", "cut.pt: not a whole zip archive (invalid Zip archive: Could not find EOCD)"),
            ("cut.safetensors out.pt", "cut.safetensors: not a whole safetensors file (incomplete metadata, file not fully covered)"),
            ("folder out.pt", "folder: has no network-snapshot-*.safetensors: is it a run folder?"),
            ("ada.pkl out.onnx", "out.onnx: expected a name that ends in .safetensors or .pt; for another name, add --format safetensors or --format rosinality"),
            ("ada.pkl out", "out: expected a name that ends in .safetensors or .pt; for another name, add --format safetensors or --format rosinality"),
            ("ada.pkl out.bin --format onnx", "invalid value 'onnx' for '--format <FORMAT>'\n  [possible values: safetensors, rosinality]"),
            ("ada.pkl d.safetensors", "d.safetensors: exists already; choose another name, or add --force to replace it"),
            ("ada.pkl folder --format safetensors", "folder: is a folder; give the name of a file"),
            ("ada.pkl nowhere/out.safetensors", "nowhere/out.safetensors: there is no folder nowhere; make it first"),
            ("ada.pkl out.pt", "d can't be written as a rosinality state dictionary: expected groups of 4 and 1 feature in the minibatch standard deviation, found groups of 2 and 1; leave it out with --only g_ema,g"),
            ("ada_cond.pkl out.pt", "g_ema can't be written as a rosinality state dictionary: expected no labels, found 4 classes; a .safetensors file has a place for it"),
            ("progan_tf.pkl out.pt", "g_ema can't be written as a rosinality state dictionary: expected a StyleGAN2 generator, found one of the first generation; a .safetensors file has a place for it"),
            ("stylegan1_tf.pkl out.pt --only d", "d can't be written as a rosinality state dictionary: expected a StyleGAN2 discriminator, found one of the first generation; a .safetensors file has a place for it"),
            ("d.safetensors out.pt --only g_ema", "--only g_ema: there is no such network in the file; it has d"),
            ("ada.pkl out.pt --only g_emma", "invalid value 'g_emma' for '--only <LIST>'\n  [possible values: g_ema, g, d]"),
            ("d.safetensors d.safetensors --force --only g", "--only g: there is no such network in the file; it has d"),
        ],
    );
}

#[test]
fn wrong_input_of_blend_is_named() {
    let desk = desk();
    desk.assert_refused(
        "blend",
        &[
            ("ada.pkl new.safetensors --at 16", "the following required arguments were not provided:\n  <OUT>"),
            ("no-such-run other.safetensors new.safetensors --at 16", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("ada.pkl no-such-run new.safetensors --at 16", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("ada.pkl empty.pkl new.safetensors --at 16", "empty.pkl: expected a network, found an empty file"),
            ("ada.pkl d.safetensors new.safetensors --at 16", "d.safetensors: expected a generator, found only a discriminator"),
            ("ada.pkl other.safetensors new.safetensors --at 12", "--at 12: expected a resolution at which the second network begins, a power of two from 8 to 16"),
            ("ada.pkl other.safetensors new.safetensors --at 4", "--at 4: expected a resolution at which the second network begins, a power of two from 8 to 16"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --smooth=-1", "--smooth: expected 0 or more layers, found -1"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --smooth nan", "--smooth: expected 0 or more layers, found NaN"),
            ("ada.pkl other.safetensors blend.bin --at 16", "blend.bin: expected a name that ends in .safetensors or .pt"),
            ("ada.pkl other.safetensors d.safetensors --at 16", "d.safetensors: exists already; choose another name, or add --force to replace it"),
            ("ada.pkl other.safetensors folder.safetensors --at 16", "folder.safetensors: is a folder; give the name of a file"),
            ("ada.pkl other.safetensors missing/new.safetensors --at 16", "missing/new.safetensors: there is no folder missing; make it first"),
            ("ada.pkl stylegan1_tf.pkl new.safetensors --at 16", "the networks can't be blended, since they differ in family (StyleGAN2 and StyleGAN)"),
            ("progan_tf.pkl progan_tf.pkl new.pt --at 8", "g_ema can't be written as a rosinality state dictionary: expected a StyleGAN2 generator, found one of the first generation; a .safetensors file has a place for it"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --preview blend.bmp", "--preview blend.bmp: expected a name that ends in .png, .webp or .jpg"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --preview missing/blend.png", "--preview missing/blend.png: there is no folder missing; make it first"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --seeds 1", "the following required arguments were not provided:\n  --preview <FILE>"),
            ("ada.pkl other.safetensors new.safetensors --at 16 --preview blend.png --class 1", "--class 1: the network was trained without labels; leave the option out"),
            ("ada_cond.pkl ada_cond.pkl new.safetensors --at 16 --preview blend.png", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
            ("", "the following required arguments were not provided:\n  --at <PIXELS>\n  <LOW>\n  <HIGH>\n  <OUT>"),
            ("ada.pkl other.safetensors new.safetensors", "the following required arguments were not provided:\n  --at <PIXELS>"),
        ],
    );
}
