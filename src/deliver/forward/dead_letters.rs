//! The queue before the dead-letter topic.
//!
//! A failure of that topic may pass like that of any other topic, while an event in quarantine needs an operator. So
//! while the topic cannot be written, refused events wait in the windows of their lanes, which go on; one
//! dead letter at a time is a probe. Refused events go to quarantine when
//!
//! - they have waited for `forward.quarantine_after` of a cluster that answers, or
//! - they would take the room of the others (while the cluster is away, the lanes rest instead).
//!
//! Events that an earlier process had passed, and named in its checkpoint, are put back to wait. They lie before the
//! position where their lanes began. No lane reads them again: a lane that goes back leaves them where they are, or it
//! would repeat the events delivered behind them. For the same reason the checkpoints name them, in both modes, until
//! they are settled.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use prometheus::IntGauge;

use super::{
    FIRST_PAUSE, MAIN_LANE, Now, Settings,
    lane::Lane,
    lanes::Lanes,
    out::Out,
    refusal::{Stage, reason_named},
    topics::{TopicId, Topics},
    window::{Carries, MAX_SLOTS, RECORD_OVERHEAD, Slot, State},
};
use crate::{
    deliver::checkpoint::Refused,
    kafka::produce::{Sink, Token, TopicState},
    observe::metrics::Metrics,
    runtime::retry::Retry,
    source::SourceName,
    spool::{Next, ReadError, Reader, Spool, StoredDelivery, position::Position},
};

/// Longest pause before the failing topic is tried again: other events wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A refused event that waits in its lane's window: to become a dead letter, or to go to quarantine.
pub(super) struct Waiting {
    pub token: Token,
    pub reason: &'static str,
    pub error: String,
    pub stage: Stage,
    /// The refusal is from an earlier process, or from before a rewind: the event's id has to be claimed again.
    pub must_reclaim: bool,
}

impl Waiting {
    /// An event whose record was refused just now.
    pub fn new(token: Token, reason: &'static str, error: String, stage: Stage) -> Self {
        Self { token, reason, error, stage, must_reclaim: false }
    }
}

/// The refused events that wait for the dead-letter topic, and the state of that topic.
pub(super) struct DeadLetterQueue {
    source: SourceName,
    topic: String,
    id: TopicId,
    quarantine_after: Duration,
    /// Limit of waiting events.
    most: usize,
    waiting: VecDeque<Waiting>,
    /// Positions of events that were put back.
    put_back: BTreeSet<Position>,
    /// Reads waiting events again, in the order in which they wait.
    reader: Option<Reader>,
    /// The delivery that `reader` has read last.
    current: Option<StoredDelivery>,
    /// Whether the topic was looked up since the start, and the answer logged.
    is_looked_up: bool,
    /// Set while dead letters fail: only one at a time is on its way, and none before this time.
    probe_at: Option<Instant>,
    /// Since when dead letters have been waiting without a break.
    since: Option<Instant>,
    reported: Reported,
    pauses: Retry,
    gauge: IntGauge,
}

/// The part of the failure that was logged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reported {
    Nothing,
    TheyWait,
    TheyAreQuarantined,
}

/// Fate of a refused event while dead letters cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It waits in its lane's window, and the lane goes on.
    Waits,
    /// There is no room for it, and the cluster is away anyway: its lane waits.
    NoRoom,
    /// It goes to quarantine.
    Quarantine,
}

