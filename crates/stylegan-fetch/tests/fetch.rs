//! Files from a server on this machine, with everything that can go wrong on the way.

#[path = "common/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use server::{Answer, Request, Server};
use stylegan_fetch::{Address, Cache, Event, FetchError, Fetched, Fetcher, Sum};

const BODY: &[u8] = b"the numbers of a network";

/// A server, and a cache that is empty at first.
struct Setup {
    server: Server,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            server: Server::start(handler),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn fetcher(&self) -> Fetcher {
        let fetcher = Fetcher::new(Cache::new(self.folder.path())).without_proxy();
        fetcher.with_roots(&self.server.pem).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.server.address)
    }

    fn fetch(&self, path: &str) -> Result<Fetched, FetchError> {
        let address = self.url(path).parse()?;
        self.fetcher().fetch(&address, &mut |_| {})
    }

    /// The line that a user gets to read, without the address at its beginning.
    fn error(&self, path: &str) -> String {
        let line = self.fetch(path).unwrap_err().to_string();
        let (path, _) = path.split_once('#').unwrap_or((path, ""));
        let start = format!("{}: ", self.url(path));
        line.strip_prefix(&start)
            .unwrap_or_else(|| panic!("{line}"))
            .to_string()
    }

    /// The names of all files in the cache but locks, which stay.
    fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in ["files", "addresses", "partial"] {
            let Ok(entries) = fs::read_dir(self.folder.path().join(folder)) else {
                continue;
            };
            for entry in entries {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = Path::new(&name);
                match (
                    folder,
                    path.extension().and_then(|extension| extension.to_str()),
                ) {
                    (_, Some("lock")) => {}
                    ("files", _) => names.push(name),
                    (_, extension) => names.push(format!("{folder}/{}", extension.unwrap_or(""))),
                }
            }
        }
        names.sort();
        names
    }
}

#[test]
fn a_file_is_downloaded_once() {
    let setup = Setup::new(|_| Answer::file(BODY));
    let mut events = Vec::new();
    let address: Address = setup.url("a.pkl").parse().unwrap();
    let first = setup
        .fetcher()
        .fetch(&address, &mut |event| events.push(event))
        .unwrap();
    assert_eq!(fs::read(&first.path).unwrap(), BODY);
    assert_eq!((first.sum, first.is_new), (Sum::of(BODY), true));
    let bytes = BODY.len() as u64;
    let total = Some(bytes);
    assert_eq!(
        events,
        [
            Event::Started { bytes: 0, total },
            Event::Received { bytes }
        ]
    );
    assert_eq!(
        setup.files(),
        [Sum::of(BODY).to_string(), "addresses/json".to_string()]
    );

    // Also where the server says something else by now, or nothing at all.
    setup
        .server
        .answer(|_| Answer::status("500 Internal Server Error"));
    let second = setup.fetch("a.pkl").unwrap();
    assert_eq!((&second.path, second.is_new), (&first.path, false));
    assert_eq!(setup.server.answered(), 1);
}

#[test]
fn a_file_with_a_known_sum_is_the_same_wherever_it_comes_from() {
    let setup = Setup::new(|_| Answer::file(BODY));
    let with_sum = |path: &str| format!("{path}#sha256={}", Sum::of(BODY));
    assert!(setup.fetch(&with_sum("a.pkl")).unwrap().is_new);
    assert!(!setup.fetch(&with_sum("b.pkl")).unwrap().is_new);
    assert!(!setup.fetch("a.pkl").unwrap().is_new);
    assert_eq!(setup.server.answered(), 1);
    assert!(setup.fetch("b.pkl").unwrap().is_new);
    assert_eq!(setup.files().len(), 3);
}

#[test]
fn another_content_than_expected_is_an_error_and_nothing_is_kept() {
    let setup = Setup::new(|_| Answer::file(BODY).with("ETag", "\"1\""));
    let expected = Sum::of(b"something else");
    let found = Sum::of(BODY);
    assert_eq!(
        setup.error(&format!("a.pkl#sha256={expected}")),
        format!("expected the SHA-256 sum {expected}, found {found}; nothing was kept")
    );
    assert_eq!(setup.files(), [""; 0]);
    // Nor is what an address had before.
    assert!(setup.fetch("a.pkl").unwrap().is_new);
    setup.error(&format!("a.pkl#sha256={expected}"));
    assert!(!setup.fetch("a.pkl").unwrap().is_new);
}

#[test]
fn damaged_files_of_the_cache_are_downloaded_again() {
    let setup = Setup::new(|_| Answer::file(BODY));
    let path = setup.fetch("a.pkl").unwrap().path;
    fs::write(&path, &BODY[1..]).unwrap();
    assert!(setup.fetch("a.pkl").unwrap().is_new);
    // One of the right length is found where the content is known.
    fs::write(&path, vec![0; BODY.len()]).unwrap();
    assert!(!setup.fetch("a.pkl").unwrap().is_new);
    let with_sum = format!("a.pkl#sha256={}", Sum::of(BODY));
    assert!(setup.fetch(&with_sum).unwrap().is_new);
    assert_eq!(fs::read(&path).unwrap(), BODY);
}

