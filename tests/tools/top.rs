//! `millrace top` and `tap`, against a played admin listener.

use std::{
    net::SocketAddr,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{
    played::{self, Request, Response},
    terminal::Terminal,
};

const TOKEN: &str = "a-token-of-an-operator";

fn status(sources: usize, asked: u64) -> Value {
    let source = |n: usize| {
        json!({
            "name": format!("source-{n:02}"), "kind": "marketo-lead-activity", "state": "ok",
            "tries": { "failures_left": 3 }, "refused_last_minute": n,
            "refused": [{
                "reason": "token-unknown", "last_minute": n, "last_hour": n, "total": asked,
                "text": "The token is none of those that the source knows.",
                "key": format!("sources.source-{n:02}.auth.tokens"),
            }],
            "backlog": { "deliveries": 3, "bytes": 1u64 << 40, "oldest": 1_772_445_000_000u64,
                         "seconds_until_full": 7200.5 },
            "rates": { "stored": 2.0, "delivered": 6.2 }, "a_later_member": [1, 2],
        })
    };
    let topic = |n: usize| {
        json!({
            "topic": format!("marketo.lead-activity.topic-{n}"), "delivered": 27000 + n,
            "per_second": n as f64, "history": vec![n as f64; 60],
            "held": (n == 2).then(|| json!({ "why": "topic authorization failed" })),
        })
    };
    json!({
        "version": "0.2.0", "instance": "bridge-0", "state": "ok", "reasons": [],
        "now": 1_772_445_600_000u64, "started": 1_772_445_000_000u64,
        "kafka": { "connected": 3, "brokers": 3, "away": false, "bootstrap_servers": "kafka:9092" },
        "sources": (0..sources).map(source).collect::<Vec<_>>(),
        "topics": (0..sources.min(9)).map(topic).collect::<Vec<_>>(),
        "rates": { "stored": asked as f64, "delivered": 6.2 },
    })
}

fn letters() -> Value {
    json!({ "letters": [{
        "at": 1_772_445_600_000u64, "source": "leads", "position": "42.1", "reason": "not-json",
        "error": "not JSON: unexpected text at byte 2",
    }], "matching": 1 })
}

const EVENTS: &str = "event: delivery\nid: 8\ndata: {\"number\":8,\"at\":1772445600000,\"source\":\"leads\",\"outcome\":\"bad-credentials\",\"status\":401,\"reason\":\"token-unknown\",\"detail\":\"none of 2 tokens\",\"key\":\"sources.leads.auth.tokens\",\"client\":\"192.0.2.7\"}\n\nevent: missed\ndata: {\"count\":7}\n\n";

/// A listener that wants `token`, if any.
fn service(sources: usize, token: Option<&'static str>) -> SocketAddr {
    let asked = Arc::new(AtomicU64::new(0));
    played::serve(move |request: &Request| {
        let given = request.header("authorization").map(str::to_owned);
        if token.is_some() && given != token.map(|token| format!("Bearer {token}")) {
            return Response::new(401, r#"{"error":"unauthorized","text":"A token is needed."}"#);
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        match path {
            "/api/v1/status" => {
                let asked = asked.fetch_add(1, Ordering::Relaxed);
                Response::new(200, status(sources, asked).to_string())
            }
            "/api/v1/dead-letters" => Response::new(200, letters().to_string()),
            "/api/v1/events" => {
                assert!(
                    query.contains("only=delivery") && query.contains("source=leads"),
                    "{query}"
                );
                Response::new(200, EVENTS).header("content-type", "text/event-stream")
            }
            _ => Response::new(404, "{}"),
        }
    })
}

fn ran(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_millrace")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn once_is_a_picture_or_the_answer_itself() {
    let admin = format!("http://{}", service(2, None));
    let (code, out, errors) = ran(&["top", "--admin", &admin, "--once"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(
        out.contains("source-01") && out.contains("1.0 TiB") && !out.contains('\u{1b}'),
        "{out}"
    );
    let (code, out, _) = ran(&["top", "--admin", &admin, "--once", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["sources"][0]["a_later_member"]), (Some(0), &json!([1, 2])));
}

#[test]
fn a_listener_that_wants_a_token_is_given_it_from_a_file_and_says_so_without() {
    let admin = service(1, Some(TOKEN)).to_string();
    let (code, _, errors) = ran(&["top", "--admin", &admin, "--once"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("401") && errors.contains("--admin-token-file"), "{errors}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, out, _) = ran(&["top", "--admin", &admin, "--token-file", path, "--once"]);
    assert!(code == Some(0) && out.contains("source-00"), "{out}");
    let (code, _, errors) = ran(&["top", "--admin", "http://127.0.0.1:1", "--once"]);
    assert!(code == Some(1) && errors.contains("is the service running"), "{errors}");
}

#[test]
fn tap_prints_each_delivery_with_its_reason_and_how_many_were_left_out() {
    let admin = format!("http://{}", service(1, None));
    let (code, out, errors) = ran(&["tap", "--admin", &admin, "--source", "leads"]);
    assert_eq!(code, Some(1), "the stream has ended");
    let expected = "10:00:00  401  leads         bad-credentials   token-unknown: none of 2 tokens  → \
                    sources.leads.auth.tokens  from 192.0.2.7\n";
    assert_eq!(out, expected);
    assert!(errors.contains("7 deliveries came too quickly"), "{errors}");
    let (_, out, _) = ran(&["tap", "--admin", &admin, "--source", "leads", "--json"]);
    let delivery: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(delivery["reason"], "token-unknown");
}

#[test]
fn on_a_terminal_it_is_redrawn_keys_open_and_sort_and_another_size_fits() {
    for sources in [0, 1, 40] {
        let admin = format!("http://{}", service(sources, None));
        let arguments = ["top", "--admin", &admin, "--interval", "100ms"];
        let mut top = Terminal::start(&arguments, &[], 80, 24);
        let lines = top.until("the keys", |lines| lines[23].starts_with("q end"));
        assert!(lines.iter().any(|line| line.ends_with("LEFT  WHY")), "{lines:#?}");
        let first = lines[0].clone();
        top.until("a later look", |lines| lines[0] != first);
        if sources == 40 {
            let has = |lines: &[String], text: &str| lines.iter().any(|it| it.contains(text));
            top.until("held first", |it| has(it, "HELD topic authorization"));
            top.press("sss");
            top.until("sorted", |it| {
                it[23].contains("(refused)") && it[4].starts_with("source-39")
            });
            top.press("/source-07\r");
            top.until("filtered", |it| it[4].starts_with("source-07") && it[5].is_empty());
            top.press("\u{1b}");
            top.until("unfiltered", |it| it[4].starts_with("source-39"));
            top.press("r");
            top.until("refusals", |it| has(it, "sources.source-00.auth.tokens"));
            top.press("rd");
            let lines = top.until("letters", |it| has(it, "unexpected text at byte 2"));
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
            top.press("d");
        }
        top.resize(120, 40);
        top.until("the keys at 120 by 40", |lines| lines[39].starts_with("q end"));
        assert!(top.is_on_its_own_screen());
        top.press("q");
        assert!(top.end().success());
        assert!(!top.is_on_its_own_screen(), "the terminal is as it was");
    }
}
