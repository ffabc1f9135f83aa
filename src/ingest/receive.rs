//! The front half: a request becomes a durable delivery, and only then a 200.
//!
//! ```text
//! route → authenticate (by the head, so that a stranger's body is never read) → read
//!       → authenticate (by the body, where that is signed) → inflate → append (→ settled, where the source wants to know) → reply
//! ```
//! A source of Adobe I/O's also answers questions, and looks whom a delivery is meant for
//! (`receive/adobe.rs`).
//!
//! Once the spool has been handed a body nothing here cancels it, neither a sender that hangs up nor
//! the request's deadline: at the worst it is stored and was not answered 200, so it comes again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    config::Listen,
    ingest::{
        authenticate::{Admission, caller::Caller, oauth::token_endpoint::TokenEndpoint},
        listen::{
            Answer, Handler,
            activity::Activity,
            body::{self, BodySender, Limits},
            client::{Peer, Proxies},
            reply::Outcome,
            report::{Report, UNKNOWN},
            shares::Party,
        },
    },
    observe::{
        metrics::{Metrics, SourceMetrics},
        traces::{Span, Traces},
    },
    source::SourceName,
};

mod adobe;
mod ids;
mod kept;
mod path;
mod request_log;
mod source;
mod token;

use self::{ids::Ids, path::Intent, request_log::RequestLog, token::TokenRequests};

pub use adobe::AdobeIo;
pub use source::{Append, Said, Settles, Source, Store};

/// A source, and what it is called where sources share something.
struct Sharing {
    source: Source,
    party: Party,
    metrics: SourceMetrics,
}

/// Answers the requests of all sources.
pub struct Receiver {
    sources: HashMap<SourceName, Sharing>,
    limits: Limits,
    request_timeout: Duration,
    report: Report,
    proxies: Proxies,
    token_requests: Option<TokenRequests>,
    traces: Traces,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Receiver {
    pub fn new(
        sources: impl IntoIterator<Item = Source>,
        config: &Listen,
        metrics: &Metrics,
    ) -> Self {
        let numbered = sources.into_iter().enumerate().map(|(number, source)| {
            let metrics = metrics.source(source.name.as_str());
            (source.name.clone(), Sharing { source, party: Party::source(number), metrics })
        });
        let sources: HashMap<_, _> = numbered.collect();
        let budget = i64::try_from(config.body_budget).unwrap_or(i64::MAX);
        metrics.body_budget_bytes.set(budget);
        Self {
            limits: Limits::shared(config, sources.len(), &metrics.body_budget_used_bytes),
            sources,
            request_timeout: config.request_timeout,
            report: Report::new("deliveries", metrics),
            proxies: Proxies::new(&config.trusted_proxies),
            token_requests: None,
            traces: Traces::default(),
            is_ready: Box::new(|| true),
        }
    }

    /// The same, which tells load balancers what `is_ready` says. Asked on each of their requests, so it must
    /// be quick.
    pub fn telling(self, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_ready: Box::new(is_ready), ..self }
    }

    /// The same, which gives out tokens as well.
    pub fn with_token_endpoint(self, endpoint: Option<TokenEndpoint>) -> Self {
        let token_requests = endpoint.map(|endpoint| TokenRequests::new(endpoint, &self.limits));
        Self { token_requests, ..self }
    }

