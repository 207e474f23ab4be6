//! `train`.

use super::Desk;

/// Data of every kind that can't be trained on.
fn desk() -> Desk {
    let desk = Desk::new(&["checkpoints/ada.pkl"]);
    desk.run("generate --network ada.pkl --seeds 0-19 --outdir pictures");
    desk.run("convert ada.pkl d.safetensors --only d");
    desk.write_half("cut.pkl", "ada.pkl");
    let picture = desk.read("pictures/seed0000.png");
    desk.make_folder("damaged");
    desk.write("damaged/a.png", &picture[..100]);
    desk.make_folder("mixed");
    desk.write("mixed/a.png", &picture);
    desk.run("metrics feature-maps --network ada.pkl --seeds 0,1 --maps mixed/b.png");
    desk.make_folder("odd");
    desk.write("odd/b.png", &desk.read("mixed/b.png"));
    desk
}

#[test]
fn wrong_input_of_train_is_named() {
    let desk = desk();
    desk.assert_refused(
        "train",
        &[
            ("--resolution 100 --dry-run", "--resolution 100: must be a power of two from 4 to 1024; the nearest is 64 or 128"),
            ("--batch 0 --dry-run", "--batch 0: must be from 1 to 65536"),
            ("--data absent --dry-run", "absent: no such file or folder; expected a folder or a zip of pictures"),
            ("--data words.pt --dry-run", "words.pt: neither a folder nor a readable zip archive (invalid Zip archive: Could not find EOCD); expected a folder or a zip of PNG, JPEG or WebP pictures"),
            ("--data folder --dry-run", "folder: no pictures found; expected files ending in .png, .jpg, .jpeg or .webp; there are no files at all"),
            ("--data pictures --subset 0 --dry-run", "--subset 0: must be at least 1"),
            ("--data pictures --subset 30 --dry-run", "--subset 30: must be from 1 to 20, the number of pictures in pictures"),
            ("--data pictures --cond --dry-run", "pictures: dataset.json: not found, but labels are needed (--cond, or a network that was trained with labels); add it as {\"labels\": [[\"FILE\", CLASS], ...]}"),
            ("--data mixed --dry-run", "mixed: b.png: all pictures must have the same size: expected 16x16 like a.png, found 594x198; give a resolution (--resolution) to resize them all"),
            ("--lod-training-kimg 60 --dry-run", "--lod-training-kimg 60: the networks of --cfg auto don't grow; leave the option out, or choose a --cfg whose networks do: stylegan1, progan, stylegan1-a, stylegan1-b, stylegan1-c, stylegan1-d, stylegan1-e, stylegan1-f"),
            ("--batch-gpu 3 --batch 16 --dry-run", "--batch 16: isn't a multiple of --batch-gpu 3; use --batch-gpu 2"),
            ("--resolution 1k --dry-run", "invalid value '1k' for '--resolution <PIXELS>': expected a whole number, 0 or more"),
            ("--gamma much --dry-run", "invalid value 'much' for '--gamma <GAMMA>': expected a number, such as 0.5"),
            ("--cfg stylegan9 --dry-run", "invalid value 'stylegan9' for '--cfg <CFG>'\n  [possible values: auto, stylegan2, paper256, paper512, paper1024, cifar, stylegan1, progan, stylegan1-a, stylegan1-b, stylegan1-c, stylegan1-d, stylegan1-e, stylegan1-f]"),
            ("--loss square --dry-run", "invalid value 'square' for '--loss <LOSS>'\n  [possible values: logistic, wgan-gp, hinge]"),
            ("--kimg 0 --dry-run", "--kimg 0: must be at least 0.001 (thousands of pictures)"),
            ("--kimg=-1 --dry-run", "--kimg -1: must be at least 0.001 (thousands of pictures)"),
            ("--tick 0 --dry-run", "--tick 0: must be at least 0.001 (thousands of pictures)"),
            ("--snap 0 --dry-run", "--snap 0: must be at least 1 (ticks)"),
            ("--seed=-1 --dry-run", "invalid value '-1' for '--seed <SEED>': expected a whole number, 0 or more"),
            ("--lr 0 --dry-run", "--lr 0: must be more than 0"),
            ("--gamma=-1 --dry-run", "--gamma -1: must be 0 (off) or more"),
            ("--pl-weight=-1 --dry-run", "--pl-weight -1: must be 0 (off) or more"),
            ("--mixing-prob 2 --dry-run", "--mixing-prob 2: must be from 0 to 1"),
            ("--ema-kimg=-1 --dry-run", "--ema-kimg -1: must be 0 or more (thousands of pictures)"),
            ("--channel-base 0 --dry-run", "--channel-base 0: must be from 1 to 65536"),
            ("--channel-max 0 --dry-run", "--channel-max 0: must be from 1 to 65536"),
            ("--z-dim 0 --dry-run", "--z-dim 0: must be from 1 to 65536"),
            ("--w-dim 0 --dry-run", "--w-dim 0: must be from 1 to 65536"),
            ("--mapping-layers 9 --dry-run", "--mapping-layers 9: must be from 1 to 8"),
            ("--resume no-such-run --dry-run", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--resume folder --dry-run", "folder: has no network-snapshot-*.safetensors: is it a run folder?"),
            ("--resume words.pt --dry-run", "words.pt: expected a pickle, a PyTorch file or a safetensors file, found none of them"),
            ("--resume cut.pkl --dry-run", "cut.pkl: byte 147313: expected 75388 bytes of a frame, found 10599 to the end of the file"),
            ("--resume d.safetensors --dry-run", "d.safetensors: expected a generator and a discriminator to train, found no generator"),
            ("--device tpu --dry-run", "invalid value 'tpu' for '--device <DEVICE>': expected cpu, cuda, cuda:N or metal"),
            ("--batch-gpu 18446744073709551615 --dry-run", "--batch-gpu 18446744073709551615: must be from 1 to 65536"),
            ("--batch 16 --batch-gpu 6 --dry-run", "--batch 16: isn't a multiple of --batch-gpu 6; use --batch-gpu 4"),
            ("--batch 6 --dry-run", "--batch 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch 4 or --batch 8"),
            ("--cfg stylegan1 --lod-initial-resolution 10 --dry-run", "--lod-initial-resolution 10: must be a power of two from 4 to 1024; the nearest is 8 or 16"),
            ("--cfg stylegan1 --lod-transition-kimg=-1 --dry-run", "--lod-transition-kimg -1: must be 0 or more (thousands of pictures)"),
            ("--cfg stylegan1 --lod-initial-resolution 32 --resolution 16 --dry-run", "--lod-initial-resolution 32: is more than the 16 pixels of the pictures"),
            ("--cfg progan --w-dim 64 --dry-run", "--w-dim 64: --cfg progan has no mapping network: its w is the normalised z, with the label beside it; leave the option out, or choose the width with --z-dim"),
            ("--cfg progan --mapping-layers 4 --dry-run", "--mapping-layers 4: --cfg progan has no mapping network: its w is the normalised z, with the label beside it; leave the option out, or choose the width with --z-dim"),
            ("--cfg progan --mixing-prob 0.9 --dry-run", "--mixing-prob 0.9: the generator of --cfg progan has no styles to mix; leave the option out"),
            ("--cfg progan --gamma 10 --dry-run", "--gamma 10: R1 isn't part of --loss wgan-gp, which has a gradient penalty of its own; leave the option out"),
            ("--data odd --dry-run", "odd: b.png: pictures must be square, this one is 594x198; give a resolution (--resolution) to crop to the centre and resize"),
            ("--data damaged --dry-run", "damaged: a.png: damaged or unsupported picture: unexpected end of file; replace or remove it"),
            ("--outdir words.pt --kimg 0.008 --resolution 8", "cannot create the folder words.pt: ..."),
            ("--data pictures --mirror=yes --dry-run", "unexpected value 'yes' for '--mirror' found; no more were expected"),
        ],
    );
}
