//! The front half: a request becomes a durable delivery, and only then a 200.
//!
//! ```text
//! route → authenticate (by the head, so that a stranger's body is never read) → read
//!       → authenticate (by the body, where that is signed) → inflate → append → reply
//! ```
//! A source of Adobe I/O's also answers questions, and looks whom a delivery is meant for
//! (`receive/adobe.rs`).
//!
//! Once the spool has been handed a body nothing here cancels it, neither a sender that hangs up nor
//! the request's deadline: at the worst it is stored and was not answered 200, so it comes again.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::{
    authenticate::{Admission, Gate, Proof, Refusal, oauth::token_endpoint::TokenEndpoint},
    config::Listen,
    delivery::{Authenticated, Delivery, SourceName},
    listen::{
        Answer, Handler,
        activity::Activity,
        body::{self, Body, Limits},
        client::{Peer, Proxies},
        reply::Outcome,
        report::{Report, UNKNOWN},
    },
    metrics::Metrics,
    spool::{AppendError, Spool},
    traces::{Span, Traces},
};

mod adobe;
mod ids;
mod kept;
mod token;

use self::{ids::Ids, token::TokenRequests};

pub use adobe::AdobeIo;

/// Where deliveries become durable. A spool in production; tests hold one back.
pub trait Store: Send + Sync + 'static {
    /// Resolves with the sequence number once the delivery is durable.
    fn append(&self, delivery: Authenticated) -> Append<'_>;
}

/// Ends with the sequence number of a durable delivery, or with why it was not stored.
pub type Append<'a> = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send + 'a>>;

impl Store for Spool {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(self.append(delivery))
    }
}

/// One configured sender.
pub struct Source {
    pub name: SourceName,
    pub gate: Gate,
    /// What a source of kind `adobe-io` has beside its gate.
    pub adobe: Option<AdobeIo>,
    pub store: Arc<dyn Store>,
}

/// Answers the requests of all sources.
pub struct Receiver {
    sources: HashMap<SourceName, Source>,
    limits: Limits,
    request_timeout: Duration,
    report: Report,
    proxies: Proxies,
    token_requests: Option<TokenRequests>,
    traces: Traces,
}

impl Receiver {
    pub fn new(
        sources: impl IntoIterator<Item = Source>,
        config: &Listen,
        metrics: &Metrics,
    ) -> Self {
        Self {
            sources: sources.into_iter().map(|source| (source.name.clone(), source)).collect(),
            limits: Limits::new(config),
            request_timeout: config.request_timeout,
            report: Report::new("deliveries", metrics),
            proxies: Proxies::new(&config.trusted_proxies),
            token_requests: None,
            traces: Traces::default(),
        }
    }

    /// The same, which gives out tokens as well.
    pub fn with_token_endpoint(self, endpoint: Option<TokenEndpoint>) -> Self {
        Self { token_requests: endpoint.map(TokenRequests::new), ..self }
    }

    /// The same, which makes spans.
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// The story of a delivery.
    async fn receive<B>(
        &self,
        source: &Source,
        request: Request<B>,
        asker: &mut Asker<'_>,
    ) -> Result<Outcome, Outcome>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        let deadline = Instant::now() + self.request_timeout;
        let (head, body) = request.into_parts();
        let admission = match source.admit(&head, deadline).await {
            Ok(admission) => admission,
            Err(refused) => {
                return self.question(source, &head, body, deadline).await.ok_or(refused);
            }
        };
        let from = match admission {
            Admission::Proven(_) => body::From::Known,
            Admission::Signed(_) => body::From::Stranger,
        };
        let body = body::read(&head.headers, body, &self.limits, from, deadline).await?;
        asker.body_came(body.received, body.bytes.len());
        if let Some(answer) = source.question(&body.bytes) {
            return Ok(answer);
        }
        let proof = source.prove(admission, &head, &body.bytes, deadline).await?;
        let body = body.inflated(&head.headers, &self.limits, deadline).await?;
        if let Some(adobe) = source.adobe.as_ref().filter(|_| proof.is_shared()) {
            adobe.is_meant_for_us(&body).await?;
        }
        if kept::is_repeat(&head.headers) {
            self.report.repeated(source.name.as_str());
        }
        let mut kept = kept::worth_keeping(&head.headers, body.still_coded, asker.ids.request());
        if let Some((parent, state)) = asker.span.as_parent() {
            kept::is_child_of(&mut kept, parent, state);
        }
        asker.stored_at = Some(source.append(kept, body, proof, deadline).await?);
        Ok(Outcome::Stored)
    }

    /// The source that a request is for, or what to answer without one.
    fn route<B>(&self, request: &Request<B>) -> Result<(&Source, Asks), Outcome> {
        let path = request.uri().path();
        let beneath = match path.strip_prefix("/v1") {
            Some("") => "",
            Some(rest) if rest.starts_with('/') => &rest[1..],
            _ => return Err(Outcome::NotFound),
        };
        let asks = match *request.method() {
            Method::POST => Asks::ToDeliver,
            Method::GET | Method::HEAD | Method::OPTIONS => Asks::WhetherItIsThere,
            _ => return Err(Outcome::MethodNotAllowed),
        };
        // Only the exact name, with or without a slash behind it: nothing is decoded or resolved.
        let name = SourceName::new(beneath.strip_suffix('/').unwrap_or(beneath));
        let source = name.and_then(|name| self.sources.get(&name));
        Ok((source.ok_or(Outcome::UnknownSource)?, asks))
    }
}

