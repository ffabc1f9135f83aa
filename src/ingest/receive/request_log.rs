//! Reports each request of a source exactly once, even if the client disconnects before its answer.

use tokio::time::Instant;

use super::{Said, Sharing, ids::Ids};
use crate::{
    ingest::listen::{
        reply::Outcome,
        report::{Names, Report},
    },
    observe::traces::Span,
};

/// Facts about a request, collected until its end; dropping this reports them.
pub(super) struct RequestLog<'a> {
    report: &'a Report,
    source: &'a Sharing,
    pub ids: &'a Ids,
    body_came: Option<Instant>,
    bytes: usize,
    pub stored_at: Option<u64>,
    pub said: Option<Said>,
    outcome: Outcome,
    pub span: Span,
}

impl<'a> RequestLog<'a> {
    pub fn new(report: &'a Report, source: &'a Sharing, ids: &'a Ids, span: Span) -> Self {
        // Stays so if the request's future is dropped, which is what a client that hangs up does.
        let outcome = Outcome::ClientGone;
        Self {
            report,
            source,
            ids,
            body_came: None,
            bytes: 0,
            stored_at: None,
            said: None,
            outcome,
            span,
        }
    }

    pub fn body_came(&mut self, at: Instant, bytes: usize) {
        self.body_came = Some(at);
        self.source.metrics.received_bytes.inc_by(bytes as u64);
        self.bytes = bytes;
        self.span.set("http.request.body.size", i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub fn answered(mut self, outcome: &Outcome) {
        self.outcome = outcome.clone();
    }

    /// Sets the span's attributes, with OpenTelemetry's names where it has them.
    fn describe(&mut self) {
        if !self.span.is_on() {
            return;
        }
        let span = &mut self.span;
        let row = self.outcome.row();
        span.set("http.request.method", "POST");
        span.set("http.route", "/v1/{source}");
        span.set("url.path", format!("/v1/{}", self.source.source.name));
        span.set("millrace.outcome", row.label);
        span.set("millrace.request_id", self.ids.request().to_owned());
        if let Some(position) = self.stored_at {
            span.set("millrace.position", position.to_string());
        }
        if let Some(said) = self.said {
            span.set("millrace.answer", said.as_str());
        }
        if self.outcome != Outcome::ClientGone {
            span.set("http.response.status_code", i64::from(row.status.as_u16()));
        }
        if row.status.is_server_error() {
            span.set("error.type", row.label);
            span.fail();
        }
    }
}

impl Drop for RequestLog<'_> {
    fn drop(&mut self) {
        self.describe();
        let source = self.source.source.name.as_str();
        let took = self.body_came.map(|at| at.elapsed());
        let names = Names { bytes: self.bytes, took, ..self.ids.names(self.stored_at) };
        let said = self.said.filter(|_| self.outcome == Outcome::Stored).map(Said::as_str);
        let detail = said.unwrap_or(self.outcome.detail());
        self.report.request(source, &self.outcome, detail, &names);
        if let Some(said) = said {
            self.report.says(source, said);
        }
        if let Some(took) = took.filter(|_| self.outcome != Outcome::ClientGone) {
            let seconds = took.as_secs_f64();
            self.source.metrics.answer_seconds.observe(seconds);
            if let Some(trace) = self.span.trace_id() {
                self.report.exemplar("millrace_answer_seconds", source, seconds, trace);
            }
        }
    }
}