#[test]
fn redirects_are_followed_to_https_alone() {
    let setup = Setup::new(|request| match &request.path[..] {
        "/once.pkl" => Answer::redirect("/a.pkl"),
        "/plain.pkl" => Answer::redirect("http://localhost:1/a.pkl"),
        "/forever.pkl" => Answer::redirect("/forever.pkl"),
        _ => Answer::file(BODY),
    });
    assert!(setup.fetch("once.pkl").unwrap().is_new);
    assert_eq!(
        setup.error("plain.pkl"),
        "leads to http://localhost:1/a.pkl, but only https:// addresses are followed"
    );
    assert_eq!(
        setup.error("forever.pkl"),
        "can't be reached, and isn't in the cache: it leads from address to address without an end; check the address and the connection"
    );
    // What the first one left.
    assert_eq!(setup.files().len(), 2);
}

#[test]
fn answers_that_are_no_file_are_errors() {
    let setup = Setup::new(|request| match &request.path[..] {
        "/page.pkl" => Answer::file(b"<html>").with("Content-Type", "text/html; charset=utf-8"),
        "/teapot.pkl" => Answer::status("503 Service Unavailable"),
        _ => Answer::status("404 Not Found"),
    });
    assert_eq!(
        setup.error("none.pkl"),
        "the server answers 404 Not Found; check the address"
    );
    assert_eq!(
        setup.error("teapot.pkl"),
        "the server answers 503 Service Unavailable; check the address"
    );
    assert_eq!(
        setup.error("page.pkl"),
        "expected a file, found a web page; give the address of the file itself"
    );
    assert_eq!(setup.files(), [""; 0]);
}

#[test]
fn a_download_that_breaks_off_is_an_error_and_leaves_no_file() {
    let setup = Setup::new(|_| Answer::file(BODY).cut(10));
    let expected = "the download ended after 10 of 24 bytes: Peer disconnected; try again";
    assert_eq!(setup.error("a.pkl"), expected);
    assert_eq!(setup.files(), [""; 0]);
    setup.server.answer(|_| Answer::file(BODY));
    let fetched = setup.fetch("a.pkl").unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), BODY);
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_forever() {
    let setup = Setup::new(|_| Answer {
        stalls: true,
        ..Answer::file(BODY).cut(10)
    });
    let fetcher = setup.fetcher().with_patience(Duration::from_millis(300));
    let address = setup.url("a.pkl").parse().unwrap();
    let error = fetcher
        .fetch(&address, &mut |_| {})
        .unwrap_err()
        .to_string();
    let expected = "the download ended after 10 of 24 bytes: no answer in time; try again";
    assert_eq!(error, format!("{address}: {expected}"));
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    // Each answer has eight bytes.
    let setup = Setup::new(|request| Answer::part(BODY, "\"1\"", request).cut(8));
    let mut starts = Vec::new();
    let address: Address = setup.url("a.pkl").parse().unwrap();
    let watch = &mut |event| {
        if let Event::Started { bytes, total } = event {
            starts.push((bytes, total));
        }
    };
    let fetched = setup.fetcher().fetch(&address, watch).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), BODY);
    assert_eq!(fetched.sum, Sum::of(BODY));
    assert_eq!(starts, [(0, Some(24)), (8, Some(24)), (16, Some(24))]);
}

#[test]
fn the_next_run_goes_on_where_the_last_one_stopped() {
    // The first answer is short, and the ones after it refuse.
    let setup = Setup::new(|request| match request.start() {
        None => Answer::part(BODY, "\"1\"", request).cut(8),
        Some(_) => Answer::status("503 Service Unavailable"),
    });
    let refused = "the server answers 503 Service Unavailable; check the address";
    assert_eq!(setup.error("a.pkl"), refused);
    assert_eq!(setup.files(), ["partial/json", "partial/part"]);
    setup.server.answer(|request| {
        assert_eq!(request.start(), Some(8));
        Answer::part(BODY, "\"1\"", request)
    });
    assert_eq!(fs::read(setup.fetch("a.pkl").unwrap().path).unwrap(), BODY);

    // Unless the file is another one by then.
    let refuses = |request: &Request| match request.start() {
        None => Answer::part(BODY, "\"1\"", request).cut(8),
        Some(_) => Answer::status("503 Service Unavailable"),
    };
    setup.server.answer(refuses);
    assert_eq!(setup.error("b.pkl"), refused);
    setup
        .server
        .answer(|request| Answer::part(b"a newer network", "\"2\"", request));
    assert_eq!(
        fs::read(setup.fetch("b.pkl").unwrap().path).unwrap(),
        b"a newer network"
    );

    // Or there is nothing left of it.
    setup.server.answer(refuses);
    assert_eq!(setup.error("c.pkl"), refused);
    setup
        .server
        .answer(|request| Answer::part(b"short", "\"1\"", request));
    assert_eq!(
        fs::read(setup.fetch("c.pkl").unwrap().path).unwrap(),
        b"short"
    );
}

