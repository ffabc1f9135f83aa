//! What is known, and whose it is, before and after a restart.

use std::time::Duration;

use millrace::deliver::deduplicate::{Attempt, Claim, Settings};
use uuid::Uuid;

use crate::{
    Process, SETTINGS, START, at, claim, deliver, directory, disk, disk_with_seed, event,
    is_granted, settle,
    simulated_disk::{Call, SimulatedDisk},
};

#[test]
fn the_first_of_two_sources_owns_an_event_and_the_other_ones_is_a_repeat() {
    let mut process = Process::start(&disk(), SETTINGS);
    assert!(is_granted(&mut process.leads, "a", 1, START));
    assert!(claim(&mut process.adobe, "a", 1, START).is_repeat());
    assert!(claim(&mut process.leads, "a", 2, START).is_repeat());
    assert!(is_granted(&mut process.leads, "a", 1, START), "no repeat of itself");
    assert!(is_granted(&mut process.adobe, "b", 1, START));
    let counted = |owner| process.metrics.duplicates.with_label_values(&["adobe", owner]).get();
    assert_eq!([counted("leads"), counted("adobe")], [1, 0]);
}

#[test]
fn an_event_without_an_id_of_its_own_is_never_a_repeat() {
    let mut process = Process::start(&disk(), SETTINGS);
    for sequence in 1..4 {
        let claimed = process.leads.claim(&event(None), at(sequence), START);
        assert_eq!(claimed, Claim::Granted(None));
    }
}

#[test]
fn the_same_id_of_another_instance_source_or_type_is_another_event() {
    let mut process = Process::start(&disk(), SETTINGS);
    assert!(is_granted(&mut process.leads, "a", 1, START));
    let mut other_instance = event(Some("a"));
    other_instance.munchkin_id = Some("111-ABC-222".into());
    let mut other_source = event(Some("a"));
    other_source.attributes.source = "urn:mlm".into();
    let mut other_type = event(Some("a"));
    other_type.attributes.r#type = "com.adobe.platform.marketo.observability.results".into();
    for other in [other_instance, other_source, other_type] {
        assert!(matches!(process.leads.claim(&other, at(2), START), Claim::Granted(Some(_))));
    }
}

/// Of the machine or of the process.
fn crash(disk: &SimulatedDisk, seed: u64) {
    if seed.is_multiple_of(2) { disk.lose_power() } else { disk.kill() }
}

#[test]
fn what_was_settled_and_saved_is_known_after_any_crash() {
    for seed in 0..40 {
        let disk = disk_with_seed(seed);
        let mut process = Process::start(&disk, SETTINGS);
        deliver(&mut process.leads, "a", 1, START);
        deliver(&mut process.adobe, "b", 1, START + 250);
        deliver(&mut process.leads, "c", 2, START + 500);
        drop(process);
        crash(&disk, seed);
        let mut process = Process::start(&disk, SETTINGS);
        for id in ["a", "b", "c"] {
            assert!(claim(&mut process.adobe, id, 9, START + 1000).is_repeat(), "{id}");
            assert!(claim(&mut process.leads, id, 1, START + 1000).is_repeat(), "{id}");
        }
        assert!(is_granted(&mut process.leads, "d", 3, START + 1000));
    }
}

#[test]
fn what_was_only_claimed_is_anybodys_after_a_restart() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    assert!(is_granted(&mut process.leads, "a", 1, START));
    process.leads.save(START);
    drop(process);
    let mut process = Process::start(&disk, SETTINGS);
    assert!(is_granted(&mut process.adobe, "a", 1, START));
}

#[test]
fn of_a_transaction_that_was_committed_just_before_a_crash_what_it_delivered_is_known_and_nothing_else()
 {
    for seed in 0..20 {
        let disk = disk_with_seed(seed);
        let mut process = Process::start(&disk, SETTINGS);
        let attempt = Attempt { number: 7, writer: Uuid::from_u128(1) };
        // On its way in a transaction of its own.
        assert!(is_granted(&mut process.leads, "theirs", 1, START));
        // So this one's checkpoint passes it.
        assert!(claim(&mut process.adobe, "theirs", 1, START).is_repeat());
        settle(&mut process.adobe, "ours", 2, START);
        process.adobe.prepare(attempt, START);
        drop(process);
        crash(&disk, seed);
        let mut process = Process::start(&disk, SETTINGS);
        process.adobe.take_over(attempt, START + 1000);
        assert!(is_granted(&mut process.leads, "theirs", 1, START + 1000), "it never left");
        assert!(claim(&mut process.leads, "ours", 2, START + 1000).is_repeat());
        assert!(claim(&mut process.adobe, "ours", 2, START + 1000).is_repeat());
        drop(process);
        let mut process = Process::start(&disk, SETTINGS);
        assert!(claim(&mut process.leads, "ours", 2, START + 2000).is_repeat(), "for good");
    }
}

