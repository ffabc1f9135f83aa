//! The books of a history: what the spool acknowledged, and what each start of a process may repeat.

use std::collections::{BTreeMap, BTreeSet};

use millrace::{checkpoint::Checkpoint, spool::position::Position};

use crate::{oracle::Seen, sender::Sent};

#[derive(Default)]
pub struct Books {
    /// Where each acknowledged event lies in the spool.
    positions: BTreeMap<String, Position>,
    /// Events in frames that the disk has spoilt.
    spoilt: BTreeSet<String>,
    /// How many more records than one there may be of an event: one for each process that began
    /// before it although it was there already.
    due: BTreeMap<String, usize>,
}

/// Records of events beyond the first of each.
#[derive(Debug, Default)]
pub struct Repeats {
    pub all: usize,
    /// Those that no crash explains.
    pub needless: usize,
}

impl Books {
    pub fn acknowledged(&mut self, ids: &[String], sequence: u64) {
        for (index, id) in (0..).zip(ids) {
            self.positions.insert(id.clone(), Position { sequence, index });
        }
    }

    pub fn spoilt(&mut self, ids: Vec<String>) {
        self.spoilt.extend(ids);
    }

    /// A process starts from `saved`: what is there and not behind it may come again.
    pub fn begin_at(
        &mut self,
        saved: Option<&Checkpoint>,
        seen: &Seen,
        sent: &BTreeMap<String, Sent>,
    ) {
        for id in seen.records.keys() {
            let behind = self.positions.get(id).is_some_and(|position| {
                saved.is_some_and(|saved| is_behind(saved, *position, &sent[id]))
            });
            if !behind {
                *self.due.entry(id.clone()).or_default() += 1;
            }
        }
    }

    /// I5: whatever `saved` has passed is somewhere.
    pub fn nothing_is_passed(
        &self,
        saved: Option<&Checkpoint>,
        seen: &Seen,
        sent: &BTreeMap<String, Sent>,
    ) {
        let Some(saved) = saved else { return };
        for (id, position) in &self.positions {
            if is_behind(saved, *position, &sent[id]) {
                assert!(self.is_safe(id, seen), "{id} at {position} is nowhere, behind {saved:?}");
            }
        }
    }

    /// I2: after a quiet end.
    pub fn everything_arrived(&self, seen: &Seen) {
        for id in self.positions.keys() {
            assert!(self.is_safe(id, seen), "{id} was acknowledged and is nowhere");
        }
    }

    /// What was acknowledged, is not for `topic` and is nowhere.
    pub fn missing(&self, seen: &Seen, sent: &BTreeMap<String, Sent>, topic: &str) -> Vec<&String> {
        let elsewhere =
            self.positions.keys().filter(|id| sent[*id].topic.as_deref() != Some(topic));
        elsewhere.filter(|id| !self.is_safe(id, seen)).collect()
    }

    fn is_safe(&self, id: &str, seen: &Seen) -> bool {
        seen.anywhere(id) || self.spoilt.contains(id) && seen.damaged_ranges > 0
    }

    /// I6: more than one record of an event.
    pub fn repeats(&self, seen: &Seen) -> Repeats {
        let mut repeats = Repeats::default();
        for (id, records) in &seen.records {
            let again = records - 1;
            repeats.all += again;
            repeats.needless += again.saturating_sub(self.due.get(id).copied().unwrap_or(0));
        }
        repeats
    }
}

fn is_behind(saved: &Checkpoint, position: Position, event: &Sent) -> bool {
    let held = saved.held.iter().filter(|held| Some(&held.topic) == event.topic.as_ref());
    position < saved.low && held.into_iter().all(|held| position < held.position)
}
