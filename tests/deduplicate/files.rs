//! The files of ids and their key: damage, other versions, a disk that fails, and how many there are.

use std::{io::ErrorKind, path::PathBuf};

use millrace::{deliver::deduplicate::Claim, spool::disk::Disk};

use crate::{
    Process, SETTINGS, START, claim, deliver, directory, disk, is_granted,
    simulated_disk::{Call, SimulatedDisk},
};

fn files(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let folder = directory().join("leads/ids");
    let mut names = disk.list(&folder).unwrap();
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

fn key() -> PathBuf {
    directory().join("deduplicate.key")
}

fn with_three_ids() -> SimulatedDisk {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    for (sequence, id) in (1..).zip(["a", "b", "c"]) {
        deliver(&mut process.leads, id, sequence, START);
    }
    disk
}

fn known(process: &mut Process) -> Vec<&'static str> {
    let mut ids = vec!["a", "b", "c"];
    ids.retain(|id| claim(&mut process.adobe, id, 1, START).is_repeat());
    ids
}

fn unreadable(process: &Process) -> u64 {
    process.metrics.deduplicate_unreadable.with_label_values(&["leads"]).get()
}

#[test]
fn a_damaged_file_is_known_up_to_the_damage_and_stops_nobody() {
    let disk = with_three_ids();
    let [file] = &files(&disk)[..] else { panic!("one file") };
    let mut bytes = disk.content(file);
    let third = bytes.len() - 1;
    bytes[third] ^= 1;
    disk.set_content(file, bytes.clone());
    let mut process = Process::start(&disk, SETTINGS);
    assert_eq!(known(&mut process), ["a", "b"]);
    assert_eq!(unreadable(&process), 1);

    // What comes then is saved elsewhere, and the damaged file stays as it is.
    deliver(&mut process.leads, "d", 4, START);
    assert_eq!(disk.content(file), bytes);
    let mut process = Process::start(&disk, SETTINGS);
    assert!(claim(&mut process.leads, "d", 5, START).is_repeat());
}

#[test]
fn a_block_that_a_crash_has_cut_is_the_end_of_its_file() {
    let disk = with_three_ids();
    let [file] = &files(&disk)[..] else { panic!("one file") };
    let mut bytes = disk.content(file);
    bytes.truncate(bytes.len() - 5);
    disk.set_content(file, bytes);
    let mut process = Process::start(&disk, SETTINGS);
    assert_eq!(known(&mut process), ["a", "b"]);
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let disk = with_three_ids();
    let [file] = &files(&disk)[..] else { panic!("one file") };
    let mut bytes = disk.content(file);
    bytes[8] += 1;
    disk.set_content(file, bytes.clone());
    let mut process = Process::start(&disk, SETTINGS);
    assert!(known(&mut process).is_empty());
    assert_eq!(unreadable(&process), 1);
    deliver(&mut process.leads, "d", 4, START);
    assert_eq!(disk.content(file), bytes);
}

#[test]
fn a_key_that_is_gone_costs_what_was_known_and_nothing_else() {
    for damaged in [false, true] {
        let disk = with_three_ids();
        if damaged {
            let mut bytes = disk.content(&key());
            bytes[15] ^= 1;
            disk.set_content(&key(), bytes);
        } else {
            disk.vanish(&key());
        }
        let mut process = Process::start(&disk, SETTINGS);
        assert!(known(&mut process).is_empty());
        assert_eq!(unreadable(&process), 1, "its ids were hashed with another key");
        deliver(&mut process.leads, "d", 4, START);
        let mut process = Process::start(&disk, SETTINGS);
        assert!(claim(&mut process.leads, "d", 5, START).is_repeat());
    }
}

