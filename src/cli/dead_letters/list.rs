//! `millrace dead-letters list`: lists dead letters with their reasons.

use std::collections::{BTreeMap, VecDeque};

use clap::Args;
use serde_json::json;

use super::Look;
use crate::{
    cli::{
        Context, Exit, print,
        progress::Bar,
        replay::letters::{self, Which},
        table::cut,
        text, when, width,
    },
    service::replay::letters::Letter,
    source::UnixMillis,
};

/// List dead letters: position, time, reason, and the words of the letter
///
/// Exit codes: 0 the topic was read to its end; 1 Kafka cannot be read; 2 the command line or the configuration is
/// wrong.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    filter: Which,

    /// The newest so many letters; 0 for all, of which the newest 100,000 are listed
    #[arg(long, value_name = "N", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=MAX_ROWS as i64))]
    limit: u32,

    #[command(flatten)]
    look: Look,
}

/// Letters that are kept in memory; each is one line of the list.
const MAX_ROWS: usize = 100_000;
/// Characters of a letter's error text that are kept.
const MAX_ERROR_CHARS: usize = 400;
/// Characters of a reason that are kept: those of millrace are shorter, and another program's may have any length.
const MAX_REASON_CHARS: usize = 60;
/// Different reasons that are counted; further ones come from other programs and are counted together.
const MAX_REASONS: usize = 100;

/// One line of the list.
struct Row {
    at: Option<UnixMillis>,
    source: String,
    position: String,
    reason: String,
    error: String,
}

pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let config = context.load(&options.look.file)?;
    let mut bar = Bar::new();
    context.start_log(&config.log, Some(&bar))?;
    let selection = options.filter.selection(Vec::new());
    let limit = if options.limit == 0 { MAX_ROWS } else { options.limit as usize };
    let mut rows = VecDeque::new();
    let mut reasons = BTreeMap::<String, u64>::new();
    let mut matching = 0u64;
    let mut foreign = 0u64;
    let out = &mut *context.out;
    let json = options.look.json;
    let read = letters::each(&config, &mut bar, &mut |record| {
        let Some(letter) = Letter::of(record) else {
            foreign += 1;
            return Ok(());
        };
        if !selection.takes(&letter) {
            return Ok(());
        }
        matching += 1;
        let reason = cut(&text::printable(letter.reason), MAX_REASON_CHARS);
        let known = reasons.len() < MAX_REASONS || reasons.contains_key(&reason);
        let counted = if known { reason.clone() } else { "others".into() };
        *reasons.entry(counted).or_default() += 1;
        if json {
            print(out, format_args!("{}\n", to_json(&letter)));
            return Ok(());
        }
        if rows.len() == limit {
            rows.pop_front();
        }
        rows.push_back(Row {
            at: letter.at,
            source: letter.source.to_string(),
            position: letter.position.to_string(),
            reason,
            error: cut(&text::printable(letter.error), MAX_ERROR_CHARS),
        });
        Ok(())
    });
    bar.clear();
    let unread = read.map_err(|problem| context.end("dead-letters", problem, 1))?;
    if !json {
        let shown = rows.len() as u64;
        print(context.out, render(rows.make_contiguous(), width::of_output()));
        print(context.out, summary(matching, shown, &reasons, &config.topics.dead_letter));
    }
    for passed in unread {
        print(context.errors, format_args!("{passed}\n"));
    }
    if foreign > 0 {
        let records = text::counted(foreign, "record is", "records are");
        let topic = &config.topics.dead_letter;
        print(
            context.errors,
            format_args!("{records} on {topic} and no dead letter of millrace\n"),
        );
    }
    Ok(0)
}

/// Returns a letter as JSON, with the members of the API's `DeadLetter`, without the body.
pub(super) fn to_json(letter: &Letter<'_>) -> serde_json::Value {
    json!({
        "partition": letter.record.partition,
        "offset": letter.record.offset,
        "at": letter.at,
        "source": letter.source.as_str(),
        "position": letter.position.to_string(),
        "reason": letter.reason,
        "error": letter.error,
        "original_topic": letter.original_topic,
        "key": letter.key().map(String::from_utf8_lossy),
        "quarantined": letter.is_pointer,
    })
}

