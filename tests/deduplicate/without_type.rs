//! After an upgrade: ids that were saved when the type was no part of what an event is known by.
//!
//! The bytes of such files are spelled out here, as the program before wrote them.

use std::{
    hash::Hasher,
    path::{Path, PathBuf},
};

use millrace::{
    deliver::deduplicate::{Attempt, Claim},
    event::{Event, Stream},
    source::UnixMillis,
    spool::disk::Disk,
};
use siphasher::sip128::{Hasher128, SipHasher24};
use uuid::Uuid;

use crate::{
    Process, SETTINGS, START, at, claim, deliver, directory, disk, event, is_granted, settle,
    simulated_disk::SimulatedDisk,
};

const ATTEMPT: Attempt = Attempt { number: 7, writer: Uuid::from_u128(1) };

/// The secret that the disk's key file holds.
fn secret(disk: &SimulatedDisk) -> [u8; 16] {
    disk.content(&directory().join("deduplicate.key"))[12..28].try_into().unwrap()
}

fn hash(secret: &[u8; 16], texts: &[Option<&str>]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(secret);
    for text in texts {
        hasher.write(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hasher.write(text.unwrap_or_default().as_bytes());
    }
    let hash = hasher.finish128();
    [hash.h1.to_le_bytes(), hash.h2.to_le_bytes()].concat().try_into().unwrap()
}

/// A file with the ids of these events, saved at the start.
fn file(disk: &SimulatedDisk, ids: &[&str]) -> Vec<u8> {
    let secret = secret(disk);
    let fingerprint = &hash(&secret, &[None; 3])[..8];
    let mut file = [b"MILLIDS\n", &1_u32.to_le_bytes()[..], fingerprint, &[0; 8]].concat();
    file.extend(crc32c::crc32c(&file).to_le_bytes());
    let mut block = u32::try_from(ids.len()).unwrap().to_le_bytes().to_vec();
    block.extend(START.to_le_bytes());
    for id in ids {
        let texts = ["999-XYZ-000", "urn:marketo_activity_stream", id];
        block.extend(hash(&secret, &texts.map(Some)));
    }
    let checksum = crc32c::crc32c(&block);
    file.extend(&block[..4]);
    file.extend(checksum.to_le_bytes());
    file.extend(&block[4..]);
    file
}

fn saved() -> PathBuf {
    directory().join("leads/ids/00000000000000000001.ids")
}

/// A disk where a program of before has delivered these.
fn with(ids: &[&str]) -> SimulatedDisk {
    let disk = disk();
    drop(Process::start(&disk, SETTINGS));
    millrace::spool::disk::make_directory(&disk, &directory().join("leads/ids")).unwrap();
    put(&disk, &saved(), file(&disk, ids));
    disk
}

fn put(disk: &SimulatedDisk, path: &Path, content: Vec<u8>) {
    drop(disk.create_new(path).unwrap());
    disk.set_content(path, content);
}

fn observability<'a>(id: &'a str, ce_type: &'a str) -> Event<'a> {
    let mut event = event(Some(id));
    event.stream = Stream::Observability;
    event.attributes.r#type = ce_type.into();
    event
}

#[test]
fn what_was_delivered_before_an_upgrade_is_a_repeat_after_it() {
    let disk = with(&["a", "b"]);
    for restarts in 0..3 {
        let mut process = Process::start(&disk, SETTINGS);
        for id in ["a", "b"] {
            assert!(claim(&mut process.adobe, id, 9, START + 10).is_repeat(), "{restarts}");
            assert!(claim(&mut process.leads, id, 1, START + 10).is_repeat(), "{restarts}");
        }
        let mut other_type = event(Some("a"));
        other_type.attributes.r#type = "another type".into();
        assert!(process.leads.claim(&other_type, at(3), START + 10).is_repeat(), "nobody knows");
        let new = format!("new-{restarts}");
        assert!(is_granted(&mut process.leads, &new, 4, START + 10));
        deliver(&mut process.leads, &format!("saved-{restarts}"), 5, START + 10);
    }
    let mut process = Process::start(&disk, SETTINGS);
    for id in ["saved-0", "saved-1", "saved-2"] {
        assert!(claim(&mut process.adobe, id, 9, START + 10).is_repeat());
    }
}

#[test]
fn the_file_of_before_is_not_appended_to() {
    let disk = with(&["a"]);
    let before = disk.content(&saved());
    let mut process = Process::start(&disk, SETTINGS);
    deliver(&mut process.leads, "b", 4, START + 10);
    assert_eq!(disk.content(&saved()), before);
}

#[test]
fn it_is_forgotten_when_its_window_is_over() {
    let window = UnixMillis::try_from(SETTINGS.window.as_millis()).unwrap();
    let disk = with(&["a"]);
    let mut process = Process::start(&disk, SETTINGS);
    assert!(claim(&mut process.leads, "a", 9, START + window).is_repeat());
    assert!(is_granted(&mut process.leads, "a", 9, START + window + window / 500));
}

#[test]
fn an_event_of_observability_is_not_passed_over_for_one_of_another_type() {
    let disk = with(&["a"]);
    let mut process = Process::start(&disk, SETTINGS);
    for (sequence, ce_type) in (1..).zip(["metrics", "results", "status"]) {
        let event = observability("a", ce_type);
        let claimed = process.leads.claim(&event, at(sequence), START + 10);
        assert!(matches!(claimed, Claim::Granted(Some(_))), "{ce_type}");
        assert!(process.leads.claim(&event, at(9), START + 10).is_repeat(), "{ce_type}");
    }
}

#[test]
fn what_was_prepared_before_an_upgrade_is_known_for_good_once_it_is_committed() {
    // No other file of before tells a later start to expect such ids.
    let disk = with(&["c"]);
    disk.vanish(&saved());
    let name = format!("{:020}-{}.prepared", ATTEMPT.number, ATTEMPT.writer.simple());
    put(&disk, &directory().join("leads/ids").join(name), file(&disk, &["a"]));
    let mut process = Process::start(&disk, SETTINGS);
    process.leads.take_over(ATTEMPT, START + 10);
    assert!(claim(&mut process.adobe, "a", 1, START + 10).is_repeat());
    settle(&mut process.leads, "b", 2, START + 20);
    process.leads.save(START + 20);
    for _ in 0..2 {
        let mut process = Process::start(&disk, SETTINGS);
        for id in ["a", "b"] {
            assert!(claim(&mut process.adobe, id, 1, START + 30).is_repeat(), "{id}");
        }
    }
}
