//! What stands in the small files beside the segments, and on the topic of checkpoints.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use millrace::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointFile},
        in_force::InForceFile,
        select::Selection,
    },
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    observe::metrics::Metrics,
    source::SourceName,
    spool::{Config, Folder, Next, checksummed::with_checksum, disk::Disk},
};
use uuid::Uuid;

use crate::simulated_disk::SimulatedDisk;

const FOLDER: &str = "/spool/leads";
const DELIVERIES: u64 = 3;

/// How the bytes are put into a file.
fn wrapped(is_wrapped: bool, bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        // What the checksum vouches for is looked at, however odd it is.
        Ok(text) if is_wrapped && !text.contains(['\n', '\r']) => with_checksum(text),
        _ => bytes.to_vec(),
    }
}

fn source() -> SourceName {
    SourceName::new("leads").expect("it is a name")
}

/// A spool with a few deliveries.
fn spool() -> (SimulatedDisk, Uuid) {
    let disk = SimulatedDisk::new(1);
    let config =
        Config { directory: "/spool".into(), reserve: 0, reserve_held: 0, ..Config::default() };
    let folder = Folder::open(Arc::new(disk.clone()), &config).expect("it opens");
    let (mut writer, spool) =
        folder.spool(&source(), None, &Metrics::new(), None).expect("a new spool");
    for number in 1..=DELIVERIES {
        let body = format!("{{\"{number}\":1}}").into();
        let delivery =
            Delivery { source: source(), received_at: number, headers: Vec::new(), body };
        writer
            .append_group(&[Authenticated::new(delivery, Proof::by_operator())])
            .expect("there is room");
    }
    let id = spool.id();
    drop((writer, spool, folder));
    disk.kill();
    (disk, id)
}

thread_local! {
    static SPOOL: (SimulatedDisk, Uuid) = spool();
}

fn put(disk: &SimulatedDisk, path: &Path, bytes: Vec<u8>) {
    if disk.info(path).is_ok() {
        disk.vanish(path);
    }
    drop(disk.create_new(path).expect("it was taken away"));
    disk.set_content(path, bytes);
}

pub fn run(input: &[u8]) {
    let Some((shape, bytes)) = input.split_first() else { return };
    let is_wrapped = shape & 1 == 0;
    match shape >> 1 & 7 {
        0 => on_the_topic(bytes),
        1 => beside("checkpoint", wrapped(is_wrapped, bytes)),
        2 => beside("writers", wrapped(is_wrapped, bytes)),
        3 => beside("selections", wrapped(is_wrapped, bytes)),
        4 => beside("../leads.extent", wrapped(is_wrapped, bytes)),
        5 => beside("identity", identity(is_wrapped, bytes)),
        6 => beside("fenced", bytes.to_vec()),
        _ => {}
    }
}

/// The value of a record, which anybody may have written who may write to that topic.
fn on_the_topic(json: &[u8]) {
    let place = Path::new("(on the topic of checkpoints)");
    let Ok(read) = Checkpoint::from_json(place, json) else { return };
    let again = Checkpoint::from_json(place, read.to_json().as_bytes()).expect("it is ours");
    assert_eq!(Checkpoint { version: again.version, ..read.clone() }, again);
    assert!(read.lowest() <= read.low && read.low <= read.highest());
    let _ = read.delivered();
    let beginning = Checkpoint::beginning(read.spool);
    let _ = read.clone().later(beginning.clone());
    let _ = beginning.later(read.clone());
    let (moved, _) = read.for_routing("another");
    assert!(moved.lowest() <= moved.low);
    SPOOL.with(|(disk, id)| {
        let disk = Arc::new(disk.copy());
        let file = CheckpointFile::new(disk, Path::new(FOLDER));
        let _ = file.check(&moved, *id);
        file.writers().begin(None, 1).expect("the disk is well");
        let _ = file.writers().origin_of(&moved).expect("the disk is well");
    });
}

/// Right to its last member but one, with this checksum.
fn identity(is_wrapped: bool, bytes: &[u8]) -> Vec<u8> {
    if !is_wrapped {
        return bytes.to_vec();
    }
    let sum = crc32c::crc32c(bytes);
    [bytes, format!(",\"checksum\":\"{sum:08x}\"}}").as_bytes()].concat()
}

/// Starts as a service does, with a file that says this: it starts, or says why not.
fn beside(name: &str, content: Vec<u8>) {
    SPOOL.with(|(disk, _)| {
        let disk = Arc::new(disk.copy());
        let path = match name.strip_prefix("../") {
            Some(above) => PathBuf::from("/spool").join(above),
            None => Path::new(FOLDER).join(name),
        };
        put(&disk, &path, content);
        let config =
            Config { directory: "/spool".into(), reserve: 0, reserve_held: 0, ..Config::default() };
        let folder = Folder::open(disk.clone(), &config).expect("the folder opens");
        let file = CheckpointFile::new(folder.disk().clone(), Path::new(FOLDER));
        if file.check_fence().is_err() {
            return;
        }
        let Ok(saved) = file.load() else { return };
        let delivered = saved.as_ref().map(Checkpoint::delivered);
        let Ok((mut writer, spool)) = folder.spool(&source(), None, &Metrics::new(), delivered)
        else {
            return;
        };
        if let Some(saved) = &saved
            && file.check(saved, spool.id()).is_err()
        {
            return;
        }
        let end = spool.durable_end();
        assert!(end > DELIVERIES, "no number is given again");
        let selections = InForceFile::new(folder.disk().clone(), Path::new(FOLDER));
        let _ = selections.begin(spool.id(), &Selection::default(), end, saved.as_ref());
        if file.writers().begin(saved.as_ref(), end).is_ok() {
            file.writers().enter(Uuid::nil(), None).expect("the disk is well");
        }
        let mut reader = spool.reader(1);
        let mut found = 0;
        loop {
            match reader.next().expect("the disk is well") {
                Next::Delivery(_) => found += 1,
                Next::Damage(damage) => assert!(damage.first_sequence > DELIVERIES, "{damage}"),
                Next::CaughtUp => break,
            }
        }
        assert_eq!(found, DELIVERIES, "the segments are whole");
        let body = "{}".into();
        let delivery = Delivery { source: source(), received_at: 9, headers: Vec::new(), body };
        let group = [Authenticated::new(delivery, Proof::by_operator())];
        if let Ok(numbers) = writer.append_group(&group) {
            assert_eq!(numbers, [end]);
        }
    });
}
