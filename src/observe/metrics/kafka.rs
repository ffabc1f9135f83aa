//! What librdkafka says of its queue and of the brokers that it speaks to.
//!
//! A broker is named by its number, and only those that a source's producer was ever connected to are
//! named: topics and partitions, which would be many, are not.

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::make::Maker;

#[derive(Clone)]
pub struct Kafka {
    /// From handing a record to the client library to the acknowledgement, in seconds, by source.
    pub produce_seconds: HistogramVec,
    /// Records in the library's queue, by source; their bytes; and what these may reach.
    pub queue_records: IntGaugeVec,
    pub queue_bytes: IntGaugeVec,
    pub queue_limit_bytes: IntGaugeVec,
    /// 1 while there is a connection, by source and broker.
    pub broker_connected: IntGaugeVec,
    /// Of a request to the broker and back, of 99 in 100 in the last interval.
    pub round_trip_seconds: GaugeVec,
    /// Requests that the broker did not answer in time; that were sent once more (the library counts
    /// those with records anew); and that failed.
    pub request_timeouts: IntCounterVec,
    pub request_retries: IntCounterVec,
    pub request_errors: IntCounterVec,
    /// Connections to the broker that ended.
    pub disconnects: IntCounterVec,
}

impl Kafka {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let broker = ["source", "broker"];
        Self {
            produce_seconds: make.seconds(
                "millrace_produce_seconds",
                "Time from handing a record to the Kafka client to its acknowledgement.",
                &["source"],
            ),
            queue_records: make.gauge(
                "millrace_kafka_queue_records",
                "Records in the queue of the Kafka client.",
                &["source"],
            ),
            queue_bytes: make.gauge(
                "millrace_kafka_queue_bytes",
                "Bytes in the queue of the Kafka client, as it counts them.",
                &["source"],
            ),
            queue_limit_bytes: make.gauge(
                "millrace_kafka_queue_limit_bytes",
                "What the bytes in the queue of the Kafka client may reach.",
                &["source"],
            ),
            broker_connected: make.gauge(
                "millrace_kafka_broker_connected",
                "1 while there is a connection to the broker.",
                &broker,
            ),
            round_trip_seconds: make.fraction(
                "millrace_kafka_round_trip_seconds",
                "The 99th percentile of the times that requests to the broker took lately.",
                &broker,
            ),
            request_timeouts: make.counter(
                "millrace_kafka_request_timeouts_total",
                "Requests that the broker did not answer in time.",
                &broker,
            ),
            request_retries: make.counter(
                "millrace_kafka_request_retries_total",
                "Requests other than those with records that were sent to the broker once more.",
                &broker,
            ),
            request_errors: make.counter(
                "millrace_kafka_request_errors_total",
                "Requests to the broker that could not be sent, and answers that could not be read.",
                &broker,
            ),
            disconnects: make.counter(
                "millrace_kafka_disconnects_total",
                "Connections to the broker that ended.",
                &broker,
            ),
        }
    }

    pub(super) fn announce(&self, source: &str) {
        self.produce_seconds.with_label_values(&[source]);
        for gauge in [&self.queue_records, &self.queue_bytes, &self.queue_limit_bytes] {
            gauge.with_label_values(&[source]);
        }
    }
}
