//! Each row of the table.

use std::time::Duration;

use millrace::{
    source::SourceName,
    spool::{AppendError, Limit},
};

use crate::support::{Front, SECOND_TOKEN, TOKEN, eventually, post};

fn leads() -> SourceName {
    SourceName::new("leads").unwrap()
}

#[tokio::test]
async fn a_delivery_with_any_of_the_tokens_is_stored_and_answered_200() {
    let front = Front::start().await;
    let reply = front.deliver("{\"activities\":[]}").await;
    assert_eq!((reply.status, reply.text()), (200, "stored"));
    let second = format!(
        "POST /v1/leads/ HTTP/1.1\r\nhost: here\r\nauthorization: bearer {SECOND_TOKEN}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(front.ask(&second).await.status, 200);
    let query = format!(
        "POST /v1/leads?token={TOKEN} HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n[]"
    );
    assert_eq!(front.ask(&query).await.status, 200);
    assert_eq!(front.store.bodies(), [&b"{\"activities\":[]}"[..], b"{}", b"[]"]);
    assert_eq!(front.deliveries("leads", "stored"), 3);
    let answers = front.metrics.answer_seconds.with_label_values(&["leads"]);
    assert_eq!(answers.get_sample_count(), 3);
}

#[tokio::test]
async fn what_is_not_understood_is_stored_all_the_same() {
    let front = Front::start().await;
    for body in ["", "not json", "[1,", "\u{0}"] {
        assert_eq!(front.deliver(body).await.status, 200, "{body:?}");
    }
    assert_eq!(front.store.stored().len(), 4);
}

#[tokio::test]
async fn the_headers_worth_keeping_are_kept_and_credentials_are_not() {
    let front = Front::start().await;
    let headers = "content-type: application/json\r\nX-Adobe-Event-Id: e1\r\ntraceparent: 00-1\r\ncookie: c\r\nx-request-id: r1\r\n";
    assert_eq!(front.ask(&post("{}", headers)).await.status, 200);
    let kept = front.store.stored().remove(0).headers;
    let expected = [
        ("x-request-id", "r1"),
        ("content-type", "application/json"),
        ("traceparent", "00-1"),
        ("x-adobe-event-id", "e1"),
    ];
    assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn bad_credentials_are_401_with_a_challenge_and_nothing_is_stored() {
    let front = Front::start().await;
    for authorization in [
        "",
        "authorization: Bearer wrong\r\n",
        "authorization: Basic aHVudGVyMg==\r\n",
        &format!("authorization: {TOKEN}\r\n"),
        &format!("authorization: Bearer {TOKEN}\r\nauthorization: Bearer {TOKEN}\r\n"),
    ] {
        let request = format!(
            "POST /v1/leads HTTP/1.1\r\nhost: here\r\n{authorization}content-length: 2\r\n\r\n{{}}"
        );
        let reply = front.ask(&request).await;
        assert_eq!(reply.status, 401, "{authorization}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"millrace\""));
        assert_eq!(reply.header("retry-after"), None);
    }
    assert_eq!(front.deliveries("leads", "bad-credentials"), 5);
    assert_eq!(*front.store.begun.borrow(), 0);
}

#[tokio::test]
async fn a_strangers_body_is_not_waited_for_and_its_answer_arrives() {
    let front = Front::start().await;
    let mut stranger = front.connect().await;
    stranger.send("POST /v1/leads HTTP/1.1\r\nhost: here\r\ncontent-length: 9999999\r\n\r\n").await;
    stranger.send(vec![b'x'; 60_000]).await;
    assert_eq!(stranger.reply().await.status, 401);
    assert!(stranger.is_closed().await);
}

#[tokio::test]
async fn a_stranger_who_is_still_sending_is_not_cut_off_before_the_answer_can_arrive() {
    let front = Front::start().await;
    let mut stranger = front.connect().await;
    stranger.send("POST /v1/leads HTTP/1.1\r\nhost: here\r\ncontent-length: 40000\r\n\r\n").await;
    assert_eq!(stranger.reply().await.status, 401);
    // A reset, which may overtake an answer, would come back at the first and fail the second.
    for _ in 0..2 {
        stranger.send([b'x'; 20_000]).await;
        stranger.stream.readable().await.unwrap();
    }
    assert!(stranger.is_closed().await);
}

#[tokio::test]
async fn a_stranger_who_asks_first_is_not_told_to_continue() {
    let front = Front::start().await;
    let request = "POST /v1/leads HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(front.ask(request).await.status, 401);
    let mut sender = front.connect().await;
    sender.send(post("", "expect: 100-continue\r\n").replace("length: 0", "length: 2")).await;
    assert_eq!(sender.reply_to("HEAD").await.status, 100);
    sender.send("{}").await;
    assert_eq!(sender.reply().await.status, 200);
}

#[tokio::test]
async fn a_probe_is_answered_without_credentials() {
    let front = Front::start().await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let mut raw = front.connect().await;
        raw.send(format!("{method} /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n")).await;
        assert_eq!(raw.reply_to(method).await.status, 200, "{method}");
    }
    assert_eq!(front.deliveries("leads", "probe"), 3);
    assert!(front.store.stored().is_empty());
}