enum Asks {
    ToDeliver,
    WhetherItIsThere,
}

impl Handler for Receiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let peer = request.extensions().get::<Peer>();
        let client = peer.map(|peer| self.proxies.client(*peer, request.headers()));
        if let Some(tokens) = self.token_requests.as_ref().filter(|it| it.are_at(&request)) {
            return tokens.answer(request, client, self.request_timeout, &self.report).await;
        }
        let version = request.version();
        let ids = Ids::of(request.headers(), client);
        let mut stored_at = None;
        let outcome = match self.route(&request) {
            Ok((source, asks)) => {
                let span = match asks {
                    Asks::ToDeliver => {
                        self.traces.delivery(source.name.as_str(), request.headers())
                    }
                    Asks::WhetherItIsThere => Span::default(),
                };
                let mut asker = Asker::new(&self.report, &source.name, &ids, span);
                let outcome = match asks {
                    Asks::WhetherItIsThere => source.probe(&request),
                    Asks::ToDeliver => self
                        .receive(source, request, &mut asker)
                        .await
                        .unwrap_or_else(|refused| refused),
                };
                stored_at = asker.stored_at;
                asker.answered(&outcome);
                outcome
            }
            Err(outcome) => {
                let path = named(request.uri().path());
                self.report.request(UNKNOWN, &outcome, &path, &ids.names(None));
                outcome
            }
        };
        let mut response = outcome.reply().response(version);
        ids.answer(response.headers_mut(), stored_at);
        response
    }
}

/// A path for the log, if it is of the form that a source has: any other may hold a secret.
fn named(path: &str) -> String {
    let name = path.strip_prefix("/v1/").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match name.and_then(SourceName::new) {
        Some(name) => format!("/v1/{name}"),
        None => format!("a path of {} bytes that no source can have", path.len()),
    }
}

impl Source {
    async fn admit(&self, head: &Parts, deadline: Instant) -> Result<Admission, Outcome> {
        let slow = |_| Outcome::Undecided { reason: "it took too long to find out".into() };
        let admission = timeout_at(deadline, self.gate.admit(head)).await.map_err(slow)??;
        if matches!(admission, Admission::Proven(_)) {
            keeps_its_place(head);
        }
        Ok(admission)
    }

    async fn prove(
        &self,
        admission: Admission,
        head: &Parts,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Proof, Outcome> {
        match admission {
            Admission::Proven(proof) => Ok(proof),
            Admission::Signed(signed) => {
                let proof = timeout_at(deadline, signed.prove(body, Instant::now().into())).await;
                let slow = || Outcome::Undecided { reason: "keys came too slowly".into() };
                let proof = proof.map_err(|_| slow())??;
                keeps_its_place(head);
                Ok(proof)
            }
        }
    }

    async fn append(
        &self,
        headers: Vec<(String, String)>,
        body: Body,
        proof: Proof,
        deadline: Instant,
    ) -> Result<u64, Outcome> {
        let delivery = Delivery {
            source: self.name.clone(),
            received_at: body.received_at,
            headers,
            body: body.bytes,
        };
        let (store, reservation) = (self.store.clone(), body.reservation);
        // A task of its own: it outlives a sender that hangs up, and its part of the budget with it.
        let append = tokio::spawn(async move {
            let result = store.append(Authenticated::new(delivery, proof)).await;
            drop(reservation);
            result
        });
        match timeout_at(deadline, append).await {
            Ok(Ok(Ok(sequence))) => Ok(sequence),
            Ok(Ok(Err(refused))) => Err(refused.into()),
            Ok(Err(_panicked)) => Err(Outcome::Internal),
            Err(_elapsed) => Err(Outcome::SpoolSlow),
        }
    }
}

/// Somebody has proved who they are: their connection is kept when places run out.
fn keeps_its_place(head: &Parts) {
    if let Some(connection) = head.extensions.get::<Arc<Activity>>() {
        connection.prove();
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadCredentials { challenge } => Self::BadCredentials { challenge },
            Refusal::BadToken { flaw } => Self::BadToken { reason: flaw.to_string() },
            Refusal::Undecided { reason } => Self::Undecided { reason },
        }
    }
}

impl From<AppendError> for Outcome {
    fn from(refused: AppendError) -> Self {
        match refused {
            AppendError::Full { spool, limit } => Self::SpoolFull { key: limit.key(&spool) },
            AppendError::Poisoned { .. } => Self::Poisoned,
            AppendError::Closed { .. } => Self::Closing,
            AppendError::TooLarge { .. } => Self::SpoolTooLarge,
        }
    }
}

