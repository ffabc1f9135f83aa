//! Whether topics may be written, tested without writing: with a record that is larger than the
//! topic allows. A broker checks the permission first and the size then, so it refuses the
//! record either way, and the error tells which.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};

use super::settings::{NoSettings, Settings, settings};
use crate::{
    config,
    kafka::{login::Given, properties},
};

/// Topics that allow records larger than this are not tested: the record would have to be larger still.
const MAX_TESTED_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes by which the record exceeds the topic's limit.
const EXCESS_BYTES: usize = 1024;

/// The topics among `names` that exist and may not be written. Topics for which this cannot be found out (no permission
/// to read the settings, a cluster in trouble) are left out.
pub(super) fn denied(kafka: &config::Kafka, names: &[String], timeout: Duration) -> Vec<String> {
    let limits = limits(kafka, names, timeout);
    let Some(largest) = limits.iter().map(|(_, limit)| *limit).max() else { return Vec::new() };
    let mut native = properties::client(kafka);
    native
        .set("message.max.bytes", (largest + 2 * EXCESS_BYTES).to_string())
        .set("compression.type", "none")
        .set("acks", "all")
        .set("retries", "0")
        .set("message.timeout.ms", timeout.as_millis().max(1).to_string());
    let Ok(producer) = native.create_with_context::<_, BaseProducer<Answers>>(Answers::default())
    else {
        return Vec::new();
    };
    if Given::to_client_of(kafka).first(producer.client()).is_err() {
        return Vec::new();
    }
    let end = Instant::now() + timeout;
    let mut denied = Vec::new();
    for (name, limit) in &limits {
        let record = vec![0_u8; limit + EXCESS_BYTES];
        if producer.send(BaseRecord::<(), _>::to(name).payload(&record)).is_err() {
            continue;
        }
        // One at a time, so that one record is in memory and not one for each topic.
        let answer = loop {
            producer.poll(Duration::from_millis(5));
            if let Some(answer) = producer.context().take() {
                break answer;
            }
            if Instant::now() > end {
                return denied;
            }
        };
        if answer == Some(Code::TopicAuthorizationFailed) {
            denied.push(name.clone());
        }
    }
    denied
}

/// The largest record that each topic allows, in bytes, where the cluster says so.
fn limits(kafka: &config::Kafka, names: &[String], timeout: Duration) -> Vec<(String, usize)> {
    let limit = |(name, settings): (String, Result<Settings, NoSettings>)| {
        let limit = settings.ok()?.get("max.message.bytes")?.parse().ok();
        Some((name, limit.filter(|limit| *limit <= MAX_TESTED_LIMIT)?))
    };
    settings(kafka, names, timeout).into_iter().filter_map(limit).collect()
}

/// The result of the one record on its way: no code if it was, unexpectedly, accepted.
#[derive(Default)]
struct Answers(Mutex<Option<Option<Code>>>);

impl Answers {
    fn take(&self) -> Option<Option<Code>> {
        self.0.lock().take()
    }
}

/// Ignores errors of the connection: the report of the cluster has them.
impl ClientContext for Answers {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let code = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        *self.0.lock() = Some(code);
    }
}
