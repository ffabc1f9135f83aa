//! `sources.<name>.answer`: off by default, and never longer than its sender waits.

use std::time::Duration;

use millrace::config::Answer;

use crate::given::{bad, good};

const DELIVERED: (&str, &str) = ("MILLRACE_SOURCES__LEADS__ANSWER", "delivered");
const WITHIN: &str = "MILLRACE_SOURCES__LEADS__ANSWER_WITHIN";

#[test]
fn answers_wait_for_kafka_only_where_that_is_written() {
    assert_eq!(good(&[(WITHIN, "5s")]).sources[0].answer, Answer::Stored);
    let two = Answer::Delivered { within: Duration::from_secs(2) };
    assert_eq!(good(&[DELIVERED]).sources[0].answer, two);
    let five = Answer::Delivered { within: Duration::from_secs(5) };
    assert_eq!(good(&[DELIVERED, (WITHIN, "5s")]).sources[0].answer, five);
}

#[test]
fn an_answer_that_comes_after_its_sender_has_given_up_is_a_mistake() {
    let key = "sources.leads.answer_within (MILLRACE_SOURCES__LEADS__ANSWER_WITHIN)";
    let slow = ("MILLRACE_LISTEN__REQUEST_TIMEOUT", "1m");
    let exactly_once = ("MILLRACE_KAFKA__DELIVERY", "exactly-once");
    for (written, says) in [
        (&[DELIVERED, slow, (WITHIN, "20s")][..], "below 20 seconds, after which Marketo gives up"),
        (&[DELIVERED, (WITHIN, "8s")], "below listen.request_timeout"),
        (&[DELIVERED, exactly_once, (WITHIN, "500ms")], "above kafka.commit_interval"),
        (&[DELIVERED, (WITHIN, "0s")], "answer_within"),
        (&[("MILLRACE_SOURCES__LEADS__ANSWER", "deliver")], "sources.leads.answer"),
    ] {
        let text = bad(written);
        assert!(text.contains(says), "{text}");
        assert!(text.contains(key) || says.starts_with("sources"), "{text}");
    }
    assert_eq!(good(&[DELIVERED, slow, (WITHIN, "19s")]).sources.len(), 1);

    let audit = [
        ("MILLRACE_SOURCES__AUDIT__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__AUDIT__AUTH__CLIENT_IDS", "client-id"),
        ("MILLRACE_SOURCES__AUDIT__ANSWER", "delivered"),
        ("MILLRACE_SOURCES__AUDIT__ANSWER_WITHIN", "10s"),
        slow,
    ];
    let text = bad(&audit);
    assert!(text.contains("below 10 seconds, after which Adobe I/O gives up"), "{text}");
}
