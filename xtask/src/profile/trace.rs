//! Chrome's trace format: a JSON array of events that Perfetto and `chrome://tracing` show as a timeline.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::spans::Span;

/// A span with its beginning and its length, both in microseconds.
#[derive(Serialize)]
struct Complete<'a> {
    name: &'a str,
    cat: &'a str,
    ph: &'static str,
    ts: f64,
    dur: f64,
    pid: u32,
    tid: usize,
    args: serde_json::Value,
}

const MICROSECONDS: f64 = 1e6;

/// Writes the spans as events, a row for each thread in the order in which they appear.
pub fn write(spans: &[Span], mut out: impl Write) -> io::Result<()> {
    let mut threads = Vec::new();
    let mut events = Vec::with_capacity(spans.len());
    for span in spans {
        let tid = match threads.iter().position(|&thread| thread == span.thread) {
            Some(tid) => tid,
            None => {
                threads.push(span.thread);
                threads.len() - 1
            }
        };
        events.push(Complete {
            name: &span.name,
            cat: span.target,
            ph: "X",
            ts: span.start.as_secs_f64() * MICROSECONDS,
            dur: span.seconds() * MICROSECONDS,
            pid: 0,
            tid,
            args: json!({ "shape": span.shape }),
        });
    }
    serde_json::to_writer(&mut out, &events)?;
    out.flush()
}
