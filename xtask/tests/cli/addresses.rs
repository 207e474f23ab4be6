//! Networks behind `https` addresses, from a server on this machine.

#[path = "../../../crates/stylegan-fetch/tests/common/server.rs"]
mod server;

use std::fs;
use std::path::PathBuf;

use server::{Answer, Request, Server};
use sha2::{Digest, Sha256};

use crate::common::{Run, lines, sample, text, xtask_with};

/// A server, the certificate that makes it trusted, and a cache that is empty at first.
struct Setup {
    server: Server,
    certificate: PathBuf,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let (server, folder) = (Server::start(handler), tempfile::tempdir().unwrap());
        let certificate = folder.path().join("certificate.pem");
        fs::write(&certificate, &server.pem).unwrap();
        Self {
            server,
            certificate,
            folder,
        }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let cache = self.cache();
        let variables = [
            ("STYLEGAN_CACHE", text(&cache)),
            ("SSL_CERT_FILE", text(&self.certificate)),
            ("SSL_CERT_DIR", ""),
            ("NO_PROXY", "localhost"),
        ];
        xtask_with(&variables, arguments)
    }

    fn succeed(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert!(run.status.success(), "{arguments:?}: {:?}", lines(&run));
        run
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.server.address)
    }

    /// The picture of seed 0 that a network makes.
    fn picture(&self, network: &str) -> (Run, Vec<u8>) {
        let out = self.folder.path().join("out");
        let arguments = [
            "generate",
            "--network",
            network,
            "--seeds",
            "0",
            "--outdir",
            text(&out),
        ];
        let run = self.succeed(&arguments);
        (run, fs::read(out.join("seed0000.png")).unwrap())
    }
}

fn ada() -> (PathBuf, Vec<u8>, String) {
    let path = sample("checkpoints/ada.pkl");
    let bytes = fs::read(&path).unwrap();
    let sum = Sha256::digest(&bytes);
    let sum = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    (path, bytes, sum)
}

