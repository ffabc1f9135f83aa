//! Answers that say that Kafka has a delivery, with the real spool behind them and a forwarder that the test plays.

use std::time::{Duration, Instant};

use millrace::{config::Answer, ingest::receive::Said};

use crate::{
    spooled::{LONG, Rig},
    support::{Raw, Reply, TOKEN, eventually, http2, http2_post, post},
};

impl Rig {
    async fn delivered(within: Duration) -> Self {
        Self::start(Answer::Delivered { within }).await
    }

    /// Sends one, and waits until it is durable.
    async fn send(&self) -> Raw {
        let end = self.spool.durable_end();
        let mut sender = Raw::connect(self.address).await;
        sender.send(post("{}", "")).await;
        eventually(|| self.spool.durable_end() > end).await;
        sender
    }

    async fn deliver(&self) -> Reply {
        self.send().await.reply().await
    }

    fn answers(&self, said: Said) -> u64 {
        self.metrics.answers.with_label_values(&["leads", said.as_str()]).get()
    }

    fn outcomes(&self, outcome: &str) -> u64 {
        self.metrics.deliveries.with_label_values(&["leads", outcome]).get()
    }
}

fn said(reply: &Reply) -> Option<&str> {
    assert_eq!(reply.status, 200);
    reply.header("millrace-answer")
}

#[tokio::test]
async fn a_delivery_is_answered_delivered_once_the_forwarder_has_settled_all_of_it() {
    let rig = Rig::delivered(LONG).await;
    for settled in 1..=2 {
        let mut sender = rig.send().await;
        assert_eq!(rig.answers(Said::Delivered), settled - 1, "it waits");
        rig.spool.settled(settled + 1);
        assert_eq!(said(&sender.reply().await), Some("delivered"));
    }
    assert_eq!((rig.answers(Said::Delivered), rig.answers(Said::Stored)), (2, 0));
    assert_eq!(rig.outcomes("stored"), 2, "the outcome is the same");
    rig.end().await;
}

#[tokio::test]
async fn while_nothing_is_settled_one_delivery_is_waited_for_and_the_next_are_answered_at_once() {
    const WITHIN: Duration = Duration::from_millis(500);
    let rig = Rig::delivered(WITHIN).await;
    let began = Instant::now();
    assert_eq!(said(&rig.deliver().await), Some("stored"));
    assert!(began.elapsed() >= WITHIN);
    let began = Instant::now();
    for _ in 0..40 {
        assert_eq!(said(&rig.deliver().await), Some("stored"));
    }
    assert!(began.elapsed() < 20 * WITHIN, "they waited");
    assert_eq!((rig.answers(Said::Delivered), rig.answers(Said::Stored)), (0, 41));
    // Back again: what was waited for in vain is settled, and so is all behind it.
    rig.spool.settled(rig.spool.durable_end());
    let mut next = rig.send().await;
    rig.spool.settled(rig.spool.durable_end());
    assert_eq!(said(&next.reply().await), Some("delivered"));
    rig.end().await;
}

/// Over HTTP/2: over HTTP/1 a sender may close its half of a connection and still gets its answer, so there the wait
/// has its time.
#[tokio::test]
async fn a_client_that_disconnects_ends_its_wait_and_its_delivery_stays() {
    let rig = Rig::delivered(LONG).await;
    let (mut client, connection) = http2(rig.address).await;
    let asking = tokio::spawn(client.send_request(http2_post(rig.address, TOKEN, "{}")));
    eventually(|| rig.spool.durable_end() > 1).await;
    asking.abort();
    connection.abort();
    drop(client);
    eventually(|| rig.outcomes("client-gone") == 1).await;
    assert_eq!(rig.answers(Said::Delivered) + rig.answers(Said::Stored), 0);
    assert_eq!(rig.spool.durable_end(), 2);
    let mut next = rig.send().await;
    rig.spool.settled(3);
    assert_eq!(said(&next.reply().await), Some("delivered"));
    rig.end().await;
}

#[tokio::test]
async fn a_wait_for_kafka_holds_no_memory_of_bodies() {
    let rig = Rig::delivered(LONG).await;
    let mut sender = Raw::connect(rig.address).await;
    sender.send(post(&"x".repeat(100_000), "")).await;
    eventually(|| rig.spool.durable_end() > 1).await;
    eventually(|| rig.metrics.body_budget_used_bytes.get() == 0).await;
    assert_eq!(rig.answers(Said::Delivered) + rig.answers(Said::Stored), 0, "it waits");
    rig.spool.settled(2);
    assert_eq!(said(&sender.reply().await), Some("delivered"));
    rig.end().await;
}

#[tokio::test]
async fn a_source_that_answers_stored_waits_for_nothing_and_says_no_more() {
    let rig = Rig::start(Answer::Stored).await;
    assert_eq!(said(&rig.deliver().await), None);
    assert_eq!(rig.answers(Said::Delivered) + rig.answers(Said::Stored), 0);
    rig.end().await;
}
