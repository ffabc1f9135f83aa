//! All metrics, in Prometheus' terms: each is a row of the table here.
//!
//! A row has a comment (its help, and its meaning in `deploy/METRICS.md`, which a test compares with the
//! table), its field in [`Metrics`], its further labels, its type and its name. Metrics of the process are
//! shown from the start, metrics of a source from [`Metrics::announce`] on, and metrics with further labels
//! once a value of these is known (`metrics/announce.rs`).
//!
//! Label values are bounded: sources are configured, topics are limited (`topics.limit`), outcomes
//! and reasons are words from this program.

mod announce;
mod contact;
mod exemplars;
mod openmetrics;
mod process;
pub mod recent;
mod row;
pub mod settled;
mod tries;

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{
    Counter, Encoder, Gauge, Histogram, IntCounter, IntGauge, Registry, TextEncoder,
    core::Collector, proto::MetricFamily,
};

use self::row::{metrics, row};

pub use self::{
    contact::Contact,
    exemplars::Exemplars,
    recent::{Recent, Request},
    row::{LongHistogram, Metric, Row},
    settled::Settled,
    tries::Tries,
};

/// Name of the metric that counts events of `millrace backfill`, by result; that command reads it.
pub const JOURNAL_EVENTS: &str = "millrace_journal_events_total";

