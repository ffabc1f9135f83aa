//! The API of the admin listener: what came in, why it was refused, and what became of it.
//!
//! `observe/api/openapi.json` describes it, is served, and is held by a test. Everything is apart from the delivery
//! path: requests are read from what is remembered of them, the rest from the disk and from Kafka, in the background.
//! What the service knows is behind [`Backend`]; who may ask is settled here (`access`).

pub mod access;
mod body;
mod events;
pub mod rates;
mod view;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use self::{
    access::{Access, Granted},
    events::{Stream, WAITING},
};
pub use self::{body::ApiBody, view::delivery};
use crate::{
    config::Console,
    ingest::listen::{activity::Activity, client::Peer, reply::OWN_400},
    observe::metrics::{Metrics, recent::Remembered},
    runtime::shutdown::Shutdown,
};

/// The document that describes all of this.
pub const DOCUMENT: &str = include_str!("api/openapi.json");

const STREAMS: usize = 16;
/// Looks into the spool and at Kafka at the same time.
const LOOKS: usize = 4;
const BODY: usize = 1024 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What the service knows. Those that say so block: they are called on a thread for that.
pub trait Backend: Send + Sync + 'static {
    fn status(&self, access: Value) -> Value;

    fn words(&self) -> Value;

    /// Blocks. One delivery and what became of its events; `bodies` shows the beginning of its body.
    fn delivery(&self, source: &str, position: u64, bodies: bool) -> Result<Value, Problem>;

    /// Blocks.
    fn dead_letters(&self, question: &Letters, bodies: bool) -> Result<Value, Problem>;

    fn replays(&self) -> Value;

    fn replay(&self, id: &str) -> Result<Value, Problem>;

    /// Begins one, for `client`.
    fn begin_replay(&self, request: Value, client: IpAddr) -> Result<Value, Problem>;

    /// Blocks.
    fn test_delivery(&self, request: Value, client: IpAddr) -> Result<Value, Problem>;
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

    fn status(&self) -> StatusCode {
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

/// Which requests.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    source: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    since: u64,
}

impl Wanted {
    fn takes(&self, it: &Remembered) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let outcome = match self.outcome.as_deref() {
            Some("refused") => it.reason.is_some(),
            _ => is(&self.outcome, it.outcome),
        };
        outcome
            && is(&self.source, &it.source)
            && is(&self.reason, it.reason.unwrap_or_default())
            && it.at >= self.since
    }
}

/// The API of one service.
pub struct Api {
    access: Arc<Access>,
    metrics: Metrics,
    backend: Box<dyn Fn() -> Option<Arc<dyn Backend>> + Send + Sync>,
    streams: Arc<Semaphore>,
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
            streams: Arc::new(Semaphore::new(STREAMS)),
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
        let mut response = answered.unwrap_or_else(|problem| {
            let json = json!({ "error": problem.error, "text": problem.text });
            let mut response = whole(problem.status(), &json);
            if problem.status() == StatusCode::BAD_REQUEST {
                // Any other 400 is the HTTP library's, which senders are not to see.
                response.extensions_mut().insert(OWN_400);
            }
            if problem.status() == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Bearer realm=\"millrace admin\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        });
        guard(response.headers_mut());
        response
    }

    async fn route(self: &Arc<Self>, head: &Parts, body: Option<Incoming>) -> Answered {
        self.access.check_host(&head.uri, &head.headers)?;
        let client = head.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |it| it.0);
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
            (["events"], true) => self.events(head, granted),
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

    /// On a thread that may block; few at the same time.
    async fn look(
        &self,
        question: impl FnOnce(&dyn Backend) -> Result<Value, Problem> + Send + 'static,
    ) -> Answered {
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
        Ok(ok(&answer.await.map_err(failed)??))
    }

    /// Whether the request may change something, and what it asks for.
    async fn change(
        &self,
        head: &Parts,
        body: Option<Incoming>,
        granted: Granted,
    ) -> Result<Value, Problem> {
        self.access.check_change(granted, &head.uri, &head.headers)?;
        if self.access.console != Console::Replay && granted.is_by_cookie() {
            let text = "The console may not replay here: set `admin.console` to `replay`.";
            return Err(Problem::new("foreign-origin", text));
        }
        json_body(head, body).await
    }

    fn describe(&self, granted: Granted) -> Value {
        let may_change = granted.signed_in
            && (!granted.is_by_cookie() || self.access.console == Console::Replay);
        json!({
            "needs_token": self.access.needs_token(),
            "signed_in": granted.signed_in,
            "may_change": may_change,
            "has_tokens": self.access.has_tokens(),
            "bodies": self.access.bodies,
            "console": self.access.console.as_str(),
        })
    }

    async fn session(&self, head: &Parts, body: Option<Incoming>, client: IpAddr) -> Answered {
        self.access.check_origin(&head.uri, &head.headers, false)?;
        match head.method {
            Method::GET | Method::HEAD => {
                let granted = self.access.who(&head.headers, client)?;
                Ok(ok(&json!({ "access": self.describe(granted) })))
            }
            Method::POST => {
                let json = json_body(head, body).await?;
                let token = json.get("token").and_then(Value::as_str);
                let token = token.ok_or_else(|| bad("`token` is missing"))?;
                self.access.check_token(token.as_bytes(), client)?;
                let granted = Granted::by_cookie();
                let mut response = ok(&json!({ "access": self.describe(granted) }));
                set_cookie(&mut response, &self.access.begin_session());
                tracing::info!(%client, "signed in at the admin listener");
                Ok(response)
            }
            Method::DELETE => {
                let mut response = text(StatusCode::NO_CONTENT, "application/json", "");
                set_cookie(&mut response, &self.access.end_session(&head.headers));
                Ok(response)
            }
            _ => Err(Problem::new("method-not-allowed", "There is no such method.")),
        }
    }

    fn deliveries(&self, query: &Query) -> Answered {
        let (wanted, limit) = (query.wanted()?, query.limit()?);
        let before = query.get("before").map_or(Ok(u64::MAX), |it| it.parse());
        let before = before.map_err(|_| bad("`before` is no number"))?;
        let recent = &self.metrics.recent;
        let mut found = recent.before(before, limit + 1, &|it| wanted.takes(it));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|it| it.number);
        let deliveries: Vec<_> = found.iter().map(delivery).collect();
        Ok(ok(&json!({ "deliveries": deliveries, "kept": recent.len(), "next": next })))
    }

