//! Names of Adobe's CloudEvents types, built and taken apart. Both forms of an activity go through
//! this file, so they meet in one topic.
//!
//! A type is `com.adobe.platform.marketo.` + family + name. The *event type* of a topic is the name
//! alone with every character outside `[a-z0-9-]` turned into `-`, at most 200 characters. The
//! families are known, so a name may hold a dot of its own: `Enrich with Data.com` is
//! `….activity.standard.enrichwithdata.com` and `enrichwithdata-com`, not `com`. Only in an
//! unknown family does the name begin after the last dot.

use std::borrow::Cow;

use smol_str::format_smolstr;

use crate::event::{Stream, Word};

/// `source` of every lead activity.
pub const LEAD_ACTIVITY_SOURCE: &str = "urn:marketo_activity_stream";

/// The type of every customer-defined activity; `activityTypeId` distinguishes them.
pub const CUSTOM_ACTIVITY: &str = "com.adobe.platform.marketo.activity.custom";

/// Ids from here on are the customer's own activities.
pub const FIRST_CUSTOM_ID: i64 = 100_000;

const MARKETO_PREFIX: &str = "com.adobe.platform.marketo.";
const FAMILIES: [&str; 4] =
    ["activity.standard.", "audit.user.", "notification.", "observability."];

/// Limit of an event type's characters.
const EVENT_TYPE_LIMIT: usize = 200;

/// The type of a standard activity: its name in lower case without spaces.
pub fn standard_activity(name: &str) -> String {
    format!("{MARKETO_PREFIX}{}{}", FAMILIES[0], compact(name))
}

/// The name in the type of a standard activity, as [`standard_activity`] has it.
pub fn standard_name(ce_type: &str) -> Option<&str> {
    ce_type.strip_prefix(MARKETO_PREFIX)?.strip_prefix(FAMILIES[0])
}

/// A name in lower case without spaces.
pub fn compact(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// The stream and the event type of a CloudEvents type. The event type is never empty.
pub fn classify(ce_type: &str, activity_type_id: Option<i64>) -> (Stream, Word<'_>) {
    let Some(rest) = ce_type.strip_prefix(MARKETO_PREFIX) else {
        return (Stream::Other, word(last_segment(ce_type)));
    };
    let family = rest.bytes().position(|byte| byte == b'.').map_or(rest, |end| &rest[..end]);
    let stream = match family {
        "activity" => Stream::LeadActivity,
        "audit" => Stream::UserAudit,
        "notification" => Stream::Notification,
        "observability" => Stream::Observability,
        _ => Stream::Other,
    };
    if let (CUSTOM_ACTIVITY, Some(id)) = (ce_type, activity_type_id) {
        return (stream, custom_event_type(id));
    }
    let name = FAMILIES.iter().find_map(|family| rest.strip_prefix(family));
    (stream, word(name.unwrap_or_else(|| last_segment(rest))))
}

/// `custom-<id>`.
pub fn custom_event_type(id: i64) -> Word<'static> {
    Word::Made(format_smolstr!("custom-{id}"))
}

/// Does what [`classify`] does, for a type that may not live as long as the event.
pub fn classify_owned<'a>(
    ce_type: &Cow<'a, str>,
    activity_type_id: Option<i64>,
) -> (Stream, Word<'a>) {
    match ce_type {
        Cow::Borrowed(ce_type) => classify(ce_type, activity_type_id),
        Cow::Owned(ce_type) => {
            let (stream, event_type) = classify(ce_type, activity_type_id);
            (stream, event_type.into_owned().into())
        }
    }
}

fn last_segment(text: &str) -> &str {
    text.rsplit('.').next().unwrap_or(text)
}

/// `name` as an event type; `none` when it is empty.
fn word(name: &str) -> Word<'_> {
    let is_legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if name.is_empty() {
        return Word::Piece("none");
    }
    if name.len() <= EVENT_TYPE_LIMIT && name.bytes().all(is_legal) {
        return Word::Piece(name);
    }
    let legal = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-') => c,
        _ => '-',
    };
    Word::Made(name.chars().take(EVENT_TYPE_LIMIT).map(legal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(ce_type: &str) -> Word<'_> {
        classify(ce_type, None).1
    }

    #[test]
    fn each_family_has_its_stream_and_its_names() {
        let of = |ce_type| classify(ce_type, None);
        let marketo = |rest: &str| {
            let (stream, word) = classify_owned(&format!("{MARKETO_PREFIX}{rest}").into(), None);
            (stream, word)
        };
        assert_eq!(
            marketo("activity.standard.clicklink"),
            (Stream::LeadActivity, "clicklink".into())
        );
        assert_eq!(marketo("audit.user.landingpage"), (Stream::UserAudit, "landingpage".into()));
        assert_eq!(
            marketo("notification.campaign_abort"),
            (Stream::Notification, "campaign-abort".into())
        );
        assert_eq!(marketo("observability.metrics"), (Stream::Observability, "metrics".into()));
        assert_eq!(marketo("billing.Invoice Sent"), (Stream::Other, "invoice-sent".into()));
        assert_eq!(marketo("audit.api.call"), (Stream::UserAudit, "call".into()));
        assert_eq!(of("org.example.thing"), (Stream::Other, "thing".into()));
        assert_eq!(of(""), (Stream::Other, "none".into()));
        assert_eq!(of("ends.with."), (Stream::Other, "none".into()));
    }

    #[test]
    fn a_dot_in_a_name_does_not_shorten_it() {
        let ce_type = standard_activity("Enrich with Data.com");
        assert_eq!(ce_type, "com.adobe.platform.marketo.activity.standard.enrichwithdata.com");
        assert_eq!(event_type(&ce_type), "enrichwithdata-com");
    }

    #[test]
    fn a_custom_activity_is_named_after_its_id() {
        assert_eq!(classify(CUSTOM_ACTIVITY, Some(100_001)).1, "custom-100001");
        assert_eq!(classify(CUSTOM_ACTIVITY, None).1, "custom");
        assert_eq!(classify(&standard_activity("Click Link"), Some(100_001)).1, "clicklink");
    }

    #[test]
    fn an_event_type_is_legal_and_bounded_whatever_the_name_is() {
        assert_eq!(event_type(&standard_activity("Über Größe/#1")), "-bergr--e--1");
        assert_eq!(*event_type(&standard_activity(&"é".repeat(300))), *"-".repeat(200));
        assert_eq!(event_type(&standard_activity(" \t\u{a0}")), "none");
    }
}
