//! The last segment is cut while the service does not run, and Kafka was away all the time, so no checkpoint tells.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    time::Duration,
};

use crate::support::{
    bridge::{Bridge, LEADS, Settings, TOKEN},
    process, wait,
};

const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: &[u8] = br#"{"munchkinId":"999-XYZ-000","activities":[{"id":1,"leadId":2,"activityTypeId":13,"activityDate":"2026-01-01T00:00:00Z"}]}"#;

/// Ends a service that has taken three deliveries, and cuts all of them.
fn cut(mode: &str, end: impl Fn(&mut Bridge)) {
    let mut bridge =
        Bridge::start(Settings::new("127.0.0.1:1", "unused").set("KAFKA__DELIVERY", mode));
    for _ in 0..3 {
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, BATCH).unwrap().status, 200);
    }
    end(&mut bridge);
    let segment = bridge.spool().join("leads/segments/00000000000000000001.segment");
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(64).unwrap();
    bridge.restart();
    let says = |what: &str| bridge.log().iter().any(|line| line.contains(what));
    wait::until("a line about the missing end", PATIENCE, || {
        says("the end of the spool is missing")
    });
    assert_eq!(bridge.client().deliver(LEADS, TOKEN, BATCH).unwrap().status, 200);
    let begun = bridge.spool().join("leads/segments/00000000000000000004.segment");
    assert!(begun.exists(), "{mode}: numbers of acknowledged deliveries are not given again");
    if mode == "at-least-once" {
        let damaged =
            || bridge.metric("millrace_spool_damaged_ranges_total", &["source=\"leads\""]);
        wait::until("the damage is counted", PATIENCE, || damaged() == 1.0);
        let quarantine = bridge.spool().join("leads/quarantine");
        let mut labels = fs::read_dir(quarantine).unwrap().map(|entry| entry.unwrap().path());
        let label = labels.find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
        let label = fs::read_to_string(label).unwrap();
        assert!(label.contains("sequences 1..4"), "{label}");
        // The service has passed them: the tools do not call that delivered.
        let verified = || run_on(bridge.spool(), &["spool", "verify"]);
        let passed = || verified().contains("sequences 1..4, passed by and in quarantine");
        wait::until("verify says that they are passed by", PATIENCE, passed);
        assert!(!verified().contains("already delivered"), "{}", verified());
    }
}

/// What a command says about the spool folder.
fn run_on(spool: &Path, words: &[&str]) -> String {
    let mut command = process::tied(env!("CARGO_BIN_EXE_millrace"));
    command.args(words).arg("--directory").arg(spool);
    let said = command.output().unwrap();
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn a_cut_after_a_stop_during_an_outage_of_kafka_is_reported() {
    for mode in ["at-least-once", "exactly-once"] {
        cut(mode, |bridge| {
            bridge.terminate();
            assert!(bridge.wait(PATIENCE).success());
        });
    }
}

#[test]
fn a_cut_after_a_kill_during_an_outage_of_kafka_is_reported_as_far_as_the_end_was_noted() {
    for mode in ["at-least-once", "exactly-once"] {
        cut(mode, |bridge| {
            let extent = bridge.spool().join("leads.extent");
            wait::until("the end is noted", PATIENCE, || {
                fs::read_to_string(&extent).is_ok_and(|noted| noted.contains("\"end\":4"))
            });
            bridge.kill();
        });
    }
}
