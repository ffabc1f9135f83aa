//! Addresses of pages, with all values percent-encoded.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are encoded in a segment of a path and in a value of a query: all but RFC 3986's unreserved ones.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns `path?name=value&…`, without the pairs that have no value.
pub fn query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut link = path.to_owned();
    let mut separator = '?';
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = write!(link, "{separator}{name}={}", utf8_percent_encode(value, ENCODED));
            separator = '&';
        }
    }
    link
}

/// Returns the address of a delivery's page; the position may be that of one of its events (`42.7`).
pub fn delivery(source: &str, position: &str) -> String {
    let sequence = position.split('.').next().unwrap_or_default();
    format!(
        "/deliveries/{}/{}",
        utf8_percent_encode(source, ENCODED),
        utf8_percent_encode(sequence, ENCODED)
    )
}

/// Returns the address of the runbook's section with this heading; none where the program was built without an address
/// of its repository (`repository` of Cargo.toml), since a link would lead nowhere.
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
        utf8_percent_encode(&anchor, ENCODED)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_an_address_are_encoded() {
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
