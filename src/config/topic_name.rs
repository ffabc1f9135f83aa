//! What may be the name of a topic, and a template of names.

use super::leaf::Problem;

const LONGEST: usize = 249;

const PLACEHOLDERS: [&str; 5] = ["stream", "type", "source", "munchkin_id", "activity_type_id"];

/// Kafka's own rule. The error goes on from "is `…`,".
pub(super) fn topic(name: &str) -> Result<(), Problem> {
    match name {
        "" => Err("which is empty".into()),
        "." | ".." => Err("which Kafka keeps for itself".into()),
        _ if name.len() > LONGEST => Err("which is longer than 249 characters".into()),
        _ => legal(name),
    }
}

/// Literal text and `{placeholder}`s. The error goes on from "is `…`,".
pub(super) fn template(template: &str) -> Result<(), Problem> {
    let mut rest = template;
    let mut literal = String::new();
    let mut placeholders = 0;
    while let Some((before, after)) = rest.split_once('{') {
        literal.push_str(before);
        let (name, after) =
            after.split_once('}').ok_or("in which a brace is opened and not closed")?;
        if !PLACEHOLDERS.contains(&name) {
            return Err(format!("in which `{{{name}}}` is no placeholder").into());
        }
        placeholders += 1;
        rest = after;
    }
    literal.push_str(rest);
    if placeholders == 0 { topic(&literal) } else { legal(&literal) }
}

fn legal(text: &str) -> Result<(), Problem> {
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|c| !legal(c)) {
        Some(other) => Err(format!("in which `{other}` is not allowed").into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_known_placeholders_and_legal_letters() {
        for ok in
            ["marketo.{stream}.{type}", "{source}", "a_{munchkin_id}-{activity_type_id}", "one"]
        {
            assert_eq!(template(ok), Ok(()), "{ok}");
        }
        for bad in [
            "", ".", "..", "{colour}", "{stream", "stream}", "a b", "a/{type}", "ä{type}", "{}",
            "{{type}}",
        ] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_topic_is_what_kafka_takes() {
        assert_eq!(topic("marketo.dead-letter"), Ok(()));
        assert_eq!(topic(&"a".repeat(249)), Ok(()));
        for bad in ["", ".", "..", "a b", "{type}", &"a".repeat(250)] {
            assert!(topic(bad).is_err(), "{bad}");
        }
    }
}
