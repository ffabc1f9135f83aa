//! Pushing metrics by OTLP, in addition to `/metrics`: reads OpenTelemetry's variables.
//!
//! Metrics are pushed only where the variables ask for it by name (`OTEL_METRICS_EXPORTER=otlp`, or an endpoint for
//! metrics): an endpoint for all signals is often set for the sake of traces, and its collector may refuse metrics. As
//! with traces, a mistake here does not stop a start: nothing is pushed, and a warning says why.

use std::{ffi::OsString, fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::telemetry::Variables;

/// The collector of pushed metrics, as the environment sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PushedMetrics {
    #[default]
    Off,
    To(Box<MetricsCollector>),
    /// The variables ask for something that is not supported; the text says what.
    Unusable(String),
}

#[derive(Clone, PartialEq, Eq)]
pub struct MetricsCollector {
    pub url: Url,
    /// Often contain secrets.
    pub headers: HeaderMap,
    pub interval: Duration,
    pub timeout: Duration,
}

/// Leaves out the whole URL and the headers: they may contain a password.
impl fmt::Debug for MetricsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, interval, timeout, .. } = self;
        let mut shown = f.debug_struct("MetricsCollector");
        shown.field("host", &url.host_str()).field("interval", interval).field("timeout", timeout);
        shown.finish_non_exhaustive()
    }
}

const EXPORTER: &str = "OTEL_METRICS_EXPORTER";
const OWN_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// Accepted intervals: a second to a day.
const INTERVAL_MILLIS: std::ops::RangeInclusive<u64> = 1000..=86_400_000;
const TIMEOUT_MILLIS: std::ops::RangeInclusive<u64> = 1..=600_000;

pub(super) fn read(environment: &[(OsString, OsString)]) -> PushedMetrics {
    match collector(Variables(environment)) {
        Ok(None) => PushedMetrics::Off,
        Ok(Some(collector)) => PushedMetrics::To(Box::new(collector)),
        Err(why) => PushedMetrics::Unusable(why),
    }
}

fn collector(variables: Variables<'_>) -> Result<Option<MetricsCollector>, String> {
    if variables.is("OTEL_SDK_DISABLED", "true") {
        return Ok(None);
    }
    let exporters = variables.value(EXPORTER).unwrap_or_default();
    let exporters: Vec<_> =
        exporters.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let names = |name: &str| exporters.iter().any(|it| it.eq_ignore_ascii_case(name));
    if let Some(other) = exporters
        .iter()
        .find(|it| !["otlp", "none", "prometheus"].contains(&it.to_ascii_lowercase().as_str()))
    {
        let other = other.escape_debug();
        return Err(format!("{EXPORTER} names `{other}`; supported are otlp, prometheus and none"));
    }
    let is_on = names("otlp") || exporters.is_empty() && variables.value(OWN_ENDPOINT).is_some();
    if !is_on {
        return Ok(None);
    }
    let Some(url) = variables.endpoint("METRICS", "v1/metrics")? else {
        return Err(format!(
            "{EXPORTER} is otlp, and neither {OWN_ENDPOINT} nor OTEL_EXPORTER_OTLP_ENDPOINT says where to"
        ));
    };
    if variables.value(TEMPORALITY).is_some_and(|it| !it.eq_ignore_ascii_case("cumulative")) {
        return Err(format!("{TEMPORALITY} is not `cumulative`, the only supported value"));
    }
    let timeout = variables.first([
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT".to_owned(),
        "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned(),
    ]);
    let timeout =
        timeout.map_or(Ok(10_000), |(name, value)| millis(&name, value, TIMEOUT_MILLIS))?;
    let interval = variables.value(INTERVAL);
    let interval = interval.map_or(Ok(60_000), |value| millis(INTERVAL, value, INTERVAL_MILLIS))?;
    Ok(Some(MetricsCollector {
        url,
        headers: headers(variables)?,
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(timeout),
    }))
}

fn millis(name: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let from = range.start();
    let to = range.end();
    let number = value.parse().ok().filter(|it| range.contains(it));
    number.ok_or_else(|| format!("{name} is not a number of milliseconds from {from} to {to}"))
}

/// Parses `name=value,name=value`, with percent-encoded values.
fn headers(variables: Variables<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let found = variables.first([
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS".to_owned(),
        "OTEL_EXPORTER_OTLP_HEADERS".to_owned(),
    ]);
    let Some((variable, list)) = found else { return Ok(headers) };
    for pair in list.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let header = || {
            let (name, value) = pair.split_once('=')?;
            let name: HeaderName = name.trim().parse().ok()?;
            let value: Vec<u8> = percent_decode_str(value.trim()).collect();
            let mut value = HeaderValue::from_bytes(&value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        let (name, value) = header().ok_or_else(|| format!("{variable} is not `name=value,…`"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: (&str, &str) = (EXPORTER, "otlp");
    const TO: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn of(variables: &[(&str, &str)]) -> PushedMetrics {
        let variables: Vec<_> = variables.iter().map(|(n, v)| (n.into(), v.into())).collect();
        read(&variables)
    }

    fn to(variables: &[(&str, &str)]) -> MetricsCollector {
        match of(variables) {
            PushedMetrics::To(collector) => *collector,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn metrics_are_pushed_only_where_they_are_asked_for() {
        assert_eq!(of(&[]), PushedMetrics::Off);
        assert_eq!(of(&[TO]), PushedMetrics::Off, "it may be there for traces");
        assert_eq!(of(&[TO, (EXPORTER, "prometheus")]), PushedMetrics::Off);
        assert_eq!(of(&[TO, (EXPORTER, "none")]), PushedMetrics::Off);
        assert_eq!(of(&[TO, ON, ("OTEL_SDK_DISABLED", "true")]), PushedMetrics::Off);
        assert_eq!(to(&[TO, ON]).url.as_str(), "http://collector:4318/v1/metrics");
        let own = (OWN_ENDPOINT, "https://other/m");
        assert_eq!(to(&[TO, own]).url.as_str(), "https://other/m");
        assert_eq!(to(&[TO, (EXPORTER, "prometheus, OTLP")]).interval, Duration::from_secs(60));
    }

    #[test]
    fn interval_timeout_and_headers_are_those_of_the_sdk() {
        let collector = to(&[
            TO,
            ON,
            (INTERVAL, "5000"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter%202, x-scope = a"),
        ]);
        assert_eq!(collector.interval, Duration::from_secs(5));
        assert_eq!(collector.timeout, Duration::from_millis(2500));
        assert_eq!(collector.headers["api-key"], "hunter 2");
        assert_eq!(collector.headers["x-scope"], "a");
        assert!(!format!("{collector:?}").contains("hunter"));
    }

    #[test]
    fn what_is_not_supported_is_named_by_its_variable_without_its_value() {
        for (name, bad) in [
            (EXPORTER, "console"),
            (TEMPORALITY, "delta"),
            (INTERVAL, "hunter2"),
            (INTERVAL, "10"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            (OWN_ENDPOINT, "hunter2"),
        ] {
            let on = if name == EXPORTER { (name, bad) } else { ON };
            let PushedMetrics::Unusable(why) = of(&[TO, on, (name, bad)]) else { panic!("{name}") };
            assert!(why.contains(name) && !why.contains("hunter2"), "{why}");
        }
        let PushedMetrics::Unusable(why) = of(&[ON]) else { panic!() };
        assert!(why.contains(OWN_ENDPOINT), "{why}");
    }
}
