//! Accepts connections, gives each its place, and sees them out.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Handler,
    activity::{Activity, Patience},
    connection::{self, Http},
    reply::Outcome,
    report::Report,
    slots::{NoPlace, Slot, Slots},
    tls::Tls,
};
use crate::shutdown::{Phase, Shutdown};

/// How many connections without a place may be told so at the same time; more are just closed.
pub(super) const REFUSALS: usize = 64;

/// After an error of `accept` that concerns no connection (no file descriptors left).
const BREATH: Duration = Duration::from_millis(100);

/// What a listener grants.
#[derive(Clone, Debug)]
pub struct Rules {
    pub patience: Patience,
    pub connections: usize,
    /// Largest head of a request, in bytes; at least 8 KiB.
    pub header_limit: usize,
    /// How long connections may take to end once asked to.
    pub close_within: Duration,
    /// Serves until the shutdown has reached this.
    pub until: Phase,
    /// Without it, plain HTTP.
    pub tls: Option<Tls>,
}

/// Serves connections of `listener` until `rules.until`; resolves when all of them have ended.
pub async fn accept<H: Handler>(
    listener: TcpListener,
    rules: Rules,
    handler: Arc<H>,
    report: Report,
    shutdown: Shutdown,
) {
    let slots = Slots::new(rules.connections);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let http = Arc::new(Http::new(rules.clone(), handler, report.clone(), shutdown.clone()));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Answers are small and each is awaited.
                    let _ = stream.set_nodelay(true);
                    if let Some((activity, slot)) = place(&slots).await {
                        let http = http.clone();
                        connections.spawn(async move {
                            http.welcome(stream, peer.ip(), activity).await;
                            drop(slot);
                        });
                    } else {
                        report.connection(peer.ip(), &Outcome::TooManyConnections);
                        // Only a handshake could tell it anything over TLS.
                        if rules.tls.is_none() {
                            refuse(stream, &refusals);
                        }
                    }
                }
                Err(error) if concerns_one_connection(&error) => {
                    debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    warn!(%error, "no connection can be accepted; is the limit of open files below `listen.connections`?");
                    sleep(BREATH).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "a connection's task failed");
                }
            }
            () = shutdown.reached(rules.until) => break,
        }
    }
    drop(listener);
    see_out(connections, &rules).await;
}

/// A place, and what the connection in it does; `None` when nobody can give way to it. Whoever comes
/// meanwhile waits in the listener's queue.
async fn place(slots: &Slots) -> Option<(Arc<Activity>, Slot)> {
    loop {
        let now = Instant::now();
        let activity = Arc::new(Activity::new(now));
        match slots.take(&activity, now) {
            Ok(slot) => return Some((activity, slot)),
            Err(NoPlace::Until(then)) => sleep_until(then).await,
            Err(NoPlace::Full) => return None,
        }
    }
}

async fn see_out(mut connections: JoinSet<()>, rules: &Rules) {
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // Each connection bounds itself; this is for the one that does not.
    if timeout(rules.close_within + 2 * connection::LINGER, all_ended).await.is_err() {
        info!(open = connections.len(), "connections that did not end in time are cut");
        connections.shutdown().await;
    }
}

/// Says 503 and closes, with bounded effort.
fn refuse(stream: TcpStream, refusals: &Arc<Semaphore>) {
    let Ok(permit) = refusals.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        connection::farewell(stream, Some(&Outcome::TooManyConnections), connection::STRANGER)
            .await;
        drop(permit);
    });
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// Binds, with the address in the error.
pub async fn bind(address: SocketAddr, key: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("`{key}`: can't listen on {address}: {error}"))
    })
}
