//! The words of outcomes and reasons, with their meanings.

use super::test_delivery;

use crate::{
    config::Config,
    deliver::dead_letter,
    ingest::{authenticate::reason, listen::reply},
    observe::api::objects::{EventWord, OutcomeWord, ReasonWord, Words},
};

pub(super) fn words(config: &Config) -> Words {
    let own = reason::TABLE.iter().map(|row| ReasonWord {
        reason: row.word.to_owned(),
        outcome: row.outcome.to_owned(),
        text: row.text.to_owned(),
        key: Some(row.key.to_owned()),
    });
    let has_own = |label| reason::TABLE.iter().any(|row| row.outcome == label);
    let others = reply::TABLE.iter().filter(|row| row.is_refusal() && !has_own(row.label));
    let others = others.map(|row| ReasonWord {
        reason: row.label.to_owned(),
        outcome: row.label.to_owned(),
        text: format!("{}.", row.wrong),
        key: row.key.map(str::to_owned),
    });
    let sources = config.sources.iter();
    Words {
        outcomes: reply::TABLE.iter().map(outcome).collect(),
        reasons: own.chain(others).collect(),
        dead_letter_reasons: dead_letter::REASONS.iter().map(|it| (*it).to_owned()).collect(),
        types: sources.map(|it| (it.name.to_string(), test_delivery::types(it))).collect(),
    }
}

fn outcome(row: &reply::Row) -> OutcomeWord {
    let note = if row.note.is_empty() { String::new() } else { format!(": {}", row.note) };
    OutcomeWord {
        outcome: row.label.to_owned(),
        status: row.status.as_u16(),
        wrong: row.wrong.to_owned(),
        adobe: row.adobe().to_owned(),
        marketo: row.marketo().to_owned(),
        event: EventWord {
            adobe: format!("{}{note}", row.event_of_adobe()),
            marketo: format!("{}{note}", row.event_of_marketo()),
        },
        key: row.key.map(str::to_owned),
    }
}

/// Returns the sentence, the key (with the source's name in it) and the outcome of a reason.
pub(super) fn meaning(word: &str, source: &str) -> (&'static str, Option<String>, &'static str) {
    let named = |key: &str| key.replace("<name>", source);
    if let Some(row) = reason::TABLE.iter().find(|row| row.word == word) {
        return (row.text, Some(named(row.key)), row.outcome);
    }
    match reply::TABLE.iter().find(|row| row.label == word) {
        Some(row) => (row.wrong, row.key.map(named), row.label),
        None => ("", None, ""),
    }
}
