//! Spans, as a collector gets them from the real service, and what becomes of deliveries when the collector
//! is in trouble.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use millrace::{
    config,
    kafka::MockCluster,
    runtime::shutdown::{Phase, Shutdown},
    service::{self, Running},
};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    metrics::v1::metric::Data,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;

use crate::{
    played::{self, Request, Response},
    support::{Raw, Reply, eventually, within},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";
const BODY: &str = r#"{"munchkinId":"123-ABC-456","activities":[{"id":1,"leadId":2,"activityDate":"2026-01-01T00:00:00Z","activityTypeId":1},{"id":2,"leadId":2,"activityDate":"2026-01-01T00:00:00Z","activityTypeId":1}]}"#;

#[derive(Clone, Copy)]
enum Says {
    Status(u16),
    Nothing,
}

/// Keeps what it is sent.
struct Collector {
    endpoint: String,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    fn start(says: Says) -> Self {
        let got: Arc<Mutex<Vec<_>>> = Arc::default();
        let into = got.clone();
        let address = played::serve(move |request| {
            into.lock().unwrap().push(request.clone());
            match says {
                Says::Status(status) => Response::new(status, ""),
                Says::Nothing => loop {
                    std::thread::park();
                },
            }
        });
        Self { endpoint: format!("http://{address}"), got }
    }

    /// By their names, each with the name of its service.
    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for request in self.got.lock().unwrap().iter() {
            for of in ExportTraceServiceRequest::decode(&request.body[..]).unwrap().resource_spans {
                let service = text(&of.resource.unwrap().attributes, "service.name");
                let found = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(found.map(|span| (service.clone(), span)));
            }
        }
        spans
    }
}

type Attributes = Vec<opentelemetry_proto::tonic::common::v1::KeyValue>;

fn all(attributes: &Attributes) -> BTreeMap<String, String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let texts = attributes.iter().map(|attribute| {
        let value = match attribute.value.clone().unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            other => panic!("{other:?}"),
        };
        (attribute.key.clone(), value)
    });
    texts.collect()
}

