//! The backend of the admin listener's API.

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
        api::{self, Backend, Problem, objects, rates::Rates},
        metrics::Metrics,
    },
    runtime::shutdown::{Phase, Shutdown},
    source::SourceName,
    spool::Spool,
};

pub(super) struct ApiBackend {
    config: Config,
    metrics: Metrics,
    router: Router,
    spools: Vec<Spool>,
    rates: Rates,
    letters: DeadLetters,
    replays: Replays,
    /// Locked during a test delivery.
    test: Mutex<()>,
    /// The status, which holds this.
    status: Weak<Status>,
    shutdown: Shutdown,
}

impl ApiBackend {
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

/// Samples the counters for as long as the service runs.
async fn look(known: Weak<ApiBackend>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(api::rates::READ_INTERVAL) => {}
            () = shutdown.reached(Phase::Stopped) => return,
        }
        let Some(known) = known.upgrade() else { return };
        known.rates.look(&known.metrics);
    }
}

impl Backend for ApiBackend {
    fn status(&self, access: objects::Access) -> objects::Status {
        status::status(self, access)
    }

    fn words(&self) -> objects::Words {
        words::words(&self.config)
    }

    fn delivery(
        &self,
        source: &str,
        position: u64,
        bodies: bool,
    ) -> Result<objects::DeliveryDetail, Problem> {
        delivery::delivery(self, source, position, bodies)
    }

    fn dead_letters(
        &self,
        question: &api::DeadLetterQuestion,
        bodies: bool,
    ) -> Result<objects::DeadLetters, Problem> {
        self.letters.answer(&self.config, question, bodies)
    }

    fn replays(&self) -> objects::Replays {
        self.replays.all()
    }

    fn replay(&self, id: &str) -> Result<objects::Replay, Problem> {
        self.replays.one(id)
    }

    fn begin_replay(&self, request: Value, client: IpAddr) -> Result<objects::Replay, Problem> {
        self.replays.begin(&self.config, request, client, &self.shutdown)
    }

    fn test_delivery(
        &self,
        request: Value,
        client: IpAddr,
    ) -> Result<objects::TestDelivery, Problem> {
        test_delivery::send(self, request, client)
    }
}
