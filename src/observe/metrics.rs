//! What the service counts, in Prometheus' terms: every metric, its unit and its labels in one place.
//!
//! Label values are bounded: sources are configured, topics are limited (`topics.limit`), outcomes
//! and reasons are words from this program.

mod announce;
mod kafka;
mod make;
mod tries;

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{
    Encoder, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use self::make::Maker;

pub use self::{kafka::Kafka, tries::Tries};

/// Handles to every metric; clones share the same counters.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Answered requests, by source and outcome (`reply::Outcome`'s words).
    pub deliveries: IntCounterVec,
    /// The last 24 hours as the sender sees them, by source.
    pub tries: Tries,
    /// Deliveries whose sender says that it tried before, by source.
    pub repeated_deliveries: IntCounterVec,
    /// From the last byte of the request to the answer, in seconds, by source.
    pub answer_seconds: HistogramVec,
    /// Requests that never reached a source: too many connections, time-outs before the head.
    pub connections_refused: IntCounterVec,
    /// One group commit: write and fdatasync, in seconds, by source.
    pub sync_seconds: HistogramVec,
    /// Undelivered bytes, by source.
    pub spool_bytes: IntGaugeVec,
    /// What `spool_bytes` may reach, by source.
    pub spool_limit_bytes: IntGaugeVec,
    /// Undelivered deliveries, by source.
    pub spool_deliveries: IntGaugeVec,
    /// How long until there is no room for more at the rate of the last minutes, by source; infinite
    /// while it does not grow.
    pub spool_seconds_until_full: GaugeVec,
    /// Bytes that the volume of the spool has left, and what of them deliveries never take.
    pub volume_available_bytes: IntGauge,
    pub volume_reserve_bytes: IntGauge,
    /// When the oldest undelivered delivery came, in Unix seconds; 0 when there is none.
    pub spool_oldest_seconds: IntGaugeVec,
    /// 1 when a sync failed and the spool acknowledges nothing more, by source.
    pub spool_poisoned: IntGaugeVec,
    /// Ranges of damaged bytes that were skipped and copied to quarantine, by source.
    pub spool_damage: IntCounterVec,
    /// Segments that were removed or replaced under the process and put back, by source.
    pub spool_put_back: IntCounterVec,
    /// 1 for a source that is set aside: it takes and delivers nothing, and the others go on.
    pub source_set_aside: IntGaugeVec,
    /// Items in the quarantine folder, their bytes, and when the oldest came, by source.
    pub quarantine_items: IntGaugeVec,
    pub quarantine_bytes: IntGaugeVec,
    pub quarantine_oldest_seconds: IntGaugeVec,
    /// Items that were removed since they were older than `quarantine.keep`, by source.
    pub quarantine_removed: IntCounterVec,
    /// Events acknowledged by Kafka, by source and topic.
    pub events: IntCounterVec,
    /// The same, by source and stream.
    pub stream_events: IntCounterVec,
    /// What librdkafka says of itself and of its brokers.
    pub kafka: Kafka,
    /// Dead letters acknowledged by Kafka, by source and reason.
    pub dead_letters: IntCounterVec,
    /// Refused events that wait for the dead-letter topic, by source.
    pub dead_letters_waiting: IntGaugeVec,
    /// Events written to quarantine, by source and reason.
    pub quarantined: IntCounterVec,
    /// Events that back-fill brought from Adobe's journal, by source and result: `missed` by the
    /// webhook, `known` since it had brought them, `unidentified` since they have no id, `refused`.
    pub journal_events: IntCounterVec,
    /// Topics held at this moment, by source.
    pub held_topics: IntGaugeVec,
    /// What `held_topics` may reach; a source that has reached it waits.
    pub held_topics_limit: IntGauge,
    /// Times a topic was held, by source.
    pub holds: IntCounterVec,
    pub unanswered_records: IntCounterVec,
    /// Producers replaced after a purge, a fatal error or a change of secrets, by source.
    pub producer_renewals: IntCounterVec,
    /// Ends of transactions in exactly-once delivery, by source and outcome: `committed`,
    /// `committed-late` (without an answer), `aborted`, `fenced`.
    pub transactions: IntCounterVec,
    /// Constant 1: the kind of each source.
    pub source_info: IntGaugeVec,
    /// Records handed to the client library and not yet answered, by source.
    pub in_flight: IntGaugeVec,
    /// When the certificate in use expires, in Unix seconds, by the configuration key of its file.
    pub tls_certificate_expiry: IntGaugeVec,
    /// When it begins to be valid.
    pub tls_certificate_start: IntGaugeVec,
    /// Files that changed and were read again, by configuration key and outcome.
    pub reloads: IntCounterVec,
    /// 0 while what is in the files of a configuration key can't be used and what was read before is.
    pub last_reload_successful: IntGaugeVec,
    /// Fetches of the keys that Adobe I/O signs with, by result.
    pub key_fetches: IntCounterVec,
    /// Validation URLs of Adobe I/O's registrations, by source and what was done with them.
    pub validations: IntCounterVec,
    /// Events passed over because another one had their id, by source and by the other one's source.
    /// One that is read again counts again.
    pub duplicates: IntCounterVec,
    /// Ids that are known, of all sources together.
    pub deduplicate_ids: IntGauge,
    /// What `deduplicate_ids` may reach; 0 when repeats are not recognised.
    pub deduplicate_ids_limit: IntGauge,
    /// When the oldest known id came, in Unix seconds; 0 when there is none.
    pub deduplicate_oldest_seconds: IntGauge,
    /// Ids of delivered events that could not be saved, by source.
    pub deduplicate_unsaved: IntCounterVec,
    /// Files of ids that could not be read to their end, by source.
    pub deduplicate_unreadable: IntCounterVec,
    /// Questions to identity providers, by source, what was asked for and result.
    pub identity_requests: IntCounterVec,
    /// Spans that no collector got, by why; there only while spans are made.
    pub trace_spans_dropped: IntCounterVec,
}

