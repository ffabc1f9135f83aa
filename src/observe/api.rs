//! The API of the admin listener: received requests, refusals with their reasons, and the result of each delivery.
//!
//! `observe/api/openapi.json` describes it, is served, and is held by a test. The API never touches the delivery path:
//! it reads requests from `metrics/recent.rs`, and the rest from the disk and from Kafka, on threads of its own. The
//! service's knowledge is behind [`Backend`]; `access` decides which requests are allowed.

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
    events::{MAX_QUEUED_EVENTS, Stream},
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

/// The OpenAPI document that describes this API.
pub const OPENAPI_DOCUMENT: &str = include_str!("api/openapi.json");

/// Questions at the same time that read the spool or Kafka.
const MAX_BLOCKING_QUESTIONS: usize = 4;

/// The service as the API sees it. Methods that say so block, and are called on a thread that may.
pub trait Backend: Send + Sync + 'static {
    fn status(&self, access: objects::Access) -> objects::Status;

    fn words(&self) -> objects::Words;

    /// Returns one delivery and the result of each of its events; `bodies` shows the beginning of its body. Blocks.
    fn delivery(
        &self,
        source: &str,
        position: u64,
        bodies: bool,
    ) -> Result<objects::DeliveryDetail, Problem>;

    /// Returns the dead letters that `question` asks for. Blocks.
    fn dead_letters(
        &self,
        question: &DeadLetterQuestion,
        bodies: bool,
    ) -> Result<objects::DeadLetters, Problem>;

    fn replays(&self) -> objects::Replays;

    fn replay(&self, id: &str) -> Result<objects::Replay, Problem>;

    /// Begins a replay for `client`.
    fn begin_replay(&self, request: Value, client: IpAddr) -> Result<objects::Replay, Problem>;

    /// Sends a test delivery for `client`, and returns its result. Blocks.
    fn test_delivery(
        &self,
        request: Value,
        client: IpAddr,
    ) -> Result<objects::TestDelivery, Problem>;
}

/// A question for dead letters: a filter, and a page.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterQuestion {
    pub reason: Option<String>,
    pub source: Option<String>,
    pub since: u64,
    pub limit: usize,
    /// Only letters before this place: where the page before ended.
    pub before: Option<LetterPlace>,
}

/// The order of dead letters: the time of the record in milliseconds since 1970, its partition and its offset.
pub type LetterPlace = (i64, i32, i64);

/// A refusal or failure: a word of the document, and a sentence for operators.
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
    questions: Arc<Semaphore>,
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
            questions: Arc::new(Semaphore::new(MAX_BLOCKING_QUESTIONS)),
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

    /// Answers a `GET` from within the process, for a page of the console: `head` is that of the page's request.
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
            (["openapi.json"], true) => {
                Ok(text(StatusCode::OK, "application/json", OPENAPI_DOCUMENT))
            }
            (["status"], true) => {
                let access = self.describe(granted);
                Ok(ok(&self.known()?.status(access)))
            }
            (["words"], true) => Ok(ok(&self.known()?.words())),
            (["deliveries"], true) => self.deliveries(&Query::of(head)),
            (["deliveries", source, position], true) => {
                let position = position.parse();
                let position = position.map_err(|_| bad("the position is no sequence number"))?;
                let source = source.to_string();
                let bodies = self.access.bodies;
                self.blocking_answer(move |backend| backend.delivery(&source, position, bodies))
                    .await
            }
            (["dead-letters"], true) => {
                let query = Query::of(head);
                query.has_only(&["reason", "source", "since", "limit", "before"])?;
                let words = self.known()?.words();
                let reasons = words.dead_letter_reasons.iter().map(String::as_str);
                query.is_one_of("reason", reasons)?;
                query.is_a_source("source")?;
                let question = DeadLetterQuestion {
                    reason: query.get("reason"),
                    source: query.get("source"),
                    since: query.since()?,
                    limit: query.limit()?,
                    before: query.letter_place("before")?,
                };
                let bodies = self.access.bodies;
                self.blocking_answer(move |backend| backend.dead_letters(&question, bodies)).await
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
                self.blocking_answer(move |backend| backend.test_delivery(request, client)).await
            }
            ([..], false) => Err(Problem::new("method-not-allowed", "There is no such method.")),
            _ => Err(Problem::new("unknown", "There is no such path: see /api/v1/openapi.json.")),
        }
    }

    fn known(&self) -> Result<Arc<dyn Backend>, Problem> {
        self.backend().ok_or_else(|| Problem::new("unavailable", "The service is starting."))
    }

    async fn blocking_answer<T: Serialize + Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Answered {
        Ok(ok(&self.blocking(question).await?))
    }

    /// Asks on a thread that may block; refuses beyond [`MAX_BLOCKING_QUESTIONS`] at the same time.
    async fn blocking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let backend = self.known()?;
        let permit = self.questions.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Problem::new("too-many", "Too many questions: ask later."))?;
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&*backend);
            // Freed by the thread: it goes on when the client is gone and this future is dropped.
            drop(permit);
            answer
        });
        let failed = |_| Problem::new("unavailable", "The question could not be answered.");
        answer.await.map_err(failed)?
    }

    /// Sends a test delivery that a form of the console asks for, under the API's own rules of access.
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
        self.blocking(move |backend| backend.test_delivery(request, client)).await
    }

    /// Returns the JSON of a request that changes something, if it may.
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
        let wanted = query.wanted(&self.known()?.words())?;
        let limit = query.limit()?;
        let before = query.get("before").map_or(Ok(u64::MAX), |it| it.parse());
        let before = before.map_err(|_| bad("`before` is no number"))?;
        let recent = &self.metrics.recent;
        // One more than the page: it shows whether there is a next page.
        let mut found = recent.before(before, limit + 1, &|it| wanted.takes(it));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|it| it.number);
        let deliveries = found.iter().map(delivery).collect();
        Ok(ok(&objects::Deliveries { deliveries, kept: recent.len() as u64, next }))
    }

    /// Refuses a request for another server, or from a page of another origin: see [`Access::check_place`].
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
        let (to, events) = mpsc::channel(MAX_QUEUED_EVENTS);
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
