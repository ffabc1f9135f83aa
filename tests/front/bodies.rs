//! Content-codings, limits and the budget.

use std::{io::Write, time::Duration};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};

use tokio::task::JoinSet;

use crate::support::{Front, Raw, Reply, TOKEN, eventually, post};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn deliver(front: &Front, coding: &str, body: &[u8]) -> Reply {
    let mut sender = front.connect().await;
    let head = format!(
        "POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    sender.send(head).await;
    sender.send(body).await;
    sender.reply().await
}

#[tokio::test]
async fn codings_are_taken_off_before_the_body_is_stored() {
    let front = Front::start().await;
    let body = b"{\"activities\":[]}".repeat(1000);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&body).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(&body).unwrap();
    let cases = [
        ("gzip", gzip(&body)),
        ("X-GZIP", gzip(&body)),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("identity", body.clone()),
        ("UTF-8", body.clone()),
        ("none", body.clone()),
        ("", body.clone()),
        ("utf-8, gzip", gzip(&body)),
    ];
    for (coding, bytes) in cases {
        assert_eq!(deliver(&front, coding, &bytes).await.status, 200, "{coding}");
        let stored = front.store.stored().pop().unwrap();
        assert!(stored.body == body, "{coding}");
        assert!(!stored.headers.iter().any(|(name, _)| name == "content-encoding"), "{coding}");
    }
}

#[tokio::test]
async fn what_does_not_inflate_is_stored_as_it_came_with_its_coding() {
    let front = Front::start().await;
    let cut = &gzip(b"{}")[..10];
    for (coding, body) in
        [("gzip", &b"{}"[..]), ("gzip", cut), ("deflate", b"!"), ("br", b"{}"), ("gzip, br", b"{}")]
    {
        assert_eq!(deliver(&front, coding, body).await.status, 200, "{coding}");
        let stored = front.store.stored().pop().unwrap();
        assert_eq!(stored.body, body, "{coding}");
        let [(id, _), kept] = stored.headers.as_slice() else { panic!("{:?}", stored.headers) };
        assert_eq!(id, "x-request-id");
        assert_eq!(*kept, ("content-encoding".to_owned(), coding.to_owned()));
    }
}