/// Whoever waits for an answer. Reports what became of it, and that it went when nothing did.
struct Asker<'a> {
    report: &'a Report,
    source: &'a SourceName,
    ids: &'a Ids,
    body_came: Option<Instant>,
    stored_at: Option<u64>,
    answered: bool,
    span: Span,
}

impl<'a> Asker<'a> {
    fn new(report: &'a Report, source: &'a SourceName, ids: &'a Ids, span: Span) -> Self {
        Self { report, source, ids, body_came: None, stored_at: None, answered: false, span }
    }

    fn body_came(&mut self, at: Instant, bytes: usize) {
        self.body_came = Some(at);
        self.span.set("http.request.body.size", i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn answered(mut self, outcome: &Outcome) {
        self.answered = true;
        self.tell(outcome);
        let names = self.ids.names(self.stored_at);
        self.report.request(self.source.as_str(), outcome, outcome.detail(), &names);
        if let Some(at) = self.body_came {
            let seconds =
                self.report.metrics.answer_seconds.with_label_values(&[self.source.as_str()]);
            seconds.observe(at.elapsed().as_secs_f64());
        }
    }

    /// The span: by OpenTelemetry's names, where it has them.
    fn tell(&mut self, outcome: &Outcome) {
        if !self.span.is_on() {
            return;
        }
        let (span, reply) = (&mut self.span, outcome.reply());
        span.set("http.request.method", "POST");
        span.set("http.route", "/v1/{source}");
        span.set("url.path", format!("/v1/{}", self.source));
        span.set("millrace.outcome", reply.label);
        span.set("millrace.request_id", self.ids.request().to_owned());
        if let Some(position) = self.stored_at {
            span.set("millrace.position", position.to_string());
        }
        if *outcome != Outcome::ClientGone {
            span.set("http.response.status_code", i64::from(reply.status.as_u16()));
        }
        if reply.status.is_server_error() || *outcome == Outcome::ClientGone {
            span.set("error.type", reply.label);
            span.fail();
        }
    }
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.tell(&Outcome::ClientGone);
            let names = self.ids.names(None);
            self.report.request(self.source.as_str(), &Outcome::ClientGone, "", &names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Never;

    impl Store for Never {
        fn append(&self, _: Authenticated) -> Append<'_> {
            Box::pin(std::future::pending())
        }
    }

    fn route(method: &str, uri: &str) -> Result<Asks, Outcome> {
        let source = Source {
            name: SourceName::new("leads").unwrap(),
            gate: Gate::default(),
            adobe: None,
            store: Arc::new(Never),
        };
        let receiver = Receiver::new([source], &Listen::default(), &Metrics::new());
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        receiver.route(&request).map(|(_, asks)| asks)
    }

    #[test]
    fn only_the_exact_name_is_a_source() {
        for good in ["/v1/leads", "/v1/leads/", "/v1/leads?a=/../b", "http://host/v1/leads"] {
            assert!(matches!(route("POST", good), Ok(Asks::ToDeliver)), "{good}");
        }
        for unknown in [
            "/v1/Leads",
            "/v1/leads//",
            "/v1//leads",
            "/v1/%6ceads",
            "/v1/leads%2f",
            "/v1/x/../leads",
            "/v1/",
            "/v1",
            "/v1/leads/x",
            "/v1/leads;x",
        ] {
            assert_eq!(route("POST", unknown).err(), Some(Outcome::UnknownSource), "{unknown}");
        }
        for outside in [
            "/",
            "/leads",
            "/v10/leads",
            "/v1leads",
            "//v1/leads",
            "/V1/leads",
            "/x/../v1/leads",
            "*",
        ] {
            assert_eq!(route("POST", outside).err(), Some(Outcome::NotFound), "{outside}");
        }
    }

    #[test]
    fn probes_are_answered_and_what_no_sender_does_is_not() {
        for probe in ["GET", "HEAD", "OPTIONS"] {
            assert!(matches!(route(probe, "/v1/leads"), Ok(Asks::WhetherItIsThere)), "{probe}");
            assert_eq!(route(probe, "/v1/other").err(), Some(Outcome::UnknownSource));
        }
        for other in ["PUT", "DELETE", "PATCH", "TRACE", "post", "BREW"] {
            assert_eq!(route(other, "/v1/leads").err(), Some(Outcome::MethodNotAllowed), "{other}");
            assert_eq!(route(other, "/v1/other").err(), Some(Outcome::MethodNotAllowed), "{other}");
        }
    }

    #[test]
    fn a_path_is_logged_only_when_it_can_be_a_sources() {
        assert_eq!(named("/v1/leeds/"), "/v1/leeds");
        for other in ["/v1/leads%3Ftoken=hunter2", "/hunter2", "/v1/leads/hunter2"] {
            assert!(!named(other).contains("hunter2"), "{other}");
        }
    }
}
