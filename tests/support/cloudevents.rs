//! What a CloudEvents SDK that isn't ours understands: PyPI's `cloudevents`.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The variable that names a Python with the SDK.
const PYTHON: &str = "TEST_CLOUDEVENTS_PYTHON";

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
    /// The key is among them, as `partitionkey`.
    pub attributes: BTreeMap<String, Value>,
    /// JSON, or text; other bytes are `{"base64": …}`.
    pub data: Value,
}

/// Reads records with the SDK; panics with its complaint.
#[track_caller]
pub fn read(messages: &[Message]) -> Vec<Understood> {
    let Some(python) = std::env::var_os(PYTHON) else {
        panic!(
            "this test needs a CloudEvents SDK: run it with tests/run, which installs it (or set \
             {PYTHON} to a Python that has the packages of tests/setup/cloudevents.txt)"
        );
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/read_cloudevents.py");
    let mut child = Command::new(&python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("can't start {}: {error}", python.display()));
    let input = serde_json::to_vec(messages).expect("base64 is text");
    // It prints nothing before it has read everything. When it can't even do that, it says why.
    let _ = child.stdin.take().expect("it is piped").write_all(&input);
    let output = child.wait_with_output().expect("a child can be waited for");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the SDK complains: {complaint}");
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}
