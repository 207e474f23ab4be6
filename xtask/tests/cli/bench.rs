//! `bench` and `profile`, on networks so small that they end at once. No time is asserted.

use serde_json::Value;

use crate::common::{Run, lines, text, xtask};

const TINY: &str = "--resolution 8 --channel-base 64 --channel-max 8 --z-dim 8 --w-dim 8 --batch 4";

const PHASES: [&str; 6] = ["Gmain", "Greg", "Dmain", "Dreg", "optimizer", "EMA"];

/// A command on tiny networks.
fn tiny<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let network: Vec<&str> = TINY.split(' ').collect();
    [command, &network, more].concat()
}

fn stdout(run: &Run) -> String {
    assert!(run.status.success(), "{:#?}", lines(run));
    String::from_utf8(run.stdout.clone()).unwrap()
}

/// The lines of JSON that a command prints.
fn json(run: &Run) -> Vec<Value> {
    let text = stdout(run);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn positive(value: &Value, field: &str) -> f64 {
    let number = value[field].as_f64();
    let number = number.unwrap_or_else(|| panic!("{field}: no number in {value}"));
    assert!(number.is_finite() && number > 0.0, "{field}: {number}");
    number
}

#[test]
fn generate_prints_one_line_with_all_numbers() {
    let run = xtask(&tiny(
        &["bench", "generate"],
        &["--runs", "3", "--threads", "2", "--json"],
    ));
    let [line] = &json(&run)[..] else {
        panic!("expected one line: {}", stdout(&run));
    };
    let seconds = ["min_seconds", "median_seconds", "max_seconds"].map(|f| positive(line, f));
    assert!(seconds.is_sorted(), "{seconds:?}");
    assert!((positive(line, "images_per_second") * seconds[1] - 4.0).abs() < 1e-6);
    positive(line, "gflops");
    if cfg!(target_os = "linux") {
        positive(line, "peak_memory_bytes");
    }
    let setting = [
        "resolution",
        "channel_base",
        "channel_max",
        "batch",
        "threads",
        "runs",
    ];
    let setting = setting.map(|field| line[field].as_u64().unwrap());
    assert_eq!(setting, [8, 64, 8, 4, 2, 3]);
    assert_eq!(line["work"], "generate");
    assert_eq!(line["device"], "cpu");
    assert_eq!(line.get("phases"), None);
}

#[test]
fn the_phases_of_a_training_step_are_part_of_it() {
    let run = xtask(&tiny(&["bench", "train-step"], &["--runs", "1", "--json"]));
    let [line] = &json(&run)[..] else {
        panic!("expected one line: {}", stdout(&run));
    };
    let phases = PHASES.map(|phase| positive(&line["phases"], phase));
    assert_eq!(line["phases"].as_object().unwrap().len(), phases.len());
    let sum: f64 = phases.iter().sum();
    assert!(
        sum <= positive(line, "median_seconds"),
        "{phases:?} of {line}"
    );
    assert_eq!(line["work"], "train-step");
}

#[test]
fn without_json_there_is_a_table() {
    let run = xtask(&tiny(
        &["bench", "train-step"],
        &["--runs", "1", "--threads", "1"],
    ));
    let table = stdout(&run);
    let lines: Vec<&str> = table.lines().collect();
    let first = "train-step 8x8, channel base 64, channel max 8, batch 4, 1 thread, cpu";
    assert_eq!(lines[0], first);
    for (line, start) in lines[1..]
        .iter()
        .zip(["seconds per step", "pictures per second"])
    {
        assert!(line.starts_with(start), "{table}");
    }
    for phase in PHASES {
        assert!(table.contains(&format!("\n  {phase} ")), "{table}");
    }
}

#[test]
fn an_exported_network_has_parameters_inputs_and_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("networks.safetensors");
    let more = ["--runs", "1", "--warmup", "0", "--export", text(&path)];
    for (work, sections) in [
        ("generate", &["G", "expected"][..]),
        ("train-step", &["D", "G", "expected"]),
    ] {
        let replaces = path.exists();
        let run = xtask(&tiny(&["bench", work], &more));
        stdout(&run);
        let note = "note: replaced the file that was there before".to_string();
        assert_eq!(lines(&run).contains(&note), replaces, "{:#?}", lines(&run));
        let file = stylegan_checkpoint::Checkpoint::read(&path, &candle_core::Device::Cpu).unwrap();
        assert_eq!(file.metadata["config"]["generator"]["z_dim"], 8);
        let sections_found = file
            .tensors
            .keys()
            .map(|name| name.split('.').next().unwrap());
        let mut sections_found: Vec<&str> = sections_found.collect();
        sections_found.dedup();
        assert_eq!(sections_found, sections);
        assert_eq!(file.tensors["expected.images"].dims(), [4, 3, 8, 8]);
        // What begins at 0 would hide a mistake of the other program.
        for (name, tensor) in file
            .tensors
            .iter()
            .filter(|(name, _)| name.starts_with("G."))
        {
            let largest = tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            let is_w_avg = name.ends_with("w_avg");
            assert!(
                is_w_avg || largest.to_scalar::<f32>().unwrap() > 0.0,
                "{name}"
            );
        }
    }
}

