//! The topics of one forwarder, interned, each with its state.

use std::{collections::HashMap, time::Duration};

use prometheus::IntCounter;

use super::{FIRST_PAUSE, LONGEST_PAUSE, pace::Pace};
use crate::{
    event::Stream, observe::metrics::Metrics, runtime::retry::Retry, source::SourceName,
    spool::position::Position,
};

/// A topic's place in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TopicId(u32);

/// A topic counts as silent once others are answered and it is not, for this long at least.
const MIN_SILENCE: Duration = Duration::from_secs(1);

/// State of one topic.
struct Topic {
    name: String,
    is_ready: bool,
    /// Records that the sink has, and their bytes.
    outstanding: usize,
    bytes: usize,
    /// Total of answers ([`Pace::mark`]) at which the topic has had its turn since its last acknowledgement, or since
    /// it had nothing on its way; and the latency of the last one.
    turn: u64,
    latency: Duration,
    acknowledged: u64,
    /// Records in the transaction that are acknowledged and not committed.
    uncommitted: u64,
    waited: Duration,
    alone_before: Position,
    /// Growing pauses between attempts; none while it works.
    retry: Option<Retry>,
    /// `millrace_events_delivered_total` of this source and topic.
    delivered: IntCounter,
}

/// Bounded by `topics.limit`: names beyond it are never entered.
pub(super) struct Topics {
    source: SourceName,
    metrics: Metrics,
    by_name: HashMap<String, TopicId>,
    topics: Vec<Topic>,
    /// `millrace_stream_events_total` of this source, in the order of [`Stream::ALL`].
    streams: [IntCounter; Stream::ALL.len()],
    /// By stream: events acknowledged in a transaction that is not committed.
    uncommitted_of: [u64; Stream::ALL.len()],
}

impl Topics {
    pub fn new(source: SourceName, metrics: Metrics) -> Self {
        let labels = |stream: Stream| [source.as_str().to_owned(), stream.as_str().to_owned()];
        let counter = |stream| metrics.stream_events.with_label_values(&labels(stream));
        let streams = Stream::ALL.map(counter);
        Self {
            source,
            metrics,
            by_name: HashMap::new(),
            topics: Vec::new(),
            streams,
            uncommitted_of: Default::default(),
        }
    }

    pub fn find(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    pub fn enter(&mut self, name: &str) -> TopicId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = TopicId(self.topics.len() as u32);
        let delivered = self.metrics.events.with_label_values(&[self.source.as_str(), name]);
        self.topics.push(Topic {
            name: name.into(),
            is_ready: false,
            outstanding: 0,
            bytes: 0,
            turn: 0,
            latency: Duration::ZERO,
            acknowledged: 0,
            uncommitted: 0,
            waited: Duration::ZERO,
            alone_before: Position::start_of(0),
            retry: None,
            delivered,
        });
        self.by_name.insert(name.into(), id);
        id
    }

    fn get(&self, id: TopicId) -> &Topic {
        &self.topics[id.0 as usize]
    }

    fn get_mut(&mut self, id: TopicId) -> &mut Topic {
        &mut self.topics[id.0 as usize]
    }

    pub fn name(&self, id: TopicId) -> &str {
        &self.get(id).name
    }

    /// Whether the sink said that it can be written, and no record of it has failed since.
    pub fn is_ready(&self, id: TopicId) -> bool {
        self.get(id).is_ready
    }

    pub fn set_ready(&mut self, id: TopicId, is_ready: bool) {
        self.get_mut(id).is_ready = is_ready;
    }

    /// Asks the sink before the topic's next record: a topic that fails may have been deleted, and is then made again.
    /// Also where no lane is left to hold it.
    pub fn ask_before_next(&mut self, id: TopicId) {
        self.set_ready(id, false);
    }

    /// Lets the main lane send the topic's records before `end` one at a time: one of them was refused, and no lane was
    /// left to find out which.
    pub fn send_singly(&mut self, id: TopicId, end: Position) {
        let topic = self.get_mut(id);
        topic.alone_before = topic.alone_before.max(end);
    }

    /// Whether its record at `position` is to be sent singly, and another one is on its way.
    pub fn waits_for_another(&self, id: TopicId, position: Position) -> bool {
        let topic = self.get(id);
        position < topic.alone_before && topic.outstanding > 0
    }

