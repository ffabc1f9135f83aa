//! More connections than there are places.

use std::time::Duration;

use crate::support::{Front, post};

#[tokio::test]
async fn when_idle_connections_of_senders_take_up_the_limit_the_next_one_is_still_served() {
    let front = Front::with(|config| config.connections = 8).await;
    let mut senders = Vec::new();
    for _ in 0..40 {
        let mut sender = front.connect().await;
        sender.send(post("{}", "")).await;
        assert_eq!(sender.reply().await.status, 200);
        senders.push(sender);
    }
    assert!(senders[0].is_closed().await, "an idle connection ends without an answer to nothing");
    let kept = senders.last_mut().expect("there is one");
    kept.send(post("{}", "")).await;
    assert_eq!(kept.reply().await.status, 200, "the newest is still there");
}

#[tokio::test]
async fn connections_with_one_source_s_deliveries_leave_room_for_another_source() {
    let front = Front::two(|config| config.connections = 16).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = front.connect().await;
        other.send(post("{}", "").replace("/v1/leads", "/v1/other")).await;
        assert_eq!(other.reply().await.status, 200);
        others.push(other);
    }
    let mut greedy = Vec::new();
    for _ in 0..60 {
        let mut one = front.connect().await;
        one.send(post("{}", "")).await;
        assert_eq!(one.reply().await.status, 200);
        greedy.push(one);
    }
    for mut other in others {
        other.send(post("{}", "").replace("/v1/leads", "/v1/other")).await;
        assert_eq!(other.reply().await.status, 200, "it has kept its connection");
    }
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
