//! The oracle: what must be true of the cluster, the disk and what was sent, whatever happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

use millrace::{
    deliver::{checkpoint::Checkpoint, decode::fields::HELD_BACK},
    spool::{checksummed::checked, disk::Disk},
};

use crate::{
    cluster::{Cluster, DEAD_LETTERS, STATES},
    fields::is_clean,
    sender::{Fate, Sent, id_in},
    simulated_disk::SimulatedDisk,
};

/// Everything that left the spool, by id.
#[derive(Default)]
pub struct Seen {
    pub on_topic: BTreeSet<String>,
    pub dead_lettered: BTreeSet<String>,
    /// How many records there are of each, on its topic and as dead letters.
    pub records: BTreeMap<String, usize>,
    pub quarantined: BTreeSet<String>,
    /// How many dead letters say that no rule on fields can be applied to their event.
    pub held_back: usize,
    pub damaged_ranges: usize,
    /// Which deliveries they cover, by the number of the spool.
    pub damaged: Vec<(usize, Range<u64>)>,
}

impl Seen {
    pub fn anywhere(&self, id: &str) -> bool {
        self.on_topic.contains(id)
            || self.dead_lettered.contains(id)
            || self.quarantined.contains(id)
    }
}

/// Reads all topics and the quarantine, checking I3 (nothing invented, right topic, key and id) and
/// I4 (order within topic and key) on the way. Events that were damaged for a while, the `healed` ones, may
/// come late: better so than never.
pub fn look(
    cluster: &Cluster,
    quarantines: &[(SimulatedDisk, PathBuf)],
    sent: &BTreeMap<String, Sent>,
    healed: &BTreeSet<String>,
) -> Seen {
    let mut seen = Seen::default();
    for topic in cluster.all_topics() {
        for record in cluster.records(topic) {
            is_clean(topic, &record.value);
            record.headers.iter().for_each(|(name, value)| is_clean(name, value));
        }
        if topic == STATES {
            continue; // what is made of events has an oracle of its own
        }
        let mut last: BTreeMap<&[u8], BTreeMap<usize, u64>> = BTreeMap::new();
        for record in cluster.records(topic) {
            if topic == DEAD_LETTERS {
                look_at_dead_letter(record, sent, &mut seen);
                continue;
            }
            let id = record.header("ce_id").expect("every event has an id");
            let event = sent.get(id).unwrap_or_else(|| panic!("{id} was never sent"));
            assert!(event.taken > 0, "{id} on {topic} was to be left out");
            match &cluster.registry {
                None => assert_eq!(record.value, event.value, "the value of {id}"),
                Some(registry) => registry.check(topic, id, &record.value, &event.value),
            }
            let place = Fate::Topic {
                topic: topic.clone(),
                key: String::from_utf8_lossy(&record.key).into_owned(),
            };
            assert_eq!(event.fate, place, "the place of {id}");
            *seen.records.entry(id.into()).or_default() += 1;
            if !seen.on_topic.insert(id.into()) {
                continue;
            }
            let last = last.entry(&record.key).or_default();
            let in_order = event.comes_in_order(last, healed.contains(id));
            assert!(in_order, "{id} on {topic} comes too late");
        }
    }
    for (spool, (disk, quarantine)) in quarantines.iter().enumerate() {
        look_at_quarantine(spool, disk, quarantine, sent, &mut seen);
    }
    seen
}

/// The checkpoint that a process would find if it started now; none where the disk has spoilt it.
pub fn checkpoint(disk: &SimulatedDisk, directory: &Path) -> Option<Checkpoint> {
    let names = disk.list(directory).unwrap_or_default();
    let file = names.iter().find(|name| *name == "checkpoint")?;
    let content = disk.content(&directory.join(file));
    let json = checked(&content).ok()?;
    Some(serde_json::from_str(json).expect("a checkpoint is whole"))
}

fn look_at_dead_letter(
    record: &crate::cluster::Stored,
    sent: &BTreeMap<String, Sent>,
    seen: &mut Seen,
) {
    if record.header("millrace-quarantined").is_some() {
        let pointer: serde_json::Value = serde_json::from_slice(&record.value).expect("a pointer");
        assert!(pointer["sha256"].is_string(), "{pointer}");
        seen.held_back += usize::from(record.header("millrace-reason") == Some(HELD_BACK));
        return; // the quarantine itself is looked at
    }
    let id = id_in(&record.value).expect("a dead letter has its original");
    let event = sent.get(&id).unwrap_or_else(|| panic!("{id} was never sent"));
    let one_too_many = record.header("millrace-reason") == Some("topic-limit");
    assert!(event.fate == Fate::Refused || one_too_many, "{id} is a dead letter");
    assert!(event.taken > 0, "{id} was to be left out, and is a dead letter");
    assert!(!event.stays_here, "{id} was to stay in quarantine, and is a dead letter");
    assert_eq!(record.value, event.original, "the original bytes of {id}");
    *seen.records.entry(id.clone()).or_default() += 1;
    seen.dead_lettered.insert(id);
}

/// Which deliveries the label of a damaged range says that it covers.
fn sequences_in(label: &[u8]) -> Option<Range<u64>> {
    let label: serde_json::Value = serde_json::from_slice(label).ok()?;
    let (_, behind) = label["error"].as_str()?.split_once("sequences ")?;
    let (first, next) = behind.split(',').next()?.split_once("..")?;
    Some(first.parse().ok()?..next.parse().ok()?)
}

fn look_at_quarantine(
    spool: usize,
    disk: &SimulatedDisk,
    quarantine: &Path,
    sent: &BTreeMap<String, Sent>,
    seen: &mut Seen,
) {
    for name in disk.list(quarantine).unwrap_or_default() {
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let bytes = disk.content(&quarantine.join(format!("{stem}.bytes")));
        if stem.starts_with("damage-") {
            seen.damaged_ranges += 1;
            let label = disk.content(&quarantine.join(&name));
            seen.damaged.extend(sequences_in(&label).map(|sequences| (spool, sequences)));
            continue;
        }
        let id = id_in(&bytes).expect("an event in quarantine has its original");
        let event = sent.get(&id).unwrap_or_else(|| panic!("{id} was never sent"));
        assert!(event.taken > 0, "{id} was to be left out, and is in quarantine");
        assert_eq!(bytes, event.original, "the original bytes of {id}");
        let is_held_back = stem.ends_with(HELD_BACK);
        assert_eq!(is_held_back, event.fate == Fate::HeldBack, "why {id} is in quarantine: {stem}");
        seen.quarantined.insert(id);
    }
}