/// What became of the events that `millrace backfill` brought, which reads it.
pub const JOURNAL_EVENTS: &str = "millrace_journal_events_total";

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let counter = |name: &str, help: &str, labels: &[&str]| make.counter(name, help, labels);
        let gauge = |name: &str, help: &str, labels: &[&str]| make.gauge(name, help, labels);
        let one_gauge = |name: &str, help: &str| make.single(name, help);
        let histogram = |name: &str, help: &str| make.seconds(name, help, &["source"]);
        let build =
            gauge("millrace_build_info", "Constant 1, labelled with the version.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let single = one_gauge;
        let start = single("millrace_start_time_seconds", "When the process began.");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        start.set(now.as_secs().try_into().unwrap_or(i64::MAX));
        Self {
            deliveries: counter(
                "millrace_deliveries_total",
                "Answered requests by source and outcome.",
                &["source", "outcome"],
            ),
            tries: make.register(Tries::new()),
            repeated_deliveries: counter(
                "millrace_repeated_deliveries_total",
                "Deliveries whose sender says that it tried before (x-adobe-retry-count).",
                &["source"],
            ),
            answer_seconds: histogram(
                "millrace_answer_seconds",
                "Time from the last byte of a request to its answer.",
            ),
            connections_refused: counter(
                "millrace_connections_refused_total",
                "Connections turned away before a request was read, by reason.",
                &["reason"],
            ),
            sync_seconds: histogram(
                "millrace_spool_sync_seconds",
                "Time of one group commit (write and fdatasync).",
            ),
            spool_bytes: gauge(
                "millrace_spool_undelivered_bytes",
                "Bytes in the spool that are not delivered yet.",
                &["source"],
            ),
            spool_limit_bytes: gauge(
                "millrace_spool_limit_bytes",
                "What the undelivered bytes of a source may reach.",
                &["source"],
            ),
            spool_deliveries: gauge(
                "millrace_spool_undelivered_deliveries",
                "Deliveries in the spool that are not delivered yet.",
                &["source"],
            ),
            spool_seconds_until_full: make.fraction(
                "millrace_spool_seconds_until_full",
                "Until there is no room for more at the rate of the last minutes.",
                &["source"],
            ),
            volume_available_bytes: single(
                "millrace_volume_available_bytes",
                "What the volume of the spool has left.",
            ),
            volume_reserve_bytes: single(
                "millrace_volume_reserve_bytes",
                "What of the volume deliveries never take; below it the service is not ready.",
            ),
            spool_oldest_seconds: gauge(
                "millrace_spool_oldest_undelivered_timestamp_seconds",
                "When the oldest undelivered delivery came; 0 when there is none.",
                &["source"],
            ),
            spool_poisoned: gauge(
                "millrace_spool_poisoned",
                "1 when a sync failed and the spool acknowledges nothing more.",
                &["source"],
            ),
            spool_damage: counter(
                "millrace_spool_damaged_ranges_total",
                "Damaged ranges skipped and copied to quarantine.",
                &["source"],
            ),
            spool_put_back: counter(
                "millrace_spool_segments_put_back_total",
                "Segments removed or replaced under the process, and put back from the open file.",
                &["source"],
            ),
            source_set_aside: gauge(
                "millrace_source_set_aside",
                "1 while the source takes and delivers nothing, since its files need an operator.",
                &["source"],
            ),
            quarantine_items: gauge(
                "millrace_quarantine_items",
                "Items in the quarantine folder.",
                &["source"],
            ),
            quarantine_bytes: gauge(
                "millrace_quarantine_bytes",
                "Bytes of the items in the quarantine folder.",
                &["source"],
            ),
            quarantine_oldest_seconds: gauge(
                "millrace_quarantine_oldest_item_timestamp_seconds",
                "When the oldest item came into the quarantine folder; 0 when it is empty.",
                &["source"],
            ),
            quarantine_removed: counter(
                "millrace_quarantine_removed_total",
                "Items removed from the quarantine folder, older than quarantine.keep.",
                &["source"],
            ),
            events: counter(
                "millrace_events_delivered_total",
                "Events acknowledged by Kafka.",
                &["source", "topic"],
            ),
            stream_events: counter(
                "millrace_stream_events_total",
                "Events acknowledged by Kafka, by stream.",
                &["source", "stream"],
            ),
            kafka: Kafka::new(&make),
            dead_letters: counter(
                "millrace_dead_letters_total",
                "Dead letters acknowledged by Kafka, by reason.",
                &["source", "reason"],
            ),
            dead_letters_waiting: gauge(
                "millrace_dead_letters_waiting",
                "Refused events that wait for the dead-letter topic.",
                &["source"],
            ),
            quarantined: counter(
                "millrace_quarantined_total",
                "Events and damaged ranges written to the quarantine folder, by reason.",
                &["source", "reason"],
            ),
            journal_events: counter(
                JOURNAL_EVENTS,
                "Events brought from the journal: missed by the webhook, known, or unidentified.",
                &["source", "result"],
            ),
            held_topics: gauge("millrace_held_topics", "Topics held at this moment.", &["source"]),
            held_topics_limit: single(
                "millrace_held_topics_limit",
                "How many topics of a source may be held; beyond it the source waits.",
            ),
            source_info: gauge(
                "millrace_source_info",
                "Constant 1, labelled with the kind of each source.",
                &["source", "kind"],
            ),
            holds: counter("millrace_topic_holds_total", "Times a topic was held.", &["source"]),
            unanswered_records: counter(
                "millrace_unanswered_records_total",
                "Records that were sent and never answered, and so were sent again: each may be there twice.",
                &["source"],
            ),
            producer_renewals: counter(
                "millrace_producer_renewals_total",
                "Producers replaced after a purge, a fatal error or a change of secrets.",
                &["source"],
            ),
            transactions: counter(
                "millrace_transactions_total",
                "Ends of transactions in exactly-once delivery.",
                &["source", "outcome"],
            ),
            in_flight: gauge(
                "millrace_records_in_flight",
                "Records handed to the Kafka client and not yet answered.",
                &["source"],
            ),
            tls_certificate_expiry: gauge(
                "millrace_tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use expires, by the key of its file.",
                &["key"],
            ),
            tls_certificate_start: gauge(
                "millrace_tls_certificate_start_timestamp_seconds",
                "When the certificate in use begins to be valid, by the key of its file.",
                &["key"],
            ),
            reloads: counter(
                "millrace_reloads_total",
                "Files that changed and were read again, by key and outcome.",
                &["key", "outcome"],
            ),
            last_reload_successful: gauge(
                "millrace_last_reload_successful",
                "0 while changed files can't be used and what was read before is, by key.",
                &["key"],
            ),
            key_fetches: counter(
                "millrace_public_key_fetches_total",
                "Fetches of the keys that Adobe I/O signs with, by result.",
                &["result"],
            ),
            validations: counter(
                "millrace_adobe_validations_total",
                "Validation URLs of Adobe I/O's registrations, by what was done with them.",
                &["source", "result"],
            ),
            duplicates: counter(
                "millrace_duplicates_total",
                "Events passed over because another one had their id, by that one's source (owner).",
                &["source", "owner"],
            ),
            deduplicate_ids: one_gauge(
                "millrace_deduplicate_ids",
                "Ids of delivered events that are known, of all sources together.",
            ),
            deduplicate_ids_limit: one_gauge(
                "millrace_deduplicate_ids_limit",
                "How many ids may be known; 0 when repeats are not recognised.",
            ),
            deduplicate_oldest_seconds: one_gauge(
                "millrace_deduplicate_oldest_id_timestamp_seconds",
                "When the oldest known id came, of the source with the most: its repeats from before are delivered again.",
            ),
            deduplicate_unsaved: counter(
                "millrace_deduplicate_unsaved_ids_total",
                "Ids of delivered events that could not be saved for the next start.",
                &["source"],
            ),
            deduplicate_unreadable: counter(
                "millrace_deduplicate_unreadable_files_total",
                "Files of ids that could not be read to their end at the start.",
                &["source"],
            ),
            identity_requests: counter(
                "millrace_identity_requests_total",
                "Questions to identity providers (keys, introspection), by result (ok, failed).",
                &["source", "question", "result"],
            ),
            trace_spans_dropped: counter(
                "millrace_trace_spans_dropped_total",
                "Spans that no collector got, by why (queue-full, not-accepted, stopped).",
                &["reason"],
            ),
            registry,
        }
    }

    /// The exposition text (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding writes to memory and the names are static: it can't fail.
        TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap_or_default();
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
