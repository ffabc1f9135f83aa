//! The table keeps its own rule, and `src/ANSWERS.md` has its rows: what the senders do after a status follows
//! from their published rules.

use std::collections::BTreeSet;

use super::*;

const ANSWERS: &str = include_str!("../../../ANSWERS.md");

#[test]
fn passing_problems_are_503_with_retry_after_and_only_these_are_refused_for_good() {
    let mut final_ones = BTreeSet::new();
    for row in TABLE {
        assert_eq!(row.retry_after.is_some(), row.status == 503, "{row:?}");
        if row.status != 200 && row.status != 503 {
            final_ones.insert((row.status.as_u16(), row.label));
        }
    }
    let expected = [
        (400, "bad-token-request"),
        (401, "bad-credentials"),
        (401, "bad-token"),
        (401, "unknown-client"),
        (404, "not-found"),
        (405, "method-not-allowed"),
    ];
    assert_eq!(
        final_ones,
        expected.into(),
        "Adobe I/O never repeats after a 4xx: use `later` for an outcome that may pass or may be our own mistake"
    );
}

#[test]
fn every_outcome_has_a_label_of_its_own() {
    let mut labels = BTreeSet::new();
    for row in TABLE {
        assert!(labels.insert(row.label), "two rows are called `{}`: rename one", row.label);
    }
}

#[test]
fn an_event_is_lost_only_where_its_sender_does_not_come_again() {
    for row in TABLE.iter().filter(|row| row.scope != Scope::TokenEndpoint) {
        let is_lost = |event: &str| event.contains("lost");
        assert_eq!(is_lost(row.event_of_adobe()), row.adobe() == "gives up", "{row:?}");
        assert_eq!(is_lost(row.event_of_marketo()), row.marketo() == "gives up", "{row:?}");
    }
}

#[test]
fn an_outcome_of_no_source_has_no_key_of_a_source() {
    for row in TABLE.iter().filter(|row| row.scope != Scope::Source) {
        assert!(row.key.is_none_or(|key| !key.contains("<name>")), "{row:?}");
    }
}

#[test]
fn a_sender_counts_what_it_delivered_and_no_question() {
    assert_eq!(Outcome::Stored.as_a_try(), Some(true));
    for question in [Outcome::Probe, Outcome::ValidationLater, Outcome::NotFound] {
        assert_eq!(question.as_a_try(), None, "{question:?}");
    }
    let why = Why::new(reason::Reason::NoAuthorization, "");
    for failed in [Outcome::SpoolSlow, Outcome::BadCredentials { challenge: "Bearer", why }] {
        assert_eq!(failed.as_a_try(), Some(false), "{failed:?}");
    }
    assert_eq!(Outcome::ClientGone.as_a_try(), Some(false), "it had no answer");
}

fn line(row: &Row) -> String {
    let note = if row.note.is_empty() { String::new() } else { format!(": {}", row.note) };
    let Row { label, wrong, .. } = row;
    let status = row.status.as_str();
    let [adobe, marketo] = [row.adobe(), row.marketo()];
    let event = match (row.event_of_adobe(), row.event_of_marketo()) {
        (adobe, marketo) if adobe == marketo => adobe.to_owned(),
        (adobe, marketo) => format!("Adobe I/O's: {adobe}; Marketo's: {marketo}"),
    };
    format!("| `{label}` | {wrong} | {status} | {adobe} | {marketo} | {event}{note} |")
}

#[test]
fn the_document_of_answers_has_the_rows_of_the_table() {
    let lines = ANSWERS.lines().skip_while(|line| !line.starts_with("| outcome |")).skip(2);
    let written: Vec<_> = lines.take_while(|line| line.starts_with('|')).collect();
    let due: Vec<_> = TABLE.iter().map(line).collect();
    for row in &due {
        assert!(written.contains(&row.as_str()), "put this row into src/ANSWERS.md:\n{row}");
    }
    for row in &written {
        assert!(due.iter().any(|due| due == row), "remove this row from src/ANSWERS.md:\n{row}");
    }
    assert_eq!(written, due, "give the rows of src/ANSWERS.md the order of the table in reply.rs");
}
