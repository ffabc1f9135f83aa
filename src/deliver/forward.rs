//! The back half: from the spool to Kafka, one forwarder a source.
//!
//! [`Forwarder::step`] is the whole story: settle the sink's answers, let held topics resume, move the main lane
//! on, save the checkpoint. Everything is synchronous and time is an argument, so a thread drives it in production
//! and a simulation drives it in tests.
//!
//! Its state has owners, which take each other as arguments: the source and its spool (`source.rs`), the sink and its
//! topics (`out.rs`), the lanes (`lanes.rs`), the queue of dead letters (`dead_letters.rs`), the checkpoint on the disk
//! (`saved.rs`). The differences between at least once and exactly once are behind one enum (`guarantee.rs`). An
//! event's way leads through `read.rs`, `dispatch.rs` and, if it cannot go to its topic, `refuse.rs`; the answer to its
//! record comes back through `outcomes.rs`.
//!
//! Promises: I2 (each event ends on its topic, as a dead letter or in quarantine, and the checkpoint never passes an
//! event that has not ended so), I4 (order within topic and key), I8 (a topic or event that fails stops no other).
//! How failures are met:
//!
//! - The sink retries a failure of the cluster; the window fills and the lane waits.
//! - A topic that fails by itself is held (`held.rs`) and comes back on a lane of its own.
//! - An event that is refused for good becomes a dead letter (`refuse.rs`); while that cannot be written it waits, and
//!   in the end it goes to quarantine (`dead_letters.rs`); if that cannot be written either, the source waits.
//! - An event that another source, or an earlier delivery, has brought already is passed over
//!   (`deduplicate`), and so is one that the source does not take (`left_out.rs`).
//! - When records behind a failed one may still be sent, everything unsent is taken back, the records in flight are
//!   waited for, the producer is replaced and the lanes go back to their oldest unsettled event
//!   (`at_least_once/rewind.rs`). Events that were delivered meanwhile are remembered and not sent again.
//! - A slow path is no failure of any topic: the records on their way are bounded by time (`pace.rs`), and
//!   the time for which a broker has the client wait counts against none (`throttled.rs`).
//!
//! Exactly-once delivery (`exactly_once.rs`) has the same lanes; any failure takes them back to the last
//! commit, and a topic that failed is probed in a transaction of its own.

mod acked_ahead;
mod at_least_once;
mod dead_letters;
mod dispatch;
mod exactly_once;
mod guarantee;
mod held;
mod lane;
mod lanes;
mod latency;
mod lead_states;
mod left_out;
mod link;
mod out;
mod outcomes;
mod pace;
mod pauses;
mod read;
mod refusal;
mod refuse;
mod saved;
mod schemas;
mod source;
mod spans;
mod start;
mod thread;
mod throttled;
mod topics;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    at_least_once::AtLeastOnce,
    dead_letters::DeadLetterQueue,
    exactly_once::ExactlyOnce,
    guarantee::Guarantee,
    held::Phase,
    lanes::Lanes,
    out::Out,
    saved::Saved,
    source::{Source, SourceParts},
    spans::Spans,
    window::LaneId,
};
use crate::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointError, CheckpointFile, Held},
        dead_letter::Convention,
        decode::Rules,
        deduplicate::Claims,
        encode::{Mode, choice::Choices},
        in_force::InForce,
        quarantine::Quarantine,
        route::Router,
    },
    kafka::produce::Sink,
    observe::{metrics::Metrics, traces::Traces},
    source::{SourceKind, UnixMillis},
    spool::{ReadError, Spool, position::Position},
};

pub use exactly_once::Transactions;
pub use schemas::Schemas;
pub use start::Start;
pub use thread::{now, run};

/// The id of the main lane; held topics get the other ids.
const MAIN_LANE: LaneId = 0;

/// A cluster without any answer for this long counts as away: no topic is to blame.
const CLUSTER_SILENCE: Duration = Duration::from_secs(5);

/// Shortest and longest pause before a topic that failed is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Settings of one forwarder.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kind: SourceKind,
    /// The form in which records carry events.
    pub mode: Mode,
    /// The form of their values and timestamps.
    pub choices: Choices,
    /// The selections by which events are taken.
    pub selections: InForce,
    pub dead_letter_topic: String,
    /// Other programs whose header names dead letters have beside ours.
    pub dead_letter_headers: Vec<Convention>,
    /// A topic without progress for this long, while the cluster answers, is held.
    pub hold_after: Duration,
    /// Limit of topics held at once; beyond it the source waits.
    pub held_topics: usize,
    /// Refused events wait this long for a dead-letter topic that cannot be written.
    pub quarantine_after: Duration,
    /// Limit of the bytes of records on their way; less while they are acknowledged slowly.
    pub window_bytes: usize,
    /// For exactly-once delivery, through a sink that is transactional.
    pub transactions: Option<Transactions>,
}

