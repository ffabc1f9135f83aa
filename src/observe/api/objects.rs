//! The objects of the API ([`OPENAPI_DOCUMENT`](super::OPENAPI_DOCUMENT)) as they are read by the console's pages and
//! by `millrace top`, `tap` and `send`.
//!
//! Unknown members are passed over, and missing ones are empty: the service may be of another version than the program
//! that asks it. A test compares the service's answers with the document, to the last member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
pub type Time = u64;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Access {
    pub signed_in: bool,
    pub may_change: bool,
    pub has_tokens: bool,
    pub bodies: bool,
    pub console: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Session {
    pub access: Access,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub error: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Banner {
    pub level: String,
    pub text: String,
    pub runbook: String,
    pub source: Option<String>,
    pub key: Option<String>,
    pub link: Option<String>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WayIn {
    pub text: String,
    pub key: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tries {
    pub failed_in_a_row: u64,
    pub failures_left: Option<u64>,
    pub then: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Backlog {
    pub deliveries: u64,
    pub bytes: u64,
    pub oldest: Option<Time>,
    pub seconds_until_full: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Held {
    pub topic: String,
    pub since: Time,
    pub why: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refused {
    pub reason: String,
    pub last_minute: u64,
    pub last_hour: u64,
    pub total: u64,
    pub last: Time,
    pub text: String,
    pub key: Option<String>,
}

/// Values of the last sixty minutes, the oldest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct History {
    pub received: Vec<f64>,
    pub stored: Vec<f64>,
    pub refused: Vec<f64>,
    pub delivered: Vec<f64>,
    pub dead_letters: Vec<f64>,
    pub backlog_bytes: Vec<f64>,
}

/// Rates a second, over the last ten seconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rates {
    pub received: f64,
    pub stored: f64,
    pub refused: f64,
    pub delivered: f64,
    pub dead_letters: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    pub name: String,
    pub kind: String,
    pub path: String,
    pub state: String,
    pub ways_in: Vec<WayIn>,
    pub last_stored: Option<Time>,
    pub outcomes_24h: BTreeMap<String, u64>,
    pub answers_24h: BTreeMap<String, u64>,
    pub tries: Tries,
    pub backlog: Backlog,
    pub held_topics: Vec<Held>,
    pub refused: Vec<Refused>,
    pub refused_last_minute: u64,
    pub in_flight: u64,
    pub dead_letters: u64,
    pub dead_letters_waiting: u64,
    pub quarantine_items: u64,
    pub rates: Rates,
    pub history: History,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Topic {
    pub topic: String,
    pub sources: Vec<String>,
    pub delivered: u64,
    pub per_second: f64,
    pub history: Vec<f64>,
    pub held: Option<Held>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kafka {
    pub connected: u64,
    pub brokers: u64,
    pub away: bool,
    pub bootstrap_servers: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Others {
    pub refused: Vec<Refused>,
    pub refused_last_minute: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub instance: String,
    pub now: Time,
    pub started: Time,
    pub state: String,
    pub reasons: Vec<String>,
    pub delivery: String,
    pub kafka: Kafka,
    pub access: Access,
    pub banners: Vec<Banner>,
    pub sources: Vec<Source>,
    pub others: Others,
    pub topics: Vec<Topic>,
    pub dead_letter_topic: String,
    pub test_topic: String,
    pub rates: Rates,
    pub history: History,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Delivery {
    pub number: u64,
    pub at: Time,
    pub source: String,
    pub outcome: String,
    pub status: u16,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub key: Option<String>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    pub adobe_delivery_id: Option<String>,
    pub adobe_event_id: Option<String>,
    pub position: Option<String>,
    pub bytes: u64,
    pub milliseconds: Option<f64>,
    pub left_out: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deliveries {
    pub deliveries: Vec<Delivery>,
    pub kept: u64,
    pub next: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    pub position: String,
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub state: String,
    pub topic: Option<String>,
    pub partition: Option<i64>,
    pub offset: Option<i64>,
    pub at: Option<Time>,
    pub reason: Option<String>,
    pub error: Option<String>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Body {
    pub text: Option<String>,
    pub base64: Option<String>,
    pub cut: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Undecodable {
    pub reason: String,
    pub error: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeliveryDetail {
    pub source: String,
    pub position: String,
    pub state: String,
    pub received_at: Option<Time>,
    pub headers: Vec<(String, String)>,
    pub bytes: u64,
    pub events: Vec<Event>,
    pub events_left_out: u64,
    pub undecodable: Option<Undecodable>,
    pub request: Option<Delivery>,
    pub body: Option<Body>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeadLetter {
    pub partition: i64,
    pub offset: i64,
    pub at: Option<Time>,
    pub source: String,
    pub position: String,
    pub reason: String,
    pub error: String,
    pub original_topic: Option<String>,
    pub key: Option<String>,
    pub bytes: u64,
    pub quarantined: bool,
    pub body: Option<Body>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeadLetters {
    pub letters: Vec<DeadLetter>,
    pub matching: u64,
    pub reasons: BTreeMap<String, u64>,
    pub sources: BTreeMap<String, u64>,
    pub known: u64,
    pub complete: bool,
    pub problem: Option<String>,
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplayResult {
    pub source: String,
    pub position: String,
    pub result: String,
    pub topic: Option<String>,
    pub partition: Option<i64>,
    pub offset: Option<i64>,
    pub reason: Option<String>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Replay {
    pub id: String,
    pub from: String,
    pub dry_run: bool,
    pub state: String,
    pub client: String,
    pub started: Time,
    pub selected: u64,
    pub sent: u64,
    pub failed: u64,
    pub topics: BTreeMap<String, u64>,
    pub results: Vec<ReplayResult>,
    pub results_left_out: u64,
    pub problem: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Replays {
    pub replays: Vec<Replay>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TestDelivery {
    pub source: String,
    pub id: String,
    pub topic: String,
    pub would_go_to: Option<String>,
    pub left_out_by: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub milliseconds: f64,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutcomeWord {
    pub outcome: String,
    pub adobe: String,
    pub marketo: String,
    pub event: EventWord,
    pub key: Option<String>,
}

/// Where the event is after this outcome, by its sender.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventWord {
    pub adobe: String,
    pub marketo: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReasonWord {
    pub reason: String,
    pub text: String,
    pub key: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Words {
    pub outcomes: Vec<OutcomeWord>,
    pub reasons: Vec<ReasonWord>,
    pub types: BTreeMap<String, Vec<String>>,
}
