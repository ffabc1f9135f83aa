//! Deduplication by itself, on a simulated disk: what is known after a restart, what trouble with the
//! files costs, and how much of them there is.

#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;

mod files;
mod owners;
mod replicas;
mod restart;
mod without_type;

use std::{path::PathBuf, sync::Arc, time::Duration};

use millrace::{
    deliver::deduplicate::{Claim, Claims, Deduplicator, Settings},
    event::{Attributes, Event, Pieces, Stream},
    observe::metrics::Metrics,
    source::{SourceName, UnixMillis},
    spool::position::Position,
};

use simulated_disk::SimulatedDisk;

/// The simulated disk's clock begins here.
const START: UnixMillis = 1_770_000_000_000;
const SETTINGS: Settings = Settings { window: Duration::from_secs(3600), ids: 1000 };

fn event(id: Option<&str>) -> Event<'_> {
    Event {
        index: 0,
        stream: Stream::LeadActivity,
        event_type: "clicklink".into(),
        munchkin_id: Some("999-XYZ-000".into()),
        activity_type_id: Some(3),
        key: Some("999-XYZ-000:1".into()),
        attributes: Attributes {
            id: id.map(Into::into),
            source: "urn:marketo_activity_stream".into(),
            ..Attributes::default()
        },
        headers: Vec::new(),
        value: Pieces::from(b"{}".as_slice()),
        original: b"{}",
        members: None,
        lead_state: None,
    }
}

/// A process: two sources that share what is known.
struct Process {
    leads: Claims,
    adobe: Claims,
    metrics: Metrics,
}

impl Process {
    fn start(disk: &SimulatedDisk, settings: Settings) -> Self {
        let metrics = Metrics::new();
        let [leads, adobe] = ["leads", "adobe"].map(|name| SourceName::new(name).unwrap());
        let names = [leads.clone(), adobe.clone()];
        let disk = Arc::new(disk.clone());
        let shared = Deduplicator::open(disk, &directory(), settings, &names, &metrics);
        Self { leads: shared.claims(&leads), adobe: shared.claims(&adobe), metrics }
    }
}

fn disk() -> SimulatedDisk {
    disk_with_seed(1)
}

/// With the folders that the spools make.
fn disk_with_seed(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    for source in ["leads", "adobe"] {
        millrace::spool::disk::make_directory(&disk, &directory().join(source)).unwrap();
    }
    disk
}

fn directory() -> PathBuf {
    "/spool".into()
}

fn at(sequence: u64) -> Position {
    Position::start_of(sequence)
}

fn claim(claims: &mut Claims, id: &str, sequence: u64, now: UnixMillis) -> Claim {
    claims.claim(&event(Some(id)), at(sequence), now)
}

#[track_caller]
fn is_granted(claims: &mut Claims, id: &str, sequence: u64, now: UnixMillis) -> bool {
    matches!(claim(claims, id, sequence, now), Claim::Granted(Some(_)))
}

/// Claims the event and settles it.
#[track_caller]
fn settle(claims: &mut Claims, id: &str, sequence: u64, now: UnixMillis) {
    let Claim::Granted(identity) = claim(claims, id, sequence, now) else {
        panic!("{id} was delivered before");
    };
    claims.settled(identity);
}

/// The same, and saves its id.
#[track_caller]
fn deliver(claims: &mut Claims, id: &str, sequence: u64, now: UnixMillis) {
    settle(claims, id, sequence, now);
    claims.save(now);
}
