//! The files of what settled events are known by, and their key.

use std::{path::Path, sync::Arc};

use millrace::{
    deliver::{
        decode::{Rules, decode},
        deduplicate::{Claim, Deduplicator, Settings, check_versions},
    },
    observe::metrics::Metrics,
    source::{SourceKind, SourceName},
    spool::{
        disk::{self, Disk},
        position::Position,
    },
};

use crate::simulated_disk::SimulatedDisk;

const KEY: &str = "/spool/deduplicate.key";
const EVENT: &[u8] =
    br#"{"munchkinId":"m","activities":[{"id":1,"marketoGUID":"1","activityTypeId":1}]}"#;
const NOW: u64 = 1_770_000_000_000;

/// The lengths of a file's header, of a block's head and of an id, as the format has them.
const HEADER: usize = 32;
const HEAD: usize = 16;
const ID: usize = 16;

fn settings() -> Settings {
    Settings { ids: 1_000, ..Settings::default() }
}

/// A source with the id of one event that is settled.
fn folder() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk::make_directory(&disk, Path::new("/spool/leads")).expect("the disk is well");
    start(&disk);
    disk
}

thread_local! {
    static FOLDER: SimulatedDisk = folder();
}

pub fn run(input: &[u8]) {
    let Some((shape, bytes)) = input.split_first() else { return };
    FOLDER.with(|folder| {
        let disk = folder.copy();
        if shape & 1 == 0 {
            put(&disk, Path::new(KEY), key(shape & 2 == 0, bytes));
        } else {
            let path = Path::new("/spool/leads/ids/00000000000000000007.ids");
            put(&disk, path, ids(shape & 2 == 0, fingerprint(&disk), bytes));
        }
        if start(&disk).is_some() {
            assert_eq!(start(&disk), Some(true), "what is saved is known after a stop");
        }
    });
}

fn put(disk: &SimulatedDisk, path: &Path, bytes: Vec<u8>) {
    if disk.info(path).is_ok() {
        disk.vanish(path);
    }
    drop(disk.create_new(path).expect("it was taken away"));
    disk.set_content(path, bytes);
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn key(is_sealed: bool, bytes: &[u8]) -> Vec<u8> {
    match is_sealed {
        true => sealed([&b"MILLKEY\n"[..], bytes].concat()),
        false => bytes.to_vec(),
    }
}

/// Of the key that is there: the header of the first file has it.
fn fingerprint(disk: &SimulatedDisk) -> [u8; 8] {
    let bytes = disk.content(Path::new("/spool/leads/ids/00000000000000000001.ids"));
    bytes[12..20].try_into().expect("eight bytes")
}

/// A header and blocks whose checksums are right, of whatever they cover.
fn ids(is_sealed: bool, key: [u8; 8], bytes: &[u8]) -> Vec<u8> {
    if !is_sealed {
        return bytes.to_vec();
    }
    let (head, mut rest) = bytes.split_at(bytes.len().min(8));
    let mut file = [&b"MILLIDS\n"[..], &1u32.to_le_bytes(), &key, head].concat();
    file.resize(HEADER - 4, 0);
    let mut file = sealed(file);
    while let Some((count, behind)) = rest.split_first() {
        let length = (HEAD - 8 + usize::from(*count) * ID).min(behind.len());
        let (block, behind) = behind.split_at(length);
        let covered = [&u32::from(*count).to_le_bytes()[..], block].concat();
        file.extend_from_slice(&covered[..4]);
        file.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
        file.extend_from_slice(block);
        rest = behind;
    }
    file
}

/// Recalls what is there, as a start does, and settles an event; whether that was known.
fn start(disk: &SimulatedDisk) -> Option<bool> {
    let leads = SourceName::new("leads").expect("it is a name");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    if check_versions(&*shared, Path::new("/spool"), &leads).is_err() {
        return None; // a later version ends a start
    }
    let (directory, sources, metrics) = (Path::new("/spool"), [leads], Metrics::new());
    let known = Deduplicator::open(shared, directory, settings(), &sources, &metrics);
    let mut claims = known.claims(&sources[0]);
    claims.recall(NOW);
    let (rules, mut events) = (Rules::default(), Vec::new());
    decode(SourceKind::MarketoLeadActivity, &rules, EVENT, &[], &mut events)
        .expect("it is a delivery");
    let event = events[0].as_ref().expect("it is an event");
    let claim = claims.claim(event, Position::start_of(1), NOW);
    let was_known = claim.is_repeat();
    if let Claim::Granted(id) = claim {
        claims.settled(id);
    }
    claims.save(NOW);
    let unsaved = metrics.deduplicate_unsaved.with_label_values(&["leads"]).get();
    assert_eq!(unsaved, 0, "the disk is well");
    drop(claims);
    disk.kill();
    Some(was_known)
}
