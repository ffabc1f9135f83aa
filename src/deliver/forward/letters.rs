//! Waiting for the dead-letter topic.
//!
//! Its trouble may pass like that of any other topic, and what lies in quarantine needs a person. So
//! while it can't be written, refused events wait in the windows of their lanes, which go on; one
//! dead letter at a time asks whether it is well again. Refused events go to quarantine when
//!
//! - they have waited for `forward.quarantine_after` of a cluster that answers, or
//! - they would take the room of the others (while the cluster is away, the lanes rest instead).
//!
//! Those that an earlier process had passed, and named in its checkpoint, are put back to wait. They lie
//! before the place where their lanes began. No lane reads them again: one that goes back leaves them
//! where they are, or it would send once more what was delivered behind them. For the same reason the
//! checkpoints name them, in both modes, until they are settled.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    FIRST_PAUSE, ForwardError, Forwarder, Now,
    asking::Asked,
    lane::Lane,
    refuse::Stage,
    rejected::Rejected,
    window::{Carries, RECORD_OVERHEAD, SLOTS, Slot},
};
use crate::{
    deliver::checkpoint::Refused,
    kafka::produce::{Sink, TopicState},
    runtime::retry::Retry,
    spool::{Next, ReadError, Reader, Spool, StoredDelivery, position::Position},
};

/// How long the topic in trouble is left alone at most: others wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Refused events that are dealt with in one step: each is read and decoded again.
const A_TURN: usize = 16;

/// How the dead-letter topic does, and who waits for it.
pub(super) struct Letters {
    /// Slots whose record was refused, to be made dead letters or quarantined.
    pub waiting: VecDeque<Rejected>,
    /// Where those lie that were put back.
    pub put_back: BTreeSet<Position>,
    /// Reads them again, in the order in which they wait, and what it read last.
    reader: Option<Reader>,
    current: Option<StoredDelivery>,
    /// The topic was asked for since the start, and what came of it was told.
    looked_at: bool,
    /// The last dead letter failed: only one at a time is on its way, and none before this.
    asks_at: Option<Instant>,
    /// Since when dead letters have been waiting without an end.
    since: Option<Instant>,
    told: Told,
    pauses: Retry,
}

/// What people know of the trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    TheyWait,
    TheyAreQuarantined,
}

/// What becomes of a refused event while dead letters can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It waits in its lane's window, and the lane goes on.
    Waits,
    /// There is no room for it, and the cluster is away anyway: its lane waits.
    NoRoom,
    /// It goes to quarantine.
    Quarantine,
}

impl Letters {
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            put_back: BTreeSet::new(),
            reader: None,
            current: None,
            looked_at: false,
            asks_at: None,
            since: None,
            told: Told::Nothing,
            pauses: Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    /// Whether dead letters can't be written, as far as is known.
    pub fn are_in_trouble(&self) -> bool {
        self.asks_at.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The delivery of an event that waits. Several of one delivery read it once.
    pub fn read(&mut self, spool: &Spool, sequence: u64) -> Result<Next, ReadError> {
        if let Some(current) = self.current.as_ref().filter(|it| it.sequence == sequence) {
            return Ok(Next::Delivery(current.clone()));
        }
        let reader = self.reader.get_or_insert_with(|| spool.reader(sequence));
        reader.seek(sequence);
        let next = reader.next()?;
        if let Next::Delivery(stored) = &next {
            self.current = Some(stored.clone());
        }
        Ok(next)
    }

    /// Nobody waits any more: the next trouble is another one.
    pub fn nobody_waits(&mut self) {
        self.since = None;
    }

    /// Whether another one of the same batch has failed already.
    pub fn failed_just_now(&self, now: Now) -> bool {
        self.asks_at.is_some_and(|at| now.instant < at)
    }

    fn rest(&mut self, now: Now, pause: Duration) {
        self.asks_at = Some(now.instant + pause);
        self.since.get_or_insert(now.instant);
    }
}

fn is_put_back(slot: &Slot, put_back: &BTreeSet<Position>) -> bool {
    !slot.carries.is_event() && put_back.contains(&slot.position)
}

impl<S: Sink> Forwarder<S> {
    /// Has the dead-letter topic made before the first event is refused, so that a trouble shows
    /// while nothing depends on it.
    pub(super) fn look_at_dead_letter_topic(&mut self) {
        if self.letters.looked_at {
            return;
        }
        let topic = &self.settings.dead_letter_topic;
        match self.sink.topic(topic) {
            TopicState::Pending => return,
            TopicState::Ready | TopicState::OverLimit => {}
            TopicState::Unavailable(why) => tracing::warn!(
                source = %self.spool.source(),
                topic,
                why,
                "cannot write dead letters at the moment",
            ),
        }
        self.letters.looked_at = true;
    }

    /// Turns refused records into dead letters, or puts their events into quarantine.
    pub(super) fn deal_with_rejected(&mut self, now: Now) -> Result<(), ForwardError> {
        if let Some(transaction) = &mut self.transaction {
            if transaction.ending {
                return Ok(());
            }
            transaction.letter_asks = false;
        }
        for _ in 0..self.letters.waiting.len().min(A_TURN) {
            let Some(rejected) = self.letters.waiting.pop_front() else { break };
            let rests = rejected.stage != Stage::Quarantine && self.letters_rest(now);
            if rests && self.may_stay(now) != Stay::Quarantine {
                self.letters.waiting.push_front(rejected);
                break;
            }
            match self.deal_with(&rejected, now) {
                Ok(true) => {}
                Ok(false) => {
                    self.letters.waiting.push_front(rejected);
                    break;
                }
                Err(error) => {
                    self.letters.waiting.push_back(rejected);
                    return Err(error);
                }
            }
        }
        if self.letters.waiting.is_empty() {
            // Neither the delivery's memory nor its segment's space is to be kept.
            (self.letters.reader, self.letters.current) = (None, None);
        }
        self.show_waiting();
        Ok(())
    }