impl DeadLetterQueue {
    /// `most` may wait at once, but never more than fit into an eighth of the window: less than any lane's share of it.
    pub fn new(
        id: TopicId,
        most: usize,
        settings: &Settings,
        spool: &Spool,
        metrics: &Metrics,
    ) -> Self {
        let source = spool.source().clone();
        let fit = settings.window_bytes / 8 / RECORD_OVERHEAD + 1;
        Self {
            topic: settings.dead_letter_topic.clone(),
            id,
            quarantine_after: settings.quarantine_after,
            most: most.min(fit),
            waiting: VecDeque::new(),
            put_back: BTreeSet::new(),
            reader: None,
            current: None,
            is_looked_up: false,
            probe_at: None,
            since: None,
            reported: Reported::Nothing,
            pauses: Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE),
            gauge: metrics.dead_letters_waiting.with_label_values(&[source.as_str()]),
            source,
        }
    }

    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether dead letters cannot be written, as far as is known.
    pub fn is_failing(&self) -> bool {
        self.probe_at.is_some()
    }

    pub fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    pub fn push_front(&mut self, waiting: Waiting) {
        self.waiting.push_front(waiting);
    }

    pub fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Forgets all waiting events, for lanes that go back and come to them again.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Reads the delivery of a waiting event. Several events of one delivery read it once.
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

    /// Frees the memory of the last delivery and its segment, once no event waits.
    pub fn stop_reading(&mut self) {
        if self.waiting.is_empty() {
            self.reader = None;
            self.current = None;
        }
        self.show();
    }

    pub fn show(&self) {
        self.gauge.set(self.waiting.len() as i64);
    }

    /// Has the dead-letter topic made before the first event is refused, so that a failure shows
    /// while nothing depends on it.
    pub fn look_up_topic<S: Sink>(&mut self, out: &mut Out<S>) {
        if self.is_looked_up {
            return;
        }
        match out.topic_state(&self.topic) {
            TopicState::Pending => return,
            TopicState::Ready | TopicState::OverLimit => {}
            TopicState::Unavailable(why) => tracing::warn!(
                source = %self.source,
                topic = self.topic,
                why,
                "cannot write dead letters at the moment",
            ),
        }
        self.is_looked_up = true;
    }

    /// Whether no dead letter may be sent now.
    pub fn rests(&self, topics: &Topics, now: Now) -> bool {
        let is_on_its_way = topics.outstanding_of(self.id) > 0;
        self.probe_at.is_some_and(|at| is_on_its_way || now.instant < at)
    }

    /// Decides about a refused event that cannot be a dead letter now.
    pub fn stay<S: Sink>(&self, lanes: &Lanes, out: &Out<S>, now: Now) -> Stay {
        // A waiting event keeps all settled slots behind it in the window.
        let has_room =
            self.waiting.len() < self.most && lanes.main().window().len() < MAX_SLOTS / 2;
        let is_too_long = self
            .since
            .is_some_and(|since| out.link().answering_time(since, now) > self.quarantine_after);
        match (has_room, is_too_long) {
            (true, false) => Stay::Waits,
            (false, _) if out.cluster_is_away() => Stay::NoRoom,
            (true | false, _) => Stay::Quarantine,
        }
    }

    /// Rests because it is not known yet whether the dead-letter topic can be written.
    pub fn look_up_later(&mut self, pause: Duration, now: Now) {
        self.rest(now, pause);
    }

    fn rest(&mut self, now: Now, pause: Duration) {
        self.probe_at = Some(now.instant + pause);
        self.since.get_or_insert(now.instant);
    }

    /// Whether another one of the same batch has failed already.
    pub fn failed_just_now(&self, now: Now) -> bool {
        self.probe_at.is_some_and(|at| now.instant < at)
    }

    /// Notes that a dead letter could not be written, for a reason that may pass.
    pub fn failed<S: Sink>(&mut self, why: &str, lanes: &Lanes, out: &Out<S>, now: Now) {
        // Dead letters that were on their way together fail together: one pause for all.
        if !self.failed_just_now(now) {
            let pause = self.pauses.next_delay();
            self.rest(now, pause);
        }
        let is_too_long = self.stay(lanes, out, now) == Stay::Quarantine;
        let (reported, what) = match self.reported {
            Reported::Nothing if !is_too_long => (Reported::TheyWait, "refused events wait for it"),
            Reported::Nothing | Reported::TheyWait if is_too_long => {
                (Reported::TheyAreQuarantined, "refused events go to the quarantine folder")
            }
            _ => return,
        };
        self.reported = reported;
        tracing::error!(
            source = %self.source,
            topic = self.topic,
            why,
            quarantine_after_seconds = self.quarantine_after.as_secs(),
            "cannot write dead letters: {what}",
        );
    }

    /// Notes that a dead letter was written: the others may follow. The failure is over only when none is left waiting,
    /// since another partition of the topic may still fail.
    pub fn arrived(&mut self, topics: &Topics) {
        self.probe_at = None;
        self.pauses.reset();
        if !self.is_empty() || topics.outstanding_of(self.id) > 0 {
            return;
        }
        self.since = None;
        if std::mem::replace(&mut self.reported, Reported::Nothing) != Reported::Nothing {
            tracing::info!(source = %self.source, topic = self.topic, "writing dead letters resumed");
        }
    }

    /// Notes that every event at hand is finished: the next failure is a new one.
    pub fn caught_up(&mut self) {
        self.since = None;
    }

    /// Lets refused events that a checkpoint has passed wait for the dead-letter topic again.
    pub fn put_back(
        &mut self,
        refused: &[Refused],
        lanes: &mut Lanes,
        topics: &mut Topics,
        now: Now,
    ) {
        self.put_back = refused.iter().map(|refused| refused.position).collect();
        for Refused { position, topic, reason, error } in refused {
            let topic = topic.as_deref().map(|topic| topics.enter(topic));
            let lane = topic.and_then(|topic| lanes.held(topic));
            let lane = lane.map_or(MAIN_LANE, |held| held.lane().id());
            let Some(token) = lanes.next_token(lane) else { continue };
            let reason = reason_named(reason);
            let slot = Slot {
                position: *position,
                topic: self.id,
                belongs_to: topic,
                identity: None,
                rests_on: None,
                size: RECORD_OVERHEAD,
                since: now.instant,
                received_at: 0,
                turn: 0,
                carries: Carries::DeadLetter { reason, pointer: false },
                state: State::Refused,
                error: Some(error.as_str().into()),
            };
            lanes.push(lane, slot);
            let waiting = Waiting::new(token, reason, error.clone(), Stage::DeadLetter);
            self.push(Waiting { must_reclaim: true, ..waiting });
        }
        self.show();
    }

    /// Takes the unsettled events that were put back out of the windows, so that they can be put back once more.
    pub fn take_put_back(&mut self, lanes: &mut Lanes, topics: &Topics) -> Vec<Refused> {
        let refused = self.unsettled_put_back(lanes, topics);
        let put_back = std::mem::take(&mut self.put_back);
        lanes.take_out(|slot| is_put_back(slot, &put_back));
        refused
    }

    /// The unsettled events that were put back, in the order of the spool.
    pub fn unsettled_put_back(&self, lanes: &Lanes, topics: &Topics) -> Vec<Refused> {
        if self.put_back.is_empty() {
            return Vec::new();
        }
        let owed = lanes.slots().filter(|slot| !slot.state.is_done());
        let refused = owed.filter(|slot| is_put_back(slot, &self.put_back)).filter_map(|slot| {
            let Carries::DeadLetter { reason, .. } = slot.carries else { return None };
            let error = slot.error.as_deref().unwrap_or_default();
            Some(refused(slot, topics, reason, error.into()))
        });
        in_order(refused.collect())
    }

    /// How far `lane` is delivered, without the events that were put back: they lie before the position where it began.
    pub fn low_of(&self, lane: &Lane) -> Position {
        if self.put_back.is_empty() {
            return lane.low();
        }
        let owed = lane.owed().find(|slot| !is_put_back(slot, &self.put_back));
        owed.map_or(lane.next(), |slot| slot.position)
    }

    /// All waiting events, with at most `error_length` characters of their errors.
    pub fn named(&self, error_length: usize, lanes: &Lanes, topics: &Topics) -> Vec<Refused> {
        let named = self.waiting.iter().filter_map(|waiting| {
            let slot = lanes.slot(waiting.token)?;
            let error = waiting.error.chars().take(error_length).collect();
            Some(refused(slot, topics, waiting.reason, error))
        });
        in_order(named.collect())
    }
}

fn is_put_back(slot: &Slot, put_back: &BTreeSet<Position>) -> bool {
    !slot.carries.is_event() && put_back.contains(&slot.position)
}

fn refused(slot: &Slot, topics: &Topics, reason: &str, error: String) -> Refused {
    let topic = slot.belongs_to.map(|topic| topics.name(topic).to_owned());
    Refused { position: slot.position, topic, reason: reason.into(), error }
}

fn in_order(mut refused: Vec<Refused>) -> Vec<Refused> {
    refused.sort_by_key(|refused| refused.position);
    refused
}

#[cfg(test)]
mod tests;