    /// The same, which makes spans.
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// The story of a delivery.
    async fn receive<B>(
        &self,
        Sharing { source, party, metrics }: &Sharing,
        request: Request<B>,
        log: &mut RequestLog<'_>,
    ) -> Result<Outcome, Outcome>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        let deadline = Instant::now() + self.request_timeout;
        let (head, incoming) = request.into_parts();
        let admission = match source.admit(&head, deadline).await {
            Ok(admission) => admission,
            Err(refused) => {
                return self.question(source, &head, incoming, deadline).await.ok_or(refused);
            }
        };
        let from = match &admission {
            // Adobe I/O's certificate proves the sender and not the recipient, which is not checked yet.
            Admission::Proven(proof) if proof.is_shared() => BodySender::Stranger,
            Admission::Proven(_) => BodySender::Known(*party),
            Admission::Signed(_) => BodySender::Stranger,
        };
        if matches!(from, BodySender::Known(_)) {
            keep(&head, *party);
        }
        let wire = body::read(&head.headers, incoming, &self.limits, from, deadline).await?;
        log.body_came(wire.received, wire.bytes.len());
        let wire = match source.question(&head, wire).await {
            Ok(answer) => return Ok(answer),
            Err(delivery) => delivery,
        };
        let proof = tokio::select! {
            proof = source.prove(admission, &wire.bytes, deadline) => proof?,
            () = wire.reservation.evicted() => return Err(Outcome::OverBudget),
        };
        let mut body = wire.inflated(&head.headers, &self.limits, deadline).await?;
        if let Some(adobe) = source.adobe.as_ref().filter(|_| proof.is_shared()) {
            adobe.is_meant_for_us(&body).await?;
            proof.was_meant_for_us(Instant::now().into());
        }
        // Only now the delivery and its memory are known to be this source's.
        body.reservation.belongs_to(*party);
        keep(&head, *party);
        if kept::is_repeat(&head.headers) {
            metrics.repeated_deliveries.inc();
        }
        let mut kept = kept::worth_keeping(&head.headers, body.still_coded, log.ids.request());
        if proof.is_shared() {
            kept::has_no_origin(&mut kept);
        }
        if let Some((parent, state)) = log.span.as_parent() {
            kept::is_child_of(&mut kept, parent, state);
        }
        let sequence = source.append(kept, body, proof, deadline).await?;
        log.stored_at = Some(sequence);
        // Nothing is left of the request: its body is paid for no more, and its head is not needed.
        drop(head);
        log.said = source.says(sequence, deadline).await;
        Ok(Outcome::Stored)
    }

    /// The source that a request is for, or what to answer without one.
    fn route<B>(&self, request: &Request<B>) -> Result<(&Sharing, Intent), Outcome> {
        let (name, intent) = path::read(request)?;
        let source = self.sources.get(&name).ok_or(Outcome::UnknownSource)?;
        Ok((source, intent))
    }

    fn health(&self) -> Outcome {
        if (self.is_ready)() { Outcome::Ready } else { Outcome::NotReady }
    }

    /// The answer of a source, where the delivery is if it was stored, and what is said of it.
    async fn ask(
        &self,
        sharing: &Sharing,
        intent: Intent,
        request: Request<Incoming>,
        ids: &Ids,
    ) -> (Outcome, Option<u64>, Option<Said>) {
        let source = &sharing.source;
        let span = match intent {
            Intent::Deliver => self.traces.delivery(source.name.as_str(), request.headers()),
            Intent::Probe => Span::default(),
        };
        let mut log = RequestLog::new(&self.report, sharing, ids, span);
        let outcome = match intent {
            Intent::Deliver => self.receive(sharing, request, &mut log).await,
            Intent::Probe => Ok(source.probe(&request)),
        };
        let outcome = outcome.unwrap_or_else(|refused| refused);
        let (stored_at, said) = (log.stored_at, log.said);
        log.answered(&outcome);
        (outcome, stored_at, said)
    }
}

/// A number that no other open connection has.
fn connection<B>(request: &Request<B>) -> usize {
    let activity = request.extensions().get::<Arc<Activity>>();
    activity.map_or(0, |activity| Arc::as_ptr(activity).addr())
}

/// A sender of `party` is on this connection.
fn keep(head: &Parts, party: Party) {
    if let Some(connection) = head.extensions.get::<Arc<Activity>>() {
        connection.belongs_to(party);
    }
}

impl Handler for Receiver {
    type Body = Answer;

    fn sources(&self) -> usize {
        self.sources.len()
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Answer> {
        let peer = request.extensions().get::<Peer>();
        let client = peer.map(|peer| self.proxies.client(*peer, request.headers()));
        if peer.is_some_and(|peer| self.proxies.are_at(*peer))
            && let Some(connection) = request.extensions().get::<Arc<Activity>>()
        {
            // It keeps connections for whatever comes next, so this one is not a stranger's.
            connection.prove();
        }
        let caller = Caller { address: client, connection: connection(&request) };
        request.extensions_mut().insert(caller);
        if let Some(tokens) = self.token_requests.as_ref().filter(|it| it.are_at(&request)) {
            return tokens.answer(request, client, self.request_timeout, &self.report).await;
        }
        let version = request.version();
        let ids = Ids::of(request.headers(), client);
        let (outcome, stored_at, said) = match self.route(&request) {
            _ if path::is_health(&request) => (self.health(), None, None),
            Ok((sharing, intent)) => self.ask(sharing, intent, request, &ids).await,
            Err(outcome) => {
                let path = request.uri().path();
                // A method that no sender uses may be asked of a source that there is.
                let source = path::source(path).filter(|name| self.sources.contains_key(name));
                let source = source.as_ref().map_or(UNKNOWN, SourceName::as_str);
                self.report.request(source, &outcome, &path::named(path), &ids.names(None));
                (outcome, None, None)
            }
        };
        let mut response = outcome.response(version);
        ids.answer(response.headers_mut(), stored_at, said);
        response
    }
}
