//! What health and metrics ask about.

use std::sync::{Arc, OnceLock};

use crate::{
    admin::{self, Health},
    metrics::Metrics,
    spool::{Folder, Spool, SpoolState},
};

/// Filled once the spools are open; before that the service is starting.
#[derive(Default)]
pub(super) struct Status {
    opened: OnceLock<(Arc<Folder>, Vec<Spool>)>,
    poisoned: OnceLock<String>,
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
        let Some((_, spools)) = self.opened.get() else { return };
        for spool in spools {
            let oldest = spool.undelivered().oldest.unwrap_or(0) / 1000;
            let gauge = metrics.spool_oldest_seconds.with_label_values(&[spool.source().as_str()]);
            gauge.set(i64::try_from(oldest).unwrap_or(i64::MAX));
        }
    }
}
