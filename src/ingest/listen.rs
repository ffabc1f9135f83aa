//! The sockets: connections, their limits, and the HTTP library between a socket and a request.
//!
//! What it promises: every limit answers or ends something, none of them waits for ever; whatever is
//! refused is counted and logged with the key to change; and no answer reaches a sender that is not in
//! the one table (`reply.rs`). On [`Phase::Closing`] no connection is accepted any more, those without
//! a request end, the others after their request (HTTP/1 `connection: close`, HTTP/2 GOAWAY).

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use self::{
    accept::{Rules, accept},
    activity::Patience,
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

/// Sockets that a listener with this limit of connections may have at once: those that have to end come
/// on top.
pub fn sockets(connections: usize) -> usize {
    connections.saturating_add(connection_limit::leaving(connections))
}

/// The limit of connections at which a listener has at most so many sockets: the inverse of [`sockets`].
pub fn connections(sockets: usize) -> usize {
    let below = (sockets / 5).saturating_mul(4);
    below.max(sockets.saturating_sub(connection_limit::leaving(usize::MAX)))
}

/// The body of an answer.
pub type Answer = http_body_util::Full<bytes::Bytes>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// What an answer's body is made of: [`Answer`], where all of it is there at once.
    type Body: hyper::body::Body<Data = bytes::Bytes, Error = std::convert::Infallible>
        + From<Answer>
        + Send
        + 'static;

    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// How many sources share the connections and bodies.
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
        patience: Patience { header_timeout: config.header_timeout, idle: config.idle_timeout },
        connections: config.connections,
        header_limit: config.header_limit,
        close_within: config.request_timeout + Duration::from_secs(1),
        until: Phase::Closing,
        tls,
        to_senders: true,
    };
    accept(listener, rules, handler, Report::new("deliveries", &metrics), shutdown).await;
}
