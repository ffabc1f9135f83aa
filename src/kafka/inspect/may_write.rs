//! Whether topics may be written, found out without writing: with a record that is larger than the
//! topic takes. A broker looks at the permission first and at the size then, so it refuses the
//! record either way, and says why.

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

/// Topics that take records larger than this are not asked: the record would have to be larger still.
const LARGEST: usize = 16 * 1024 * 1024;
/// What a record must be larger by than the topic takes.
const MORE: usize = 1024;

/// Those of `names` that exist and may not be written. What cannot be told (no permission to read a
/// topic's settings, a cluster in trouble) is not among them.
pub(super) fn denied(kafka: &config::Kafka, names: &[String], timeout: Duration) -> Vec<String> {
    let limits = limits(kafka, names, timeout);
    let Some(largest) = limits.iter().map(|(_, limit)| *limit).max() else { return Vec::new() };
    let mut native = properties::client(kafka);
    native
        .set("message.max.bytes", (largest + 2 * MORE).to_string())
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
        let record = vec![0_u8; limit + MORE];
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

/// The largest record that each topic takes, in bytes, where that can be told.
fn limits(kafka: &config::Kafka, names: &[String], timeout: Duration) -> Vec<(String, usize)> {
    let limit = |(name, settings): (String, Result<Settings, NoSettings>)| {
        let limit = settings.ok()?.get("max.message.bytes")?.parse().ok();
        Some((name, limit.filter(|limit| *limit <= LARGEST)?))
    };
    settings(kafka, names, timeout).into_iter().filter_map(limit).collect()
}

/// What became of the one record that is on its way: no code when it was, after all, taken.
#[derive(Default)]
struct Answers(Mutex<Option<Option<Code>>>);

impl Answers {
    fn take(&self) -> Option<Option<Code>> {
        self.0.lock().take()
    }
}

/// What goes wrong is no answer, and the report of the cluster says why.
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
