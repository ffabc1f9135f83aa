//! What health and metrics ask about.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use super::growth::Growth;
use crate::{
    admin::{self, Health},
    config::Config,
    metrics::Metrics,
    spool::{Folder, Spool, SpoolState},
};

/// Filled once the spools are open; before that the service is starting.
#[derive(Default)]
pub(super) struct Status {
    opened: OnceLock<(Arc<Folder>, Vec<Spool>)>,
    poisoned: OnceLock<String>,
    backlogs: Mutex<Backlogs>,
}

/// How they grow, from scrape to scrape.
#[derive(Default)]
struct Backlogs {
    total: Growth,
    sources: BTreeMap<String, Growth>,
}

impl Status {
    pub fn ready(&self, folder: Arc<Folder>, spools: Vec<Spool>) {
        // It is called once.
        let _ = self.opened.set((folder, spools));
    }

    pub fn poisoned(&self, source: &str) {
        let _ = self.poisoned.set(source.into());
    }
}

impl admin::State for Status {
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
            Err(error) => Some(format!("the volume of spool.directory can't be asked: {error}")),
        };
        Health {
            starting: None,
            poisoned: poisoned.or_else(|| self.poisoned.get().cloned()),
            below_reserve,
        }
    }

    fn refresh(&self, metrics: &Metrics) {
        let Some((folder, spools)) = self.opened.get() else { return };
        let now = Instant::now();
        let mut backlogs = self.backlogs.lock().unwrap_or_else(PoisonError::into_inner);
        // A volume that doesn't answer is health's to tell; the gauges keep what they said.
        if let Ok(available) = folder.available_space() {
            metrics.volume_available_bytes.set(gauge(available));
        }
        let total = spools.iter().map(|spool| spool.undelivered().bytes).sum();
        let all = match folder.room() {
            Ok(room) => backlogs.total.seconds_until_full(now, total, room),
            Err(_) => f64::INFINITY,
        };
        for spool in spools {
            let (source, backlog) = (spool.source().as_str(), spool.undelivered());
            let oldest = metrics.spool_oldest_seconds.with_label_values(&[source]);
            oldest.set(gauge(backlog.oldest.unwrap_or(0) / 1000));
            let limit = metrics.spool_limit_bytes.with_label_values(&[source]).get();
            let room = limit.unsigned_abs().saturating_sub(backlog.bytes);
            let growth = backlogs.sources.entry(source.to_owned()).or_default();
            let alone = growth.seconds_until_full(now, backlog.bytes, room);
            // It is full when its own limit is reached, or the one of all.
            let until_full = metrics.spool_seconds_until_full.with_label_values(&[source]);
            until_full.set(alone.min(all));
        }
    }
}

/// What the gauges of the process may reach.
pub(super) fn limits(config: &Config, metrics: &Metrics) {
    metrics.volume_reserve_bytes.set(gauge(config.spool.reserve));
    metrics.held_topics_limit.set(gauge(config.forward.held_topics as u64));
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
