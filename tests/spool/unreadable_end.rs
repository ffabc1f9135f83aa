//! Sectors of the last segment that the disk does not give back when the spool is opened: what is waited
//! for, what is passed by, and that nothing is cut or numbered again for it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use millrace::{
    observe::metrics::Metrics,
    spool::{Config, Damage, Folder, Next, OpenError, Spool, Writer},
};

use crate::{simulated_disk::SimulatedDisk, support::*};

const LENGTH: usize = 900;
const SECTOR: u64 = 4096;
const COUNT: u64 = 30;
/// Milliseconds between two tries.
const PAUSE: u64 = 2_000;

/// A last segment of thirty deliveries, and the process gone; where each frame begins, and the last one ends.
fn left_behind() -> (SimulatedDisk, Vec<u64>) {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = try_open(&disk, &large(), None).unwrap();
    let mut borders = vec![64];
    for n in 1..=COUNT {
        assert_eq!(append(&mut writer, body(n, LENGTH)).unwrap(), n);
        borders.push(disk.content(&segment(1)).len() as u64);
    }
    disk.kill();
    (disk, borders)
}

fn large() -> Config {
    Config { segment_size: 1 << 20, ..config() }
}

fn folder(disk: &SimulatedDisk) -> Arc<Folder> {
    Folder::open(Arc::new(disk.clone()), &large()).unwrap()
}

/// As often as it is worth it; how often it failed.
fn open_patiently(
    disk: &SimulatedDisk,
    folder: &Arc<Folder>,
) -> (Result<(Writer, Spool), OpenError>, usize) {
    for failures in 0..1000 {
        match folder.spool(&source(), None, &Metrics::new(), None) {
            Err(error) if error.is_worth_retrying() => disk.advance_clock(PAUSE),
            ended => return (ended, failures),
        }
    }
    panic!("it is tried for ever");
}

/// What is read, however often reading fails, and the damage.
fn read_patiently(disk: &SimulatedDisk, spool: &Spool) -> (Vec<(u64, Bytes)>, Vec<Damage>) {
    let (mut reader, mut deliveries, mut damages) = (spool.reader(1), Vec::new(), Vec::new());
    for _ in 0..10_000 {
        match reader.next() {
            Ok(Next::Delivery(stored)) => deliveries.push((stored.sequence, stored.delivery.body)),
            Ok(Next::Damage(damage)) => damages.push(damage),
            Ok(Next::CaughtUp) => return (deliveries, damages),
            Err(error) => {
                assert!(error.is_worth_retrying(), "{error}");
                disk.advance_clock(PAUSE);
            }
        }
    }
    panic!("it never ends");
}

/// The frames that lie on `bytes`, by their places in the row.
fn hit(borders: &[u64], bytes: Range<u64>) -> Range<usize> {
    let first = borders.iter().rposition(|border| *border <= bytes.start).unwrap_or(0);
    let behind = borders.iter().position(|border| *border >= bytes.end);
    first..behind.unwrap_or(borders.len() - 1)
}

#[test]
fn a_bad_sector_of_the_last_segment_costs_what_lies_on_it_and_no_number_is_given_twice() {
    let end = *left_behind().1.last().unwrap();
    for at in (0..end).step_by(SECTOR as usize) {
        let (disk, borders) = left_behind();
        let before = disk.content(&segment(1));
        let sector = at..(at + SECTOR).min(end);
        disk.spoil(&segment(1), sector.clone());
        let (opened, failures) = open_patiently(&disk, &folder(&disk));
        let (mut writer, spool) = opened.unwrap();
        assert_eq!(failures, 9, "{at}: it is waited for");
        let next = append(&mut writer, body(1000, LENGTH)).unwrap();
        assert!(next > COUNT, "{at}: {next}");
        assert_eq!(segments(&disk), [1, next], "{at}: not into the segment with the hole");
        assert_eq!(disk.content(&segment(1)), before, "{at}: nothing is cut, nothing is written");

        let lost = hit(&borders, sector.start.max(64)..sector.end);
        assert!(spool.reader(lost.start as u64 + 1).next().is_ok(), "{at}: it was waited for");
        let (deliveries, damages) = read_patiently(&disk, &spool);
        let [damage] = &damages[..] else { panic!("{at}: {damages:?}") };
        assert_eq!(damage.from..damage.to, borders[lost.start]..borders[lost.end], "{damage}");
        assert_eq!(damage.first_sequence, lost.start as u64 + 1);
        let is_tail = lost.end == COUNT as usize;
        assert_eq!(damage.next_sequence, if is_tail { next } else { lost.end as u64 + 1 });
        let whole = (1..=COUNT).filter(|n| !lost.contains(&(*n as usize - 1)));
        let mut expected: Vec<_> = whole.map(|n| (n, body(n, LENGTH))).collect();
        expected.push((next, body(1000, LENGTH)));
        assert!(deliveries == expected, "{at}");
    }
}

