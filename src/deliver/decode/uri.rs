//! URIs that a CloudEvent may carry, and texts that can be made one.
//!
//! The rule is RFC 3986's as far as `java.net.URI` agrees, by which the CloudEvents SDK for Java reads
//! `source` and `dataschema`: a URI that it cannot read costs its readers the whole event.

use std::{borrow::Cow, fmt::Write, net::Ipv6Addr};

/// Whether `text` is an absolute URI (section 4.3 there): with a scheme and without a fragment.
pub(super) fn is_absolute(text: &str) -> bool {
    scheme_and_rest(text).is_some() && !text.contains('#') && is_reference(text)
}

/// `text` as a URI reference: unchanged if it is one, else with illegal characters percent-encoded.
/// The result is never empty unless `text` is.
pub(super) fn to_reference(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_reference(&text) {
        return text;
    }
    let illegal = encoded(&text, |byte| is_legal(byte) && !b"[]#%".contains(&byte));
    if is_reference(&illegal) {
        return illegal.into();
    }
    encoded(&text, is_unreserved).into()
}

/// Whether `text` is a URI or a relative reference (section 4.1 there).
fn is_reference(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let rest = match text.find([':', '/', '?']).map(|at| text.as_bytes()[at]) {
        Some(b':') => match scheme_and_rest(text) {
            Some(rest) => rest,
            None => return false,
        },
        _ => text,
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match path.strip_prefix("//") {
        None => path,
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !is_authority(authority) || rest.is_empty() {
                return false;
            }
            path
        }
    };
    [path, query, fragment].into_iter().all(|part| {
        part.bytes().all(|byte| is_legal(byte) && !b"[]#".contains(&byte)) && is_escaped_well(part)
    })
}

/// The text after a scheme and its colon, which is not empty.
fn scheme_and_rest(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && scheme.bytes().all(in_scheme) && !rest.is_empty()).then_some(rest)
}

/// Whether `text` is a name or IPv4 address, or an IPv6 address in brackets, with an optional port.
fn is_authority(text: &str) -> bool {
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let digits = port.strip_prefix(':').unwrap_or(port);
        return address.parse::<Ipv6Addr>().is_ok()
            && (port.is_empty() || port.starts_with(':'))
            && digits.bytes().all(|byte| byte.is_ascii_digit());
    }
    text.bytes().all(|byte| is_legal(byte) && !b"[]".contains(&byte)) && is_escaped_well(text)
}

/// Whether a URI may have the byte somewhere.
fn is_legal(byte: u8) -> bool {
    is_unreserved(byte) || b":/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether two hexadecimal digits follow each `%`.
fn is_escaped_well(text: &str) -> bool {
    text.split('%').skip(1).all(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
}

/// Percent-encodes every byte of `text` except those that `may_stay` allows. Existing escapes, and
/// the first `#`, stay too unless all reserved characters go.
fn encoded(text: &str, may_stay: fn(u8) -> bool) -> String {
    let mut made = String::with_capacity(text.len() + 16);
    let mut fragment = false;
    for (at, byte) in text.bytes().enumerate() {
        let stays = match byte {
            b'%' => may_stay(b':') && text.get(at + 1..).is_some_and(is_hex),
            b'#' => may_stay(b':') && !std::mem::replace(&mut fragment, true),
            byte => may_stay(byte),
        };
        match stays {
            true => made.push(char::from(byte)),
            false => write!(made, "%{byte:02X}").expect("a String takes any text"),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_absolute_when_it_has_a_scheme_and_is_spelled_as_uris_are() {
        for text in
            ["https://e.test/schema/v2?a=%2F", "urn:marketo:schema:2", "a+b.c-1:x", "http://[::1]/"]
        {
            assert!(is_absolute(text), "{text}");
        }
        for text in [
            "",
            "V2.0",
            "/schema",
            "schema.json",
            "//e.test/x",
            ":x",
            "1a:x",
            "a:",
            "a b:c",
            "http://e.test/a b",
            "http://e.test/#part",
            "http://e.test/a[b",
            "http://[x]/",
            "http://",
            "urn:é",
            "urn:%4",
            "urn:%zz",
            "urn:%é",
            "\nurn:x",
        ] {
            assert!(!is_absolute(text), "{text}");
        }
    }

    #[test]
    fn a_reference_stays_as_it_is() {
        for text in [
            "urn:marketo_activity_stream",
            "V2.0",
            "/a//b/../c",
            "//e.test:8080/x",
            "http://user@e.test/a?b=c&d#e",
            "http://[::1]:80",
            "file:///x",
            "?a",
            "#",
            "a%20b",
        ] {
            assert!(
                matches!(to_reference(text.into()), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    #[test]
    fn what_can_not_stand_in_a_reference_is_encoded() {
        for (text, made) in [
            ("my source", "my%20source"),
            ("urn:é b", "urn:%C3%A9%20b"),
            ("a%zz%41", "a%25zz%41"),
            ("a#b#c", "a#b%23c"),
            ("http://h/a[b]", "http://h/a%5Bb%5D"),
            ("{a}|\\", "%7Ba%7D%7C%5C"),
            ("1a:x", "1a%3Ax"),
            (":", "%3A"),
            ("a:", "a%3A"),
            ("http://", "http%3A%2F%2F"),
            ("100%", "100%25"),
        ] {
            assert_eq!(to_reference(text.into()), made, "{text}");
            assert!(is_reference(made), "{made}");
        }
    }
}
