//! One connection, from its first byte to its orderly end.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;

use http::{
    HeaderValue, Request, StatusCode, Version,
    header::{CONNECTION, RETRY_AFTER},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{
    Handler,
    accept::Rules,
    activity::{Activity, Overdue},
    client::Peer,
    doubt,
    reply::Outcome,
    report::Report,
    tls::Unwelcome,
    wire::Wire,
};
use crate::{
    ingest::authenticate::certificate::Presented,
    runtime::shutdown::{Phase, Shutdown},
};

/// How long a connection that we end may go on sending before it is cut. Closing a socket with unread
/// bytes resets it, and a reset may overtake the answer that was just written.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that a known sender may send meanwhile.
const SENDER_LINGER_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes that a stranger may send meanwhile.
const STRANGER_LINGER_BYTES: u64 = 64 * 1024;

/// Bytes of `listen.header_limit` for each header that a request may have.
const BYTES_PER_HEADER: usize = 16;

/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 64;

/// Window of one HTTP/2 connection: its bytes in our memory that no request has read yet, over all its streams.
/// It limits a distant sender: 2 MB, the largest batch that Adobe sends, takes 1.6 s where a round trip takes
/// 100 ms.
const HTTP2_WINDOW: u32 = 128 * 1024;

/// Serves connections, one [`Http::serve`] each.
pub(super) struct Http<H> {
    rules: Rules,
    library: auto::Builder<TokioExecutor>,
    handler: Arc<H>,
    report: Report,
    shutdown: Shutdown,
}

enum End {
    /// The library has ended the connection, perhaps with an error.
    Over(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Overdue(Overdue),
    /// Was asked to end, and did not in time.
    Abandoned,
}

impl<H: Handler> Http<H> {
    pub(super) fn new(rules: Rules, handler: Arc<H>, report: Report, shutdown: Shutdown) -> Self {
        let library = library(&rules);
        Self { rules, library, handler, report, shutdown }
    }

    /// Serves a connection that was just accepted, with the TLS handshake first, where that is due.
    pub(super) async fn welcome(&self, stream: TcpStream, peer: IpAddr, activity: Arc<Activity>) {
        let Some(tls) = &self.rules.tls else {
            return self.serve(stream, peer, activity, None).await;
        };
        match tls.welcome(stream, &self.rules, &activity, &self.shutdown).await {
            Ok((stream, presented)) => self.serve(stream, peer, activity, presented).await,
            Err(Unwelcome::Plain(stream)) => {
                self.report.connection(peer, &Outcome::PlainHttp, "");
                linger_close(stream, Some(&Outcome::PlainHttp), STRANGER_LINGER_BYTES).await;
            }
            Err(Unwelcome::Failed(outcome, why)) => {
                self.report.connection(peer, &outcome, &why);
            }
            Err(Unwelcome::Gone) => {}
        }
    }

    /// Serves HTTP on a stream. `presented` is the client's certificate from the TLS handshake, if there was one.
    pub(super) async fn serve<S>(
        &self,
        stream: S,
        peer: IpAddr,
        activity: Arc<Activity>,
        presented: Option<Presented>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (wire, stream) = Wire::new(stream, activity.clone(), self.rules.to_senders);
        let end = self.converse(wire, &activity, peer, presented).await;
        let outcome = outcome(&end, &activity);
        if let Some(outcome) = &outcome {
            self.report.connection(peer, outcome, "");
        }
        let Ok(stream) = Arc::try_unwrap(stream).map(Mutex::into_inner) else { return };
        match end {
            End::Over(_) if activity.is_proven() => {
                linger_close(stream, None, SENDER_LINGER_BYTES).await
            }
            End::Over(_) => linger_close(stream, None, STRANGER_LINGER_BYTES).await,
            End::Overdue(why) if activity.speaks_http1() => {
                // A new connection already waits for the slot of an evicted one, so nothing more is read from it.
                let most = if why == Overdue::Evicted { 0 } else { STRANGER_LINGER_BYTES };
                linger_close(stream, outcome.as_ref(), most).await;
            }
            End::Overdue(_) | End::Abandoned => {}
        }
    }

    async fn converse<S>(
        &self,
        wire: Wire<S>,
        activity: &Arc<Activity>,
        peer: IpAddr,
        presented: Option<Presented>,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|mut request: Request<Incoming>| {
            if let Some(presented) = &presented {
                request.extensions_mut().insert(presented.clone());
            }
            request.extensions_mut().insert(Peer(peer));
            let handler = self.handler.clone();
            let activity = activity.clone();
            let report = self.report.clone();
            // Idle connections are closed when the delay is over, and a sender that uses one at that moment gets no
            // answer. So over HTTP/1 an answer says so ahead. HTTP/2 has GOAWAY, which names the requests not taken.
            let to_senders = self.rules.to_senders;
            let says_close = request.version() < Version::HTTP_2 && to_senders;
            let shutdown = says_close.then(|| self.shutdown.clone());
            async move {
                let mut answer = match doubt::is_in_doubt(request.headers()) {
                    false => answer(&*handler, request, &activity).await,
                    true => {
                        let refused = refuse(&report, peer, &request, &activity);
                        let refused = if to_senders { refused } else { for_good(refused) };
                        refused.map(Into::into)
                    }
                };
                if shutdown.is_some_and(|shutdown| shutdown.has_reached(Phase::Draining)) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let mut connection = pin!(self.library.serve_connection(TokioIo::new(wire), service));
        // Set once the connection was asked to end; `idle` says whether for being idle.
        let mut cut_at = None::<Instant>;
        let mut idle = false;
        let mut closing = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => return End::Over(result),
                overdue = activity.overdue(self.rules.timeouts), if !idle => {
                    if overdue != Overdue::Idle {
                        return End::Overdue(overdue);
                    }
                    idle = true;
                    cut_at = Some(Instant::now() + LINGER_TIMEOUT);
                    connection.as_mut().graceful_shutdown();
                }
                () = self.shutdown.reached(self.rules.until), if !closing => {
                    closing = true;
                    cut_at = cut_at.or(Some(Instant::now() + self.rules.close_within));
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => {
                    return End::Abandoned;
                }
            }
        }
    }
}

async fn answer<H: Handler>(
    handler: &H,
    mut request: Request<Incoming>,
    activity: &Arc<Activity>,
) -> http::Response<H::Body> {
    let in_flight = activity.request(request.version());
    request.extensions_mut().insert(activity.clone());
    let response = handler.answer(request).await;
    activity.answers();
    drop(in_flight);
    response
}

/// Answers a request whose head another server may read differently.
fn refuse(
    report: &Report,
    peer: IpAddr,
    request: &Request<Incoming>,
    activity: &Activity,
) -> http::Response<super::Answer> {
    report.connection(peer, &Outcome::Unreadable, "");
    activity.answers();
    Outcome::Unreadable.response(request.version())
}

/// Turns that answer into a final 400 for clients that are no senders: the mistake is theirs (RFC 9112, section
/// 3.2), and another try is of no use.
fn for_good(mut answer: http::Response<super::Answer>) -> http::Response<super::Answer> {
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().remove(RETRY_AFTER);
    answer
}

/// Returns how many headers one request may have over HTTP/1: the library takes memory for as many before it has
/// read one. A head within its limit of bytes has fewer, unless its lines are shorter than any real ones.
fn headers(header_limit: usize) -> usize {
    // More headers than the library's map can hold would be a panic there.
    (header_limit / BYTES_PER_HEADER).clamp(100, 16 * 1024)
}

fn library(rules: &Rules) -> auto::Builder<TokioExecutor> {
    let mut library = auto::Builder::new(TokioExecutor::new());
    library
        .http1()
        .timer(TokioTimer::new())
        // The library's timeout counts idle time too; `Activity` measures the two apart.
        .header_read_timeout(None)
        // A sender that closes its own half after the request still gets its answer.
        .half_close(rules.to_senders)
        .max_headers(headers(rules.header_limit))
        .max_buf_size(rules.header_limit.max(8192));
    library
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(rules.header_limit).unwrap_or(u32::MAX))
        // A fixed window bounds the connection's unread bytes.
        .adaptive_window(false)
        .initial_stream_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW)
        .max_send_buf_size(16 * 1024)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    library
}

/// Returns the outcome to report for a connection's end; `None` for an ordinary one.
fn outcome(end: &End, activity: &Activity) -> Option<Outcome> {
    if activity.had_too_large_a_head() {
        return Some(Outcome::HeadTooLarge);
    }
    match end {
        End::Overdue(Overdue::Head) => Some(Outcome::HeadTimeout),
        End::Overdue(Overdue::Evicted) => Some(Outcome::TooManyConnections),
        End::Overdue(Overdue::Idle) | End::Abandoned | End::Over(Ok(())) => None,
        End::Over(Err(error)) => {
            debug!(%error, "connection ended with an error");
            let error = error.downcast_ref::<hyper::Error>()?;
            match () {
                () if error.is_parse_too_large() => Some(Outcome::HeadTooLarge),
                () if error.is_parse() => Some(Outcome::Unreadable),
                () => None,
            }
        }
    }
}

/// Ends a stream so that the last answer arrives: writes `answer`, closes our half, and reads on, for at most
/// `most` bytes and [`LINGER_TIMEOUT`].
pub(super) async fn linger_close<S>(mut stream: S, answer: Option<&Outcome>, most: u64)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closing = async {
        if let Some(outcome) = answer {
            stream.write_all(&outcome.raw()).await?;
        }
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(most), &mut tokio::io::sink()).await?;
        Ok::<_, io::Error>(())
    };
    // An error does not matter: the connection is closed either way.
    let _ = timeout(LINGER_TIMEOUT, closing).await;
}