/// Renders the table; the error texts get the columns of `width` that remain.
fn render(rows: &mut [Row], width: Option<usize>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    // The rows are in order by partition; the list is in order by time.
    rows.sort_by_key(|row| row.at);
    let widest = |of: fn(&Row) -> &str, least: &str| {
        let all = rows.iter().map(|row| of(row).chars().count());
        all.max().unwrap_or(0).max(least.len())
    };
    let source = widest(|row| &row.source, "SOURCE").min(24);
    let position = widest(|row| &row.position, "POSITION");
    let reason = widest(|row| &row.reason, "REASON").min(22);
    let mut text = format!(
        "{:<19}  {:<source$}  {:<position$}  {:<reason$}  WORDS\n",
        "TIME (UTC)", "SOURCE", "POSITION", "REASON"
    );
    let before = 19 + 2 + source + 2 + position + 2 + reason + 2;
    for row in rows.iter() {
        let at = row.at.map(when::shown).unwrap_or_else(|| "-".into());
        let name = cut(&row.source, source);
        let why = cut(&row.reason, reason);
        // Where there is no room beside the other columns, the error text has a line of its own.
        let (gap, room) = match width {
            Some(width) if width < before + 20 => ("\n  ", Some(width.saturating_sub(2).max(20))),
            width => ("  ", width.map(|width| width - before)),
        };
        let words = room.map_or_else(|| row.error.clone(), |room| cut(&row.error, room));
        let start =
            format!("{at:<19}  {name:<source$}  {:<position$}  {why:<reason$}", row.position);
        let start = if gap == "  " { &start } else { start.trim_end() };
        text += &format!("{start}{gap}{words}\n");
    }
    text
}

fn summary(matching: u64, shown: u64, reasons: &BTreeMap<String, u64>, topic: &str) -> String {
    if matching == 0 {
        return format!("no dead letter on {topic} fits\n");
    }
    let mut all: Vec<_> = reasons.iter().collect();
    all.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    let all: Vec<_> =
        all.iter().map(|(reason, n)| format!("{} {reason}", text::count(**n))).collect();
    let mut text = format!(
        "\n{} on {topic}: {}\n",
        text::counted(matching, "dead letter", "dead letters"),
        all.join(", ")
    );
    if shown < matching {
        text += &format!("the newest {} are shown; --limit 0 shows all\n", text::count(shown));
    }
    text += "show one: millrace dead-letters show POSITION\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u64, error: &str) -> Row {
        Row {
            at: Some(1_772_445_600_000 + n * 1000),
            source: "leads".into(),
            position: format!("{n}.0"),
            reason: "not-json".into(),
            error: error.into(),
        }
    }

    #[test]
    fn the_list_fits_80_columns_and_a_narrower_one_has_the_words_below() {
        let long = "not JSON: unexpected text at byte 2, and much more of it that has no room here";
        let mut rows = [row(2, long), row(1, "not JSON: unexpected text at byte 2")];
        let text = render(&mut rows, Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("2026-03-02 10:00:01  leads   1.0"), "{text}");
        assert!(lines[2].ends_with('…'), "{text}");
        let narrow = render(&mut rows, Some(60));
        assert!(narrow.lines().all(|line| line.chars().count() <= 62), "{narrow}");
        assert_eq!(narrow.lines().count(), 5, "{narrow}");
        let whole = render(&mut rows, None);
        assert!(whole.contains(long), "{whole}");
    }

    #[test]
    fn the_summary_says_how_many_there_are_of_each_reason() {
        let reasons = BTreeMap::from([("not-json".into(), 9990), ("too-large".into(), 10)]);
        let text = summary(10_000, 50, &reasons, "m.dead-letter");
        let first = "\n10,000 dead letters on m.dead-letter: 9,990 not-json, 10 too-large\n";
        assert!(text.starts_with(first) && text.contains("the newest 50 are shown"), "{text}");
        assert!(summary(0, 0, &BTreeMap::new(), "t").contains("no dead letter"));
    }
}
