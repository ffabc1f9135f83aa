//! The stream of server-sent events: deliveries as they come, and the status once a second.
//!
//! A stream reads what is remembered by number, ten times a second: no request pays for it, and nothing is kept for
//! it but a few events that its connection has not taken yet. A reader that lets these lie for [`PATIENCE`] is closed.

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

const TICK: Duration = Duration::from_millis(100);
const STATUS: Duration = Duration::from_secs(1);
/// Deliveries of one tick.
const A_TICK: usize = 20;
/// How long a reader may leave events lying.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that a connection has not taken yet.
pub const WAITING: usize = 4;

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
        // The connection is not idle while this runs.
        let _in_flight = activity.map(|it| it.request(http::Version::HTTP_11));
        tokio::select! {
            () = self.go(to) => {}
            () = end.reached(Phase::Closing) => {}
        }
    }

    async fn go(self, to: mpsc::Sender<Bytes>) {
        let _permit = &self.permit;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut after, mut status_at) = (self.after, None::<Instant>);
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
            if self.status && status_at.is_none_or(|at| now - at >= STATUS) {
                status_at = Some(now);
                if let Some(backend) = self.api.backend() {
                    let status = line(&backend.status(self.access.clone()));
                    text += &format!("event: status\ndata: {status}\n\n");
                }
            }
            if text.is_empty() {
                if now - spoke_at < PATIENCE {
                    continue;
                }
                text += ": still here\n\n";
            }
            spoke_at = now;
            match timeout(PATIENCE, to.send(text.into())).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    }

    fn deliveries_after(&self, after: u64, text: &mut String) -> u64 {
        let wanted = |it: &_| self.wanted.takes(it);
        let (found, last) = self.metrics.recent.after(after, usize::MAX, &wanted);
        let missed = found.len().saturating_sub(A_TICK);
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
