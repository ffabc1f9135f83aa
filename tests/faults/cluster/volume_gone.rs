//! The machine is gone, and its volume with it: what was answered `delivered` is on three brokers.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use crate::{
    clusters,
    ledger::Ledger,
    load::PATIENCE,
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        http::Client,
        wait,
    },
};

const SENDERS: usize = 4;
/// So many answers say `delivered` before the volume goes.
const ENOUGH: usize = 200;

/// Of its books only what was answered `delivered` is owed.
fn send(
    mut client: Client,
    name: &str,
    prefix: &str,
    stop: &AtomicBool,
    delivered: &AtomicUsize,
) -> Ledger {
    let (mut subscription, mut ledger) = (Subscription::new(name, 20), Ledger::new(prefix));
    while !stop.load(Ordering::Relaxed) {
        let batch = subscription.batch_of(20);
        let answer = client.deliver(LEADS, TOKEN, &batch.body);
        let said = answer.as_ref().ok().and_then(|answer| answer.header("millrace-answer"));
        match said {
            Some("delivered") => {
                delivered.fetch_add(1, Ordering::Relaxed);
                ledger.acknowledged(batch);
            }
            _ => ledger.unanswered(batch),
        }
        if answer.is_err() {
            break; // the machine is gone
        }
    }
    ledger
}

fn lose_the_volume(guarantee: &str) {
    let cluster = clusters::borrow();
    let addresses = cluster.addresses();
    let prefix = format!("burnt-{guarantee}");
    let settings = Settings::new(&addresses, &prefix)
        .set("TOPICS__REPLICATION_FACTOR", "3")
        .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"))
        .set("KAFKA__DELIVERY", guarantee)
        .set("KAFKA__COMMIT_INTERVAL", "200ms")
        .set("SOURCES__LEADS__ANSWER", "delivered")
        .set("SOURCES__LEADS__ANSWER_WITHIN", "7s");
    let mut bridge = Bridge::start(settings);
    let (stop, delivered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut ledger = Ledger::new(&prefix);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let (client, name) = (bridge.client(), format!("999-BRN-{number:03}"));
                let (prefix, stop, delivered) = (&prefix, &stop, &delivered);
                scope.spawn(move || send(client, &name, prefix, stop, delivered))
            })
            .collect();
        wait::until("answers that say delivered", PATIENCE, || {
            assert!(!senders.iter().any(thread::ScopedJoinHandle::is_finished), "a sender gave up");
            delivered.load(Ordering::Relaxed) >= ENOUGH
        });
        bridge.kill();
        fs::remove_dir_all(bridge.spool()).expect("the spool can be removed");
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            ledger.add(sender.join().expect("a sender that ends"));
        }
    });
    let comparison = ledger.compare(&addresses);
    println!(
        "{} events more than those are there",
        comparison.on_topics.saturating_sub(comparison.acknowledged)
    );
    comparison.assert_whole(&format!("a volume that is gone ({guarantee})"));
}

#[test]
fn what_was_answered_delivered_outlives_the_volume() {
    lose_the_volume("at-least-once");
}

#[test]
fn what_was_answered_delivered_in_transactions_outlives_the_volume() {
    lose_the_volume("exactly-once");
}