#[test]
fn a_server_that_cannot_go_on_starts_over() {
    let setup = Setup::new(|request| match request.start() {
        None => Answer::file(BODY).with("ETag", "\"1\"").cut(8),
        Some(_) => Answer::file(BODY).with("ETag", "\"1\""),
    });
    assert_eq!(fs::read(setup.fetch("a.pkl").unwrap().path).unwrap(), BODY);
    assert_eq!(setup.server.answered(), 2);
}

#[test]
fn a_part_that_was_not_asked_for_is_not_taken_for_the_file() {
    let setup = Setup::new(|request| {
        let whole = Answer::file(BODY).with("ETag", "\"1\"");
        match request.start() {
            None => whole.cut(8),
            Some(_) => Answer {
                status: "206 Partial Content",
                ..whole.with("Content-Range", "bytes 2-25/26")
            },
        }
    });
    // Twice the first eight bytes, as often as there is something to go on from.
    let error = setup.error("a.pkl");
    let expected = "the download ended after 8 of 24 bytes: Peer disconnected; the next try goes on from there";
    assert_eq!(error, expected);
    setup.server.answer(|_| Answer {
        status: "206 Partial Content",
        ..Answer::file(BODY)
    });
    let expected = "the server answers 206 Partial Content; check the address";
    assert_eq!(setup.error("b.pkl"), expected);
}

#[test]
fn files_above_the_limit_are_refused_before_or_while_they_come() {
    let setup = Setup::new(|request| Answer {
        is_open_ended: request.path == "/open.pkl",
        ..Answer::file(BODY)
    });
    let error = |path: &str| {
        let address: Address = setup.url(path).parse().unwrap();
        let fetcher = setup.fetcher().with_largest(20);
        fetcher
            .fetch(&address, &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    let line = |path: &str, found: &str| {
        format!(
            "{}: expected a file of at most 20 bytes, found {found}",
            setup.url(path)
        )
    };
    assert_eq!(error("a.pkl"), line("a.pkl", "24"));
    assert_eq!(error("open.pkl"), line("open.pkl", "more"));
    // Without a limit in its way, one of unknown length comes, too.
    assert_eq!(
        fs::read(setup.fetch("open.pkl").unwrap().path).unwrap(),
        BODY
    );
}

#[test]
fn servers_that_are_not_there_or_not_trusted_are_named() {
    let setup = Setup::new(|_| Answer::file(BODY));
    let other = Server::start(|_| Answer::file(BODY));
    let error = |address: &str| {
        let address: Address = address.parse().unwrap();
        setup
            .fetcher()
            .fetch(&address, &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    let unreachable = |address: &str, problem: &str| {
        format!(
            "{address}: can't be reached, and isn't in the cache: {problem}; check the address and the connection"
        )
    };
    let address = format!("{}/a.pkl", other.address);
    let problem = "invalid peer certificate: UnknownIssuer";
    assert_eq!(error(&address), unreachable(&address, problem));
    // Nothing listens on port 1.
    let closed = error("https://localhost:1/a.pkl");
    let start = "https://localhost:1/a.pkl: can't be reached, and isn't in the cache: ";
    assert!(closed.starts_with(start), "{closed}");

    let error = setup.fetcher().with_roots("no certificate").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no certificates to trust: there is none in the text; install the ca-certificates of your system, or set SSL_CERT_FILE"
    );
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let setup = Setup::new(|_| Answer::file(BODY));
    let taken = setup.folder.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    let fetcher = Fetcher::new(Cache::new(&taken));
    let address: Address = setup.url("a.pkl").parse().unwrap();
    let error = fetcher
        .fetch(&address, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(error.starts_with(&taken.display().to_string()), "{error}");
    assert!(
        error.ends_with("; STYLEGAN_CACHE can name another folder for it"),
        "{error}"
    );
}

#[test]
fn programs_that_want_the_same_file_at_once_download_it_once() {
    let setup = Setup::new(|_| {
        std::thread::sleep(Duration::from_millis(200));
        Answer::file(BODY)
    });
    let fetched = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| setup.fetch("a.pkl").unwrap()))
            .collect();
        let fetched = threads.into_iter().map(|thread| thread.join().unwrap());
        fetched.collect::<Vec<_>>()
    });
    assert_eq!(fetched.iter().filter(|fetched| fetched.is_new).count(), 1);
    assert_eq!(setup.server.answered(), 1);
}
