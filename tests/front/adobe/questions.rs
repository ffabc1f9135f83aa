//! Challenges and validation URLs: nobody who asks has credentials, and nothing of it is an event.

use tracing::Level;

use super::{
    key_host::Says,
    rig::{EVENT, Rig, signed},
};
use crate::{
    played::Response,
    secrets::lines_at,
    support::{Front, eventually, within},
};

#[tokio::test]
async fn a_challenge_is_answered_with_exactly_its_value_and_as_nothing_that_a_browser_runs() {
    let rig = Rig::start().await;
    for (query, value) in [
        ("challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7", "8ec8d794-e0ab-42df-9017-e3dada8e84f7"),
        ("a=b&challenge=a%20b%3D%26&c=d", "a b=&"),
        ("challenge=%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>"),
    ] {
        let reply = rig.get(&format!("/v1/audit?{query}")).await;
        assert_eq!((reply.status, reply.text()), (200, value));
        assert_eq!(reply.header("content-type"), Some("text/plain"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(rig.count("challenge"), 3);
}

#[tokio::test]
async fn what_is_no_challenge_is_an_ordinary_probe() {
    let rig = Rig::start().await;
    let long = format!("/v1/audit?challenge={}", "x".repeat(1025));
    for target in [
        "/v1/audit",
        "/v1/audit?challenge=",
        "/v1/audit?challenge=a%0d%0aset-cookie:b",
        "/v1/audit?challenge=a&challenge=b",
        &long,
    ] {
        let reply = rig.get(target).await;
        assert_eq!((reply.status, reply.text()), (200, "this source is configured"), "{target}");
    }
    let elsewhere = rig.get("/v1/other?challenge=x").await;
    assert_eq!((elsewhere.status, elsewhere.text()), (503, "no such source yet"));
}

#[tokio::test]
async fn a_source_of_another_kind_repeats_nothing_and_has_no_questions() {
    let front = Front::start().await;
    let reply = front.ask("GET /v1/leads?challenge=x HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!((reply.status, reply.text()), (200, "this source is configured"));
    let body = r#"{"validationUrl":"https://csm.adobe.io/csm/registrations/validate?id=1"}"#;
    assert_eq!(front.deliver(body).await.status, 200);
    assert_eq!(front.store.bodies(), [body.as_bytes()], "it means nothing there");
}

fn question(rig: &Rig, query: &str) -> String {
    format!(r#"{{"validationUrl":"{}csm/registrations/validate?{query}"}}"#, rig.host.url)
}

#[tokio::test]
async fn a_validation_url_is_answered_200_and_never_stored_with_or_without_a_signature() {
    let rig = Rig::start().await;
    let body = question(&rig, "id=1&challenge=2");
    assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200);
    assert_eq!(rig.deliver(&body).await.status, 200);
    assert_eq!(rig.count("validation"), 2);
    assert!(rig.front.store.stored().is_empty());
    let logged = &rig.front.metrics.validations;
    assert_eq!(logged.with_label_values(&["audit", "logged"]).get(), 1, "each once");
    assert_eq!(logged.with_label_values(&["audit", "repeated"]).get(), 1);
    let asked = rig.host.asked();
    assert!(!asked.iter().any(|line| line.contains("validate")), "a person opens it: {asked:?}");
}

#[tokio::test]
async fn a_validation_url_is_opened_where_that_is_configured_and_nothing_else_is() {
    let rig = Rig::with(|_| {}, true).await;
    rig.host.says("/csm/registrations/validate?id=1&challenge=2", Says::text("ok"));
    let url = rig.host.url.to_string();
    let foreign =
        ["http://evil.test/csm/registrations/validate?id=1".to_owned()].into_iter().chain([
            format!("{url}other?id=1"),
            format!("{url}csm/registrations/validate/../../other?id=1"),
            format!("{}@evil.test/csm/registrations/validate?id=1", url.trim_end_matches('/')),
            format!("{url}csm/registrations/validate"),
        ]);
    for url in foreign {
        let body = format!(r#"{{"validationUrl":"{url}"}}"#);
        assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200, "{url}");
    }
    let body = question(&rig, "id=1&challenge=2");
    assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200);
    within(rig.host.was_asked(1)).await;
    assert_eq!(rig.host.asked(), ["GET /csm/registrations/validate?id=1&challenge=2 HTTP/1.1"]);
    let count = |result| rig.front.metrics.validations.with_label_values(&["audit", result]).get();
    assert_eq!((count("foreign"), count("opened"), count("failed")), (5, 1, 0));
}

#[tokio::test]
async fn a_redirect_of_the_validation_is_not_followed_and_counts_as_failed() {
    let rig = Rig::with(|_| {}, true).await;
    let to = format!("{}elsewhere", rig.host.url);
    let elsewhere = Response::new(302, "").header("location", to);
    rig.host.says("/csm/registrations/validate?id=1", Says::Answer(elsewhere));
    assert_eq!(rig.post(&[], question(&rig, "id=1").as_bytes()).await.status, 200);
    let failed = rig.front.metrics.validations.with_label_values(&["audit", "failed"]);
    eventually(|| failed.get() == 1).await;
    assert_eq!(rig.host.asked().len(), 1);
}

#[tokio::test]
async fn an_address_that_could_not_be_opened_is_opened_when_it_is_posted_again() {
    let rig = Rig::with(|_| {}, true).await;
    let count = |result| rig.front.metrics.validations.with_label_values(&["audit", result]).get();
    let body = question(&rig, "id=1");
    rig.host.says("/csm/registrations/validate?id=1", Says::Nothing);
    assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200);
    eventually(|| count("failed") == 1).await;
    rig.host.says("/csm/registrations/validate?id=1", Says::text("ok"));
    // That it failed is counted a moment before it may be tried again.
    eventually_opened(&rig, &body, 2).await;
}

async fn eventually_opened(rig: &Rig, body: &str, times: u64) {
    let opened = rig.front.metrics.validations.with_label_values(&["audit", "opened"]);
    within(async {
        while opened.get() < times {
            assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn strangers_who_were_first_do_not_hide_the_genuine_validation_url() {
    let (lines, _guard) = lines_at(Level::ERROR);
    let rig = Rig::start().await;
    for n in 0..7 {
        let body = question(&rig, &format!("id=fake-{n}"));
        assert_eq!(rig.post(&[], body.as_bytes()).await.status, 200);
    }
    let genuine = question(&rig, "id=genuine&challenge=4711");
    assert_eq!(rig.post(&[], genuine.as_bytes()).await.status, 200);
    let text = lines.text();
    let of_it = text.lines().filter(|line| line.contains("id=genuine&challenge=4711"));
    assert_eq!(of_it.count(), 1, "{text}");
    assert!(text.contains("client=127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_validation_url_in_a_flood_is_logged_or_answered_503_and_never_dropped_in_silence() {
    let rig = Rig::start().await;
    let mut askers = Vec::new();
    for n in 0..100 {
        let body = question(&rig, &format!("id={n}"));
        let mut asker = rig.front.connect().await;
        let length = body.len();
        asker
            .send(format!(
                "POST /v1/audit HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        askers.push(asker);
    }
    let mut statuses = Vec::new();
    for mut asker in askers {
        statuses.push(asker.reply().await.status);
    }
    let with = |status| statuses.iter().filter(|other| **other == status).count() as u64;
    let count = |result| rig.front.metrics.validations.with_label_values(&["audit", result]).get();
    assert_eq!((count("logged"), count("too-many")), (with(200), with(503)));
    assert_eq!(with(200) + with(503), 100);
    assert!(with(200) >= 8 && with(503) > 0, "{statuses:?}");
    assert_eq!(rig.count("validation-later"), with(503));
}

#[tokio::test]
async fn an_event_is_never_taken_for_a_question() {
    let rig = Rig::start().await;
    let event = EVENT.replacen('{', r#"{"validationUrl":"https://csm.adobe.io/","#, 1);
    assert_eq!(rig.post(&[], event.as_bytes()).await.status, 401);
    assert_eq!(rig.post(&signed(event.as_bytes()), event.as_bytes()).await.status, 200);
    assert_eq!(rig.front.store.bodies(), [event.as_bytes()]);
}

#[tokio::test]
async fn a_stranger_is_read_no_further_than_a_question_may_go() {
    let rig = Rig::start().await;
    let mut stranger = rig.front.connect().await;
    stranger.send("POST /v1/audit HTTP/1.1\r\nhost: here\r\ncontent-length: 99999\r\n\r\n{").await;
    assert_eq!(stranger.reply().await.status, 401, "nobody waits for the rest");
    let mut stranger = rig.front.connect().await;
    stranger
        .send("POST /v1/audit HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..5 {
        stranger.send(format!("1000\r\n{}\r\n", "x".repeat(0x1000))).await;
    }
    assert_eq!(stranger.reply().await.status, 401);
}
