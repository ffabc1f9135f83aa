//! The words of outcomes and reasons, with their meanings.

use serde_json::{Value, json};

use super::test_delivery;

use crate::{
    config::Config,
    deliver::dead_letter,
    ingest::{authenticate::reason, listen::reply},
};

pub(super) fn words(config: &Config) -> Value {
    let outcomes: Vec<_> = reply::TABLE
        .iter()
        .map(|row| {
            let note = if row.note.is_empty() { String::new() } else { format!(": {}", row.note) };
            json!({
                "outcome": row.label,
                "status": row.status.as_u16(),
                "wrong": row.wrong,
                "adobe": row.adobe(),
                "marketo": row.marketo(),
                "event": {
                    "adobe": format!("{}{note}", row.event_of_adobe()),
                    "marketo": format!("{}{note}", row.event_of_marketo()),
                },
                "key": row.key,
            })
        })
        .collect();
    let own = reason::TABLE.iter().map(|row| {
        json!({ "reason": row.word, "outcome": row.outcome, "text": row.text, "key": row.key })
    });
    let has_own = |label| reason::TABLE.iter().any(|row| row.outcome == label);
    let others = reply::TABLE.iter().filter(|row| row.is_refusal() && !has_own(row.label));
    let others = others.map(|row| {
        json!({ "reason": row.label, "outcome": row.label, "text": format!("{}.", row.wrong), "key": row.key })
    });
    let types = config
        .sources
        .iter()
        .map(|source| (source.name.to_string(), json!(test_delivery::types(source))));
    let types: serde_json::Map<_, _> = types.collect();
    json!({
        "outcomes": outcomes,
        "reasons": own.chain(others).collect::<Vec<_>>(),
        "dead_letter_reasons": dead_letter::REASONS,
        "types": types,
    })
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
