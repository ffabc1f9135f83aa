//! Reports the outcome of each request and connection: by a metric, and by a log line at the level of the
//! outcome's row, which names the configuration key to change.
//!
//! Lines of one kind (a source and a reason) come at most once a second, with a count of the lines left out: a
//! flood must not become a flood of lines (`report/notices.rs`). Queries, headers and bodies are never logged; they
//! carry secrets.

mod notices;

use std::{net::IpAddr, sync::Arc, time::Duration};

use prometheus::IntGauge;
use tokio::time::Instant;
use tracing::{Level, debug, error, info, warn};

use self::notices::{Admitted, Notices};
use super::reply::Outcome;
use crate::observe::metrics::{Metrics, Request};

/// Label of requests that belong to no configured source.
pub const UNKNOWN: &str = "unknown";

/// Fields by which a request can be followed in logs; none of them is a secret.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    pub request_id: Option<&'a str>,
    pub adobe_delivery_id: Option<&'a str>,
    pub adobe_event_id: Option<&'a str>,
    /// Address of the client, as far as it can be believed (`client.rs`).
    pub client: Option<IpAddr>,
    /// Sequence number of the delivery in the spool.
    pub position: Option<u64>,
    /// Bytes of the body as it came over the wire.
    pub bytes: usize,
    /// Time from the last byte of the body to the answer.
    pub took: Option<Duration>,
}

#[derive(Clone)]
pub struct Report {
    /// The listener's name: `deliveries` or `admin`.
    listener: &'static str,
    metrics: Metrics,
    notices: Arc<Notices>,
}

impl Report {
    pub fn new(listener: &'static str, metrics: &Metrics) -> Self {
        Self { listener, metrics: metrics.clone(), notices: Arc::default() }
    }

    /// Counts an open connection until the guard is dropped.
    pub fn opened(&self) -> Opened {
        let open = self.metrics.connections.with_label_values(&[self.listener]);
        open.inc();
        Opened(open)
    }

    /// Shows the limit of connections.
    pub fn limit(&self, connections: usize) {
        let limit = i64::try_from(connections).unwrap_or(i64::MAX);
        self.metrics.connections_limit.with_label_values(&[self.listener]).set(limit);
    }

    /// Reports a request that was answered, or whose client disconnected. `detail` is for the log and holds no secret.
    pub fn request(&self, source: &str, outcome: &Outcome, detail: &str, names: &Names<'_>) {
        let label = outcome.row().label;
        self.metrics.deliveries.with_label_values(&[source, label]).inc();
        self.count_refusal(source, outcome);
        self.metrics.recent.push(&Request {
            source,
            what: "request",
            outcome: label,
            status: if *outcome == Outcome::ClientGone { 0 } else { outcome.row().status.as_u16() },
            reason: outcome.reason(),
            detail,
            key: outcome.key().unwrap_or_default(),
            client: names.client,
            request_id: names.request_id.unwrap_or_default(),
            adobe_delivery_id: names.adobe_delivery_id.unwrap_or_default(),
            adobe_event_id: names.adobe_event_id.unwrap_or_default(),
            position: names.position,
            bytes: names.bytes,
            took: names.took,
        });
        if let Some(accepted) = outcome.as_a_try() {
            self.metrics.tries.count(source, accepted);
        }
        self.log("request", source, outcome, detail, names);
    }

    /// Counts a 200 by how far it said that its delivery is.
    pub fn says(&self, source: &str, answer: &str) {
        self.metrics.answers.with_label_values(&[source, answer]).inc();
    }

    /// Keeps the trace of a request whose value a histogram has counted.
    pub fn exemplar(&self, metric: &'static str, source: &str, value: f64, trace: String) {
        self.metrics.exemplars.note(metric, source, value, trace);
    }

    /// Reports a connection that ended before a request was read from it. `why` is a detail for the log, or empty.
    pub fn connection(&self, peer: IpAddr, outcome: &Outcome, why: &str) {
        let label = outcome.row().label;
        self.metrics.connections_refused.with_label_values(&[label]).inc();
        self.count_refusal(UNKNOWN, outcome);
        let separator = if why.is_empty() { "" } else { ": " };
        let detail = format!("from {peer}{separator}{why}");
        self.metrics.recent.push(&Request {
            source: UNKNOWN,
            what: "connection",
            outcome: label,
            reason: outcome.reason(),
            detail: why,
            key: outcome.key().unwrap_or_default(),
            client: Some(peer),
            ..Request::default()
        });
        self.log("connection", UNKNOWN, outcome, &detail, &Names::default());
    }