#[test]
fn a_key_of_a_later_version_is_left_alone_and_stops_nobody() {
    let disk = with_three_ids();
    let mut bytes = disk.content(&key());
    bytes[8] += 1;
    // A version is believed only behind its checksum: the last four bytes.
    let covered = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..covered]);
    bytes[covered..].copy_from_slice(&checksum.to_le_bytes());
    disk.set_content(&key(), bytes.clone());
    let mut process = Process::start(&disk, SETTINGS);
    assert!(known(&mut process).is_empty());
    deliver(&mut process.leads, "d", 4, START);
    assert!(claim(&mut process.adobe, "d", 1, START).is_repeat());
    assert_eq!(disk.content(&key()), bytes);
}

#[test]
fn the_key_is_the_same_at_each_start_and_another_in_each_folder() {
    let (one, other) = (with_three_ids(), with_three_ids());
    assert_eq!(one.content(&key()).len(), 32);
    assert_ne!(one.content(&key()), other.content(&key()));
    let before = one.content(&key());
    let mut process = Process::start(&one, SETTINGS);
    assert_eq!(known(&mut process), ["a", "b", "c"]);
    assert_eq!(one.content(&key()), before);
}

#[test]
fn a_disk_that_takes_no_ids_is_told_of_and_the_next_save_begins_a_file() {
    for (call, error) in [
        (Call::Write, ErrorKind::StorageFull),
        (Call::SyncData, ErrorKind::Other),
        (Call::Create, ErrorKind::StorageFull),
        (Call::SyncDir, ErrorKind::Other),
    ] {
        let disk = disk();
        let mut process = Process::start(&disk, SETTINGS);
        disk.fail_next(call, error);
        deliver(&mut process.leads, "a", 1, START);
        let unsaved = process.metrics.deduplicate_unsaved.with_label_values(&["leads"]).get();
        assert_eq!(unsaved, 1, "{call:?}");
        deliver(&mut process.leads, "b", 2, START);
        assert!(claim(&mut process.adobe, "a", 1, START).is_repeat(), "still in memory");
        drop(process);
        disk.lose_power();
        let mut process = Process::start(&disk, SETTINGS);
        assert!(known(&mut process).contains(&"b"), "{call:?}");
    }
}

#[test]
fn a_process_that_starts_often_leaves_one_file() {
    let disk = disk();
    for sequence in 1..50 {
        let mut process = Process::start(&disk, SETTINGS);
        deliver(&mut process.leads, &sequence.to_string(), sequence, START);
        disk.kill();
    }
    assert_eq!(files(&disk).len(), 1);
    let mut process = Process::start(&disk, SETTINGS);
    assert!((1..50).all(|sequence| !is_granted(
        &mut process.adobe,
        &sequence.to_string(),
        1,
        START
    )));
}

/// Settles `count` new events at once and saves their ids.
fn deliver_many(process: &mut Process, first: u64, count: u64) {
    for sequence in first..first + count {
        let claimed = claim(&mut process.leads, &sequence.to_string(), sequence, START);
        let Claim::Granted(identity) = claimed else { panic!("{sequence} is new") };
        process.leads.settled(identity);
    }
    process.leads.save(START);
}

#[test]
fn files_that_hold_more_than_the_index_go() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    let a_file = 70_000;
    for round in 0..5 {
        deliver_many(&mut process, 1 + round * a_file, a_file);
        assert!(files(&disk).len() <= 3, "{:?}", files(&disk));
    }
    let last = files(&disk).pop().unwrap();
    assert!(last.ends_with("00000000000000000005.ids"), "{last:?}");
    drop(process);
    let mut process = Process::start(&disk, SETTINGS);
    assert!(!is_granted(&mut process.adobe, &(5 * a_file).to_string(), 1, START));
}

#[test]
fn files_older_than_the_window_go() {
    let disk = disk();
    let mut process = Process::start(&disk, SETTINGS);
    deliver_many(&mut process, 1, 70_000);
    disk.advance_clock(3_600_001);
    deliver_many(&mut process, 100_001, 70_000);
    let [file] = &files(&disk)[..] else { panic!("one file: {:?}", files(&disk)) };
    assert!(file.ends_with("00000000000000000002.ids"), "{file:?}");
}
