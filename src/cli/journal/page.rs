//! The answers of the journal: a page of events, nothing new, or a position that is too old.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::JournalError;
use crate::runtime::fetch::{Answer, ShownUrl};

/// Longest wait that is accepted from the journal.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// One answer of a journal.
#[derive(Debug)]
pub enum Page {
    /// Events in the order of the journal. `next` is the following page.
    Events { elements: Vec<Element>, next: Option<Url> },
    /// All events are read. The journal must not be asked again before `after` is over.
    Nothing { after: Option<Duration>, next: Option<Url> },
    /// The events after the position are older than the journal keeps.
    Gone,
}

/// One event of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The argument of [`Start::After`](super::Start::After).
    pub position: String,
    /// The page's element as it came: an object with `position` and `event`.
    pub bytes: Bytes,
}

pub(super) fn read(url: &Url, answer: Answer, now: SystemTime) -> Result<Page, JournalError> {
    let after = || retry_after(&answer.headers, now);
    let place = || ShownUrl::of(url);
    match answer.status {
        StatusCode::OK => {
            let elements = elements(&answer.body)
                .map_err(|what| JournalError::Strange { place: place(), what })?;
            Ok(Page::Events { elements, next: next(url, &answer.headers)? })
        }
        StatusCode::NO_CONTENT => {
            Ok(Page::Nothing { after: after(), next: next(url, &answer.headers)? })
        }
        StatusCode::GONE => Ok(Page::Gone),
        status
            if status.is_server_error()
                || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT]
                    .contains(&status) =>
        {
            let what = format!("{} answers {status}", place());
            Err(JournalError::Passing { what, after: after() })
        }
        status => {
            let what = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    "check that the credentials belong to the project of this registration, and \
                     journal.organization_id"
                }
                StatusCode::NOT_FOUND => "check journal.url: the registration shows it",
                _ => "check journal.url",
            };
            Err(JournalError::Refused { what: format!("{} answers {status}: {what}", place()) })
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    position: String,
}

fn elements(body: &Bytes) -> Result<Vec<Element>, String> {
    // The parser's own text is not shown: it may quote an event.
    let wrong = |at: &serde_json::Error| format!("no page at line {}", at.line());
    let parsed: Body = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
    let element = |raw: &&RawValue| {
        let head: Head = serde_json::from_str(raw.get())
            .map_err(|_| "an event without a position".to_owned())?;
        Ok(Element { position: head.position, bytes: body.slice_ref(raw.get().as_bytes()) })
    };
    parsed.events.iter().map(element).collect()
}

/// Returns the link with `rel="next"`, relative to the page that has it. The request carries the access token, so
/// the link must have the origin of the first page, or lead to another host of Adobe's.
fn next(page: &Url, headers: &HeaderMap) -> Result<Option<Url>, JournalError> {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.flat_map(link_values).find_map(next_target) else { return Ok(None) };
    let strange =
        |what: &str| JournalError::Strange { place: ShownUrl::of(page), what: what.into() };
    let next = page.join(target).map_err(|_| strange("its next page has no address"))?;
    let is_adobes = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        url.scheme() == "https" && (host == "adobe.io" || host.ends_with(".adobe.io"))
    };
    if next.origin() == page.origin() || is_adobes(page) && is_adobes(&next) {
        Ok(Some(next))
    } else {
        Err(strange(&format!(
            "its next page is at {}, which is not an Adobe address",
            ShownUrl::of(&next)
        )))
    }
}

/// Splits one header into its links; a comma inside of `<…>` or quotes ends none.
fn link_values(header: &str) -> impl Iterator<Item = &str> {
    let mut in_target = false;
    let mut in_quotes = false;
    header.split(move |character| {
        match character {
            '"' if !in_target => in_quotes = !in_quotes,
            '<' if !in_quotes => in_target = true,
            '>' if !in_quotes => in_target = false,
            ',' => return !in_target && !in_quotes,
            _ => {}
        }
        false
    })
}

/// Returns the target of a link to the next page (RFC 8288: the name's case does not count, and a
/// relation may have several words).
fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        name.trim().eq_ignore_ascii_case("rel")
            && value
                .trim()
                .trim_matches('"')
                .split_ascii_whitespace()
                .any(|relation| relation.eq_ignore_ascii_case("next"))
    });
    is_next.then_some(target)
}

