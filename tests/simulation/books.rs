//! The books of a history: what the spools acknowledged, and what each start of a process may repeat.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use millrace::{deliver::checkpoint::Checkpoint, spool::position::Position};

use crate::{
    damage::Flip,
    oracle::Seen,
    sender::{Fate, Sent},
};

/// The checkpoint of each source.
pub type Saved = Vec<Option<Checkpoint>>;

#[derive(Default)]
pub struct Books {
    /// Where each acknowledged event lies: the number of the spool, and the place in it. More than one
    /// where it was sent more than once, and where the volume was copied.
    positions: BTreeMap<String, Vec<(usize, Position)>>,
    /// How many copies of each event were not acknowledged and may be there all the same.
    perhaps: BTreeMap<String, usize>,
    /// Events in frames that the disk has spoilt.
    spoilt: BTreeSet<String>,
    /// Events in frames that were damaged for a while, and are whole again. What read them meanwhile has
    /// passed them; what goes back to them later delivers them, behind what came after them.
    pub healed: BTreeSet<String>,
    /// How many more records than one there may be of an event: one for each process that began
    /// before it although it was there already.
    due: BTreeMap<String, usize>,
    /// How many copies were acknowledged that their source does not take, by event.
    left_out: BTreeMap<String, u64>,
    /// Spools of instances that stopped for good, since another one goes on with a copy.
    stopped: BTreeSet<usize>,
    /// Ids of delivered events were lost: none of them need be known after a start.
    pub forgetful: bool,
}

/// Records of events beyond the first of each.
#[derive(Debug, Default)]
pub struct Repeats {
    pub all: usize,
    /// Those that no crash explains.
    pub needless: usize,
}

/// Records that a start may bring again.
#[derive(Debug, Default)]
pub struct MayRepeat {
    pub all: usize,
    /// Of events whose copies have known places. Where one lies that was not acknowledged is not known, so
    /// it counts as ahead of a checkpoint that has passed it.
    pub known: usize,
}

impl Books {
    pub fn acknowledged(&mut self, ids: &[String], source: usize, sequence: u64) {
        self.acknowledged_but(ids, source, sequence, |_| false);
    }

    /// The same, where some of them are left out.
    pub fn acknowledged_but(
        &mut self,
        ids: &[String],
        source: usize,
        sequence: u64,
        is_left_out: impl Fn(&str) -> bool,
    ) {
        for (index, id) in (0..).zip(ids) {
            if is_left_out(id) {
                *self.left_out.entry(id.clone()).or_default() += 1;
                continue;
            }
            let place = (source, Position { sequence, index });
            self.positions.entry(id.clone()).or_default().push(place);
        }
    }

    /// How many copies were left out and can be read.
    pub fn left_out(&self) -> u64 {
        self.left_out.iter().filter(|(id, _)| !self.spoilt.contains(*id)).map(|(_, n)| n).sum()
    }

    /// What lies in spool `from` lies in spool `to` as well.
    pub fn copied(&mut self, from: usize, to: usize) {
        for places in self.positions.values_mut() {
            let there: Vec<_> = places.iter().filter(|(spool, _)| *spool == from).collect();
            let copies: Vec<_> = there.iter().map(|(_, position)| (to, *position)).collect();
            places.extend(copies);
        }
    }

    /// Whether nothing of this spool is delivered any more: then what it alone has stays there.
    pub fn set_stopped(&mut self, spool: usize, stopped: bool) {
        match stopped {
            true => self.stopped.insert(spool),
            false => self.stopped.remove(&spool),
        };
    }

    /// Events that nobody but stopped instances have, which were not delivered.
    pub fn left_behind(&self, seen: &Seen) -> usize {
        self.positions.keys().filter(|id| !self.is_owed(id) && !self.is_safe(id, seen)).count()
    }

    fn is_owed(&self, id: &str) -> bool {
        self.positions[id].iter().any(|(spool, _)| !self.stopped.contains(spool))
    }

    pub fn unanswered(&mut self, ids: &[String]) {
        for id in ids {
            *self.perhaps.entry(id.clone()).or_default() += 1;
        }
    }