#[test]
fn what_comes_back_behind_a_passed_hole_is_read_after_all() {
    let (disk, borders) = left_behind();
    disk.spoil(&segment(1), borders[25]..u64::MAX);
    let (mut writer, spool) = open_patiently(&disk, &folder(&disk)).0.unwrap();
    let next = append(&mut writer, body(1000, LENGTH)).unwrap();
    disk.mend();
    let (deliveries, damages) = read_patiently(&disk, &spool);
    let read: Vec<u64> = deliveries.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(read, (1..=COUNT).chain([next]).collect::<Vec<_>>());
    let numbers: Vec<_> = damages.iter().map(|it| it.first_sequence..it.next_sequence).collect();
    assert_eq!(numbers, vec![COUNT + 1..next], "numbers that were left out for it, and no more");
}

#[test]
fn a_torn_write_behind_a_hole_is_not_cut() {
    let (disk, borders) = left_behind();
    let mut bytes = disk.content(&segment(1));
    bytes.truncate(borders[COUNT as usize] as usize - 7);
    disk.set_content(&segment(1), bytes.clone());
    disk.spoil(&segment(1), SECTOR..2 * SECTOR);
    let (mut writer, _spool) = open_patiently(&disk, &folder(&disk)).0.unwrap();
    assert!(append(&mut writer, body(1000, LENGTH)).unwrap() > COUNT);
    assert_eq!(disk.content(&segment(1)), bytes);
}

#[test]
fn the_last_bytes_of_a_broken_end_are_not_cut_unread() {
    let (disk, borders) = left_behind();
    let mut bytes = disk.content(&segment(1));
    let start = borders[COUNT as usize - 1] as usize;
    bytes[start + 40] ^= 1; // the last frame is damaged
    bytes[start + 4] ^= 1;
    disk.set_content(&segment(1), bytes.clone());
    let end = bytes.len() as u64;
    disk.spoil(&segment(1), end - 20..end);
    let (mut writer, _spool) = open_patiently(&disk, &folder(&disk)).0.unwrap();
    assert!(append(&mut writer, body(1000, LENGTH)).unwrap() > COUNT);
    assert_eq!(disk.content(&segment(1)), bytes);
}

#[test]
fn a_disk_that_comes_back_within_the_tries_costs_nothing() {
    let (disk, _) = left_behind();
    disk.spoil(&segment(1), 0..u64::MAX);
    let folder = folder(&disk);
    for _ in 0..9 {
        let opened = folder.spool(&source(), None, &Metrics::new(), None);
        assert!(opened.err().unwrap().is_worth_retrying());
        disk.advance_clock(PAUSE);
    }
    disk.mend();
    let (opened, failures) = open_patiently(&disk, &folder);
    let (mut writer, spool) = opened.unwrap();
    assert_eq!((append(&mut writer, body(31, LENGTH)).unwrap(), failures), (COUNT + 1, 0));
    assert_eq!(segments(&disk), [1]);
    assert_reads_series(&spool, 1..COUNT + 2, LENGTH);
}

#[test]
fn a_disk_that_gives_nothing_back_opens_nothing_and_says_what_to_do() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = try_open(&disk, &large(), None).unwrap();
    append_series(&mut writer, 1..600, LENGTH);
    disk.kill();
    let before = disk.content(&segment(1));
    disk.spoil(&segment(1), 0..u64::MAX);
    let (opened, failures) = open_patiently(&disk, &folder(&disk));
    let error = opened.err().unwrap();
    assert!(matches!(error, OpenError::BadDisk { .. }) && failures >= 9, "{failures}: {error}");
    assert!(error.to_string().contains("ddrescue"), "{error}");
    assert_eq!((segments(&disk), disk.content(&segment(1))), (vec![1], before));
}

#[test]
fn a_segment_that_was_just_begun_is_begun_again_when_its_header_can_not_be_read() {
    let disk = SimulatedDisk::new(1);
    let (mut writer, _spool) = try_open(&disk, &large(), None).unwrap();
    append(&mut writer, body(1, LENGTH)).unwrap();
    disk.kill();
    let header = disk.content(&segment(1))[..64].to_vec();
    disk.set_content(&segment(1), header);
    disk.spoil(&segment(1), 0..64);
    let (mut writer, spool) = open_patiently(&disk, &folder(&disk)).0.unwrap();
    assert_eq!(append(&mut writer, body(1, LENGTH)).unwrap(), 1);
    assert_reads_series(&spool, 1..2, LENGTH);
}
