//! Ids of settled events that replicas tell each other (`topics.ids`): the mailbox of [`Exchange`].

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    config::Config,
    deliver::deduplicate::{Deduplicator, Notice, Scope, Sharing},
    kafka::{Exchange, Letter, Mailbox, Terms, Topics},
    observe::metrics::Metrics,
    source::UnixMillis,
};

/// None where replicas tell each other nothing.
pub(super) fn of(
    config: &Config,
    deduplicator: &Arc<Deduplicator>,
    metrics: &Metrics,
) -> Option<Arc<Sharing>> {
    let topics = &config.topics;
    let topic = topics.ids.as_ref()?;
    let lead_state = topics.lead_state.as_deref().unwrap_or_default();
    let scope = Scope::of(&[&topics.name, &topics.dead_letter, lead_state]);
    let most = Exchange::largest_letter(&config.kafka);
    Some(Sharing::new(deduplicator, topic, scope, most, metrics))
}

/// Once every source has named its spool: what it tells is no news to this process.
pub(super) fn start(
    sharing: Arc<Sharing>,
    config: &Config,
    topics: &Arc<Topics>,
    metrics: &Metrics,
) -> io::Result<Exchange> {
    let terms = Terms {
        topic: sharing.topic().to_string(),
        window: config.deduplicate.window,
        records: sharing.most_ids(),
    };
    Exchange::start(topics, Arc::new(SharingMailbox { sharing, metrics: metrics.clone() }), terms)
}

struct SharingMailbox {
    sharing: Arc<Sharing>,
    metrics: Metrics,
}

impl SharingMailbox {
    fn show(&self, what: &str, is_available: bool) {
        let metric = self.metrics.shared_ids_available.with_label_values(&[what]);
        metric.set(i64::from(is_available));
    }
}

impl Mailbox for SharingMailbox {
    fn next(&self) -> Option<Letter> {
        let Notice { key, value, ids } = self.sharing.take_next()?;
        Some(Letter { key, value, says: ids })
    }

    fn was_written(&self, says: usize, is_written: bool) {
        self.sharing.was_sent(says, is_written);
    }

    fn set_writable(&self, is_writable: bool) {
        self.show("write", is_writable);
    }

    fn set_readable(&self, is_readable: bool) {
        self.show("read", is_readable);
    }

    fn receive(&self, value: &[u8]) {
        self.sharing.take_in(value, now());
    }
}

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis().try_into().unwrap_or(UnixMillis::MAX)
}
