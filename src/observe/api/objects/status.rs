//! The status of the service: its sources, topics, rates and problems.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Access, Time};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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
    pub runbook: String,
    pub source: Option<String>,
    pub key: Option<String>,
    pub link: Option<String>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub kind: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Source {
    pub name: String,
    pub kind: String,
    pub path: String,
    pub state: String,
    pub ways_in: Vec<WayIn>,
    pub last_request: Option<Time>,
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

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct WayIn {
    pub way: String,
    pub text: String,
    pub key: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Tries {
    pub accepted: u64,
    pub failed: u64,
    pub failed_in_a_row: u64,
    pub failures_left: Option<u64>,
    pub then: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Backlog {
    pub deliveries: u64,
    pub bytes: u64,
    pub oldest: Option<Time>,
    pub limit_bytes: i64,
    pub seconds_until_full: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Held {
    pub topic: String,
    pub source: String,
    pub since: Time,
    pub why: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Refused {
    pub reason: String,
    pub outcome: String,
    pub last_minute: u64,
    pub last_hour: u64,
    pub total: u64,
    pub last: Time,
    pub text: String,
    pub key: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Others {
    pub refused: Vec<Refused>,
    pub refused_last_minute: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Topic {
    pub topic: String,
    pub sources: Vec<String>,
    pub delivered: u64,
    pub per_second: f64,
    pub history: Vec<f64>,
    pub held: Option<Held>,
}

/// Rates a second, over the last ten seconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Rates {
    pub received: f64,
    pub stored: f64,
    pub refused: f64,
    pub delivered: f64,
    pub dead_letters: f64,
}

/// Values of the last sixty minutes, the oldest first.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct History {
    /// When the last step ends.
    pub end: Time,
    pub step_seconds: u64,
    pub received: Vec<f64>,
    pub stored: Vec<f64>,
    pub refused: Vec<f64>,
    pub delivered: Vec<f64>,
    pub dead_letters: Vec<f64>,
    pub repeats: Vec<f64>,
    pub backlog_bytes: Vec<f64>,
}
