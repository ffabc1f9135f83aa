//! Limits, reserve and a full volume, and free again.

use std::sync::Arc;

use millrace::{
    observe::metrics::Metrics,
    source::SourceName,
    spool::{AppendError, Config, Folder, Limit, SpoolState, position::Position},
};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

fn limit(outcome: Result<u64, AppendError>) -> Limit {
    match outcome {
        Err(AppendError::Full { limit, .. }) => limit,
        other => panic!("expected full, got {other:?}"),
    }
}

#[test]
fn the_total_limit_counts_undelivered_bytes_and_delivering_makes_room() {
    let disk = SimulatedDisk::new(1);
    let config = Config { size_limit: 1000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..4, 200);
    let refused = append(&mut writer, body(4, 200));
    assert!(refused.as_ref().unwrap_err().to_string().contains("`spool.size_limit`"));
    assert_eq!(limit(refused), Limit::Total { bytes: 1000 });
    assert_eq!(spool.state(), SpoolState::Full);
    assert_eq!(spool.durable_end(), 4, "what was refused takes no number");
    spool.delivered(Position { sequence: 2, index: 0 });
    assert_eq!(spool.state(), SpoolState::Open);
    append_series(&mut writer, 4..5, 200);
    assert_eq!(limit(append(&mut writer, body(5, 200))), Limit::Total { bytes: 1000 });
    spool.delivered(Position::start_of(5));
    append_series(&mut writer, 5..8, 200);
    assert_reads_series(&spool, 1..8, 200);
}

#[test]
fn the_total_is_shared_and_a_source_limit_is_its_own() {
    let disk = SimulatedDisk::new(1);
    let config = Config { size_limit: 1000, ..config() };
    let folder = Folder::open(Arc::new(disk), &config).unwrap();
    let metrics = Metrics::new();
    let (mut leads, leads_spool) = folder.spool(&source(), Some(600), &metrics, None).unwrap();
    let audit = SourceName::new("audit").unwrap();
    let (mut audit, _audit_spool) = folder.spool(&audit, None, &metrics, None).unwrap();
    append_series(&mut leads, 1..3, 200);
    let own = append(&mut leads, body(3, 200));
    assert_eq!(limit(own.clone()), Limit::Source { bytes: 600 });
    let AppendError::Full { spool, limit: which } = own.unwrap_err() else { panic!() };
    assert_eq!(which.key(&spool), "sources.leads.size_limit");
    append_series(&mut audit, 1..2, 200);
    assert_eq!(limit(append(&mut audit, body(2, 200))), Limit::Total { bytes: 1000 });
    leads_spool.delivered(Position::start_of(3));
    append_series(&mut audit, 2..4, 200);
}

#[test]
fn a_source_that_takes_all_it_can_get_leaves_each_other_one_its_part() {
    let disk = SimulatedDisk::new(1);
    let source_limits = vec![None; 2];
    let config = Config { size_limit: 2400, source_limits, ..config() };
    let folder = Folder::open(Arc::new(disk), &config).unwrap();
    let metrics = Metrics::new();
    let (mut leads, leads_spool) = folder.spool(&source(), None, &metrics, None).unwrap();
    let audit = SourceName::new("audit").unwrap();
    let (mut audit, audit_spool) = folder.spool(&audit, None, &metrics, None).unwrap();
    let mut stored = 1;
    while append(&mut leads, body(stored, 200)).is_ok() {
        stored += 1;
    }
    assert!(leads_spool.undelivered().bytes > 1500, "its part and all that is common");
    assert_eq!(limit(append(&mut leads, body(stored, 200))), Limit::Total { bytes: 2400 });
    append_series(&mut audit, 1..3, 200);
    assert_eq!(limit(append(&mut audit, body(3, 200))), Limit::Total { bytes: 2400 });
    assert_eq!(audit_spool.room().guaranteed, 600 - audit_spool.undelivered().bytes);
    leads_spool.delivered(Position::start_of(3));
    append_series(&mut audit, 3..5, 200);
    leads_spool.delivered(Position::start_of(stored));
    audit_spool.delivered(Position::start_of(5));
    assert_eq!(folder.room_in_common(), 1200);
}