    /// Pause before the topic is tried again: longer each time, until it works.
    pub fn next_pause(&mut self, id: TopicId) -> Duration {
        let new = || Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE);
        self.get_mut(id).retry.get_or_insert_with(new).next_delay()
    }

    pub fn is_well(&mut self, id: TopicId) {
        self.get_mut(id).retry = None;
    }

    /// Counts a record of this size that the sink has taken.
    pub fn sent(&mut self, id: TopicId, bytes: usize, mark: u64) {
        let topic = self.get_mut(id);
        if topic.outstanding == 0 {
            topic.turn = mark;
        }
        topic.outstanding += 1;
        topic.bytes += bytes;
    }

    /// Counts a record of this size that the sink has answered.
    pub fn comes_back(&mut self, id: TopicId, bytes: usize) {
        let topic = self.get_mut(id);
        topic.outstanding -= 1;
        topic.bytes = topic.bytes.saturating_sub(bytes);
    }

    /// Notes an acknowledgement of a record that was on its way for `latency`.
    pub fn acknowledged(&mut self, id: TopicId, latency: Duration, mark: u64) {
        let topic = self.get_mut(id);
        topic.turn = mark;
        topic.latency = latency;
        topic.acknowledged += 1;
        topic.waited = Duration::ZERO;
    }

    /// Number of records that the topic has acknowledged.
    pub fn acknowledgements(&self, id: TopicId) -> u64 {
        self.get(id).acknowledged
    }

    /// Records of the topic that the sink has.
    pub fn outstanding_of(&self, id: TopicId) -> usize {
        self.get(id).outstanding
    }

    /// Records of all topics that the sink has.
    pub fn outstanding(&self) -> usize {
        self.topics.iter().map(|topic| topic.outstanding).sum()
    }

    /// Notes that the renewed sink has no records.
    pub fn nothing_outstanding(&mut self) {
        for topic in &mut self.topics {
            topic.outstanding = 0;
            topic.bytes = 0;
        }
    }

    /// Bytes on their way to silent topics: those that had their turn and did not answer for twice as long as they or
    /// others take, while others did. On a slow path a topic only waits for its turn.
    pub fn silent_bytes(&self, pace: &Pace) -> usize {
        let Some(answered_at) = pace.answered_at() else { return 0 };
        let is_silent = |topic: &&Topic| {
            let patience = MIN_SILENCE.max(2 * topic.latency.max(pace.latency()));
            let had_its_turn = pace.reached(topic.turn);
            topic.outstanding > 0 && had_its_turn.is_some_and(|at| answered_at > at + patience)
        };
        self.topics.iter().filter(is_silent).map(|topic| topic.bytes).sum()
    }

    /// Time that the topic's records had been on their way when the lanes went back, without any acknowledgement since:
    /// the failures of others must not hide that it hangs.
    pub fn waited(&self, id: TopicId) -> Duration {
        self.get(id).waited
    }

    pub fn set_waited(&mut self, id: TopicId, waited: Duration) {
        self.get_mut(id).waited = waited;
    }

    /// Resets the waits of all topics: none is to blame for an outage.
    pub fn forgive_waiting(&mut self) {
        self.topics.iter_mut().for_each(|topic| topic.waited = Duration::ZERO);
    }

    /// Counts a delivered event of `stream`, or a record that counts as none.
    pub fn count(&mut self, id: TopicId, stream: Option<Stream>) {
        if let Some(stream) = stream {
            self.streams[stream as usize].inc();
        }
        self.get(id).delivered.inc();
    }

    /// Counts an event that is delivered once the transaction is committed.
    pub fn count_uncommitted(&mut self, id: TopicId, stream: Option<Stream>) {
        if let Some(stream) = stream {
            self.uncommitted_of[stream as usize] += 1;
        }
        self.get_mut(id).uncommitted += 1;
    }

    /// Publishes the counts of the committed transaction.
    pub fn committed(&mut self) {
        for (stream, uncommitted) in self.streams.iter().zip(&mut self.uncommitted_of) {
            stream.inc_by(std::mem::take(uncommitted));
        }
        for topic in self.topics.iter_mut().filter(|topic| topic.uncommitted > 0) {
            topic.delivered.inc_by(std::mem::take(&mut topic.uncommitted));
        }
    }

    /// Drops the counts of a transaction that was taken back.
    pub fn aborted(&mut self) {
        self.topics.iter_mut().for_each(|topic| topic.uncommitted = 0);
        self.uncommitted_of = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, place, topics};
    use super::*;

    #[test]
    fn the_pause_before_a_topic_is_tried_again_grows_until_it_is_well() {
        let mut topics = topics(&place());
        let a = topics.enter("a");
        assert_eq!(topics.next_pause(a), FIRST_PAUSE);
        assert!(topics.next_pause(a) > FIRST_PAUSE);
        topics.is_well(a);
        assert_eq!(topics.next_pause(a), FIRST_PAUSE);
    }

    #[test]
    fn a_record_waits_for_another_one_only_where_they_are_sent_singly() {
        let mut topics = topics(&place());
        let a = topics.enter("a");
        topics.sent(a, 10, 0);
        assert!(!topics.waits_for_another(a, at(3)));
        topics.send_singly(a, at(4));
        assert!(topics.waits_for_another(a, at(3)) && !topics.waits_for_another(a, at(4)));
        topics.comes_back(a, 10);
        assert!(!topics.waits_for_another(a, at(3)));
    }

    #[test]
    fn what_a_transaction_delivers_counts_once_it_is_committed() {
        let place = place();
        let mut topics = topics(&place);
        let a = topics.enter("a");
        let counted = || place.metrics.events.with_label_values(&["leads", "a"]).get();
        topics.count_uncommitted(a, Some(Stream::Other));
        topics.aborted();
        topics.count_uncommitted(a, Some(Stream::Other));
        assert_eq!(counted(), 0);
        topics.committed();
        topics.committed();
        assert_eq!(counted(), 1);
        topics.count(a, Some(Stream::Other));
        assert_eq!(counted(), 2);
    }
}
