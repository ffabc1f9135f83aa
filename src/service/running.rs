//! A service that runs: it waits for the stop, or for what breaks and begins the stop by itself, and ends in order.

use std::time::Duration;

use super::{Running, ServiceError, source::RunningSource};
use crate::{runtime::shutdown::Phase, spool::SpoolState};

/// Time between two checks for a poisoned spool and for an ended thread.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(100);

impl Running {
    /// Returns undelivered bytes and deliveries of all sources.
    pub fn backlog(&self) -> (u64, u64) {
        self.sources
            .iter()
            .map(|source| source.spool.undelivered())
            .fold((0, 0), |(bytes, deliveries), backlog| {
                (bytes + backlog.bytes, deliveries + backlog.deliveries)
            })
    }

    /// Waits until the service has stopped: cleanly after [`Phase::Closing`] was reached, or
    /// because of a failure, which begins the shutdown by itself.
    pub async fn finished(self) -> Result<(), ServiceError> {
        let broken = tokio::select! {
            () = self.shutdown.reached(Phase::Closing) => None,
            broken = self.something_breaks() => Some(broken),
        };
        if let Some(error) = &broken {
            tracing::error!(%error, "stopping immediately");
            self.shutdown.advance(Phase::Closing);
        }

        // The listener ends with its last connection; all deliveries that it accepted are in the spool then.
        let _ = self.listening.await;
        stop(self.sources).await;
        // After the sources: the ids that they have settled last are told.
        drop(self.exchange);
        drop(self.topics);
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        if let Some(push) = self.push {
            push.stop().await;
        }
        self.shutdown.advance(Phase::Stopped);
        let _ = self.administering.await;
        tracing::info!("service stopped");
        match broken {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    async fn something_breaks(&self) -> ServiceError {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            if let Some(error) = broken(&self.sources) {
                if let ServiceError::Poisoned { source_name } = &error {
                    self.status.poisoned(source_name);
                }
                return error;
            }
        }
    }
}

/// Returns the error that ends the process, if there is one. A source whose forwarder has failed is
/// set aside as long as another one goes on.
pub(super) fn broken(sources: &[RunningSource]) -> Option<ServiceError> {
    let named = |source: &RunningSource| source.spool.source().to_string();
    if let Some(source) = sources.iter().find(|it| it.spool.state() == SpoolState::Poisoned) {
        return Some(ServiceError::Poisoned { source_name: named(source) });
    }
    let stuck = sources.iter().filter_map(|source| Some((source, source.problem()?)));
    let stuck: Vec<_> = stuck.collect();
    if let Some((source, problem)) = stuck.first()
        && stuck.len() == sources.len()
    {
        let source_name = named(source);
        let problem = problem.clone();
        return Some(ServiceError::Forwarding { source_name, problem });
    }
    stuck.iter().for_each(|(source, problem)| source.set_aside(problem));
    let going_on = sources.iter().filter(|source| source.problem().is_none());
    let mut ended = going_on.filter_map(|source| Some((source, source.ended_thread()?)));
    let (source, what) = ended.next()?;
    Some(ServiceError::ThreadEnded { what, source_name: named(source) })
}

/// Stops all sources at once: one that waits for Kafka must not use up the others' time.
pub(super) async fn stop(sources: Vec<RunningSource>) {
    let stopping: Vec<_> = sources
        .into_iter()
        .map(|source| tokio::task::spawn_blocking(move || source.stop()))
        .collect();
    for stopped in stopping {
        let _ = stopped.await;
    }
}
