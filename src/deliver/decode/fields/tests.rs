//! Fields that are found or held back, in every form that a sender, or a stranger with a sender's token, could choose.

use super::*;
use crate::{
    deliver::{
        decode::{Catalog, LegacyValue},
        encode::spell,
    },
    event::Stream,
};

const LEADS: SourceKind = SourceKind::MarketoLeadActivity;
const CANARY: &str = "canary@example.com";

fn rule(target: Target, action: Action) -> Rule {
    Rule { name: "r".into(), target, sources: Vec::new(), types: Vec::new(), action }
}

fn hmac() -> Action {
    Action::Hmac(HmacKey::new(&[7; 32]).unwrap(), Encoding::Hex)
}

fn attribute(name: &str, action: Action) -> Rule {
    rule(Target::attribute(name).unwrap(), action)
}

fn path(path: &str, action: Action) -> Rule {
    rule(Target::path(path).unwrap(), action)
}

fn rules(all: Vec<Rule>) -> Rules {
    let catalog = Catalog::builtin();
    let legacy_value = LegacyValue::default();
    Rules { catalog, legacy_value, fields: Fields::new(all), hand_over: true }
}

/// The originals of the resulting events, or the reasons of refused ones.
fn screened(kind: SourceKind, all: Vec<Rule>, body: &str) -> Vec<Result<String, String>> {
    let rules = rules(all);
    let screened = screen(kind, &rules, body.as_bytes(), &[], Came::FromSender);
    let mut items = Vec::new();
    screened.decode(kind, &rules, &[], &mut items).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let of = |item: &Decoded<'_>| match item {
        Ok(event) => {
            let mut buffer = Vec::new();
            let value = text(spell(&event.value, &mut buffer));
            let headers = format!("{:?}{:?}", event.attributes, event.headers);
            for field in ["canary", "CANARY"] {
                assert!(!value.contains(field) && !headers.contains(field), "{value} {headers}");
            }
            Ok(text(event.original))
        }
        Err(refused) => Err(format!("{}: {}", refused.reason, refused.error)),
    };
    items.iter().map(of).collect()
}

