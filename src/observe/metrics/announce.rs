//! Metrics that are shown at zero before anything is counted.
//!
//! A rate needs its beginning: a counter that appears with its first increment has, for Prometheus, not
//! increased, and an alert on it misses the one time that mattered. So every metric whose labels can be
//! known at the start is shown at the start, at zero. The module that owns the values of a label announces them.

use super::Metrics;

/// Results of `millrace backfill` for an event.
const JOURNAL_RESULTS: [&str; 5] = ["missed", "known", "unidentified", "left-out", "refused"];

/// Outcomes of a transaction in exactly-once delivery.
const TRANSACTION_OUTCOMES: [&str; 4] = ["committed", "committed-late", "aborted", "fenced"];

impl Metrics {
    /// Announces all metrics of a source that need no more than its name and its kind.
    pub fn announce(&self, source: &str, kind: &str) {
        self.source_info.with_label_values(&[source, kind]).set(1);
        self.tries.announce(source, kind);
        self.recent.announce(source);
        self.source(source).spool_seconds_until_full.set(f64::INFINITY);
        for outcome in TRANSACTION_OUTCOMES {
            self.transactions.with_label_values(&[source, outcome]);
        }
        self.duplicates.with_label_values(&[source, source]);
        if kind == "adobe-io" {
            for result in JOURNAL_RESULTS {
                self.journal_events.with_label_values(&[source, result]);
            }
        }
    }

    /// Announces the outcomes that requests to a source may have.
    pub fn announce_outcomes<'a>(&self, source: &str, outcomes: impl IntoIterator<Item = &'a str>) {
        for outcome in outcomes {
            self.deliveries.with_label_values(&[source, outcome]);
        }
    }

    /// Announces the reasons for which requests to a source may be refused.
    pub fn announce_refusals<'a>(&self, source: &str, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.refusals.with_label_values(&[source, reason]);
        }
    }

    /// Announces the reasons for which a connection may be refused.
    pub fn announce_connections<'a>(&self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.connections_refused.with_label_values(&[reason]);
        }
    }

    /// Announces the reasons for which an activity may give no state of its lead.
    pub fn announce_missing_lead_states<'a>(
        &self,
        source: &str,
        reasons: impl IntoIterator<Item = &'a str>,
    ) {
        for reason in reasons {
            self.lead_states_missing.with_label_values(&[source, reason]);
        }
    }

    /// Announces the reasons for which an event of the source may become a dead letter, or go to quarantine.
    pub fn announce_dead_letters<'a>(
        &self,
        source: &str,
        reasons: impl IntoIterator<Item = &'a str>,
    ) {
        for reason in reasons {
            self.dead_letters.with_label_values(&[source, reason]);
            self.quarantined.with_label_values(&[source, reason]);
        }
        self.quarantined.with_label_values(&[source, "damage"]);
    }

    /// Announces the values of the header `millrace-answer` for a source whose 200 can say more than *stored*.
    pub fn announce_answers<'a>(&self, source: &str, answers: impl IntoIterator<Item = &'a str>) {
        for answer in answers {
            self.answers.with_label_values(&[source, answer]);
        }
    }

    /// Announces the kinds of keys that may leave out an event of the source.
    pub fn announce_left_out<'a>(&self, source: &str, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.left_out.with_label_values(&[source, reason]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Row, TABLE};

    /// Metrics that no announcement here can show: another module knows the values of their labels and announces
    /// them, or they are known only once there are topics, brokers and files.
    const ANNOUNCED_ELSEWHERE: [&str; 21] = [
        "millrace_connections",
        "millrace_connections_limit",
        "millrace_events_delivered_total",
        "millrace_stream_events_total",
        "millrace_tls_certificate_expiry_timestamp_seconds",
        "millrace_tls_certificate_start_timestamp_seconds",
        "millrace_reloads_total",
        "millrace_last_reload_successful",
        "millrace_public_key_fetches_total",
        "millrace_adobe_validations_total",
        "millrace_identity_requests_total",
        "millrace_kafka_broker_connected",
        "millrace_kafka_round_trip_seconds",
        "millrace_kafka_request_timeouts_total",
        "millrace_kafka_request_retries_total",
        "millrace_kafka_request_errors_total",
        "millrace_kafka_disconnects_total",
        "millrace_schema_registry_requests_total",
        "millrace_trace_spans_dropped_total",
        "millrace_shared_ids_passed_by_total",
        "millrace_shared_ids_available",
    ];

    #[test]
    fn every_metric_whose_labels_are_known_is_shown_from_the_start() {
        let metrics = Metrics::new();
        metrics.announce("adobe", "adobe-io");
        metrics.announce_outcomes("adobe", ["stored"]);
        metrics.announce_refusals("adobe", ["token-unknown"]);
        metrics.announce_connections(["unreadable"]);
        metrics.announce_dead_letters("adobe", ["undecodable"]);
        metrics.announce_answers("adobe", ["delivered", "stored"]);
        metrics.announce_left_out("adobe", ["instance"]);
        metrics.announce_missing_lead_states("adobe", ["too-many"]);
        let text = metrics.render();
        for Row { name, labels, .. } in TABLE {
            let is_shown = text.contains(&format!("# TYPE {name} "));
            assert!(
                is_shown != ANNOUNCED_ELSEWHERE.contains(name),
                "{name} {labels:?}: announce its labels in metrics/announce.rs, or name it in ANNOUNCED_ELSEWHERE \
                 of this test if they are not known at the start (and only then)"
            );
        }
    }

    /// The document has a line for each row of the table.
    #[test]
    fn the_document_of_metrics_has_the_rows_of_the_table() {
        let document = include_str!("../../../deploy/METRICS.md");
        let lines: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let due = |Row { name, kind, labels, help }: &Row| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
        };
        let due: Vec<_> = TABLE.iter().map(due).collect();
        for row in &due {
            assert!(lines.contains(&row.as_str()), "put this row into deploy/METRICS.md:\n{row}");
        }
        for line in &lines {
            assert!(
                due.iter().any(|row| row == line),
                "remove this from deploy/METRICS.md:\n{line}"
            );
        }
        assert_eq!(lines, due, "give the rows of deploy/METRICS.md the order of the table");
    }
}
