//! Bad combinations are refused.

use crate::given::{good, mistake, with_file};

const EXACTLY_ONCE: (&str, &str) = ("MILLRACE_KAFKA__DELIVERY", "exactly-once");

#[test]
fn combinations_that_would_break_a_promise_are_refused() {
    let cases: [(&[(&str, &str)], &str); 30] = [
        (&[("MILLRACE_LISTEN__BODY_BUDGET", "64MB")], "listen.body_limit_inflated"),
        (
            &[
                ("MILLRACE_LISTEN__BODY_LIMIT", "40MiB"),
                ("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "30MiB"),
            ],
            "listen.body_limit_inflated",
        ),
        (
            &[
                ("MILLRACE_SPOOL__RESERVE", "5GiB"),
                ("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "4GiB"),
                ("MILLRACE_LISTEN__BODY_BUDGET", "8GiB"),
            ],
            "listen.body_limit_inflated",
        ),
        (&[("MILLRACE_SPOOL__SIZE_LIMIT", "64MiB")], "listen.body_limit_inflated"),
        (
            &[
                ("MILLRACE_SPOOL__SIZE_LIMIT", "128MiB"),
                ("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"),
                ("MILLRACE_SOURCES__OTHER__AUTH__TOKENS", "another-token-of-some-length"),
            ],
            "listen.body_limit_inflated",
        ),
        (&[("MILLRACE_LISTEN__HEADER_LIMIT", "4KiB")], "listen.header_limit"),
        (&[("MILLRACE_LISTEN__HEADER_LIMIT", "2MiB")], "listen.header_limit"),
        (&[("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:8080")], "admin.address"),
        (&[("MILLRACE_SPOOL__SEGMENT_SIZE", "1KiB")], "spool.segment_size"),
        (&[("MILLRACE_SPOOL__RESERVE", "4KiB")], "spool.reserve"),
        (&[("MILLRACE_SPOOL__RESERVE", "65MiB")], "spool.reserve"),
        (&[("MILLRACE_TOPICS__NAME", "marketo.dead-letter")], "topics.dead_letter"),
        (&[("MILLRACE_SOURCES__LEADS__SIZE_LIMIT", "11GiB")], "sources.leads.size_limit"),
        (&[("MILLRACE_SOURCES__LEADS__SIZE_LIMIT", "64MiB")], "sources.leads.size_limit"),
        (&[("MILLRACE_TOPICS__CHECKPOINTS", "marketo.dead-letter")], "topics.checkpoints"),
        (&[("MILLRACE_TOPICS__LEAD_STATE", "marketo.dead-letter")], "topics.lead_state"),
        (&[("MILLRACE_TOPICS__IDS", "marketo.checkpoints")], "topics.ids"),
        (&[("MILLRACE_TOPICS__IDS", "not a name")], "topics.ids"),
        (&[("MILLRACE_TOPICS__IDS", "ids"), ("MILLRACE_DEDUPLICATE__WINDOW", "0")], "topics.ids"),
        (
            &[("MILLRACE_TOPICS__IDS", "ids"), ("MILLRACE_ADMIN__TEST_TOPIC", "ids")],
            "admin.test_topic",
        ),
        (&[("MILLRACE_TOPICS__LEAD_STATE", "marketo.lead-activity.newlead")], "topics.lead_state"),
        (&[("MILLRACE_KAFKA__PROPERTIES__TRANSACTION_TIMEOUT_MS", "1")], "kafka.properties"),
        (&[EXACTLY_ONCE, ("MILLRACE_FORWARD__HOLD_AFTER", "8m")], "forward.hold_after"),
        (&[EXACTLY_ONCE, ("MILLRACE_KAFKA__COMMIT_INTERVAL", "20s")], "kafka.commit_interval"),
        (
            &[EXACTLY_ONCE, ("MILLRACE_KAFKA__TRANSACTION_TIMEOUT", "30s")],
            "kafka.transaction_timeout",
        ),
        (
            &[EXACTLY_ONCE, ("MILLRACE_KAFKA__TRANSACTION_TIMEOUT", "16m")],
            "kafka.transaction_timeout",
        ),
        (
            &[
                EXACTLY_ONCE,
                ("MILLRACE_KAFKA__TRANSACTION_TIMEOUT", "500ms"),
                ("MILLRACE_KAFKA__COMMIT_INTERVAL", "100ms"),
                ("MILLRACE_FORWARD__HOLD_AFTER", "100ms"),
            ],
            "kafka.transaction_timeout",
        ),
        (&[("MILLRACE_KAFKA__QUEUE_SIZE", "1MiB")], "kafka.queue_size"),
        (&[("MILLRACE_KAFKA__PROPERTIES__MESSAGE_MAX_BYTES", "100000000")], "kafka.queue_size"),
        (
            &[
                ("MILLRACE_KAFKA__QUEUE_SIZE", "3MiB"),
                ("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"),
                ("MILLRACE_SOURCES__OTHER__AUTH__TOKENS", "x"),
            ],
            "kafka.queue_size",
        ),
    ];
    for (variables, key) in cases {
        let text = mistake(variables);
        assert!(text.starts_with(key), "{variables:?}: {text}");
    }
}

#[test]
fn a_body_limit_above_the_budget_is_refused() {
    let text = mistake(&[
        ("MILLRACE_LISTEN__BODY_LIMIT", "65MiB"),
        ("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "65MiB"),
        ("MILLRACE_LISTEN__BODY_BUDGET", "65MiB"),
        ("MILLRACE_SPOOL__SIZE_LIMIT", "65MiB"),
    ]);
    assert!(text.starts_with("listen.body_limit_inflated"), "{text}");
    let text = crate::given::bad(&[("MILLRACE_LISTEN__BODY_LIMIT", "65MiB")]);
    assert!(text.contains("listen.body_limit (MILLRACE_LISTEN__BODY_LIMIT) is above"), "{text}");
}

#[test]
fn free_ports_and_different_addresses_are_no_conflict() {
    good(&[
        ("MILLRACE_LISTEN__ADDRESS", "127.0.0.1:0"),
        ("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:0"),
    ]);
    good(&[
        ("MILLRACE_LISTEN__ADDRESS", "10.0.0.1:80"),
        ("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:80"),
    ]);
}

/// Every key that names one topic.
const TOPICS: [&str; 6] = [
    "topics.name",
    "topics.dead_letter",
    "topics.checkpoints",
    "topics.lead_state",
    "topics.ids",
    "admin.test_topic",
];

fn variable(key: &str) -> String {
    format!("MILLRACE_{}", key.to_uppercase().replace('.', "__"))
}

#[test]
fn no_two_purposes_share_a_topic_and_both_keys_are_named() {
    for (number, one) in TOPICS.iter().enumerate() {
        for other in &TOPICS[number + 1..] {
            for names in [("shared.topic", "shared.topic"), ("shared.topic", "shared_topic")] {
                let text = mistake(&[(&variable(one), names.0), (&variable(other), names.1)]);
                assert!(text.starts_with(other), "{one}, {other}: {text}");
                assert!(text.contains("shared.topic") && text.contains(one), "{text}");
                assert!(text.contains("need a topic each"), "{text}");
            }
        }
    }
}

#[test]
fn a_topic_that_is_the_default_of_another_purpose_is_the_mistake_of_the_key_that_was_set() {
    for key in ["topics.ids", "topics.lead_state", "topics.checkpoints", "topics.dead_letter"] {
        let text = mistake(&[(&variable(key), "marketo.test")]);
        assert!(text.starts_with(key) && text.contains("so is admin.test_topic"), "{text}");
    }
}

#[test]
fn a_topic_of_kafkas_own_a_number_and_a_boolean_are_no_topics() {
    for key in TOPICS {
        let text = mistake(&[(&variable(key), "__consumer_offsets")]);
        assert!(text.starts_with(key) && text.contains("the internal topics of Kafka"), "{text}");
    }
    for written in ["false", "true", "5", "-1", "1.5", "[]"] {
        for key in TOPICS[1..5].iter().map(|key| key.replace("topics.", "")) {
            let file = format!("[topics]\n{key} = {written}\n");
            let text = with_file(&file, &[]).expect_err(&file).to_string();
            assert!(text.contains(&format!("topics.{key} (")), "{text}");
            assert!(text.contains("Write 1 to 249 letters"), "{text}");
        }
    }
    let text = mistake(&[("MILLRACE_TOPICS__IDS", "false")]);
    assert!(text.contains("is `false`, which is no name of a topic, but a boolean"), "{text}");
    assert!(text.contains("or take the key out"), "{text}");
}
