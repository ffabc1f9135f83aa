//! The headers that are kept with a delivery; all others, credentials above all, are not.

use super::ids::REQUEST_ID;
use crate::source::ORIGIN_HEADER;
use http::{HeaderMap, HeaderName, header};

/// Headers that are kept. The ids are Adobe I/O's.
const KEPT_HEADERS: [HeaderName; 11] = [
    HeaderName::from_static(ORIGIN_HEADER),
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-adobe-event-id"),
    HeaderName::from_static("x-adobe-delivery-id"),
    HeaderName::from_static("x-adobe-retry-count"),
    HeaderName::from_static("x-adobe-event-code"),
    HeaderName::from_static("x-adobe-provider"),
];

/// Bytes of one kept header's value; a longer one is cut.
const MAX_VALUE_BYTES: usize = 1024;

/// Returns the headers to keep, and `request_id` as `x-request-id`, also where the sender gave none.
pub(super) fn worth_keeping(
    headers: &HeaderMap,
    still_coded: bool,
    request_id: &str,
) -> Vec<(String, String)> {
    let mut kept = vec![(REQUEST_ID.as_str().to_owned(), request_id.to_owned())];
    for name in &KEPT_HEADERS {
        if *name == header::CONTENT_ENCODING && !still_coded {
            continue;
        }
        let values: Vec<_> =
            headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        if !values.is_empty() {
            let mut value = values.join(", ");
            let end =
                (0..=MAX_VALUE_BYTES.min(value.len())).rev().find(|at| value.is_char_boundary(*at));
            value.truncate(end.unwrap_or(0));
            kept.push((name.as_str().to_owned(), value));
        }
    }
    kept
}

/// Removes the header that marks deliveries of the journal: Adobe I/O signs bodies and no headers, and none of its
/// own deliveries comes from the journal.
pub(super) fn has_no_origin(kept: &mut Vec<(String, String)>) {
    kept.retain(|(name, _)| name != ORIGIN_HEADER);
}

/// Replaces the sender's trace headers, so that later spans are children of `parent`.
pub(super) fn is_child_of(kept: &mut Vec<(String, String)>, parent: String, state: String) {
    kept.retain(|(name, _)| name != "traceparent" && name != "tracestate");
    kept.push(("traceparent".to_owned(), parent));
    if !state.is_empty() {
        kept.push(("tracestate".to_owned(), state));
    }
}

/// Returns whether the sender says that it tried before. Only Adobe I/O has a header for it.
pub(super) fn is_repeat(headers: &HeaderMap) -> bool {
    let count = headers.get("x-adobe-retry-count").and_then(|count| count.to_str().ok());
    count.and_then(|count| count.trim().parse().ok()).is_some_and(|count: u64| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_with_a_retry_count_is_a_repeat() {
        let says = |count: &'static str| {
            let value = http::HeaderValue::from_static(count);
            is_repeat(&HeaderMap::from_iter([("x-adobe-retry-count".parse().unwrap(), value)]))
        };
        assert!(says("1") && says(" 12"));
        assert!(!says("0") && !says("") && !says("often") && !is_repeat(&HeaderMap::new()));
    }

    #[test]
    fn headers_are_kept_by_name_joined_and_cut() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", "application/json".parse().unwrap());
        headers.append("authorization", "Bearer hunter2".parse().unwrap());
        headers.append("content-encoding", "br".parse().unwrap());
        headers.append("content-encoding", "gzip".parse().unwrap());
        headers.append("x-adobe-event-id", http::HeaderValue::from_bytes(b"\xe4bc").unwrap());
        headers.append("user-agent", "ä".repeat(1000).parse().unwrap());
        let kept = worth_keeping(&headers, true, "an-id");
        let value = |name: &str| kept.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("content-type"), Some("application/json"));
        assert_eq!(value("content-encoding"), Some("br, gzip"));
        assert_eq!(value("x-adobe-event-id"), Some("\u{fffd}bc"));
        assert_eq!(value("user-agent").map(str::len), Some(1024));
        assert_eq!(value("authorization"), None);
        assert_eq!(value("x-request-id"), Some("an-id"));
        assert_eq!(kept.len(), 5);
        let decoded = worth_keeping(&headers, false, "an-id");
        assert!(!decoded.iter().any(|(name, _)| name == "content-encoding"));
    }
}
