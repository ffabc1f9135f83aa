//! Renewal: another client for one that cannot go on, and the end of the old one.
//!
//! The end of a client may take its time: its threads end when a name lookup or a TLS
//! handshake returns. It happens on a thread of its own, for which nothing waits.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::producer::{Producer as _, PurgeConfig};
use tracing::{debug, warn};

use super::{BUSY_POLL_SLEEP, Client, Producer};
use crate::{
    kafka::{
        context::{Producing, drain},
        produce::{Failure, Sink as _},
        properties,
        transactions::{Identity, Transactions},
    },
    runtime::retry::Retry,
};

/// Time that a renewal waits for the last reports of the old client.
const REPORTS_TIMEOUT: Duration = Duration::from_millis(250);

impl Producer {
    /// Replaces the client.
    pub(super) fn replace(
        &mut self,
        identity: Option<&Identity>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let was_fatal = std::mem::take(&mut self.fatal);
        self.retire();
        // Fatal errors one after the other, with nothing delivered in between, must not become a hot loop.
        if was_fatal && self.retry.wait(give_up) {
            return Err(Failure::Fatal("gave up on making a new Kafka producer".into()));
        }
        let topics = &self.topics;
        if self.generation != topics.access().generation() {
            (self.generation, self.config) = topics.access().get();
        }
        let native = match identity {
            None => properties::producer(&self.config, self.queue_size),
            Some(it) => properties::transactional(&self.config, self.queue_size, it),
        };
        let mut retry = Retry::new(Duration::from_millis(100), Duration::from_secs(10));
        let made = retry.until(
            give_up,
            || {
                native.create_with_context(Producing::new(
                    &self.config,
                    Arc::clone(topics),
                    self.watch.clone(),
                ))
            },
            |error, tries| {
                let error = properties::describe(error);
                warn!(error, tries, "cannot create a Kafka producer; retrying");
            },
        );
        self.stale = false;
        self.client = Some(made.map_err(|error| Failure::Fatal(properties::describe(&error)))?);
        self.purged = false;
        Ok(())
    }

    /// Takes the transaction back: in place, or by a new client that takes over.
    pub(super) fn take_back(
        &mut self,
        transactions: &mut Transactions,
        give_up: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let in_use = |client: &Client| {
            let well = !self.fatal && client.client().fatal_error().is_none();
            well && !self.stale && !self.wants_renewal() && !client.context().state().timed_out
        };
        if let Some(client) = self.client.as_ref().filter(|client| in_use(client)) {
            if transactions.abort(client, give_up) {
                let mut state = client.context().state();
                state.outcomes.clear();
                state.kept_out.clear();
                return Ok(());
            }
        } else {
            transactions.must_reclaim();
        }
        if self.client.is_none() || !transactions.is_taking_over() {
            transactions.reclaim();
            self.replace(Some(&transactions.identity), give_up)?;
        }
        let Some(client) = &self.client else { return Err(Failure::Purged) };
        let taken = transactions.take_over(client, &self.config, &self.topics, give_up);
        if let Err(Failure::Fatal(_)) = &taken {
            self.fatal = true;
            transactions.must_reclaim();
        }
        taken
    }

    /// Drops the client; records without an outcome are purged.
    pub(super) fn retire(&mut self) -> Option<mpsc::Receiver<()>> {
        let client = self.client.take()?;
        if let Some(transactions) = &mut self.transactions {
            transactions.reclaim();
        }
        client.context().state().drain_queues();
        client.purge(PurgeConfig::default().queue().inflight().non_blocking());
        let end = Instant::now() + REPORTS_TIMEOUT;
        loop {
            drain(&client);
            if client.context().state().pending.count() == 0 || Instant::now() >= end {
                break;
            }
            thread::sleep(BUSY_POLL_SLEEP);
        }
        self.left_over.append(&mut client.context().state().close());

        let (done, ended) = mpsc::channel();
        let drop_client = move || {
            drop(client);
            let _ = done.send(()); // The receiver may be gone.
        };
        if let Err(error) = thread::Builder::new().name("kafka-drop".into()).spawn(drop_client) {
            // The closure was dropped, and the client with it.
            debug!(%error, "no thread to end a Kafka client on; ended it in place");
        }
        Some(ended)
    }
}
