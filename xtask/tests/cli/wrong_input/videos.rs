//! `interpolate`.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&["checkpoints/ada.pkl", "checkpoints/ada_cond.pkl"]);
    desk.write_arrays("two_w.npz", &[("w", &[2, 6, 16])]);
    desk
}

#[test]
fn wrong_input_of_interpolate_is_named() {
    let desk = desk();
    desk.assert_refused(
        "interpolate",
        &[
            ("--network ada.pkl --seeds 1", "expected at least 2 pictures to lead from one to another, found 1"),
            ("--network no-such-run --seeds 1,2 --out frames", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --seeds 1,2 --interpolation curved", "invalid value 'curved' for '--interpolation <WAY>'\n  [possible values: linear, cubic]"),
            ("--network ada.pkl --seeds 1,2 --out words.pt", "words.pt: expected a name that ends in .mp4, .webp or .gif, or of a folder for frames"),
            ("--network ada.pkl --seeds 1,2 --trunc-cutoff 2", "--trunc-cutoff 2: this network's pictures are not truncated; add --trunc"),
            ("--network ada_cond.pkl --seeds 1,2 --class 0 --classes 0,1", "the argument '--class <N>' cannot be used with '--classes <LIST>'"),
            ("--network ada.pkl --seeds 1-6 --grid 2x2", "--grid 2x2: expected as many pictures for each of 4 walks, 2 or more, found 6 for all"),
            ("--network ada.pkl --seeds 1,2 --frames 0", "--frames 0: must be from 1 to 100000"),
            ("--network ada.pkl --seeds 1,2 --out walk.avi", "walk.avi: expected a name that ends in .mp4, .webp or .gif, or of a folder for frames"),
            ("--network ada.pkl --seeds 1,2 --out no/walk.mp4", "no/walk.mp4: there is no folder no; make it first"),
            ("--network ada.pkl --seeds 1,2 --fps 60 --out walk.gif", "walk.gif: browsers show a GIF with at most 50 frames per second, found 60; use fewer, or .mp4 or .webp"),
            ("--network ada.pkl --seeds 1,2 --fps 0", "walk.mp4: expected 1 to 240 frames per second, found 0"),
            ("--network ada.pkl --seeds 1,2 --quality 101", "walk.mp4: expected a quality from 1 to 100, found 101"),
            ("--network ada.pkl --seeds 1,2 --scale 0", "walk.mp4: expected a scale from 1 to 64, found 0"),
            ("--network ada.pkl --seeds 1,2 --classes 0,1", "--classes 0: the network was trained without labels; leave the option out"),
            ("--network ada.pkl --seeds 1,2 --classes 0", "--classes: expected one for each of 2 pictures, found 1"),
            ("--network ada.pkl --latents two_w.npz --space z", "--space z: the w of files have no z; leave the option out"),
            ("--network ada.pkl --latents two_w.npz --trunc-cutoff 2 --trunc 0.5", "--trunc 0.5: is for seeds and z, but the w of files are used as they are; leave the option out"),
            ("--network ada.pkl --seeds 1,2 --scale 64 --grid 1000x1", "--grid 1000x1: expected as many pictures for each of 1000 walks, 2 or more, found 2 for all"),
            ("--network ada_cond.pkl --seeds 1,2 --classes 0,4", "--classes 4: the network has 4 classes; choose one from 0 to 3"),
            ("--network ada_cond.pkl --seeds 1,2", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
            ("--network ada.pkl", "the following required arguments were not provided:\n  --seeds <LIST>"),
            ("--network ada.pkl --latents absent.npz", "absent.npz: no such file"),
        ],
    );
}