/// Resources of one forwarder.
pub struct Parts<S> {
    pub spool: Spool,
    pub sink: S,
    pub rules: Arc<Rules>,
    pub router: Router,
    pub checkpoint: CheckpointFile,
    pub quarantine: Quarantine,
    pub claims: Claims,
    pub metrics: Metrics,
}

/// The time of a step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub unix: UnixMillis,
}

/// Result of a step: whether it changed anything; if not, the caller may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Moved,
    /// Every durable event was looked at; records may still be on their way.
    CaughtUp,
    /// There is more to read, but not now: the window is full, or a topic or the disk must come back.
    Waiting,
}

/// The failure that stopped a step. Nothing is lost by it: the step can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("cannot read the spool: {0}")]
    Read(#[from] ReadError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot write to quarantine: {0}")]
    Quarantine(std::io::Error),
    #[error(
        "{what}: this one stops, since each event is to be delivered once. Let one of them go on, and \
         give the other an empty spool"
    )]
    Fenced { what: String },
    #[error(
        "the topic of checkpoints says that this spool is delivered up to {committed}, and it ends at \
         {end}: it is an older copy. Give it a new identity (an empty folder; what it has is in \
         `millrace replay`), or bring back the newer one"
    )]
    AheadOfSpool { committed: Position, end: u64 },
}

impl ForwardError {
    /// Whether a retry cannot help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Read(_) | Self::Quarantine(_) => false,
            Self::Checkpoint(error) => error.needs_operator(),
            Self::Fenced { .. } | Self::AheadOfSpool { .. } => true,
        }
    }
}

type Result<T, E = ForwardError> = std::result::Result<T, E>;

/// Forwards one spool through one sink.
pub struct Forwarder<S> {
    source: Source,
    out: Out<S>,
    lanes: Lanes,
    dead_letters: DeadLetterQueue,
    guarantee: Guarantee,
    saved: Saved,
    spans: Spans,
}

/// Every owner but the guarantee, lent to it for one call.
struct Owners<'a, S> {
    source: &'a mut Source,
    out: &'a mut Out<S>,
    lanes: &'a mut Lanes,
    dead_letters: &'a mut DeadLetterQueue,
    saved: &'a mut Saved,
}

impl<S: Sink> Forwarder<S> {
    /// Continues from `start`, or from the spool's beginning without one.
    pub fn new(settings: Settings, parts: Parts<S>, start: &Start, now: Now) -> Self {
        let Parts { spool, sink, rules, router, checkpoint, quarantine, claims, metrics } = parts;
        let saved = start.checkpoint().unwrap_or_else(|| Checkpoint::beginning(spool.id()));
        let (saved, again) = saved.for_routing(&source::routing(&router, &rules));
        if again {
            tracing::warn!(
                source = %spool.source(), from = %saved.low,
                "topics were held and the routing was changed: everything since the oldest event of \
                 theirs is delivered again",
            );
        }
        let mut out = Out::new(sink, &settings, &spool, &metrics);
        let dead_letters = out.topics_mut().enter(&settings.dead_letter_topic);
        let guarantee = Guarantee::new(&settings, &saved, start);
        let most = guarantee.most_waiting(out.record_limit());
        let mut forwarder = Self {
            dead_letters: DeadLetterQueue::new(dead_letters, most, &settings, &spool, &metrics),
            lanes: Lanes::new(&spool, saved.low, dead_letters, settings.held_topics, &metrics),
            guarantee,
            out,
            source: Source::new(SourceParts {
                kind: settings.kind,
                selections: settings.selections,
                spool,
                rules,
                router,
                claims,
                quarantine,
                metrics,
            }),
            saved: Saved::new(checkpoint, saved.clone()),
            spans: Spans::default(),
        };
        forwarder.take_up(&saved, start, now);
        forwarder
    }

    /// Restores the held topics and the waiting dead letters from the checkpoint.
    fn take_up(&mut self, saved: &Checkpoint, start: &Start, now: Now) {
        let topics = self.out.topics_mut();
        for Held { topic, position } in &saved.held {
            self.lanes.open(topics.enter(topic), *position, Phase::Probing);
        }
        self.dead_letters.put_back(&saved.refused, &mut self.lanes, topics, now);
        if let Some(committed) = start.unsaved() {
            self.source.take_over_ids(committed, now);
        }
    }

    /// Lets this forwarder make spans.
    pub fn traced(self, traces: Traces) -> Self {
        Self { spans: Spans::new(traces), ..self }
    }

    /// Lets this forwarder look up the schemas of its values.
    pub fn with_schemas(self, schemas: Schemas) -> Self {
        Self { out: self.out.with_schemas(schemas), ..self }
    }

