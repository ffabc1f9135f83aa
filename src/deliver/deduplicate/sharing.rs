//! Ids that replicas tell each other: each puts the digests of what it has settled on a topic, and takes those of the others
//! into its index, as ids that another replica has settled.
//!
//! Its promises:
//!
//! - **Nothing is told before it is settled**: acknowledged on its topic, or as a dead letter with its original; in
//!   exactly-once delivery committed. What is in quarantine is told to none: it lies on one volume. So passing an event
//!   over for another replica's sake rests on Kafka alone.
//! - **What a replica has told itself is not news to it**, nor is what replicas with other topics tell ([`Scope`]).
//! - **It holds up nothing.** Notices wait in a queue of bounded size, where the oldest give way, and are part of no
//!   transaction (decision 29).
//!
//! It knows no Kafka: who moves notices is the service's to say (`service/sharing.rs`).

mod notice;
mod telling;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use uuid::Uuid;

pub use self::notice::Scope;
use self::notice::Unreadable;
pub(super) use self::telling::Telling;
use super::{Deduplicator, identity::Digest, index::Owner};
use crate::{observe::metrics::Metrics, source::UnixMillis};

/// Bytes of the notices that wait, at most: some 250,000 digests.
const WAITING_BYTES: usize = 4 << 20;

/// The reason to pass by a notice of another scope, as metrics have it.
const OTHER_TOPICS: &str = "other-topics";

/// Digests that are put into the index before another thread may have it.
const AT_A_TIME: usize = 256;

/// A record for the topic of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The UUID of the source's spool, as text.
    pub key: String,
    pub value: Vec<u8>,
    pub ids: usize,
}

/// One replica's part in it, shared by its sources.
pub struct Sharing {
    of: Arc<Deduplicator>,
    topic: String,
    scope: Scope,
    /// Bytes of a notice at most.
    most: usize,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    /// The spools of this process.
    own: HashSet<Uuid>,
    waiting: VecDeque<Notice>,
    waiting_bytes: usize,
    /// Whether a record that cannot be read was logged, and one of another scope.
    has_warned: bool,
    has_warned_of_scope: bool,
}

impl Sharing {
    /// Notices on `topic` have at most `most` bytes.
    pub fn new(
        of: &Arc<Deduplicator>,
        topic: &str,
        scope: Scope,
        most: usize,
        metrics: &Metrics,
    ) -> Arc<Self> {
        for why in Unreadable::ALL.map(Unreadable::as_str).into_iter().chain([OTHER_TOPICS]) {
            metrics.shared_ids_passed_by.with_label_values(&[why]);
        }
        Arc::new(Self {
            of: of.clone(),
            topic: topic.into(),
            scope,
            most,
            state: Mutex::default(),
            metrics: metrics.clone(),
        })
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Digests that may be of use at all: what is beyond that is forgotten for what comes behind it.
    pub fn most_ids(&self) -> usize {
        self.of.settings.ids
    }

    /// A spool of this process: what it has told is no news.
    pub(super) fn is_own(&self, spool: Uuid) {
        self.state.lock().own.insert(spool);
    }

    /// These are settled, of the source with this spool: others are told as soon as it can be.
    pub(super) fn tell(&self, spool: Uuid, digests: &[Digest], at: UnixMillis) {
        let mut state = self.state.lock();
        for digests in digests.chunks(notice::digests_in(self.most)) {
            let value = notice::spell(self.scope, spool, at, digests);
            state.waiting_bytes += value.len();
            state.waiting.push_back(Notice { key: spool.to_string(), value, ids: digests.len() });
        }
        while state.waiting_bytes > WAITING_BYTES {
            let Some(oldest) = state.waiting.pop_front() else { break };
            state.waiting_bytes -= oldest.value.len();
            self.metrics.shared_ids_unsent.inc_by(oldest.ids as u64);
        }
    }

    /// Takes the notice to be sent next.
    pub fn take_next(&self) -> Option<Notice> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front()?;
        state.waiting_bytes -= next.value.len();
        Some(next)
    }

    /// A notice with so many ids is on the topic, or will never be.
    pub fn was_sent(&self, ids: usize, is_sent: bool) {
        let metric = match is_sent {
            true => &self.metrics.shared_ids_sent,
            false => &self.metrics.shared_ids_unsent,
        };
        metric.inc_by(ids as u64);
    }

    /// A record of the topic. What cannot be read is passed by: repeats of it may be delivered again.
    pub fn take_in(&self, value: &[u8], now: UnixMillis) {
        let notice = match notice::read(value) {
            Ok(notice) => notice,
            Err(why) => return self.pass_by(why.as_str()),
        };
        if self.state.lock().own.contains(&notice.spool) {
            return;
        }
        if notice.scope != self.scope {
            return self.pass_by_other_scope();
        }
        let owner = Owner::settled_before(self.of.others());
        let (mut ids, mut index) = (0, self.of.index(now));
        for digest in notice.digests() {
            if ids > 0 && ids % AT_A_TIME == 0 {
                drop(index);
                index = self.of.index(now);
            }
            // A clock that was wrong counts as now.
            index.claim(self.of.key.id_of_digest(digest), owner, notice.at.min(now));
            ids += 1;
        }
        self.metrics.deduplicate_ids.set(index.len() as i64);
        self.metrics.shared_ids_read.inc_by(ids as u64);
    }

    fn pass_by(&self, why: &'static str) {
        self.metrics.shared_ids_passed_by.with_label_values(&[why]).inc();
        if !std::mem::replace(&mut self.state.lock().has_warned, true) {
            tracing::warn!(
                topic = self.topic,
                why,
                "records on the topic of ids cannot be read; repeats of these events may be delivered again. A replica \
                 of another version has written them, or a program that must not write to this topic",
            );
        }
    }

    fn pass_by_other_scope(&self) {
        self.metrics.shared_ids_passed_by.with_label_values(&[OTHER_TOPICS]).inc();
        if !std::mem::replace(&mut self.state.lock().has_warned_of_scope, true) {
            tracing::warn!(
                topic = self.topic,
                "a replica with other topics (topics.name, topics.dead_letter, topics.lead_state) tells its ids here; \
                 they are passed by, since its events are on its own topics. Give it another topics.ids, unless it is \
                 a replica whose configuration has just changed",
            );
        }
    }
}