#[tokio::test]
async fn a_bomb_is_503_and_not_stored() {
    let front = Front::with(|config| config.body_limit_inflated = 1 << 20).await;
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(deliver(&front, "gzip", &bomb).await.status, 503);
    assert_eq!(front.deliveries("leads", "inflated-too-large"), 1);
    assert_eq!(*front.store.begun.borrow(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_503_whether_it_says_so_or_not() {
    let front = Front::with(|config| config.body_limit = 100_000).await;
    let mut declared = front.connect().await;
    declared.send(post("", "").replace("length: 0", "length: 100001")).await;
    assert_eq!(declared.reply().await.status, 503, "before a byte of it came");
    let mut chunked = front.connect().await;
    chunked
        .send(post("", "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", ""))
        .await;
    let chunk = [b"2710\r\n", &[b'x'; 10_000][..], b"\r\n"].concat();
    for _ in 0..11 {
        chunked.send(&chunk).await;
    }
    let reply = chunked.reply().await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("300"));
    assert_eq!(front.deliveries("leads", "body-too-large"), 2);
    let exact = "x".repeat(100_000);
    assert_eq!(front.deliver(&exact).await.status, 200);
}

#[tokio::test]
async fn the_answer_reaches_a_sender_that_goes_on_sending() {
    let front = Front::with(|config| config.body_limit = 1000).await;
    let mut sender = front.connect().await;
    sender.send(post("", "").replace("length: 0", "length: 2000000")).await;
    sender.send(vec![b'x'; 2_000_000]).await;
    assert_eq!(sender.reply().await.status, 503);
}

#[tokio::test]
async fn chunked_bodies_and_trailers_are_read() {
    let front = Front::start().await;
    let mut sender = front.connect().await;
    sender
        .send(
            post("", "transfer-encoding: chunked\r\ntrailer: x\r\n")
                .replace("content-length: 0\r\n", ""),
        )
        .await;
    for piece in ["1\r\n{\r\n", "1;ext=1\r\n}\r\n", "0\r\nx: y\r\n\r\n"] {
        sender.send(piece).await;
    }
    assert_eq!(sender.reply().await.status, 200);
    assert_eq!(front.store.bodies(), [b"{}"]);
}

#[tokio::test]
async fn the_budget_makes_the_next_wait_and_then_refuses_it() {
    let front = Front::with(|config| {
        config.body_budget = 64 * 1024;
        config.request_timeout = Duration::from_millis(300);
    })
    .await;
    front.store.hold();
    let body = "x".repeat(60 * 1024);
    let mut first = front.connect().await;
    first.send(post(&body, "")).await;
    front.store.has_begun(1).await;
    let second = front.deliver(&body).await;
    assert_eq!(second.status, 503);
    assert_eq!(front.deliveries("leads", "over-budget"), 1);
    assert_eq!(first.reply().await.status, 503, "the store takes too long for it");
    // What waits in the spool's queue still counts; once it is stored, there is room again.
    assert_eq!(front.deliver(&body).await.status, 503);
    assert_eq!(front.deliveries("leads", "over-budget"), 2);
    front.store.release();
    eventually(|| front.store.stored().len() == 1).await;
    assert_eq!(front.deliver(&body).await.status, 200);
}

#[tokio::test]
async fn one_that_needs_more_than_the_whole_budget_inflated_gets_all_of_it() {
    let front = Front::with(|config| {
        config.body_limit_inflated = 1 << 20;
        config.body_budget = 1 << 20;
    })
    .await;
    let body = vec![b' '; 1 << 20];
    for _ in 0..3 {
        assert_eq!(deliver(&front, "gzip", &gzip(&body)).await.status, 200);
    }
    assert_eq!(front.store.stored().len(), 3);
}

/// The patience of a request in tests in which nothing may end by waiting.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A delivery to `other` of which only the beginning comes.
async fn announce(front: &Front, bytes: usize, come: usize) -> Raw {
    let mut slow = front.connect().await;
    let length = format!("length: {bytes}");
    slow.send(post("", "").replace("length: 0", &length).replace("/v1/leads", "/v1/other")).await;
    slow.send("x".repeat(come)).await;
    slow
}

#[tokio::test]
async fn bodies_that_were_announced_and_do_not_come_cost_what_came() {
    let front = Front::two(|config| config.request_timeout = FOR_EVER).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(announce(&front, 16 << 20, 1).await);
    }
    let body = "x".repeat(10 << 20);
    assert_eq!(front.deliver(&body).await.status, 200);
    assert_eq!(front.ask(&post(&body, "").replace("/v1/leads", "/v1/other")).await.status, 200);
    assert_eq!(front.deliveries("other", "over-budget"), 0, "there was room");
}

#[tokio::test]
async fn a_source_that_fills_the_budget_leaves_the_others_their_shares() {
    let front = Front::two(|config| {
        config.request_timeout = FOR_EVER;
        config.body_limit = 256 << 10;
        config.body_limit_inflated = 256 << 10;
        config.body_budget = 512 << 10;
    })
    .await;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        greedy.push(announce(&front, 200 << 10, 150 << 10).await);
    }
    for _ in 0..20 {
        assert_eq!(front.deliver("{}").await.status, 200);
    }
}

#[tokio::test]
async fn compressed_bodies_that_need_more_than_there_is_at_once_are_all_stored() {
    let front = Front::with(|config| {
        config.request_timeout = FOR_EVER;
        config.body_limit = 1 << 20;
        config.body_limit_inflated = 4 << 20;
        config.body_budget = 6 << 20;
    })
    .await;
    // Their wire forms alone fill the budget.
    let mut random = fastrand::Rng::with_seed(13);
    let mut body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(900 << 10).collect();
    body.resize(3 << 20, b' ');
    let body = gzip(&body);
    let head = post("", "content-encoding: gzip\r\n")
        .replace("length: 0", &format!("length: {}", body.len()));
    let mut senders = JoinSet::new();
    for _ in 0..8 {
        let mut sender = front.connect().await;
        let (head, body) = (head.clone(), body.clone());
        senders.spawn(async move {
            sender.send(&head).await;
            sender.send(&body).await;
            sender.reply().await.status
        });
    }
    assert_eq!(senders.join_all().await, [200; 8]);
    assert_eq!(front.store.stored().len(), 8);
}
