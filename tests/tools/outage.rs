//! What the log says while Kafka is away.

use std::{process::Command, time::Duration};

use serde_json::Value;

use crate::support::{
    bridge::{Bridge, LEADS, Settings, TOKEN},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: &[u8] = br#"{"munchkinId":"999-XYZ-000","activities":[{"id":1,"leadId":2,"activityTypeId":13,"activityDate":"2026-01-01T00:00:00Z"}]}"#;

/// Lines about an outage that lasts.
fn lines(bridge: &Bridge) -> Vec<Value> {
    let lines = bridge.log().into_iter().filter_map(|line| serde_json::from_str(&line).ok());
    let is_one = |line: &Value| {
        line["message"].as_str().is_some_and(|it| it.starts_with("Kafka has not answered for "))
    };
    lines.filter(is_one).collect()
}

#[test]
fn an_outage_that_lasts_is_told_of_again_and_again_with_what_waits_of_each_source() {
    let settings = Settings::new("127.0.0.1:1", "unused")
        .set("LOG__OUTAGE_INTERVAL", "1s")
        .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
        .set("SOURCES__OTHER__AUTH__TOKENS", "another-token");
    let bridge = Bridge::start(settings);
    wait::until("a line without a backlog", PATIENCE, || !lines(&bridge).is_empty());
    let first = &lines(&bridge)[0];
    assert!(first["source"].is_null() && first["level"] == "WARN", "{first}");

    assert_eq!(bridge.client().deliver(LEADS, TOKEN, BATCH).unwrap().status, 200);
    let waiting = || -> Vec<_> {
        lines(&bridge).into_iter().filter(|line| line["undelivered_deliveries"] == 1).collect()
    };
    wait::until("two lines with a backlog", PATIENCE, || waiting().len() >= 2);
    for line in waiting() {
        let text = line["message"].as_str().unwrap();
        assert!(text.contains(": 1 delivery (") && text.contains(", the oldest for "), "{line}");
        assert!(
            line["source"] == "leads" && line["undelivered_bytes"].as_u64() > Some(40),
            "{line}"
        );
        assert!(line["oldest_seconds"].is_u64() && line["away_seconds"].is_u64(), "{line}");
    }
}

/// Each of them reads the dead-letter topic.
#[test]
fn a_command_that_reads_from_kafka_says_in_one_line_that_no_broker_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millrace.toml");
    let settings = "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\n[sources.leads]\n\
                    kind = \"marketo-lead-activity\"\nauth.tokens = [\"a-token-of-the-test\"]\n";
    std::fs::write(&file, settings).unwrap();
    let commands: [&[&str]; 5] = [
        &["dead-letters", "list"],
        &["dead-letters", "show", "0.1"],
        &["dead-letters", "replay", "--all"],
        // A type is a choice, and a dry run needs none.
        &["dead-letters", "replay", "--type", "clicklink"],
        &["dead-letters", "replay", "--dry-run"],
    ];
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(command)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // One that sends has a producer too, which says once that Kafka does not answer.
        let most = 1 + usize::from(command.contains(&"replay"));
        assert!(said.lines().count() <= most, "{command:?}: {said}");
        assert!(said.contains("cannot read from Kafka"), "{command:?}: {said}");
    }
}
