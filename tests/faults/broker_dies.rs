//! The broker is killed and frozen by turns, under load.

use crate::{
    broker::Broker,
    is_long,
    load::{Load, settle},
    support::bridge::{Bridge, Settings},
};

#[test]
fn a_broker_that_is_killed_and_frozen_by_turns_loses_nothing() {
    let mut broker = Broker::start();
    let bridge = Bridge::start(Settings::new(&broker.address(), "dies"));
    let load = Load::start(&bridge, "999-DIE-001", "dies");
    load.wait_for(500);

    for _ in 0..if is_long() { 20 } else { 3 } {
        broker.kill();
        load.wait_for(1_000);
        broker.restart();
        load.wait_for(500);
        broker.freeze();
        load.wait_for(2_000);
        broker.thaw();
        load.wait_for(500);
    }

    let ledger = load.stop();
    settle("a broker killed and frozen", &bridge, &broker.address(), &ledger);
}
