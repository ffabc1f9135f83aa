//! The query and the cookies of a page's request.

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::pages::{dead_letters, deliveries};

/// The pairs of a query. The first value of a name counts.
pub struct Question(Vec<(String, String)>);

impl Question {
    pub fn of(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        Self(
            pairs.map(|(name, value)| (decoded(name), decoded(&value.replace('+', " ")))).collect(),
        )
    }

    /// Returns the value of `name`; empty where it is missing.
    pub fn of_name(&self, name: &str) -> String {
        let pair = self.0.iter().find(|(it, _)| it == name);
        pair.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    }

    pub fn deliveries(&self) -> deliveries::Asked {
        deliveries::Asked {
            source: self.of_name("source"),
            outcome: self.of_name("outcome"),
            reason: self.of_name("reason"),
            since: self.of_name("since"),
            before: self.of_name("before"),
        }
    }

    pub fn dead_letters(&self) -> dead_letters::Asked {
        dead_letters::Asked {
            source: self.of_name("source"),
            reason: self.of_name("reason"),
            since: self.of_name("since"),
            before: self.of_name("before"),
        }
    }
}

pub fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Returns `to` if it is a path of this host, and `/` if it might lead to another: `//host`, `/\host`, an address.
pub fn own_path(to: &str) -> &str {
    let is_own = to.starts_with('/')
        && !to[1..].starts_with(['/', '\\'])
        && !to.contains(|c: char| c.is_control());
    if is_own { to } else { "/" }
}

pub fn cookie<'a>(head: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = head.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(it, _)| it.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_no_other_host() {
        assert_eq!(own_path("/deliveries?source=leads"), "/deliveries?source=leads");
        for foreign in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "",
            "/\t/evil.example",
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn a_query_is_decoded() {
        let question = Question::of(Some("source=a%26b&since=2026-11-30T04%3A00&x=a+b&source=c"));
        assert_eq!(question.of_name("source"), "a&b");
        assert_eq!(question.of_name("since"), "2026-11-30T04:00");
        assert_eq!(question.of_name("x"), "a b");
        assert_eq!(question.of_name("none"), "");
    }
}
