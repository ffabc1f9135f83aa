//! Heads and bodies that take their time.

use std::time::{Duration, Instant};

use crate::support::{Front, post, within};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_503_and_the_end() {
    let front = Front::with(|config| config.header_timeout = SHORT).await;
    let began = Instant::now();
    let mut slow = front.connect().await;
    slow.send("POST /v1/leads HTTP/1.1\r\nhost: he").await;
    let reply = slow.reply().await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("10"));
    assert!(began.elapsed() >= SHORT);
    assert_eq!(front.refused("head-timeout"), 1);
    assert!(slow.is_closed().await);
}

#[tokio::test]
async fn dripping_does_not_prolong_a_head() {
    let front = Front::with(|config| config.header_timeout = SHORT).await;
    let slow = front.connect().await;
    let dripping = async {
        loop {
            if slow.stream.try_write(b"x").is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    within(dripping).await;
    assert_eq!(front.refused("head-timeout"), 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let front = Front::with(|config| config.header_timeout = SHORT).await;
    assert!(front.connect().await.is_closed().await);
    assert_eq!(front.refused("head-timeout"), 1);
}

#[tokio::test]
async fn a_sender_may_be_idle_for_longer_than_a_head_may_take_and_a_stranger_may_not() {
    let front = Front::with(|config| config.header_timeout = SHORT).await;
    let (mut sender, mut stranger) = (front.connect().await, front.connect().await);
    sender.send(post("{}", "")).await;
    assert_eq!(sender.reply().await.status, 200);
    stranger.send("GET /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!(stranger.reply().await.status, 200);
    assert!(stranger.is_closed().await);
    sender.send(post("{}", "")).await;
    assert_eq!(sender.reply().await.status, 200);
    // But a second head of the sender's must come in time.
    sender.send("POST /v1/le").await;
    assert_eq!(sender.reply().await.status, 503);
}

#[tokio::test]
async fn a_sender_is_idle_for_as_long_as_is_configured_and_no_longer() {
    let front = Front::with(|config| config.idle_timeout = SHORT).await;
    let mut sender = front.connect().await;
    sender.send(post("{}", "")).await;
    assert_eq!(sender.reply().await.status, 200);
    let began = Instant::now();
    assert!(sender.is_closed().await);
    assert!(began.elapsed() >= SHORT / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_of_a_trusted_proxy_is_kept_before_anything_was_delivered_on_it() {
    let front = Front::with(|config| {
        config.header_timeout = SHORT;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut proxy = front.connect().await;
    proxy.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!(proxy.reply().await.status, 200);
    // A stranger's connection that begins later has ended by then.
    let mut stranger = front.connect().await;
    assert!(stranger.is_closed().await);
    proxy.send(post("{}", "")).await;
    assert_eq!(proxy.reply().await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_503() {
    let front = Front::with(|config| config.request_timeout = SHORT).await;
    let mut slow = front.connect().await;
    slow.send(post("{}", "").replace("length: 2", "length: 3")).await;
    let reply = slow.reply().await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(front.deliveries("leads", "body-timeout"), 1);
    assert!(slow.is_closed().await);
}

#[tokio::test]
async fn a_body_may_come_byte_by_byte() {
    let front = Front::start().await;
    let mut slow = front.connect().await;
    let request = post("{}", "");
    for byte in request.as_bytes() {
        slow.send([*byte]).await;
    }
    assert_eq!(slow.reply().await.status, 200);
}
