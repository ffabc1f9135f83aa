//! Accepts connections, gives each a slot under the limit, and drains them at the end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Handler,
    activity::{Activity, Timeouts},
    connection::{self, Http},
    connection_limit::{ConnectionLimit, FullUntil, Slot},
    report::Report,
    tls::Tls,
};
use crate::runtime::shutdown::{Phase, Shutdown};

/// Pause after an error of `accept` that concerns no connection (no file descriptors left).
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Shortest time between two log lines about such an error.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of an answer that the kernel takes before the client reads them, where the clients are no senders. Without a
/// limit they are megabytes, and a stream of events whose reader is stuck would look like one that is read.
const SEND_BUFFER: usize = 64 * 1024;

/// Limits and timeouts of a listener.
#[derive(Clone, Debug)]
pub struct Rules {
    pub timeouts: Timeouts,
    pub connections: usize,
    /// Largest head of a request, in bytes; at least 8 KiB.
    pub header_limit: usize,
    /// How long connections may take to end once asked to.
    pub close_within: Duration,
    /// Serves until the shutdown has reached this.
    pub until: Phase,
    /// `None` is plain HTTP.
    pub tls: Option<Tls>,
    /// Whether the clients are senders. To a sender a 4xx of the HTTP library's own would be final, so
    /// [`Wire`](super::wire) looks for one in the outgoing bytes; and a sender that hangs up cancels nothing. Elsewhere
    /// answers pass as they are, and end with their connection: a browser that leaves a page leaves its stream of
    /// events.
    pub to_senders: bool,
}

/// Serves connections of `listener` until `rules.until`; resolves when all of them have ended.
pub async fn accept<H: Handler>(
    listener: TcpListener,
    rules: Rules,
    handler: Arc<H>,
    report: Report,
    shutdown: Shutdown,
) {
    let limit = ConnectionLimit::new(rules.connections, handler.sources());
    report.limit(rules.connections);
    if !rules.to_senders {
        // Accepted connections inherit the option from the listener.
        if let Err(error) =
            rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)
        {
            warn!(%error, "the send buffers of the admin listener are as large as the system makes them");
        }
    }
    let mut warned: Option<Instant> = None;
    let http = Arc::new(Http::new(rules.clone(), handler, report.clone(), shutdown.clone()));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Answers are small and each is awaited.
                    let _ = stream.set_nodelay(true);
                    let (activity, slot) = room(&limit).await;
                    let http = http.clone();
                    let opened = report.opened();
                    connections.spawn(async move {
                        http.welcome(stream, peer.ip(), activity).await;
                        drop((slot, opened));
                    });
                }
                Err(error) if concerns_one_connection(&error) => {
                    debug!(%error, "connection ended before it was accepted");
                }
                Err(error) => {
                    let now = Instant::now();
                    if warned.is_none_or(|at| now - at >= WARNING_INTERVAL) {
                        warned = Some(now);
                        warn!(%error, "cannot accept connections; the limit of open files may be too low");
                    }
                    limit.give_back_one(now);
                    sleep(RETRY_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "connection task failed");
                }
            }
            () = shutdown.reached(rules.until) => break,
        }
    }
    drop(listener);
    drain(connections, &rules).await;
}

/// Waits for a slot for one connection. Further connections wait in the listener's queue meanwhile.
async fn room(limit: &ConnectionLimit) -> (Arc<Activity>, Slot) {
    loop {
        let now = Instant::now();
        let activity = Arc::new(Activity::new(now));
        match limit.take(&activity, now) {
            Ok(slot) => return (activity, slot),
            Err(FullUntil(then)) => sleep_until(then).await,
        }
    }
}

async fn drain(mut connections: JoinSet<()>, rules: &Rules) {
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Each connection has a limit of its own; this one is for a connection that exceeds it.
    if timeout(rules.close_within + 2 * connection::LINGER_TIMEOUT, all_ended).await.is_err() {
        info!(open = connections.len(), "closing connections that outlived the drain timeout");
        connections.shutdown().await;
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// Binds `address`; an error names it and the configuration key.
pub async fn bind(address: SocketAddr, key: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("`{key}`: cannot listen on {address}: {error}"))
    })
}
