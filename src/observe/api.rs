//! The API of the admin listener: what came in, why it was refused, and what became of it.
//!
//! `observe/api/openapi.json` describes it, is served, and is held by a test. Everything is apart from the delivery
//! path: requests are read from what is remembered of them, the rest from the disk and from Kafka, in the background.
//! What the service knows is behind [`Backend`]; who may ask is settled here (`access`).

pub mod access;
mod answer;
mod body;
mod events;
mod host;
pub mod objects;
mod question;
pub mod rates;
mod session;
mod streams;
mod view;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use self::{
    access::{Access, Granted},
    answer::{bad, ok, refusal, text, whole},
    events::{Stream, WAITING},
    question::Query,
    session::json_body,
    streams::Streams,
};
pub use self::{
    answer::guard,
    body::ApiBody,
    question::{Wanted, time},
    session::read_body,
    view::delivery,
};
use crate::{
    config::Console,
    ingest::listen::{activity::Activity, client::Peer},
    observe::metrics::Metrics,
    runtime::shutdown::Shutdown,
};

/// The document that describes all of this.
pub const DOCUMENT: &str = include_str!("api/openapi.json");

/// Looks into the spool and at Kafka at the same time.
const LOOKS: usize = 4;

/// What the service knows. Those that say so block: they are called on a thread for that.
pub trait Backend: Send + Sync + 'static {
    fn status(&self, access: objects::Access) -> objects::Status;

    fn words(&self) -> objects::Words;

    /// Blocks. One delivery and what became of its events; `bodies` shows the beginning of its body.
    fn delivery(
        &self,
        source: &str,
        position: u64,
        bodies: bool,
    ) -> Result<objects::DeliveryDetail, Problem>;

    /// Blocks.
    fn dead_letters(
        &self,
        question: &Letters,
        bodies: bool,
    ) -> Result<objects::DeadLetters, Problem>;

    fn replays(&self) -> objects::Replays;

    fn replay(&self, id: &str) -> Result<objects::Replay, Problem>;

    /// Begins one, for `client`.
    fn begin_replay(&self, request: Value, client: IpAddr) -> Result<objects::Replay, Problem>;

    /// Blocks.
    fn test_delivery(
        &self,
        request: Value,
        client: IpAddr,
    ) -> Result<objects::TestDelivery, Problem>;
}

/// Which dead letters.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    pub reason: Option<String>,
    pub source: Option<String>,
    pub since: u64,
    pub limit: usize,
    pub before: Option<String>,
}

/// Why there is no answer: a word of the document, and a sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    pub error: &'static str,
    pub text: String,
}

impl Problem {
    pub fn new(error: &'static str, text: impl Into<String>) -> Self {
        Self { error, text: text.into() }
    }

