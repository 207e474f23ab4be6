//! Files that were damaged or made to do harm: never a panic, memory bounded by the file's size, and errors that
//! say where.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::builder::*;
use common::fixture;
use rand_chacha::{ChaCha8Rng, rand_core::Rng, rand_core::SeedableRng};
use stylegan_import::{ImportError, import_bytes};

/// The system's allocator, which counts what a thread has and had at most.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// Threads that end don't count any more.
fn count(added: usize, removed: usize) {
    let _ = NOW.try_with(|now| {
        now.set((now.get() + added).saturating_sub(removed));
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: every call is handed to the system's allocator unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A byte of a pickle can be the call of a function, which takes an object and its place in the tree.
const BYTES_PER_BYTE: usize = 160;

/// What candle, the zip reader and messages take in any case.
const BYTES_AT_LEAST: usize = 1 << 20;

/// Reads a file and checks the memory that this took at most.
fn import(bytes: &[u8]) -> Result<(), ImportError> {
    let before = NOW.with(Cell::get);
    MOST.with(|most| most.set(before));
    let result = import_bytes(bytes).map(drop);
    let most = MOST.with(Cell::get) - before;
    let allowed = BYTES_AT_LEAST + BYTES_PER_BYTE * bytes.len();
    assert!(
        most <= allowed,
        "{most} bytes for a file of {}",
        bytes.len()
    );
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    result
}

fn sample(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("{folder}/{name}"))).unwrap()
}

/// One of every kind.
fn all_kinds() -> [(&'static str, Vec<u8>); 5] {
    [
        ("ada_cond.pkl", sample("checkpoints", "ada_cond.pkl")),
        (
            "converted.pt",
            sample("checkpoints", "rosinality_converted.pt"),
        ),
        (
            "old_format.pt",
            sample("checkpoints", "rosinality_old_format.pt"),
        ),
        ("progan_tf.pkl", sample("stylegan1/pkl", "progan_tf.pkl")),
        (
            "p5.pkl",
            sample("stylegan1/pkl", "stylegan2_resnet_skip_cond_tf_p5.pkl"),
        ),
    ]
}

#[test]
fn a_file_that_ends_at_any_byte_is_an_error_that_says_where() {
    let whole = sample("stylegan1/pkl", "progan_tf.pkl");
    import(&whole).unwrap();
    for length in 1..whole.len() {
        let error = import(&whole[..length]).unwrap_err().to_string();
        let says_where = error.starts_with("byte ") && error.ends_with("the end of the file");
        assert!(says_where, "{length}: {error}");
    }
}

#[test]
fn files_of_every_kind_that_end_early_are_errors() {
    for (name, whole) in all_kinds() {
        import(&whole).unwrap();
        for length in (0..whole.len()).step_by(809).chain([whole.len() - 1]) {
            assert!(import(&whole[..length]).is_err(), "{name} of {length}");
        }
    }
}

#[test]
fn files_with_changed_bits_are_read_or_are_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut draw = |below: usize| rng.next_u32() as usize % below;
    for (name, whole) in all_kinds() {
        let mut errors = 0;
        for _ in 0..150 {
            let mut changed = whole.clone();
            // The structure is mostly in the first and last bytes of a file.
            let range = [whole.len(), 4096, 4096][draw(3)].min(whole.len());
            let from_end = draw(2) == 0;
            for _ in 0..=draw(4) {
                let at = draw(range);
                let at = if from_end { whole.len() - 1 - at } else { at };
                changed[at] ^= 1 << draw(8);
            }
            errors += usize::from(import(&changed).is_err());
        }
        assert!(errors > 10, "{name}: {errors} errors");
    }
}

#[test]
fn random_instructions_are_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    // Those that take no argument, or one of a byte.
    let instructions: &[u8] =
        b"(.012NQRabde)]}lostu\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94hqKC\x8c";
    for _ in 0..20_000 {
        let mut bytes = vec![0x80, 4];
        for _ in 0..40 {
            let draw = rng.next_u32() as usize;
            bytes.push(instructions[draw % instructions.len()]);
            if matches!(bytes.last(), Some(b'h' | b'q' | b'K' | b'C' | 0x8c)) {
                bytes.push((draw >> 16) as u8 % 4);
            }
        }
        bytes.push(b'.');
        assert!(import(&bytes).is_err());
    }
}

#[test]
fn a_pickle_that_would_run_a_command_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("executed");
    let command = format!("touch {}", proof.display());
    let call =
        |module: &str, name: &str, code: &str| Pickled::call(module, name, [Pickled::text(code)]);
    let python = format!("__import__('os').system({command:?})");
    for evil in [
        call("os", "system", &command),
        call("posix", "system", &command),
        call("subprocess", "getoutput", &command),
        call("builtins", "eval", &python),
        call("builtins", "exec", &python),
        // Where a tensor's numbers are expected.
        tensor(call("os", "system", &command), 0, &[1], &[1]),
    ] {
        let network = network(
            [("resolution", evil.clone())],
            [],
            [("4x4/Conv/weight", evil.clone())],
        );
        let state = Pickled::dict([
            ("style.1.weight", evil.clone()),
            ("input.input", evil.clone()),
        ]);
        for root in [
            evil.clone(),
            network,
            Pickled::dict([("G_ema", evil.clone())]),
            Pickled::dict([("g_ema", state)]),
            Pickled::dict([("G_ema", module("Generator", [("w", evil.clone())], []))]),
        ] {
            assert!(import(&root.clone().finish()).is_err());
            assert!(import(&legacy(root, &[])).is_err());
        }
    }
    assert!(!proof.exists());
}

