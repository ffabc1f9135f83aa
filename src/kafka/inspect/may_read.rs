//! Whether a topic may be read, tested at its end: a broker checks the permission first, and there is
//! nothing to read after that.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use crate::{
    config,
    kafka::{login::Given, properties},
};

/// `false` also where that cannot be found out (a cluster in trouble, no answer in time).
pub(super) fn is_denied(kafka: &config::Kafka, topic: &str, timeout: Duration) -> bool {
    let mut native = properties::reader(kafka);
    native.set("enable.partition.eof", "true").set_log_level(RDKafkaLogLevel::Emerg);
    let Ok(consumer) = native.create::<BaseConsumer>() else { return false };
    if Given::to_client_of(kafka).first(consumer.client()).is_err() {
        return false;
    }
    let mut end_of_topic = TopicPartitionList::new();
    let added = end_of_topic.add_partition_offset(topic, 0, Offset::End);
    if added.and_then(|()| consumer.assign(&end_of_topic)).is_err() {
        return false;
    }
    let end = Instant::now() + timeout;
    loop {
        match consumer.poll(end.saturating_duration_since(Instant::now())) {
            None | Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return false,
            Some(Err(error)) => {
                if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
                    return true;
                }
            }
        }
        if Instant::now() > end {
            return false;
        }
    }
}
