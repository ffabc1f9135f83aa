//! Metrics pushed by OTLP, for platforms without a Prometheus that scrapes: the metrics of `/metrics`, under the
//! same names, cumulative since the start of the process.
//!
//! The SDK's instruments would count everything twice; instead, the families that the registry gathers are written
//! as OTLP's message. A collector that is away or refuses a push costs its readers a gap, and a warning a minute;
//! nothing waits for it.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};
use prometheus::proto::{self, MetricFamily, MetricType};
use prost::Message;
use reqwest::Url;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{metrics::Metrics, traces::resource};
use crate::runtime::fetch::{Client, Limits};

/// Shortest time between two log lines about pushes that failed.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// How long a stop waits for the last push.
const LAST_PUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The collector: its address and headers, how often metrics are pushed, and how long one push may take.
pub struct Collector {
    pub url: Url,
    pub headers: HeaderMap,
    pub interval: Duration,
    pub timeout: Duration,
}

/// The task that pushes metrics until [`Push::stop`].
pub struct Push {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Push {
    /// Starts the task in the runtime that this is called in.
    pub fn start(collector: Collector, metrics: Metrics) -> Result<Self, String> {
        let client = Client::new()?;
        let (stop, stopped) = oneshot::channel();
        let pusher = Pusher { client, collector, metrics, warned: None, resource: resource_of() };
        Ok(Self { stop, task: tokio::spawn(pusher.run(stopped)) })
    }

    /// Pushes once more, so that the collector sees the last counts, and ends the task.
    pub async fn stop(self) {
        let Self { stop, task } = self;
        drop(stop);
        let abort = task.abort_handle();
        if timeout(LAST_PUSH_TIMEOUT, task).await.is_err() {
            abort.abort();
        }
    }
}

struct Pusher {
    client: Client,
    collector: Collector,
    metrics: Metrics,
    warned: Option<Instant>,
    resource: Resource,
}

impl Pusher {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = interval(self.collector.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, when nothing has been counted yet.
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                _ = &mut stopped => true,
            };
            self.push().await;
            if is_last {
                return;
            }
        }
    }

    async fn push(&mut self) {
        let request = request(&self.metrics, &self.resource);
        let Err(reason) = self.send(request.encode_to_vec()).await else {
            self.warned = None;
            return;
        };
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                reason,
                "metrics not accepted by the OTLP collector; deliveries and /metrics are not affected"
            );
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let Collector { url, headers, timeout, .. } = &self.collector;
        let mut headers = headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let request = self.client.request(Method::POST, url.clone()).headers(headers).body(body);
        // The error's text may quote the collector's headers, which can be secret.
        let request = request.build().map_err(|_| "the request cannot be made")?;
        let limits = Limits { time: *timeout, ..Limits::SMALL };
        let answer = self.client.send(request, limits).await.map_err(|error| error.to_string())?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(format!("answers {}", answer.status)),
        }
    }
}

fn resource_of() -> Resource {
    let attributes = resource();
    let attributes = attributes.iter();
    let attributes = attributes.map(|(name, value)| attribute(name.as_str(), &value.as_str()));
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

/// Returns all metrics with their present values, as OTLP's message.
fn request(metrics: &Metrics, resource: &Resource) -> ExportMetricsServiceRequest {
    const NANOS: i64 = 1_000_000_000;
    let start = metrics.start_time_seconds.get().saturating_mul(NANOS);
    let now = jiff::Timestamp::now().as_nanosecond();
    let times = Times {
        start: u64::try_from(start).unwrap_or_default(),
        now: u64::try_from(now).unwrap_or_default(),
    };
    let scope = InstrumentationScope {
        name: "millrace".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let metrics = metrics.snapshot().iter().map(|family| times.metric(family)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..Default::default() }];
    let resource = Some(resource.clone());
    let resource_metrics =
        vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// Start of the process and time of this push, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

impl Times {
    fn metric(self, family: &MetricFamily) -> Metric {
        const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
        let points = family.get_metric().iter();
        let data = match family.get_field_type() {
            MetricType::COUNTER => Data::Sum(Sum {
                data_points: points
                    .map(|it| self.number(it, it.get_counter().get_value()))
                    .collect(),
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            MetricType::HISTOGRAM => Data::Histogram(Histogram {
                data_points: points.map(|it| self.histogram(it)).collect(),
                aggregation_temporality: CUMULATIVE,
            }),
            _ => Data::Gauge(Gauge {
                data_points: points.map(|it| self.number(it, it.get_gauge().get_value())).collect(),
            }),
        };
        Metric {
            name: family.name().into(),
            description: family.help().into(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn number(self, metric: &proto::Metric, value: f64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(metric),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        }
    }

    /// Converts a histogram. Prometheus' buckets count all values up to their bound; OTLP's only those above the bound
    /// before.
    fn histogram(self, metric: &proto::Metric) -> HistogramDataPoint {
        let histogram = metric.get_histogram();
        let count = histogram.get_sample_count();
        let mut bounds = Vec::new();
        let mut counts = Vec::new();
        let mut before = 0;
        for bucket in histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite()) {
            bounds.push(bucket.upper_bound());
            counts.push(bucket.cumulative_count() - before);
            before = bucket.cumulative_count();
        }
        counts.push(count - before);
        HistogramDataPoint {
            attributes: attributes(metric),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count,
            sum: Some(histogram.get_sample_sum()),
            bucket_counts: counts,
            explicit_bounds: bounds,
            ..HistogramDataPoint::default()
        }
    }
}

fn attributes(metric: &proto::Metric) -> Vec<KeyValue> {
    metric.get_label().iter().map(|label| attribute(label.name(), label.value())).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.into()));
    KeyValue { key: name.into(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_pushed_and_a_bucket_counts_only_its_own_values() {
        let metrics = Metrics::new();
        let of = metrics.source("leads");
        for seconds in [0.3, 0.4, 0.7, 100.0] {
            of.answer_seconds.observe(seconds);
        }
        of.received_bytes.inc_by(17);
        let request = request(&metrics, &Resource::default());
        let pushed = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(pushed.len(), metrics.snapshot().len());
        let find = |name| pushed.iter().find(|metric| metric.name == name).unwrap();
        let Some(Data::Histogram(answers)) = &find("millrace_answer_seconds").data else {
            panic!()
        };
        let point = &answers.data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let of = |bound: f64| point.explicit_bounds.iter().position(|it| *it == bound).unwrap();
        assert_eq!(point.bucket_counts[of(0.5)], 2);
        assert_eq!(point.bucket_counts[of(1.0)], 1);
        assert_eq!(point.bucket_counts.last(), Some(&1));
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert!(point.start_time_unix_nano <= point.time_unix_nano);
        let Some(Data::Sum(bytes)) = &find("millrace_received_bytes_total").data else { panic!() };
        assert!(bytes.is_monotonic);
        assert_eq!(bytes.data_points[0].value, Some(Value::AsDouble(17.0)));
        assert_eq!(bytes.data_points[0].attributes, [attribute("source", "leads")]);
    }
}
