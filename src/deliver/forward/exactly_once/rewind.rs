//! Taking a transaction back: nothing of it was delivered.
//!
//! A failure in a transaction takes all of it back, so every lane goes to its position at the last commit, as after a
//! restart. Only the causes are remembered: topics that failed are held from there on, and an event that was refused
//! for good is known by its position and becomes a dead letter in the next transaction. The topic of checkpoints shows
//! whether a commit that failed has happened all the same, and whether another instance writes to it.

use std::collections::BTreeMap;

use super::{ExactlyOnce, Hold, Now, Owners, Position, Result, Sink, TopicId, Trouble};
use crate::deliver::{
    checkpoint::{Checkpoint, Held},
    forward::{
        held::{HeldTopic, Phase},
        start::{fence, read},
        window::Window,
    },
};

impl ExactlyOnce {
    /// Takes the transaction back, and everything to the last commit. As long as the sink cannot be
    /// renewed nothing else happens; the next step tries again.
    pub fn rewind<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<()> {
        owners.out.renew_later();
        if !std::mem::replace(&mut self.is_rewinding, true) {
            self.probes.failed(now);
            self.remember_failures(owners, now);
        }
        let source = owners.source.name();
        if let Err(error) = owners.out.renew() {
            tracing::debug!(%source, %error, "the transaction cannot be taken back yet");
            return Ok(());
        }
        self.is_rewinding = false;
        if !self.has_happened(owners, now)? {
            let source = &mut *owners.source;
            source.count(&source.metrics().transactions, "aborted");
            source.forget_unsaved_ids();
            owners.out.topics_mut().aborted();
            owners.source.latency_mut().taken_back();
            self.begin();
        }
        // Also after a commit that has happened: committing again soon proves that this process is the one that goes
        // on.
        self.transaction.is_urgent = true;
        Rewind::new(&self.committed, owners).lanes(owners, now);
        Ok(())
    }

    /// Finds the topics that fail, while their records can still be seen.
    fn remember_failures<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) {
        let ages = owners.out.ages(owners.lanes.watched(true).flat_map(Window::iter), now);
        let overdue = owners.overdue(true, now);
        for position in overdue.dead_letters {
            self.refusals.dead_letter_failed(position);
        }
        owners.out.remember_ages(&ages);
        owners.out.put_back_failed(overdue.topics);
    }

    /// Whether the commit has happened all the same, by the checkpoint that the sink found on the topic, if it had to
    /// look.
    fn has_happened<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<bool> {
        let Some(found) = owners.out.committed() else { return Ok(false) };
        let source = &*owners.source;
        let found = read(&found, source.spool().id())?;
        if self.writer.is_overtaken_by(&found) {
            let last = self.committed.number;
            let file = owners.saved.file();
            let spool = source.spool();
            return Err(fence(file, &found, last, spool, source.metrics()));
        }
        let is_found =
            |attempt: &Checkpoint| attempt.writer == found.writer && attempt.number == found.number;
        let Some(attempt) = self.transaction.attempt.clone().filter(is_found) else {
            return Ok(false);
        };
        if let Err(error) = self.has_committed(attempt, "committed-late", owners, now) {
            let source = owners.source.name();
            tracing::warn!(%source, %error, "cannot save the committed position yet");
        }
        Ok(true)
    }
}

/// The return of all lanes to the last commit.
struct Rewind<'a> {
    committed: &'a Checkpoint,
    /// Topics that failed since.
    failed: BTreeMap<TopicId, Trouble>,
    /// Position of the main lane before the return.
    reached: Position,
    /// The lanes of held topics before the return.
    before: BTreeMap<TopicId, HeldTopic>,
}

impl<'a> Rewind<'a> {
    fn new<S: Sink>(committed: &'a Checkpoint, owners: &mut Owners<'_, S>) -> Self {
        Self {
            committed,
            failed: owners.out.take_failed(),
            reached: owners.lanes.main().next(),
            before: owners.lanes.close_all(),
        }
    }

    /// Sets every lane to its position at the last commit.
    fn lanes<S: Sink>(&self, owners: &mut Owners<'_, S>, now: Now) {
        owners.dead_letters.clear();
        owners.out.nothing_outstanding();
        owners.lanes.main_mut().rewind(self.committed.low);
        for Held { topic, position } in &self.committed.held {
            let topic = owners.out.topics_mut().enter(topic);
            let phase = match self.before.get(&topic).map(HeldTopic::phase) {
                Some(Phase::Waiting { until }) => Phase::Waiting { until },
                Some(Phase::CatchingUp | Phase::Draining) => Phase::CatchingUp,
                Some(Phase::Probing) | None => Phase::Probing,
            };
            self.open(topic, *position, phase, owners);
        }
        let topics = owners.out.topics_mut();
        owners.dead_letters.put_back(&self.committed.refused, owners.lanes, topics, now);
        // Topics held since the last commit, and still out of order.
        let low = self.committed.low;
        for (topic, held) in self.before.iter().filter(|(_, held)| held.is_out_of_order()) {
            let is_known = owners.lanes.held(*topic).is_some() || self.failed.contains_key(topic);
            if !is_known && owners.lanes.are_left(low) {
                self.open(*topic, low, held.phase(), owners);
            }
        }
        for (topic, trouble) in &self.failed {
            self.hold(*topic, trouble, owners, now);
        }
    }

    fn open<S: Sink>(
        &self,
        topic: TopicId,
        from: Position,
        phase: Phase,
        owners: &mut Owners<'_, S>,
    ) {
        let held = owners.lanes.open(topic, from, phase);
        if let Some(before) = self.before.get(&topic) {
            held.remember(before);
        }
    }

    /// Holds a topic that failed since the last commit.
    fn hold<S: Sink>(
        &self,
        topic: TopicId,
        trouble: &Trouble,
        owners: &mut Owners<'_, S>,
        now: Now,
    ) {
        let Owners { out, lanes, .. } = owners;
        let from = lanes.held(topic).map_or(self.committed.low, |held| held.lane().next());
        let alone_before = trouble.one_at_a_time.then_some(self.reached);
        let hold = Hold { topic, from, why: &trouble.why, alone_before };
        if !lanes.may_hold(hold, out.topics_mut(), now) {
            return;
        }
        if lanes.held(topic).is_none() {
            return lanes.hold(hold, out.topics_mut(), now);
        }
        lanes.wait(topic, out.topics_mut(), now);
        out.topics_mut().ask_before_next(topic);
        lanes.report(hold, out.topics());
        let Some(held) = lanes.held_mut(topic) else { return };
        if held.needs_new_client() {
            out.refresh();
            out.renew_later();
        }
        match alone_before {
            Some(end) => held.send_singly(end),
            None => held.doubt(),
        }
    }
}
