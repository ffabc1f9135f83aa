//! The quarantine folders of all sources: what is in them, and what is too old to stay.

use std::time::Duration;

use crate::{
    deliver::quarantine::Quarantine,
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
    source::SourceName,
    spool::{Folder, disk::Disk},
};

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Quarantines {
    folders: Vec<(SourceName, Quarantine)>,
    keep: Option<Duration>,
    metrics: Metrics,
}

impl Quarantines {
    pub fn new(
        folder: &Folder,
        sources: impl Iterator<Item = SourceName>,
        keep: Option<Duration>,
        metrics: &Metrics,
    ) -> Self {
        let of = |source: SourceName| {
            let place = folder.source_directory(&source);
            (source, Quarantine::new(folder.disk().clone(), &place))
        };
        Self { folders: sources.map(of).collect(), keep, metrics: metrics.clone() }
    }

    /// Looks at them now and then until the process stops.
    pub fn spawn(self, disk: std::sync::Arc<dyn Disk>, shutdown: Shutdown) {
        let this = std::sync::Arc::new(self);
        tokio::spawn(async move {
            while !shutdown.has_reached(Phase::Closing) {
                let (quarantines, disk) = (this.clone(), disk.clone());
                // It panics only where the look itself does, and the next one comes all the same.
                let _ = tokio::task::spawn_blocking(move || quarantines.look(disk.now())).await;
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = shutdown.reached(Phase::Closing) => {}
                }
            }
        });
    }

    fn look(&self, now: u64) {
        for (source, quarantine) in &self.folders {
            match quarantine.sweep(self.keep, now) {
                Ok(swept) => {
                    let metrics = self.metrics.source(source.as_str());
                    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                    metrics.quarantine_items.set(gauge(swept.contents.items));
                    metrics.quarantine_bytes.set(gauge(swept.contents.bytes));
                    let oldest = swept.oldest.unwrap_or(0) / 1000;
                    metrics.quarantine_oldest_seconds.set(gauge(oldest));
                    metrics.quarantine_removed.inc_by(swept.removed);
                    if swept.removed > 0 {
                        let items = swept.removed;
                        tracing::warn!(%source, items, "removed from quarantine: older than quarantine.keep");
                    }
                }
                Err(error) => {
                    let folder = quarantine.folder().display();
                    tracing::warn!(%source, %folder, %error, "the quarantine cannot be read");
                }
            }
        }
    }
}
