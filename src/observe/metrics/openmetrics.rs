//! OpenMetrics' text (`application/openmetrics-text; version=1.0.0`), for scrapers that ask for it: the same
//! metrics as Prometheus' own text, with exemplars. The `prometheus` crate writes Prometheus' text only.

use std::fmt::Write;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};

pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a scraper asks for it: `Accept` names it, and not with a quality of zero.
pub fn is_asked_for(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it =
            parts.next().is_some_and(|it| it.eq_ignore_ascii_case("application/openmetrics-text"));
        let mut parts = parts.filter_map(|part| part.split_once('='));
        is_it && !parts.any(|(name, value)| name == "q" && value.parse() == Ok(0.0))
    })
}

pub fn render(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut text = String::with_capacity(64 * 1024);
    for family in families {
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, family, exemplars);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    exemplars: &Exemplars,
) -> std::fmt::Result {
    let kind = family.get_field_type();
    let full = family.name();
    // OpenMetrics: the name of a counter's family has no `_total`; that of its sample ends with it.
    let is_counter = kind == MetricType::COUNTER;
    let name = if is_counter { full.strip_suffix("_total").unwrap_or(full) } else { full };
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "unknown",
    };
    writeln!(text, "# TYPE {name} {word}")?;
    writeln!(text, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        match kind {
            MetricType::HISTOGRAM => write_histogram(text, name, metric, exemplars)?,
            MetricType::COUNTER => {
                let suffix = "_total";
                write_sample(text, name, suffix, metric, None, metric.get_counter().get_value())?;
                text.push('\n');
            }
            _ => {
                write_sample(text, name, "", metric, None, metric.get_gauge().get_value())?;
                text.push('\n');
            }
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: &Exemplars,
) -> std::fmt::Result {
    let histogram = metric.get_histogram();
    let labels = metric.get_label();
    let source = labels.iter().find(|label| label.name() == "source").map_or("", |it| it.value());
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let mut buckets: Vec<_> =
        buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
    if buckets.last().is_none_or(|(bound, _)| bound.is_finite()) {
        buckets.push((f64::INFINITY, count));
    }
    let mut from = f64::NEG_INFINITY;
    for (bound, cumulative) in buckets {
        let le = number(bound);
        write_sample(text, name, "_bucket", metric, Some(&le), cumulative as f64)?;
        if let Some(exemplar) = exemplars.within(name, source, from, bound) {
            let Exemplar { trace, value, at } = exemplar;
            write!(text, " # {{trace_id=\"{trace}\"}} {} {at:.3}", number(value))?;
        }
        text.push('\n');
        from = bound;
    }
    write_sample(text, name, "_count", metric, None, count as f64)?;
    text.push('\n');
    write_sample(text, name, "_sum", metric, None, histogram.get_sample_sum())?;
    text.push('\n');
    Ok(())
}

/// Writes a sample without the end of its line: an exemplar may follow.
fn write_sample(
    text: &mut String,
    name: &str,
    suffix: &str,
    metric: &Metric,
    le: Option<&str>,
    value: f64,
) -> std::fmt::Result {
    write!(text, "{name}{suffix}")?;
    let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
    let mut separator = '{';
    for (label, value) in labels.chain(le.map(|le| ("le", le))) {
        write!(text, "{separator}{label}=\"{}\"", escaped(value))?;
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    let is_whole = value.fract() == 0.0 && value.abs() < 1e15;
    if is_whole { write!(text, " {value:.0}") } else { write!(text, " {}", number(value)) }
}

/// Returns a number in OpenMetrics' canonical form: with a decimal point.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value if value.is_nan() => "NaN".into(),
        value => format!("{value:?}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    #[test]
    fn a_scraper_that_names_open_metrics_gets_it() {
        for yes in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "text/plain, application/OpenMetrics-Text; version=0.0.1",
        ] {
            assert!(is_asked_for(yes), "{yes}");
        }
        for no in ["", "*/*", "text/plain;version=0.0.4", "application/openmetrics-text;q=0"] {
            assert!(!is_asked_for(no), "{no}");
        }
    }

    #[test]
    fn counters_histograms_and_their_exemplars_are_written_as_open_metrics_wants_them() {
        let metrics = Metrics::new();
        metrics.source("leads").answer_seconds.observe(0.3);
        metrics.deliveries.with_label_values(&["leads", "st\"o\\red\n"]).inc_by(3);
        metrics.exemplars.note("millrace_answer_seconds", "leads", 0.3, "0af7".repeat(8));
        metrics.exemplars.note("millrace_answer_seconds", "audit", 0.3, "bbbb".repeat(8));
        let text = metrics.render_openmetrics();
        let lines: Vec<_> = text.lines().collect();
        for due in [
            "# TYPE millrace_deliveries counter",
            r#"millrace_deliveries_total{outcome="st\"o\\red\n",source="leads"} 3"#,
            "# TYPE millrace_answer_seconds histogram",
            r#"millrace_answer_seconds_bucket{source="leads",le="0.25"} 0"#,
            r#"millrace_answer_seconds_bucket{source="leads",le="+Inf"} 1"#,
            r#"millrace_answer_seconds_count{source="leads"} 1"#,
        ] {
            assert!(lines.contains(&due), "{due}\n{text}");
        }
        let with =
            r#"millrace_answer_seconds_bucket{source="leads",le="0.5"} 1 # {trace_id="0af70af7"#;
        assert_eq!(lines.iter().filter(|line| line.starts_with(with)).count(), 1, "{text}");
        assert_eq!(text.matches("trace_id").count(), 1, "{text}");
        assert_eq!(lines.last(), Some(&"# EOF"));
    }

    #[test]
    fn an_exemplar_is_the_latest_of_its_bucket_and_there_are_few() {
        let exemplars = Exemplars::default();
        for n in 1..10_000 {
            exemplars.note("m", "leads", f64::from(n), n.to_string());
        }
        assert_eq!(exemplars.within("m", "leads", 5000.0, 10_000.0).unwrap().trace, "9999");
        assert_eq!(exemplars.within("m", "leads", 10_000.0, 20_000.0), None);
    }
}
