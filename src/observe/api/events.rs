//! Streams of server-sent events: deliveries as they come, and the status once a second.
//!
//! A stream reads the remembered requests by number, ten times a second: no request pays for it, and nothing is kept
//! for it but a few events that its connection has not taken yet. A stream whose reader leaves these for
//! [`READER_TIMEOUT`] is closed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Api, Wanted, answer::line, objects::Access, streams::Permit, view};
use crate::{
    ingest::listen::activity::Activity,
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
};

const READ_INTERVAL: Duration = Duration::from_millis(100);
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Deliveries sent in one [`READ_INTERVAL`]; older ones are counted as missed.
const DELIVERIES_PER_READ: usize = 20;
/// How long a reader may leave events unread. A silent stream gets a comment as often, which finds readers that are
/// gone.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// Events that may wait for a connection to take them.
pub const MAX_QUEUED_EVENTS: usize = 4;

pub(super) struct Stream {
    pub api: Arc<Api>,
    pub metrics: Metrics,
    pub wanted: Wanted,
    pub deliveries: bool,
    pub status: bool,
    pub after: u64,
    pub access: Access,
    pub permit: Permit,
}

impl Stream {
    /// Runs until its reader is gone or too slow, or the service stops.
    pub async fn run(
        self,
        to: mpsc::Sender<Bytes>,
        activity: Option<Arc<Activity>>,
        end: Shutdown,
    ) {
        // Counts as a request of the connection, which would be closed as idle otherwise.
        let _in_flight = activity.map(|it| it.request(http::Version::HTTP_11));
        tokio::select! {
            () = self.go(to) => {}
            () = end.reached(Phase::Closing) => {}
        }
    }

    async fn go(self, to: mpsc::Sender<Bytes>) {
        let _permit = &self.permit;
        let mut tick = interval(READ_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after = self.after;
        let mut status_at = None::<Instant>;
        let mut spoke_at = Instant::now();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = to.closed() => return,
            }
            let mut text = String::new();
            if self.deliveries {
                after = self.deliveries_after(after, &mut text);
            }
            let now = Instant::now();
            if self.status && status_at.is_none_or(|at| now - at >= STATUS_INTERVAL) {
                status_at = Some(now);
                if let Some(backend) = self.api.backend() {
                    let status = line(&backend.status(self.access.clone()));
                    text += &format!("event: status\ndata: {status}\n\n");
                }
            }
            if text.is_empty() {
                if now - spoke_at < READER_TIMEOUT {
                    continue;
                }
                text += ": still here\n\n";
            }
            spoke_at = now;
            match timeout(READER_TIMEOUT, to.send(text.into())).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    }

    fn deliveries_after(&self, after: u64, text: &mut String) -> u64 {
        let wanted = |it: &_| self.wanted.takes(it);
        let (found, last) = self.metrics.recent.after(after, usize::MAX, &wanted);
        let missed = found.len().saturating_sub(DELIVERIES_PER_READ);
        if missed > 0 {
            *text += &format!("event: missed\ndata: {{\"count\":{missed}}}\n\n");
        }
        for delivery in found.iter().skip(missed) {
            let number = delivery.number;
            let json = line(&view::delivery(delivery));
            *text += &format!("event: delivery\nid: {number}\ndata: {json}\n\n");
        }
        last
    }
}