/// Parses Retry-After: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://events-va6.adobe.io/events/organizations/1/journal?since=a";

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn page(answer: Answer) -> Result<Page, JournalError> {
        // 2026-03-02T10:00:00Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_445_600);
        read(&PAGE.parse().unwrap(), answer, now)
    }

    fn next_of(links: &[&str]) -> Result<Option<String>, JournalError> {
        let headers: Vec<_> = links.iter().map(|link| ("link", *link)).collect();
        match page(answer(204, &headers, ""))? {
            Page::Nothing { next, .. } => Ok(next.map(String::from)),
            other => panic!("{other:?}"),
        }
    }

    fn wait_of(text: &str) -> Option<u64> {
        match page(answer(204, &[("retry-after", text)], "")).unwrap() {
            Page::Nothing { after, .. } => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_elements_of_a_page_are_handed_on_byte_for_byte() {
        let body = r#"{"events":[ {"position":"p1", "event":{"id" : 1.0}} ,{"event":{},"position":"p2"}],"_page":{"last":"p2","count":2}}"#;
        let Page::Events { elements, next: None } = page(answer(200, &[], body)).unwrap() else {
            panic!("a page of events was due")
        };
        let elements: Vec<_> =
            elements.iter().map(|e| (e.position.as_str(), e.bytes.as_ref())).collect();
        assert_eq!(
            elements,
            [
                ("p1", &br#"{"position":"p1", "event":{"id" : 1.0}}"#[..]),
                ("p2", &br#"{"event":{},"position":"p2"}"#[..]),
            ]
        );
    }

    #[test]
    fn the_next_page_is_relative_to_this_one() {
        let next = next_of(&["</events/x?since=b%2C>; rel=\"next\""]).unwrap();
        assert_eq!(next.as_deref(), Some("https://events-va6.adobe.io/events/x?since=b%2C"));
        let next = next_of(&["</a,b>;rel=count, <?since=c>; title=\"x, y\"; REL=\"last Next\""]);
        let expected = "https://events-va6.adobe.io/events/organizations/1/journal?since=c";
        assert_eq!(next.unwrap().as_deref(), Some(expected));
        let next = next_of(&["</e>; rel=events", "</f>; rel=next"]).unwrap();
        assert_eq!(next.as_deref(), Some("https://events-va6.adobe.io/f"));
        assert_eq!(next_of(&["</a>; rel=prev"]).unwrap(), None);
        assert_eq!(next_of(&["no link", "<unclosed; rel=next"]).unwrap(), None);
    }

    #[test]
    fn the_next_page_is_never_somewhere_else() {
        assert!(next_of(&["<https://events-stage.adobe.io/x>; rel=next"]).unwrap().is_some());
        for elsewhere in [
            "//evil.test/x",
            "https://evil.test/x",
            "http://events-va6.adobe.io/x",
            "https://events-va6.adobe.io.evil.test/x",
            "https://evil-adobe.io/x",
            "https://events-va6.adobe.io@evil.test/x",
        ] {
            let error = next_of(&[&format!("<{elsewhere}>; rel=next")]).unwrap_err();
            assert!(matches!(error, JournalError::Strange { .. }), "{elsewhere}: {error}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_never_endless() {
        assert_eq!(wait_of("7"), Some(7));
        assert_eq!(wait_of("Mon, 02 Mar 2026 10:01:00 GMT"), Some(60));
        assert_eq!(wait_of("Mon, 02 Mar 2026 09:00:00 GMT"), Some(0));
        assert_eq!(wait_of("99999999"), Some(3600));
        assert_eq!(wait_of("soon"), None);
    }

    #[test]
    fn statuses_say_who_must_do_something() {
        assert!(matches!(page(answer(410, &[], "")), Ok(Page::Gone)));
        for passing in [429, 500, 503, 408] {
            let error = page(answer(passing, &[("retry-after", "3")], "")).unwrap_err();
            assert!(error.is_worth_retrying(), "{error}");
            let JournalError::Passing { after, .. } = error else { panic!() };
            assert_eq!(after, Some(Duration::from_secs(3)));
        }
        for refused in [400, 401, 403, 404, 302] {
            assert!(!page(answer(refused, &[], "")).unwrap_err().is_worth_retrying());
        }
    }

    #[test]
    fn what_is_no_page_is_said_to_be_none_and_not_quoted() {
        for body in ["", "{}", "<html>hunter2", r#"{"events":[{"hunter2":1}]}"#, r#"{"events":7}"#]
        {
            let error = page(answer(200, &[], body)).unwrap_err();
            assert!(matches!(error, JournalError::Strange { .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
