//! The back half: from the spool to Kafka, one forwarder a source.
//!
//! [`Forwarder::step`] is the whole story: settle what the sink answered, let held topics come back,
//! move the main lane on, save the checkpoint (`checkpoint.rs`). Everything is synchronous and time is
//! an argument, so a thread drives it in production and a simulation drives it in tests.
//!
//! What it promises: I2 (each event ends on its topic, as a dead letter or in quarantine, and the
//! checkpoint never passes one that has not), I4 (order within topic and key), I8 (a topic or event
//! in trouble stops no other). How trouble is met:
//!
//! - The sink retries whatever is the cluster's trouble; the window fills and the lane waits.
//! - A topic that fails by itself is held (`held.rs`) and comes back on a lane of its own.
//! - An event that is refused for good becomes a dead letter (`refuse.rs`; `rejected.rs` where it was
//!   sent before); while that can't be written it waits, and in the end it goes to quarantine
//!   (`letters.rs`); if that can't be written either, the source waits.
//! - An event that another source, or an earlier delivery, has brought already is passed over
//!   (`deduplicate`).
//! - When records behind a failed one may still be sent, everything unsent is taken back, what is in
//!   flight is waited for, the producer is replaced and the lanes go back to their oldest unsettled
//!   event (`reset.rs`). What was delivered meanwhile is remembered and not sent again.
//! - A path that is slow is no trouble of any topic: what is on its way is bounded by time (`pace.rs`), and
//!   the time for which a broker has the client wait counts against none (`throttled.rs`).
//!
//! Exactly-once delivery (`transaction.rs`) has the same lanes; any trouble takes them back to the last
//! commit (`abort.rs`), and a topic in trouble is asked in a transaction of its own (`asking.rs`).

mod abort;
mod ahead;
mod asking;
mod catch_up;
mod checkpoint;
mod held;
mod lane;
mod lanes;
mod letters;
mod over_limit;
mod pace;
mod passed;
mod pump;
mod quarantine;
mod refuse;
mod rejected;
mod reset;
mod settle;
mod spans;
mod start;
mod take;
mod thread;
mod throttled;
mod topics;
mod transaction;
mod window;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    ahead::SettledAhead,
    held::{HeldTopic, Phase},
    lane::Lane,
    letters::Letters,
    over_limit::OverLimit,
    pace::Pace,
    reset::{GoingBack, Trouble},
    spans::Spans,
    throttled::Throttled,
    topics::{TopicId, Topics},
    transaction::Transaction,
    window::LaneId,
};
use crate::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointError, CheckpointFile, Held},
        decode::Rules,
        deduplicate::Claims,
        encode::{Encoder, Mode},
        quarantine::Quarantine,
        route::Router,
    },
    event::Decoded,
    kafka::produce::{Outcome, Sink, Token},
    observe::{metrics::Metrics, traces::Traces},
    runtime::retry::Retry,
    source::{Origin, SourceKind, UnixMillis},
    spool::{ReadError, Spool, position::Position},
};

pub use start::Start;
pub use thread::{now, run};
pub use transaction::Transactions;

/// The main lane's id; held topics get the others.
const MAIN: LaneId = 0;

/// A cluster that has said nothing for this long counts as away: nobody is to blame but the cluster.
const CLUSTER_SILENCE: Duration = Duration::from_secs(5);

/// How long a topic in trouble is left alone before it is tried again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a forwarder is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kind: SourceKind,
    /// How records carry events.
    pub mode: Mode,
    pub dead_letter_topic: String,
    /// A topic without progress for this long, while the cluster answers, is held.
    pub hold_after: Duration,
    /// Most topics held at once; beyond it the source waits.
    pub held_topics: usize,
    /// Refused events wait this long for a dead-letter topic that can't be written.
    pub quarantine_after: Duration,
    /// Bytes of records that may be on their way at most; less while they are acknowledged slowly.
    pub window_bytes: usize,
    /// For exactly-once delivery, through a sink that is transactional.
    pub transactions: Option<Transactions>,
}

/// What a forwarder works with.
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

