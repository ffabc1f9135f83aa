//! A forwarder's part of deduplication: claims for its source, and the ids of its settled events
//! until they are saved.

use std::{
    collections::{HashMap, HashSet},
    io,
    ops::Range,
    sync::Arc,
};

use prometheus::IntCounter;
use uuid::Uuid;

use super::{
    Deduplicator,
    identity::{Digest, Id, Identity, Rule},
    index::{Claimed, Index, Owner},
    prepared::{Attempt, Prepared},
    released::RestsOn,
    rests::Rests,
    sharing::{Sharing, Telling},
    sidecar::{self, Sidecar},
};
use crate::{
    event::{Event, LeadState},
    source::{Origin, UnixMillis},
    spool::position::Position,
};

/// Result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The event is to be forwarded; its id is saved once it is settled. `None`: it has no id.
    Granted(Option<Identity>),
    /// Another event with this id was delivered, or will be: this one is passed over.
    Repeat(RestsOn),
}

impl Claim {
    pub fn is_repeat(&self) -> bool {
        matches!(self, Self::Repeat(_))
    }
}

/// One source's view of a [`Deduplicator`].
pub struct Claims {
    shared: Arc<Deduplicator>,
    /// The source's number.
    source: u32,
    /// Ids of events settled since the last save: as many as a quarter of a second settles.
    settled: Vec<Id>,
    /// Lead states made of several events and on their way: by the id of the first part, the sequence number and the
    /// ids of the others, which are settled with it.
    together: HashMap<Id, (u64, Vec<Identity>)>,
    sidecar: Sidecar,
    prepared: Prepared,
    /// Whether the last save failed, and was logged.
    failing: bool,
    /// Origin of the delivery whose events are claimed.
    origin: Origin,
    /// Owners of the repeats that were passed over, if they are watched.
    rests: Option<Rests>,
    /// Where other replicas are told.
    telling: Option<Telling>,
}

impl Claims {
    pub(super) fn new(shared: Arc<Deduplicator>, number: usize) -> Self {
        let disk = shared.disk.clone();
        let folder = &shared.sources[number].folder;
        let sidecar = Sidecar::new(disk.clone(), folder, shared.settings, &shared.key);
        let prepared = Prepared::new(disk, sidecar::folder_in(folder), &shared.key);
        let source = u32::try_from(number).expect("there are less than 2^32 sources");
        Self {
            shared,
            source,
            settled: Vec::new(),
            together: HashMap::new(),
            sidecar,
            prepared,
            failing: false,
            origin: Origin::Sender,
            rests: None,
            telling: None,
        }
    }

    /// Lets it tell other replicas what the source of this spool has settled, and believe what they tell.
    pub fn telling(self, sharing: &Arc<Sharing>, spool: Uuid) -> Self {
        let telling = (!self.are_off()).then(|| Telling::of(sharing, spool));
        Self { telling, ..self }
    }

    /// Lets it watch whether the owners of repeats are settled ([`Claims::settled_end`]).
    pub fn watching_owners(self) -> Self {
        Self { rests: Some(Rests::default()), ..self }
    }

    /// Notes that all of this source's own events before the delivery `end` are settled. Returns the first delivery
    /// that is not settled together with the owners of its repeats.
    pub fn settled_end(&mut self, end: u64) -> u64 {
        self.shared.ends.set(self.source, end);
        let rests = self.rests.as_mut().and_then(|rests| rests.first(&self.shared.ends));
        rests.map_or(end, |first| first.min(end))
    }

    /// Whether a repeat rests on an event that another source has to settle.
    pub fn rest_on_others(&mut self) -> bool {
        self.rests.as_mut().is_some_and(|rests| rests.first(&self.shared.ends).is_some())
    }

    /// Notes that the event at `position` is passed over for that of `owner`. An owner of this source that is not
    /// behind it is settled before it anyway.
    fn rests_on(&mut self, position: Position, owner: Owner) {
        let is_before = owner.source == self.source && owner.position.sequence <= position.sequence;
        if let Some(rests) = self.rests.as_mut().filter(|_| !is_before) {
            rests.add(position, owner, &self.shared.ends);
        }
    }

    /// Reads the ids saved by earlier processes, unless another source has done so or is doing it; then it
    /// waits. Without this call the first claim reads them.
    pub fn recall(&self, now: UnixMillis) {
        if !self.shared.settings.is_off() {
            drop(self.shared.index(now));
        }
    }

