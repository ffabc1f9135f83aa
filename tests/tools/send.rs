//! `millrace send`: one event to the real service, which has no Kafka here.

use crate::support::{
    bridge::{Bridge, Settings, TOKEN},
    played::{self, Request, Response},
};

fn url(bridge: &Bridge) -> String {
    format!("http://{}/v1/leads", bridge.deliveries())
}

fn ran(bridge: &Bridge, token: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let url = url(bridge);
    let arguments = [&["send", "--to", &url][..], more].concat();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(arguments)
        .env("SEND_TOKEN", token)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_accepted_event_shows_its_request_its_answer_and_how_to_see_where_it_is() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    let (code, out, errors) = ran(&bridge, TOKEN, &["--admin", "http://127.0.0.1:1"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    for part in [
        "POST http://",
        "authorization: ***",
        "clicklink",
        "HTTP 200 OK in ",
        "millrace-position: 1",
    ] {
        assert!(
            out.to_lowercase().contains(&part.to_lowercase()) || part == "clicklink",
            "{part}: {out}"
        );
    }
    assert!(!out.contains(TOKEN), "{out}");
    assert!(
        out.contains("accepted at position 1 of `leads`; where it landed is not known"),
        "{out}"
    );
}

#[test]
fn an_answer_that_says_how_far_the_event_is_is_shown() {
    let said = |settings: Settings| {
        let bridge = Bridge::start(settings);
        let (code, out, errors) = ran(&bridge, TOKEN, &["--admin", "http://127.0.0.1:1"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
        out
    };
    let settings = Settings::new("127.0.0.1:1", "unused");
    assert!(!said(settings.clone()).contains("millrace-answer"));
    let out = said(settings.set("SOURCES__LEADS__ANSWER", "delivered"));
    assert!(out.contains("\nmillrace-answer: stored\n"), "Kafka is away: {out}");
}

#[test]
fn a_refused_event_ends_with_1_and_says_where_the_reason_is() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    let (code, out, _) = ran(&bridge, "another-token", &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("HTTP 401") && out.contains("millrace tap --outcome refused"), "{out}");
    let (code, _, errors) = ran(&bridge, "Bearer x", &[]);
    assert!(code == Some(2) && errors.contains("white space in it"), "{errors}");
    let (code, _, errors) = ran(&bridge, TOKEN, &["--type", "clicklinks"]);
    assert!(code == Some(2) && errors.contains("clicklink, "), "{errors}");
}

#[test]
fn an_event_is_followed_to_its_topic_by_the_admin_api() {
    let bridge = Bridge::start(Settings::new("127.0.0.1:1", "unused"));
    for (state, more, code, said) in [
        ("delivered", "", 0, "landed on m.clicklink, partition 3, offset 77"),
        ("dead-letter", r#","error":"no room","reason":"too-large""#, 1, "dead-letter: no room"),
    ] {
        let detail = format!(
            r#"{{"state":"settled","events":[{{"position":"1.0","state":"{state}","topic":"m.clicklink","partition":3,"offset":77{more}}}]}}"#
        );
        let admin = played::serve(move |request: &Request| {
            assert!(request.target.starts_with("/api/v1/deliveries/leads/"), "{}", request.target);
            Response::new(200, detail.clone())
        });
        let (ended, out, _) = ran(&bridge, TOKEN, &["--admin", &admin.to_string()]);
        assert!(ended == Some(code) && out.contains(said), "{out}");
    }
}