    /// Lets this forwarder send lead states to `topic`.
    pub fn with_lead_states(self, topic: String) -> Self {
        Self { source: self.source.with_lead_states(topic), ..self }
    }

    fn split(&mut self) -> (&mut Guarantee, Owners<'_, S>) {
        let Self { source, out, lanes, dead_letters, guarantee, saved, .. } = self;
        (guarantee, Owners { source, out, lanes, dead_letters, saved })
    }

    /// Does one round of work. Waits at most `patience` for the sink when there is nothing else to do.
    pub fn step(&mut self, now: Now, patience: Duration) -> Result<Progress> {
        let worked = self.work(now, patience);
        self.report_settled();
        // Also after a failure: events that were settled before it free space on the disk.
        let saved = self.save_when_due(now);
        // The failure of the work comes first: a full disk must not hide that another instance has taken over.
        let progress = worked?;
        saved?;
        Ok(progress)
    }

    fn work(&mut self, now: Now, patience: Duration) -> Result<Progress> {
        self.dead_letters.look_up_topic(&mut self.out);
        let settled = self.settle(now, patience)?;
        // Before more is read and sent: a request may wait for these answers.
        self.report_settled();
        let (guarantee, mut owners) = self.split();
        if let Some(progress) = guarantee.goes_first(&mut owners, now)? {
            return Ok(progress);
        }
        let resumed = self.resume_held(now);
        let advanced = self.advance(now)?;
        if advanced == Progress::CaughtUp && self.is_idle() {
            self.dead_letters.caught_up();
        }
        Ok(if settled || resumed { Progress::Moved } else { advanced })
    }

    /// Does what [`Forwarder::step`] does, but takes nothing new: for a stop. `true` when nothing is on its
    /// way any more.
    pub fn finish(&mut self, now: Now, patience: Duration) -> Result<bool> {
        let settled = self.settle(now, patience);
        self.report_settled();
        let saved = self.save_when_due(now);
        settled?;
        saved?;
        let (guarantee, mut owners) = self.split();
        let finished = guarantee.finish(&mut owners, now);
        self.report_settled();
        finished
    }

    /// Reports to the spool how far its deliveries are settled: the checkpoint says so later.
    fn report_settled(&mut self) {
        self.source.is_settled_up_to(self.guarantee.settled_end(&self.lanes));
    }

    /// The checkpoint that a save would write now; in exactly-once delivery the committed one.
    pub fn position(&self) -> Checkpoint {
        let topics = self.out.topics();
        self.guarantee.position(&self.lanes, &self.dead_letters, topics, &self.saved)
    }

    /// Brings the checkpoint on the disk up to date with the delivered events.
    pub fn save_checkpoint(&mut self, now: Now) -> Result<()> {
        let (guarantee, mut owners) = self.split();
        guarantee.save(&mut owners, now)
    }

    fn save_when_due(&mut self, now: Now) -> Result<()> {
        // A checkpoint says how far the spool goes, too, and is not written while nothing moves.
        self.source.spool().note_end(now.instant);
        if self.saved.is_due(now) { self.save_checkpoint(now) } else { Ok(()) }
    }

    /// Counts the records that the sink has not answered.
    pub fn outstanding(&self) -> usize {
        self.out.topics().outstanding()
    }

    /// Whether nothing is on its way, and nothing waits for a commit.
    fn is_at_rest(&self) -> bool {
        self.outstanding() == 0 && self.guarantee.is_empty()
    }

    /// Whether every event that the lanes have looked at is settled, and none has to be looked at again.
    fn is_idle(&self) -> bool {
        self.lanes.are_idle() && self.lanes.are_level() && self.has_committed_all()
    }

    fn has_committed_all(&self) -> bool {
        self.guarantee.is_drained(&self.lanes, &self.dead_letters, self.out.topics())
    }

    /// Whether every durable event is settled, those of held topics included.
    pub fn is_drained(&self) -> bool {
        let everything = Position::start_of(self.source.spool().durable_end());
        self.lanes.len_held() == 0
            && self.lanes.main().low() >= everything
            && self.dead_letters.is_empty()
            && self.has_committed_all()
    }

    /// Whether a repeat rests on an event that another source has to settle; this forwarder is not woken for that.
    fn rests_on_others(&mut self) -> bool {
        self.source.rests_on_others()
    }

    /// The first delivery that the main lane has not looked at.
    pub fn next_sequence(&self) -> u64 {
        self.lanes.main().next().sequence
    }

    /// Whether the cluster has been silent for so long that waiting for it is pointless.
    pub fn cluster_is_away(&self) -> bool {
        self.out.cluster_is_away()
    }
}

#[cfg(test)]
mod tests;
