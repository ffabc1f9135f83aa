//! What the choice of a record's value costs: the same backlog forwarded to the same broker as `data` and in each of the
//! flat formats, in turns.
//!
//! A figure is events a second of the service's `millrace_events_delivered_total`, from the first delivered event to the
//! last; its limit is that of `data` in the same round. Service and broker share the cores of this machine, so a ratio
//! also has in it what larger and smaller values cost the broker. The events' types are described (`catalog.types_file`):
//! each attribute has a column. The registry answers at once and is asked once a topic.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use serde_json::json;

use crate::{
    Plan, backlog,
    service::{Service, watch},
    table::{Row, Target},
};

/// The settings of one way of writing values.
type Settings = Vec<(&'static str, String)>;

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    let types = plan.folder.join("types.json");
    std::fs::write(&types, described().to_string()).unwrap();
    let all = ways(&registry(), &types);
    let row = |(name, target, _): &(&str, Target, Settings)| {
        let what = format!("forwarding, values: {name}");
        Row::new(&what, "ev/s", "the same events as `data`", *target)
    };
    let mut rows: Vec<_> = all.iter().map(row).collect();
    for round in 0..plan.rounds {
        println!("values, round {}", round + 1);
        let data = rate(plan, kafka, &[]);
        // In turns, so that none always comes first.
        for turn in 0..all.len() {
            let at = (round + turn) % all.len();
            let settings: Vec<_> =
                all[at].2.iter().map(|(name, value)| (*name, value.as_str())).collect();
            rows[at].add(rate(plan, kafka, &settings), data);
        }
    }
    rows
}

/// The first one is `data` again: how far two measures of the same differ.
fn ways(registry: &str, types: &Path) -> Vec<(&'static str, Target, Settings)> {
    let flat = |more: &[(&'static str, &str)]| {
        let usual = [("TOPICS__VALUE", "flat"), ("CATALOG__TYPES_FILE", types.to_str().unwrap())];
        usual.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let by = |format| {
        let url = ("KAFKA__SCHEMA_REGISTRY__URL", registry);
        flat(&[url, ("KAFKA__SCHEMA_REGISTRY__FORMAT", format)])
    };
    vec![
        ("data, once more", Target::None, Vec::new()),
        ("flat", Target::AtLeast(0.7), flat(&[])),
        ("JSON Schema", Target::None, by("json-schema")),
        ("Avro", Target::AtLeast(0.6), by("avro")),
        ("Connect's envelope", Target::None, flat(&[("TOPICS__ENVELOPE", "connect")])),
    ]
}

fn rate(plan: &Plan, kafka: &str, settings: &[(&str, &str)]) -> f64 {
    let folder = tempfile::tempdir_in(&plan.folder).unwrap();
    let events = backlog::fill(folder.path(), plan.batch / 2);
    let mut service = Service::start(folder.path(), kafka, settings).unwrap();
    watch(&mut service, events).rate
}

/// The types of the backlog's events, as Marketo's API describes types.
fn described() -> serde_json::Value {
    let attributes = json!([
        {"name": "Link ID", "dataType": "integer"},
        {"name": "Client IP Address", "dataType": "string"},
        {"name": "Query Parameters", "dataType": "string"},
    ]);
    let one = |id: i64| json!({"id": id, "name": format!("Type {id}"), "attributes": attributes});
    let all: Vec<_> = (100_000..100_060).map(one).collect();
    json!({"success": true, "result": all})
}

/// The address of a Schema Registry that gives every schema one id.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drop(answer(&stream)));
        }
    });
    url
}

/// Answers what is asked over one connection, until it ends.
fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    const ID: &str = r#"{"id":7}"#;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\r\n{ID}",
            ID.len()
        )?;
    }
}
