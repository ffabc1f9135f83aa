//! `millrace simulate` as the load.

use std::{process::Command, time::Duration};

use serde_json::Value;

use crate::service::TOKEN;

/// As many as there is a target for.
pub const CONNECTIONS: u32 = 64;

/// Deliveries a connection makes ahead: making each anew would be half of what is measured.
const PREPARED: &str = "4";

pub struct Load<'a> {
    pub to: &'a str,
    /// Deliveries a second; `None`: each connection sends as soon as it is answered.
    pub rate: Option<f64>,
    pub events: u32,
    pub time: Duration,
}

pub struct Report {
    /// Deliveries answered 200, a second.
    pub rate: f64,
    /// Bytes of them, a second.
    pub bytes_rate: f64,
    /// Bytes of bodies in all.
    pub bytes: f64,
    pub requests: f64,
    /// From when a delivery was due, in milliseconds.
    pub p99: f64,
    /// What the generator took of the cores.
    pub cores: f64,
    /// Whether its own lateness is a part of the times that matters.
    pub is_limit: bool,
}

/// More than any receiver answers: whatever is due is late at once.
const FLOOD: f64 = 500_000.0;

impl Load<'_> {
    pub fn run(&self) -> Report {
        let output = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .args(["simulate", "--as", "marketo", "--json", "--prepare", PREPARED])
            .args(["--to", self.to, "--connections", &CONNECTIONS.to_string()])
            .args(["--rate", &self.rate.unwrap_or(FLOOD).to_string()])
            .args(["--events-per-delivery", &self.events.to_string()])
            .args(["--duration", &format!("{}ms", self.time.as_millis())])
            // What a flood leaves is not to be sent.
            .args(["--settle", if self.rate.is_some() { "5s" } else { "0s" }])
            .env("SIMULATE_TOKEN", TOKEN)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| {
            panic!("simulate failed:\n{said}{}", String::from_utf8_lossy(&output.stderr))
        });
        let sender = &report["senders"]["marketo"];
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        let answers = sender["answers"].as_object().unwrap();
        if sender["unanswered"] != 0 || answers.keys().any(|status| status != "200") {
            // Only what was taken is counted.
            println!("not everything was taken: {} {}", sender["answers"], sender["silences"]);
        }
        let requests = answers.get("200").map_or(0.0, number);
        let seconds = number(&report["seconds"]);
        let bytes = number(&sender["bytes"]) * requests / number(&sender["requests"]).max(1.0);
        Report {
            rate: requests / seconds,
            bytes_rate: bytes / seconds,
            bytes,
            requests,
            p99: number(&sender["since_due_ms"]["p99"]),
            cores: number(&report["generator_cores"]),
            is_limit: report["generator_is_limit"] == true,
        }
    }
}