#[test]
fn a_profile_names_operators_phases_and_what_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json");
    let run = xtask(&tiny(
        &["profile", "train-step"],
        &["--trace", text(&trace)],
    ));
    let table = stdout(&run);
    for row in [
        "conv2d",
        "conv2d_weight_gradient",
        "bias_act",
        "backward",
        "random numbers",
        "everything else",
        "Dreg",
        "EMA",
    ] {
        assert!(table.contains(&format!("\n{row} ")), "{row}: {table}");
    }
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    let complete = |event: &&Value| event["ph"] == "X" && positive(event, "dur") > 0.0;
    assert_eq!(events.iter().filter(complete).count(), events.len());
    let of_step = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    assert_eq!(
        ["Gmain", "Greg", "Dmain", "Dreg"].map(of_step),
        [16, 4, 16, 1]
    );
    let note = format!("timeline: {}", trace.display());
    assert!(lines(&run)[0].starts_with(&note), "{:?}", lines(&run));
}

#[test]
fn a_profile_of_a_generator_can_tell_shapes_apart() {
    let table = stdout(&xtask(&tiny(&["profile", "generate"], &["--shapes"])));
    assert!(table.contains("modulated_layer [4, 8, 8, 8] "), "{table}");
    assert!(!table.contains("phase"), "{table}");
}

#[test]
fn scaling_changes_one_number_at_a_time() {
    let numbers = "--resolutions 8,16 --batches 4,8 --thread-counts 1 --threads 2 --runs 1";
    let numbers: Vec<&str> = numbers.split(' ').collect();
    let scaling = |work, more: &[&str]| {
        let network = tiny(&["bench", "scaling", work], &numbers);
        xtask(&[&network, more].concat())
    };
    let point = |line: &Value| {
        positive(line, "median_seconds");
        let fields = ["resolution", "batch", "threads", "channel_base"];
        fields.map(|field| line[field].as_u64().unwrap())
    };
    let expected = [[8, 4, 2, 64], [16, 4, 2, 64], [8, 8, 2, 64], [8, 4, 1, 64]];
    for work in ["generate", "train-step"] {
        let points: Vec<_> = json(&scaling(work, &["--json"]))
            .iter()
            .map(point)
            .collect();
        assert_eq!(points, expected, "{work}");
    }
    let table = stdout(&scaling("generate", &[]));
    assert!(
        table.starts_with("resolution  batch  threads  seconds"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 1 + expected.len());
}

#[test]
fn ceilings_are_measured_for_every_number_of_threads() {
    let ceilings = json(&xtask(&["bench", "ceilings", "--threads", "2", "--json"]));
    let threads: Vec<_> = ceilings
        .iter()
        .map(|line| positive(line, "threads"))
        .collect();
    assert_eq!(threads, [1.0, 2.0]);
    for line in &ceilings {
        positive(line, "matrix_product_gflops");
        for what in ["copy", "triad", "first_touch"] {
            positive(line, &format!("{what}_gbytes_per_second"));
        }
    }
}

#[test]
fn a_generator_may_have_any_batch() {
    let network = TINY.replace("--batch 4", "--batch 6");
    let network: Vec<&str> = network.split(' ').collect();
    let run = xtask(
        &[
            &["bench", "generate", "--runs", "1", "--json"],
            &network[..],
        ]
        .concat(),
    );
    assert_eq!(json(&run)[0]["batch"], 6);
}

#[test]
fn generate_says_that_its_products_are_in_bf16() {
    let bench = ["bench", "generate", "--precision", "bf16", "--runs", "1"];
    let [line] = &json(&xtask(&tiny(&bench, &["--json"])))[..] else {
        panic!("expected one line");
    };
    assert_eq!(line["precision"], "bf16");
    let text = stdout(&xtask(&tiny(&bench, &[])));
    assert!(text.contains(", products in bf16"), "{text}");
    let run = xtask(&tiny(&["bench", "generate", "--runs", "1"], &["--json"]));
    assert!(json(&run)[0]["precision"].is_null());
}
