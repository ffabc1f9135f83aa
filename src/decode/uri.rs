//! Which texts are URIs that a CloudEvent may carry.

/// Whether `text` is an absolute URI of RFC 3986, section 4.3: a scheme, a colon, something behind
/// it, no fragment, and no character that a URI can't have.
pub(super) fn is_absolute(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte))
        && rest.split('%').skip(1).all(|behind| {
            behind.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        })
}

#[cfg(test)]
mod tests {
    use super::is_absolute;

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
            "urn:é",
            "urn:%4",
            "urn:%zz",
            "urn:%é",
            "\nurn:x",
        ] {
            assert!(!is_absolute(text), "{text}");
        }
    }
}
