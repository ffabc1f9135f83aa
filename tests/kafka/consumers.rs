//! Topics as others see them: everything here is `kcat` or Apache Kafka's own console consumer, so
//! that no mistake of our client can hide itself.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::jars;

/// Between two records in kcat's output: control characters that no key, header or JSON contains.
const END: &[u8] = b"\x1e\x1d\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// The value of the header `name`; panics when it is not there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers)).1
    }

    #[track_caller]
    pub fn key_text(&self) -> &str {
        str::from_utf8(self.key.as_deref().expect("a record with a key")).expect("a text as key")
    }

    #[track_caller]
    pub fn value_bytes(&self) -> &[u8] {
        self.value.as_deref().expect("a record with a value")
    }
}

/// Every record that `topic` holds now, in order within its partitions; read by kcat. A topic that
/// does not exist has none.
/// Of transactions only what is committed: that is kcat's default.
#[track_caller]
pub fn read_topic(address: &str, topic: &str) -> Vec<Record> {
    read_topic_at(address, topic, "read_committed")
}

/// As [`read_topic`], with what is in transactions that were taken back or are not committed yet.
#[allow(dead_code, reason = "tests of exactly-once delivery look")]
#[track_caller]
pub fn read_topic_uncommitted(address: &str, topic: &str) -> Vec<Record> {
    read_topic_at(address, topic, "read_uncommitted")
}

#[track_caller]
fn read_topic_at(address: &str, topic: &str, isolation: &str) -> Vec<Record> {
    if !topics(address).contains_key(topic) {
        return Vec::new();
    }
    // Lengths stand before key and value, so that any bytes may be in them.
    let format = r"%p %o %K %S\n%k%s%h\x1e\x1d\n";
    let isolation = format!("isolation.level={isolation}");
    let what = ["-C", "-q", "-e", "-o", "beginning", "-X", &isolation];
    let arguments = [&what[..], &["-b", address, "-t", topic, "-f", format]].concat();
    let printed = kcat(&arguments, b"").unwrap_or_else(|error| panic!("{error}"));
    let mut rest = printed.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(parse_record(&mut rest).expect("kcat's format is as asked for"));
    }
    records
}

/// Takes one record off the front of kcat's output.
fn parse_record(rest: &mut &[u8]) -> Option<Record> {
    let line = take_line(rest)?;
    let mut numbers = line.split(' ').map(|n| n.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (partition, offset, key_length, value_length) = (next()?, next()?, next()?, next()?);
    let key = take(rest, key_length)?;
    let value = take(rest, value_length)?;
    let end = rest.windows(END.len()).position(|window| window == END)?;
    let headers = str::from_utf8(&rest[..end]).ok()?;
    let headers = parse_headers(headers);
    *rest = &rest[end + END.len()..];
    Some(Record { partition: i32::try_from(partition).ok()?, offset, key, value, headers })
}

fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 1..];
    Some(line)
}

/// `length` bytes; none at all for kcat's -1, which is null. kcat prints null as nothing.
#[expect(clippy::option_option, reason = "the outer one is a format mistake, the inner one null")]
fn take(rest: &mut &[u8], length: i64) -> Option<Option<Vec<u8>>> {
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(Some(taken.to_vec()))
}

/// kcat joins headers as `name=value,name=value` and escapes nothing. Header names here are
/// lower-case letters, digits, `_` and `-`, so a comma inside a value is told apart by what follows.
fn parse_headers(text: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for piece in text.split(',') {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c))
        };
        match piece.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(',');
                    value.push_str(piece);
                }
            }
        }
    }
    headers
}

/// The records of `topic` as Apache Kafka's console consumer prints them: key, tab, value.
/// It ends after `count` records, or fails after a while without them.
#[track_caller]
pub fn console_consumer(address: &str, topic: &str, count: usize) -> Vec<(String, String)> {
    let count = count.to_string();
    let printed = jars::tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--bootstrap-server",
            address,
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "30000",
            "--formatter-property",
            "print.key=true",
        ],
    );
    let pairs = printed.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Produces with kcat: `(key, value)` of text without tabs and line ends.
#[track_caller]
pub fn produce(address: &str, topic: &str, records: &[(&str, &str)]) {
    try_produce(address, topic, records).unwrap_or_else(|error| panic!("{error}"));
}

/// As [`produce`]; an error is what kcat says when the broker does not take the records.
pub fn try_produce(address: &str, topic: &str, records: &[(&str, &str)]) -> Result<(), String> {
    let lines: String = records.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
    kcat(&["-P", "-q", "-b", address, "-t", topic, "-K", "\t"], lines.as_bytes()).map(drop)
}

/// Produces one record with kcat, with headers of text, as whoever may write to the topic could.
#[track_caller]
pub fn produce_with_headers(address: &str, topic: &str, headers: &[(&str, &str)], value: &[u8]) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut arguments = vec!["-P", "-q", "-b", address, "-t", topic];
    headers.iter().for_each(|header| arguments.extend(["-H", header]));
    kcat(&arguments, value).unwrap_or_else(|error| panic!("{error}"));
}

/// Produces one record of so many equal bytes with kcat, compressed: a few KB for the broker, and all of it for readers.
#[track_caller]
pub fn produce_inflatable(address: &str, topic: &str, codec: &str, bytes: usize) {
    try_to_produce_inflatable(address, topic, codec, bytes)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The same; an error if the broker takes no such record.
pub fn try_to_produce_inflatable(
    address: &str,
    topic: &str,
    codec: &str,
    bytes: usize,
) -> Result<(), String> {
    let limits = ["message.max.bytes=1000000000", "queue.buffering.max.kbytes=2000000"];
    let mut arguments = vec!["-P", "-q", "-b", address, "-t", topic, "-z", codec];
    limits.iter().for_each(|limit| arguments.extend(["-X", limit]));
    // A file is one record; of its input kcat would look at each line.
    let mut value = tempfile::NamedTempFile::new().expect("a file");
    value.write_all(&vec![b'x'; bytes]).expect("room for it");
    arguments.push(value.path().to_str().expect("a path of text"));
    kcat(&arguments, b"").map(drop)
}

/// Topics and how many partitions each has, without Kafka's own.
#[track_caller]
pub fn topics(address: &str) -> BTreeMap<String, usize> {
    let metadata = metadata(address).unwrap_or_else(|| panic!("no metadata from {address}"));
    let topics = metadata["topics"].as_array().cloned().unwrap_or_default();
    topics
        .iter()
        .filter_map(|topic| {
            let name = topic["topic"].as_str()?.to_owned();
            Some((name, topic["partitions"].as_array()?.len()))
        })
        .filter(|(name, _)| !name.starts_with("__"))
        .collect()
}

/// How many brokers the one at `address` knows; `None` while it does not answer.
pub fn broker_count(address: &str) -> Option<usize> {
    Some(metadata(address)?["brokers"].as_array()?.len())
}

fn metadata(address: &str) -> Option<Value> {
    let arguments = ["-L", "-J", "-m", "5", "-b", address];
    let output = Command::new("kcat").args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start kcat: {error}"));
    serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
}

fn kcat(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("kcat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start kcat: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // All of the input is small enough for a pipe's buffer or read by a producing kcat, which
    // prints nothing.
    stdin.write_all(input).expect("kcat reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("a child can be waited for");
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("kcat {arguments:?} failed: {complaint}")),
    }
}