#[test]
fn what_lay_there_at_the_start_counts_for_its_own_source() {
    let disk = SimulatedDisk::new(1);
    let source_limits = vec![None; 2];
    let config = Config { size_limit: 2400, source_limits, ..config() };
    let (mut leads, leads_spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut leads, 1..6, 200);
    let before = leads_spool.undelivered().bytes;
    drop((leads, leads_spool));
    let folder = Folder::open(Arc::new(disk), &config).unwrap();
    let metrics = Metrics::new();
    let (_leads, spool) = folder.spool(&source(), None, &metrics, None).unwrap();
    assert_eq!((spool.room().guaranteed, folder.room_in_common()), (0, 1200 - (before - 600)));
    let audit = SourceName::new("audit").unwrap();
    let (mut audit, _spool) = folder.spool(&audit, None, &metrics, None).unwrap();
    append_series(&mut audit, 1..3, 200);
}

#[test]
fn what_can_never_fit_is_full_and_does_not_stop_what_fits() {
    let disk = SimulatedDisk::new(1);
    let config = Config { size_limit: 1000, ..config() };
    let (writer, spool) = try_open(&disk, &config, None).unwrap();
    let thread = writer.spawn().unwrap();
    block_on(async {
        assert_eq!(
            limit(spool.append(delivery(body(1, 5000))).await),
            Limit::Total { bytes: 1000 }
        );
        assert_eq!(spool.append(delivery(body(2, 100))).await.unwrap(), 1);
    });
    spool.close();
    thread.join().unwrap();
}

#[test]
fn of_a_group_that_is_too_much_as_many_are_stored_as_fit() {
    let disk = SimulatedDisk::new(1);
    let config = Config { size_limit: 1000, segment_size: 1 << 20, ..config() };
    let (writer, spool) = try_open(&disk, &config, None).unwrap();
    let thread = writer.spawn().unwrap();
    disk.hold_syncs();
    let stored = block_on(async {
        let mut appends: Vec<_> =
            (0..8).map(|n| Box::pin(spool.append(delivery(body(n, 200))))).collect();
        for append in &mut appends {
            enqueue(append).await;
        }
        disk.release_syncs();
        let mut stored = 0;
        for append in appends {
            match append.await {
                Ok(_) => stored += 1,
                Err(error) => assert!(matches!(error, AppendError::Full { .. }), "{error}"),
            }
        }
        stored
    });
    assert_eq!(stored, 3);
    spool.close();
    thread.join().unwrap();
}

#[test]
fn the_reserve_is_kept_free() {
    let disk = SimulatedDisk::new(1);
    let config = Config { reserve: 10_000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..3, 200);
    disk.set_capacity(disk.used() + 10_100);
    assert_eq!(limit(append(&mut writer, body(3, 200))), Limit::Reserve { bytes: 10_000 });
    assert_eq!(spool.state(), SpoolState::Full);
    disk.set_capacity(disk.used() + 11_000);
    append_series(&mut writer, 3..4, 200);
    assert_eq!(spool.state(), SpoolState::Open);
}

#[test]
fn delivered_segments_give_way_to_the_reserve_oldest_first_and_undelivered_ones_never() {
    let disk = SimulatedDisk::new(1);
    let config = Config { reserve: 10_000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..10, 200);
    assert_eq!(segments(&disk), [1, 4, 7]);
    spool.delivered(Position::start_of(5));
    disk.set_capacity(disk.used() + 10_100);
    append_series(&mut writer, 10..12, 200);
    assert_eq!(segments(&disk), [4, 7, 10]);
    disk.set_capacity(disk.used() + 10_100);
    assert_eq!(limit(append(&mut writer, body(12, 200))), Limit::Reserve { bytes: 10_000 });
    assert_eq!(segments(&disk), [4, 7, 10]);
    assert_reads_series(&spool, 4..12, 200);
}