/// An activity with `members` after its type.
fn activity(members: &str) -> String {
    format!(r#"{{ "activityTypeId":1, {members}}}"#)
}

fn delivery(members: &str) -> String {
    format!(r#"{{"munchkinId":"m","activities":[{}]}}"#, activity(members))
}

/// The text after the type in the one resulting activity.
#[track_caller]
fn behind_type(all: Vec<Rule>, came: &str) -> String {
    let whole = screened(LEADS, all, &delivery(came)).remove(0).unwrap();
    let left = whole.strip_prefix(r#"{ "activityTypeId":1"#).unwrap();
    left.strip_suffix('}').unwrap().to_owned()
}

/// The text after the type, where its first member was not dropped.
#[track_caller]
fn members(all: Vec<Rule>, came: &str) -> String {
    behind_type(all, came).strip_prefix(", ").unwrap().to_owned()
}

#[track_caller]
fn held(all: Vec<Rule>, came: &str) -> String {
    let why = screened(LEADS, all, &delivery(came)).remove(0).unwrap_err();
    assert!(why.starts_with("field-rule: the rule fields.r cannot be applied: "), "{why}");
    assert!(!why.contains("canary"), "{why}");
    why
}

#[test]
fn a_named_value_is_changed_and_every_other_byte_is_the_senders() {
    let came = r#""attributes" : [ {"name":"A", "dataType": "string", "value" : "x"} ,{"value":"canary","name":"Email"}],"z":1.50"#;
    let masked = members(vec![attribute("Email", Action::Mask)], came);
    assert_eq!(masked, came.replace("canary", "***"));
    let of_path = members(vec![path("attributes.Email", Action::Mask)], came);
    assert_eq!(of_path, masked);
    let dropped = members(vec![attribute("Email", Action::Drop)], came);
    assert_eq!(dropped, came.replace(r#" ,{"value":"canary","name":"Email"}"#, ""));
    let signed = members(vec![attribute("Email", hmac())], came);
    let tag = HmacKey::new(&[7; 32]).unwrap().sign(b"canary", Encoding::Hex);
    assert_eq!(signed, came.replace("canary", &tag));
}

#[test]
fn a_name_is_found_in_whatever_case_with_whatever_between_its_letters_and_however_it_is_escaped() {
    for name in [
        "Client IP Address",
        "client ip address",
        "CLIENT  IP\\tADDRESS",
        "clientIpAddress",
        "client_ip_address",
        "Client-IP-Address ",
        "Cl\\u0069ent IP Address",
        "\\u0043lient\\u0020IP\\u00a0Address",
        "Client\\u200bIP Address",
    ] {
        for action in [Action::Drop, Action::Mask, hmac()] {
            let came = format!(r#""attributes":[{{"name":"{name}","value":"canary"}}]"#);
            members(vec![attribute("Client IP Address", action.clone())], &came);
            members(vec![path("attributes.client_ip_address", action.clone())], &came);
            let came = format!(r#""a":{{"b":[{{"{name}":"canary"}}]}}"#);
            members(vec![attribute("Client IP Address", action.clone())], &came);
            members(vec![path("a.b.clientIPAddress", action)], &came);
        }
    }
}

#[test]
fn a_value_of_any_kind_becomes_text_and_null_stays() {
    for (value, signed) in [
        (r#""canary""#, "canary"),
        (r#""c\u0061nary""#, "canary"),
        ("4711", "4711"),
        (r#""4711""#, "4711"),
        ("true", "true"),
        (r#"{"canary":[1]}"#, r#"{"canary":[1]}"#),
        (r#"["canary"]"#, r#"["canary"]"#),
        (r#""\ud800canary""#, r#""\ud800canary""#),
    ] {
        let tag = HmacKey::new(&[7; 32]).unwrap().sign(signed.as_bytes(), Encoding::Hex);
        let came = format!(r#""attributes":[{{"name":"Email","value":{value}}}]"#);
        let expected = format!(r#""attributes":[{{"name":"Email","value":"{tag}"}}]"#);
        assert_eq!(members(vec![attribute("Email", hmac())], &came), expected, "{value}");
    }
    let null = r#""attributes":[{"name":"Email","value":null}]"#;
    for action in [Action::Mask, hmac()] {
        assert_eq!(members(vec![attribute("Email", action)], null), null);
    }
    let typed = r#""attributes":[{"name":"Email","dataType":"integer","value":1}]"#;
    let masked = r#""attributes":[{"name":"Email","dataType":"string","value":"***"}]"#;
    assert_eq!(members(vec![attribute("Email", Action::Mask)], typed), masked);
}

#[test]
fn every_member_of_a_named_attribute_but_its_name_is_changed_and_each_of_two_of_one_name() {
    let all = || vec![attribute("Email", Action::Mask)];
    for came in [
        r#""attributes":[{"name":"Email","value":"canary","oldValue":"canary"}]"#,
        r#""attributes":[{"name":"Email","value":"canary","value":"canary"}]"#,
        r#""attributes":[{"name":"Email","value":"canary"},{"name":"Email","value":"canary"}]"#,
        r#""attributes":[{"name":"Other","name":"Email","value":"canary"}]"#,
        r#""attributes":[{"name":"Email","name":"Other","value":"canary"}]"#,
        r#""attributes":[],"attributes":[{"name":"Email","value":"canary"}]"#,
        r#""\u0061ttributes":[{"n\u0061me":"Email","val\u0075e":"canary"}]"#,
        r#""attributes":{"Email":"canary","x":{"attributes":[{"name":"email","value":"canary"}]}}"#,
        r#""Email":"canary","email":"canary""#,
        r#""a":[[{"name":"Email","value":"canary"}]]"#,
        r#""attributes":[{"name":"Other","value":{"attributes":[{"name":"Email","value":"canary"}]}}]"#,
    ] {
        members(all(), came);
    }
}

/// Changes of the field `name`, named by `primaryAttributeValue` and by an attribute.
fn changes(name: &str) -> [String; 7] {
    let values = r#"{"name":"New Value","value":"canary"},{"name":"old value","value":"CANARY"},{"name":"Reason","value":"r"}"#;
    [
        format!(r#""primaryAttributeValue":"{name}","attributes":[{values}]"#),
        format!(r#""attributes":[{values}],"primaryAttributeValue":"{name}""#),
        format!(
            r#""primaryAttributeValue":"Other","attributes":[{values},{{"value":"{name}","name":"Attribute Name"}}]"#
        ),
        format!(
            r#""primaryAttributeValue":"Other","primaryAttributeValue":"{name}","attributes":[{values}]"#
        ),
        format!(
            r#""attributeName":"{name}","newValue":"canary","old_value":["canary"],"reason":"r""#
        ),
        format!(r#""x":[{{"primary\u0041ttributeValue":"{name}","attributes":[{values}]}}]"#),
        format!(
            r#""primaryAttributeValue":"{name}","attributes":{{"New Value":"canary","a":[{{"Old Value":"canary"}}]}}"#
        ),
    ]
}

#[test]
fn a_rule_on_a_field_covers_what_the_field_was_and_is_where_a_change_names_it() {
    for name in ["Email Address", "emailAddress", "EMAIL_ADDRESS", "E\\u006dail Address"] {
        for came in changes(name) {
            for action in [Action::Drop, Action::Mask, hmac()] {
                members(vec![attribute("email address", action)], &came);
            }
            let masked = members(vec![attribute("Email Address", Action::Mask)], &came);
            assert!(masked.contains(name) && !masked.contains("\"r***"), "{masked}");
        }
    }
    let [came, ..] = changes("Email Address");
    let masked = members(vec![attribute("Email Address", Action::Mask)], &came);
    assert_eq!(masked, came.replace("canary", "***").replace("CANARY", "***"));
    let of_types = |of: &str| {
        let types = vec![TypePattern::new(of).unwrap()];
        vec![Rule { types, ..attribute("Email Address", Action::Mask) }]
    };
    let other = came.replace("canary", "x").replace("CANARY", "y");
    assert_eq!(members(of_types("openemail"), &other), other, "a rule for other types");
    let text = came.replace('"', "\\\"");
    held(vec![attribute("Email Address", Action::Drop)], &format!(r#""x":"{{{text}}}""#));
}

#[test]
fn the_values_of_a_change_of_another_field_stay() {
    for came in changes("City") {
        let came = came.to_lowercase().replace("canary", "x");
        for rule in [attribute("Email Address", Action::Drop), path("city", Action::Mask)] {
            assert_eq!(members(vec![rule], &came), came);
        }
    }
    let two = r#""a":{"primaryAttributeValue":"Email","newValue":1},"b":{"primaryAttributeValue":"City","newValue":2}"#;
    let left = members(vec![attribute("Email", Action::Mask)], two);
    assert_eq!(left, two.replace(":1", ":\"***\""));
}

#[test]
fn where_the_field_may_be_and_no_edit_reaches_it_the_event_is_held_back() {
    let by_name = || vec![attribute("Email", Action::Drop)];
    for came in [
        r#""attributes":"[{\"name\":\"Email\",\"value\":\"canary\"}]""#,
        r#""attributes":"Email: canary""#,
        r#""attributes":["canary"]"#,
        r#""attributes":[{"Email":"canary"}]"#,
        r#""attributes":[{"name":7,"value":"canary"}]"#,
        r#""attributes":[{"name":["Email"],"value":"canary"}]"#,
        r#""attributes":[{"name":"Email\ud800","value":"canary"}]"#,
        r#""attributes":[{"value":"canary"}]"#,
        r#""Email\ud800":"canary""#,
        r#""x":"{\"Email\":\"canary\"}""#,
        r#""x":" {\"attributes\":[{\"name\":\"\\u0045mail\",\"value\":\"canary\"}]}""#,
        r#""x":"\u007b\"Email\":\"canary\"}""#,
        r#""x":"[] {\"Email\":\"canary\"}""#,
        r#""x":"{Email: canary}""#,
        r#""x":"\"{\\\"Email\\\":\\\"canary\\\"}\"""#,
    ] {
        held(by_name(), came);
    }
    for (text, came) in [
        ("a.Email", r#""a":"canary""#),
        ("attributes.Email", r#""attributes":"canary""#),
        ("attributes.Email", r#""attributes":["canary"]"#),
        ("attributes.Email", r#""attributes":[{"value":"canary"}]"#),
        ("attributes.Email.address", r#""attributes":[{"name":"Email","value":"canary"}]"#),
        ("a.Email", r#""a":["canary"]"#),
    ] {
        held(vec![path(text, Action::Mask)], came);
    }
}

#[test]
fn what_can_not_have_the_field_is_let_through_as_it_is() {
    for came in [
        r#""attributes":null,"a":null"#,
        r#""attributes":[],"a":7"#,
        r#""attributes":"","a":"""#,
        r#""attributes":[{"name":"Other","value":"{not it}"}],"a":{}"#,
        r#""note":"Email is a word","a":[]"#,
        r#""note":"[see] the list","a":[1,true]"#,
    ] {
        let all = vec![attribute("Email", Action::Drop), path("a.Email", Action::Mask)];
        assert_eq!(members(all, came), came);
    }
}

#[test]
fn members_are_dropped_with_their_commas_wherever_they_stand() {
    let all =
        |names: &[&str]| names.iter().map(|name| path(name, Action::Drop)).collect::<Vec<_>>();
    let came = r#""a": 1 , "b":2, "c":{"d":3},"e":[4]"#;
    for (dropped, left) in [
        (&["a"][..], r#" , "b":2, "c":{"d":3},"e":[4]"#),
        (&["b"], r#", "a": 1, "c":{"d":3},"e":[4]"#),
        (&["e"], r#", "a": 1 , "b":2, "c":{"d":3}"#),
        (&["a", "b"], r#", "c":{"d":3},"e":[4]"#),
        (&["b", "c"], r#", "a": 1,"e":[4]"#),
        (&["c.d"], r#", "a": 1 , "b":2, "c":{},"e":[4]"#),
        (&["b", "c", "e"], r#", "a": 1"#),
        (&["a", "b", "c", "e"], ""),
    ] {
        assert_eq!(behind_type(all(dropped), came), left, "{dropped:?}");
    }
    let alone = r#""attributes":[{"name":"a","value":1},{"name":"b","value":2}]"#;
    assert_eq!(members(all(&["attributes.a", "attributes.b"]), alone), r#""attributes":[]"#);
    let whole = screened(
        LEADS,
        all(&["a"]),
        r#"{"munchkinId":"m","activities":[{"a":1,"activityTypeId":1}]}"#,
    );
    assert_eq!(whole, [Ok(r#"{"activityTypeId":1}"#.to_owned())]);
}

#[test]
fn of_two_rules_on_a_field_the_stricter_one_counts() {
    let came = r#""Email":"canary""#;
    for (one, two, left) in [
        (Action::Mask, hmac(), r#", "Email":"***","last":1"#),
        (hmac(), Action::Mask, r#", "Email":"***","last":1"#),
        (hmac(), Action::Drop, r#","last":1"#),
    ] {
        let body = format!(r#"{came},"last":1"#);
        let all = vec![attribute("Email", one), path("email", two)];
        assert_eq!(behind_type(all, &body), left);
    }
}

#[test]
fn a_rule_is_for_its_types_and_sources_alone() {
    let of_types = |types: &[&str]| {
        let types = types.iter().map(|it| TypePattern::new(it).unwrap()).collect();
        vec![Rule { types, ..attribute("x", Action::Mask) }]
    };
    assert_eq!(members(of_types(&["visitwebpage"]), r#""x":1"#), r#""x":"***""#);
    assert_eq!(members(of_types(&["lead-activity.visit*"]), r#""x":1"#), r#""x":"***""#);
    assert_eq!(members(of_types(&["clicklink", "user-audit.*"]), r#""x":1"#), r#""x":1"#);
    let source = |name| SourceName::new(name).unwrap();
    let fields =
        Fields::new(vec![Rule { sources: vec![source("a")], ..attribute("x", Action::Drop) }]);
    assert!(!fields.of(&source("a")).is_empty() && fields.of(&source("b")).is_empty());
}

fn adobe(envelope: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.visitwebpage","source":"urn:s","id":"i"{envelope},"data":{data}}}"#
    )
}

#[test]
fn an_event_of_adobe_is_screened_in_its_data_and_in_its_envelope_flat_wrapped_and_in_an_array() {
    let data = r#"{"munchkinId":"m","attributes":[{"name":"Email","value":"canary"}]}"#;
    let envelope = r#","subject":"canary","email":"canary","user":{"Email":"canary"}"#;
    let all = || vec![attribute("email", Action::Mask), attribute("Subject", hmac())];
    let event = adobe(envelope, data);
    let wrapped = format!(r#"{{"eventid":"e","email":"canary","event":{{"body":{event}}}}}"#);
    for body in [event.clone(), wrapped.clone(), format!("[{event}, {wrapped}]")] {
        for item in screened(SourceKind::AdobeIo, all(), &body) {
            let original = item.unwrap();
            assert!(!original.contains("canary"), "{original}");
            assert!(original.contains(r#""source":"urn:s""#) && original.contains(r#""id":"i""#));
        }
    }
    let by_path = screened(
        SourceKind::AdobeIo,
        vec![path("attributes.Email", Action::Drop)],
        &adobe("", data),
    );
    assert_eq!(by_path, [Ok(adobe("", r#"{"munchkinId":"m","attributes":[]}"#))]);
    // Attributes that CloudEvents needs share their names with many attributes of Marketo's.
    let kept = adobe("", r#"{"munchkinId":"m","attributes":[{"name":"Source","value":"canary"}]}"#);
    let kept = screened(SourceKind::AdobeIo, vec![attribute("Source", Action::Mask)], &kept);
    assert!(kept[0].as_ref().unwrap().contains(r#""source":"urn:s""#));
}

#[test]
fn data_that_is_text_is_held_back_and_the_other_events_of_the_delivery_go_on() {
    let good = adobe("", "{}");
    for bad in [
        adobe("", r#""{\"Email\":\"canary\"}""#),
        adobe(r#","datacontenttype":"text/plain""#, r#""canary""#),
        adobe(r#","datacontenttype":"text/xml""#, r#"{"Email":"canary"}"#),
        adobe("", r#""canary""#),
        good.replace(r#""data":{}"#, r#""data_base64":"Y2FuYXJ5""#),
        good.replace(r#""data":{}"#, r#""event":"{\"Email\":\"canary\"}""#),
        good.replace(r#""data":{}"#, r#""data":{},"event":{"data":"canary"}"#),
    ] {
        let items = screened(
            SourceKind::AdobeIo,
            vec![attribute("Email", Action::Drop)],
            &format!("[{good},{bad},{good}]"),
        );
        assert_eq!((&items[0], &items[2]), (&Ok(good.clone()), &Ok(good.clone())));
        assert!(items[1].as_ref().unwrap_err().starts_with("field-rule"), "{bad}");
    }
    for fine in [adobe("", "null"), adobe("", "7"), adobe("", r#""""#)] {
        let items = screened(SourceKind::AdobeIo, vec![attribute("Email", Action::Drop)], &fine);
        assert_eq!(items, [Ok(fine)]);
    }
}

#[test]
fn without_rules_and_without_the_field_the_body_is_not_copied() {
    let body = delivery(r#""a":1"#);
    for all in [vec![], vec![attribute("Email", Action::Drop)]] {
        let screened = screen(LEADS, &rules(all), body.as_bytes(), &[], Came::FromSender);
        assert!(matches!(screened.body, Cow::Borrowed(_)));
    }
}

#[test]
fn what_was_signed_once_is_not_signed_again_when_a_record_of_ours_comes_back() {
    let rules = rules(vec![attribute("Email", hmac()), attribute("b", Action::Mask)]);
    let body = delivery(&format!(r#""Email":"{CANARY}","b":"{CANARY}""#));
    let once = screen(LEADS, &rules, body.as_bytes(), &[], Came::FromSender);
    let twice = screen(LEADS, &rules, &once.body, &[], Came::Screened);
    assert_eq!(once.body, twice.body);
    let from_a_sender = screen(LEADS, &rules, &once.body, &[], Came::FromSender);
    assert_ne!(once.body, from_a_sender.body, "a sender's text is no HMAC of ours");
    let fresh = screen(LEADS, &rules, body.as_bytes(), &[], Came::Screened);
    assert_eq!(fresh.body, once.body, "what was never signed is signed");
}

#[test]
fn schemas_know_what_a_rule_leaves() {
    let fields = Fields::new(vec![
        attribute("Email", Action::Drop),
        Rule {
            types: vec![TypePattern::new("clicklink").unwrap()],
            ..attribute("Link ID", hmac())
        },
    ]);
    let of = |event_type, field| fields.effect(Stream::LeadActivity, event_type, field);
    assert_eq!(of(None, ("email", true)), Some(Effect::Absent));
    assert_eq!(of(Some("clicklink"), ("Link ID", true)), Some(Effect::Text));
    assert_eq!(of(Some("sendemail"), ("Link ID", true)), None);
    assert_eq!(of(None, ("Link ID", true)), Some(Effect::MayBeText));
    assert_eq!(of(None, ("Other", true)), None);
}

mod any_body;