#[test]
fn of_a_transaction_that_was_not_committed_nothing_is_known() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    let attempt = |number, writer| Attempt { number, writer: Uuid::from_u128(writer) };
    settle(&mut process.leads, "a", 1, START);
    process.leads.prepare(attempt(7, 1), START);
    drop(process);
    // The one before it, or another process' with the same number, was the last to be committed.
    for committed in [attempt(6, 1), attempt(7, 2)] {
        let mut process = Process::start(&disk, SETTINGS);
        process.leads.take_over(committed, START);
        assert!(is_granted(&mut process.adobe, "a", 1, START));
    }
    let mut process = Process::start(&disk, SETTINGS);
    process.leads.take_over(attempt(7, 1), START);
    assert!(is_granted(&mut process.adobe, "a", 1, START), "what was never asked for is gone");
}

#[test]
fn an_attempt_that_was_aborted_leaves_nothing_to_the_next() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    let attempt = |number| Attempt { number, writer: Uuid::from_u128(1) };
    settle(&mut process.leads, "a", 1, START);
    process.leads.prepare(attempt(7), START);
    process.leads.forget_unsaved();
    settle(&mut process.leads, "b", 2, START);
    process.leads.prepare(attempt(8), START);
    drop(process);
    let mut process = Process::start(&disk, SETTINGS);
    process.leads.take_over(attempt(8), START);
    assert!(is_granted(&mut process.adobe, "a", 1, START));
    assert!(claim(&mut process.adobe, "b", 2, START).is_repeat());
}

#[test]
fn a_claim_that_is_given_up_is_anybodys() {
    let mut process = Process::start(&disk(), SETTINGS);
    assert!(is_granted(&mut process.leads, "a", 1, START));
    assert!(is_granted(&mut process.leads, "b", 2, START));
    process.leads.release(2..3, START);
    assert!(claim(&mut process.adobe, "a", 1, START).is_repeat());
    assert!(is_granted(&mut process.adobe, "b", 2, START));
}

#[test]
fn an_id_is_forgotten_after_the_window_across_a_restart_too() {
    let disk = disk();
    let window = 3_600_000;
    let mut process = Process::start(&disk, SETTINGS);
    deliver(&mut process.leads, "a", 1, START);
    deliver(&mut process.leads, "b", 2, START + window / 2);
    drop(process);
    let mut process = Process::start(&disk, SETTINGS);
    assert!(claim(&mut process.leads, "a", 3, START + window).is_repeat());
    let later = START + window + window / 100;
    assert!(is_granted(&mut process.leads, "a", 3, later));
    assert!(claim(&mut process.leads, "b", 4, later).is_repeat());
}

#[test]
fn of_more_ids_than_the_limit_the_last_ones_are_known_after_a_restart_whichever_source_had_them() {
    let disk = disk();
    let few = Settings { ids: 10, ..SETTINGS };
    let mut process = Process::start(&disk, few);
    for number in 0..20_u64 {
        let claims = if number % 2 == 0 { &mut process.leads } else { &mut process.adobe };
        deliver(claims, &number.to_string(), 1 + number, START + number);
    }
    drop(process);
    let mut process = Process::start(&disk, few);
    for number in (10..20).rev() {
        let claimed = claim(&mut process.leads, &number.to_string(), 99, START + 20);
        assert!(claimed.is_repeat(), "{number}");
    }
    assert!(is_granted(&mut process.leads, "9", 99, START + 20));
}

#[test]
fn a_source_that_is_no_longer_configured_still_has_delivered_what_it_has() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    deliver(&mut process.leads, "a", 1, START);
    drop(process);

    let metrics = millrace::observe::metrics::Metrics::new();
    let adobe = millrace::source::SourceName::new("adobe").unwrap();
    let shared = millrace::deliver::deduplicate::Deduplicator::open(
        std::sync::Arc::new(disk),
        &directory(),
        SETTINGS,
        std::slice::from_ref(&adobe),
        &metrics,
    );
    assert!(claim(&mut shared.claims(&adobe), "a", 1, START).is_repeat());
    assert_eq!(metrics.duplicates.with_label_values(&["adobe", "leads"]).get(), 1);
}

#[test]
fn switched_off_it_knows_nothing_and_touches_nothing() {
    let disk = disk();
    disk.take_log();
    for settings in [Settings { window: Duration::ZERO, ..SETTINGS }, Settings::OFF] {
        let mut process = Process::start(&disk, settings);
        process.leads.recall(START);
        for sequence in 1..3 {
            let claimed = claim(&mut process.leads, "a", sequence, START);
            assert_eq!(claimed, Claim::Granted(None));
            process.leads.settled(None);
            process.leads.release(1..2, START);
            process.leads.save(START);
        }
        let touched = disk.take_log();
        assert!(touched.is_empty(), "{touched:?}");
        assert_eq!(settings.memory(), 0);
    }
}

#[test]
fn a_save_is_one_sync_and_nothing_is_synced_when_nothing_was_settled() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    deliver(&mut process.leads, "a", 1, START);
    disk.take_log();
    for sequence in 2..100 {
        let Claim::Granted(identity) =
            claim(&mut process.leads, &sequence.to_string(), sequence, START)
        else {
            panic!("it is new");
        };
        process.leads.settled(identity);
    }
    process.leads.save(START);
    process.leads.save(START);
    let calls: Vec<_> = disk.take_log().into_iter().map(|(call, _)| call).collect();
    assert_eq!(calls, [Call::Write, Call::SyncData]);
}
