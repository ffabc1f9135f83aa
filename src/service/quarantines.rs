//! Watches the quarantine folders of all sources: measures them, and removes items that are too old.

use std::time::Duration;

use crate::{
    deliver::quarantine::Quarantine,
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
    source::SourceName,
    spool::{Folder, disk::Disk},
};

/// Time between two looks at the folders.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

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

    /// Looks at the folders at intervals until the process stops.
    pub fn spawn(self, disk: std::sync::Arc<dyn Disk>, shutdown: Shutdown) {
        let this = std::sync::Arc::new(self);
        tokio::spawn(async move {
            while !shutdown.has_reached(Phase::Closing) {
                let quarantines = this.clone();
                let disk = disk.clone();
                // An error means that the look panicked; the next one follows all the same.
                let _ = tokio::task::spawn_blocking(move || quarantines.look(disk.now())).await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
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
