//! Spans of the libraries with their times: what `bench` and `profile` add up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Target of the spans of the phases of a training step.
pub const PHASES: &str = "stylegan_trainer::step";

/// Target of the spans of the operators.
pub const OPERATORS: &str = "stylegan_ops::op";

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which library it is of.
    pub target: &'static str,
    /// The value of its field `name`, or the name that all of its kind have.
    pub name: String,
    /// The value of its field `shape`; empty where it has none.
    pub shape: String,
    /// The thread that it ran on.
    pub thread: ThreadId,
    /// When it began, since the recorder was made.
    pub start: Duration,
    /// How long it took, spans within it included.
    pub duration: Duration,
    /// How long the spans within it on its own thread took.
    pub inner: Duration,
}

impl Span {
    /// Seconds, spans within it included.
    pub fn seconds(&self) -> f64 {
        self.duration.as_secs_f64()
    }

    /// Seconds without the spans within it.
    pub fn own_seconds(&self) -> f64 {
        self.duration.saturating_sub(self.inner).as_secs_f64()
    }
}

/// Keeps every span of the targets that it listens to.
#[derive(Debug, Clone)]
pub struct Recorder {
    began: Instant,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Recorder {
    /// A recorder whose clock begins now.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            spans: Arc::default(),
        }
    }

    /// This recorder as a layer that listens to some targets; all other spans cost nothing.
    pub fn listen<S>(&self, targets: &[&str]) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let targets = targets.iter().map(|&target| (target, LevelFilter::TRACE));
        self.clone()
            .with_filter(Targets::new().with_targets(targets))
    }

    /// The spans that ended since the last call, in the order of their ends.
    pub fn take(&self) -> Vec<Span> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut spans)
    }
}

/// What is known of a span while it runs.
struct Running {
    name: String,
    shape: String,
    entered: Instant,
    inner: Duration,
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Running {
                name: fields.name.unwrap_or_else(|| span.name().to_string()),
                shape: fields.shape,
                entered: Instant::now(),
                inner: Duration::ZERO,
            });
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(running) = span.extensions_mut().get_mut::<Running>()
        {
            running.entered = Instant::now();
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let ended = {
            let mut extensions = span.extensions_mut();
            let Some(running) = extensions.get_mut::<Running>() else {
                return;
            };
            Span {
                target: span.metadata().target(),
                name: std::mem::take(&mut running.name),
                shape: std::mem::take(&mut running.shape),
                thread: thread::current().id(),
                start: running.entered.saturating_duration_since(self.began),
                duration: running.entered.elapsed(),
                inner: running.inner,
            }
        };
        if let Some(parent) = span.parent()
            && let Some(running) = parent.extensions_mut().get_mut::<Running>()
        {
            running.inner += ended.duration;
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.push(ended);
    }
}

/// The fields of a span that are kept.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    shape: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            self.name = Some(value.to_string());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "shape" {
            self.shape = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{subscriber, trace_span};
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn spans_of_the_targets_are_kept_with_what_is_within_them() {
        let recorder = Recorder::new();
        let listening = tracing_subscriber::registry().with(recorder.listen(&[OPERATORS]));
        subscriber::with_default(listening, || {
            let _outer = trace_span!(target: OPERATORS, "op", name = "outer").entered();
            let _other = trace_span!(target: PHASES, "Gmain").entered();
            let _inner = trace_span!(target: OPERATORS, "inner", shape = ?[1, 2]).entered();
            thread::sleep(Duration::from_millis(2));
        });
        let spans = recorder.take();
        let [inner, outer] = &spans[..] else {
            panic!("expected two spans, got {spans:?}");
        };
        assert_eq!((&*inner.name, &*inner.shape), ("inner", "[1, 2]"));
        assert_eq!((&*outer.name, &*outer.shape), ("outer", ""));
        assert!(inner.seconds() >= 0.002 && outer.start <= inner.start);
        assert_eq!(outer.inner, inner.duration);
        assert_eq!(
            outer.own_seconds(),
            (outer.duration - inner.duration).as_secs_f64()
        );
        assert!(recorder.take().is_empty());
    }
}