    /// Whether a dead letter may be sent, if only to ask whether the topic is well again.
    pub(super) fn letter_may_ask(&mut self, now: Now) -> bool {
        if !self.letters.are_in_trouble() {
            return true;
        }
        let asked = self.may_ask(now);
        if let (Asked::Soon, Some(transaction)) = (asked, &mut self.transaction) {
            transaction.letter_asks = true;
        }
        asked == Asked::Now
    }

    /// Whether none is to be sent now.
    pub(super) fn letters_rest(&self, now: Now) -> bool {
        let on_its_way = self.topics.get(self.dead_letters).outstanding > 0;
        self.letters.asks_at.is_some_and(|at| on_its_way || now.instant < at)
    }

    /// What becomes of a refused event that can't be a dead letter now.
    pub(super) fn may_stay(&self, now: Now) -> Stay {
        // An eighth of the window: less than any lane's share of it.
        let bytes = self.letters.waiting.len() * RECORD_OVERHEAD;
        let has_room = bytes <= self.settings.window_bytes / 8
            && self.main.window.len() < SLOTS / 2
            && self.one_more_may_wait();
        let too_long = self.letters.since.is_some_and(|since| {
            self.time_of_an_answering_cluster(since, now) > self.settings.quarantine_after
        });
        match (has_room, too_long) {
            (true, false) => Stay::Waits,
            (false, _) if self.cluster_is_away() => Stay::NoRoom,
            (true | false, _) => Stay::Quarantine,
        }
    }

    /// Nobody knows yet whether the dead-letter topic can be written.
    pub(super) fn letters_are_looked_up(&mut self, now: Now) {
        let pause = self.look_up_pause();
        self.letters.rest(now, pause);
    }

    /// A dead letter could not be written, and it may pass.
    pub(super) fn letters_failed(&mut self, now: Now, why: &str) {
        // What was on its way together fails together.
        if self.letters.asks_at.is_none_or(|at| now.instant >= at) {
            let pause = self.letters.pauses.next_delay();
            self.letters.rest(now, pause);
        }
        let too_long = self.may_stay(now) == Stay::Quarantine;
        let (told, what) = match self.letters.told {
            Told::Nothing if !too_long => (Told::TheyWait, "refused events wait for it"),
            Told::Nothing | Told::TheyWait if too_long => {
                (Told::TheyAreQuarantined, "refused events go to the quarantine folder")
            }
            _ => return,
        };
        self.letters.told = told;
        tracing::error!(
            source = %self.spool.source(),
            topic = self.settings.dead_letter_topic,
            why,
            quarantine_after = ?self.settings.quarantine_after,
            "cannot write dead letters: {what}",
        );
    }

    /// Takes what was put back and is not settled out of the windows, to be put back once more.
    pub(super) fn take_out_put_back(&mut self) -> Vec<Refused> {
        let refused = self.unsettled_put_back();
        let put_back = std::mem::take(&mut self.letters.put_back);
        let is_meant = |slot: &Slot| is_put_back(slot, &put_back);
        self.main.window.take_out(is_meant);
        for held in self.held.values_mut() {
            held.lane.window.take_out(is_meant);
        }
        refused
    }

    /// What was put back and is not settled, in the order of the spool.
    pub(super) fn unsettled_put_back(&self) -> Vec<Refused> {
        let put_back = &self.letters.put_back;
        if put_back.is_empty() {
            return Vec::new();
        }
        let lanes = self.held.values().map(|held| &held.lane);
        let slots = std::iter::once(&self.main).chain(lanes).flat_map(|lane| lane.window.iter());
        let slots = slots.filter(|slot| !slot.state.is_done() && is_put_back(slot, put_back));
        let refused = slots.filter_map(|slot| {
            let Carries::DeadLetter { reason, .. } = slot.carries else { return None };
            let topic = slot.belongs_to.map(|topic| self.topics.get(topic).name.clone());
            let error = slot.error.as_deref().unwrap_or_default().into();
            Some(Refused { position: slot.position, topic, reason: reason.into(), error })
        });
        let mut refused: Vec<_> = refused.collect();
        refused.sort_by_key(|refused| refused.position);
        refused
    }

    /// How far `lane` is delivered, beside what was put back: that lies before the place where it began.
    pub(super) fn low_behind_put_back(&self, lane: &Lane) -> Position {
        let put_back = &self.letters.put_back;
        if put_back.is_empty() {
            return lane.low();
        }
        let mut slots = lane.window.iter();
        let owed = slots.find(|slot| !slot.state.is_done() && !is_put_back(slot, put_back));
        owed.map_or(lane.next(), |slot| slot.position)
    }

    /// A dead letter was written: the others may follow. Only when none is left waiting is the
    /// trouble over, since the topic may have another partition that is in trouble still.
    pub(super) fn letter_arrived(&mut self) {
        self.letters.asks_at = None;
        self.letters.pauses.reset();
        let on_their_way = self.topics.get(self.dead_letters).outstanding > 0;
        if self.letters.is_empty() && !on_their_way {
            self.letters.since = None;
            if std::mem::replace(&mut self.letters.told, Told::Nothing) != Told::Nothing {
                let topic = &self.settings.dead_letter_topic;
                tracing::info!(source = %self.spool.source(), topic, "writing dead letters resumed");
            }
        }
    }

    pub(super) fn show_waiting(&self) {
        let source = self.spool.source().as_str();
        let waiting = self.letters.waiting.len() as i64;
        self.metrics.dead_letters_waiting.with_label_values(&[source]).set(waiting);
    }
}
