//! What the API of the admin listener tells of this service.

mod banners;
mod delivery;
mod status;
mod words;

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use serde_json::{Value, json};

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
            () = tokio::time::sleep(api::rates::EVERY) => {}
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

    fn dead_letters(&self, _: &api::Letters, _: bool) -> Result<Value, Problem> {
        Err(not_yet())
    }

    fn replays(&self) -> Value {
        json!({ "replays": [] })
    }

    fn replay(&self, _: &str) -> Result<Value, Problem> {
        Err(Problem::new("unknown", "There is no such replay."))
    }

    fn begin_replay(&self, _: Value, _: IpAddr) -> Result<Value, Problem> {
        Err(not_yet())
    }

    fn test_delivery(&self, _: Value, _: IpAddr) -> Result<Value, Problem> {
        Err(not_yet())
    }
}

fn not_yet() -> Problem {
    Problem::new("unavailable", "This version does not answer that yet.")
}
