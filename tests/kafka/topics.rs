//! `millrace topics --create` against a real broker.

use std::{process::Command, time::Duration};

use crate::{
    admin, broker,
    consumers::topics,
    support::{bridge::TOKEN, wait},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it; returns whether it was content, and what it printed.
fn create(address: &str, prefix: &str, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["topics", "--create"])
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", address)
        .env("MILLRACE_TOPICS__NAME", format!("{prefix}.{{stream}}"))
        .env("MILLRACE_TOPICS__DEAD_LETTER", format!("{prefix}.dead-letter"))
        .env("MILLRACE_SOURCES__IO__KIND", "adobe-io")
        .env("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "us")
        .env("MILLRACE_SOURCES__IO__AUTH__TOKENS", TOKEN)
        .envs(settings.iter().map(|(key, value)| (format!("MILLRACE_{key}"), value)))
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn missing_topics_are_made_and_those_that_differ_are_named_and_left_alone() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("create"));
    let audit = format!("{prefix}.user-audit");
    admin::create_topic(&address, &audit, 1);
    let settings = [("TOPICS__PARTITIONS", "2"), ("TOPICS__CONFIG__RETENTION_MS", "1000000")];

    let (code, text) = create(&address, &prefix, &settings);

    assert_eq!(code, Some(1), "one differs: {text}");
    assert!(text.contains("partitions: 1, wanted 2; retention.ms: "), "{text}");
    assert!(text.contains("5 topics: 4 made, 1 differ, 0 failed"), "{text}");
    // A broker lists what it was told of a moment later.
    for name in ["lead-activity", "notification", "observability", "dead-letter"] {
        let topic = format!("{prefix}.{name}");
        wait::until(name, PATIENCE, || topics(&address).get(&topic) == Some(&2));
    }
    assert_eq!(topics(&address).get(&audit), Some(&1));

    admin::delete_topic(&address, &audit);
    wait::until("a topic that is gone", PATIENCE, || !topics(&address).contains_key(&audit));
    let (code, text) = create(&address, &prefix, &settings);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = create(&address, &prefix, &settings);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 made, 0 differ, 0 failed"), "{text}");
}

#[test]
fn a_name_that_differs_from_an_existing_one_in_dots_and_underscores_alone_is_told_so() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("alike"));
    let existing = format!("{prefix}_user-audit");
    admin::create_topic(&address, &existing, 1);
    let (code, text) = create(&address, &prefix, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("4 made, 0 differ, 1 failed"), "{text}");
    assert!(
        text.contains(&format!("`{existing}` exists, and Kafka takes names that differ")),
        "{text}"
    );
    assert!(!text.contains("InvalidTopic"), "{text}");
}

#[test]
fn topics_that_the_cluster_refuses_are_named_with_what_to_do() {
    let (address, prefix) = (broker::shared(), broker::own_prefix("refused"));
    let (code, text) = create(&address, &prefix, &[("TOPICS__REPLICATION_FACTOR", "9")]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("change topics.replication_factor"), "{text}");
    assert!(text.contains("0 made, 0 differ, 5 failed"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
}
