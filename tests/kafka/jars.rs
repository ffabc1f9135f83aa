//! Apache Kafka's own programs: the jars that tests/run fetched, and how to run a class of them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::process;

/// The variable that names the folder of Apache Kafka's jars.
const JARS: &str = "TEST_KAFKA_JARS";

/// Where they are.
pub fn folder() -> PathBuf {
    let Some(folder) = env::var_os(JARS) else {
        panic!(
            "these tests need Apache Kafka: run them with `tests/run kafka`, which fetches it \
             (or set {JARS} to a folder with the jars of kafka_2.13 and kafka-tools)"
        );
    };
    let folder = PathBuf::from(folder);
    assert!(folder.is_dir(), "{JARS} names {}, which is no folder", folder.display());
    folder
}

/// What makes a Java program quick to start, and quiet.
pub fn options() -> Vec<String> {
    let logging = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/log4j2.xml");
    let logging = format!("-Dlog4j2.configurationFile={}", logging.display());
    let quick = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+UseSerialGC"];
    quick.map(str::to_owned).into_iter().chain([logging]).collect()
}

/// A command that runs `class`. Quick to start rather than quick in the long run: the first
/// compiler only, the shared class archive, a simple collector.
fn java(mut command: Command, heap: &str, class: &str) -> Command {
    command
        .arg(format!("-Xmx{heap}"))
        .args(options())
        .arg("-cp")
        .arg(folder().join("*"))
        .arg(class);
    command
}

/// The broker itself, for [`process::spawn`].
pub fn broker(settings: &Path) -> Command {
    let mut command = java(process::tied("java"), "384m", "kafka.Kafka");
    command.arg(settings);
    let text = fs::read_to_string(settings).unwrap_or_default();
    if let Some((_, keys)) = text.lines().find_map(|line| line.split_once(".jwks.endpoint.url=")) {
        // Kafka fetches keys from no address that its machine does not name.
        command.env(
            "JDK_JAVA_OPTIONS",
            format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}"),
        );
    }
    command
}

/// Runs one of Kafka's tools to its end and returns what it printed; panics when it fails.
#[track_caller]
pub fn tool(class: &str, arguments: &[&str]) -> String {
    let output = java(Command::new("java"), "128m", class)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot start java: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{class} {arguments:?} failed:\n{printed}\n{complaint}");
    printed
}
