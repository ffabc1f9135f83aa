//! The status that health, metrics and the API ask for.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use parking_lot::Mutex;

use super::api::ApiBackend;
use super::disk_forecast::{Backlogs, Left, Taken};
use crate::{
    config::Config,
    observe::{
        admin::{self, Health},
        api::Backend,
        metrics::Metrics,
    },
    spool::{Folder, Spool, SpoolState},
};

/// Empty until the spools are open, which means that the service is starting.
#[derive(Default)]
pub(super) struct Status {
    opened: OnceLock<(Arc<Folder>, Vec<Spool>)>,
    known: OnceLock<Arc<ApiBackend>>,
    poisoned: OnceLock<String>,
    /// Growth of the backlogs, from scrape to scrape.
    backlogs: Mutex<Backlogs>,
}

impl Status {
    pub fn ready(&self, folder: Arc<Folder>, spools: Vec<Spool>, known: Arc<ApiBackend>) {
        // Cannot fail: this is called once.
        let _ = self.opened.set((folder, spools));
        // The API has no answers during a start.
        let _ = self.known.set(known);
    }

    pub fn poisoned(&self, source: &str) {
        let _ = self.poisoned.set(source.into());
    }
}

impl admin::State for Status {
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.known.get().map(|known| known.clone() as Arc<dyn Backend>)
    }

    fn health(&self) -> Health {
        let Some((folder, spools)) = self.opened.get() else {
            let starting = Some("the spools are being recovered".into());
            return Health { starting, ..Health::default() };
        };
        let poisoned = spools.iter().find(|spool| spool.state() == SpoolState::Poisoned);
        let poisoned = poisoned.map(|spool| spool.source().to_string());
        let below_reserve = match folder.has_reserve() {
            Ok(true) => None,
            Ok(false) => Some("the volume of spool.directory is below spool.reserve".into()),
            Err(error) => Some(format!("cannot query the volume of spool.directory: {error}")),
        };
        Health {
            starting: None,
            poisoned: poisoned.or_else(|| self.poisoned.get().cloned()),
            below_reserve,
        }
    }

    fn refresh(&self, metrics: &Metrics) {
        let Some((folder, spools)) = self.opened.get() else { return };
        // Health reports a volume that does not answer; the gauges keep their values.
        if let Ok(available) = folder.available_space() {
            metrics.volume_available_bytes.set(gauge(available));
        }
        let (sources, left) = room(folder, spools);
        let full = self.backlogs.lock().forecast(Instant::now(), &sources, left);
        for (spool, full) in spools.iter().zip(full) {
            let metrics = metrics.source(spool.source().as_str());
            let oldest = spool.undelivered().oldest.unwrap_or(0);
            metrics.spool_oldest_seconds.set(gauge(oldest / 1000));
            metrics.spool_seconds_until_full.set(full.seconds);
        }
    }
}

/// Returns the backlog and the remaining room of each spool, and of all together.
pub(super) fn room(folder: &Folder, spools: &[Spool]) -> (Vec<Taken>, Left) {
    let taken = spools.iter().map(|spool| Taken {
        source: spool.source().to_string(),
        bytes: spool.undelivered().bytes,
        room: spool.room(),
        is_full: spool.state() == SpoolState::Full,
    });
    let left = Left { volume: folder.room_on_volume().ok(), common: folder.room_in_common() };
    (taken.collect(), left)
}

/// Sets the gauges of the process's limits.
pub(super) fn limits(config: &Config, metrics: &Metrics) {
    metrics.volume_reserve_bytes.set(gauge(config.spool.reserve));
    metrics.held_topics_limit.set(gauge(config.forward.held_topics as u64));
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
