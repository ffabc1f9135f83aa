//! Addresses of pages, with everything encoded that stands in them.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a segment of a path, and in a value of a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `path?name=value&…`, without the pairs that have no value.
pub fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut link = path.to_owned();
    let mut separator = '?';
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = write!(link, "{separator}{name}={}", utf8_percent_encode(value, PLAIN));
            separator = '&';
        }
    }
    link
}

/// The page of one delivery; of an event's position (`42.7`) it is its delivery's.
pub fn delivery(source: &str, position: &str) -> String {
    let sequence = position.split('.').next().unwrap_or_default();
    format!(
        "/deliveries/{}/{}",
        utf8_percent_encode(source, PLAIN),
        utf8_percent_encode(sequence, PLAIN)
    )
}

/// The section of the runbook with this heading; none where the program was built without an address of its
/// repository (`repository` of Cargo.toml), since a link would lead nowhere.
pub fn runbook(heading: &str) -> Option<String> {
    of_repository(env!("CARGO_PKG_REPOSITORY"), heading)
}

fn of_repository(repository: &str, heading: &str) -> Option<String> {
    let host = repository.split("://").nth(1)?.split('/').next()?;
    // Hosts below `.example` are nowhere: they stand for one that is not chosen yet.
    if host.is_empty() || host == "example" || host.ends_with(".example") {
        return None;
    }
    let anchor: String = heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect();
    Some(format!(
        "{}/blob/main/deploy/RUNBOOK.md#{}",
        repository.trim_end_matches('/'),
        utf8_percent_encode(&anchor, PLAIN)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_an_address_is_encoded() {
        assert_eq!(
            query("/deliveries", &[("source", Some("a&b=\"<")), ("since", None)]),
            "/deliveries?source=a%26b%3D%22%3C"
        );
        assert_eq!(delivery("le/ads", "42.7"), "/deliveries/le%2Fads/42");
    }

    #[test]
    fn the_runbook_is_in_the_repository_of_the_package_if_that_is_anywhere() {
        assert_eq!(
            of_repository("https://git.acme.com/millrace/", "Following one delivery").as_deref(),
            Some(
                "https://git.acme.com/millrace/blob/main/deploy/RUNBOOK.md#following-one-delivery"
            )
        );
        for nowhere in ["", "https://git.example/millrace", "https://example", "https://"] {
            assert_eq!(of_repository(nowhere, "Stopping"), None, "{nowhere}");
        }
    }
}