    pub fn bit_flipped(&mut self, flip: Flip) {
        if flip.heals {
            self.healed.extend(flip.events.iter().cloned());
        }
        self.spoilt.extend(flip.events);
    }

    /// The volume is one of an earlier moment: what was spoilt meanwhile may be whole there.
    pub fn is_restored(&mut self) {
        self.healed.extend(self.spoilt.iter().cloned());
    }

    /// A process starts from `saved`: what is there and not behind it may come again. Of an event only
    /// once, however many copies are read again: the first has its id. Returns how many may.
    pub fn begin_at(
        &mut self,
        saved: &Saved,
        seen: &Seen,
        sent: &BTreeMap<String, Sent>,
    ) -> MayRepeat {
        let mut may_repeat = MayRepeat::default();
        for id in seen.records.keys() {
            let event = &sent[id];
            let places = self.positions.get(id).map_or(&[][..], Vec::as_slice);
            let perhaps = self.perhaps.get(id).copied().unwrap_or(0);
            let places: Vec<_> =
                places.iter().filter(|(spool, _)| !self.stopped.contains(spool)).copied().collect();
            let ahead = perhaps + places.len() - behind(saved, &places, event);
            let due = match event.is_event() {
                true => ahead.min(1).max(usize::from(self.forgetful)),
                false => ahead,
            };
            *self.due.entry(id.clone()).or_default() += due;
            may_repeat.all += due;
            may_repeat.known += if perhaps == 0 { due } else { 0 };
        }
        may_repeat
    }

    /// As [`Books::begin_at`] where nothing that is there may come again, unless its id was lost.
    pub fn begin_without_repeats(&mut self, seen: &Seen) {
        if self.forgetful {
            for id in seen.records.keys() {
                *self.due.entry(id.clone()).or_default() += 1;
            }
        }
    }

    /// I5: whatever `saved` has passed is somewhere; or, if it was sent more than once, a copy of it
    /// is still to be read.
    pub fn nothing_is_passed(&self, saved: &Saved, seen: &Seen, sent: &BTreeMap<String, Sent>) {
        for (id, places) in &self.positions {
            let event = &sent[id];
            let behind = behind(saved, places, event);
            // A copy that nobody was answered for may have its id.
            let passed = match event.is_event() && event.copies.len() > 1 {
                true => behind == places.len() && !self.perhaps.contains_key(id),
                false => behind > 0,
            };
            if passed {
                assert!(self.is_safe(id, seen), "{id} at {places:?} is nowhere, behind {saved:?}");
            }
        }
    }

    /// Each event of these deliveries of a spool is somewhere, whatever becomes of the volume: also one that is a repeat.
    /// Returns how many there are.
    pub fn is_where_it_stays(&self, spool: usize, deliveries: &Range<u64>, seen: &Seen) -> u64 {
        let mut count = 0;
        for (id, places) in &self.positions {
            let is_meant = |(of, position): &&(usize, Position)| {
                *of == spool && deliveries.contains(&position.sequence)
            };
            if let Some((_, position)) = places.iter().find(is_meant) {
                count += 1;
                assert!(
                    self.is_safe(id, seen),
                    "{id} at {position} is nowhere, and all before {} is settled",
                    deliveries.end
                );
            }
        }
        count
    }

    /// I2: after a quiet end.
    pub fn everything_arrived(&self, seen: &Seen) {
        for id in self.positions.keys().filter(|id| self.is_owed(id)) {
            assert!(self.is_safe(id, seen), "{id} was acknowledged and is nowhere");
        }
    }

    /// What was acknowledged, is not for `topic` and is nowhere.
    pub fn missing(&self, seen: &Seen, sent: &BTreeMap<String, Sent>, topic: &str) -> Vec<&String> {
        let elsewhere =
            self.positions.keys().filter(|id| sent[*id].topic.as_deref() != Some(topic));
        elsewhere.filter(|id| self.is_owed(id) && !self.is_safe(id, seen)).collect()
    }

    /// Whether it was acknowledged, and is nowhere.
    pub fn is_missing(&self, id: &str, seen: &Seen) -> bool {
        self.positions.contains_key(id) && !self.is_safe(id, seen)
    }

