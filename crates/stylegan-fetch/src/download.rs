//! One file over the network.

use std::fmt::Display;
use std::io::Read;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, Error};

use crate::Event;
use crate::address::Address;
use crate::error::{FetchError, Result};
use crate::partial::{Partial, Version};
use crate::sum::Sum;

/// How often a download goes on after the connection broke.
const RESUMPTIONS: usize = 5;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;

/// Completes a download, and returns the sum of the file.
pub(crate) fn run(
    agent: &Agent,
    address: &Address,
    partial: &mut Partial,
    largest: u64,
    watch: &mut dyn FnMut(Event),
) -> Result<Sum> {
    let mut download = Download {
        agent,
        address,
        partial,
        largest,
        watch,
    };
    for _ in 0..RESUMPTIONS {
        let before = download.partial.bytes();
        match download.attempt() {
            // The server knows how to go on, and there is something to go on from.
            Err(FetchError::Broken { .. })
                if download.partial.version().is_some() && download.partial.bytes() > before => {}
            ended => return ended,
        }
    }
    download.attempt()
}

struct Download<'a> {
    agent: &'a Agent,
    address: &'a Address,
    partial: &'a mut Partial,
    largest: u64,
    watch: &'a mut dyn FnMut(Event),
}

impl Download<'_> {
    /// From where it stands to the end, or to where the connection breaks.
    fn attempt(&mut self) -> Result<Sum> {
        let mut response = self.ask()?;
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE
            || (is_part && !self.continues(&response))
        {
            // There is no rest, or the server sends another one.
            self.partial.restart(None)?;
            response = self.ask()?;
        }
        self.check(&response)?;
        if !self.continues(&response) {
            self.partial.restart(version(&response))?;
        }
        let rest = response.body().content_length();
        let bytes = self.partial.bytes();
        let total = rest.map(|rest| bytes.saturating_add(rest));
        if let Some(total) = total.filter(|&total| total > self.largest) {
            return Err(self.too_large(total));
        }
        (self.watch)(Event::Started { bytes, total });
        self.receive(response.into_body(), total)?;
        Ok(self.partial.sum())
    }

    /// For the file, or for the rest of it where it is still the same.
    fn ask(&self) -> Result<Response<Body>> {
        let mut request = self.agent.get(self.address.url());
        if let Some(version) = self.partial.version() {
            let range = format!("bytes={}-", self.partial.bytes());
            request = request
                .header(header::RANGE, range)
                .header(header::IF_RANGE, &version.etag);
        }
        request.call().map_err(|error| match error {
            Error::RequireHttpsOnly(to) => FetchError::Redirect {
                address: self.address.to_string(),
                to,
            },
            error => FetchError::Unreachable {
                address: self.address.to_string(),
                problem: describe(&error),
            },
        })
    }

    /// That it is an answer with a file, or with the rest of one.
    fn check(&self, response: &Response<Body>) -> Result<()> {
        let address = self.address.to_string();
        if response.status() != StatusCode::OK && !self.continues(response) {
            return Err(FetchError::Status {
                address,
                status: response.status().to_string(),
            });
        }
        match response.body().mime_type() {
            Some("text/html") => Err(FetchError::WebPage { address }),
            _ => Ok(()),
        }
    }

    /// Whether it begins where the partial file ends.
    fn continues(&self, response: &Response<Body>) -> bool {
        let range = response.headers().get(header::CONTENT_RANGE);
        let start = format!("bytes {}-", self.partial.bytes());
        response.status() == StatusCode::PARTIAL_CONTENT
            && self.partial.bytes() > 0
            && range.is_some_and(|range| range.as_bytes().starts_with(start.as_bytes()))
    }

    fn receive(&mut self, body: Body, total: Option<u64>) -> Result<()> {
        let mut reader = body.into_reader();
        let mut block = vec![0; BLOCK];
        loop {
            let read = match reader.read(&mut block) {
                Ok(read) => read,
                Err(error) => return Err(self.broken(total, &Error::from(error))),
            };
            if read == 0 {
                return Ok(());
            }
            self.partial.append(&block[..read])?;
            if self.partial.bytes() > self.largest {
                return Err(self.too_large("more"));
            }
            (self.watch)(Event::Received {
                bytes: self.partial.bytes(),
            });
        }
    }

    fn too_large(&self, found: impl Display) -> FetchError {
        FetchError::TooLarge {
            address: self.address.to_string(),
            largest: self.largest,
            found: found.to_string(),
        }
    }

    fn broken(&self, total: Option<u64>, error: &Error) -> FetchError {
        let received = self.partial.bytes();
        FetchError::Broken {
            address: self.address.to_string(),
            received: match total {
                Some(total) => format!("{received} of {total} bytes"),
                None => format!("{received} bytes"),
            },
            problem: describe(error),
            advice: match self.partial.version() {
                Some(_) => "the next try goes on from there",
                None => "try again",
            },
        }
    }
}

/// The server's name of the content, if it has one that stands for every byte.
fn version(response: &Response<Body>) -> Option<Version> {
    let etag = response.headers().get(header::ETAG)?.to_str().ok()?;
    (etag.starts_with('"')).then(|| Version {
        etag: etag.to_string(),
    })
}

/// What failed, without the library's own words for it.
fn describe(error: &Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::Rustls(error) => error.to_string(),
        Error::HostNotFound => "there is no server of that name".to_string(),
        Error::Timeout(_) | Error::BodyStalled => "no answer in time".to_string(),
        Error::TooManyRedirects => "it leads from address to address without an end".to_string(),
        error => error.to_string(),
    }
}
