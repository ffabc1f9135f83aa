//! Whoever waits for an answer: what became of them is reported once, also when they went before it.

use tokio::time::Instant;

use super::ids::Ids;
use crate::{
    ingest::listen::{reply::Outcome, report::Report},
    observe::traces::Span,
    source::SourceName,
};

/// Reports what became of a request, and that its asker went when nothing did.
pub(super) struct Asker<'a> {
    report: &'a Report,
    source: &'a SourceName,
    pub ids: &'a Ids,
    body_came: Option<Instant>,
    pub stored_at: Option<u64>,
    answered: bool,
    pub span: Span,
}

impl<'a> Asker<'a> {
    pub fn new(report: &'a Report, source: &'a SourceName, ids: &'a Ids, span: Span) -> Self {
        Self { report, source, ids, body_came: None, stored_at: None, answered: false, span }
    }

    pub fn body_came(&mut self, at: Instant, bytes: usize) {
        self.body_came = Some(at);
        self.span.set("http.request.body.size", i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub fn answered(mut self, outcome: &Outcome) {
        self.answered = true;
        self.tell(outcome);
        let names = self.ids.names(self.stored_at);
        self.report.request(self.source.as_str(), outcome, outcome.detail(), &names);
        if let Some(at) = self.body_came {
            let seconds =
                self.report.metrics.answer_seconds.with_label_values(&[self.source.as_str()]);
            seconds.observe(at.elapsed().as_secs_f64());
        }
    }

    /// The span: by OpenTelemetry's names, where it has them.
    fn tell(&mut self, outcome: &Outcome) {
        if !self.span.is_on() {
            return;
        }
        let span = &mut self.span;
        let row = outcome.row();
        span.set("http.request.method", "POST");
        span.set("http.route", "/v1/{source}");
        span.set("url.path", format!("/v1/{}", self.source));
        span.set("millrace.outcome", row.label);
        span.set("millrace.request_id", self.ids.request().to_owned());
        if let Some(position) = self.stored_at {
            span.set("millrace.position", position.to_string());
        }
        if *outcome != Outcome::ClientGone {
            span.set("http.response.status_code", i64::from(row.status.as_u16()));
        }
        if row.status.is_server_error() || *outcome == Outcome::ClientGone {
            span.set("error.type", row.label);
            span.fail();
        }
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(&Outcome::ClientGone);
            let names = self.ids.names(None);
            self.report.request(self.source.as_str(), &Outcome::ClientGone, "", &names);
        }
    }
}
