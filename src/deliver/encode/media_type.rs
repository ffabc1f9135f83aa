//! Media types of JSON that the readers of structured mode know.

/// Whether the SDKs for Java and Python take data of the media type `text` for JSON. Their rules are narrower
/// than that of the JSON format: Java's is the narrowest, lower case, without blanks, and with nothing but
/// letters before `+json`. Its parameters stand in one line.
pub(super) fn is_json_to_readers(text: &str) -> bool {
    let subtype = text.strip_prefix("application/").or_else(|| text.strip_prefix("text/"));
    let Some(subtype) = subtype else { return false };
    let (subtype, parameters) = subtype.split_once(';').unwrap_or((subtype, ""));
    let is_json = subtype == "json"
        || subtype.strip_suffix("+json").is_some_and(|syntax| {
            !syntax.is_empty() && syntax.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
    is_json && !parameters.contains(LINE_ENDS)
}

/// Characters that end a line for Java's regular expressions.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_lower_case_and_with_letters_alone_is_known() {
        for known in [
            "application/json",
            "text/json",
            "application/json;",
            "application/json; charset=UTF-8;a=\"b;c\"",
            "application/cloudevents+json",
            "text/Problem+json;x= y ",
        ] {
            assert!(is_json_to_readers(known), "{known}");
        }
    }

    #[test]
    fn every_other_spelling_is_not() {
        for unknown in [
            "",
            "json",
            "application/",
            "application/+json",
            "APPLICATION/JSON",
            " application/json",
            "application/json ;charset=utf-8",
            "application/json\n",
            "application/json;a\u{2028}b",
            "application/vnd.x+json",
            "application/a-b+json",
            "application/v1+json",
            "application/a+b+json",
            "application/problem+JSON",
            "image/svg+json",
            "text/plain;+json",
        ] {
            assert!(!is_json_to_readers(unknown), "{unknown}");
        }
    }
}
