//! Segments and their names.

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

#[test]
fn segments_are_named_by_their_first_sequence_and_stay_within_their_size() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..31, 200);
    let generations = segments(&disk);
    assert_eq!(generations[0], 1);
    assert!(generations.len() > 5);
    for generation in generations {
        assert!(disk.content(&segment(generation)).len() <= 1000);
    }
    assert_reads_series(&spool, 1..31, 200);
}

#[test]
fn a_delivery_larger_than_a_segment_gets_one_alone() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append(&mut writer, body(1, 10)).unwrap();
    append(&mut writer, body(2, 5000)).unwrap();
    append(&mut writer, body(3, 10)).unwrap();
    assert_eq!(segments(&disk), [1, 2, 3]);
    let bodies: Vec<_> =
        read_all(&mut spool.reader(1)).0.into_iter().map(|(_, body)| body.len()).collect();
    assert_eq!(bodies, [10, 5000, 10]);
}

#[test]
fn a_new_segment_and_its_name_are_synced_before_a_frame_is_written() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = open(&disk);
    disk.take_log();
    append(&mut writer, "{}").unwrap();
    let first = segment(1);
    let expected = [
        (Call::Create, first.clone()),
        (Call::Write, first.clone()),
        (Call::SyncData, first.clone()),
        (Call::SyncDir, SEGMENTS.into()),
        // Which segment was begun last is noted, once a segment.
        (Call::Create, "/spool/leads.extent.aside".into()),
        (Call::Write, "/spool/leads.extent.aside".into()),
        (Call::SyncData, "/spool/leads.extent.aside".into()),
        (Call::Rename, "/spool/leads.extent".into()),
        (Call::SyncDir, "/spool".into()),
        (Call::Write, first.clone()),
        (Call::SyncData, first),
    ];
    assert_eq!(disk.take_log(), expected);
}

#[test]
fn a_restart_goes_on_in_the_last_segment() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..4, 10);
    disk.lose_power();
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 4..6, 10);
    assert_eq!(segments(&disk), [1]);
    assert_reads_series(&spool, 1..6, 10);
}
