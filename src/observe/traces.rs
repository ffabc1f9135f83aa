//! Spans, for collectors of traces by OTLP: one for each delivery to a source, and one for its forwarding.
//!
//! Off unless the environment names a collector (`config::Traces`); a [`Span`] is then empty, and its methods do
//! nothing. When on, a span costs its request a push to a bounded queue: the SDK's own thread sends the spans, and
//! trouble with the collector loses spans, which are counted, and nothing else. Headers, bodies and queries are
//! never attributes; they carry secrets.

mod export;

use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, Value,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanKind, Status, Tracer},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace};

pub(super) use self::export::resource;
pub use self::export::{Exporter, SetUpError};

/// Makes spans; clones make them for the same exporter. The default makes empty spans.
#[derive(Clone, Default)]
pub struct Traces(Option<trace::SdkTracer>);

impl Traces {
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts the span of one request to a source, in the trace that the request's headers name.
    pub fn delivery(&self, source: &str, head: &HeaderMap) -> Span {
        self.start("POST /v1/{source}", SpanKind::Server, source, || {
            // A `tracestate` may be split over several headers. Two `traceparent` headers, joined, parse as none.
            let whole = ["traceparent", "tracestate"].map(|name| {
                let values = head.get_all(name).iter().filter_map(|value| value.to_str().ok());
                (name.to_owned(), values.collect::<Vec<_>>().join(","))
            });
            extract(&whole)
        })
    }

    /// Starts the span from reading a delivery out of the spool to its last acknowledgement. `kept` are the headers
    /// stored with the delivery; they name the span of its request, if it had one.
    pub fn forwarding(&self, source: &str, kept: &[(String, String)]) -> Span {
        self.start("forward", SpanKind::Producer, source, || extract(kept))
    }

    fn start(
        &self,
        name: &'static str,
        kind: SpanKind,
        source: &str,
        parent: impl FnOnce() -> Context,
    ) -> Span {
        let Some(tracer) = &self.0 else { return Span(None) };
        let attributes = vec![KeyValue::new("millrace.source", source.to_owned())];
        let builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span(Some(Box::new(tracer.build_with_context(builder, &parent()))))
    }
}

fn extract(headers: &[(String, String)]) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Kept(headers))
}

/// Headers stored with a delivery.
struct Kept<'a>(&'a [(String, String)]);

impl Extractor for Kept<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// One span of a trace, or nothing. Ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Box<trace::Span>>);

impl Span {
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Sets an attribute: a value that this program made itself, or has checked to be harmless.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    pub fn fail(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(""));
        }
    }

    /// Returns the id of its trace, if the span is going to be exported.
    pub fn trace_id(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        context.is_sampled().then(|| context.trace_id().to_string())
    }

    /// Returns `traceparent` and `tracestate` that make other spans children of this one, if it is going to be
    /// exported.
    pub fn as_parent(&self) -> Option<(String, String)> {
        let context = self.0.as_ref()?.span_context();
        let trace = context.trace_id();
        let span = context.span_id();
        let state = || context.trace_state().header();
        context.is_sampled().then(|| (format!("00-{trace}-{span}-01"), state()))
    }
}