fn text(attributes: &Attributes, name: &str) -> String {
    all(attributes).remove(name).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Service {
    running: Running,
    shutdown: Shutdown,
    _spool: tempfile::TempDir,
}

impl Service {
    async fn start(cluster: Option<&MockCluster>, more: &[(&str, &str)]) -> Self {
        let (spool, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
        let bootstrap = cluster.map_or("127.0.0.1:1", MockCluster::bootstrap);
        let mut environment = vec![
            ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", bootstrap),
            ("MILLRACE_LISTEN__ADDRESS", "127.0.0.1:0"),
            ("MILLRACE_ADMIN__ADDRESS", "127.0.0.1:0"),
            ("MILLRACE_SPOOL__DIRECTORY", spool.path().to_str().unwrap()),
            ("MILLRACE_SPOOL__SIZE_LIMIT", "1GiB"),
            ("MILLRACE_SPOOL__RESERVE", "66MiB"),
            ("MILLRACE_SHUTDOWN__DELAY", "0s"),
            ("MILLRACE_SHUTDOWN__FLUSH", "10ms"),
            ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
            ("MILLRACE_SOURCES__LEADS__AUTH__QUERY_PARAMETER", "token"),
        ];
        environment.extend(more);
        let mut config =
            config::load(None, environment).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        if let Some(cluster) = cluster {
            config.kafka.properties.extend(cluster.properties());
        }
        let maker = cluster.map(|cluster| cluster.topic_maker(1));
        let running = service::start(config, maker, shutdown.clone()).await.unwrap();
        Self { running, shutdown, _spool: spool }
    }

    async fn deliver(&self, token: &str, headers: &str) -> Reply {
        let mut sender = Raw::connect(self.running.deliveries).await;
        let length = BODY.len();
        sender
            .send(format!(
                "POST /v1/leads?token={token} HTTP/1.1\r\nhost: here\r\nx-api-key: hunter2\r\n{headers}content-length: {length}\r\n\r\n{BODY}"
            ))
            .await;
        sender.reply().await
    }

    async fn stop(self) {
        self.shutdown.advance(Phase::Closing);
        within(self.running.finished()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_and_its_forwarding_are_spans_of_the_trace_that_its_sender_is_in() {
    let (collector, cluster) =
        (Collector::start(Says::Status(200)), MockCluster::start(1).unwrap());
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str());
    let service = Service::start(Some(&cluster), &[to]).await;
    let parent = format!("x-request-id: of-sender\r\ntraceparent: 00-{TRACE}-{SENDER}-01\r\n");
    let stored = service.deliver("hunter2", &parent).await;
    assert_eq!(stored.status, 200);
    assert_eq!(service.deliver("hunter3", "").await.status, 401);
    let unsampled = format!("traceparent: 00-{TRACE}-{SENDER}-00\r\n");
    assert_eq!(service.deliver("hunter2", &unsampled).await.status, 200);
    eventually(|| service.running.backlog().1 == 0).await;
    service.stop().await;

    assert_eq!(collector.got.lock().unwrap()[0].target, "/v1/traces");
    let spans = collector.spans();
    assert!(spans.iter().all(|(service, _)| service == "millrace"));
    let with = |name, value: &str| {
        let found: Vec<_> =
            spans.iter().filter(|(_, span)| text(&span.attributes, name) == value).collect();
        assert_eq!(found.len(), 1, "{name}={value} in {spans:#?}");
        found[0].1.clone()
    };
    let delivery = with("millrace.outcome", "stored");
    assert_eq!(
        (hex(&delivery.trace_id), hex(&delivery.parent_span_id)),
        (TRACE.into(), SENDER.into())
    );
    assert_eq!((delivery.name.as_str(), delivery.kind()), ("POST /v1/{source}", SpanKind::Server));
    let position = stored.header("millrace-position").unwrap();
    let told: BTreeMap<_, _> = [
        ("http.request.body.size", BODY.len().to_string().as_str()),
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/v1/{source}"),
        ("millrace.outcome", "stored"),
        ("millrace.position", position),
        ("millrace.request_id", "of-sender"),
        ("millrace.source", "leads"),
        ("url.path", "/v1/leads"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(all(&delivery.attributes), told);

    let forwarding = with("millrace.settled", "true");
    assert_eq!(hex(&forwarding.trace_id), TRACE);
    assert_eq!(forwarding.parent_span_id, delivery.span_id);
    assert_eq!((forwarding.name.as_str(), forwarding.kind()), ("forward", SpanKind::Producer));
    assert_eq!(text(&forwarding.attributes, "millrace.events"), "2");
    assert_eq!(text(&forwarding.attributes, "millrace.position"), position);

    let refused = with("http.response.status_code", "401");
    assert!(refused.parent_span_id.is_empty() && hex(&refused.trace_id) != TRACE);
    assert_ne!(
        refused.status.unwrap_or_default().code(),
        StatusCode::Error,
        "the sender's mistake"
    );
    assert_eq!(spans.len(), 3, "what the sender's sampler left out is left out: {spans:#?}");
    assert!(!format!("{spans:?}").contains("hunter"));
}

/// Why spans were lost.
async fn deliveries_go_on(endpoint: &str) -> Vec<&'static str> {
    let service = Service::start(None, &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)]).await;
    for _ in 0..3 {
        assert_eq!(service.deliver("hunter2", "").await.status, 200);
    }
    let (metrics, began) = (service.running.metrics.clone(), Instant::now());
    service.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "stopped after {:?}", began.elapsed());
    // Those of the deliveries, and of as many as the forwarder had begun with.
    let lost = ["queue-full", "not-accepted", "stopped"]
        .map(|why| (why, metrics.trace_spans_dropped.with_label_values(&[why]).get()));
    lost.iter().filter(|(_, spans)| (3..=6).contains(spans)).map(|(why, _)| *why).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_collector_does_deliveries_are_answered_and_lost_spans_are_counted() {
    let (broken, silent) = (Collector::start(Says::Status(500)), Collector::start(Says::Nothing));
    let (refused, hanging, away) = tokio::join!(
        deliveries_go_on(&broken.endpoint),
        deliveries_go_on(&silent.endpoint),
        deliveries_go_on("http://127.0.0.1:1/v1/traces"),
    );
    assert_eq!(refused, ["not-accepted"]);
    assert_eq!(hanging, ["stopped"]);
    // It is tried again for a while, perhaps until the stop waits no longer.
    assert!(away == ["not-accepted"] || away == ["stopped"], "{away:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_that_can_be_spoken_to_nothing_is_traced() {
    let collector = Collector::start(Says::Status(200));
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str());
    let off: [&[_]; 3] = [
        &[("OTEL_SERVICE_NAME", "millrace")],
        &[to, ("OTEL_SDK_DISABLED", "true")],
        &[to, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ];
    for variables in off {
        let service = Service::start(None, variables).await;
        assert_eq!(service.deliver("hunter2", "").await.status, 200);
        let metrics = service.running.metrics.clone();
        service.stop().await;
        assert!(!metrics.render().contains("millrace_trace_"), "{variables:?}");
    }
    assert!(collector.got.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_pushed_to_a_collector_that_takes_them_and_one_that_refuses_delays_nothing() {
    for status in [200, 503] {
        let collector = Collector::start(Says::Status(status));
        let cluster = MockCluster::start(1).unwrap();
        let to = format!("{}/v1/metrics", collector.endpoint);
        let service = Service::start(
            Some(&cluster),
            &[
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &to),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ],
        )
        .await;
        assert_eq!(service.deliver("hunter2", "").await.status, 200);
        eventually(|| service.running.backlog().1 == 0).await;
        eventually(|| !collector.got.lock().unwrap().is_empty()).await;
        service.stop().await;

        // The last one is from the stop, when both events were delivered.
        let last = collector.got.lock().unwrap().last().cloned().unwrap();
        assert_eq!(last.target, "/v1/metrics");
        let pushed = ExportMetricsServiceRequest::decode(&last.body[..]).unwrap();
        let of = &pushed.resource_metrics[0];
        let attributes = &of.resource.as_ref().unwrap().attributes;
        assert_eq!(text(attributes, "service.name"), "millrace");
        let metrics = &of.scope_metrics[0].metrics;
        let find = |name| metrics.iter().find(|it| it.name == name).and_then(|it| it.data.as_ref());
        let Some(Data::Histogram(delivered)) = find("millrace_delivered_seconds") else { panic!() };
        assert_eq!(delivered.data_points[0].count, 2, "{delivered:?}");
        let Some(Data::Sum(received)) = find("millrace_received_bytes_total") else { panic!() };
        assert!(received.is_monotonic);
    }
}