/// Whether a step changed anything; if not, the caller may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Moved,
    /// Everything that is durable was looked at; what is on its way may still be.
    CaughtUp,
    /// There is more to read, but not now: the window is full, or a topic or the disk must come back.
    Waiting,
}

/// Why a step stopped. Nothing is lost by it: the step can be tried again.
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
    /// Whether trying again can't help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Read(_) | Self::Quarantine(_) => false,
            Self::Checkpoint(error) => error.needs_a_person(),
            Self::Fenced { .. } | Self::AheadOfSpool { .. } => true,
        }
    }
}

/// Forwards one spool through one sink.
pub struct Forwarder<S> {
    settings: Settings,
    spool: Spool,
    sink: S,
    rules: Arc<Rules>,
    router: Router,
    encoder: Encoder,
    /// Of the delivery that is dealt with, for its dead letters.
    origin: Origin,
    quarantine: Quarantine,
    checkpoint: CheckpointFile,
    claims: Claims,
    metrics: Metrics,

    main: Lane,
    held: BTreeMap<TopicId, HeldTopic>,
    lanes: BTreeMap<LaneId, TopicId>,
    last_lane: LaneId,
    topics: Topics,
    dead_letters: TopicId,
    settled_ahead: SettledAhead,
    letters: Letters,
    /// In at-least-once delivery alone.
    over_limit: OverLimit,
    /// Topics that failed with other records of theirs still on the way; met by a reset.
    troubled: BTreeMap<TopicId, Trouble>,
    needs_reset: bool,
    /// A reset is under way: what is in flight is waited for, and nothing is sent.
    going_back: Option<GoingBack>,
    pace: Pace,
    throttled: Throttled,
    /// Bytes of records that may be on their way now.
    window_bytes: usize,
    /// Of these on their way, what topics have that are not answered while others are.
    silent_bytes: usize,

    /// The main lane rests until then: a topic should be held, and too many are.
    paused_until: Option<Instant>,
    pauses: Retry,
    /// The event whose topic is being created, and since when the main lane waits for it.
    creating: Option<(Position, Instant)>,
    /// Since when the cluster has been answering without a long silence.
    cluster_alive_since: Option<Instant>,
    /// In exactly-once delivery alone.
    transaction: Option<Transaction>,
    saved: Checkpoint,
    saved_at: Option<Instant>,
    outcomes: Vec<(Token, Outcome)>,
    topic_name: String,
    /// Memory for the events of the next delivery.
    events: Vec<Decoded<'static>>,
    spans: Spans,
}