#[tokio::test]
async fn an_unknown_source_may_be_a_rollout_and_is_503() {
    let front = Front::start().await;
    for (method, path) in [
        ("POST", "/v1/leeds"),
        ("GET", "/v1/leeds"),
        ("POST", "/v1/"),
        ("POST", "/v1/%6ceads"),
        ("POST", "/v1/leads/../leads"),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 0\r\n\r\n"
        );
        let reply = front.ask(&request).await;
        assert_eq!(reply.status, 503, "{method} {path}");
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(front.deliveries("unknown", "unknown-source"), 5);
}

#[tokio::test]
async fn only_what_no_sender_asks_for_is_404_or_405() {
    let front = Front::start().await;
    let status = async |line: &str| {
        front.ask(&format!("{line} HTTP/1.1\r\nhost: here\r\n\r\n")).await.status
    };
    assert_eq!(status("POST /").await, 404, "a load balancer asks with GET or HEAD");
    assert_eq!(status("POST /favicon.ico").await, 404);
    assert_eq!(status("GET /metrics").await, 404, "the admin address has them");
    assert_eq!(status("OPTIONS *").await, 404);
    assert_eq!(status("DELETE /v1/leads").await, 405);
    assert_eq!(status("PUT /v1/leads").await, 405);
    assert_eq!(status("PUT /v1/other").await, 405);
    assert_eq!(status("CONNECT leads:443").await, 404);
}

#[tokio::test]
async fn every_refusal_of_the_spool_is_503_with_its_own_word() {
    let front = Front::start().await;
    type Refusal = fn() -> AppendError;
    let refusals: [(&str, Refusal); 4] = [
        ("spool-full", || AppendError::Full { spool: leads(), limit: Limit::Total { bytes: 1 } }),
        ("poisoned", || AppendError::Poisoned { spool: leads() }),
        ("closing", || AppendError::Closed { spool: leads() }),
        ("spool-too-large", || AppendError::TooLarge { spool: leads() }),
    ];
    for (label, refusal) in refusals {
        front.store.refuse_with(refusal);
        let reply = front.deliver("{}").await;
        assert_eq!(reply.status, 503, "{label}");
        assert!(reply.header("retry-after").is_some(), "{label}");
        assert_eq!(front.deliveries("leads", label), 1, "{label}");
    }
    assert!(front.store.stored().is_empty());
}

#[tokio::test]
async fn a_spool_that_takes_too_long_is_503_and_the_delivery_may_still_be_stored() {
    let front = Front::with(|config| config.request_timeout = Duration::from_millis(100)).await;
    front.store.hold();
    let reply = front.deliver("{}").await;
    assert_eq!(reply.status, 503);
    assert_eq!(front.deliveries("leads", "spool-slow"), 1);
    front.store.release();
    eventually(|| front.store.stored().len() == 1).await;
}