metrics! {
    process:

    /// When the process began.
    start_time_seconds: IntGauge = "millrace_start_time_seconds";

    /// When the process began, under the name that all Prometheus clients use.
    process_start_time_seconds: IntGauge = "process_start_time_seconds";

    /// Processor time of the process, of users and system.
    process_cpu_seconds: Counter = "process_cpu_seconds_total";

    /// Resident memory of the process.
    process_resident_memory_bytes: IntGauge = "process_resident_memory_bytes";

    /// Virtual memory of the process.
    process_virtual_memory_bytes: IntGauge = "process_virtual_memory_bytes";

    /// Open file descriptors.
    process_open_fds: IntGauge = "process_open_fds";

    /// How many file descriptors may be open.
    process_max_fds: IntGauge = "process_max_fds";

    /// Threads of the process.
    process_threads: IntGauge = "process_threads";

    /// Free bytes on the volume of the spool.
    volume_available_bytes: IntGauge = "millrace_volume_available_bytes";

    /// Bytes of the volume that deliveries never take; below it the service is not ready.
    volume_reserve_bytes: IntGauge = "millrace_volume_reserve_bytes";

    /// How many topics of a source may be held; beyond it the source waits.
    held_topics_limit: IntGauge = "millrace_held_topics_limit";

    /// Ids of delivered events that are known, of all sources together.
    deduplicate_ids: IntGauge = "millrace_deduplicate_ids";

    /// How many ids may be known; 0 when repeats are not recognised.
    deduplicate_ids_limit: IntGauge = "millrace_deduplicate_ids_limit";

    /// When the oldest known id came, of the source with the most: its repeats from before are delivered
    /// again.
    deduplicate_oldest_seconds: IntGauge = "millrace_deduplicate_oldest_id_timestamp_seconds";

    /// Ids of settled events that the other replicas were told (topics.ids), in exactly-once delivery behind the
    /// commit.
    shared_ids_sent: IntCounter = "millrace_shared_ids_sent_total";

    /// Ids of settled events that the other replicas were not told, since their topic took no records.
    shared_ids_unsent: IntCounter = "millrace_shared_ids_unsent_total";

    /// Ids of events that other replicas have settled, as they told it.
    shared_ids_read: IntCounter = "millrace_shared_ids_read_total";

    /// Schemas that the registry has given no id for, so that their topics are held.
    schemas_missing: IntGauge = "millrace_schemas_missing";

    /// Bytes of bodies that are in memory until they are stored.
    body_budget_used_bytes: IntGauge = "millrace_body_budget_used_bytes";

    /// How many bytes of bodies may be in memory (listen.body_budget).
    body_budget_bytes: IntGauge = "millrace_body_budget_bytes";

    source:

    /// Deliveries whose sender says that it tried before (x-adobe-retry-count).
    repeated_deliveries: IntCounter = "millrace_repeated_deliveries_total";

    /// Bytes of bodies that came whole, as they were sent (compressed ones before they are inflated).
    received_bytes: IntCounter = "millrace_received_bytes_total";

    /// Time from the last byte of a request to its answer.
    answer_seconds: Histogram = "millrace_answer_seconds";

    /// Time of one group commit (write and fdatasync).
    sync_seconds: Histogram = "millrace_spool_sync_seconds";

    /// Bytes in the spool that are not delivered yet.
    spool_bytes: IntGauge = "millrace_spool_undelivered_bytes";

    /// How many undelivered bytes a source may have.
    spool_limit_bytes: IntGauge = "millrace_spool_limit_bytes";

    /// Deliveries in the spool that are not delivered yet.
    spool_deliveries: IntGauge = "millrace_spool_undelivered_deliveries";

    /// Seconds until the spool is full at the rate of the last minutes; infinite while the spool does not
    /// grow.
    spool_seconds_until_full: Gauge = "millrace_spool_seconds_until_full";

    /// When the oldest undelivered delivery came; 0 when there is none.
    spool_oldest_seconds: IntGauge = "millrace_spool_oldest_undelivered_timestamp_seconds";

    /// 1 when a sync failed and the spool acknowledges nothing more.
    spool_poisoned: IntGauge = "millrace_spool_poisoned";

    /// Damaged ranges skipped and copied to quarantine.
    spool_damage: IntCounter = "millrace_spool_damaged_ranges_total";

    /// Segments removed or replaced under the process, and put back from the open file.
    spool_put_back: IntCounter = "millrace_spool_segments_put_back_total";

    /// 1 while the source takes and delivers nothing, since its files need an operator.
    source_set_aside: IntGauge = "millrace_source_set_aside";

    /// Items in the quarantine folder.
    quarantine_items: IntGauge = "millrace_quarantine_items";

    /// Bytes of the items in the quarantine folder.
    quarantine_bytes: IntGauge = "millrace_quarantine_bytes";

    /// When the oldest item came into the quarantine folder; 0 when it is empty.
    quarantine_oldest_seconds: IntGauge = "millrace_quarantine_oldest_item_timestamp_seconds";

    /// Items removed from the quarantine folder, older than quarantine.keep.
    quarantine_removed: IntCounter = "millrace_quarantine_removed_total";

    /// Refused events that wait for the dead-letter topic.
    dead_letters_waiting: IntGauge = "millrace_dead_letters_waiting";

    /// Topics held at this moment.
    held_topics: IntGauge = "millrace_held_topics";

    /// Times that a topic was held.
    holds: IntCounter = "millrace_topic_holds_total";

    /// Records that were sent and never answered, and so were sent again: each may be there twice.
    unanswered_records: IntCounter = "millrace_unanswered_records_total";

    /// Producers replaced after a purge, a fatal error or a change of secrets.
    producer_renewals: IntCounter = "millrace_producer_renewals_total";

    /// Records handed to the Kafka client and not yet answered.
    in_flight: IntGauge = "millrace_records_in_flight";

    /// Ids of delivered events that could not be saved for the next start.
    deduplicate_unsaved: IntCounter = "millrace_deduplicate_unsaved_ids_total";

    /// Files of ids that could not be read to their end at the start.
    deduplicate_unreadable: IntCounter = "millrace_deduplicate_unreadable_files_total";

    /// Time from handing a record to the Kafka client to its acknowledgement.
    produce_seconds: Histogram = "millrace_produce_seconds";

    /// Records in the queue of the Kafka client.
    kafka_queue_records: IntGauge = "millrace_kafka_queue_records";

    /// Bytes in the queue of the Kafka client, as it counts them.
    kafka_queue_bytes: IntGauge = "millrace_kafka_queue_bytes";

    /// How many bytes may be in the queue of the Kafka client.
    kafka_queue_limit_bytes: IntGauge = "millrace_kafka_queue_limit_bytes";

    /// Time from the receipt of a delivery to the acknowledgement of each of its events by Kafka.
    acknowledged_seconds: LongHistogram = "millrace_acknowledged_seconds";

    /// Time from the receipt of a delivery until each of its events counts as delivered: its acknowledgement,
    /// and in exactly-once delivery the commit.
    delivered_seconds: LongHistogram = "millrace_delivered_seconds";

    labelled:

    /// Constant 1, labelled with the version.
    build_info[version]: IntGauge = "millrace_build_info";

    /// Answered requests by source and outcome (the words of src/ANSWERS.md).
    deliveries[source, outcome]: IntCounter = "millrace_deliveries_total";

    /// Refused requests and connections by source and reason (the words of /api/v1/words).
    refusals[source, reason]: IntCounter = "millrace_refusals_total";

    /// Open connections, by listener (deliveries, admin).
    connections[listener]: IntGauge = "millrace_connections";

    /// How many connections a listener may have (listen.connections).
    connections_limit[listener]: IntGauge = "millrace_connections_limit";

    /// Connections turned away before a request was read, by reason.
    connections_refused[reason]: IntCounter = "millrace_connections_refused_total";

    /// Events acknowledged by Kafka.
    events[source, topic]: IntCounter = "millrace_events_delivered_total";

    /// Events acknowledged by Kafka, by stream.
    stream_events[source, stream]: IntCounter = "millrace_stream_events_total";

    /// Dead letters acknowledged by Kafka, by reason.
    dead_letters[source, reason]: IntCounter = "millrace_dead_letters_total";

    /// Events and damaged ranges written to the quarantine folder, by reason.
    quarantined[source, reason]: IntCounter = "millrace_quarantined_total";

    /// Deliveries answered 200 of sources with answer = "delivered", by what the answer said: delivered (Kafka had all
    /// of it), or stored (it was on the disk, and Kafka not that far).
    answers[source, answer]: IntCounter = "millrace_answers_total";

    /// Events that the source does not take, by the kind of key that says so: instance (munchkin_ids),
    /// not-included (include), stream, type, id (exclude).
    left_out[source, why]: IntCounter = "millrace_events_left_out_total";

    /// Events brought from the journal: missed by the webhook, known, unidentified (without an id),
    /// left-out (not taken), or refused.
    journal_events[source, result]: IntCounter = JOURNAL_EVENTS;

    /// Activities of a lead's life of which no state could be made, by reason (topics.lead_state).
    lead_states_missing[source, reason]: IntCounter = "millrace_lead_states_missing_total";

    /// Constant 1, labelled with the kind of each source.
    source_info[source, kind]: IntGauge = "millrace_source_info";

    /// Ends of transactions in exactly-once delivery: committed, committed-late (without an answer),
    /// aborted, fenced.
    transactions[source, outcome]: IntCounter = "millrace_transactions_total";

    /// When the certificate in use expires, by the key of its file.
    tls_certificate_expiry[key]: IntGauge = "millrace_tls_certificate_expiry_timestamp_seconds";

    /// When the certificate in use begins to be valid, by the key of its file.
    tls_certificate_start[key]: IntGauge = "millrace_tls_certificate_start_timestamp_seconds";

    /// Files that changed and were read again, by key and outcome.
    reloads[key, outcome]: IntCounter = "millrace_reloads_total";

    /// 0 while the files of a configuration key cannot be used and their previous content is, by key.
    last_reload_successful[key]: IntGauge = "millrace_last_reload_successful";

    /// Fetches of the keys that Adobe I/O signs with, by result.
    key_fetches[result]: IntCounter = "millrace_public_key_fetches_total";

    /// Validation URLs of Adobe I/O's registrations, by result.
    validations[source, result]: IntCounter = "millrace_adobe_validations_total";

    /// Events passed over because another one had their id, by that one's source (owner).
    duplicates[source, owner]: IntCounter = "millrace_duplicates_total";

    /// Records of the topic of ids that were passed by, by why (damaged, version, rule, other-topics).
    shared_ids_passed_by[why]: IntCounter = "millrace_shared_ids_passed_by_total";

    /// 1 while the topic of ids can be written or read, by which of both (write, read); absent without topics.ids.
    shared_ids_available[what]: IntGauge = "millrace_shared_ids_available";

    /// Questions to identity providers (keys, introspection), by result (ok, failed).
    identity_requests[source, question, result]: IntCounter = "millrace_identity_requests_total";

    /// Answers of the schema registry, by outcome (found, away, incompatible, denied, missing, invalid, failed).
    schema_requests[outcome]: IntCounter = "millrace_schema_registry_requests_total";

    /// Spans that no collector got, by reason (queue-full, not-accepted, stopped).
    trace_spans_dropped[reason]: IntCounter = "millrace_trace_spans_dropped_total";

    /// 1 while there is a connection to the broker.
    kafka_broker_connected[source, broker]: IntGauge = "millrace_kafka_broker_connected";

    /// The 99th percentile of the times that requests to the broker took lately.
    kafka_round_trip_seconds[source, broker]: Gauge = "millrace_kafka_round_trip_seconds";

    /// Requests that the broker did not answer in time.
    kafka_request_timeouts[source, broker]: IntCounter = "millrace_kafka_request_timeouts_total";

    /// Requests other than those with records that were sent to the broker once more.
    kafka_request_retries[source, broker]: IntCounter = "millrace_kafka_request_retries_total";

    /// Requests to the broker that could not be sent, and answers that could not be read.
    kafka_request_errors[source, broker]: IntCounter = "millrace_kafka_request_errors_total";

    /// Connections to the broker that ended.
    kafka_disconnects[source, broker]: IntCounter = "millrace_kafka_disconnects_total";

    /// Tries of the last 24 hours as the sender counts them, by result (accepted, failed).
    sender_tries[source, result]: IntGauge = "millrace_sender_tries";

    /// Failed tries since the last one that was accepted.
    sender_failed_in_a_row[source]: IntGauge = "millrace_sender_failed_in_a_row";

    /// Failed tries in a row from now on that make the sender pause or disable its subscription.
    sender_failures_left[source]: IntGauge = "millrace_sender_failures_left";
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self::registered();
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.as_secs().try_into().unwrap_or(i64::MAX);
        metrics.start_time_seconds.set(now);
        metrics.process_start_time_seconds.set(now);
        metrics
    }

    /// Returns the media type and the text for a scraper that sends this `Accept`.
    pub fn exposition(&self, accept: &str) -> (&'static str, String) {
        process::refresh(self);
        if openmetrics::is_asked_for(accept) {
            (openmetrics::MEDIA_TYPE, self.render_openmetrics())
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", self.render())
        }
    }

    /// Gathers all metrics, after reading those of the process.
    pub fn snapshot(&self) -> Vec<MetricFamily> {
        process::refresh(self);
        self.gather()
    }

    /// Gathers all metrics without reading those of the process once more.
    fn gather(&self) -> Vec<MetricFamily> {
        self.tries.show(self);
        self.registry.gather()
    }

    pub(super) fn render_openmetrics(&self) -> String {
        openmetrics::render(&self.gather(), &self.exemplars)
    }

    /// Returns the gauges of a family, by the value of one label.
    pub fn labelled_gauges(&self, family: &dyn Collector, label: &str) -> Vec<(String, f64)> {
        let families = family.collect();
        let all = families.iter().flat_map(|family| family.get_metric());
        let named = all.filter_map(|metric| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == label)?;
            Some((pair.value().to_owned(), metric.get_gauge().get_value()))
        });
        named.collect()
    }

    /// Returns Prometheus' exposition text (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding writes to memory and the names are static: it cannot fail.
        TextEncoder::new().encode(&self.gather(), &mut text).unwrap_or_default();
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