    /// Whether it was acknowledged, is to be delivered by a process that goes on, and nothing has hurt it.
    pub fn is_whole(&self, id: &str) -> bool {
        let is_hurt = self.spoilt.contains(id) || self.healed.contains(id);
        self.positions.contains_key(id) && self.is_owed(id) && !is_hurt
    }

    fn is_safe(&self, id: &str, seen: &Seen) -> bool {
        seen.anywhere(id) || self.spoilt.contains(id) && seen.damaged_ranges > 0
    }

    /// What is nowhere else is in a range of its own spool that is in quarantine, and the label there has its number. Of what
    /// was sent more than once that goes for one copy: the others were passed over for its sake.
    pub fn damage_is_named(&self, seen: &Seen) {
        for (id, places) in &self.positions {
            let mut here =
                places.iter().filter(|(spool, _)| !self.stopped.contains(spool)).peekable();
            if seen.anywhere(id) || here.peek().is_none() {
                continue;
            }
            let is_named = here.any(|(spool, position)| {
                let is_it = |(of, sequences): &(usize, Range<u64>)| {
                    of == spool && sequences.contains(&position.sequence)
                };
                seen.damaged.iter().any(is_it)
            });
            // A copy that was stored and not acknowledged has a number that the books do not know.
            let is_perhaps = self.perhaps.contains_key(id) && self.is_safe(id, seen);
            let is_named = is_named || is_perhaps;
            assert!(is_named, "{id} at {places:?} is nowhere, also not among {:?}", seen.damaged);
        }
    }

    /// I6: more than one record of an event.
    pub fn repeats(&self, seen: &Seen, sent: &BTreeMap<String, Sent>) -> Repeats {
        let mut repeats = Repeats::default();
        for (id, records) in &seen.records {
            let (event, again) = (&sent[id], records - 1);
            let mut explained = self.due.get(id).copied().unwrap_or(0);
            if !event.is_event() {
                explained += event.copies.len() - 1; // each a dead letter of its own
            } else if event.copies.len() > 1 && self.spoilt.contains(id) {
                explained = again; // its id was given up
            }
            repeats.all += again;
            repeats.needless += again.saturating_sub(explained);
        }
        repeats
    }
}

/// How many of the copies at `places` the checkpoints have passed.
fn behind(saved: &Saved, places: &[(usize, Position)], event: &Sent) -> usize {
    let is_behind = |(source, position): &&(usize, Position)| {
        saved[*source].as_ref().is_some_and(|saved| is_behind(saved, *position, event))
    };
    places.iter().filter(is_behind).count()
}

fn is_behind(saved: &Checkpoint, position: Position, event: &Sent) -> bool {
    let held = saved.held.iter().filter(|held| Some(&held.topic) == event.topic.as_ref());
    position < saved.low
        && held.into_iter().all(|held| position < held.position)
        && saved.refused.iter().all(|refused| refused.position != position)
}

/// What has no id is delivered once for each copy, so a start may repeat each copy that is there.
#[test]
fn a_start_may_repeat_as_many_copies_without_an_id_as_were_sent_and_no_more() {
    let id = "event-1-0".to_owned();
    let event = Sent {
        copies: vec![(0, 1), (1, 2), (1, 3)],
        taken: 3,
        fate: Fate::Refused,
        topic: None,
        life: None,
        value: Vec::new(),
        original: Vec::new(),
        as_sent: Vec::new(),
        stays_here: false,
    };
    let sent = BTreeMap::from([(id.clone(), event)]);
    let records =
        |records| Seen { records: BTreeMap::from([(id.clone(), records)]), ..Seen::default() };
    let mut books = Books::default();
    books.acknowledged(std::slice::from_ref(&id), 0, 1);
    // Two in one group that failed, and that the next process finds in its spool.
    (0..2).for_each(|_| books.unanswered(std::slice::from_ref(&id)));
    assert_eq!(books.begin_at(&vec![None, None], &records(3), &sent).all, 3);
    assert_eq!(books.repeats(&records(6), &sent).needless, 0);
    assert_eq!(books.repeats(&records(7), &sent).needless, 1);
}