    fn count_refusal(&self, source: &str, outcome: &Outcome) {
        if let Some(reason) = outcome.reason() {
            self.metrics.refusals.with_label_values(&[source, reason]).inc();
        }
    }

    fn log(
        &self,
        what: &'static str,
        source: &str,
        outcome: &Outcome,
        detail: &str,
        names: &Names<'_>,
    ) {
        let row = outcome.row();
        let is_ordinary = row.level == Level::DEBUG;
        let label = outcome.reason().unwrap_or(row.label);
        let admitted = match is_ordinary {
            true => Admitted::Line { left_out: 0 },
            false => self.notices.admit(label, source, Instant::now()),
        };
        match admitted {
            Admitted::Line { left_out } => {
                self.line((what, source), outcome, detail, names, left_out);
            }
            Admitted::LeftOut { is_first: true } => {
                let source = source.to_owned();
                self.watch_left_out(label, Kind { what, source, outcome: outcome.clone() });
            }
            Admitted::LeftOut { is_first: false } => {}
        }
    }

    /// Starts the task that writes the count of lines left out, if no further line of their kind does.
    fn watch_left_out(&self, label: &'static str, kind: Kind) {
        let report = self.clone();
        let rest = async move {
            while let Some(due) = report.notices.due(label, &kind.source) {
                tokio::time::sleep_until(due).await;
                let now = Instant::now();
                let Some(left_out) = report.notices.take_count(label, &kind.source, now) else {
                    continue;
                };
                report.count_line(&kind, left_out);
            }
        };
        // Outside of the runtime, which happens at its end, no task can start: the count is lost with the process.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(rest);
        }
    }

    /// Writes the count of lines left out.
    fn count_line(&self, Kind { what, source, outcome }: &Kind, left_out: u64) {
        let row = outcome.row();
        let listener = self.listener;
        let reason = outcome.reason();
        let key = outcome.key().map(|key| key_of(key, source));
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    listener,
                    source,
                    outcome = row.label,
                    reason,
                    key,
                    left_out,
                    "{left_out} more refused within a second ({what}): {}",
                    outcome.text()
                )
            };
        }
        match row.level {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(info),
        }
    }

    fn line(
        &self,
        (what, source): (&'static str, &str),
        outcome: &Outcome,
        detail: &str,
        names: &Names<'_>,
        left_out: u64,
    ) {
        let row = outcome.row();
        let reason = outcome.reason();
        // `None` leaves a field out of the line.
        let left_out = (left_out > 0).then_some(left_out);
        let detail = (!detail.is_empty()).then_some(detail);
        let key = outcome.key().map(|key| key_of(key, source));
        macro_rules! line {
            ($level:ident, $message:literal $(, $text:expr)?) => {
                $level!(
                    listener = self.listener,
                    source,
                    client = names.client.map(tracing::field::display),
                    outcome = row.label,
                    reason,
                    status = row.status.as_u16(),
                    key,
                    detail,
                    left_out,
                    request_id = names.request_id,
                    position = names.position,
                    adobe_delivery_id = names.adobe_delivery_id,
                    adobe_event_id = names.adobe_event_id,
                    $message, what $(, $text)?
                )
            };
        }
        match row.level {
            Level::ERROR => line!(error, "{} refused: {}", outcome.text()),
            Level::WARN => line!(warn, "{} refused: {}", outcome.text()),
            Level::INFO => line!(info, "{} refused: {}", outcome.text()),
            _ => line!(debug, "{} answered"),
        }
    }
}

/// An open connection, counted by a gauge until it is dropped.
pub struct Opened(IntGauge);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Puts the source's name into a key of the table (`sources.<name>.…`). Outcomes without a source have no such key.
fn key_of(key: &str, source: &str) -> String {
    key.replace("<name>", source)
}

/// The common fields of lines that are left out together.
#[derive(Clone)]
struct Kind {
    what: &'static str,
    source: String,
    outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_to_change_is_the_sources_own() {
        assert_eq!(key_of("sources.<name>.auth.tokens", "leads"), "sources.leads.auth.tokens");
        assert_eq!(key_of("listen.body_limit", "leads"), "listen.body_limit");
    }
}
