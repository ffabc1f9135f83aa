//! Dead letters, and replays of them and of deliveries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Body, Time};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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
    pub unreadable: Vec<Unreadable>,
}

/// Records that cannot be read: those from `offset` on, before `next`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Unreadable {
    pub partition: i32,
    pub offset: i64,
    pub next: i64,
    pub why: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeadLetter {
    pub partition: i32,
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

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Replays {
    pub replays: Vec<Replay>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Replay {
    pub id: String,
    pub from: String,
    pub dry_run: bool,
    pub state: String,
    pub client: String,
    pub started: Time,
    pub ended: Option<Time>,
    pub read: u64,
    pub selected: u64,
    pub sent: u64,
    pub failed: u64,
    pub topics: BTreeMap<String, u64>,
    pub results: Vec<ReplayResult>,
    pub results_left_out: u64,
    pub problem: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ReplayResult {
    pub source: String,
    pub position: String,
    pub result: String,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub reason: Option<String>,
    pub error: Option<String>,
}
