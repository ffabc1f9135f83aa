//! The challenge by which Adobe I/O asks, before it sends events, whether an address wants them.
//!
//! It comes without credentials. Either a GET carries a value, which the answer repeats: this file reads it. Or a
//! POST carries an address that has to be opened within five minutes (`validation.rs`). Neither is an event.

use percent_encoding::percent_decode;

/// Bytes of a value that is repeated. Adobe's have a few dozen.
const MAX_CHALLENGE_BYTES: usize = 1024;

/// Returns the value of the parameter `challenge`, with which a GET is answered. `None` where there is none, or none
/// that may be repeated: two of them, an empty or a long one, control characters, not UTF-8. A `+` is a `+`.
pub fn challenge(query: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        percent_decode(name.as_bytes()).eq("challenge".bytes()).then_some(value)
    });
    let value = values.next()?;
    let decoded = String::from_utf8(percent_decode(value.as_bytes()).collect()).ok()?;
    let may_be_repeated =
        (1..=MAX_CHALLENGE_BYTES).contains(&decoded.len()) && !decoded.contains(char::is_control);
    (values.next().is_none() && may_be_repeated).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_value_is_percent_decoded_and_nothing_else() {
        for (query, value) in [
            (
                "challenge=8ec8d794-e0ab-42df-9017-e3dada8e84f7",
                "8ec8d794-e0ab-42df-9017-e3dada8e84f7",
            ),
            ("a=b&challenge=x&c", "x"),
            ("%63hallenge=a%20b%26c%3Dd", "a b&c=d"),
            ("challenge=a+b%2Bc", "a+b+c"),
            ("challenge=a=b", "a=b"),
            ("challenge=%C3%A4", "ä"),
            ("challenge=100%", "100%"),
            ("challenge=<script>", "<script>"),
        ] {
            assert_eq!(challenge(query).as_deref(), Some(value), "{query}");
        }
    }

    #[test]
    fn a_value_that_may_not_be_repeated_is_no_challenge() {
        let longest = "x".repeat(1024);
        let longer = "x".repeat(1025);
        assert!(challenge(&format!("challenge={longest}")).is_some());
        for query in [
            "",
            "challenge",
            "challenge=",
            "Challenge=x",
            "xchallenge=x",
            "challenge=x&challenge=x",
            "challenge=a%0D%0Ab",
            "challenge=%00",
            "challenge=%ff",
            "challenge=%C2%85",
            &format!("challenge={longer}"),
        ] {
            assert_eq!(challenge(query), None, "{query}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_repeated_as_it_was_before_it_was_encoded(value in "\\PC{1,60}") {
            let encoded = percent_encoding::utf8_percent_encode(
                &value,
                percent_encoding::NON_ALPHANUMERIC,
            );
            let query = format!("a=1&challenge={encoded}&b");
            let expected = (!value.contains(char::is_control)).then_some(value);
            prop_assert_eq!(challenge(&query), expected);
        }

        #[test]
        fn no_text_makes_it_panic(query in "(challenge=|&|%|[0-9a-fA-F]{2}|\\PC){0,40}") {
            challenge(&query);
        }
    }
}
