//! Renders one state as plain lines, for an output that is no terminal.

use super::{rate, short, shown, why};
use crate::cli::{
    admin::answers::{Source, Status},
    text, when,
};

/// Renders one line for each source.
pub fn plain(status: &Status) -> Vec<String> {
    let at = when::time_of_day(status.now);
    let kafka = if status.kafka.away { "  Kafka away" } else { "" };
    let of = |source: &Source| {
        let why = why(source);
        let why = if why.is_empty() { String::new() } else { format!("  {why}") };
        // The state of a full spool says already that it is full.
        let full = source.backlog.seconds_until_full;
        let full = full.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        let full = full.map(|seconds| format!("  full in {}", short(seconds.max(0.0) as u64)));
        format!(
            "{at}  {}  in {}/s  out {}/s  backlog {} in {}  refused {}/min{}{why}{kafka}",
            shown(&source.name),
            rate(source.rates.stored),
            rate(source.rates.delivered),
            text::bytes(source.backlog.bytes),
            text::counted(source.backlog.deliveries, "delivery", "deliveries"),
            source.refused_last_minute,
            full.unwrap_or_default(),
        )
    };
    match status.sources.is_empty() {
        true => vec![format!("{at}  no source{kafka}")],
        false => status.sources.iter().map(of).collect(),
    }
}