    /// Takes the origin of the delivery whose events are claimed next: events of back-fill are counted, which
    /// shows what the webhook had missed.
    pub fn come_from(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Whether no event is ever taken for a repeat.
    pub fn are_off(&self) -> bool {
        self.shared.settings.is_off()
    }

    /// Claims the event at `position`, each time that a lane comes to it.
    pub fn claim(&mut self, event: &Event<'_>, position: Position, now: UnixMillis) -> Claim {
        let id = match self.shared.settings.is_off() {
            true => None,
            false => self.shared.key.id(event),
        };
        let Some(id) = id else {
            self.count("unidentified");
            return Claim::Granted(None);
        };
        let digest = self.telling.as_ref().and_then(|_| Digest::of(event));
        let identity = Identity { id, digest };
        let owner = Owner { source: self.source, position };
        let claimed = self.claim_id(identity, event, owner, now);
        match claimed {
            Claimed::First => {
                self.count("missed");
                Claim::Granted(Some(identity))
            }
            Claimed::Own => Claim::Granted(Some(identity)),
            Claimed::Taken { by } => {
                self.count("known");
                self.repeats_of(by.source).inc();
                self.rests_on(position, by);
                Claim::Repeat(RestsOn::One(by))
            }
        }
    }

    /// Claims the lead state at `position`: each of its parts, since each may be the part of another
    /// state, of a repeat of its event. `kept` gets for each part whether it is to be in the record.
    pub fn claim_state(
        &mut self,
        event: &Event<'_>,
        state: &LeadState<'_>,
        position: Position,
        now: UnixMillis,
        kept: &mut Vec<bool>,
    ) -> Claim {
        kept.clear();
        if self.shared.settings.is_off() {
            kept.resize(state.parts.len(), true);
            return Claim::Granted(None);
        }
        let owner = Owner { source: self.source, position };
        let mut ids = Vec::new();
        let mut seen = HashSet::new();
        for part in &state.parts {
            let Some(id) = self.shared.key.id_of_part(event, state, part) else {
                kept.push(true);
                continue;
            };
            let digest = self.telling.as_ref().and_then(|_| Digest::of_part(event, state, part));
            let identity = Identity { id, digest };
            let claimed = self.claim_in(&mut self.shared.index(now), identity, owner, now);
            // Its event may stand twice in the delivery.
            let is_kept = !matches!(claimed, Claimed::Taken { .. }) && seen.insert(id);
            kept.push(is_kept);
            if is_kept {
                ids.push(identity);
            }
            if let Claimed::Taken { by } = claimed {
                self.rests_on(position, by);
            }
        }
        if !kept.contains(&true) {
            return Claim::Repeat(RestsOn::Several);
        }
        let mut ids = ids.into_iter();
        let first = ids.next();
        let others: Vec<_> = ids.collect();
        if let Some(first) = first.filter(|_| !others.is_empty()) {
            self.together.insert(first.id, (position.sequence, others));
        }
        Claim::Granted(first)
    }

    fn claim_id(
        &self,
        identity: Identity,
        event: &Event<'_>,
        owner: Owner,
        now: UnixMillis,
    ) -> Claimed {
        let mut index = self.shared.index(now);
        // The event may have been delivered by a program whose ids had no type.
        if index.may_know_without_type(now)
            && let Some(before) = self.shared.key.id_without_type(event)
            && let Some(by) = index.owner_of(before, now)
        {
            return Claimed::Taken { by };
        }
        self.claim_in(&mut index, identity, owner, now)
    }

    /// Claims an event. A claim of this process stays its own to settle, whatever another replica tells meanwhile.
    fn claim_in(
        &self,
        index: &mut Index,
        Identity { id, digest }: Identity,
        owner: Owner,
        now: UnixMillis,
    ) -> Claimed {
        if let Some(digest) = digest
            && index.owner_of(id, now).is_none()
            && let Some(by) = index.owner_of(self.shared.key.id_of_digest(digest), now)
        {
            return Claimed::Taken { by };
        }
        index.claim(id, owner, now)
    }

    /// Counts an element of the delivery that is no event.
    pub fn none(&self) {
        self.count("refused");
    }

    /// Counts an event that the source does not take: nothing is claimed, so that another source may.
    pub fn left_out(&self) {
        self.count("left-out");
    }

    /// Counts an event of back-fill. An event without an id counts each time it is read.
    fn count(&self, result: &str) {
        if self.origin == Origin::Journal {
            let labels = [self.name(), result];
            self.shared.metrics.journal_events.with_label_values(&labels).inc();
        }
    }

    /// Notes that an event is delivered, a dead letter, or in quarantine.
    pub fn settled(&mut self, identity: Option<Identity>) {
        let Some(identity) = identity else { return };
        self.is_settled(identity);
        if !self.together.is_empty()
            && let Some((_, others)) = self.together.remove(&identity.id)
        {
            let is_told = identity.digest.is_some();
            for other in others {
                self.is_settled(if is_told { other } else { other.of_this_volume() });
            }
        }
    }

    fn is_settled(&mut self, Identity { id, digest }: Identity) {
        self.settled.push(id);
        if let Some(telling) = &mut self.telling {
            telling.is_settled(digest);
        }
    }

    /// Writes the ids settled since the last save aside, for a transaction that is about to be committed. If this
    /// process does not live to save them, [`Claims::take_over`] finds them.
    pub fn prepare(&mut self, attempt: Attempt, now: UnixMillis) {
        if self.settled.is_empty() {
            return;
        }
        let written = self.prepared.write(attempt, &self.settled, now);
        self.log_once(written, self.settled.len());
    }

    /// Claims for good the ids that were prepared for `committed`, the last committed checkpoint, and
    /// saves them.
    pub fn take_over(&mut self, committed: Attempt, now: UnixMillis) {
        if self.are_off() {
            return;
        }
        match self.prepared.read(committed) {
            Ok((rule, ids)) => {
                let owner = Owner::settled_before(self.source);
                let mut index = self.shared.index(now);
                if rule == Rule::WithoutType {
                    index.expect_without_type(now);
                }
                for id in &ids {
                    index.claim(*id, owner, now);
                }
                drop(index);
                self.save_ids(rule, &ids, now);
            }
            Err(error) => tracing::warn!(
                source = self.name(), %error,
                "ids of events that were delivered last cannot be read: a repeat of theirs is delivered \
                 again",
            ),
        }
        // A file that stays has a name that no later attempt uses.
        if let Err(error) = self.prepared.clear() {
            tracing::debug!(source = self.name(), %error, "cannot remove old event ids");
        }
    }

    /// Forgets the ids settled since the last save: their transaction was taken back.
    pub fn forget_unsaved(&mut self) {
        self.settled.clear();
        if let Some(telling) = &mut self.telling {
            telling.forget();
        }
    }

    /// Gives up the claims of deliveries that cannot be read any more, so that others may bring their events. Some of
    /// those may be settled, and then a repeat of them is delivered: better than an event that is lost.
    pub fn release(&mut self, sequences: Range<u64>, now: UnixMillis) {
        self.together.retain(|_, (sequence, _)| !sequences.contains(sequence));
        if !self.shared.settings.is_off() {
            self.shared.index(now).release(self.source, &sequences);
            self.shared.released.lock().add(self.source, &sequences);
        }
    }

    /// Whether the owner of a repeat may have been given up since: the repeat is to be claimed again.
    pub fn is_released(&self, rests_on: RestsOn) -> bool {
        self.shared.released.lock().may_have(rests_on)
    }

    /// Saves the ids of settled events, before a checkpoint passes them. Durable when it returns,
    /// unless the disk fails: then they are counted and dropped, since a checkpoint that
    /// waited for them would keep the very space occupied that they need. Other
    /// replicas are told of them.
    pub fn save(&mut self, now: UnixMillis) {
        if let Some(telling) = &mut self.telling {
            telling.tell(now);
        }
        let settled = std::mem::take(&mut self.settled);
        self.save_ids(Rule::WithType, &settled, now);
        self.settled = settled; // keeps its memory
        self.settled.clear();
    }

    fn save_ids(&mut self, rule: Rule, ids: &[Id], now: UnixMillis) {
        if ids.is_empty() {
            return;
        }
        let saved = self.sidecar.save(rule, ids, now);
        self.log_once(saved, ids.len());
        let index = self.shared.index(now);
        let metrics = &self.shared.metrics;
        metrics.deduplicate_ids.set(index.len() as i64);
        metrics.deduplicate_oldest_seconds.set((index.oldest().unwrap_or(0) / 1000) as i64);
    }

    /// Logs once that ids cannot be saved.
    fn log_once(&mut self, saved: io::Result<()>, ids: usize) {
        let source = self.name();
        let metrics = &self.shared.metrics;
        let failing = saved.is_err();
        if let Err(error) = saved {
            metrics.deduplicate_unsaved.with_label_values(&[source]).inc_by(ids as u64);
            if !self.failing {
                tracing::warn!(
                    source, %error, ids,
                    "ids of delivered events cannot be saved: a repeat of these events that comes \
                     after a restart is delivered again",
                );
            }
        }
        self.failing = failing;
    }

    fn name(&self) -> &str {
        self.shared.sources[self.source as usize].name.as_str()
    }

    fn repeats_of(&self, owner: u32) -> IntCounter {
        let owner = self.shared.name_of(owner);
        self.shared.metrics.duplicates.with_label_values(&[self.name(), owner])
    }
}
