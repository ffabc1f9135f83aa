//! Delivered segments, and the backlog's numbers.

use std::time::Duration;

use millrace::spool::{Backlog, Config, Next, SpoolState, position::Position};

use crate::{
    simulated_disk::{Call, SimulatedDisk},
    support::*,
};

const FRAME: u64 = 32 + 15 + 31 + 200; // head, `:source`, `content-type`, body

#[test]
fn delivered_segments_stay_for_their_age_and_then_go_oldest_first() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::from_secs(60), ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..11, 200);
    assert_eq!(segments(&disk), [1, 4, 7, 10]);
    spool.delivered(Position::start_of(9));
    assert_eq!(segments(&disk), [1, 4, 7, 10]);
    disk.advance_clock(60_001);
    disk.take_log();
    spool.delivered(Position::start_of(9));
    let expected = [
        (Call::Remove, segment(1)),
        (Call::SyncDir, SEGMENTS.into()),
        (Call::Remove, segment(4)),
        (Call::SyncDir, SEGMENTS.into()),
    ];
    assert_eq!(disk.take_log(), expected);
    assert_reads_series(&spool, 7..11, 200);
}

#[test]
fn delivered_segments_beyond_their_size_go_oldest_first() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_size: 2 * (64 + 3 * FRAME), ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..14, 200);
    assert_eq!(segments(&disk), [1, 4, 7, 10, 13]);
    spool.delivered(Position::start_of(9));
    assert_eq!(segments(&disk), [1, 4, 7, 10, 13]);
    spool.delivered(Position::start_of(10));
    assert_eq!(segments(&disk), [4, 7, 10, 13]);
}

#[test]
fn the_last_segment_stays_and_so_does_everything_undelivered() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::ZERO, keep_delivered_size: 0, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..11, 200);
    spool.delivered(Position { sequence: 6, index: 3 });
    assert_eq!(segments(&disk), [4, 7, 10]);
    spool.delivered(Position::start_of(11));
    assert_eq!(segments(&disk), [10]);
    spool.delivered(Position::start_of(999));
    assert_eq!(segments(&disk), [10]);
    disk.lose_power();
    let (mut writer, _spool) = try_open(&disk, &config, Some(Position::start_of(11))).unwrap();
    assert_eq!(append(&mut writer, body(11, 200)).unwrap(), 11);
}

#[test]
fn the_low_position_never_goes_back() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..11, 200);
    spool.delivered(Position::start_of(8));
    let backlog = spool.undelivered();
    spool.delivered(Position::start_of(2));
    assert_eq!(spool.undelivered(), backlog);
}

#[test]
fn a_reader_that_stands_in_a_removed_segment_reads_on() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::ZERO, keep_delivered_size: 0, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..11, 200);
    let mut reader = spool.reader(1);
    assert!(matches!(reader.next().unwrap(), Next::Delivery(first) if first.sequence == 1));
    spool.delivered(Position::start_of(10));
    assert_eq!(segments(&disk), [10]);
    let mut sequences = Vec::new();
    while let Next::Delivery(stored) = reader.next().unwrap() {
        sequences.push(stored.sequence);
    }
    assert_eq!(sequences, [2, 3, 10], "the open segment to its end, then the oldest that is kept");
    assert_eq!(read_all(&mut spool.reader(1)).0.len(), 1);
}

#[test]
fn a_removal_that_fails_is_tried_again() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::ZERO, keep_delivered_size: 0, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..8, 200);
    disk.fail_next(Call::Remove, std::io::ErrorKind::PermissionDenied);
    spool.delivered(Position::start_of(8));
    assert_eq!(segments(&disk), [1, 4, 7]);
    assert_eq!(spool.state(), SpoolState::Open);
    spool.delivered(Position::start_of(8));
    assert_eq!(segments(&disk), [7]);
}

#[test]
fn a_removal_whose_sync_fails_poisons() {
    let disk = SimulatedDisk::new(1);
    let config = Config { keep_delivered_age: Duration::ZERO, keep_delivered_size: 0, ..config() };
    let (mut writer, spool) = try_open(&disk, &config, None).unwrap();
    append_series(&mut writer, 1..8, 200);
    disk.fail_next(Call::SyncDir, std::io::ErrorKind::Other);
    spool.delivered(Position::start_of(8));
    assert_eq!(spool.state(), SpoolState::Poisoned);
}

#[test]
fn the_backlog_is_exact_at_every_position_before_and_after_a_restart() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, mut spool) = open(&disk);
    append_series(&mut writer, 1..11, 200);
    for sequence in 1..12 {
        let low = Position { sequence, index: u32::from(sequence < 11) };
        let left = 11 - sequence;
        let oldest = (left > 0).then_some(1_770_000_000_000);
        let expected = Backlog { bytes: left * FRAME, deliveries: left, oldest };
        spool.delivered(low);
        assert_eq!(spool.undelivered(), expected, "{low}");
        disk.kill();
        spool = try_open(&disk, &config(), Some(low)).unwrap().1;
        assert_eq!(spool.undelivered(), expected, "{low}, after a restart");
    }
}

#[test]
fn the_oldest_is_known_when_the_first_one_comes_after_all_was_delivered() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, spool) = open(&disk);
    append_series(&mut writer, 1..3, 200);
    spool.delivered(Position::start_of(3));
    assert_eq!(spool.undelivered(), Backlog { bytes: 0, deliveries: 0, oldest: None });
    append_series(&mut writer, 3..4, 200);
    let oldest = Some(1_770_000_000_000);
    assert_eq!(spool.undelivered(), Backlog { bytes: FRAME, deliveries: 1, oldest });
}
