//! Each refusal has its reason in the log, in the metric and in the API; the sender learns none of it, and is answered
//! as `ANSWERS.md` says.
//!
//! - `cases`: a request for each reason of the closed list, to one service with a source of each kind
//! - `certificates`: refusals that take TLS
//!
//! Two reasons are of floods, and tests/front proves them (`adobe/strangers`, `oauth/introspection`).

mod cases;
mod certificates;

use std::{collections::BTreeSet, time::Duration};

use millrace::ingest::authenticate::reason;
use serde_json::Value;

use self::cases::{Case, PERSONAL, Stage};
use crate::{
    oauth::provider::{IdentityProvider, Mood},
    support::Service,
};

/// Reasons that need a flood of strangers.
const OF_FLOODS: [&str; 2] = ["key-too-many", "token-too-many"];

/// The reason that takes a look at the provider's keys, which it is asked for at a bounded rate: until then the delivery
/// is told to come again.
const LOOKED_UP_FIRST: &str = "token-key-unknown";

const ANSWERS: &str = include_str!("../../src/ANSWERS.md");

/// The status that `ANSWERS.md` has for an outcome.
#[track_caller]
fn status_of(outcome: &str) -> u16 {
    let row = ANSWERS.lines().find(|line| line.starts_with(&format!("| `{outcome}` |")));
    let row = row.unwrap_or_else(|| panic!("ANSWERS.md has no `{outcome}`"));
    row.split('|').nth(3).and_then(|cell| cell.trim().parse().ok()).expect("a status")
}

/// The outcome that a reason belongs to.
fn outcome_of(word: &'static str) -> &'static str {
    reason::TABLE.iter().find(|row| row.word == word).map_or(word, |row| row.outcome)
}

/// The line of the log that tells of a refusal, once it is there.
fn line_of(service: &Service, source: &str, reason: &str) -> Value {
    service.eventually(|log| {
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["reason"] == reason && line["source"] == source)
    })
}

/// Holds a refusal that has happened once against the three places that tell of it.
async fn is_told(service: &Service, source: &str, reason: &'static str, status: u16) {
    let outcome = outcome_of(reason);
    let line = line_of(service, source, reason);
    assert_eq!(line["outcome"], outcome, "{line}");

    let row = format!("millrace_refusals_total{{reason=\"{reason}\",source=\"{source}\"}} 1");
    let metrics = service.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line == row), "{row}");

    let listed = service.get("/api/v1/deliveries?outcome=refused").await.json();
    let of_reason: Vec<_> = listed["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["reason"] == reason && it["source"] == source)
        .collect();
    let [entry] = of_reason[..] else { panic!("{reason}: {of_reason:?}") };
    assert_eq!(entry["outcome"], outcome, "{entry}");
    assert_eq!(entry["status"].as_u64().unwrap_or_default(), u64::from(status), "{entry}");

    let words = service.get("/api/v1/words").await.json();
    let words = words["reasons"].as_array().unwrap();
    assert!(words.iter().any(|it| it["reason"] == reason), "{reason}");
}

/// Neither what a request carried nor a body is in the log or in the API.
async fn nothing_leaks(service: &Service, secrets: &[String]) {
    let listed = service.get("/api/v1/deliveries").await.text;
    let metrics = service.get("/metrics").await.text;
    let log = service.eventually(|log| Some(log.join("\n")));
    for secret in secrets.iter().map(String::as_str).chain([PERSONAL]) {
        for (place, text) in [("the log", &log), ("the API", &listed), ("a metric", &metrics)] {
            assert!(!text.contains(secret), "{place} has `{secret}`");
        }
    }
}

#[tokio::test]
async fn each_reason_is_in_the_log_in_the_metric_and_in_the_api_and_the_answer_does_not_tell_it() {
    let stage = Stage::set();
    let service = Service::start(&stage.settings());
    let cases = stage.cases();
    let mut answers = Vec::new();
    for Case { reason, source, headers, body } in &cases {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut answer = service.deliver(source, &headers, body).await;
        while answer.status == 503 && *reason == LOOKED_UP_FIRST {
            tokio::time::sleep(Duration::from_millis(200)).await;
            answer = service.deliver(source, &headers, body).await;
        }
        assert_eq!(answer.status.as_u16(), status_of(outcome_of(reason)), "{reason}");
        assert!(!answer.text.contains(reason), "{}", answer.text);
        let challenge = answer.headers.get("www-authenticate").cloned();
        answers.push((*source, outcome_of(reason), answer.text.clone(), challenge));
    }
    // Those with one outcome are answered alike.
    for answer in &answers {
        let first = answers.iter().find(|it| (it.0, it.1) == (answer.0, answer.1));
        assert_eq!(first, Some(answer));
    }
    for case in &cases {
        let known = if case.source == "nowhere" { "unknown" } else { case.source };
        is_told(&service, known, case.reason, status_of(outcome_of(case.reason))).await;
    }
    let masked = line_of(&service, "adobe", "recipient-foreign");
    assert_eq!(masked["detail"], "event 0 is for `some… (22 characters)`");
    let of_other = line_of(&service, "leads", "token-of-other-source");
    assert!(of_other["detail"].as_str().unwrap().contains("`audit`"), "{of_other}");
    nothing_leaks(&service, &stage.secrets(&cases)).await;

    let covered: BTreeSet<_> = cases.iter().map(|case| case.reason).collect();
    let elsewhere = OF_FLOODS.iter().chain(&certificates::REASONS).chain(&["check-slow"]);
    let covered: BTreeSet<_> = covered.into_iter().chain(elsewhere.copied()).collect();
    for row in reason::TABLE {
        assert!(covered.contains(row.word), "no request is refused because of `{}`", row.word);
    }
}

#[tokio::test]
async fn a_check_that_takes_longer_than_a_request_may_is_told_as_a_slow_check() {
    let provider = IdentityProvider::start(&[]);
    provider.is(Mood::Well);
    provider.hold();
    let service = Service::start(&[
        ("SOURCES__SIGNED__KIND", "marketo-lead-activity"),
        ("SOURCES__SIGNED__AUTH__OAUTH__ISSUER", &provider.issuer),
        ("SOURCES__SIGNED__AUTH__OAUTH__AUDIENCE", "us"),
        ("LISTEN__REQUEST_TIMEOUT", "300ms"),
    ]);
    let signer = crate::oauth::signer::Signer::rsa("r");
    let now = millrace::ingest::authenticate::moment::Moment::now();
    let token = signer.sign(&crate::oauth::signer::claims(&provider.issuer, now));
    let bearer = format!("Bearer {token}");
    let answer = service.deliver("signed", &[("authorization", &bearer)], PERSONAL).await;
    assert_eq!(answer.status.as_u16(), status_of("undecided"));
    is_told(&service, "signed", "check-slow", 503).await;
    nothing_leaks(&service, &[token]).await;
    provider.release();
}
