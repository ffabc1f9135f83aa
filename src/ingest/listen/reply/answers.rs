//! `src/ANSWERS.md` and the table of this module are the same: each outcome has a row, with the status
//! that it is answered with, and with what the senders' published rules make of that status.

use super::{Outcome, tests::every_outcome};

const ANSWERS: &str = include_str!("../../../ANSWERS.md");

/// A row: outcome, what was wrong, status, Adobe I/O, Marketo, the event.
type Row = [&'static str; 6];

fn rows() -> Vec<Row> {
    let cells = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        Row::try_from(cells).unwrap_or_else(|cells| panic!("not six cells: {cells:?}"))
    };
    let rows = ANSWERS.lines().skip_while(|line| !line.starts_with("| outcome |")).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn label(row: &Row) -> &'static str {
    row[0].trim_matches('`')
}

/// Adobe I/O tries again after 429 and 5xx other than 505, and after no answer.
fn adobe(status: u16) -> &'static str {
    match status {
        200..=299 => "is done",
        429 | 500..=504 | 506..=599 => "again",
        _ => "gives up",
    }
}

/// Of Marketo only 200 is known to be taken for a yes.
fn marketo(status: u16) -> &'static str {
    if status == 200 { "is done" } else { "again" }
}

#[test]
fn every_outcome_has_its_row_with_the_status_that_it_is_answered_with() {
    let rows = rows();
    for outcome in every_outcome() {
        let reply = outcome.reply();
        let of_it: Vec<_> = rows.iter().filter(|row| label(row) == reply.label).collect();
        let [row] = of_it.as_slice() else { panic!("{}: {of_it:?}", reply.label) };
        assert_eq!(row[2], reply.status.as_str(), "{row:?}");
        assert!(!row[1].is_empty(), "{row:?}");
    }
    assert_eq!(rows.len(), every_outcome().len(), "a row of no outcome");
}

#[test]
fn what_the_senders_do_follows_from_the_status() {
    for row in rows() {
        let status = row[2].parse().unwrap();
        // A question is no delivery: nobody repeats it as one.
        if row[5] == "none" {
            let expected = match status {
                200 => ("is done", "is done"),
                // Of a token, which only Marketo wants.
                _ => ("does not ask", "again"),
            };
            assert_eq!((row[3], row[4]), expected, "{row:?}");
            continue;
        }
        assert_eq!((row[3], row[4]), (adobe(status), marketo(status)), "{row:?}");
    }
}

#[test]
fn an_event_is_ours_only_once_it_is_stored_and_lost_to_the_webhook_only_by_a_4xx() {
    for row in rows() {
        let event = row[5].split(':').next().unwrap();
        let expected = match (label(&row), row[3]) {
            ("stored", _) => "ours",
            (_, "is done" | "does not ask") => "none",
            (_, "gives up") => "lost to the webhook",
            _ => "the sender's",
        };
        assert_eq!(event, expected, "{row:?}");
    }
}

#[test]
fn no_outcome_is_missing_from_the_list_that_these_tests_go_through() {
    let code = include_str!("../reply.rs");
    let body = code.split("pub enum Outcome {").nth(1).unwrap().split("\n}").next().unwrap();
    let is_variant = |line: &&str| {
        line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(|c: char| c.is_uppercase()))
    };
    let variants = body.lines().filter(is_variant).count();
    assert_eq!(every_outcome().len(), variants);
    let distinct: std::collections::HashSet<_> =
        every_outcome().iter().map(std::mem::discriminant::<Outcome>).collect();
    assert_eq!(distinct.len(), variants);
}