#[test]
fn every_command_takes_an_address_and_downloads_it_once() {
    let (path, bytes, sum) = ada();
    let setup = Setup::new(move |_| Answer::file(&bytes));
    let address = setup.url("ada.pkl");
    let (first, picture) = setup.picture(&address);
    assert_eq!(
        lines(&first)[0],
        format!(
            "note: downloaded {address}; {address}#sha256={sum} makes sure that it stays the same"
        )
    );
    assert!(picture == setup.picture(text(&path)).1);
    // No server, no matter.
    setup
        .server
        .answer(|_| Answer::status("503 Service Unavailable"));
    let (again, same) = setup.picture(&address);
    assert!(
        lines(&again)
            .iter()
            .all(|line| !line.contains("downloaded"))
    );
    assert!(same == picture);

    let inspected = setup.succeed(&["inspect", &address, "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(
        (&found["file"], &found["family"]),
        (&address.clone().into(), &"stylegan2".into())
    );
    let converted = setup.folder.path().join("ada.safetensors");
    setup.succeed(&["convert", &address, text(&converted)]);
    let swd = ["metrics", "swd", "--count", "8", "--network", &address];
    setup.succeed(&swd);
    let maps = [
        "metrics",
        "feature-maps",
        "--seeds",
        "0,1",
        "--network",
        &address,
    ];
    setup.succeed(&maps);
    assert_eq!(setup.server.answered(), 1);

    // With its sum it needs no note.
    let (pinned, _) = setup.picture(&format!("{}#sha256={sum}", setup.url("other.pkl")));
    assert!(
        lines(&pinned)
            .iter()
            .all(|line| !line.contains("downloaded"))
    );
    assert_eq!(setup.server.answered(), 1);
}

#[test]
fn wrong_addresses_and_answers_are_named() {
    let (_, bytes, sum) = ada();
    let other = "0".repeat(64);
    let setup = Setup::new(move |request| match &request.path[..] {
        "/cut.pkl" => Answer::file(&bytes).cut(1000),
        "/plain.pkl" => Answer::redirect("http://localhost:1/ada.pkl"),
        "/words.pkl" => Answer::file(b"This is no network."),
        "/page.pkl" => Answer::file(b"<html>").with("Content-Type", "text/html"),
        "/ada.pkl" => Answer::file(&bytes),
        _ => Answer::status("404 Not Found"),
    });
    let [cut, plain, words, page, ada, none] = [
        "cut.pkl",
        "plain.pkl",
        "words.pkl",
        "page.pkl",
        "ada.pkl",
        "none.pkl",
    ]
    .map(|path| setup.url(path));
    let length = fs::metadata(sample("checkpoints/ada.pkl")).unwrap().len();
    let cached = setup.cache().join("files");
    let words_sum = Sha256::digest(b"This is no network.");
    let words_sum: String = words_sum.iter().map(|byte| format!("{byte:02x}")).collect();
    let cases = [
        ("http://localhost/ada.pkl".to_string(), "http://localhost/ada.pkl: expected an https:// address: what http:// sends can be changed on its way".to_string()),
        ("ftp://localhost/ada.pkl".to_string(), "ftp://localhost/ada.pkl: expected an https:// address, found ftp".to_string()),
        (format!("{ada}#{sum}"), format!("{ada}#{sum}: expected #sha256= and a sum, found #{sum}")),
        (format!("{ada}#sha256=12"), format!("{ada}#sha256=12: #sha256=: expected 64 hexadecimal digits, found \"12\"")),
        (format!("{ada}#sha256={other}"), format!("{ada}: expected the SHA-256 sum {other}, found {sum}; nothing was kept")),
        (none.clone(), format!("{none}: the server answers 404 Not Found; check the address")),
        (cut.clone(), format!("{cut}: the download ended after 1000 of {length} bytes: Peer disconnected; try again")),
        (plain.clone(), format!("{plain}: leads to http://localhost:1/ada.pkl, but only https:// addresses are followed")),
        (page.clone(), format!("{page}: expected a file, found a web page; give the address of the file itself")),
        (words.clone(), format!("{words}: {}: expected a pickle, a PyTorch file or a safetensors file, found none of them", cached.join(words_sum).display())),
    ];
    for (address, expected) in cases {
        for arguments in [
            &["inspect", &address][..],
            &["generate", "--seeds", "0", "--network", &address],
        ] {
            let run = setup.run(arguments);
            assert!(!run.status.success(), "{arguments:?}");
            assert_eq!(lines(&run).last().unwrap(), &format!("error: {expected}"));
        }
    }
    // Only what was no network is there, since its address was followed.
    let files = fs::read_dir(cached).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn without_a_connection_only_the_cache_is_there() {
    let setup = Setup::new(|_| Answer::status("404 Not Found"));
    let address = "https://localhost:1/ada.pkl";
    let run = setup.run(&["inspect", address]);
    let line = &lines(&run)[0];
    let start = format!("error: {address}: can't be reached, and isn't in the cache: ");
    assert!(line.starts_with(&start), "{line}");
    assert!(
        line.ends_with("; check the address and the connection"),
        "{line}"
    );

    // Somebody else's server has this address.
    let stranger = Server::start(|_| Answer::file(b""));
    let address = format!("{}/ada.pkl", stranger.address);
    let run = setup.run(&["inspect", &address]);
    let expected = format!(
        "error: {address}: can't be reached, and isn't in the cache: invalid peer certificate: UnknownIssuer; check the address and the connection"
    );
    assert_eq!(lines(&run), [expected]);

    let cache = setup.cache();
    let variables = [
        ("STYLEGAN_CACHE", text(&cache)),
        ("SSL_CERT_FILE", "no-such-certificates.pem"),
    ];
    let run = xtask_with(&variables, &["inspect", &address]);
    let expected = "error: no certificates to trust: SSL_CERT_FILE names no-such-certificates.pem, which isn't a file; install the ca-certificates of your system, or set SSL_CERT_FILE";
    assert_eq!(lines(&run), [expected]);
}
