//! The command line as a whole.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// The texts under the options of a command and of those below it.
fn texts_of(command: &clap::Command) -> Vec<String> {
    let own = command.get_after_help().map(ToString::to_string);
    let below = command.get_subcommands().flat_map(texts_of);
    own.into_iter().chain(below).collect()
}

/// The commands of this program in a text, each on a line of its own that begins with `indent`.
fn commands_in(text: &str, indent: &str) -> Vec<String> {
    let whole = text.replace("\\\n", " ");
    let lines = whole.lines().filter_map(|line| line.strip_prefix(indent));
    let commands = lines.map(str::trim_start).filter(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("cargo") && words.next().is_some_and(|it| it.starts_with("xtask"))
    });
    commands.map(str::to_string).collect()
}

/// The options must be there, and their values of the right kind.
fn assert_parses(command: &str) {
    let arguments = command.split_whitespace().skip(2);
    let arguments = arguments.take_while(|&argument| argument != ">");
    let parsed = Cli::try_parse_from(["xtask"].into_iter().chain(arguments));
    assert!(parsed.is_ok(), "{command}: {:?}", parsed.err());
}

#[test]
fn commands_in_the_help_are_right_and_fit_a_narrow_terminal() {
    let mut count = 0;
    for text in texts_of(&Cli::command()) {
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            assert!(line.len() < 80, "{line}");
        }
        for command in commands_in(&text, "  ") {
            assert_parses(&command);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn commands_in_the_documentation_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pages = fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|it| it == "md"));
    let mut count = 0;
    for page in pages.chain([root.join("README.md")]) {
        for command in commands_in(&fs::read_to_string(page).unwrap(), "") {
            assert_parses(&command);
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn numbers_that_cannot_be_read_are_explained() {
    let expected = |arguments: &[&str]| {
        let arguments = ["xtask", "train"].iter().chain(arguments);
        let error = Cli::try_parse_from(arguments).unwrap_err();
        in_plain_words(error).to_string()
    };
    for (value, words) in [
        ("--seed=", "expected a whole number, 0 or more"),
        ("--seed=-1", "expected a whole number, 0 or more"),
        ("--seed=1.5", "expected a whole number, 0 or more"),
        (
            "--seed=18446744073709551616",
            "is more than this program counts to",
        ),
        ("--gamma=", "expected a number, such as 0.5"),
        ("--gamma=much", "expected a number, such as 0.5"),
    ] {
        let message = expected(&[value]);
        assert!(message.contains(words), "{value}: {message}");
    }
    let other = expected(&["--cfg", "stylegan9"]);
    assert!(other.contains("possible values"), "{other}");
}

#[test]
fn causes_are_not_repeated() {
    let error = anyhow::anyhow!("disk full").context("can't write a.png: disk full");
    assert_eq!(with_causes(&error), "can't write a.png: disk full");
    let error = anyhow::anyhow!("no driver").context("--device cuda:0: no such CUDA device");
    assert_eq!(
        with_causes(&error),
        "--device cuda:0: no such CUDA device: no driver"
    );
}
