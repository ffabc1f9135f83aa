//! What the API of the admin listener tells of this service.

mod banners;
mod dead_letters;
mod delivery;
mod replays;
mod status;
mod test_delivery;
mod words;

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use serde_json::Value;

use self::{dead_letters::DeadLetters, replays::Replays};
use super::status::Status;
use crate::{
    config::Config,
    deliver::route::Router,
    observe::{
        api::{self, Backend, Problem, rates::Rates},
        metrics::Metrics,
    },
    runtime::shutdown::{Phase, Shutdown},
    source::SourceName,
    spool::Spool,
};

pub(super) struct Known {
    config: Config,
    metrics: Metrics,
    router: Router,
    spools: Vec<Spool>,
    rates: Rates,
    letters: DeadLetters,
    replays: Replays,
    /// Held by a test delivery.
    test: Mutex<()>,
    /// Which has this.
    status: Weak<Status>,
    shutdown: Shutdown,
}

impl Known {
    pub fn new(
        config: &Config,
        router: Router,
        metrics: &Metrics,
        spools: Vec<Spool>,
        status: &Arc<Status>,
        shutdown: &Shutdown,
    ) -> Arc<Self> {
        let known = Arc::new(Self {
            config: config.clone(),
            metrics: metrics.clone(),
            router,
            spools,
            rates: Rates::default(),
            letters: DeadLetters::default(),
            replays: Replays::default(),
            test: Mutex::default(),
            status: Arc::downgrade(status),
            shutdown: shutdown.clone(),
        });
        known.rates.look(metrics);
        tokio::spawn(look(Arc::downgrade(&known), shutdown.clone()));
        known
    }

    fn spool(&self, source: &SourceName) -> Option<&Spool> {
        self.spools.iter().find(|spool| spool.source() == source)
    }
}

/// Looks at the counters for as long as the service is there.
async fn look(known: Weak<Known>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(api::rates::READ_INTERVAL) => {}
            () = shutdown.reached(Phase::Stopped) => return,
        }
        let Some(known) = known.upgrade() else { return };
        known.rates.look(&known.metrics);
    }
}

impl Backend for Known {
    fn status(&self, access: Value) -> Value {
        status::status(self, access)
    }

    fn words(&self) -> Value {
        words::words(&self.config)
    }

    fn delivery(&self, source: &str, position: u64, bodies: bool) -> Result<Value, Problem> {
        delivery::delivery(self, source, position, bodies)
    }

    fn dead_letters(
        &self,
        question: &api::DeadLetterQuestion,
        bodies: bool,
    ) -> Result<Value, Problem> {
        self.letters.answer(&self.config, question, bodies)
    }

    fn replays(&self) -> Value {
        self.replays.all()
    }

    fn replay(&self, id: &str) -> Result<Value, Problem> {
        self.replays.one(id)
    }

    fn begin_replay(&self, request: Value, client: IpAddr) -> Result<Value, Problem> {
        self.replays.begin(&self.config, request, client, &self.shutdown)
    }

    fn test_delivery(&self, request: Value, client: IpAddr) -> Result<Value, Problem> {
        test_delivery::send(self, request, client)
    }
}
