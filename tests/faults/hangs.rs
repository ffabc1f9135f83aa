//! A broker that hangs: its connection stays, and nothing answers. It costs no more of the processor than one that is
//! dead (`kafka/partition_queue/silence.rs`).

use crate::{
    broker::Broker,
    load::{Load, PATIENCE, settle},
    support::{
        bridge::{Bridge, Settings},
        wait,
    },
};

/// Events over which the processor's time is counted; they come at the pace of `load`, in about ten seconds.
const EVENTS: usize = 8_000;
/// Events after which everything that may be in flight is.
const MANY: usize = 1_000;

/// So much more than with a dead broker it may be. A thread that does not sleep makes it five to ten times as much.
const MARGIN: f64 = 2.5;

/// Processor time of the service, in seconds, while so many more events are acknowledged to their sender.
#[track_caller]
fn cost(bridge: &Bridge, load: &Load) -> f64 {
    let before = bridge.processor_time();
    load.wait_for(EVENTS);
    (bridge.processor_time() - before).as_secs_f64()
}

#[track_caller]
fn a_broker_that_hangs_costs_as_much_as_a_dead_one(mode: &str) {
    let mut broker = Broker::start();
    let prefix = format!("hangs-{mode}");
    let settings = Settings::new(&broker.address(), &prefix)
        .set("TOPICS__CHECKPOINTS", format!("{prefix}.checkpoints"))
        // With five requests in flight, for several partitions, librdkafka sleeps: a sixth waits to be sent, and that it sees.
        .set("TOPICS__PARTITIONS", "1")
        .set("KAFKA__DELIVERY", mode);
    let bridge = Bridge::start(settings);
    let load = Load::of_one_topic(&bridge, &format!("999-HNG-{mode}"), &prefix);
    load.wait_for(MANY);

    broker.freeze();
    load.wait_for(MANY);
    let hanging = cost(&bridge, &load);
    broker.thaw();
    let delivered = || bridge.metric("millrace_events_delivered_total", &[]);
    let before = delivered();
    wait::until("deliveries", PATIENCE, || delivered() > before + MANY as f64);

    broker.kill();
    load.wait_for(MANY);
    let dead = cost(&bridge, &load);
    println!("{mode}: {hanging:.2} s while Kafka hangs, {dead:.2} s while it is dead");

    broker.restart();
    let ledger = load.stop();
    let comparison = settle(mode, &bridge, &broker.address(), &ledger);
    if mode == "exactly-once" {
        assert_eq!(comparison.repeated, 0);
    }
    assert!(
        hanging <= dead * MARGIN,
        "{mode}: {hanging:.2} s of the processor while Kafka hangs, and {dead:.2} s while it is dead"
    );
}

#[test]
fn a_broker_that_hangs_costs_as_much_as_a_dead_one_at_least_once() {
    a_broker_that_hangs_costs_as_much_as_a_dead_one("at-least-once");
}

#[test]
fn a_broker_that_hangs_costs_as_much_as_a_dead_one_exactly_once() {
    a_broker_that_hangs_costs_as_much_as_a_dead_one("exactly-once");
}
