//! The receiver: a request becomes a durable delivery, and only then gets a 200.
//!
//! ```text
//! route → authenticate (by the head, so that a stranger's body is never read) → read
//!       → authenticate (by the body, where that is signed) → inflate → append (→ wait for Kafka, where the source asks for it) → reply
//! ```
//! A source of Adobe I/O's also answers challenges, and checks the recipient of a delivery (`receive/adobe.rs`).
//!
//! Once the spool has a body nothing here cancels it, neither a sender that hangs up nor the request's deadline:
//! at the worst it is stored and was not answered 200, so the sender repeats it.

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

/// A source, with its party in shared pools and its metrics.
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

    /// Sets the readiness that load balancers see. `is_ready` is called on each of their requests, so it must be quick.
    pub fn telling(self, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_ready: Box::new(is_ready), ..self }
    }

    /// Adds the endpoint that issues tokens.
    pub fn with_token_endpoint(self, endpoint: Option<TokenEndpoint>) -> Self {
        let token_requests = endpoint.map(|endpoint| TokenRequests::new(endpoint, &self.limits));
        Self { token_requests, ..self }
    }

    /// Sets the maker of spans.
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Receives a delivery, from its head to its durable place in the spool.
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
        // Only now the delivery, its memory and its connection count as this source's: before the recipient was
        // checked, another customer of Adobe's could have sent it.
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
        // The wait for Kafka may be long and must hold no memory of the request.
        drop(head);
        log.said = source.says(sequence, deadline).await;
        Ok(Outcome::Stored)
    }

    /// Returns the source that a request is for and its intent, or the outcome without one.
    fn route<B>(&self, request: &Request<B>) -> Result<(&Sharing, Intent), Outcome> {
        let (name, intent) = path::read(request)?;
        let source = self.sources.get(&name).ok_or(Outcome::UnknownSource)?;
        Ok((source, intent))
    }

    fn health(&self) -> Outcome {
        if (self.is_ready)() { Outcome::Ready } else { Outcome::NotReady }
    }

    /// Answers a request to a source: returns the outcome, the position if it was stored, and how far a 200 says it is.
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
        let stored_at = log.stored_at;
        let said = log.said;
        log.answered(&outcome);
        (outcome, stored_at, said)
    }
}

/// Returns a number that no other open connection has.
fn connection<B>(request: &Request<B>) -> usize {
    let activity = request.extensions().get::<Arc<Activity>>();
    activity.map_or(0, |activity| Arc::as_ptr(activity).addr())
}

/// Makes the request's connection one of `party`.
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
            // A proxy keeps its connections open for later requests, so this one is not treated as a stranger's.
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
                // A refused method may still name a configured source.
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