    fn events(self: &Arc<Self>, head: &Parts, granted: Granted) -> Answered {
        let query = Query::of(head);
        let only = query.get("only");
        let permit = self.streams.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Problem::new("too-many", "Too many streams: close one."))?;
        let last_id =
            head.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let stream = Stream {
            api: self.clone(),
            metrics: self.metrics.clone(),
            wanted: query.wanted()?,
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

impl Granted {
    /// Of a session that begins.
    fn by_cookie() -> Self {
        Self::new(true, true)
    }
}

/// What each answer has, so that no page of another origin can show, embed or read it.
pub fn guard(headers: &mut http::HeaderMap) {
    for (name, value) in [
        ("cache-control", "no-store"),
        (
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

async fn json_body(head: &Parts, body: Option<Incoming>) -> Result<Value, Problem> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_json = kind
        .is_some_and(|it| it.split(';').next().is_some_and(|it| it.trim() == "application/json"));
    if !is_json {
        return Err(Problem::new("not-json", "Send `Content-Type: application/json`."));
    }
    let body = body.ok_or_else(|| bad("it has no body"))?;
    let read = tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY).collect()).await;
    let read = read.map_err(|_| bad("the body took too long"))?;
    let bytes = read
        .map_err(|_| Problem::new("too-large", "The body is cut short, or larger than 1 MiB."))?;
    let json = serde_json::from_slice(&bytes.to_bytes());
    json.map_err(|error| Problem::new("not-json", format!("The body is no JSON: {error}.")))
}

fn bad(text: &str) -> Problem {
    Problem::new("bad-request", format!("The question can't be understood: {text}."))
}

fn ok(json: &Value) -> Response<ApiBody> {
    whole(StatusCode::OK, json)
}

fn whole(status: StatusCode, json: &Value) -> Response<ApiBody> {
    text(status, "application/json", json.to_string() + "\n")
}

fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<ApiBody> {
    let mut response = Response::new(ApiBody::Whole(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn set_cookie(response: &mut Response<ApiBody>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// The parameters of a question.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(head: &Parts) -> Self {
        let query = head.uri.query().unwrap_or_default();
        let pairs = reqwest::Url::parse(&format!("http://x/?{query}"));
        Self(pairs.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(it, value)| it == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    fn since(&self) -> Result<u64, Problem> {
        self.get("since").map_or(Ok(0), |text| time(&text))
    }

    fn limit(&self) -> Result<usize, Problem> {
        let limit = self.get("limit").map_or(Ok(100), |it| it.parse::<usize>());
        let limit = limit.ok().filter(|it| (1..=1000).contains(it));
        limit.ok_or_else(|| bad("`limit` is from 1 to 1000"))
    }

    fn wanted(&self) -> Result<Wanted, Problem> {
        Ok(Wanted {
            source: self.get("source"),
            outcome: self.get("outcome"),
            reason: self.get("reason"),
            since: self.since()?,
        })
    }
}

/// Milliseconds since 1970, of these, of RFC 3339, or of how long ago.
pub fn time(text: &str) -> Result<u64, Problem> {
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(millis);
    }
    let time = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let since = since
        .ok_or_else(|| bad("write a time as 2026-03-02T10:00:00Z, or how long ago as in 2h"))?;
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
