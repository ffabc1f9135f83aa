//! What a question asks for, as it is written behind the path.

use std::time::SystemTime;

use http::request::Parts;

use super::{Problem, answer::bad};
use crate::observe::metrics::recent::Remembered;

/// Which requests.
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

/// The parameters of a question.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(head: &Parts) -> Self {
        let query = head.uri.query().unwrap_or_default();
        let pairs = reqwest::Url::parse(&format!("http://x/?{query}"));
        Self(pairs.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default())
    }

    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(it, value)| it == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    pub fn since(&self) -> Result<u64, Problem> {
        self.get("since").map_or(Ok(0), |text| time(&text))
    }

    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.get("limit").map_or(Ok(100), |it| it.parse::<usize>());
        let limit = limit.ok().filter(|it| (1..=1000).contains(it));
        limit.ok_or_else(|| bad("`limit` is from 1 to 1000"))
    }

    pub fn wanted(&self) -> Result<Wanted, Problem> {
        Ok(Wanted {
            source: self.get("source"),
            outcome: self.get("outcome"),
            reason: self.get("reason"),
            since: self.since()?,
        })
    }
}

/// Milliseconds since 1970, of these, of RFC 3339, or of how long ago.
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
