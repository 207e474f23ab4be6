//! A web server on this machine that speaks TLS with a certificate of its own.

#![allow(dead_code)] // Every test uses a part of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{Certificate, CertificateParams, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a client asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub path: String,
    /// With names in small letters.
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found == name)?;
        Some(&found.1)
    }

    /// The first byte that is asked for.
    pub fn start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What it gets.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    pub cut: Option<usize>,
    /// The connection stays open, but nothing more comes.
    pub stalls: bool,
    /// Nothing says how long the body is; it ends with the connection.
    pub is_open_ended: bool,
}

impl Answer {
    pub fn file(body: &[u8]) -> Self {
        Self {
            status: "200 OK",
            body: body.to_vec(),
            ..Self::default()
        }
    }

    /// The part of a file that is asked for, with its name; it may go on.
    pub fn part(body: &[u8], etag: &str, request: &Request) -> Self {
        let same = request.header("if-range") == Some(etag);
        let whole = Self::file(body).with("ETag", etag);
        match request.start().filter(|_| same) {
            None => whole,
            Some(start) if start >= body.len() => Self::status("416 Range Not Satisfiable"),
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                Self {
                    status: "206 Partial Content",
                    body: body[start..].to_vec(),
                    ..whole
                }
                .with("Content-Range", range)
            }
        }
    }

    pub fn status(status: &'static str) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::status("302 Found").with("Location", to)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn cut(self, after: usize) -> Self {
        Self {
            cut: Some(after),
            ..self
        }
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// It listens as long as the program runs.
pub struct Server {
    /// `https://localhost:PORT`.
    pub address: String,
    /// Its certificate, for clients to trust.
    pub pem: String,
    answered: Arc<AtomicUsize>,
    handler: Arc<Mutex<Arc<Handler>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, key) = certificate(port);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let handler: Arc<Handler> = Arc::new(handler);
        let server = Self {
            address: format!("https://localhost:{port}"),
            pem: certificate.pem(),
            answered: Arc::default(),
            handler: Arc::new(Mutex::new(handler)),
        };
        let (answered, handler) = (Arc::clone(&server.answered), Arc::clone(&server.handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                let (answered, handler) = (Arc::clone(&answered), Arc::clone(&handler));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    // A client may leave when it likes.
                    let _ = serve(StreamOwned::new(connection, stream), &answered, &handler);
                });
            }
        });
        server
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.handler.lock().unwrap() = Arc::new(handler);
    }
}

/// One that the server signs itself, under a name that no other server has.
fn certificate(port: u16) -> (Certificate, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    let name = format!("localhost at port {port}");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (
        certificate,
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
}

/// One request and its answer.
fn serve(
    stream: StreamOwned<ServerConnection, TcpStream>,
    answered: &AtomicUsize,
    handler: &Mutex<Arc<Handler>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let path = lines[0].split(' ').nth(1).unwrap_or_default().to_string();
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_string()));
    let request = Request {
        path,
        headers: headers.collect(),
    };
    answered.fetch_add(1, Ordering::SeqCst);
    let handler = Arc::clone(&handler.lock().unwrap());
    let answer = handler(&request);
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status);
    if !answer.is_open_ended {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = reader.into_inner();
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let sent = answer.cut.unwrap_or(answer.body.len());
    stream.write_all(&answer.body[..sent])?;
    stream.flush()?;
    if answer.stalls {
        // Longer than any client of the tests waits.
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    stream.conn.send_close_notify();
    stream.flush()
}
