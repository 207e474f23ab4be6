//! `bench` and `profile`.

use super::Desk;

fn desk() -> Desk {
    Desk::new(&[])
}

#[test]
fn wrong_input_of_bench_generate_is_named() {
    let desk = desk();
    desk.assert_refused(
        "bench generate",
        &[
            ("--warmup=-1", "invalid value '-1' for '--warmup <N>': expected a whole number, 0 or more"),
            ("--threads 0", "--threads 0: must be at least 1"),
            ("--resolution 48", "--resolution 48: must be a power of two from 4 to 1024; the nearest is 32 or 64"),
            ("--batch 0", "--batch 0: must be from 1 to 65536"),
            ("--runs 0", "--runs 0: must be at least 1"),
            ("--precision f16", "invalid value 'f16' for '--precision <TYPE>'\n  [possible values: f32, bf16]"),
            ("--device tpu", "invalid value 'tpu' for '--device <DEVICE>': expected cpu, cuda, cuda:N or metal"),
            ("--channel-max 0", "--channel-max 0: must be from 1 to 65536"),
            ("--resolution 8 --channel-base 64 --channel-max 8 --batch 1 --runs 1 --export missing/a.safetensors", "--export missing/a.safetensors: there is no folder missing; make it first"),
        ],
    );
}

#[test]
fn wrong_input_of_bench_train_step_is_named() {
    let desk = desk();
    desk.assert_refused(
        "bench train-step",
        &[
            ("--resolution 48", "--resolution 48: must be a power of two from 4 to 1024; the nearest is 32 or 64"),
            ("--batch 6", "--batch 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch 4 or --batch 8"),
            ("--runs 0", "--runs 0: must be at least 1"),
            ("--export folder", "--export folder: is a folder; give the name of a file"),
        ],
    );
}

#[test]
fn wrong_input_of_bench_scaling_is_named() {
    let desk = desk();
    desk.assert_refused(
        "bench scaling",
        &[
            ("", "the following required arguments were not provided:\n  <WORK>"),
            ("render", "invalid value 'render' for '<WORK>'\n  [possible values: generate, train-step]"),
            ("generate --resolutions 16,48", "--resolution 48: must be a power of two from 4 to 1024; the nearest is 32 or 64"),
            ("generate --thread-counts 0", "--thread-counts 0: must be at least 1"),
            ("generate --thread-counts two", "invalid value 'two' for '--thread-counts <LIST>': expected a whole number, 0 or more"),
            ("generate --batches 0", "--batch 0: must be from 1 to 65536"),
            ("train-step --runs 0", "--runs 0: must be at least 1"),
        ],
    );
}

#[test]
fn wrong_input_of_bench_ceilings_is_named() {
    let desk = desk();
    desk.assert_refused(
        "bench ceilings",
        &[
            ("--threads 0", "--threads 0: must be at least 1"),
            ("--runs 3", "unexpected argument '--runs' found"),
        ],
    );
}

#[test]
fn wrong_input_of_bench_peers_is_named() {
    let desk = desk();
    desk.assert_refused(
        "bench peers",
        &[
            ("--peers pytorch,tensorflow", "invalid value 'tensorflow' for '--peers <PEER>'\n  [possible values: pytorch, torch-compile, onnxruntime, openvino]"),
            ("--only generate-512-1", "invalid value 'generate-512-1' for '--only <WORK>'\n  [possible values: generate-256-1, generate-256-8, generate-1024-1, train-32, train-64, train-small]"),
            ("--only train-64 --peers openvino", "--only train-64: openvino can't train; add --peers pytorch, or leave the option out"),
            ("--rounds 0", "--rounds 0: must be at least 1"),
        ],
    );
}

#[test]
fn wrong_input_of_profile_is_named() {
    let desk = desk();
    desk.assert_refused(
        "profile",
        &[
            ("", "the following required arguments were not provided:\n  <WORK>"),
            ("render", "invalid value 'render' for '<WORK>'\n  [possible values: generate, train-step]"),
            ("generate --resolution 48", "--resolution 48: must be a power of two from 4 to 1024; the nearest is 32 or 64"),
            ("generate --runs 0", "--runs 0: must be at least 1"),
            ("generate --batch 0", "--batch 0: must be from 1 to 65536"),
            ("train-step --batch 6", "--batch 6: isn't a multiple of the minibatch-std group of 4 pictures; use --batch 4 or --batch 8"),
            ("generate --trace missing/trace.json", "--trace missing/trace.json: cannot write the file: ..."),
            ("generate --trace folder", "--trace folder: cannot write the file: ..."),
        ],
    );
}
