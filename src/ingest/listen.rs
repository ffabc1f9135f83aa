//! The sockets: connections, their limits, and the HTTP library between a socket and a request.
//!
//! Promises: every limit ends in an answer or a closed connection, and none waits for ever; every refusal is
//! counted and logged with the key to change; and a sender gets no answer that is not in the one table
//! (`reply.rs`). On [`Phase::Closing`] no connection is accepted any more; connections without a request end,
//! the others after their request (HTTP/1 `connection: close`, HTTP/2 GOAWAY).

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use self::{
    accept::{Rules, accept},
    activity::Timeouts,
    report::Report,
    tls::Tls,
};
use crate::{
    config::Listen,
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
};

pub mod accept;
pub mod activity;
pub mod body;
pub mod budget;
pub mod client;
mod connection;
mod connection_limit;
mod doubt;
mod inflate;
pub mod reply;
pub mod report;
pub mod shares;
pub mod tls;
mod wire;

/// Returns how many sockets a listener with this limit of connections may have at once: connections that are
/// ending come on top.
pub fn sockets(connections: usize) -> usize {
    connections.saturating_add(connection_limit::leaving(connections))
}

/// Returns the limit of connections at which a listener has at most so many sockets: the inverse of [`sockets`].
pub fn connections(sockets: usize) -> usize {
    let below = (sockets / 5).saturating_mul(4);
    below.max(sockets.saturating_sub(connection_limit::leaving(usize::MAX)))
}

/// The body of an answer.
pub type Answer = http_body_util::Full<bytes::Bytes>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Body of an answer: [`Answer`], where all of it is there at once.
    type Body: hyper::body::Body<Data = bytes::Bytes, Error = std::convert::Infallible>
        + From<Answer>
        + Send
        + 'static;

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Returns how many sources share the connections and bodies.
    fn sources(&self) -> usize;
}

/// Takes deliveries until the shutdown has reached [`Phase::Closing`]; resolves when the last
/// connection has ended, at most `config.request_timeout` and a little later. Without `tls` plain HTTP.
pub async fn serve<H: Handler>(
    tls: Option<Tls>,
    listener: TcpListener,
    config: Listen,
    handler: Arc<H>,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let rules = Rules {
        timeouts: Timeouts { header_timeout: config.header_timeout, idle: config.idle_timeout },
        connections: config.connections,
        header_limit: config.header_limit,
        close_within: config.request_timeout + Duration::from_secs(1),
        until: Phase::Closing,
        tls,
        to_senders: true,
    };
    accept(listener, rules, handler, Report::new("deliveries", &metrics), shutdown).await;
}
