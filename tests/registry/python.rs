//! Confluent's Python client as a reader.

use std::{env, path::Path};

use serde_json::Value;

use crate::support::process;

/// Each record of `topics`, with `topic`, `value`, `timestamp` and the names of its `headers`; panics unless there are `count` and
/// each of them is what its schema says.
#[track_caller]
pub fn read(
    brokers: &str,
    registry: &str,
    format: &str,
    count: usize,
    topics: &[String],
) -> Vec<Value> {
    let Some(python) = env::var_os("TEST_REGISTRY_PYTHON") else {
        panic!(
            "these tests need Python's clients of a Schema Registry: run them with `tests/run registry`"
        );
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/read.py");
    let mut command = process::tied(python);
    command.arg(script).args([brokers, registry, format, &count.to_string()]).args(topics);
    let output = command.output().expect("Python can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).expect("JSON is text");
    lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}
