//! The delivery guarantee: how often an event may reach its topic. Each question with two answers is asked here, and
//! nowhere else.

use super::{
    AtLeastOnce, ExactlyOnce, MAIN_LANE, Now, Owners, Progress, Result, Settings, Start,
    at_least_once::Earlier,
    dead_letters::DeadLetterQueue,
    exactly_once::Known,
    lanes::{Lanes, Settled},
    outcomes::Answer,
    refusal::Stage,
    saved::Saved,
    source::Source,
    topics::{TopicId, Topics},
    window::LaneId,
};
use crate::{
    deliver::{checkpoint::Checkpoint, deduplicate::Identity},
    kafka::produce::{Failure, Outcome, Sink},
    spool::position::Position,
};

pub(super) enum Guarantee {
    AtLeastOnce(AtLeastOnce),
    ExactlyOnce(Box<ExactlyOnce>),
}

/// Whether the next record of a held topic is a probe that other lanes make way for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// No probe: it goes with the others.
    None,
    /// A probe that may be sent.
    Now,
    /// A probe whose turn comes later.
    Later,
}

impl Guarantee {
    /// The guarantee of the settings, from `saved` on.
    pub fn new(settings: &Settings, saved: &Checkpoint, start: &Start) -> Self {
        match settings.transactions.clone() {
            None => Self::AtLeastOnce(AtLeastOnce::default()),
            Some(settings) => {
                let found = start.found.as_ref();
                Self::ExactlyOnce(Box::new(ExactlyOnce::new(settings, saved.clone(), found)))
            }
        }
    }

    /// Limit of waiting refused events, where records have at most `record_limit` bytes.
    pub fn most_waiting(&self, record_limit: usize) -> usize {
        match self {
            Self::AtLeastOnce(_) => usize::MAX,
            Self::ExactlyOnce(_) => ExactlyOnce::most_waiting(record_limit),
        }
    }

    // --- one event on its way out ---

    /// The refusal of the event in an earlier transaction.
    pub fn known(&self, position: Position) -> Option<&Known> {
        match self {
            Self::AtLeastOnce(_) => None,
            Self::ExactlyOnce(it) => it.refusals().known(position),
        }
    }

    /// The first stage to try with a refused event: earlier ones have failed.
    pub fn known_stage(&self, position: Position) -> Stage {
        self.known(position).map_or(Stage::DeadLetter, |known| known.stage)
    }

    /// Whether the event's dead letter has failed already, so that it waits while the topic fails.
    pub fn has_failed(&self, position: Position) -> bool {
        match self {
            Self::AtLeastOnce(_) => false,
            Self::ExactlyOnce(it) => it.refusals().has_failed(position),
        }
    }

    /// Notes that the topic of the event at `position` is one too many.
    pub fn note_over_limit(&mut self, position: Position, name: &str) {
        if let Self::AtLeastOnce(it) = self {
            it.over_limit_mut().note(position, name);
        }
    }

    /// Returns the earlier events that must be out of the way before the event of this topic at `position` is sent.
    pub fn earlier_over_limit(&self, name: &str, position: Position, lanes: &Lanes) -> Earlier {
        match self {
            Self::AtLeastOnce(it) => it.over_limit().earlier(name, position, lanes),
            Self::ExactlyOnce(_) => Earlier::Nothing,
        }
    }

    /// Notes that the event goes to its topic after all. Whether the topic's next event may do so without being asked
    /// about.
    pub fn is_under_limit(&mut self, position: Position, name: &str) -> bool {
        match self {
            Self::AtLeastOnce(it) => it.over_limit_mut().remove(position, name),
            Self::ExactlyOnce(_) => true,
        }
    }

    /// The topic, where the main lane carries it again and its own lane may yet come to repeats that are passed over.
    pub fn still_held(
        &self,
        lane: LaneId,
        topic: Option<TopicId>,
        lanes: &Lanes,
    ) -> Option<TopicId> {
        match self {
            Self::AtLeastOnce(_) => {
                topic.filter(|it| lane == MAIN_LANE && lanes.held(*it).is_some())
            }
            Self::ExactlyOnce(_) => None,
        }
    }

    /// Whether a passed-over repeat is remembered for a lane that goes back. In a transaction such a lane takes back
    /// everything behind it as well.
    pub fn remembers_repeats(&self) -> bool {
        matches!(self, Self::AtLeastOnce(_))
    }

    /// Whether the next record of the held topic is a probe, and may be sent.
    pub fn probe(&mut self, topic: TopicId, lanes: &mut Lanes, now: Now) -> Probe {
        match self {
            Self::AtLeastOnce(_) => Probe::None,
            Self::ExactlyOnce(it) => it.probe(topic, lanes, now),
        }
    }

    /// Whether a dead letter may be sent to a topic that fails.
    pub fn may_probe_queue(&mut self, now: Now) -> bool {
        match self {
            Self::AtLeastOnce(_) => true,
            Self::ExactlyOnce(it) => it.may_probe_queue(now),
        }
    }

    pub fn probe_sent(&mut self, now: Now) {
        if let Self::ExactlyOnce(it) = self {
            it.probe_sent(now);
        }
    }

    /// Counts a record that the sink has taken.
    pub fn sent(&mut self) {
        if let Self::ExactlyOnce(it) = self {
            it.sent();
        }
    }

    // --- answers of the sink ---

    pub fn delivered<S: Sink>(&mut self, owners: &mut Owners<'_, S>, answer: &Answer) {
        match self {
            Self::AtLeastOnce(it) => it.delivered(owners, answer),
            Self::ExactlyOnce(it) => it.delivered(owners, answer),
        }
    }

