//! The Flink SQL of `deploy/CONSUMING.md`, word for word: it counts the events of each type, repeats once, and goes on with
//! topics that are made while it runs.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;

use crate::{
    admin,
    broker::{self, own_prefix},
    consumers::read_topic,
    support::{
        bridge::{Bridge, Settings},
        documents,
        process::{self, Process},
        wait,
    },
    trouble::{activity, post},
};

/// It is there after 20 s on idle cores.
const PATIENCE: Duration = Duration::from_secs(300);
const CONSUMING: &str = "deploy/CONSUMING.md";

/// The SQL of the document, for the topics of this test.
fn sql(address: &str, prefix: &str, counts: &str) -> String {
    let blocks = documents::of(CONSUMING);
    let text = documents::the(&blocks, CONSUMING, "'connector' = 'upsert-kafka'").text.clone();
    [
        ("kafka:9092", address),
        ("marketo\\.lead-activity", &format!("{prefix}\\.lead-activity")),
        ("'events-by-type'", &format!("'{counts}'")),
        ("'1 min'", "'1 s'"),
    ]
    .iter()
    .fold(text, |text, (written, typed)| {
        assert!(text.contains(written), "{written} in {text}");
        text.replace(written, typed)
    })
}

fn run(folder: &Path, log: &Path) -> Process {
    let jars = env::var("TEST_FLINK_JARS");
    let jars = jars.expect("these tests need Flink: run them with `tests/run registry`");
    let setup = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/setup");
    let log = File::create(log).expect("a log can be made");
    let mut command = process::tied("java");
    command
        .args(["-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .args(
            ["java.lang", "java.util"]
                .map(|name| format!("--add-opens=java.base/{name}=ALL-UNNAMED")),
        )
        .arg(format!("-Dlog4j2.configurationFile={}", setup.join("log4j2.xml").display()))
        .args(["-cp", &format!("{jars}/*")])
        .arg(setup.join("flink/RunSql.java"))
        .arg("counts.sql")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log can be shared"))
        .stderr(log);
    process::spawn(command)
}

/// The last record of each key, as a table has it: how many events, and when the last one was.
fn counts(address: &str, topic: &str) -> BTreeMap<String, (i64, String)> {
    let row = |record: crate::consumers::Record| {
        let value: Value = serde_json::from_slice(record.value_bytes()).expect("JSON");
        let count = value["events"].as_i64().expect("a count");
        let last = value["last"].as_str().expect("a time").to_owned();
        (value["type"].as_str().expect("a type").to_owned(), (count, last))
    };
    read_topic(address, topic).into_iter().map(row).collect()
}

#[test]
fn flink_counts_the_events_of_each_type_and_a_repeated_one_once() {
    let address = broker::shared();
    let prefix = own_prefix("flink");
    let topic = format!("{prefix}.counts");
    admin::create_topic_with(&address, &topic, 1, &[("cleanup.policy", "compact")]);
    let settings = Settings::new(&address, &prefix)
        .set("TOPICS__VALUE", "flat")
        .set("TOPICS__TIMESTAMP", "event")
        // A repeated event comes twice.
        .set("DEDUPLICATE__WINDOW", "0s");
    let bridge = Bridge::start(settings);
    (0..5).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    post(&bridge, &activity(4, 3, "Click Link"));
    bridge.wait_until_drained(PATIENCE);

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let log = folder.path().join("log");
    fs::write(folder.path().join("counts.sql"), sql(&address, &prefix, &topic)).expect("a file");
    let mut flink = run(folder.path(), &log);
    let mut until = |expected: &[(&str, i64)]| {
        wait::until("the counts", PATIENCE, || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(flink.ended().is_none(), "it has ended: {log}");
            let found = counts(&address, &topic);
            found.len() == expected.len()
                && expected.iter().all(|(name, count)| {
                    let name = format!("com.adobe.platform.marketo.activity.standard.{name}");
                    found.get(&name).is_some_and(|(found, last)| {
                        found == count && last.starts_with("2026-03-02T09:59:58")
                    })
                })
        });
    };
    until(&[("clicklink", 5)]);
    // A topic that is made while it runs, and more on the one that it knows.
    (5..8).for_each(|id| post(&bridge, &activity(id, 12, "New Lead")));
    (8..10).for_each(|id| post(&bridge, &activity(id, 3, "Click Link")));
    until(&[("clicklink", 7), ("newlead", 3)]);
}
