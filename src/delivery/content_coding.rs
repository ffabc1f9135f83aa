//! Reads the codings in a `Content-Encoding` header.
//!
//! Many clients write a value there that changes no byte of the body: the name of a character set, a
//! transfer encoding of MIME, `none`. Such a body is plain, in any case of letters. Any other name
//! is a coding: a body with an unknown coding is never taken for plain.

/// Names that change no byte.
const NO_CODING: [&str; 9] =
    ["", "identity", "none", "utf-8", "utf8", "us-ascii", "7bit", "8bit", "binary"];

/// Returns the codings that the header's value names, in the order in which they were applied.
pub fn names(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_coding =
        |name: &&[u8]| NO_CODING.iter().all(|none| !name.eq_ignore_ascii_case(none.as_bytes()));
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(is_coding)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn what_changes_no_byte_is_no_coding() {
        for value in [
            "",
            " ",
            ",",
            "identity",
            "Identity",
            "none",
            "NONE",
            "utf-8",
            "UTF-8",
            "utf8",
            " utf-8 , identity",
            "us-ascii",
            "8bit",
            "binary",
        ] {
            assert_eq!(names(value.as_bytes()).next(), None, "{value:?}");
        }
    }

    #[test]
    fn every_other_name_is_a_coding_in_its_place() {
        for (value, expected) in [
            ("gzip", vec!["gzip"]),
            ("utf-8, GZIP", vec!["GZIP"]),
            ("br,identity,gzip", vec!["br", "gzip"]),
            ("utf-16", vec!["utf-16"]),
            ("utf-8;q=1", vec!["utf-8;q=1"]),
            ("\u{e9}", vec!["\u{e9}"]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(str::as_bytes).collect();
            assert_eq!(names(value.as_bytes()).collect::<Vec<_>>(), expected, "{value:?}");
        }
    }
}
