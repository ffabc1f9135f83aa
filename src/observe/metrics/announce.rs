//! Metrics that are there before there is anything to tell.
//!
//! A rate needs its beginning: a counter that appears with its first increment has, for Prometheus, not
//! increased, and an alert on it misses the one time that mattered. So everything whose labels can be
//! known at the start is shown at the start, at zero. Whoever has the words for a label tells them.

use super::Metrics;

/// What back-fill makes of an event.
const JOURNAL_RESULTS: [&str; 4] = ["missed", "known", "unidentified", "refused"];

/// What becomes of a transaction.
const TRANSACTION_OUTCOMES: [&str; 4] = ["committed", "committed-late", "aborted", "fenced"];

impl Metrics {
    /// All of a source that needs no more than its name and its kind.
    pub fn announce(&self, source: &str, kind: &str) {
        self.source_info.with_label_values(&[source, kind]).set(1);
        self.tries.announce(source, kind);
        self.kafka.announce(source);
        self.spool_seconds_until_full.with_label_values(&[source]).set(f64::INFINITY);
        let gauges = [
            &self.spool_bytes,
            &self.spool_limit_bytes,
            &self.spool_deliveries,
            &self.spool_oldest_seconds,
            &self.spool_poisoned,
            &self.source_set_aside,
            &self.quarantine_items,
            &self.quarantine_bytes,
            &self.quarantine_oldest_seconds,
            &self.held_topics,
            &self.dead_letters_waiting,
            &self.in_flight,
        ];
        for gauge in gauges {
            gauge.with_label_values(&[source]);
        }
        let counters = [
            &self.spool_damage,
            &self.spool_put_back,
            &self.quarantine_removed,
            &self.holds,
            &self.unanswered_records,
            &self.producer_renewals,
            &self.repeated_deliveries,
            &self.deduplicate_unsaved,
            &self.deduplicate_unreadable,
        ];
        for counter in counters {
            counter.with_label_values(&[source]);
        }
        for outcome in TRANSACTION_OUTCOMES {
            self.transactions.with_label_values(&[source, outcome]);
        }
        for histogram in [&self.answer_seconds, &self.sync_seconds] {
            histogram.with_label_values(&[source]);
        }
        self.duplicates.with_label_values(&[source, source]);
        if kind == "adobe-io" {
            for result in JOURNAL_RESULTS {
                self.journal_events.with_label_values(&[source, result]);
            }
        }
    }

    /// What may become of the requests to a source.
    pub fn announce_outcomes<'a>(&self, source: &str, outcomes: impl IntoIterator<Item = &'a str>) {
        for outcome in outcomes {
            self.deliveries.with_label_values(&[source, outcome]);
        }
    }

    /// Why a connection may be refused.
    pub fn announce_connections<'a>(&self, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.connections_refused.with_label_values(&[reason]);
        }
    }

    /// Why an event of the source may become a dead letter, or go to quarantine.
    pub fn announce_refusals<'a>(&self, source: &str, reasons: impl IntoIterator<Item = &'a str>) {
        for reason in reasons {
            self.dead_letters.with_label_values(&[source, reason]);
            self.quarantined.with_label_values(&[source, reason]);
        }
        self.quarantined.with_label_values(&[source, "damage"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::JOURNAL_EVENTS;

    #[test]
    fn whatever_has_only_a_source_is_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.announce("leads", "marketo-lead-activity");
        metrics.announce("adobe", "adobe-io");
        // Others have the words for these, or nobody has before there are topics, brokers and files.
        let later = [
            "millrace_deliveries_total",
            "millrace_events_delivered_total",
            "millrace_stream_events_total",
            "millrace_dead_letters_total",
            "millrace_quarantined_total",
            "millrace_connections_refused_total",
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
            "millrace_trace_spans_dropped_total",
        ];
        let of_the_process = [
            "millrace_build_info",
            "millrace_start_time_seconds",
            "millrace_volume_available_bytes",
            "millrace_volume_reserve_bytes",
            "millrace_held_topics_limit",
        ];
        let text = metrics.render();
        let code =
            [include_str!("../metrics.rs"), include_str!("kafka.rs"), include_str!("tries.rs")];
        let named = code
            .iter()
            .flat_map(|code| code.split('"'))
            .filter(|text| text.starts_with("millrace_"));
        for name in named.filter(|name| !later.contains(name)) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} in\n{text}");
            let of_all = of_the_process.contains(&name)
                || name.contains("_deduplicate_") && !name.ends_with("_total");
            let source = if name == JOURNAL_EVENTS { "adobe" } else { "leads" };
            let line = |line: &str| line.starts_with(name) && line.contains(source);
            assert!(of_all || text.lines().any(line), "{name}");
        }
    }
}
