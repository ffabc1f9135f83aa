//! Settings that are probably not intended are reported, and others are not.

use super::*;

/// Returns the configuration of a legacy source `leads` and one of Adobe I/O, with these settings.
pub(super) fn config(more: &[(&str, &str)]) -> Config {
    let environment = [
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "b:9092"),
        ("MILLRACE_SOURCES__LEADS__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "hunter2"),
        ("MILLRACE_SOURCES__IO__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__IO__AUTH__CLIENT_IDS", "us"),
    ];
    let all = environment.iter().chain(more).copied();
    crate::config::load(None, all).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

pub(super) fn advice(config: &Config) -> Vec<String> {
    Advice::of(config).doubts
}

fn selections(config: &Config) -> Vec<String> {
    Advice::of(config).selections
}

#[test]
fn a_plain_configuration_needs_no_advice() {
    assert_eq!((advice(&config(&[])), selections(&config(&[]))), (Vec::new(), Vec::new()));
}

#[test]
fn what_matches_no_known_type_is_named_with_what_was_probably_meant() {
    let found = advice(&config(&[
        ("MILLRACE_SOURCES__LEADS__INCLUDE__TYPES", "clicklnk,open*,custom-100077"),
        ("MILLRACE_SOURCES__IO__EXCLUDE__ACTIVITY_TYPE_IDS", "3,99998,100077"),
    ]));
    let [id, word] = &found[..] else { panic!("{found:?}") };
    assert!(word.contains("sources.leads.include.types has `clicklnk`"), "{word}");
    assert!(word.ends_with("did you mean `clicklink`?"), "{word}");
    assert!(id.contains("sources.io.exclude.activity_type_ids has 99998"), "{id}");
}

#[test]
fn a_source_that_takes_nothing_is_reported() {
    let found = advice(&config(&[("MILLRACE_SOURCES__LEADS__INCLUDE__STREAMS", "user-audit")]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("sources.leads takes none of the event types"), "{found:?}");
}

#[test]
fn sources_that_share_topics_and_write_other_records_are_reported() {
    let flat = ("MILLRACE_SOURCES__LEADS__VALUE", "flat");
    let found = advice(&config(&[flat]));
    let [one] = &found[..] else { panic!("{found:?}") };
    assert!(one.starts_with("sources io and leads write to the same topics ("), "{one}");
    assert!(one.contains("value is `data` and `flat`"), "{one}");
    for apart in [
        ("MILLRACE_TOPICS__NAME", "m.{source}.{type}"),
        ("MILLRACE_SOURCES__IO__EXCLUDE__STREAMS", "lead-activity"),
        ("MILLRACE_SOURCES__IO__VALUE", "flat"),
    ] {
        assert_eq!(advice(&config(&[flat, apart])), [""; 0], "{apart:?}");
    }
    let instances = [
        flat,
        ("MILLRACE_TOPICS__NAME", "m.{munchkin_id}.{type}"),
        ("MILLRACE_SOURCES__LEADS__MUNCHKIN_IDS", "111-AAA-222"),
    ];
    assert_eq!(advice(&config(&instances)).len(), 1, "the other one takes any instance");
    let other = ("MILLRACE_SOURCES__IO__MUNCHKIN_IDS", "333-BBB-444");
    assert_eq!(advice(&config(&[&instances[..], &[other]].concat())), [""; 0]);
}

#[test]
fn a_selection_says_how_much_it_takes() {
    let some = [
        ("MILLRACE_SOURCES__LEADS__EXCLUDE__TYPES", "clicklink"),
        ("MILLRACE_SOURCES__LEADS__MUNCHKIN_IDS", "111-AAA-222"),
    ];
    let found = selections(&config(&some));
    let [one] = &found[..] else { panic!("{found:?}") };
    let is_told = one.starts_with("sources.leads takes ")
        && one.ends_with("of the instances 111-AAA-222; left out: clicklink");
    assert!(is_told, "{one}");
}

/// Returns the configuration with one rule, which drops a field.
fn with_rule(rule: &[(&str, &'static str)]) -> Config {
    let named =
        |(key, value): &(&str, &'static str)| (format!("MILLRACE_FIELDS__IP__{key}"), *value);
    let all: Vec<_> = rule.iter().chain(&[("ACTION", "drop")]).map(named).collect();
    config(&all.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>())
}

#[test]
fn a_rule_on_fields_that_finds_nothing_known_is_reported_with_a_guess() {
    let ip = ("ATTRIBUTE", "Client IP Address");
    for (rule, key, meant) in [
        (&[ip, ("TYPES", "clicklnk")][..], "types has `clicklnk`", "clicklink"),
        (&[ip, ("TYPES", "lead-activty.*")], "types has `lead-activty.*`", "lead-activity.*"),
        (&[("ATTRIBUTE", "Client IP Adress")], "attribute names", "Client IP Address"),
        (&[("PATH", "attribute.Referrer URL")], "path begins with", "attributes"),
        (&[("PATH", "attributes.Refferrer URL")], "path names", "Referrer URL"),
        (&[("PATH", "primaryAttributeValu")], "path begins with", "primaryAttributeValue"),
    ] {
        let found = advice(&with_rule(rule));
        let [one] = &found[..] else { panic!("{rule:?}: {found:?}") };
        assert!(one.starts_with(&format!("fields.ip.{key}")), "{one}");
        assert!(one.ends_with(&format!("did you mean `{meant}`?")), "{one}");
    }
    let found = advice(&with_rule(&[("PATH", "attributes.Passport Number")]));
    assert_eq!(found.len(), 1, "a path is one place: {found:?}");
    let elsewhere = [("ATTRIBUTE", "Form Fields"), ("TYPES", "openemail")];
    let found = advice(&with_rule(&elsewhere));
    assert_eq!(found.len(), 1, "other types have it: {found:?}");
}

#[test]
fn a_rule_on_fields_that_may_find_something_needs_no_advice() {
    for rule in [
        &[("ATTRIBUTE", "client_ip_address")][..],
        &[("ATTRIBUTE", "userId")],
        &[("ATTRIBUTE", "Form Fields"), ("TYPES", "fill*,lead-activity.custom-100077")],
        &[("ATTRIBUTE", "Shoe Size"), ("TYPES", "custom-100077")],
        &[("PATH", "attributes.Referrer URL"), ("TYPES", "clicklink")],
        &[("PATH", "attributes")],
        &[("PATH", "campaignId")],
        &[("ATTRIBUTE", "Passport Number")],
        &[("ATTRIBUTE", "Passport Number"), ("TYPES", "changedatavalue")],
        &[("PATH", "event action.what")],
    ] {
        assert_eq!(advice(&with_rule(rule)), [""; 0], "{rule:?}");
    }
}

#[test]
fn each_rule_on_fields_says_what_it_covers() {
    let rule = [("ATTRIBUTE", "Client IP Address"), ("TYPES", "clicklink,openemail")];
    assert_eq!(
        Advice::of(&with_rule(&rule)).rules,
        ["fields.ip drops a field that 1 of the 2 known event types it is for has: clicklink"]
    );
    let changed = [("ATTRIBUTE", "Passport Number"), ("TYPES", "changedatavalue")];
    assert_eq!(
        Advice::of(&with_rule(&changed)).rules,
        [
            "fields.ip drops a field that 0 of the 1 known event types it is for has; and the values of changes of \
          a lead's field of that name"
        ]
    );
    let custom = [("ATTRIBUTE", "Shoe Size"), ("TYPES", "custom-*")];
    let rules = Advice::of(&with_rule(&custom)).rules;
    assert!(rules[0].contains("custom activities, of which no list says"), "{rules:?}");
}