    /// Notes that a slot was settled.
    pub fn settled(&mut self, settled: Option<Settled>, source: &mut Source) {
        let Some(Settled { position, identity }) = settled else { return };
        if let Self::ExactlyOnce(it) = self {
            it.dealt_with(position);
        }
        self.settle_id(position, identity, source);
    }

    /// Notes that the event at `position` is settled, and its id is to be saved.
    pub fn settle_id(
        &mut self,
        position: Position,
        identity: Option<Identity>,
        source: &mut Source,
    ) {
        match self {
            Self::AtLeastOnce(it) => it.settle_id(position, identity, source),
            Self::ExactlyOnce(_) => source.settled(identity),
        }
    }

    pub fn failed<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        answer: &Answer,
        failure: Failure,
        now: Now,
    ) {
        match self {
            Self::AtLeastOnce(it) => it.failed(owners, answer, failure, now),
            Self::ExactlyOnce(it) => it.failed(owners, answer, failure, now),
        }
    }

    /// Whether records in flight are waited for, and nothing is sent.
    pub fn waits_for_answers(&self) -> bool {
        match self {
            Self::AtLeastOnce(it) => it.waits_for_answers(),
            Self::ExactlyOnce(_) => false,
        }
    }

    /// Handles an answer while records in flight are waited for.
    pub fn answered_late<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        answer: &Answer,
        outcome: &Outcome,
        now: Now,
    ) {
        if let Self::AtLeastOnce(it) = self {
            it.answered_late(owners, answer, outcome, now);
        }
    }

    // --- going back ---

    /// Whether a probe has been on its way for too long; its topic has failed. An outdated sink is no fault of the
    /// topic.
    pub fn probe_hangs<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        is_outdated: bool,
        now: Now,
    ) -> bool {
        match self {
            Self::AtLeastOnce(it) => it.probe_hangs(owners, now),
            Self::ExactlyOnce(it) => !is_outdated && it.probe_hangs(owners, now),
        }
    }

    /// Whether a probe may take no longer than other records: the end of a transaction waits for it.
    pub fn watches_probes(&self) -> bool {
        matches!(self, Self::ExactlyOnce(_))
    }

    /// Takes the lanes back; over many steps if need be.
    pub fn rewind<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<()> {
        match self {
            Self::AtLeastOnce(it) => {
                it.rewind(owners, now);
                Ok(())
            }
            Self::ExactlyOnce(it) => it.rewind(owners, now),
        }
    }

    // --- a step of the lanes ---

    /// Commits when it is time, or waits; meanwhile there is nothing else to do.
    pub fn goes_first<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        now: Now,
    ) -> Result<Option<Progress>> {
        match self {
            Self::AtLeastOnce(it) => Ok(it.waits_for_answers().then_some(Progress::Waiting)),
            Self::ExactlyOnce(it) => it.commit(owners, now),
        }
    }

    /// Whether refused events may become dead letters now.
    pub fn may_write(&mut self) -> bool {
        match self {
            Self::AtLeastOnce(it) => !it.waits_for_answers(),
            Self::ExactlyOnce(it) => it.may_write(),
        }
    }

    /// Whether the lanes have to wait for a probe.
    pub fn makes_way(&self, lanes: &Lanes, dead_letters: &DeadLetterQueue) -> bool {
        match self {
            Self::AtLeastOnce(_) => false,
            Self::ExactlyOnce(it) => it.makes_way(lanes, dead_letters),
        }
    }

    /// Notes that the main lane has read everything.
    pub fn caught_up(&mut self) {
        if let Self::ExactlyOnce(it) = self {
            it.caught_up();
        }
    }

    /// Whether nothing waits for a commit.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::AtLeastOnce(_) => true,
            Self::ExactlyOnce(it) => it.is_empty(),
        }
    }

    /// Whether nothing waits for a commit, and a commit would change nothing.
    pub fn is_drained(
        &self,
        lanes: &Lanes,
        dead_letters: &DeadLetterQueue,
        topics: &Topics,
    ) -> bool {
        match self {
            Self::AtLeastOnce(_) => true,
            Self::ExactlyOnce(it) => it.is_empty() && !it.has_moved(lanes, dead_letters, topics),
        }
    }

    // --- how far it is done ---

    /// The checkpoint that would be saved now; in exactly-once delivery the committed one.
    pub fn position(
        &self,
        lanes: &Lanes,
        dead_letters: &DeadLetterQueue,
        topics: &Topics,
        saved: &Saved,
    ) -> Checkpoint {
        match self {
            Self::AtLeastOnce(_) => AtLeastOnce::position(lanes, dead_letters, topics, saved),
            Self::ExactlyOnce(it) => it.committed().clone(),
        }
    }

    /// The first delivery that is not settled for good: in exactly-once delivery, not committed.
    pub fn settled_end(&self, lanes: &Lanes) -> u64 {
        match self {
            Self::AtLeastOnce(_) => lanes.low().sequence,
            Self::ExactlyOnce(it) => it.committed().lowest().sequence,
        }
    }

    /// Brings the file up to the delivered events.
    pub fn save<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<()> {
        match self {
            Self::AtLeastOnce(it) => it.save(owners, now),
            Self::ExactlyOnce(it) => it.save(owners, now),
        }
    }

    /// Does the rest at a stop; whether nothing is left to do.
    pub fn finish<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<bool> {
        match self {
            Self::AtLeastOnce(_) => {
                // Events that wait for a failing dead-letter topic are read again after the next start.
                let waits = !owners.dead_letters.is_empty() && !owners.dead_letters.is_failing();
                Ok(owners.out.topics().outstanding() == 0 && !waits)
            }
            Self::ExactlyOnce(it) => it.finish(owners, now),
        }
    }
}