#[test]
fn modules_and_networks_that_contain_themselves_are_errors() {
    // The state of a module, which is kept in the memo, has the module itself among its modules.
    let meta = |modules: &[u8]| {
        let mut bytes = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}q\x01(".to_vec();
        bytes.extend(Pickled::text("class_name").0);
        bytes.extend(Pickled::text("Generator").0);
        bytes.extend(Pickled::text("state").0);
        bytes.extend(b"}(");
        bytes.extend(Pickled::text("_parameters").0);
        bytes.extend(b"}");
        bytes.extend(Pickled::text("_modules").0);
        bytes.extend(modules);
        bytes.extend(b"uu\x85Rq\x02");
        Pickled(bytes)
    };
    let mut inner = b"}q\x03".to_vec();
    let mut itself = meta(&inner).0;
    // modules["b4"] = module
    itself.extend(b"h\x03");
    itself.extend(Pickled::text("b4").0);
    itself.extend(b"h\x02s0");
    let error = import(&Pickled::dict([("G_ema", Pickled(itself))]).finish()).unwrap_err();
    let expected = "expected modules of their own, found one that is used twice or contains itself";
    assert!(error.to_string().ends_with(expected), "{error}");

    // Forty dictionaries of modules, each with twice the one before: 2^40 ways to the last.
    inner.clear();
    let mut doubled = module("Linear", [], []);
    for _ in 0..16 {
        let mut twice = b"}(".to_vec();
        twice.extend(Pickled::text("a").0);
        twice.extend(&doubled.0);
        twice.extend(b"q\x07");
        twice.extend(Pickled::text("b").0);
        twice.extend(b"h\x07u");
        let state = Pickled::dict([
            ("_parameters", Pickled::dict([])),
            ("_modules", Pickled(twice)),
        ]);
        let meta = Pickled::dict([("class_name", Pickled::text("Twice")), ("state", state)]);
        doubled = Pickled::call("p", "_reconstruct_persistent_obj", [meta]);
    }
    let error = import(&Pickled::dict([("G_ema", doubled)]).finish()).unwrap_err();
    assert!(error.to_string().ends_with(expected), "{error}");

    // A network that is its own component.
    let mut bytes = b"cdnnlib.tflib.network\nNetwork\n)\x81q\x01}(".to_vec();
    for (key, value) in [
        ("static_kwargs", b"}".to_vec()),
        ("variables", b"]".to_vec()),
        (
            "components",
            [
                b"}".to_vec(),
                Pickled::text("synthesis").0,
                b"h\x01s".to_vec(),
            ]
            .concat(),
        ),
    ] {
        bytes.extend(Pickled::text(key).0);
        bytes.extend(value);
    }
    bytes.extend(b"ub");
    let error = import(&Pickled(bytes).finish()).unwrap_err();
    let expected =
        "expected components of their own, found one that is used twice or contains itself";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn deep_nesting_is_an_error() {
    for (open, close) in [("]", "a"), ("(", "t"), (")", "\u{0}"), ("}", "s")] {
        let mut bytes = vec![0x80, 4];
        bytes.extend(open.repeat(100_000).bytes());
        match open {
            // A tuple of a tuple of a tuple.
            ")" => bytes.extend([0x85; 100_000]),
            "}" => {
                bytes.truncate(3);
                for _ in 0..100_000 {
                    bytes.extend(b"}K\x01");
                }
                bytes.extend(close.repeat(100_000).bytes());
            }
            _ => bytes.extend(close.repeat(99_999).bytes()),
        }
        bytes.push(b'.');
        let error = import(&bytes).unwrap_err();
        assert!(matches!(error, ImportError::File(_)), "{error}");
        assert!(error.to_string().starts_with("byte "), "{error}");
    }
}

#[test]
fn many_small_values_take_no_more_memory_than_promised() {
    let instructions: [&[u8]; 9] = [
        b"N",
        b"K\x01",
        b"]",
        b")",
        b"(",
        b"}",
        b"\x8f",
        b"]\x94",
        b"cA\nB\n)R",
    ];
    for instruction in instructions {
        let mut bytes = vec![0x80, 4];
        bytes.extend(instruction.repeat(300_000));
        bytes.push(b'.');
        assert!(import(&bytes).is_err());
    }
    // Long lists, dictionaries and names.
    let lists: [(&[u8], &[u8], &[u8]); 4] = [
        (b"](", b"K\x01", b"e."),
        (b"}(", b"K\x01N", b"u."),
        (b"}(", b"\x8c\x01aN", b"u."),
        (b"\x8c\x01a\x94}(", b"h\x00N", b"u."),
    ];
    for (begin, element, end) in lists {
        let mut bytes = vec![0x80, 4];
        bytes.extend(begin);
        bytes.extend(element.repeat(200_000));
        bytes.extend(end);
        assert!(import(&bytes).is_err());
    }
}

/// Names and paths are no longer than the file, though they could be repeated in every message and step.
#[test]
fn long_names_are_cut_off_in_messages() {
    let name = "x".repeat(100_000);
    let inner = Pickled::dict([(
        &name[..],
        Pickled::dict([(&name[..], Pickled::text(&name))]),
    )]);
    for root in [
        Pickled::dict([("G_ema", inner.clone())]),
        Pickled::call(&name, &name, []),
        network([], [], [(&name[..], inner)]),
    ] {
        let error = import(&root.finish()).unwrap_err().to_string();
        assert!(error.len() < 2_000, "{} bytes", error.len());
    }
}

/// Storages of the public tools are files in the file, which are parsed when a tensor is asked for.
#[test]
fn a_storage_in_bytes_that_many_tensors_share_is_an_error() {
    let count = 1 << 16;
    let numbers = vec![0; 4 * count as usize];
    let inner = legacy(
        storage("FloatStorage", "0", count),
        &[("0", count, &numbers)],
    );
    let inner = Pickled::call(
        "torch.storage",
        "_load_from_bytes",
        [Pickled::bytes(&inner)],
    );
    let mut first = tensor(inner, 0, &[1], &[1]).0;
    first.extend(b"q\x09");
    let names: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let tensors = names.iter().enumerate().map(|(i, name)| {
        let again = || b"h\x09".to_vec();
        let tensor = if i == 0 { first.clone() } else { again() };
        (name.as_str(), Pickled(tensor))
    });
    let error = import(&Pickled::dict(tensors).finish()).unwrap_err();
    let expected = "expected storages of their own, found one that many tensors share";
    assert!(error.to_string().ends_with(expected), "{error}");
}

/// Arrays without numbers, of integers, and of sizes that only the arguments claim.
#[test]
fn arrays_that_no_network_has_are_errors() {
    let zeros = |shape: &[i64], dtype: &str| {
        let count: i64 = shape.iter().product();
        let size: i64 = dtype[1..].parse().unwrap();
        array(shape, dtype, &vec![0; (count * size) as usize])
    };
    let generator = |kernel: Pickled, bias: Pickled| {
        let synthesis = network(
            [],
            [],
            [
                ("8x8/Conv0_up/weight", kernel.clone()),
                ("4x4/Conv/weight", kernel.clone()),
                ("4x4/Conv/mod_bias", bias.clone()),
                ("4x4/Conv/mod_weight", zeros(&[1, 1], "f4")),
                ("8x8/Conv1/weight", kernel),
                ("4x4/Const/const", zeros(&[1, 1, 4, 4], "f4")),
            ],
        );
        network([], [("synthesis", synthesis)], [("dlatent_avg", bias)])
    };
    for dtype in ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "i8"] {
        for shape in [[3, 3, 0, 5], [0, 0, 0, 0], [0, 3, 1, 1], [3, 3, 1, 1]] {
            for bias in [0, 1] {
                let file = generator(zeros(&shape, dtype), zeros(&[bias], dtype));
                assert!(import(&file.finish()).is_err(), "{dtype} {shape:?}");
            }
        }
    }
    let large = 1 << 20;
    for name in [
        "fmap_base",
        "fmap_max",
        "latent_size",
        "dlatent_size",
        "mapping_fmaps",
        "label_size",
        "num_channels",
        "mapping_layers",
        "mbstd_group_size",
        "mbstd_num_features",
        "resolution",
    ] {
        let variables = || {
            [
                ("4x4/Conv/bias", zeros(&[1], "f4")),
                ("ToRGB_lod0/bias", zeros(&[3], "f4")),
            ]
        };
        let all = |large| {
            [
                (name, Pickled::int(large)),
                ("fmap_max", Pickled::int(large)),
                ("fmap_base", Pickled::int(large)),
            ]
        };
        for (given, components) in [
            (all(large), false),
            (all(1), true),
            (all(0), true),
            (all(-1), false),
        ] {
            let inner = || network([], [], [("Dense0/weight", zeros(&[1, 1], "f4"))]);
            let synthesis = || network([], [], variables());
            let network = match components {
                true => network(
                    given,
                    [("mapping", inner()), ("synthesis", synthesis())],
                    [],
                ),
                false => network(given, [], variables()),
            };
            assert!(import(&network.clone().finish()).is_err(), "{name}");
            let three = Pickled::tuple([network.clone(), network.clone(), network]);
            assert!(import(&three.finish()).is_err(), "{name}");
        }
    }
}
