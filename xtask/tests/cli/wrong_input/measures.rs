//! What `metrics` says of networks and pictures, and `plot`.

use super::Desk;

fn desk() -> Desk {
    let desk = Desk::new(&[
        "checkpoints/ada.pkl",
        "checkpoints/ada_cond.pkl",
        "stylegan1/pkl/progan_tf.pkl",
    ]);
    desk.run("generate --network ada.pkl --seeds 0-19 --outdir pictures");
    for (run, stats) in [
        ("unstarted", ""),
        ("broken", "nonsense\n"),
        ("begun", "{\"kimg\": 1.0}\n"),
    ] {
        desk.make_folder(run);
        desk.write(&format!("{run}/stats.jsonl"), stats.as_bytes());
    }
    desk.write("maps.json", b"{}");
    let layerless = r#"{"network": "", "seeds": [0, 1], "noise_mode": "const", "layers": []}"#;
    desk.write("layerless.json", layerless.as_bytes());
    desk
}

#[test]
fn wrong_input_of_metrics_swd_is_named() {
    let desk = desk();
    desk.assert_refused(
        "metrics swd",
        &[
            ("", "the following required arguments were not provided:\n  --fakes <DIR|ZIP>"),
            ("--reals folder --fakes folder", "folder: no pictures found; expected files ending in .png, .jpg, .jpeg or .webp; there are no files at all"),
            ("--reals absent --fakes pictures", "absent: no such file or folder; expected a folder or a zip of pictures"),
            ("--reals pictures --fakes absent.zip", "absent.zip: no such file or folder; expected a folder or a zip of pictures"),
            ("--reals words.pt --fakes pictures", "words.pt: neither a folder nor a readable zip archive (invalid Zip archive: Could not find EOCD); expected a folder or a zip of PNG, JPEG or WebP pictures"),
            ("--reals pictures --fakes pictures --network ada.pkl", "the argument '--fakes <DIR|ZIP>' cannot be used with '--network <FILE|RUN|URL>'"),
            ("--reals pictures --fakes pictures --count 0", "--count 0: must be at least 1"),
            ("--reals pictures --fakes pictures --count 21", "--count 21: there are only 20 pictures to compare; use --count 20 or less"),
            ("--reals pictures --fakes pictures --resolution 12", "--resolution 12: expected a power of two from 4 to 1024; the nearest are 8 and 16"),
            ("--reals pictures --fakes pictures --resolution 4", "pictures of 4x4: the metrics need a power of two from 8 to 1024; resize them (--resolution)"),
            ("--reals pictures --network no-such-run", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--reals pictures --network ada.pkl --resolution 32", "--resolution 32: the network makes pictures of 16x16; leave the option out"),
            ("--reals pictures --network ada_cond.pkl", "pictures: dataset.json: not found, but labels are needed (--cond, or a network that was trained with labels); add it as {\"labels\": [[\"FILE\", CLASS], ...]}"),
        ],
    );
}

#[test]
fn wrong_input_of_metrics_feature_maps_is_named() {
    let desk = desk();
    desk.assert_refused(
        "metrics feature-maps",
        &[
            ("", "the following required arguments were not provided:\n  --network <FILE|RUN|URL>"),
            ("--network no-such-run", "no-such-run: no such file or folder; give a network (.safetensors, .pkl or .pt), a run folder or an https:// address"),
            ("--network ada.pkl --seeds 1", "--seeds: a single picture has nothing to be compared with; give two seeds or more"),
            ("--network progan_tf.pkl", "progan_tf.pkl: the network has no styles; give a StyleGAN or a StyleGAN2"),
            ("--network ada.pkl --out missing/a.json", "--out missing/a.json: there is no folder missing; make it first"),
            ("--network ada.pkl --maps folder", "--maps folder: is a folder; give the name of a file"),
            ("--network ada.pkl --maps maps.svg", "--maps maps.svg: must end in .png"),
            ("--network ada.pkl --noise-mode random", "invalid value 'random' for '--noise-mode <MODE>'\n  [possible values: const, none]"),
            ("--network ada_cond.pkl", "the network was trained with 4 classes: choose one with --class 0 to --class 3"),
        ],
    );
}

#[test]
fn wrong_input_of_plot_is_named() {
    let desk = desk();
    desk.assert_refused(
        "plot",
        &[
            ("", "the following required arguments were not provided:\n  <RUN>..."),
            ("no-such-run", "no-such-run: is not a run folder"),
            ("folder", "folder/stats.jsonl: can't be read; is it a run folder?: ..."),
            ("unstarted", "unstarted/stats.jsonl: has no progress yet; wait for the first tick of the training"),
            ("broken", "broken/stats.jsonl: line 1: is not a tick of a training: expected ident at line 1 column 2"),
            ("folder folder folder folder folder folder folder", "7 runs are too many to tell apart; give 6 at most"),
            ("maps.json", "maps.json: is not a run folder; draw files of metrics feature-maps with `cargo xtask plot feature-maps`"),
            ("begun --out missing/curves.svg", "--out missing/curves.svg: there is no folder missing; make it first"),
            ("begun --out folder", "--out folder: is a folder; give the name of a file"),
        ],
    );
}

#[test]
fn wrong_input_of_plot_feature_maps_is_named() {
    let desk = desk();
    desk.assert_refused(
        "plot feature-maps",
        &[
            ("", "the following required arguments were not provided:\n  <FILE.json>..."),
            ("absent.json", "absent.json: can't be read: ..."),
            ("maps.json", "maps.json: is not a file of metrics feature-maps --out: missing field `network` at line 1 column 2"),
            ("layerless.json", "layerless.json: has no layers"),
            ("maps.json maps.json maps.json maps.json", "4 networks are too many to tell apart; give 3 at most"),
            ("folder", "folder: can't be read: ..."),
            ("maps.json --out missing/maps.svg", "--out missing/maps.svg: there is no folder missing; make it first"),
        ],
    );
}
