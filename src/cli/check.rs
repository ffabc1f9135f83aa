//! `millrace check`: reports all mistakes of the configuration at once, or prints the configuration in effect.

mod machine;
mod stored;

use clap::Args;

use super::{ConfigFile, Context, Exit, print, text};
use crate::{
    config::{self, Config, PushedMetrics, Questions, Traces},
    runtime::{fetch, readable},
    service::{advice::Advice, open_files},
};

/// Check the configuration without starting anything
///
/// Lists every mistake with its key (exit code 1), or prints the configuration in effect as TOML
/// with the origin of each value and secrets hidden (exit code 0).
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,

    /// Also connect to Kafka and check the permission to write the topics, and ask the schema
    /// registry, if there is one
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let validate = context.program.validate;
    let questions = Questions { kafka: validate, volume: Some(&config::size_of_volume) };
    let loaded = context.read(&options.file, &questions, &machine::mistakes);
    let loaded = loaded.map_err(|mistakes| {
        print(context.errors, mistakes);
        1
    })?;
    let out = &mut *context.out;
    print(out, &loaded);
    print(out, format_args!("\n# {}\n", memory(&loaded.config)));
    print(out, format_args!("# {}\n", traces(&loaded.config.traces)));
    if let Some(line) = pushed_metrics(&loaded.config.pushed_metrics) {
        print(out, format_args!("# {line}\n"));
    }
    if let Some(transactions) = transactions(&loaded.config) {
        print(out, format_args!("# {transactions}\n"));
    }
    if let Err(too_few) = open_files::check(&loaded.config) {
        print(out, format_args!("# {too_few}\n"));
    }
    let advice = Advice::of(&loaded.config);
    for selection in &advice.selections {
        print(out, format_args!("# {selection}\n"));
    }
    for rule in &advice.rules {
        print(out, format_args!("# {rule}\n"));
    }
    for doubt in &advice.doubts {
        print(out, format_args!("# warning: {doubt}\n"));
    }
    for repair in stored::repairs(&loaded.config) {
        print(out, format_args!("# {repair}\n"));
    }
    if !options.connect {
        return Ok(0);
    }
    match (context.program.probe)(&loaded.config) {
        // As a comment: standard output stays TOML.
        Ok(report) => {
            let lines: String = report.lines().map(|line| format!("# {line}\n")).collect();
            print(out, format_args!("\n{lines}"));
            Ok(0)
        }
        Err(trouble) => {
            print(context.errors, format_args!("{}\n", trouble.trim_end()));
            Ok(1)
        }
    }
}

/// Describes the memory that deduplication takes; the rest is in the keys themselves.
fn memory(config: &Config) -> String {
    let settings = &config.deduplicate;
    if settings.is_off() {
        return "repeated events are not recognised (deduplicate.window = 0)".into();
    }
    let memory = text::bytes(settings.memory());
    format!("for deduplication (deduplicate.ids = {}): {memory} of memory", settings.ids)
}

/// Describes the transaction timeout, which follows another key where it is not set.
fn transactions(config: &Config) -> Option<String> {
    let delivery = &config.kafka.delivery;
    let lasts = readable::length(delivery.transaction_timeout(&config.forward));
    let follows = match delivery.transaction_timeout {
        Some(_) => "kafka.transaction_timeout",
        None => "twice forward.hold_after",
    };
    delivery.is_exactly_once().then(|| format!("transaction timeout {lasts} ({follows})"))
}

/// Port of OTLP over gRPC.
const GRPC_PORT: u16 = 4317;

/// Describes where spans go. The URL is shown without parts that may be secret, the collector's headers never.
fn traces(traces: &Traces) -> String {
    match traces {
        Traces::Off => "tracing disabled: no variable OTEL_* asks for it".into(),
        Traces::To(endpoint) if endpoint.port() == Some(GRPC_PORT) => format!(
            "spans go to {}: port {GRPC_PORT} is by custom gRPC's, which is not spoken here; OTLP over HTTP has \
             4318 at most collectors",
            fetch::ShownUrl::of(endpoint)
        ),
        Traces::To(endpoint) => format!("spans go to {}", fetch::ShownUrl::of(endpoint)),
        Traces::Unusable(problem) => format!("tracing disabled: {problem}"),
    }
}

fn pushed_metrics(metrics: &PushedMetrics) -> Option<String> {
    match metrics {
        PushedMetrics::Off => None,
        PushedMetrics::To(collector) => {
            let place = fetch::ShownUrl::of(&collector.url);
            let every = humantime::format_duration(collector.interval);
            Some(format!("metrics are pushed to {place} every {every}"))
        }
        PushedMetrics::Unusable(problem) => Some(format!("metrics are not pushed: {problem}")),
    }
}
