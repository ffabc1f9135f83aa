//! Export of spans to the collector: by the SDK's queue and thread, and the HTTP client of the whole program.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use async_trait::async_trait;
use http::{Request, Response};
use opentelemetry::{Context, Key, KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use reqwest::Url;
use tokio::runtime::Handle;

use super::Traces;
use crate::{
    observe::metrics::Metrics,
    runtime::fetch::{Client, Limits},
};

/// Spans that may wait for the collector.
const MAX_QUEUED_SPANS: usize = 2048;

/// How long a stop waits for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two log lines about dropped spans.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The exporter cannot be made; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetUpError(String);

/// The running exporter, which a stop has to flush.
pub struct Exporter {
    provider: SdkTracerProvider,
    losses: Arc<Losses>,
}

impl Exporter {
    /// Starts the exporter's thread. Its requests are sent by the runtime that this is called in.
    pub fn start(endpoint: &Url, metrics: &Metrics) -> Result<Self, SetUpError> {
        let losses = Arc::new(Losses::new(metrics));
        let client = Client::new().map_err(SetUpError)?;
        let sender = Sender { client, runtime: Handle::current(), losses: losses.clone() };
        let exporter = Otlp::builder()
            .with_http()
            .with_endpoint(endpoint.as_str())
            .with_timeout(Limits::SMALL.time)
            .with_http_client(sender)
            .build()
            // The error's text may quote headers of the environment, which can be secret.
            .map_err(|_| SetUpError("the values of the variables OTEL_* cannot be used".into()))?;
        let counted = Counted { exporter, losses: losses.clone() };
        let config = BatchConfigBuilder::default().with_max_queue_size(MAX_QUEUED_SPANS).build();
        let batches = BatchSpanProcessor::builder(counted).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_span_processor(Queue { batches, losses: losses.clone() })
            .build();
        Ok(Self { provider, losses })
    }

    pub fn traces(&self) -> Traces {
        Traces(Some(self.provider.tracer("millrace")))
    }

    /// Sends the waiting spans, for [`FLUSH_TIMEOUT`] at most; spans that are left then are lost and counted.
    pub async fn stop(self) {
        let Self { provider, losses } = self;
        let stopping =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        // A time-out needs no handling of its own: it shows in the number of spans that still wait.
        let _ = stopping.await;
        let left = losses.waiting.swap(0, Ordering::Relaxed);
        if left > 0 {
            losses.lost("stopped", left);
        }
    }
}

/// Returns the name and version of this program, unless the environment sets others.
pub fn resource() -> Resource {
    const NAME: Key = Key::from_static_str("service.name");
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().build();
    let is_named =
        found.get(&NAME).is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(version);
    if is_named { builder.build() } else { builder.with_service_name("millrace").build() }
}

/// Counts waiting and lost spans, and logs losses.
struct Losses {
    metrics: Metrics,
    waiting: AtomicUsize,
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    reason: Option<String>,
    logged: Option<Instant>,
}

impl Losses {
    fn new(metrics: &Metrics) -> Self {
        for reason in ["queue-full", "not-accepted", "stopped"] {
            metrics.trace_spans_dropped.with_label_values(&[reason]);
        }
        Self { metrics: metrics.clone(), waiting: AtomicUsize::new(0), trouble: Mutex::default() }
    }

    fn lost(&self, why: &str, spans: usize) {
        self.metrics.trace_spans_dropped.with_label_values(&[why]).inc_by(spans as u64);
        let mut trouble = self.trouble.lock();
        if trouble.logged.is_some_and(|at| at.elapsed() < WARNING_INTERVAL) {
            return;
        }
        trouble.logged = Some(Instant::now());
        let collector = trouble.reason.take();
        drop(trouble);
        tracing::warn!(
            why,
            spans,
            collector,
            "trace spans dropped; deliveries are not affected; millrace_trace_spans_dropped_total counts them"
        );
    }

    fn because(&self, reason: String) {
        self.trouble.lock().reason = Some(reason);
    }
}

/// The SDK's processor, with a limit of our own that counts the spans beyond it: the SDK drops them silently.
struct Queue {
    batches: BatchSpanProcessor,
    losses: Arc<Losses>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.losses.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_QUEUED_SPANS {
            self.losses.waiting.fetch_sub(1, Ordering::Relaxed);
            self.losses.lost("queue-full", 1);
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// The SDK's exporter, which counts the spans that the collector did not accept.
struct Counted {
    exporter: Otlp,
    losses: Arc<Losses>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        // A stop may have counted these spans as lost meanwhile; they must not be counted twice.
        let taken =
            self.losses.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                waiting.checked_sub(spans)
            });
        if result.is_err() && taken.is_ok() {
            self.losses.lost("not-accepted", spans);
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends requests by the service's runtime, since the SDK's thread has none.
struct Sender {
    client: Client,
    runtime: Handle,
    losses: Arc<Losses>,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = self.client.request(head.method, head.uri.to_string().parse()?);
        let request = request.headers(head.headers).body(body).build()?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send(request, Limits::SMALL).await });
        let answer = sent.await?.inspect_err(|error| self.losses.because(error.to_string()))?;
        if !answer.status.is_success() {
            self.losses.because(format!("answers {}", answer.status));
        }
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Implements `Debug`, which the SDK demands. Not derived: the fields hold the collector's headers.
macro_rules! debug_shows_only_the_name {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

debug_shows_only_the_name!(Queue, Counted, Sender);
