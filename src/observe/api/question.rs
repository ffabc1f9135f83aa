//! The query of a request: its parameters, read strictly.

use std::time::SystemTime;

use http::request::Parts;

use super::{LetterPlace, Problem, answer::bad, objects::Words};
use crate::{
    ingest::listen::report::UNKNOWN, observe::metrics::recent::Remembered, source::SourceName,
};

/// A filter of requests.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    source: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    since: u64,
}

impl Wanted {
    pub fn takes(&self, it: &Remembered) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let outcome = match self.outcome.as_deref() {
            Some("refused") => it.reason.is_some(),
            _ => is(&self.outcome, it.outcome),
        };
        outcome
            && is(&self.source, &it.source)
            && is(&self.reason, it.reason.unwrap_or_default())
            && it.at >= self.since
    }
}

/// The parameters of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(head: &Parts) -> Self {
        let query = head.uri.query().unwrap_or_default();
        let pairs = reqwest::Url::parse(&format!("http://x/?{query}"));
        Self(pairs.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default())
    }

    /// Refuses a parameter that is none of `names`, or that stands twice: it would be ignored in silence, as if it had
    /// been applied.
    pub fn has_only(&self, names: &[&str]) -> Result<(), Problem> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(unknown("parameter", name, names.iter().copied()));
        }
        let count = |name: &str| self.0.iter().filter(|(it, _)| it == name).count();
        match names.iter().find(|name| count(name) > 1) {
            Some(name) => Err(bad(&format!("`{name}` stands twice: give it once"))),
            None => Ok(()),
        }
    }

    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(it, value)| it == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    /// Refuses a value of `name` that is none of `possible`; a missing one passes.
    pub fn is_one_of<'a>(
        &self,
        name: &str,
        possible: impl Iterator<Item = &'a str>,
    ) -> Result<(), Problem> {
        let Some(given) = self.get(name) else { return Ok(()) };
        let possible: Vec<_> = possible.collect();
        match possible.contains(&given.as_str()) {
            true => Ok(()),
            false => Err(unknown(name, &given, possible.into_iter())),
        }
    }

    /// Refuses a value of `name` that no source can be called. A source that is not configured passes: it may have been
    /// removed, and its dead letters are still there.
    pub fn is_a_source(&self, name: &str) -> Result<(), Problem> {
        match self.get(name).is_none_or(|given| SourceName::new(&given).is_some()) {
            true => Ok(()),
            false => Err(bad(&format!("`{name}` is no name of a source"))),
        }
    }

    pub fn since(&self) -> Result<u64, Problem> {
        self.get("since").map_or(Ok(0), |text| time(&text))
    }

    /// Reads a place as a page of dead letters gives it in `next`: `1772445600000.0.17`.
    pub fn letter_place(&self, name: &str) -> Result<Option<LetterPlace>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let read = || {
            let mut parts = text.split('.');
            let at = parts.next()?.parse().ok()?;
            let partition = parts.next()?.parse().ok()?;
            let offset = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some((at, partition, offset))
        };
        let place = read().ok_or_else(|| bad("`before` is not the `next` of another page"))?;
        Ok(Some(place))
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.get("limit").map_or(Ok(100), |it| it.parse::<usize>());
        let limit = limit.ok().filter(|it| (1..=1000).contains(it));
        limit.ok_or_else(|| bad("`limit` is from 1 to 1000"))
    }

    /// Reads the filter of requests. `words` are the service's (`/api/v1/words`): a word that is none of them is
    /// refused, since it would find nothing, as if no request had come.
    pub fn wanted(&self, words: &Words) -> Result<Wanted, Problem> {
        let sources = words.types.keys().map(String::as_str);
        let outcomes = words.outcomes.iter().map(|row| &*row.outcome);
        let reasons = words.reasons.iter().map(|row| &*row.reason);
        self.is_one_of("source", sources.chain([UNKNOWN]))?;
        self.is_one_of("outcome", outcomes.chain(["refused"]))?;
        self.is_one_of("reason", reasons)?;
        Ok(Wanted {
            source: self.get("source"),
            outcome: self.get("outcome"),
            reason: self.get("reason"),
            since: self.since()?,
        })
    }
}

fn unknown<'a>(what: &str, given: &str, possible: impl Iterator<Item = &'a str>) -> Problem {
    let given: String = given.chars().filter(|it| !it.is_control()).take(60).collect();
    let possible: Vec<_> = possible.collect();
    bad(&format!("`{given}` is no {what}; the possible ones are {}", possible.join(", ")))
}

/// Reads a time as milliseconds since 1970: from such a number, from RFC 3339, or from how long ago it was (`2h`).
pub fn time(text: &str) -> Result<u64, Problem> {
    if let Ok(millis) = text.parse::<u64>() {
        return Ok(millis);
    }
    let time = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let since = since
        .ok_or_else(|| bad("write a time as 2026-03-02T10:00:00Z, or how long ago as in 2h"))?;
    Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