impl<S: Sink> Forwarder<S> {
    /// Takes up where `start` (or, without any, the spool's beginning) left off.
    pub fn new(settings: Settings, parts: Parts<S>, start: &Start, now: Now) -> Self {
        let Parts { spool, sink, rules, router, checkpoint, quarantine, claims, metrics } = parts;
        let saved = start.checkpoint().unwrap_or_else(|| Checkpoint::beginning(spool.id()));
        let (saved, again) = saved.for_routing(&routing(&router, &rules));
        if again {
            tracing::warn!(
                source = %spool.source(), from = %saved.low,
                "topics were held and the routing was changed: everything since the oldest event of \
                 theirs is delivered again",
            );
        }
        let mut topics = Topics::new(spool.source().clone(), metrics.clone());
        let dead_letters = topics.enter(&settings.dead_letter_topic);
        let transactions = settings.transactions.clone();
        let transaction = transactions
            .map(|settings| Transaction::new(settings, saved.clone(), start.found.as_ref()));
        let mut forwarder = Self {
            main: Lane::new(MAIN, spool.reader(saved.low.sequence), saved.low),
            encoder: Encoder::new(settings.mode),
            origin: Origin::Sender,
            pace: Pace::new(settings.hold_after),
            throttled: Throttled::new(settings.hold_after),
            window_bytes: settings.window_bytes,
            silent_bytes: 0,
            settings,
            sink,
            rules,
            router,
            quarantine,
            checkpoint,
            claims,
            metrics,
            held: BTreeMap::new(),
            lanes: BTreeMap::new(),
            last_lane: MAIN,
            topics,
            dead_letters,
            settled_ahead: SettledAhead::default(),
            letters: Letters::new(),
            over_limit: OverLimit::default(),
            troubled: BTreeMap::new(),
            needs_reset: false,
            going_back: None,
            paused_until: None,
            pauses: Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE),
            creating: None,
            cluster_alive_since: None,
            transaction,
            saved_at: None,
            outcomes: Vec::new(),
            topic_name: String::new(),
            events: Vec::new(),
            spans: Spans::default(),
            spool,
            saved: saved.clone(),
        };
        for Held { topic, position } in saved.held {
            let topic = forwarder.topics.enter(&topic);
            forwarder.open_lane(topic, position, Phase::Probing, "held before the restart");
        }
        forwarder.put_back_refused(&saved.refused, now);
        forwarder.remember_what_was_committed(start, now);
        forwarder
    }

    /// The same, which makes spans.
    pub fn traced(self, traces: Traces) -> Self {
        Self { spans: Spans::new(traces), ..self }
    }

    /// One round of work. Waits at most `patience` for the sink when there is nothing else to do.
    pub fn step(&mut self, now: Now, patience: Duration) -> Result<Progress, ForwardError> {
        let worked = self.work(now, patience);
        // Also when something is in the way: what was settled before frees space on the disk.
        let saved = self.save_checkpoint_now_and_then(now);
        // What stops the work comes first: that another instance goes on must not be forgotten for a disk's sake.
        let progress = worked?;
        saved?;
        Ok(progress)
    }

    fn work(&mut self, now: Now, patience: Duration) -> Result<Progress, ForwardError> {
        self.look_at_dead_letter_topic();
        let settled = self.settle(now, patience)?;
        if self.going_back.is_some() {
            return Ok(Progress::Waiting);
        }
        if let Some(progress) = self.end_transaction(now)? {
            return Ok(progress);
        }
        let resumed = self.resume_held_topics(now);
        let advanced = self.advance(now)?;
        if advanced == Progress::CaughtUp && self.nothing_is_on_its_way() && self.owes_nothing() {
            self.letters.nobody_waits();
        }
        Ok(if settled || resumed { Progress::Moved } else { advanced })
    }

    /// Like [`Forwarder::step`], but takes nothing new: for a stop. `true` when nothing is on its
    /// way any more.
    pub fn finish(&mut self, now: Now, patience: Duration) -> Result<bool, ForwardError> {
        let settled = self.settle(now, patience);
        let saved = self.save_checkpoint_now_and_then(now);
        settled?;
        saved?;
        if self.transaction.is_some() {
            return self.finish_transaction(now);
        }
        // What waits for the dead-letter topic is read again after the next start.
        let refused = self.letters.is_empty() || self.letters.are_in_trouble();
        Ok(self.topics.outstanding() == 0 && refused)
    }

    /// Records that the sink has and has not answered.
    pub fn outstanding(&self) -> usize {
        self.topics.outstanding()
    }

    /// Whether nothing is on its way, and nothing waits for a commit.
    fn is_at_rest(&self) -> bool {
        let uncommitted = self.transaction.as_ref().is_some_and(|it| !it.is_empty());
        self.outstanding() == 0 && !uncommitted
    }

    /// Whether every durable event is settled, those of held topics included.
    pub fn is_drained(&self) -> bool {
        let everything = Position::start_of(self.spool.durable_end());
        let all = self.held.is_empty() && self.main.low() >= everything && self.letters.is_empty();
        all && self.transaction.as_ref().is_none_or(|it| it.is_empty() && !self.has_moved())
    }

    /// The first delivery that the main lane has not looked at.
    pub fn next_sequence(&self) -> u64 {
        self.main.next().sequence
    }

    /// Whether the cluster has been silent for so long that waiting for it is pointless.
    pub fn cluster_is_away(&self) -> bool {
        self.sink.cluster_silence().is_none_or(|silence| silence > CLUSTER_SILENCE)
    }
}

/// Names what decides about topics; another text for what may name an event's topic otherwise.
fn routing(router: &Router, rules: &Rules) -> String {
    format!("{:08x}", crc32c::crc32c(format!("{router:?} {rules:?}").as_bytes()))
}
