use super::*;
use crate::{
    deliver::decode::{
        Fields, Rules, decode,
        fields::{Action, Came, Rule, Target, screen},
    },
    source::SourceKind,
};

/// Returns `key state [values]` for each state of a push of these activities, and the reasons of missing ones.
fn states(activities: &[&str]) -> (Vec<String>, Vec<&'static str>) {
    let body = format!(r#"{{"munchkinId":"M","activities":[{}]}}"#, activities.join(","));
    let rules = Rules::default();
    shown(SourceKind::MarketoLeadActivity, &rules, &body)
}

fn shown(kind: SourceKind, rules: &Rules, body: &str) -> (Vec<String>, Vec<&'static str>) {
    let mut items = Vec::new();
    decode(kind, rules, body.as_bytes(), &[], &mut items).unwrap();
    let own = items.clone();
    let mut missing = Vec::new();
    append(&mut items, &mut missing, |_| true);
    assert_eq!(items[..own.len()], own, "the items of the delivery stay as they are");
    let mut shown = Vec::new();
    for (index, item) in (0..).zip(&items) {
        let event = item.as_ref().unwrap();
        assert_eq!(event.index, index);
        let Some(state) = &event.lead_state else { continue };
        let key = event.key.as_deref().unwrap();
        let id = event.attributes.id.as_deref().unwrap_or("none");
        let what = match &state.change {
            LeadChange::Changed => format!(" {:?}", state.fields()),
            LeadChange::Merged { losing } => format!(" {losing:?}"),
            LeadChange::MergedInto { surviving } => format!(" {surviving}"),
            LeadChange::Created | LeadChange::Deleted => String::new(),
        };
        shown.push(format!("{key} {} {id}{what}", state.change.as_str()));
    }
    (shown, missing)
}

fn activity(id: &str, type_id: u32, lead: u32, rest: &str) -> String {
    format!(r#"{{"marketoGUID":"{id}","leadId":{lead},"activityTypeId":{type_id}{rest}}}"#)
}

fn change(id: &str, lead: u32, name: &str, value: &str) -> String {
    let attributes =
        format!(r#"[{{"name":"Old Value","value":"x"}},{{"name":"New Value","value":{value}}}]"#);
    activity(
        id,
        13,
        lead,
        &format!(r#","primaryAttributeValue":"{name}","attributes":{attributes}"#),
    )
}

fn merge(id: &str, lead: u32, ids: &str) -> String {
    activity(id, 32, lead, &format!(r#","attributes":[{{"name":"Merge IDs","value":{ids}}}]"#))
}

#[test]
fn changes_of_a_lead_are_one_record_and_nothing_of_another_state_comes_before_its_time() {
    let all = [
        activity("a", 12, 1, ""),
        change("b", 1, "Country", "\"DE\""),
        activity("c", 3, 1, ""),
        change("d", 2, "Country", "\"FR\""),
        change("e", 1, "Score", "7"),
        change("f", 1, "Country", "null"),
        activity("g", 37, 1, ""),
        change("h", 1, "Country", "\"IT\""),
    ];
    let (shown, missing) = states(&all.each_ref().map(String::as_str));
    assert_eq!(
        shown,
        [
            "M:1 created a:1",
            r#"M:1 changed f:1 [("Country", "null"), ("Score", "7")]"#,
            r#"M:2 changed d:2 [("Country", "\"FR\"")]"#,
            "M:1 deleted g:1",
            r#"M:1 changed h:1 [("Country", "\"IT\"")]"#,
        ]
    );
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_merge_is_a_tombstone_of_each_losing_lead_and_a_record_of_the_other() {
    for ids in [r#""[7,8]""#, r#""7, 8""#, "[7,8]", r#"["7","8"]"#, r#""[7,1,8,7]""#] {
        let (shown, _) =
            states(&[&change("a", 7, "x", "1"), &merge("b", 1, ids), &change("c", 7, "x", "2")]);
        assert_eq!(
            shown,
            [
                r#"M:7 changed a:7 [("x", "1")]"#,
                "M:7 merged-into b:7 1",
                "M:8 merged-into b:8 1",
                r#"M:1 merged b:1 ["7", "8"]"#,
                r#"M:7 changed c:7 [("x", "2")]"#,
            ],
            "{ids}"
        );
    }
}

#[test]
fn a_merge_makes_no_tombstone_of_the_surviving_lead_in_whatever_notation_its_id_is() {
    let attributes = |ids: &str| {
        format!(r#""activityTypeId":32,"attributes":[{{"name":"Merge IDs","value":"{ids}"}}]"#)
    };
    for lead in
        ["100", "100.0", "1e2", r#""100""#, r#""0100""#, r#""1e2""#, r#""+100""#, r#"" 100.0""#]
    {
        for ids in ["[100,200]", "[1e2, 0200]", "100.0,+200", "[200,2e2,200.0]"] {
            let activity = format!(r#"{{"marketoGUID":"a","leadId":{lead},{}}}"#, attributes(ids));
            let (shown, missing) = states(&[&activity]);
            let expected = ["M:200 merged-into a:200 100", r#"M:100 merged a:100 ["200"]"#];
            assert_eq!(
                (shown.as_slice(), missing.len()),
                (&expected.map(str::to_owned)[..], 0),
                "{lead} {ids}"
            );
        }
        let alone =
            format!(r#"{{"marketoGUID":"a","leadId":{lead},{}}}"#, attributes("[0100,1e2]"));
        assert_eq!(states(&[&alone]), (Vec::new(), vec!["no-merge-ids"]), "{lead}");
    }
    // A text that is no id cannot be distinguished from the listed leads.
    for lead in [r#""L-7""#, "100.5", "-100", r#""100 200""#, "1e30"] {
        let activity = format!(r#"{{"marketoGUID":"a","leadId":{lead},{}}}"#, attributes("[7]"));
        assert_eq!(states(&[&activity]), (Vec::new(), vec!["no-lead"]), "{lead}");
        let deleted = format!(r#"{{"marketoGUID":"a","leadId":{lead},"activityTypeId":37}}"#);
        assert_eq!(states(&[&deleted]), (Vec::new(), vec!["no-lead"]), "{lead}");
    }
}

#[test]
fn what_cannot_be_read_makes_no_state_and_says_why() {
    let without_lead = r#"{"marketoGUID":"a","activityTypeId":37}"#;
    let twice =
        r#","attributes":[{"name":"Merge IDs","value":"1"},{"name":"merge ids","value":"2"}]"#;
    let unnamed = r#","attributes":[{"name":"New Value","value":1}]"#;
    let empty = r#","primaryAttributeValue":"x","attributes":[]"#;
    let many = format!(
        "\"{}\"",
        (2..=MAX_MERGED + 2).map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    );
    for (activity, reason) in [
        (without_lead.to_owned(), "no-lead"),
        (activity("a", 13, 1, ""), "no-attributes"),
        (activity("a", 13, 1, unnamed), "no-attribute-name"),
        (activity("a", 13, 1, empty), "no-new-value"),
        (activity("a", 32, 1, ""), "no-attributes"),
        (activity("a", 32, 1, twice), "ambiguous-attribute"),
        (merge("a", 1, "null"), "no-merge-ids"),
        (merge("a", 1, "\"[1]\""), "no-merge-ids"),
        (merge("a", 1, "\"7,x\""), "unreadable-merge-ids"),
        (merge("a", 1, "\"7,8.5\""), "unreadable-merge-ids"),
        (merge("a", 1, "\"7,-8\""), "unreadable-merge-ids"),
        (merge("a", 1, "\"7,\""), "unreadable-merge-ids"),
        (merge("a", 1, "{}"), "unreadable-merge-ids"),
        (merge("a", 1, &many), "too-many"),
    ] {
        let (shown, missing) = states(&[&activity]);
        assert!(shown.is_empty(), "{activity}: {shown:?}");
        assert_eq!(missing, [reason], "{activity}");
        assert!(REASONS.contains(&reason));
    }
}

#[test]
fn both_senders_forms_of_an_activity_make_one_state() {
    let (legacy, _) = states(&[&change("a", 1, "Country", "\"DE\"")]);
    let name = "com.adobe.platform.marketo.activity.standard.changedatavalue";
    let data = r#"{"munchkinId":"M","leadId":"1","activityTypeId":13,"primaryAttributeValue":"Country","attributes":[{"name":"New Value","value":"DE"}]}"#;
    let body = format!(
        r#"{{"specversion":"1.0","type":"{name}","source":"urn:marketo_activity_stream","id":"a","data":{data}}}"#
    );
    assert_eq!(shown(SourceKind::AdobeIo, &Rules::default(), &body).0, legacy);
}

#[test]
fn what_a_rule_hides_in_the_event_of_a_change_is_hidden_in_the_state_too() {
    let value = r#"{"name":"New Value","value":"canary@example.com"},{"name":"Old Value","value":"canary"}"#;
    let by_primary = format!(r#""primaryAttributeValue":"Email Address","attributes":[{value}]"#);
    let by_attribute =
        format!(r#""attributes":[{value},{{"name":"Attribute Name","value":"Email Address"}}]"#);
    let masked = r#"M:1 changed a:1 [("Email Address", "\"***\"")]"#.to_owned();
    for members in [by_primary, by_attribute] {
        for (name, action, expected) in [
            ("Email Address", Action::Mask, (vec![masked.clone()], vec![])),
            ("email_address", Action::Drop, (vec![], vec!["no-new-value"])),
        ] {
            let target = Target::attribute(name).unwrap();
            let name = "r".to_owned();
            let rule = Rule { name, target, sources: Vec::new(), types: Vec::new(), action };
            let rules = Rules { fields: Fields::new(vec![rule]), ..Rules::default() };
            let activity = activity("a", 13, 1, &format!(",{members}"));
            let body = format!(r#"{{"munchkinId":"M","activities":[{activity}]}}"#);
            let kind = SourceKind::MarketoLeadActivity;
            let screened = screen(kind, &rules, body.as_bytes(), &[], Came::FromSender);
            let screened = screened.shown(kind, &rules, &[]).unwrap();
            assert!(!String::from_utf8_lossy(&screened).contains("canary"));
            assert_eq!(shown(kind, &rules, std::str::from_utf8(&screened).unwrap()), expected);
        }
    }
}

#[test]
fn a_state_with_less_is_named_after_the_last_part_that_is_left() {
    let body = format!(
        r#"{{"munchkinId":"M","activities":[{},{}]}}"#,
        change("a", 1, "x", "1"),
        change("b", 1, "y", "2")
    );
    let rules = Rules::default();
    let mut items = Vec::new();
    decode(SourceKind::MarketoLeadActivity, &rules, body.as_bytes(), &[], &mut items).unwrap();
    append(&mut items, &mut Vec::new(), |_| true);
    let whole = items[2].as_ref().unwrap();
    let less = whole.with_parts(|place| place == 0).unwrap();
    assert_eq!(less.attributes.id.as_deref(), Some("a:1"));
    assert_eq!(less.lead_state.as_ref().unwrap().fields(), [("x", "1")]);
    assert_eq!((less.index, &less.key), (whole.index, &whole.key));
    assert_eq!(whole.with_parts(|_| false), None);
}

#[test]
fn an_event_that_the_source_does_not_take_makes_no_state_and_is_not_missed() {
    let body = format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{},{}]}}"#,
        activity("a", 12, 1, ""),
        activity("b", 37, 2, "")
    );
    let mut items = Vec::new();
    let mut missing = Vec::new();
    let rules = Rules::default();
    decode(SourceKind::MarketoLeadActivity, &rules, body.as_bytes(), &[], &mut items).unwrap();
    append(&mut items, &mut missing, |event| event.activity_type_id != Some(37));
    let of_states: Vec<_> = items[2..].iter().flatten().map(|event| event.key.clone()).collect();
    assert_eq!((of_states.len(), missing.len()), (1, 0));
    assert_eq!(of_states[0].as_deref(), Some("999-XYZ-000:1"));
}
