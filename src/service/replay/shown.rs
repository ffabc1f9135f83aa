//! Bodies as they may be shown: with the current rules on fields applied, or not at all.
//!
//! A dead letter on the topic may be older than a rule, and the spool and the quarantine hold the original bytes. A
//! user who looks at these through this service sees no more than a reader of the topics.

use std::{borrow::Cow, collections::HashMap};

use super::body::Kept;
use crate::{
    config::Config,
    deliver::decode::{
        Catalog, Rules,
        fields::{Came, screen},
    },
    source::{SourceKind, SourceName},
};

/// The text in place of a body that may not be shown.
pub(crate) const NOT_SHOWN: &str = "The body is not shown: a rule of `fields` cannot be applied to it. The spool or the quarantine has it as it came.";

/// The rules by which bodies of each source are shown.
pub(crate) struct Shown {
    /// Empty where there are no rules.
    sources: HashMap<SourceName, (SourceKind, Rules)>,
    has_rules: bool,
}

impl Shown {
    pub fn by(config: &Config) -> Self {
        let has_rules = !config.fields.rules.is_empty();
        let of = |source: &crate::config::SourceConfig| {
            let catalog = Catalog::with_overrides(source.activity_types.clone()).ok()?;
            Some((source.name.clone(), (source.kind, config.decoding(source, catalog))))
        };
        let sources = config.sources.iter().filter(|_| has_rules).filter_map(of);
        Self { sources: sources.collect(), has_rules }
    }

    /// Returns a stored delivery's body as it may be shown.
    pub fn delivery<'a>(
        &self,
        source: &SourceName,
        body: &'a [u8],
        headers: &[(String, String)],
    ) -> Option<Cow<'a, [u8]>> {
        if !self.has_rules {
            return Some(Cow::Borrowed(body));
        }
        let (kind, rules) = self.sources.get(source)?;
        let screened = screen(*kind, rules, body, headers, Came::FromSender);
        screened.shown(*kind, rules, headers).map(|body| Cow::Owned(body.into_owned()))
    }

    /// Returns the original of a refused event as it may be shown.
    pub fn original<'a>(&self, kept: &Kept<'a>) -> Option<Cow<'a, [u8]>> {
        if !self.has_rules {
            return Some(Cow::Borrowed(kept.original));
        }
        let (kind, rules) = self.sources.get(kept.source)?;
        if rules.fields.is_empty() {
            return Some(Cow::Borrowed(kept.original));
        }
        let body = kept.body(Some(*kind));
        let screened = screen(*kind, rules, &body, &[], kept.came());
        let whole = screened.shown(*kind, rules, &[])?;
        if body.len() == kept.original.len() {
            return Some(Cow::Owned(whole.into_owned()));
        }
        // The event was put into a body of its own, and is the only element there.
        let mut items = Vec::new();
        screened.decode(*kind, rules, &[], &mut items).ok()?;
        items.first()?.as_ref().ok().map(|event| Cow::Owned(event.original.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::spool::position::Position;

    fn shown(rules: &str) -> Shown {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "[kafka]\nbootstrap_servers = \"localhost:9092\"\n[sources.leads]\nkind = \"marketo-lead-activity\"\n\
             auth.tokens = [\"t\"]\n{rules}"
        );
        std::fs::write(file.path(), text).unwrap();
        let environment = Vec::<(String, String)>::new();
        Shown::by(&crate::config::load(Some(file.path()), environment).unwrap())
    }

    fn original(shown: &Shown, source: &str, original: &str) -> Option<String> {
        let kept = Kept {
            source: &SourceName::new(source).unwrap(),
            spool: Uuid::nil(),
            position: Position::start_of(1),
            reason: "too-large",
            error: None,
            origin: None,
            key: b"m:7",
            original: original.as_bytes(),
        };
        shown.original(&kept).map(|it| String::from_utf8(it.into_owned()).unwrap())
    }

    const RULE: &str = "[fields.email]\nattribute = \"Email\"\naction = \"mask\"\n";

    #[test]
    fn an_original_is_shown_as_its_record_would_have_it_or_not_at_all() {
        let activity = |value: &str| {
            format!(
                r#"{{"activityTypeId":1,"leadId":7,"attributes":[{{"name":"Email","value":{value}}}]}}"#
            )
        };
        let came = activity("\"a@b\"");
        let with_rule = shown(RULE);
        assert_eq!(original(&with_rule, "leads", &came), Some(activity("\"***\"")));
        assert_eq!(original(&with_rule, "leads", "no JSON with Email a@b"), None);
        assert_eq!(original(&with_rule, "another", &came), None, "its rules are not known");
        assert_eq!(original(&shown(""), "leads", &came), Some(came.clone()));
    }

    #[test]
    fn a_delivery_is_shown_with_the_rules_applied_or_not_at_all() {
        let leads = SourceName::new("leads").unwrap();
        let of = |shown: &Shown, body: &str| {
            let body = shown.delivery(&leads, body.as_bytes(), &[])?.into_owned();
            String::from_utf8(body).ok()
        };
        let body = |value: &str| {
            format!(r#"{{"munchkinId":"m","activities":[{{"activityTypeId":1,"Email":{value}}}]}}"#)
        };
        assert_eq!(of(&shown(RULE), &body("7")), Some(body("\"***\"")));
        assert_eq!(of(&shown(RULE), "[7"), None);
        // Beside the activities, too.
        let beside = |members: &str| {
            format!(
                r#"{{"a":{{{members}}},"activities":[{{"activityTypeId":1}}],{members},"munchkinId":"m"}}"#
            )
        };
        let email = r#""e\u006dail":"a@b","attributes":[{"value":"a@b","name":"Email"}]"#;
        assert_eq!(of(&shown(RULE), &beside(email)), Some(beside(email).replace("a@b", "***")));
        assert_eq!(of(&shown(""), &beside(email)), Some(beside(email)));
        let of_a_type = format!("{RULE}types = [\"openemail\"]\n");
        assert_eq!(
            of(&shown(&of_a_type), &beside(email)),
            Some(beside(email).replace("a@b", "***"))
        );
        assert_eq!(of(&shown(RULE), &beside(r#""x":"{\"Email\":\"a@b\"}""#)), None);
        let without = r#"{"activities":[],"Email":"a@b"}"#;
        assert_eq!(of(&shown(RULE), without), Some(without.replace("a@b", "***")));
        assert_eq!(of(&shown(""), "[7").as_deref(), Some("[7"));
    }
}
