//! The words of outcomes and reasons, with their meanings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Words {
    pub outcomes: Vec<OutcomeWord>,
    pub reasons: Vec<ReasonWord>,
    pub dead_letter_reasons: Vec<String>,
    pub types: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct OutcomeWord {
    pub outcome: String,
    pub status: u16,
    pub wrong: String,
    pub adobe: String,
    pub marketo: String,
    pub event: EventWord,
    pub key: Option<String>,
}

/// Where the event is after this outcome, by its sender.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EventWord {
    pub adobe: String,
    pub marketo: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ReasonWord {
    pub reason: String,
    pub outcome: String,
    pub text: String,
    pub key: Option<String>,
}