#[test]
fn a_last_segment_that_is_delivered_gives_way_too_before_and_after_a_restart() {
    let disk = SimulatedDisk::new(1);
    let config = Config { reserve: 10_000, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..3, 200);
    disk.set_capacity(disk.used() + 10_100);
    assert_eq!(limit(append(&mut writer, body(3, 200))), Limit::Reserve { bytes: 10_000 });
    spool.delivered(Position::start_of(3));
    append_series(&mut writer, 3..5, 200);
    assert_eq!(segments(&disk), [3]);

    disk.set_capacity(disk.used() + 10_100);
    drop((writer, spool));
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    spool.delivered(Position::start_of(5));
    append_series(&mut writer, 5..6, 200);
    assert_eq!(segments(&disk), [5]);
    assert_reads_series(&spool, 5..6, 200);
}

#[test]
fn a_full_volume_is_full_and_not_poison_and_leaves_no_part_of_a_frame() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    let before = disk.content(&segment(1));
    for room in [0, 1, 31, 32, 100, 250] {
        disk.set_capacity(disk.used() + room);
        assert_eq!(limit(append(&mut writer, body(3, 200))), Limit::Volume);
        assert_eq!(disk.content(&segment(1)), before);
        assert_eq!(spool.state(), SpoolState::Full);
    }
    disk.set_capacity(u64::MAX);
    append_series(&mut writer, 3..5, 200);
    assert_reads_series(&spool, 1..5, 200);
}

#[test]
fn what_a_refused_append_had_claimed_is_given_back() {
    let disk = SimulatedDisk::new(1);
    let config = Config { size_limit: 1000, segment_size: 1 << 20, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..2, 200);
    disk.set_capacity(disk.used());
    for _ in 0..10 {
        assert_eq!(limit(append(&mut writer, body(2, 200))), Limit::Volume);
    }
    disk.set_capacity(u64::MAX);
    append_series(&mut writer, 2..4, 200);
    assert_reads_series(&spool, 1..4, 200);
}

#[test]
fn a_volume_that_fills_up_while_rolling_is_full_and_not_poison() {
    for room in 0..64 {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..4, 200);
        disk.set_capacity(disk.used() + room);
        assert_eq!(limit(append(&mut writer, body(4, 200))), Limit::Volume);
        disk.set_capacity(u64::MAX);
        append_series(&mut writer, 4..6, 200);
        assert_reads_series(&spool, 1..6, 200);
        assert_eq!(segments(&disk), [1, 4]);
    }
}

#[test]
fn on_a_full_volume_delivered_segments_of_any_source_give_way() {
    let disk = SimulatedDisk::new(1);
    let folder = Folder::open(Arc::new(disk.clone()), &config()).unwrap();
    let metrics = Metrics::new();
    let (mut leads, leads_spool) = folder.spool(&source(), None, &metrics, None).unwrap();
    let audit = SourceName::new("audit").unwrap();
    let (mut audit, _audit_spool) = folder.spool(&audit, None, &metrics, None).unwrap();
    append_series(&mut leads, 1..8, 200);
    append_series(&mut audit, 1..2, 200);
    leads_spool.delivered(Position::start_of(5));
    disk.set_capacity(disk.used());
    append_series(&mut audit, 2..4, 200);
    assert_eq!(segments(&disk), [4, 7]);
}

#[test]
fn a_file_that_can_not_be_cut_back_poisons() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..2, 200);
    disk.set_capacity(disk.used() + 100);
    disk.fail_next(Call::SetLength, std::io::ErrorKind::Other);
    assert!(matches!(append(&mut writer, body(2, 200)), Err(AppendError::Poisoned { .. })));
    assert_eq!(spool.state(), SpoolState::Poisoned);
}
