//! Names of topics are what Kafka takes, and none is one of our own.

use super::*;
use crate::event::{Attributes, Pieces};

fn event<'a>(munchkin_id: &'a str, event_type: &'a str) -> Event<'a> {
    Event {
        index: 0,
        stream: Stream::LeadActivity,
        event_type: event_type.into(),
        munchkin_id: Some(munchkin_id.into()),
        activity_type_id: Some(3),
        key: None,
        attributes: Attributes::default(),
        headers: Vec::new(),
        value: Pieces::default(),
        original: b"",
        members: None,
        lead_state: None,
    }
}

fn topic(template: &str, event: &Event<'_>) -> String {
    let source = SourceName::new("leads").unwrap();
    // The earlier content of the buffer does not matter.
    let mut buffer = "left over".to_string();
    Router::new(template).unwrap().topic(&source, event, &mut buffer).to_string()
}

#[test]
fn every_placeholder_is_filled_in() {
    let event = event("999-XYZ-000", "clicklink");
    assert_eq!(topic("marketo.{stream}.{type}", &event), "marketo.lead-activity.clicklink");
    assert_eq!(
        topic("{source}_{munchkin_id}.{activity_type_id}-x", &event),
        "leads_999-XYZ-000.3-x"
    );
    assert_eq!(topic("all", &event), "all");
}

#[test]
fn what_a_sender_writes_can_not_make_an_illegal_name() {
    let mut event = event("9/ü\n{x}", "");
    assert_eq!(topic("m.{munchkin_id}.{type}", &event), "m.9----x-.none");
    event.munchkin_id = None;
    event.activity_type_id = None;
    assert_eq!(topic("m.{munchkin_id}.{activity_type_id}", &event), "m.none.none");
}

#[test]
fn no_topic_is_called_dot_or_dot_dot() {
    assert_eq!(topic("{munchkin_id}", &event(".", "")), "-");
    assert_eq!(topic("{munchkin_id}", &event("..", "")), "--");
    assert_eq!(topic("{munchkin_id}.", &event(".", "")), "--");
    assert_eq!(topic("{munchkin_id}", &event("...", "")), "...");
}

#[test]
fn a_name_that_is_too_long_is_cut_and_stays_distinct() {
    let long = "m".repeat(NAME_LIMIT);
    assert_eq!(topic("{munchkin_id}", &event(&long, "")), long);
    let first = topic("a.{munchkin_id}.{type}", &event(&long, "one"));
    let second = topic("a.{munchkin_id}.{type}", &event(&long, "two"));
    assert_eq!((first.len(), second.len()), (NAME_LIMIT, NAME_LIMIT));
    assert_ne!(first, second);
    // The name must stay the same from release to release.
    assert!(first.ends_with("mmm-1745ba9a94ed457a"), "{first}");
    assert!(first.starts_with("a.mmm"));
}

#[test]
fn a_mistake_in_a_template_is_named_with_its_place() {
    let error = |template: &str| Router::new(template).unwrap_err();
    assert_eq!(error(""), TemplateError::Empty);
    assert_eq!(
        error("marketo.{typ}"),
        TemplateError::UnknownPlaceholder { position: 8, placeholder: "{typ}".into() }
    );
    assert_eq!(error("m.{stream}.{type"), TemplateError::Unclosed { position: 11 });
    assert_eq!(
        error("m.{stream}}"),
        TemplateError::IllegalCharacter { position: 10, character: '}' }
    );
    assert_eq!(
        error("m/{stream}"),
        TemplateError::IllegalCharacter { position: 1, character: '/' }
    );
    assert_eq!(error(".."), TemplateError::Reserved { name: "..".into() });
    let long = "m".repeat(NAME_LIMIT);
    assert!(Router::new(&long).is_ok());
    let length = NAME_LIMIT;
    assert_eq!(error(&format!("{long}{{type}}")), TemplateError::TooLong { length });
    let length = NAME_LIMIT + 1;
    assert_eq!(error(&format!("{long}m")), TemplateError::TooLong { length });
    assert_eq!(error("marketo.{typ}").to_string(), "`{typ}` at 8 is not a known placeholder");
}

#[test]
fn no_event_goes_to_a_topic_of_our_own_whatever_its_type_is_called() {
    let own = ["m.checkpoints", "m.checkpoints-"];
    let template = Router::new("m.{type}").unwrap();
    let routing = format!("{template:?}");
    let router = template.apart_from(own);
    let source = SourceName::new("leads").unwrap();
    let topic = |event_type| {
        router.topic(&source, &event("999-XYZ-000", event_type), &mut String::new()).to_owned()
    };
    assert_eq!(topic("checkpoints"), "m.checkpoints--");
    assert_eq!(topic("clicklink"), "m.clicklink");
    assert_eq!(format!("{router:?}"), routing, "checkpoints of before stay good");
}

#[test]
fn a_topic_is_what_kafka_takes() {
    for name in ["marketo.dead-letter", "A_1", "...", &"a".repeat(NAME_LIMIT)] {
        assert!(is_topic_name(name), "{name}");
    }
    for name in ["", ".", "..", "a b", "ä", "{type}", &"a".repeat(NAME_LIMIT + 1)] {
        assert!(!is_topic_name(name), "{name}");
    }
}

#[test]
fn a_name_that_events_may_have_is_told_from_one_that_none_has() {
    let sources = [SourceName::new("leads").unwrap()];
    let may = |template: &str| {
        Router::new(template).unwrap().may_name("marketo.lead-state", sources.iter())
    };
    for template in [
        "marketo.lead-state",
        "marketo.{type}",
        "{munchkin_id}",
        "marketo.{munchkin_id}",
        "marketo.{munchkin_id}-{type}",
        "{munchkin_id}.lead-state",
    ] {
        assert!(may(template), "{template}");
    }
    for template in [
        "marketo.{stream}.{type}",
        "marketo.{stream}",
        "marketo.{source}",
        "marketo.{activity_type_id}",
        "marketo",
        "marketo.lead-state.{type}",
        "{munchkin_id}.{stream}",
    ] {
        assert!(!may(template), "{template}");
    }
    let of_a_source = Router::new("x.{source}-{type}").unwrap();
    assert!(of_a_source.may_name("x.leads-a", sources.iter()));
    assert!(!of_a_source.may_name("x.others-a", sources.iter()));
    let long = "m".repeat(NAME_LIMIT);
    assert!(Router::new("m{type}").unwrap().may_name(&long, sources.iter()));
}

#[test]
fn the_literal_prefix_is_what_all_topics_begin_with() {
    let prefix = |template: &str| Router::new(template).unwrap().literal_prefix().to_string();
    assert_eq!(prefix("marketo.{stream}.{type}"), "marketo.");
    assert_eq!(prefix("{source}.x"), "");
    assert_eq!(prefix("one"), "one");
}
