//! `millrace check --connect` against a broker with access control.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    admin,
    broker::{Broker, Options},
    consumers::{broker_count, read_topic},
    jars,
    support::{ports, wait},
};

fn check(address: &str) -> (bool, String) {
    check_with(address, "at-least-once")
}

fn check_with(address: &str, delivery: &str) -> (bool, String) {
    check_as(&[], address, delivery)
}

fn check_as(variables: &[(&str, &str)], address: &str, delivery: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["check", "--connect"])
        .env_clear()
        .env("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", address)
        .env("MILLRACE_KAFKA__DELIVERY", delivery)
        .env("MILLRACE_SPOOL__DIRECTORY", std::env::temp_dir())
        .env("MILLRACE_SPOOL__SIZE_LIMIT", "1MiB")
        .env("MILLRACE_LISTEN__BODY_LIMIT", "64KiB")
        .env("MILLRACE_LISTEN__BODY_LIMIT_INFLATED", "256KiB")
        .env("MILLRACE_TOPICS__NAME", "asked.{stream}.{type}")
        .env("MILLRACE_TOPICS__DEAD_LETTER", "asked.dead-letter")
        .env("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity")
        .env("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2")
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn check_names_an_address_that_brokers_tell_and_that_can_not_be_reached_and_is_quick() {
    let elsewhere = format!("127.0.0.1:{}", ports::free());
    let settings = vec![("advertised.listeners", format!("PLAINTEXT://{elsewhere}"))];
    let broker = Broker::launch(&Options { settings, ..Options::default() });
    wait::until("a broker that answers", Duration::from_secs(240), || {
        broker_count(&broker.address()) == Some(1)
    });
    let start = Instant::now();
    let (fine, text) = check(&broker.address());
    assert!(!fine && text.contains(&elsewhere), "{text}");
    assert!(
        text.contains("advertised.listeners") && !text.contains("asked.dead-letter may"),
        "{text}"
    );
    println!("{text} after {:.1} s", start.elapsed().as_secs_f32());
}

#[test]
fn check_says_which_topic_may_not_be_written_and_writes_nothing() {
    let broker = Broker::start_with(&Options { access_control: true, ..Options::default() });
    let address = broker.address();
    let (open, closed) = ("asked.lead-activity.openemail", "asked.lead-activity.clicklink");
    for topic in [open, closed, "asked.dead-letter"] {
        admin::create_topic(&address, topic, 1);
    }
    let (fine, text) = check(&address);
    assert!(fine, "{text}");
    let (fine, text) = check_with(&address, "exactly-once");
    assert!(fine && text.contains("transactions are allowed"), "{text}");
    assert!(text.contains("topic marketo.checkpoints will be created"), "{text}");

    broker.deny_writes(closed);
    let (fine, text) = check(&address);
    assert!(!fine, "{text}");
    assert!(text.contains(&format!("no permission to write to topic `{closed}`; run: ")), "{text}");
    assert!(!text.contains(&format!("permission to write to topic `{open}`")), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    for topic in [open, closed, "asked.dead-letter"] {
        assert!(read_topic(&address, topic).is_empty(), "{topic}");
    }
}

/// As the user `mill`, at the address that asks for a password.
const LOGIN: [(&str, &str); 4] = [
    ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "SCRAM-SHA-512"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_USERNAME", "mill"),
    ("MILLRACE_KAFKA__PROPERTIES__SASL_PASSWORD", "a-password"),
];

/// Every line of Kafka's tools in `text`, run by who may do everything.
fn follow(text: &str, address: &str) -> usize {
    let mut lines: Vec<_> =
        text.lines().filter_map(|line| line.split_once("kafka-acls.sh ")).collect();
    lines.sort();
    for (_, line) in &lines {
        let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
        let add = words.iter().position(|word| *word == "--add").expect("something is added");
        allow(address, &words[add..]);
    }
    lines.len()
}

fn allow(address: &str, what: &[&str]) {
    let arguments = [&["--bootstrap-server", address], what].concat();
    jars::tool("org.apache.kafka.tools.AclCommand", &arguments);
}

#[test]
fn what_check_advises_for_a_topic_that_is_to_be_made_is_enough_to_write_to_it() {
    let settings = [("allow.everyone.if.no.acl.found", "false"), ("super.users", "User:ANONYMOUS")];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let broker = Broker::start_with(&Options {
        access_control: true,
        passwords: true,
        settings,
        ..Options::default()
    });
    broker.set_password("mill", "a-password");
    let address = broker.address();
    let check = || check_as(&LOGIN, &broker.guarded_address(), "at-least-once");
    let (fine, text) = check();
    assert!(
        !fine && text.contains("topic `asked.dead-letter` does not exist or is not visible"),
        "{text}"
    );
    assert_eq!(follow(&text, &address), 1, "{text}");
    let (fine, text) = check();
    assert!(fine && text.contains("topic asked.dead-letter will be created"), "{text}");
    // To find out whether a topic may be written takes its limit, which may be read with this right.
    let limit = ["--operation", "DescribeConfigs", "--topic", "asked.dead-letter"];
    allow(&address, &[&["--add", "--allow-principal", "User:mill"][..], &limit].concat());
    admin::create_topic(&address, "asked.dead-letter", 1);
    let (fine, text) = check();
    assert!(fine && text.contains("topic asked.dead-letter has 1 partition"), "{text}");
}

#[test]
fn what_check_advises_for_exactly_once_delivery_comes_in_one_round_and_is_enough() {
    let settings = [("allow.everyone.if.no.acl.found", "false"), ("super.users", "User:ANONYMOUS")];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let broker = Broker::start_with(&Options {
        access_control: true,
        passwords: true,
        settings,
        ..Options::default()
    });
    broker.set_password("mill", "a-password");
    let address = broker.address();
    for topic in ["asked.dead-letter", "marketo.checkpoints"] {
        admin::create_topic(&address, topic, 1);
    }
    let mill = ["--add", "--allow-principal", "User:mill", "--operation", "Write"];
    let may_write = |what: &[&str]| {
        allow(&address, &[&mill[..], &["--operation", "Describe"], what].concat());
    };
    may_write(&["--topic", "asked.", "--resource-pattern-type", "prefixed"]);
    may_write(&["--topic", "marketo.checkpoints"]);
    // One single id is none that a spool will have.
    may_write(&["--transactional-id", "millrace-check"]);
    let check = || check_as(&LOGIN, &broker.guarded_address(), "exactly-once");
    let (fine, text) = check();
    assert!(!fine, "{text}");
    assert!(
        text.contains("--transactional-id 'millrace-' --resource-pattern-type prefixed"),
        "{text}"
    );
    assert!(text.contains("no permission to read topic `marketo.checkpoints`; run: "), "{text}");
    assert_eq!(follow(&text, &address), 2, "{text}");
    let (fine, text) = check();
    assert!(fine && text.contains("transactions are allowed"), "{text}");
}
