//! A last segment that is cut while no process runs: the extent says how far it went.

use std::{
    io::ErrorKind,
    path::Path,
    time::{Duration, Instant},
};

use millrace::spool::{Spool, Writer, disk::Disk};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

const EXTENT: &str = "/spool/leads.extent";
const HEADER: usize = 64;
/// Frames of a segment with three that are left, and bytes.
const CUTS: [(u64, Option<usize>); 5] =
    [(2, None), (1, None), (0, None), (0, Some(10)), (0, Some(0))];

/// Cuts the first segment to `frames` of its three, or to `length`.
fn cut(disk: &SimulatedDisk, frames: u64, length: Option<usize>) {
    let frame = (disk.content(&segment(1)).len() - HEADER) / 3;
    disk.cut(&segment(1), length.unwrap_or(HEADER + frames as usize * frame));
}

fn extent(disk: &SimulatedDisk) -> String {
    String::from_utf8(disk.content(Path::new(EXTENT))).unwrap()
}

fn stop(writer: Writer, spool: &Spool) {
    spool.close();
    writer.run();
}

/// Expects the first `left` of three deliveries, the others as damage, and a number for the next one that is new.
#[track_caller]
fn assert_reports_what_is_missing(disk: &SimulatedDisk, left: u64) {
    let lost = left + 1..4;
    let (mut writer, spool) = open(disk);
    for n in 4..7 {
        let (deliveries, damages) = read_all(&mut spool.reader(1));
        let numbers: Vec<_> = deliveries.iter().map(|(number, _)| *number).collect();
        let expected: Vec<_> = (1..lost.start).chain(4..n).collect();
        assert_eq!(numbers, expected, "{left} are left");
        assert!(deliveries.iter().all(|(number, read)| *read == body(*number, 200)));
        let [damage] = &damages[..] else { panic!("{left} are left: {damages:?}") };
        assert_eq!(damage.first_sequence..damage.next_sequence, lost, "{left} are left");
        append_series(&mut writer, n..n + 1, 200);
    }
    disk.lose_power();
    let (_, damages) = read_all(&mut open(disk).1.reader(1));
    assert_eq!(damages.len(), 1, "{left} are left: {damages:?}");
}

#[test]
fn a_last_segment_that_is_cut_after_a_stop_is_damage_and_its_numbers_are_not_given_again() {
    for (left, length) in CUTS {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..4, 200);
        stop(writer, &spool);
        disk.lose_power();
        cut(&disk, left, length);
        assert_reports_what_is_missing(&disk, left);
    }
}

#[test]
fn a_last_segment_that_is_cut_after_a_kill_is_damage_as_far_as_its_end_was_noted() {
    for (left, length) in CUTS {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk);
        append_series(&mut writer, 1..4, 200);
        spool.note_end(Instant::now());
        disk.lose_power();
        cut(&disk, left, length);
        assert_reports_what_is_missing(&disk, left);
    }
}

#[test]
fn what_a_start_has_found_is_noted_too() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..4, 200);
    disk.kill();
    let (writer, spool) = open(&disk);
    stop(writer, &spool);
    disk.kill();
    cut(&disk, 0, None);
    assert_reports_what_is_missing(&disk, 0);
}

#[test]
fn a_spool_that_is_whole_is_no_damage_after_its_end_was_noted() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    for n in 1..30 {
        append_series(&mut writer, n..n + 1, 200);
        spool.note_end(Instant::now() + Duration::from_secs(n));
    }
    stop(writer, &spool);
    disk.lose_power();
    assert_reads_series(&open(&disk).1, 1..30, 200);
}

#[test]
fn the_end_is_noted_once_a_second_and_only_when_it_is_news() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    let start = Instant::now();
    spool.note_end(start);
    assert!(disk.info(Path::new(EXTENT)).is_err(), "there is no delivery");
    append_series(&mut writer, 1..2, 200);
    assert!(!extent(&disk).contains("end"), "answers do not wait for it");
    spool.note_end(start);
    assert!(extent(&disk).contains("\"end\":2"), "{}", extent(&disk));

    append_series(&mut writer, 2..3, 200);
    disk.take_log();
    spool.note_end(start + Duration::from_millis(999));
    assert_eq!(disk.take_log(), []);
    spool.note_end(start + Duration::from_secs(1));
    assert!(extent(&disk).contains("\"end\":3"), "{}", extent(&disk));
    disk.take_log();
    spool.note_end(start + Duration::from_secs(9));
    stop(writer, &spool);
    assert_eq!(disk.take_log(), []);
}

#[test]
fn a_note_of_the_end_keeps_the_segment_and_the_next_segment_replaces_both() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..4, 200);
    spool.note_end(Instant::now());
    assert!(extent(&disk).contains("\"segment\":1,"), "{}", extent(&disk));
    append_series(&mut writer, 4..5, 200);
    assert!(extent(&disk).contains("\"segment\":4,"), "{}", extent(&disk));
    assert!(!extent(&disk).contains("end"), "{}", extent(&disk));
    stop(writer, &spool);
    let noted = extent(&disk);
    assert!(noted.contains("\"segment\":4,") && noted.contains("\"end\":5"), "{noted}");
    disk.kill();
    let (_writer, spool) = open(&disk);
    spool.note_end(Instant::now());
    assert_eq!(extent(&disk), noted);
}

#[test]
fn an_end_that_cannot_be_noted_holds_up_nothing_and_is_noted_later() {
    for call in [Call::Create, Call::Write, Call::SyncData, Call::Rename, Call::SyncDir] {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            let disk = SimulatedDisk::new(1);
            let (mut writer, spool) = open(&disk);
            append_series(&mut writer, 1..3, 200);
            let start = Instant::now();
            disk.fail_next(call, error);
            spool.note_end(start);
            append_series(&mut writer, 3..4, 200);
            spool.note_end(start + Duration::from_secs(1));
            assert!(extent(&disk).contains("\"end\":4"), "{call:?}: {}", extent(&disk));
            append_series(&mut writer, 4..8, 200);
            assert_reads_series(&spool, 1..8, 200);
        }
    }
}

/// A start gives numbers behind all that a missing segment can have held. Those are no deliveries.
#[test]
fn a_last_segment_that_was_away_for_one_start_and_comes_back_is_whole() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _) = open(&disk);
    append_series(&mut writer, 1..6, 200);
    assert_eq!(segments(&disk), [1, 4]);
    let last = disk.content(&segment(4));
    disk.vanish(&segment(4));
    disk.kill();
    let (writer, spool) = open(&disk);
    spool.note_end(Instant::now());
    stop(writer, &spool);
    disk.kill();
    disk.replace(&segment(4), last);
    assert_reads_series(&open(&disk).1, 1..6, 200);
}
