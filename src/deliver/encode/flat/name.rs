//! Names of fields, made from the sender's names.
//!
//! Lower-case letters of ASCII, digits and `_`, not beginning with a digit, at most [`MAX_NAME_BYTES`] bytes: with a prefix
//! and a suffix still a valid column of PostgreSQL, field of Avro and name of SQL. The rule, which never changes
//! silently:
//!
//! - Any character that is no letter and no digit separates words, and so does the step from a small letter or a digit
//!   to a capital one (`leadId`) and from capitals to a word (`marketoGUID`, `IPAddress`); a plural's `s` does not
//!   (`Merge IDs`). Words are joined by `_`.
//! - A letter or digit outside of ASCII separates words too. Since two names could then become one, the name ends in
//!   `_` and eight hexadecimal digits, the CRC32C of the sender's name.
//! - A name without anything left is `field`; one that begins with a digit gets a `_` before it.
//! - A longer name is cut, and ends in the same eight digits.
//!
//! A name that has this form already stays as it is.

use std::fmt::Write;

/// Limit of a name's bytes. PostgreSQL has 63: `attribute_` and a number have room.
pub const MAX_NAME_BYTES: usize = 48;

/// Bytes of `_` and a checksum.
const CHECKSUM_BYTES: usize = 9;

/// Appends the field's name for the sender's name `text` to `out`.
pub fn snake(text: &str, out: &mut String) {
    let start = out.len();
    let mut is_lossy = false;
    let mut before = Class::Other;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().copied().enumerate() {
        let class = Class::of(byte);
        if class == Class::Other {
            is_lossy |= !byte.is_ascii();
        } else {
            let begins = match (before, class) {
                (Class::Other, _) => true,
                (Class::Small | Class::Digit, Class::Capital) => true,
                (Class::Capital, Class::Capital) => is_word(&bytes[at + 1..]),
                _ => false,
            };
            if begins && out.len() > start {
                out.push('_');
            }
            out.push(char::from(byte.to_ascii_lowercase()));
        }
        before = class;
    }
    // Only letters and digits distinguish names: other signs outside of ASCII lose nothing.
    let is_lossy = is_lossy && text.chars().any(|c| !c.is_ascii() && c.is_alphanumeric());
    match out.as_bytes().get(start) {
        None => out.push_str("field"),
        Some(b'0'..=b'9') => out.insert(start, '_'),
        Some(_) => {}
    }
    let is_long = out.len() - start > MAX_NAME_BYTES;
    if is_lossy || is_long {
        out.truncate(out.len().min(start + MAX_NAME_BYTES - CHECKSUM_BYTES));
        // A cut after a word's end leaves its `_`.
        while out[start..].ends_with('_') {
            out.pop();
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "_{:08x}", crc32c::crc32c(text.as_bytes()));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Capital,
    Digit,
    Other,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b'a'..=b'z' => Self::Small,
            b'A'..=b'Z' => Self::Capital,
            b'0'..=b'9' => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// Whether a capital letter after another one, with `rest` behind it, begins a word: small letters follow, and not just
/// the `s` of a plural.
fn is_word(rest: &[u8]) -> bool {
    match rest {
        [b's', more @ ..] => more.first().is_some_and(u8::is_ascii_lowercase),
        [first, ..] => first.is_ascii_lowercase(),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> String {
        let mut out = "before".to_owned();
        snake(text, &mut out);
        out.strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn words_are_parted_where_a_reader_would_part_them() {
        for (text, expected) in [
            ("Link ID", "link_id"),
            ("Webpage ID", "webpage_id"),
            ("leadId", "lead_id"),
            ("marketoGUID", "marketo_guid"),
            ("primaryAttributeValueId", "primary_attribute_value_id"),
            ("Client IP Address", "client_ip_address"),
            ("IPAddress", "ip_address"),
            ("Merge IDs", "merge_ids"),
            ("URLs seen", "urls_seen"),
            ("SFDCSync", "sfdc_sync"),
            ("  Old--Value (1)/", "old_value_1"),
            ("line1Text", "line1_text"),
            ("3rd Party", "_3rd_party"),
            ("link_id", "link_id"),
            ("ID", "id"),
            ("Qualität", "qualit_t_3e7b0b8f"),
            ("€ – price", "price"),
            ("", "field"),
            ("–", "field"),
        ] {
            let made = name(text);
            match expected.strip_suffix("_3e7b0b8f") {
                Some(begin) => assert!(made.starts_with(begin) && made.len() == 17, "{made}"),
                None => assert_eq!(made, expected, "{text}"),
            }
        }
    }

    #[test]
    fn names_of_other_scripts_and_long_names_stay_apart() {
        for (one, two) in [("新規", "商談"), ("Größe", "Gräße")] {
            assert_ne!(name(one), name(two));
        }
        let one = "word ".repeat(40) + "a";
        let two = "word ".repeat(40) + "b";
        assert_ne!(name(&one), name(&two));
        assert_eq!(name(&one).len(), MAX_NAME_BYTES);
    }

    proptest! {
        #[test]
        fn every_name_is_one_of_a_column_and_stays_as_it_is(text in ".{0,100}") {
            let made = name(&text);
            prop_assert!((1..=MAX_NAME_BYTES).contains(&made.len()));
            prop_assert!(made.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            prop_assert!(!made.as_bytes()[0].is_ascii_digit());
            prop_assert_eq!(name(&made), made);
        }

        #[test]
        fn spaces_and_case_of_words_do_not_matter(words in prop::collection::vec("[a-z]{2,8}", 1..5)) {
            let title: Vec<_> = words.iter().map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            let camel = words[0].clone() + &title[1..].concat();
            let expected = words.join("_");
            prop_assert_eq!(name(&title.join(" ")), expected.clone());
            prop_assert_eq!(name(&title.concat()), expected.clone());
            prop_assert_eq!(name(&camel), expected);
        }
    }
}
