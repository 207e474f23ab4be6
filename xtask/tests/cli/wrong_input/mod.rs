//! What every command says to wrong input: for each a table of arguments, and the exact error.
//!
//! The commands are run in a folder of their own, so that files have the names that a user would give them.

mod directions;
mod measures;
mod networks;
mod pictures;
mod projections;
mod speed;
mod training;
mod videos;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use stylegan_checkpoint::arrays;

use crate::common::{lines, sample, succeed, words, xtask_in};

/// A folder that commands are run in.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// A folder with some of the public tools' files: `ada.pkl` is a StyleGAN2 of 16x16 pixels, with 6 w of 16 numbers;
    /// `ada_cond.pkl` has 4 classes. In every one there are `words.pt`, which is no network, `empty.pkl`, and the empty
    /// `folder`.
    fn new(samples: &[&str]) -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in samples {
            let source = sample(name);
            let content = fs::read(&source).unwrap();
            desk.write(source.file_name().unwrap().to_str().unwrap(), &content);
        }
        desk.write("words.pt", b"This is no network.");
        desk.write("empty.pkl", b"");
        desk.make_folder("folder");
        desk
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    /// A file that ends in the middle of another.
    fn write_half(&self, name: &str, whole: &str) {
        let whole = self.read(whole);
        self.write(name, &whole[..whole.len() / 2]);
    }

    fn make_folder(&self, name: &str) {
        fs::create_dir(self.folder.path().join(name)).unwrap();
    }

    /// A file of zeros in arrays of some names and shapes.
    fn write_arrays(&self, name: &str, arrays: &[(&str, &[usize])]) {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let arrays: Vec<(&str, Tensor)> = arrays
            .iter()
            .map(|(name, shape)| (*name, zeros(shape)))
            .collect();
        let arrays: Vec<(&str, &Tensor)> = arrays.iter().map(|(name, t)| (*name, t)).collect();
        arrays::write(&self.folder.path().join(name), &arrays).unwrap();
    }

    /// Directions of `ada.pkl`: sefa0 and sefa1 in `sefa.safetensors`, only score in `one.safetensors`, and the
    /// `scores.csv` that it was found from.
    fn write_directions(&self) {
        self.run("edit factorize --network ada.pkl --count 2 --samples 100 --out sefa.safetensors");
        let rows = (0..40).map(|seed| format!("{seed},{}\n", seed * seed % 37));
        let table = format!("seed,score\n{}", rows.collect::<String>());
        self.write("scores.csv", table.as_bytes());
        self.run(
            "edit boundary --network ada.pkl --labels scores.csv --share 0.4 --out one.safetensors",
        );
    }

    /// Runs a command that must succeed.
    fn run(&self, line: &str) {
        let run = xtask_in(self.folder.path(), &words(line).collect::<Vec<_>>());
        assert!(run.status.success(), "{line}: {:?}", lines(&run));
    }

    /// Walks a table of wrong arguments of a command, and of the errors that they are refused with. Where an error ends
    /// in `...`, the system's words follow. What is refused leaves nothing behind.
    fn assert_refused(&self, command: &str, table: &[(&str, &str)]) {
        let before = names(self.folder.path());
        for (arguments, expected) in table {
            let all: Vec<&str> = words(command).chain(words(arguments)).collect();
            let run = xtask_in(self.folder.path(), &all);
            let found = lines(&run).join("\n").replace('\\', "/");
            assert!(!run.status.success(), "accepted {all:?}: {found}");
            let error = found.find("error: ").map(|place| &found[place..]);
            let error = error.unwrap_or_else(|| panic!("{all:?}: no error in {found}"));
            let expected = format!("error: {expected}");
            let fits = match expected.strip_suffix("...") {
                Some(start) => error.starts_with(start),
                None => error
                    .strip_prefix(&expected)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('\n')),
            };
            assert!(fits, "{all:?}\nexpected {expected}\nfound    {error}");
        }
        assert_eq!(names(self.folder.path()), before, "{command}");
    }
}

/// The commands that `cargo xtask COMMAND --help` lists, without help itself.
fn commands_of(command: &str) -> Vec<String> {
    let help = succeed(&words(command).chain(["--help"]).collect::<Vec<_>>());
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    // What goes on in a second line is further to the right.
    let lines = lines.filter_map(|line| line.strip_prefix("  "));
    let names = lines.filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| words(line).next())
        .filter(|name| *name != "help")
        .map(|name| format!("{command} {name}").trim().to_string())
        .collect()
}

#[test]
fn every_command_has_a_table() {
    let tables = [
        include_str!("directions.rs"),
        include_str!("measures.rs"),
        include_str!("networks.rs"),
        include_str!("pictures.rs"),
        include_str!("projections.rs"),
        include_str!("speed.rs"),
        include_str!("training.rs"),
        include_str!("videos.rs"),
    ];
    let mut commands = commands_of("");
    assert!(commands.len() > 10, "{commands:?}");
    while let Some(command) = commands.pop() {
        let parts = commands_of(&command);
        let table = format!("assert_refused(\n        \"{command}\",");
        let has_one = tables.iter().any(|tables| tables.contains(&table));
        assert!(has_one || !parts.is_empty(), "no table for {command}");
        commands.extend(parts);
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|e| name(e).into_string().unwrap()).collect()
}
