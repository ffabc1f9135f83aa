//! The export of spans and the pushing of metrics, where they are configured. A failure of them stops no start.

use crate::{
    config,
    observe::{
        metrics::Metrics,
        push::{Collector, Push},
        traces::Exporter,
    },
    runtime::{fetch::ShownUrl, readable},
};

/// Starts the export of spans; a failure is only logged.
pub(super) fn exporter(traces: &config::Traces, metrics: &Metrics) -> Option<Exporter> {
    let problem = match traces {
        config::Traces::Off => return None,
        config::Traces::Unusable(problem) => problem.clone(),
        config::Traces::To(endpoint) => match Exporter::start(endpoint, metrics) {
            Ok(exporter) => {
                tracing::info!(collector = %ShownUrl::of(endpoint), "tracing enabled; exporting spans");
                return Some(exporter);
            }
            Err(error) => error.to_string(),
        },
    };
    tracing::warn!(problem, "tracing disabled");
    None
}

/// Starts pushing metrics; a failure is only logged.
pub(super) fn push(pushed: &config::PushedMetrics, metrics: &Metrics) -> Option<Push> {
    let problem = match pushed {
        config::PushedMetrics::Off => return None,
        config::PushedMetrics::Unusable(problem) => problem.clone(),
        config::PushedMetrics::To(collector) => {
            let config::MetricsCollector { url, headers, interval, timeout } =
                (**collector).clone();
            let place = ShownUrl::of(&url);
            match Push::start(Collector { url, headers, interval, timeout }, metrics.clone()) {
                Ok(push) => {
                    let seconds = interval.as_secs_f64();
                    let every = readable::length(interval);
                    tracing::info!(collector = %place, interval_seconds = seconds, "metrics are pushed by OTLP, every {every}");
                    return Some(push);
                }
                Err(problem) => problem,
            }
        }
    };
    tracing::warn!(problem, "metrics are not pushed; they can be read at /metrics");
    None
}
