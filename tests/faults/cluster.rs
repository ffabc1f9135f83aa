//! A cluster of three brokers that replicate to each other, and lose some of themselves.

mod made_again;
mod replicas;
mod volume_gone;

use crate::{
    admin, clusters, is_long,
    load::{Load, PATIENCE, settle},
    support::{
        batches::Subscription,
        bridge::{Bridge, Settings},
        wait,
    },
};

#[test]
fn a_cluster_that_loses_one_broker_then_two_and_is_restarted_in_turn_loses_nothing() {
    let mut cluster = clusters::borrow();
    let addresses = cluster.addresses();
    let settings =
        |prefix| Settings::new(&addresses, prefix).set("TOPICS__REPLICATION_FACTOR", "3");
    let bridge = Bridge::start(settings("three"));
    let load = Load::start(&bridge, "999-THR-003", "three");
    // Beside it one whose events are there once: each broker that is killed leads partitions that its
    // transactions write to, and one of them coordinates the transactions.
    let once = Bridge::start(
        settings("once")
            .set("TOPICS__CHECKPOINTS", "once.checkpoints")
            .set("KAFKA__DELIVERY", "exactly-once")
            .set("KAFKA__COMMIT_INTERVAL", "200ms"),
    );
    let load_once = Load::start(&once, "999-ONC-005", "once");
    load.wait_for(2_000);
    let delivered = || bridge.metric("millrace_events_delivered_total", &[]);
    wait::until("all topics to be made", PATIENCE, || {
        Subscription::event_types().all(|name| {
            [&bridge, &once]
                .iter()
                .all(|bridge| bridge.metric("millrace_events_delivered_total", &[name]) > 0.0)
        })
    });

    // One away: two in-sync replicas are enough.
    cluster.brokers[0].kill();
    let before = delivered();
    load.wait_for(4_000);
    wait::until("deliveries to two brokers", PATIENCE, || delivered() > before + 2_000.0);

    // Two away: nothing can be written, and nothing is given up.
    cluster.brokers[1].kill();
    load.wait_for(6_000);
    assert_eq!(
        bridge.readiness(),
        Some(200),
        "Kafka's troubles are no reason to refuse deliveries"
    );

    cluster.brokers[0].relaunch();
    cluster.brokers[1].relaunch();
    cluster.brokers.iter_mut().for_each(|broker| broker.wait_until_ready(3));

    // One after the other, under load.
    for _ in 0..if is_long() { 5 } else { 1 } {
        for place in 0..3 {
            cluster.brokers[place].relaunch();
            cluster.brokers[place].wait_until_ready(3);
            load.wait_for(1_000);
        }
    }

    let (ledger, ledger_once) = (load.stop(), load_once.stop());
    let comparison = settle("a cluster that loses brokers", &bridge, &addresses, &ledger);
    assert_eq!(comparison.quarantined, 0, "a passing trouble sends nothing to quarantine");
    let comparison = settle("the same, in transactions", &once, &addresses, &ledger_once);
    assert_eq!(comparison.quarantined, 0, "a passing trouble sends nothing to quarantine");
    assert_eq!(comparison.repeated, 0, "each event and each dead letter is there once");
    let aborted = once.metric("millrace_transactions_total", &["outcome=\"aborted\""]);
    println!("{aborted} transactions were taken back");
}

#[test]
fn a_dead_letter_topic_that_can_not_be_made_while_a_broker_is_away_is_waited_for() {
    let mut cluster = clusters::borrow();
    let addresses = cluster.addresses();
    for event_type in Subscription::event_types() {
        admin::create_topic(&addresses, &format!("letters.lead-activity.{event_type}"), 3);
    }
    cluster.brokers[2].kill();
    // Once the others have noticed. A broker that is only away still gets replicas of new topics; one
    // that was taken out of the cluster does not.
    cluster.brokers[0].wait_until_ready(2);
    cluster.brokers[0].unregister(cluster.brokers[2].id());
    let settings = Settings::new(&addresses, "letters").set("TOPICS__REPLICATION_FACTOR", "3");
    let bridge = Bridge::start(settings);
    let load = Load::start(&bridge, "999-LET-004", "letters");

    let delivered = || bridge.metric("millrace_events_delivered_total", &[]);
    wait::until("refused events that wait, and others that do not", PATIENCE, || {
        bridge.metric("millrace_dead_letters_waiting", &[]) > 10.0 && delivered() > 1_000.0
    });
    wait::until("a log line that says what to do", PATIENCE, || {
        let log = bridge.log();
        log.iter()
            .any(|line| line.contains("letters.dead-letter") && line.contains("bring them back"))
    });
    cluster.brokers[2].relaunch();
    cluster.brokers[2].wait_until_ready(3);
    load.wait_for(500);

    let ledger = load.stop();
    let comparison = settle("a dead-letter topic made late", &bridge, &addresses, &ledger);
    assert_eq!(comparison.quarantined, 0, "the cluster was whole again a moment later");
    assert!(comparison.dead_lettered > 10);
}
