//! `millrace spool inspect`: shows how much is stored, how far it is delivered, and which topics are held.

use std::{fmt::Write as _, io::Write, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{Found, Selection, Survey, rfc3339, survey};
use crate::{
    cli::{print, table::Table, text},
    source::UnixMillis,
};

/// Show segments, positions, backlog, held topics and quarantine of each source
///
/// Exit code 1 if a part could not be read or is damaged; the rest is still shown.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub place: Selection,

    /// Print one JSON object, with bytes, milliseconds and RFC 3339 times
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options, found: &Found, out: &mut dyn Write) -> u8 {
    let now = found.disk.now();
    let surveys: Vec<_> =
        found.sources.iter().map(|source| survey(&found.disk, &found.directory, source)).collect();
    if options.json {
        let sources: Vec<_> = surveys.iter().map(|survey| as_json(survey, now)).collect();
        let directory = found.directory.display().to_string();
        let all = json!({ "directory": directory, "at": rfc3339(now), "sources": sources });
        print(out, format_args!("{all:#}\n"));
    } else {
        print(out, for_people(found, &surveys, now));
    }
    u8::from(surveys.iter().any(|survey| !survey.problems.is_empty()))
}

fn as_json(survey: &Survey, now: UnixMillis) -> Value {
    let segments = survey.segments.iter().map(|segment| {
        json!({
            "file": segment.path.display().to_string(),
            "first_sequence": segment.first_sequence,
            "next_sequence": segment.next_sequence.unwrap_or(survey.end),
            "bytes": segment.length,
            "written_at": rfc3339(segment.written_at),
            "delivered": is_delivered(survey, segment.next_sequence),
        })
    });
    let held = survey.held.iter().map(|held| {
        json!({
            "topic": held.topic,
            "position": held.position.to_string(),
            "oldest_received_at": held.received_at.map(rfc3339),
            "oldest_age_ms": held.received_at.map(|at| now.saturating_sub(at)),
        })
    });
    let undelivered = survey.undelivered;
    json!({
        "source": survey.source.as_str(),
        "spool": survey.id,
        "low": survey.low.to_string(),
        "lowest": survey.lowest.to_string(),
        "end": survey.end,
        "checkpoint_written_at": survey.checkpoint_written_at.map(rfc3339),
        "undelivered": {
            "deliveries": undelivered.deliveries,
            "bytes": undelivered.bytes,
            "oldest_received_at": undelivered.oldest.map(rfc3339),
            "oldest_age_ms": undelivered.oldest.map(|at| now.saturating_sub(at)),
        },
        "kept_delivered_bytes": survey.kept_bytes,
        "held_topics": held.collect::<Vec<_>>(),
        "quarantine": survey.quarantine,
        "segments": segments.collect::<Vec<_>>(),
        "problems": survey.problems,
    })
}

fn is_delivered(survey: &Survey, next_sequence: Option<u64>) -> bool {
    next_sequence.unwrap_or(survey.end) <= survey.lowest.sequence
}

fn for_people(found: &Found, surveys: &[Survey], now: UnixMillis) -> String {
    let age = |at: Option<UnixMillis>| {
        at.map_or("-".into(), |at| text::clock(Duration::from_millis(now.saturating_sub(at))))
    };
    let mut shown = format!("spool {}\n", found.directory.display());
    if surveys.is_empty() {
        shown.push_str("nothing was ever stored here\n");
        return shown;
    }
    let mut table = Table::new(&[
        "source",
        "undelivered",
        "bytes",
        "oldest",
        "held topics",
        "delivered, kept",
        "quarantine",
    ]);
    for survey in surveys {
        table.row([
            survey.source.to_string(),
            text::count(survey.undelivered.deliveries),
            text::bytes(survey.undelivered.bytes),
            age(survey.undelivered.oldest),
            text::count(survey.held.len() as u64),
            text::bytes(survey.kept_bytes),
            text::count(survey.quarantine.items),
        ]);
    }
    shown.push('\n');
    shown.push_str(&table.render(""));
    for survey in surveys {
        one_for_people(survey, &age, &mut shown);
    }
    shown
}

fn one_for_people(survey: &Survey, age: &dyn Fn(Option<UnixMillis>) -> String, shown: &mut String) {
    let id = survey.id.map_or("none yet".into(), |id| id.to_string());
    // Writing to a String cannot fail.
    let _ = writeln!(shown, "\n{} (spool {id})", survey.source);
    let written = survey.checkpoint_written_at.map_or("never".into(), rfc3339);
    let _ = writeln!(
        shown,
        "  delivered to {}, stored to {}; checkpoint written {written}",
        survey.low, survey.end
    );
    for problem in &survey.problems {
        let _ = writeln!(shown, "  PROBLEM {problem}");
    }
    if !survey.held.is_empty() {
        let mut table = Table::new(&["held topic", "position", "oldest"]);
        for held in &survey.held {
            let topic = held.topic.clone();
            table.row([topic, held.position.to_string(), age(held.received_at)]);
        }
        shown.push_str(&table.render("  "));
    }
    let mut table = Table::new(&["segment", "sequences", "bytes", "last written", "state"]);
    for segment in &survey.segments {
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let next = segment.next_sequence.unwrap_or(survey.end);
        let state = if is_delivered(survey, segment.next_sequence) {
            "delivered"
        } else if segment.first_sequence < survey.lowest.sequence {
            "partly"
        } else {
            "undelivered"
        };
        table.row([
            name,
            format!("{}..{next}", segment.first_sequence),
            text::count(segment.length),
            rfc3339(segment.written_at),
            state.into(),
        ]);
    }
    shown.push_str(&table.render("  "));
}
