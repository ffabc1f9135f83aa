//! Senders that push while a fault is going on, and the books of what they were answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    ledger::{Comparison, Ledger},
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, TOKEN},
        http::Client,
        wait,
    },
};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Events of a batch, and the time from one batch to the next: a busy subscription, and a few
/// hundred thousand events an hour for the consumers that read everything back.
const BATCH: usize = 20;
const PACE: Duration = Duration::from_millis(25);

/// A sender at work. Each of its batches has an element that is no activity too, so that dead
/// letters are under way whatever happens.
pub struct Load {
    shared: Arc<Shared>,
    sender: JoinHandle<Ledger>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
}

impl Load {
    /// `name` is the subscription's, `prefix` is what its topics begin with.
    pub fn start(bridge: &Bridge, name: &str, prefix: &str) -> Self {
        Self::of(bridge, Subscription::new(name, 20), prefix, true)
    }

    /// The same of one topic alone: no dead letter is under way.
    pub fn of_one_topic(bridge: &Bridge, name: &str, prefix: &str) -> Self {
        Self::of(bridge, Subscription::new(name, 20).of_one_type(), prefix, false)
    }

    fn of(bridge: &Bridge, subscription: Subscription, prefix: &str, with_unfit: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let client = bridge.client();
        let sender = thread::spawn({
            let (shared, ledger) = (Arc::clone(&shared), Ledger::new(prefix));
            move || send(&shared, client, subscription, ledger, with_unfit)
        });
        Self { shared, sender }
    }

    /// Waits until `count` more events were acknowledged.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        let now = || self.shared.acknowledged.load(Ordering::Relaxed);
        let before = now();
        wait::until("acknowledged events", PATIENCE, || {
            assert!(!self.sender.is_finished(), "the sender has given up");
            now() >= before + count
        });
    }

    /// Waits until one more batch was answered 503.
    #[track_caller]
    pub fn wait_for_a_503(&self) {
        let now = || self.shared.refused.load(Ordering::Relaxed);
        let before = now();
        wait::until("an answer 503", PATIENCE, || {
            assert!(!self.sender.is_finished(), "the sender has given up");
            now() > before
        });
    }

    /// Waits until one more batch was answered 503, or `count` more events were acknowledged.
    #[track_caller]
    pub fn wait_for_a_503_or_more(&self, count: usize) {
        let refused = || self.shared.refused.load(Ordering::Relaxed);
        let acknowledged = || self.shared.acknowledged.load(Ordering::Relaxed);
        let before = (refused(), acknowledged());
        wait::until("an answer 503, or none any more", PATIENCE, || {
            assert!(!self.sender.is_finished(), "the sender has given up");
            refused() > before.0 || acknowledged() >= before.1 + count
        });
    }

    /// Batches that were answered 503 so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    #[track_caller]
    pub fn stop(self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.sender.join().expect("a sender whose every answer is 200 or 503")
    }
}

/// What is answered 503 is sent again until it is answered 200, as Marketo does.
fn send(
    shared: &Shared,
    mut client: Client,
    mut subscription: Subscription,
    mut ledger: Ledger,
    with_unfit: bool,
) -> Ledger {
    while !shared.stop.load(Ordering::Relaxed) {
        let mut batch = subscription.batch_of(BATCH);
        let refused = format!("\"no activity, beside {}\"", batch.events[0].guid);
        if with_unfit {
            batch.body.truncate(batch.body.len() - "]}".len());
            batch.body.extend_from_slice(format!(",{refused}]}}").as_bytes());
        }
        loop {
            let answer = client.deliver(LEADS, TOKEN, &batch.body).expect("an answer");
            match answer.status {
                200 => {
                    shared
                        .acknowledged
                        .fetch_add(batch.events.len() + usize::from(with_unfit), Ordering::Relaxed);
                    ledger.acknowledged(batch);
                    if with_unfit {
                        ledger.unfit(refused);
                    }
                    break;
                }
                503 => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    if shared.stop.load(Ordering::Relaxed) {
                        ledger.unanswered(batch);
                        return ledger;
                    }
                }
                status => panic!("answered {status}: {}", answer.text()),
            }
            thread::sleep(PACE); // the pace of a sender, no waiting for anything
        }
        thread::sleep(PACE);
    }
    ledger
}

/// Waits until everything is delivered and holds it against the books.
#[track_caller]
pub fn settle(what: &str, bridge: &Bridge, address: &str, ledger: &Ledger) -> Comparison {
    bridge.wait_until_drained(PATIENCE);
    let quarantine: Vec<_> = bridge
        .files(".bytes")
        .iter()
        .map(|path| std::fs::read(path).expect("a file in quarantine can be read"))
        .collect();
    let comparison = ledger.compare_with(address, &quarantine);
    comparison.assert_whole(what);
    comparison
}
