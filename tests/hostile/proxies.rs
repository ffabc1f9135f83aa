//! Whom the log names when a proxy stands in between.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    bridge::{Bridge, LEADS, Settings},
    wait,
};

/// What the log names as the client of a request with a bad token that came with these header lines.
fn client_of(settings: Settings, headers: &[&str]) -> String {
    let bridge = Bridge::start(settings);
    let headers: Vec<_> = headers.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(bridge.client().request("POST", LEADS, &headers, b"{}").unwrap().status, 401);
    wait::until_some("the line of the refusal", Duration::from_secs(10), || {
        let log = bridge.log();
        let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused = lines.find(|line| line["outcome"] == "bad-credentials")?;
        Some(refused["client"].as_str().unwrap_or("nobody").to_owned())
    })
}

/// A service that nobody's Kafka is behind.
fn settings() -> Settings {
    Settings::new("127.0.0.1:1", "proxies")
}

const SPOOFED: &[&str] = &["x-forwarded-for: 6.6.6.6, 192.0.2.7"];

#[test]
fn the_log_names_the_caller_and_not_what_he_says_he_is() {
    assert_eq!(client_of(settings(), SPOOFED), "127.0.0.1");
}

#[test]
fn behind_a_trusted_proxy_the_log_names_whom_the_proxy_has_seen() {
    let settings = settings().set("LISTEN__TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.1");
    assert_eq!(client_of(settings, SPOOFED), "192.0.2.7");
}