    pub fn status(&self) -> StatusCode {
        match self.error {
            "no-token" | "wrong-token" => StatusCode::UNAUTHORIZED,
            "foreign-host" | "foreign-origin" => StatusCode::FORBIDDEN,
            "unknown" => StatusCode::NOT_FOUND,
            "method-not-allowed" => StatusCode::METHOD_NOT_ALLOWED,
            "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
            "too-many" | "too-many-attempts" => StatusCode::TOO_MANY_REQUESTS,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// The API of one service.
pub struct Api {
    access: Arc<Access>,
    metrics: Metrics,
    backend: Box<dyn Fn() -> Option<Arc<dyn Backend>> + Send + Sync>,
    streams: Arc<Streams>,
    looks: Arc<Semaphore>,
    shutdown: Shutdown,
}

type Answered = Result<Response<ApiBody>, Problem>;

impl Api {
    pub fn new(
        access: Arc<Access>,
        metrics: Metrics,
        backend: impl Fn() -> Option<Arc<dyn Backend>> + Send + Sync + 'static,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            access,
            metrics,
            backend: Box::new(backend),
            streams: Arc::default(),
            looks: Arc::new(Semaphore::new(LOOKS)),
            shutdown,
        })
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        (self.backend)()
    }

    /// Answers a request below `/api/`.
    pub async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<ApiBody> {
        let (head, body) = request.into_parts();
        self.answer_parts(&head, Some(body)).await
    }

    /// The same within the process: a `GET` with the head of another request, for a page of the console.
    pub async fn answer_head(self: &Arc<Self>, head: &Parts) -> Response<ApiBody> {
        self.answer_parts(head, None).await
    }

    async fn answer_parts(
        self: &Arc<Self>,
        head: &Parts,
        body: Option<Incoming>,
    ) -> Response<ApiBody> {
        let answered = self.route(head, body).await;
        let mut response = answered.unwrap_or_else(|problem| refusal(&problem));
        guard(response.headers_mut());
        response
    }

    async fn route(self: &Arc<Self>, head: &Parts, body: Option<Incoming>) -> Answered {
        self.access.check_place(&head.uri, &head.headers)?;
        let client = client_of(head);
        let path = head.uri.path().strip_prefix("/api/v1/").unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        if parts == ["session"] {
            return self.session(head, body, client).await;
        }
        let granted = self.access.who(&head.headers, client)?;
        self.access.check_read(granted)?;
        let is_get = matches!(head.method, Method::GET | Method::HEAD);
        match (&*parts, is_get) {
            (["openapi.json"], true) => Ok(text(StatusCode::OK, "application/json", DOCUMENT)),
            (["status"], true) => {
                let access = self.describe(granted);
                Ok(ok(&self.known()?.status(access)))
            }
            (["words"], true) => Ok(ok(&self.known()?.words())),
            (["deliveries"], true) => self.deliveries(&Query::of(head)),
            (["deliveries", source, position], true) => {
                let position = position.parse();
                let position = position.map_err(|_| bad("the position is no sequence number"))?;
                let (source, bodies) = (source.to_string(), self.access.bodies);
                self.look(move |backend| backend.delivery(&source, position, bodies)).await
            }
            (["dead-letters"], true) => {
                let query = Query::of(head);
                query.has_only(&["reason", "source", "since", "limit", "before"])?;
                let words = self.known()?.words();
                let reasons = words.dead_letter_reasons.iter().map(String::as_str);
                query.is_one_of("reason", reasons)?;
                let question = Letters {
                    reason: query.get("reason"),
                    source: query.get("source"),
                    since: query.since()?,
                    limit: query.limit()?,
                    before: query.get("before"),
                };
                let bodies = self.access.bodies;
                self.look(move |backend| backend.dead_letters(&question, bodies)).await
            }
            (["replays"], true) => Ok(ok(&self.known()?.replays())),
            (["replays", id], true) => Ok(ok(&self.known()?.replay(id)?)),
            (["events"], true) => self.events(head, granted, client),
            (["replays"], false) if head.method == Method::POST => {
                let request = self.change(head, body, granted).await?;
                let begun = self.known()?.begin_replay(request, client)?;
                Ok(whole(StatusCode::ACCEPTED, &begun))
            }
            (["test-deliveries"], false) if head.method == Method::POST => {
                let request = self.change(head, body, granted).await?;
                self.look(move |backend| backend.test_delivery(request, client)).await
            }
            ([..], false) => Err(Problem::new("method-not-allowed", "There is no such method.")),
            _ => Err(Problem::new("unknown", "There is no such path: see /api/v1/openapi.json.")),
        }
    }

    fn known(&self) -> Result<Arc<dyn Backend>, Problem> {
        self.backend().ok_or_else(|| Problem::new("unavailable", "The service is starting."))
    }

    async fn look<T: Serialize + Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Answered {
        Ok(ok(&self.looked(question).await?))
    }

    /// On a thread that may block; few at the same time.
    async fn looked<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let backend = self.known()?;
        let permit = self.looks.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Problem::new("too-many", "Too many questions: ask later."))?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&*backend);
            drop(permit);
            answer
        });
        let failed = |_| Problem::new("unavailable", "The question could not be answered.");
        answer.await.map_err(failed)?
    }

    /// A test delivery that a form of the console asks for: who may, is as for the API's own.
    pub async fn test_delivery(
        &self,
        request: Value,
        head: &Parts,
    ) -> Result<objects::TestDelivery, Problem> {
        self.access.check_host(&head.uri, &head.headers)?;
        let client = client_of(head);
        let granted = self.access.who(&head.headers, client)?;
        self.access.check_read(granted)?;
        self.may_change(head, granted)?;
        self.looked(move |backend| backend.test_delivery(request, client)).await
    }

    /// Whether the request may change something, and what it asks for.
    async fn change(
        &self,
        head: &Parts,
        body: Option<Incoming>,
        granted: Granted,
    ) -> Result<Value, Problem> {
        self.may_change(head, granted)?;
        json_body(head, body).await
    }

    fn may_change(&self, head: &Parts, granted: Granted) -> Result<(), Problem> {
        self.access.check_change(granted, &head.uri, &head.headers)?;
        if self.access.console != Console::Replay && granted.is_by_cookie() {
            let text = "The console may not replay here: set `admin.console` to `replay`.";
            return Err(Problem::new("foreign-origin", text));
        }
        Ok(())
    }

    fn describe(&self, granted: Granted) -> objects::Access {
        let may_change = granted.signed_in
            && (!granted.is_by_cookie() || self.access.console == Console::Replay);
        objects::Access {
            needs_token: self.access.needs_token(),
            signed_in: granted.signed_in,
            may_change,
            has_tokens: self.access.has_tokens(),
            bodies: self.access.bodies,
            console: self.access.console.as_str().to_owned(),
        }
    }

    fn deliveries(&self, query: &Query) -> Answered {
        query.has_only(&["source", "outcome", "reason", "since", "limit", "before"])?;
        let (wanted, limit) = (query.wanted(&self.known()?.words())?, query.limit()?);
        let before = query.get("before").map_or(Ok(u64::MAX), |it| it.parse());
        let before = before.map_err(|_| bad("`before` is no number"))?;
        let recent = &self.metrics.recent;
        let mut found = recent.before(before, limit + 1, &|it| wanted.takes(it));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|it| it.number);
        let deliveries = found.iter().map(delivery).collect();
        Ok(ok(&objects::Deliveries { deliveries, kept: recent.len() as u64, next }))
    }

    /// Whether a request for anything may be answered: see [`Access::check_place`].
    pub fn check_place(&self, head: &Parts) -> Result<(), Problem> {
        self.access.check_place(&head.uri, &head.headers)
    }

    fn events(self: &Arc<Self>, head: &Parts, granted: Granted, client: IpAddr) -> Answered {
        let query = Query::of(head);
        query.has_only(&["source", "outcome", "reason", "only"])?;
        query.is_one_of("only", ["status", "delivery"].into_iter())?;
        let wanted = query.wanted(&self.known()?.words())?;
        let only = query.get("only");
        let permit = self.streams.take(self.access.client(&head.headers, client))?;
        let last_id =
            head.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let stream = Stream {
            api: self.clone(),
            metrics: self.metrics.clone(),
            wanted,
            deliveries: only.as_deref() != Some("status"),
            status: only.as_deref() != Some("delivery"),
            after: last_id.unwrap_or_else(|| self.metrics.recent.last_number()),
            access: self.describe(granted),
            permit,
        };
        let (to, events) = mpsc::channel(WAITING);
        let activity = head.extensions.get::<Arc<Activity>>().cloned();
        tokio::spawn(stream.run(to, activity, self.shutdown.clone()));
        let mut response = Response::new(ApiBody::Events(events));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
}

fn client_of(head: &Parts) -> IpAddr {
    head.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |it| it.0)
}
