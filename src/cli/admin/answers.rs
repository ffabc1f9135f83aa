//! What the admin API answers, as far as the terminal shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Error {
    pub text: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub instance: String,
    pub now: u64,
    pub started: u64,
    pub state: String,
    pub reasons: Vec<String>,
    pub kafka: Kafka,
    pub banners: Vec<Banner>,
    pub sources: Vec<Source>,
    pub others: Others,
    pub topics: Vec<Topic>,
    pub rates: Rates,
    pub dead_letter_topic: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Kafka {
    pub connected: u64,
    pub brokers: u64,
    pub away: bool,
    pub bootstrap_servers: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Banner {
    pub level: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Others {
    pub refused: Vec<Refused>,
    pub refused_last_minute: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Source {
    pub name: String,
    pub kind: String,
    pub state: String,
    pub tries: Tries,
    pub backlog: Backlog,
    pub held_topics: Vec<Held>,
    pub refused: Vec<Refused>,
    pub refused_last_minute: u64,
    pub dead_letters: u64,
    pub rates: Rates,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Tries {
    pub failures_left: Option<u64>,
    pub then: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Backlog {
    pub deliveries: u64,
    pub bytes: u64,
    pub oldest: Option<u64>,
    pub seconds_until_full: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Held {
    pub topic: String,
    pub since: Option<u64>,
    pub why: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Refused {
    pub reason: String,
    pub last_minute: u64,
    pub last_hour: u64,
    pub total: u64,
    pub text: String,
    pub key: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rates {
    pub received: f64,
    pub stored: f64,
    pub refused: f64,
    pub delivered: f64,
    pub dead_letters: f64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Topic {
    pub topic: String,
    pub delivered: u64,
    pub per_second: f64,
    pub history: Vec<f64>,
    pub held: Option<Held>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Delivery {
    pub number: u64,
    pub at: u64,
    pub source: String,
    pub outcome: String,
    pub status: u16,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub key: Option<String>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    pub position: Option<String>,
    pub bytes: u64,
    pub milliseconds: Option<f64>,
    pub left_out: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeliveryDetail {
    pub state: String,
    pub events: Vec<Event>,
    pub undecodable: Option<Undecodable>,
    pub body: Option<Body>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Undecodable {
    pub reason: String,
    pub error: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Body {
    pub text: Option<String>,
    pub base64: Option<String>,
    pub cut: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Event {
    pub position: String,
    pub state: String,
    pub topic: Option<String>,
    pub partition: Option<i64>,
    pub offset: Option<i64>,
    pub reason: Option<String>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeadLetters {
    pub letters: Vec<DeadLetter>,
    pub matching: u64,
    pub reasons: BTreeMap<String, u64>,
    pub problem: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeadLetter {
    pub at: Option<u64>,
    pub source: String,
    pub position: String,
    pub reason: String,
    pub error: String,
}
