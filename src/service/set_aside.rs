//! A source whose files cannot be used: it is set aside, and the others go on.
//!
//! Files in the folder of one source that are damaged, fenced, mixed up or not accessible concern that source alone.
//! Its deliveries are answered 503 (`set-aside`), a metric and an alert report it, and an operator repairs it
//! and restarts the process. Readiness does not fail: that would take the traffic from the others.
//! Only where no source is left does the process end. Problems of all sources (the folder's lock, a later
//! version's files, a mistake in the configuration) end the start.

use std::{sync::Arc, time::Duration};

use super::{StartError, front::Front};
use crate::{
    config::SourceConfig,
    deliver::checkpoint::CheckpointError,
    delivery::Authenticated,
    ingest::receive::{Append, Settles, Store},
    observe::metrics::Metrics,
    source::SourceName,
    spool::AppendError,
};

/// A source that could not be opened.
pub(super) struct SetAside {
    pub front: Front,
    pub why: String,
}

impl SetAside {
    pub fn new(source: &SourceConfig, why: &StartError, metrics: &Metrics) -> Self {
        report(&source.name, why, metrics);
        Self { front: Front::new(source), why: why.to_string() }
    }

    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(SetAsideStore(self.front.name.clone()))
    }
}

/// Logs and counts that `source` is set aside.
pub(super) fn report(source: &SourceName, why: &dyn std::fmt::Display, metrics: &Metrics) {
    metrics.source(source.as_str()).source_set_aside.set(1);
    tracing::error!(
        %source, %why,
        "this source is set aside: its deliveries are answered 503 and nothing of it is delivered, until \
         an operator has put it right and the process is started again; the other sources go on"
    );
}

impl StartError {
    /// Whether the other sources can be opened all the same.
    pub(super) fn is_of_one_source(&self) -> bool {
        match self {
            Self::Spool(error) => error.is_of_one_spool(),
            Self::Checkpoint(error) => !matches!(error, CheckpointError::Version { .. }),
            Self::Bind { .. }
            | Self::Ids(_)
            | Self::Template(_)
            | Self::Catalog(_)
            | Self::Tls(_)
            | Self::Thread(_)
            | Self::Fetch(_)
            | Self::Registry(_) => false,
        }
    }
}

struct SetAsideStore(SourceName);

impl Store for SetAsideStore {
    fn append(&self, _: Authenticated) -> Append<'_> {
        Box::pin(async { Err(AppendError::SetAside { spool: self.0.clone() }) })
    }

    fn is_settled(&self, _: u64, _: Duration) -> Settles<'_> {
        Box::pin(async { false })
    }
}
