//! More connections than there are places.

use std::time::Duration;

use crate::support::{Front, post};

#[tokio::test]
async fn when_senders_hold_every_place_the_next_is_told_to_come_again() {
    let front = Front::with(|config| config.connections = 3).await;
    let mut senders = Vec::new();
    for _ in 0..3 {
        let mut sender = front.connect().await;
        sender.send(post("{}", "")).await;
        assert_eq!(sender.reply().await.status, 200);
        senders.push(sender);
    }
    let reply = front.deliver("{}").await;
    assert_eq!((reply.status, reply.text()), (503, "too many connections"));
    assert_eq!(reply.header("retry-after"), Some("10"));
    assert_eq!(front.refused("too-many-connections"), 1);
    // A place that a sender leaves is free again.
    drop(senders.pop());
    let mut raw = front.connect().await;
    raw.send(post("{}", "")).await;
    let mut status = raw.reply().await.status;
    while status == 503 {
        status = front.deliver("{}").await.status;
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_crowd_of_slow_strangers_shuts_no_sender_out() {
    let front = Front::with(|config| {
        config.connections = 20;
        config.header_timeout = Duration::from_secs(3600);
    })
    .await;
    let mut steady = front.connect().await;
    steady.send(post("{}", "")).await;
    assert_eq!(steady.reply().await.status, 200);
    let mut strangers = Vec::new();
    for n in 0..300 {
        let mut stranger = front.connect().await;
        stranger.send("POST /v1/leads HTTP/1.1\r\nhost: h").await;
        strangers.push(stranger);
        if n % 10 == 0 {
            steady.send(post("{}", "")).await;
            assert_eq!(steady.reply().await.status, 200, "on its old connection");
            assert_eq!(front.deliver("{}").await.status, 200, "on a new connection");
        }
    }
    let reply = strangers[0].reply().await;
    assert_eq!((reply.status, reply.text()), (503, "too many connections"));
}
