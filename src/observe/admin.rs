//! Health, metrics and the API, on an address of their own.
//!
//! - `/livez` fails when only a new start can help: a poisoned spool.
//! - `/readyz` says "deliveries can be taken durably". It fails while starting and stopping, on a
//!   poisoned spool, and when the volume is below its reserve. Never because Kafka is away: that
//!   would stop the very traffic which the spool is there to keep.
//! - `/metrics` is Prometheus' text.
//! - `/api/` is the API (`observe/api.rs`).
//! - All but the first three answer only requests whose `Host` is ours, and no page of another origin
//!   (`observe/api/access.rs`). The three have nothing to hide, and a kubelet or Prometheus calls a pod by its address
//!   or by any name.
//! - `/` and what it links to is the console (`observe/console.rs`), unless `admin.console` is `off`.
//!
//! It serves until the very end ([`Phase::Stopped`]), so that a stop can be watched.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::{
    config,
    ingest::listen::{
        Handler,
        accept::{Rules, accept},
        activity::Timeouts,
        report::Report,
    },
    observe::{
        api::{Api, ApiBody, Backend, access::Access, guard},
        console::Console,
        metrics::Metrics,
    },
    runtime::shutdown::{Phase, Shutdown},
};

/// Health of the service: each problem is a sentence for operators, or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why deliveries cannot be taken yet.
    pub starting: Option<String>,
    /// Which spool is poisoned, and by what.
    pub poisoned: Option<String>,
    /// Which volume is below its reserve.
    pub below_reserve: Option<String>,
}

/// The service as this listener sees it. Asked on every request, so it must be quick.
pub trait State: Send + Sync + 'static {
    fn health(&self) -> Health;

    /// Brings gauges up to date before they are read.
    fn refresh(&self, _metrics: &Metrics) {}

    /// Returns the backend of the API, once the service has started.
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

impl<F: Fn() -> Health + Send + Sync + 'static> State for F {
    fn health(&self) -> Health {
        self()
    }
}

/// Returns the reasons why deliveries cannot be taken durably; none where they can.
pub fn why_not_ready(state: &dyn State, shutdown: &Shutdown) -> Vec<String> {
    let Health { starting, poisoned, below_reserve } = state.health();
    let stopping = shutdown.has_reached(Phase::Draining).then(|| "stopping".to_owned());
    [stopping, starting, poisoned, below_reserve].into_iter().flatten().collect()
}

/// Serves health, metrics and the API until the shutdown has reached [`Phase::Stopped`].
pub async fn serve(
    listener: TcpListener,
    state: Arc<dyn State>,
    metrics: Metrics,
    access: Arc<Access>,
    shutdown: Shutdown,
) {
    let rules = Rules {
        timeouts: Timeouts {
            header_timeout: Duration::from_secs(5),
            // No client authenticates here; a scraper opens a new connection when it is late.
            idle: Duration::from_secs(5),
        },
        connections: 64,
        header_limit: 16 * 1024,
        close_within: Duration::from_secs(1),
        until: Phase::Stopped,
        tls: None,
        to_senders: false,
    };
    let report = Report::new("admin", &metrics);
    let known = state.clone();
    let backend = move || known.backend();
    let has_console = access.console != config::Console::Off;
    let api = Api::new(access, metrics.clone(), backend, shutdown.clone());
    let console = has_console.then(|| Console::new(api.clone()));
    let handler = Arc::new(Admin { state, metrics, shutdown: shutdown.clone(), api, console });
    accept(listener, rules, handler, report, shutdown).await;
}

struct Admin {
    state: Arc<dyn State>,
    metrics: Metrics,
    shutdown: Shutdown,
    api: Arc<Api>,
    console: Option<Console<Arc<Api>>>,
}

impl Handler for Admin {
    type Body = ApiBody;

    fn sources(&self) -> usize {
        0
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ApiBody> {
        let is_plain = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_http_1 = request.version() < Version::HTTP_2;
        let mut response = self.answered(request).await;
        // The body of a refused request may not have been read to its end. The connection is then closed behind the
        // answer, and a client without `Connection: close` would lose its next request.
        if is_http_1 && !is_plain && response.status().is_client_error() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Admin {
    async fn answered(&self, request: Request<Incoming>) -> Response<ApiBody> {
        if request.uri().path().starts_with("/api/") {
            return self.api.answer(request).await;
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let console = self.console.as_ref().filter(|_| Console::<Arc<Api>>::has(path));
        // A page asks the API, which checks its request itself. Probes and scrapers call a pod by whatever name they
        // have.
        let is_page = console.is_some() && !Console::<Arc<Api>>::is_asset(path);
        let is_free = matches!(path, "/livez" | "/readyz" | "/metrics");
        if !is_page
            && !is_free
            && let Err(problem) = self.api.check_place(&head)
        {
            return response(problem.status(), "text/plain; charset=utf-8", problem.text + "\n");
        }
        if let Some(console) = console {
            return console.answer(&head, body).await.map(ApiBody::from);
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        }
        match path {
            "/livez" => self.verdict(self.why_not_alive()),
            "/readyz" => self.verdict(why_not_ready(&*self.state, &self.shutdown)),
            "/metrics" => {
                self.state.refresh(&self.metrics);
                let accept = head.headers.get(header::ACCEPT);
                let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
                let (media_type, text) = self.metrics.exposition(accept);
                response(StatusCode::OK, media_type, text)
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /livez, /readyz, /metrics and /api/v1/openapi.json\n",
            ),
        }
    }
}

#[derive(Serialize)]
struct Verdict {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Admin {
    fn why_not_alive(&self) -> Vec<String> {
        self.state.health().poisoned.into_iter().collect()
    }

    fn verdict(&self, reasons: Vec<String>) -> Response<ApiBody> {
        let (code, status) = match reasons.is_empty() {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let verdict = Verdict { status, reasons };
        let json = serde_json::to_string(&verdict).expect("strings always serialize");
        response(code, "application/json", json + "\n")
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<ApiBody> {
    response(status, "text/plain; charset=utf-8", text)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<ApiBody> {
    let mut response = Response::new(Full::new(body.into()).into());
    guard(response.headers_mut());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
