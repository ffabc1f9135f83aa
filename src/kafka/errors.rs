//! Kafka's error codes, by the forwarder's reaction.
//!
//! A code that this list does not know is [`Failure::Passing`]: the topic is held and tried again,
//! with an alert. Waiting too long is a nuisance; a dead letter for a record that was only late is a loss.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::produce::Failure;

use super::advice::Advice;

const TIMESTAMP_REMEDY: &str = "the topic's settings message.timestamp.before.max.ms and message.timestamp.after.max.ms \
                     allow no such timestamp: raise them, or, if topics.timestamp (or timestamp in topics.values \
                     or of the source) is `event` or `received`, set it to `produced`; if it is `produced`, compare \
                     this machine's clock with the brokers'";

/// The failure that `code`, reported for one record of `topic`, means.
pub(super) fn failure(code: Code, topic: &str, advice: &Advice) -> Failure {
    let text = |rest: &str| format!("topic `{topic}`: {code}{rest}");
    match code {
        Code::PurgeQueue | Code::PurgeInflight | Code::BrokerDestroy => Failure::Purged,
        // The transaction has failed already, or lasted too long: not the fault of this record.
        Code::State | Code::MessageTimedOut => Failure::Purged,

        // The record itself, or another one of its batch, is refused.
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Failure::Refused(text(
                "; the limits are message.max.bytes here and max.message.bytes of the topic",
            ))
        }
        // For a batch the library has only this code, also for timestamps: the reason for the one record comes
        // when it is sent alone.
        Code::InvalidRecord | Code::InvalidDifferentRecord => Failure::Refused(text(&format!(
            "; the topic does not accept this record, or its timestamp is wrong: {TIMESTAMP_REMEDY}"
        ))),
        Code::PolicyViolation | Code::UnsupportedForMessageFormat | Code::InvalidTopic => {
            Failure::Refused(text(""))
        }

        // The producer's own state is beyond repair.
        Code::Fatal
        | Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::OutOfOrderSequenceNumber
        | Code::GaplessGuarantee
        | Code::Inconsistent => Failure::Fatal(text("")),

        // It may pass, and it helps to say how.
        Code::TopicAuthorizationFailed => {
            Failure::Passing(text(&format!("; run: {}", advice.allow_write(topic))))
        }
        Code::ClusterAuthorizationFailed => {
            Failure::Passing(text(&format!("; run: {}", advice.allow_idempotent_write())))
        }
        _ if is_missing_topic(code) => {
            Failure::Passing(text(&format!("; run: {}", advice.create(topic))))
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::ISRInsufficient => {
            Failure::Passing(text("; fewer replicas in sync than min.insync.replicas asks for"))
        }
        // A wrong clock affects every record: holding the topic loses nothing.
        Code::InvalidTimestamp => Failure::Passing(text(&format!("; {TIMESTAMP_REMEDY}"))),
        _ => Failure::Passing(text("")),
    }
}

/// The failure of a topic that could not join a transaction, with the library's reason.
pub(super) fn kept_out(topic: &str, why: &str, advice: &Advice) -> Failure {
    let mut text = format!("topic `{topic}`: {why}");
    if why.contains("authorization") {
        text.push_str("; run: ");
        text.push_str(&advice.allow_write(topic));
    }
    Failure::Passing(text)
}

/// The failure of a producer beyond repair, with the library's reason.
pub(super) fn fatal(code: Code, reason: &str, advice: &Advice) -> Failure {
    let mut text = format!("the Kafka producer failed permanently: {reason}");
    // Kafka 2.8 and later give a producer id to every client that may write to any topic at all.
    if code == Code::ClusterAuthorizationFailed {
        text.push_str("; let this service write to its topics, or (up to Kafka 2.8) run: ");
        text.push_str(&advice.allow_idempotent_write());
    }
    Failure::Fatal(text)
}

/// Whether `code` says that the topic or the partition is not there.
pub(super) fn is_missing_topic(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
    )
}

/// Whether `code` came from a broker rather than from the library.
pub(super) fn is_brokers_word(code: Code) -> bool {
    code as i32 > 0
}

/// Whether an operator must act before the cluster can be reached at all.
pub(super) fn needs_operator(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::UnsupportedFeature
    )
}

/// The code inside an error of the library, where it has one.
pub(super) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn advice() -> Advice {
        let kafka = config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: Default::default(),
            queue_size: 1,
            delivery: Default::default(),
        };
        Advice::new(&kafka, None)
    }

    fn of(code: Code) -> Failure {
        failure(code, "marketo.lead-activity.click-link", &advice())
    }

    #[test]
    fn what_is_wrong_with_the_record_is_refused() {
        for code in [Code::MessageSizeTooLarge, Code::InvalidRecord, Code::PolicyViolation] {
            assert!(matches!(of(code), Failure::Refused(_)), "{code:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_producer_is_fatal() {
        for code in [Code::Fatal, Code::OutOfOrderSequenceNumber, Code::ProducerFenced] {
            assert!(matches!(of(code), Failure::Fatal(_)), "{code:?}");
        }
    }

    #[test]
    fn an_unknown_code_may_pass() {
        for code in [Code::Unknown, Code::Fail, Code::UnstableOffsetCommit] {
            assert!(matches!(of(code), Failure::Passing(_)), "{code:?}");
        }
    }

    #[test]
    fn a_wrong_clock_dead_letters_nothing() {
        assert!(matches!(of(Code::InvalidTimestamp), Failure::Passing(_)));
    }

    #[test]
    fn a_batch_that_a_wrong_clock_may_have_spoilt_says_so_at_once() {
        for code in [Code::InvalidTimestamp, Code::InvalidRecord, Code::InvalidDifferentRecord] {
            assert!(of(code).to_string().contains("this machine's clock"), "{code:?}");
        }
    }

    #[test]
    fn purged_records_are_no_failure_of_theirs() {
        assert_eq!(of(Code::PurgeQueue), Failure::Purged);
        assert_eq!(of(Code::PurgeInflight), Failure::Purged);
    }

    #[test]
    fn the_text_names_the_topic_the_code_and_what_to_run() {
        let text = of(Code::TopicAuthorizationFailed).to_string();
        assert!(text.contains("`marketo.lead-activity.click-link`"), "{text}");
        assert!(text.contains("TopicAuthorizationFailed"), "{text}");
        assert!(text.contains("kafka-acls.sh --bootstrap-server b:9092 --add"), "{text}");
        let text = of(Code::UnknownTopicOrPartition).to_string();
        assert!(text.contains("kafka-topics.sh --bootstrap-server b:9092 --create"), "{text}");
    }
}
