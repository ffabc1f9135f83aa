//! The disk of the spool is full: no bytes, or no inodes, and then there are again.

use std::fs;

use crate::{
    broker::Broker,
    load::{Load, PATIENCE, settle},
    support::{
        bridge::{Bridge, Settings},
        wait,
    },
    volume::{Volume, is_apart},
};

/// Fills the volume in one way while the broker is away, frees it, and looks that nothing is lost.
#[track_caller]
fn full_and_freed(what: &str, volume: &Volume, fill: impl Fn(&Volume)) {
    assert!(is_apart(&volume.path()), "the spool must not fill the machine's own disk");
    let mut broker = Broker::start();
    let settings = Settings::new(&broker.address(), "disk")
        .set("SPOOL__SIZE_LIMIT", "32MiB")
        .set("SPOOL__SEGMENT_SIZE", "64KiB")
        .set("SPOOL__RESERVE", "3MiB")
        .set("SPOOL__KEEP_DELIVERED__AGE", "0s")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB");
    let mut bridge = Bridge::start_below(&volume.path(), settings);
    let load = Load::start(&bridge, "999-DSK-007", "disk");
    load.wait_for(1_000);

    for _ in 0..2 {
        broker.kill();
        load.wait_for(1_000);
        fill(volume);
        load.wait_for_a_503();
        // Still full, and Kafka takes again what is in the spool: space comes back by itself, or
        // not at all, but nothing breaks.
        broker.restart();
        load.wait_for_a_503_or_more(500);
        volume.free();
        load.wait_for(1_000);
    }
    assert!(load.refused() > 0);
    assert_eq!(bridge.metric("millrace_spool_poisoned", &[]), 0.0, "no space is full, not broken");

    // What a full disk leaves behind can be read by the next process.
    broker.kill();
    fill(volume);
    load.wait_for_a_503();
    let ledger = load.stop();
    bridge.kill();
    volume.free();
    broker.restart();
    bridge.restart();
    wait::until("a ready service", PATIENCE, || bridge.readiness() == Some(200));

    settle(what, &bridge, &broker.address(), &ledger);
    assert!(fs::read_dir(volume.path()).is_ok());
}

#[test]
fn a_disk_without_a_byte_left_answers_503_until_it_is_freed_and_loses_nothing() {
    full_and_freed("a full disk", &Volume::mount(64 << 20, 4096), Volume::fill);
}

#[test]
fn a_disk_without_an_inode_left_answers_503_until_it_is_freed_and_loses_nothing() {
    full_and_freed("no inodes", &Volume::mount(64 << 20, 256), |volume| {
        assert!(volume.fill_with_files() > 0);
    });
}

#[test]
fn on_a_volume_that_stays_full_the_backlog_is_delivered_after_a_restart_too() {
    let volume = Volume::mount(64 << 20, 4096);
    let mut broker = Broker::start();
    let settings = Settings::new(&broker.address(), "reserve")
        .set("SPOOL__SIZE_LIMIT", "32MiB")
        .set("SPOOL__SEGMENT_SIZE", "64KiB")
        .set("SPOOL__RESERVE", "3MiB")
        .set("LISTEN__BODY_LIMIT", "1MiB")
        .set("LISTEN__BODY_LIMIT_INFLATED", "1MiB");
    let mut bridge = Bridge::start_below(&volume.path(), settings);
    let load = Load::start(&bridge, "999-DSK-008", "reserve");
    load.wait_for(200);
    broker.kill();
    load.wait_for(1_000);
    let reserve = |bridge: &Bridge| -> usize {
        (0..4).map(|number| bridge.files(&format!("/reserve.{number}")).len()).sum()
    };
    // A checkpoint that is written just while the ballast grows gives its part of the reserve to the ballast.
    let mut tries = 0;
    loop {
        volume.fill();
        if reserve(&bridge) == 4 {
            break;
        }
        tries += 1;
        assert!(tries < 20, "the reserve is never whole on a full volume");
        volume.free();
        load.wait_for(100);
    }
    load.wait_for_a_503();
    let ledger = load.stop();
    bridge.kill();
    // Whatever a restart has freed belongs to others, too.
    volume.fill();
    assert!(reserve(&bridge) > 0, "a part of the reserve is left for the restart");
    broker.restart();
    bridge.restart();
    settle("a volume that stays full", &bridge, &broker.address(), &ledger);
    assert!(!bridge.files("/checkpoint").is_empty());
}
