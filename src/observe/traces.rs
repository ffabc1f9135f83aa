//! Spans, for collectors of traces by OTLP: one for each delivery to a source, and one for its forwarding.
//!
//! Off unless the environment names a collector (`config::Traces`); then a [`Span`] is empty, and everything
//! done to it is nothing. When on, a span costs its request a push to a bounded queue: the SDK's own thread sends
//! them, and whatever is wrong with the collector loses spans, which are counted, and nothing else. Neither
//! headers nor bodies nor queries are ever attributes; they carry secrets.

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

/// Makes spans; clones make them for the same exporter. By default there is none.
#[derive(Clone, Default)]
pub struct Traces(Option<trace::SdkTracer>);

impl Traces {
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of one request to a source, which goes on with the trace that its head names.
    pub fn delivery(&self, source: &str, head: &HeaderMap) -> Span {
        self.start("POST /v1/{source}", SpanKind::Server, source, || {
            // A state may come in several; of parents two are none.
            let whole = ["traceparent", "tracestate"].map(|name| {
                let values = head.get_all(name).iter().filter_map(|value| value.to_str().ok());
                (name.to_owned(), values.collect::<Vec<_>>().join(","))
            });
            extract(&whole)
        })
    }

    /// The span from reading a delivery out of the spool to the last acknowledgement. `kept` are the headers
    /// that were kept with it; those of a delivery that had a span name it.
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

struct Kept<'a>(&'a [(String, String)]);

impl Extractor for Kept<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Something that takes time. Ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Box<trace::Span>>);

impl Span {
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Only what this program says, or has found to be harmless.
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

    /// The id of its trace, if it is going to be exported.
    pub fn trace_id(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        context.is_sampled().then(|| context.trace_id().to_string())
    }

    /// By which others are children of this one, `traceparent` and `tracestate`, if it is going to be exported.
    pub fn as_parent(&self) -> Option<(String, String)> {
        let context = self.0.as_ref()?.span_context();
        let trace = context.trace_id();
        let span = context.span_id();
        let state = || context.trace_state().header();
        context.is_sampled().then(|| (format!("00-{trace}-{span}-01"), state()))
    }
}
