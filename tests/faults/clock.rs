//! The machine's clock jumps: three hours forward, back, and three hours back.
//!
//! A small library between the service and the C library shifts the wall clock that the service (and
//! the Kafka client in it) sees. The brokers' clock is right.

use std::{fs, path::Path, process::Command};

use crate::{
    broker::Broker,
    load::{Load, PATIENCE, settle},
    support::{
        batches::Subscription,
        bridge::{Bridge, Settings},
        wait,
    },
};

const THREE_HOURS: i64 = 3 * 60 * 60;

#[track_caller]
fn compile(folder: &Path) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock/shift.c");
    let library = folder.join("shift.so").display().to_string();
    let options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", &library, source];
    let output = Command::new("cc").args(options).output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

#[test]
fn a_clock_that_jumps_three_hours_loses_nothing_and_the_log_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("seconds");
    // Renamed into place: the service reads it all the time.
    let set_clock = |seconds: i64| {
        let new = folder.path().join("new");
        fs::write(&new, seconds.to_string()).expect("a temporary file can be written");
        fs::rename(new, &file).expect("a temporary file can be renamed");
    };
    set_clock(0);
    let broker = Broker::start();
    let settings = Settings::new(&broker.address(), "clock")
        .environment("LD_PRELOAD", compile(folder.path()))
        .environment("CLOCK_SHIFT_FILE", file.display().to_string());
    let bridge = Bridge::start(settings);
    let load = Load::start(&bridge, "999-CLK-008", "clock");
    let delivered = || bridge.metric("millrace_events_delivered_total", &[]);
    // A topic may be held for a moment while it is made; what follows is about the clock alone.
    wait::until("the topics", PATIENCE, || {
        Subscription::event_types().all(|name| {
            bridge.metric("millrace_events_delivered_total", &[&format!(".{name}\"")]) > 0.0
        })
    });
    let more = |count: f64| {
        let before = delivered();
        wait::until("deliveries", PATIENCE, || delivered() > before + count);
    };
    more(500.0);

    // Kafka takes nothing that is more than an hour ahead of its own clock.
    set_clock(THREE_HOURS);
    let held = wait::until_some("a topic that is held", PATIENCE, || {
        bridge.log().into_iter().find(|line| line.contains("a topic is held"))
    });
    assert!(held.contains("compare this machine's clock with the brokers'"), "{held}");
    load.wait_for(1_000);

    set_clock(0);
    more(500.0);

    set_clock(-THREE_HOURS);
    load.wait_for(1_000);
    more(500.0);
    set_clock(0);
    more(500.0);

    let ledger = load.stop();
    let comparison = settle("a clock that jumps", &bridge, &broker.address(), &ledger);
    assert_eq!(comparison.quarantined, 0, "a wrong clock passes");
}
