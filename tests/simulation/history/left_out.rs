//! Sources that do not take everything: in a tenth of the histories each source excludes a type from beginning to end, or
//! none; in another tenth what it excludes changes with each start. An event that its source did not take when it came
//! is nowhere, and one that another source took is where it belongs.

use std::time::Duration;

use millrace::deliver::{
    deduplicate::Settings,
    encode::choice::Pattern,
    select::{LeftOut, Named, Selection},
};

use super::{Delivery, History, TOPICS};
use crate::sender::Fate;

/// The type that a source excludes, by its number in [`TOPICS`].
pub type Excluded = Option<usize>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selections {
    #[default]
    TakeAll,
    Stay,
    Change,
}

impl History {
    /// Not drawn, so that the other seeds go on meaning what they meant.
    pub fn with_selections(mut self, seed: u64) -> Self {
        self.selections = match seed % 10 {
            1 => Selections::Stay,
            // Of two instances, each would have its own.
            6 if self.delivery == Delivery::Copied => Selections::Stay,
            6 => Selections::Change,
            _ => Selections::TakeAll,
        };
        if self.selections != Selections::TakeAll {
            self.draw_selections();
        }
        self
    }

    /// A start may bring another configuration.
    pub(super) fn selections_change(&mut self) {
        if self.selections == Selections::Change {
            self.draw_selections();
        }
    }

    fn draw_selections(&mut self) {
        for source in 0..self.sources.len() {
            let excluded = self.random.u8(..4) > 0;
            let excluded = excluded.then(|| self.random.usize(..TOPICS.len()));
            self.sender.excludes(source, excluded.map(topic));
            self.excluded[source] = excluded;
        }
        tracing::debug!(?self.excluded, "selections");
    }

    /// What the configuration of the source says.
    pub(super) fn selection(&self, source: usize) -> Selection {
        let Some(excluded) = self.excluded[source] else { return Selection::default() };
        let exclude = match TOPICS[excluded] {
            "custom-100001" => Named { activity_type_ids: vec![100_001], ..Named::default() },
            name => Named {
                types: vec![Pattern::new(name).expect("a legal pattern")],
                ..Named::default()
            },
        };
        Selection { exclude, ..Selection::default() }
    }

    /// What the process that ends has left out: each event once at most.
    pub(super) fn count_left_out(&mut self) {
        for source in 0..self.sources.len() {
            let name = self.sources[source].as_str();
            let counted = [LeftOut::Type, LeftOut::Id]
                .map(|why| self.metrics.left_out.with_label_values(&[name, why.as_str()]).get());
            let counted: u64 = counted.iter().sum();
            let sent = self.sender.left_out[source];
            assert!(counted <= sent, "{counted} were left out, and {sent} were sent");
            if counted > 0 {
                *self.counters.entry("event left out").or_default() += counted;
            }
        }
    }

    /// After a quiet end: nothing was left out in silence.
    pub(super) fn all_left_out_was_counted(&self) {
        let counted = self.counters.get("event left out").copied().unwrap_or(0);
        let due = self.books.left_out();
        let is_one = self.delivery != Delivery::Copied;
        assert!(!is_one || counted >= due, "{due} events were left out, {counted} were counted");
    }
}

fn topic(number: usize) -> String {
    format!("sim.lead-activity.{}", TOPICS[number])
}

/// A migration: one source gives a type up while what it has of it cannot be delivered, and the other one has passed its
/// own copies over meanwhile.
#[test]
fn what_the_other_source_relies_on_is_delivered_although_the_selection_changes() {
    let mut history = History::new(2, super::Senders::TwoThatRepeat, Delivery::AtLeastOnce);
    (history.queue, history.window, history.config.size_limit) = (1_000, 1 << 20, 1 << 20);
    history.deduplicate = Settings { window: Duration::from_secs(3600), ids: 4_000 };
    history.all_is_well();
    let mut cluster = history.cluster.borrow_mut();
    (cluster.limit, cluster.may_repeat) = (usize::MAX, false);
    drop(cluster);
    history.start_process();
    history.append_without_refused(20);
    history.drain();

    history.cluster.borrow_mut().away = true;
    for _ in 0..10 {
        let batch = loop {
            let batch = history.sender.batch(0);
            let fate = |id: &String| &history.sender.sent[id].fate;
            if batch.ids.iter().all(|id| matches!(fate(id), Fate::Topic { .. })) {
                break batch;
            }
        };
        let again = history.sender.last_again(1);
        for (source, batch) in [batch, again].into_iter().enumerate() {
            let writer = &mut history.processes[source].writer;
            let sequences = writer.append_group(&[batch.delivery]).expect("room");
            history.books.acknowledged(&batch.ids, source, sequences[0]);
        }
    }
    let now = history.now();
    for process in &mut history.processes {
        (0..5).for_each(|_| drop(process.forwarder.step(now, Duration::ZERO)));
    }
    let [own, other] = &mut history.processes[..] else { panic!("two sources") };
    assert!(!own.forwarder.is_drained() && other.forwarder.is_drained(), "the copies are passed");
    other.forwarder.save_checkpoint(now).expect("the disk works");
    history.end_processes();
    history.disk.kill();
    history.excluded[0] = Some(0);
    history.sender.excludes(0, Some(topic(0)));
    history.all_is_well();
    history.start_process();
    history.drain();
    history.check(true);
}
