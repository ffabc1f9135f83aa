//! What CloudEvents SDKs that are not ours understand: PyPI's `cloudevents`, and Java's.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The variable that names a Python with the SDK.
const PYTHON: &str = "TEST_CLOUDEVENTS_PYTHON";

/// The variable that names the folder of the jars of the SDK for Java.
const JARS: &str = "TEST_CLOUDEVENTS_JARS";

/// A record as it is in Kafka; all but the names of headers in base64.
#[derive(Debug, Serialize)]
pub struct Message {
    key: Option<String>,
    value: String,
    headers: BTreeMap<String, String>,
}

impl Message {
    pub fn new<'a>(
        key: Option<&[u8]>,
        value: &[u8],
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let headers =
            headers.into_iter().map(|(name, value)| (name.into(), STANDARD.encode(value)));
        Self {
            key: key.map(|key| STANDARD.encode(key)),
            value: STANDARD.encode(value),
            headers: headers.collect(),
        }
    }
}

/// What the SDK made of a record.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Understood {
    /// The key is among them, as `partitionkey`, if there is one.
    pub attributes: BTreeMap<String, Value>,
    /// JSON, or text; other bytes are `{"base64": …}`.
    pub data: Value,
}

/// Reads records with the SDK for Python; panics with its complaint.
#[track_caller]
pub fn read(messages: &[Message]) -> Vec<Understood> {
    let python = variable(PYTHON, "a Python that has the packages of tests/setup/cloudevents.txt");
    let mut command = Command::new(python);
    command.arg(script("read_cloudevents.py"));
    understood_by(command, messages)
}

/// Reads records with the SDK for Java; panics with its complaint. Attributes are as texts, and data is
/// what Python's SDK would have: JSON where it is, else text, else `{"base64": …}`.
#[track_caller]
pub fn read_in_java(messages: &[Message]) -> Vec<Understood> {
    let jars = variable(JARS, "the folder that tests/setup/cloudevents-jars prints");
    let mut command = Command::new("java");
    let quick = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+UseSerialGC"];
    command.args(quick).arg("-cp").arg(Path::new(&jars).join("*"));
    command.arg(script("ReadCloudEvents.java"));
    let mut all = understood_by(command, messages);
    for understood in &mut all {
        let data = understood.data.as_str().and_then(|data| STANDARD.decode(data).ok());
        let data = data.expect("the program prints data in base64");
        let text = || String::from_utf8(data.clone()).ok().map(Value::from);
        understood.data = match data.as_slice() {
            [] => Value::Null,
            data => serde_json::from_slice(data)
                .ok()
                .or_else(text)
                .unwrap_or_else(|| json!({ "base64": STANDARD.encode(data) })),
        };
    }
    all
}

fn variable(name: &str, what: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| {
        panic!(
            "this test needs a CloudEvents SDK: run it with tests/run, which installs it (or set \
             {name} to {what})"
        )
    })
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

#[track_caller]
fn understood_by(mut command: Command, messages: &[Message]) -> Vec<Understood> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let input = serde_json::to_vec(messages).expect("base64 is text");
    // It prints nothing before it has read everything. When it cannot even do that, it says why.
    let _ = child.stdin.take().expect("it is piped").write_all(&input);
    let output = child.wait_with_output().expect("a child can be waited for");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the SDK complains: {complaint}");
    serde_json::from_slice(&output.stdout).expect("the program prints JSON")
}
