//! Stopping in order.

use std::{process::Command, time::Duration};

use millrace::runtime::shutdown::{Phase, Shutdown, Signals};
use tokio::net::TcpStream;

use crate::support::{Front, TOKEN, http2, http2_post, post, status_and_text, within};

#[tokio::test]
async fn draining_still_takes_deliveries_and_closing_takes_no_connections() {
    let front = Front::start().await;
    front.shutdown.advance(Phase::Draining);
    assert_eq!(front.deliver("{}").await.status, 200);
    front.shutdown.advance(Phase::Closing);
    within(front.served).await.unwrap();
    assert!(TcpStream::connect(front.address).await.is_err());
}

/// A sender that keeps its connection, as proxies do, would else send its next delivery in the moment in which this
/// side closes.
#[tokio::test]
async fn while_it_drains_a_kept_connection_is_told_to_close_with_its_next_answer() {
    let front = Front::start().await;
    let mut kept = front.connect().await;
    kept.send(post("{}", "")).await;
    assert_eq!(kept.reply().await.header("connection"), None);
    front.shutdown.advance(Phase::Draining);
    kept.send(post("{}", "")).await;
    let reply = kept.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(kept.is_closed().await);
    // So is one whose request is refused; and a new connection is still taken.
    let mut refused = front.connect().await;
    refused.send(post("{}", "").replace("length: 2", "length: 2\r\ncontent-length: 2")).await;
    assert_eq!(refused.reply().await.header("connection"), Some("close"));
    assert_eq!(front.deliver("{}").await.status, 200);
}

#[tokio::test]
async fn idle_connections_end_and_a_request_in_flight_is_finished_and_told_to_close() {
    let front = Front::start().await;
    let (mut idle, mut busy, mut silent) =
        (front.connect().await, front.connect().await, front.connect().await);
    idle.send(post("{}", "")).await;
    assert_eq!(idle.reply().await.status, 200);
    front.store.hold();
    busy.send(post("{\"last\":1}", "")).await;
    front.store.has_begun(2).await;
    front.shutdown.advance(Phase::Closing);
    assert!(idle.is_closed().await);
    assert!(silent.is_closed().await);
    assert!(!front.served.is_finished());
    front.store.release();
    let reply = busy.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(busy.is_closed().await);
    within(front.served).await.unwrap();
}

#[tokio::test]
async fn http_2_gets_goaway_and_its_requests_are_finished() {
    let front = Front::start().await;
    front.store.hold();
    let (mut client, connection) = http2(front.address).await;
    let asking = tokio::spawn(client.send_request(http2_post(front.address, TOKEN, "{}")));
    front.store.has_begun(1).await;
    front.shutdown.advance(Phase::Closing);
    front.store.release();
    let answer = within(asking).await.unwrap().unwrap();
    assert_eq!(status_and_text(answer).await.0, 200);
    // A clean end is what the client makes of GOAWAY without an error.
    within(connection).await.unwrap().unwrap();
    assert!(client.ready().await.is_err());
    within(front.served).await.unwrap();
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_hold_up_the_end() {
    let front = Front::with(|config| config.request_timeout = Duration::from_millis(300)).await;
    let mut endless = front.connect().await;
    endless.send(post("", "").replace("length: 0", "length: 10")).await;
    let mut half = front.connect().await;
    half.send("POST /v1/le").await;
    // One whole request, so that the others have surely been seen.
    assert_eq!(front.deliver("{}").await.status, 200);
    front.shutdown.advance(Phase::Closing);
    within(front.served).await.unwrap();
}

#[tokio::test]
async fn a_signal_drains_and_a_second_one_hurries() {
    let shutdown = Shutdown::new();
    let signals = Signals::install().unwrap();
    let stopping = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.on_signals(signals, Duration::from_secs(3600)).await }
    });
    let signal = |name: &str| {
        let id = std::process::id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    signal("-TERM");
    within(shutdown.reached(Phase::Draining)).await;
    assert_eq!(shutdown.phase(), Phase::Draining);
    signal("-INT");
    within(shutdown.reached(Phase::Closing)).await;
    within(stopping).await.unwrap();
}
