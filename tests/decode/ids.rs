//! One id has one reading, whatever notation a sender writes it in: in keys, types, selections and flat values.

use millrace::{
    deliver::{
        decode::{Catalog, Rules},
        encode::flat::{Flattener, Scope, Shapes, json},
        select::{Named, Selection},
    },
    event::Event,
};
use serde_json::Value;

use crate::{decode_adobe, decode_legacy};

const CUSTOM: &str = "com.adobe.platform.marketo.activity.custom";
const CLICK: &str = "com.adobe.platform.marketo.activity.standard.clicklink";

fn adobe(ce_type: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"{ce_type}","source":"urn:s","id":"i","recipientclientid":"us",{data}}}"#
    )
}

fn push(members: &str) -> String {
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{{{members}}}]}}"#)
}

/// What `look` finds in the event of Adobe's form and in that of a push, both with these members.
fn in_both<T>(ce_type: &str, members: &str, look: impl Fn(&Event<'_>) -> T) -> [T; 2] {
    let rules = Rules::default();
    let one = adobe(ce_type, &format!(r#""data":{{"munchkinId":"999-XYZ-000",{members}}}"#));
    let other = push(members);
    [decode_adobe(one.as_bytes()), decode_legacy(&rules, other.as_bytes())]
        .map(|decoded| look(decoded.unwrap()[0].as_ref().unwrap()))
}

const HUNDRED_THOUSAND_AND_ONE: [&str; 8] = [
    "100001",
    "100001.0",
    "1.00001e5",
    "10000100e-2",
    r#""100001""#,
    r#""0100001""#,
    r#"" 100001""#,
    r#""1.00001E+5""#,
];

#[test]
fn a_type_is_named_and_excluded_by_its_id_in_every_notation() {
    let exclude = Named { activity_type_ids: vec![100_001], ..Named::default() };
    let selection = Selection { exclude, ..Selection::default() };
    for id in HUNDRED_THOUSAND_AND_ONE {
        let members = format!(r#""leadId":1,"activityTypeId":{id}"#);
        let seen = in_both(CUSTOM, &members, |event| {
            (event.event_type.to_string(), selection.leaves_out(event).is_some())
        });
        assert_eq!(seen, [0, 1].map(|_| ("custom-100001".to_owned(), true)), "{id}");
    }
    for id in ["100001.5", "-100001", r#""custom""#, "true", "1e99"] {
        let members = format!(r#""activityType":"Fly Kite","activityTypeId":{id}"#);
        let seen = in_both(CUSTOM, &members, |event| event.activity_type_id);
        assert_eq!(seen, [None, None], "{id}");
    }
}

#[test]
fn a_lead_has_one_key_in_every_notation_of_its_id() {
    for id in HUNDRED_THOUSAND_AND_ONE.into_iter().chain([r#""+100001""#]) {
        let members = format!(r#""leadId":{id},"activityTypeId":3"#);
        let keys = in_both(CLICK, &members, |event| event.key.as_deref().unwrap().to_owned());
        assert_eq!(keys, ["999-XYZ-000:100001"; 2], "{id}");
    }
}

#[test]
fn an_instance_has_one_key_and_one_topic_whatever_case_and_white_space_its_id_has() {
    for id in ["999-xyz-000", " 999-XYZ-000", "999-Xyz-000\\n"] {
        let of = |members: &str| adobe(CLICK, &format!(r#""data":{{{members}}}"#));
        let one = of(&format!(r#""munchkinId":"{id}","leadId":"1","activityTypeId":3"#));
        let own = push(&format!(r#""munchkinId":"{id}","leadId":"1","activityTypeId":3"#));
        let rules = Rules::default();
        for decoded in [decode_adobe(one.as_bytes()), decode_legacy(&rules, own.as_bytes())] {
            let decoded = decoded.unwrap();
            let event = decoded[0].as_ref().unwrap();
            assert_eq!(event.key.as_deref(), Some("999-XYZ-000:1"), "{id}");
            assert_eq!(event.munchkin_id.as_deref(), Some("999-XYZ-000"), "{id}");
        }
    }
}

#[test]
fn an_activity_whose_own_instance_is_no_text_is_not_taken_for_one_of_the_bodys() {
    let rules = Rules::default();
    for own in [r#"["111-AAA-222"]"#, r#"{"id":"111-AAA-222"}"#, "111", "true", r#""\ud800""#] {
        let body = push(&format!(r#""munchkinId":{own},"leadId":1,"activityTypeId":3"#));
        let decoded = decode_legacy(&rules, body.as_bytes()).unwrap();
        let refused = decoded[0].as_ref().unwrap_err();
        assert_eq!((refused.reason, &refused.key), ("unusable-munchkin-id", &None), "{own}");
    }
}

#[test]
fn a_flat_value_has_the_id_as_a_number_in_every_notation() {
    let shapes = Shapes::new(Scope::Type, &Catalog::builtin(), &[], &Default::default());
    for id in HUNDRED_THOUSAND_AND_ONE {
        let members = format!(r#""leadId":{id},"activityTypeId":{id},"activityDate":"x""#);
        for flat in in_both(CUSTOM, &members, |event| flattened(&shapes, event)) {
            assert_eq!(
                (&flat["lead_id"], &flat["activity_type_id"]),
                (&100_001.into(), &100_001.into())
            );
            assert!(
                flat.get("lead_id_text").is_none() && flat.get("activity_type_id_text").is_none()
            );
        }
    }
}

fn flattened(shapes: &Shapes, event: &Event<'_>) -> Value {
    let mut out = Vec::new();
    json::write(&Flattener::default().flatten(shapes.of(event), "i", event), &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// The reason why the event with this `data` is refused, `left-out`, or `taken`.
fn selected(selection: &Selection, ce_type: &str, data: &str) -> &'static str {
    let body = adobe(ce_type, data);
    let mut events = decode_adobe(body.as_bytes()).unwrap();
    selection.refuse_doubtful(&mut events);
    match &events[0] {
        Ok(event) if selection.leaves_out(event).is_some() => "left-out",
        Ok(_) => "taken",
        Err(refused) => {
            assert!(!refused.error.contains("111-AAA-222"), "{}", refused.error);
            refused.reason
        }
    }
}

#[test]
fn an_event_that_may_name_another_instance_where_none_is_read_is_not_let_through() {
    let selection =
        Selection { munchkin_ids: vec!["999-XYZ-000".to_owned()], ..Selection::default() };
    for (data, expected) in [
        (r#""data":{"munchkinId":"999-xyz-000 "}"#, "taken"),
        (r#""data":{"munchkinId":"111-AAA-222"}"#, "left-out"),
        (r#""data":{"munchkinId":111}"#, "left-out"),
        // What names none is taken, as the configuration says.
        (r#""data":{"munchkinId":null}"#, "taken"),
        (r#""data":{"munchkinId":" "}"#, "taken"),
        (r#""data":{"x":{"munchkinId":"111-AAA-222"}}"#, "taken"),
        (r#""data":{}"#, "taken"),
        (r#""data":null"#, "taken"),
        (r#""data":7"#, "taken"),
        (r#""data":"""#, "taken"),
        (r#""data":{"munchkinId":["111-AAA-222"]}"#, "unreadable-munchkin-id"),
        (r#""data":{"munchkinId":true}"#, "unreadable-munchkin-id"),
        (r#""data":{"munchkinId":"\ud800"}"#, "unreadable-munchkin-id"),
        (r#""data":"{\"munchkinId\":\"111-AAA-222\"}""#, "unreadable-munchkin-id"),
        (r#""data":[{"munchkinId":"111-AAA-222"}]"#, "unreadable-munchkin-id"),
        (r#""datacontenttype":"text/plain","data":"of 111-AAA-222""#, "unreadable-munchkin-id"),
        (r#""data_base64":"eyJtdW5jaGtpbklkIjoiMTExLUFBQS0yMjIifQ==""#, "unreadable-munchkin-id"),
    ] {
        assert_eq!(selected(&selection, CLICK, data), expected, "{data}");
        assert_eq!(selected(&Selection::default(), CLICK, data), "taken", "{data}");
    }
}

#[test]
fn an_activity_that_may_be_of_an_excluded_type_where_none_is_read_is_not_let_through() {
    let ids = || Named { activity_type_ids: vec![1, 3], ..Named::default() };
    let exclude = Selection { exclude: ids(), ..Selection::default() };
    let include = Selection { include: ids(), ..Selection::default() };
    let observability = "com.adobe.platform.marketo.observability.metrics";
    let unreadable = "unreadable-activity-type-id";
    for (data, excluding, including) in [
        (r#""data":{"activityTypeId":100e-2}"#, "left-out", "taken"),
        (r#""data":{"activityTypeId":2}"#, "taken", "left-out"),
        (r#""data":{}"#, "taken", "left-out"),
        (r#""data":{"activityTypeId":[1]}"#, unreadable, unreadable),
        (r#""data":{"activityTypeId":1.5}"#, unreadable, unreadable),
        (r#""data":"{\"activityTypeId\":1}""#, unreadable, unreadable),
        (r#""data_base64":"eyJhY3Rpdml0eVR5cGVJZCI6MX0=""#, unreadable, unreadable),
    ] {
        assert_eq!(selected(&exclude, CLICK, data), excluding, "{data}");
        assert_eq!(selected(&include, CLICK, data), including, "{data}");
        if excluding == unreadable {
            assert_eq!(
                selected(&exclude, observability, data),
                "taken",
                "it has no such id: {data}"
            );
        }
    }
}

#[test]
fn what_is_refused_for_its_id_keeps_its_place_and_its_bytes() {
    let selection =
        Selection { munchkin_ids: vec!["999-XYZ-000".to_owned()], ..Selection::default() };
    let [good, bad] = [r#""data":{}"#, r#""data":["111-AAA-222"]"#].map(|data| adobe(CLICK, data));
    let body = format!("[{good},{bad},{good}]");
    let mut events = decode_adobe(body.as_bytes()).unwrap();
    selection.refuse_doubtful(&mut events);
    assert!(events[0].is_ok() && events[2].is_ok());
    let refused = events[1].as_ref().unwrap_err();
    assert_eq!((refused.index, refused.original), (1, bad.as_bytes()));
    let reasons = millrace::deliver::dead_letter::REASONS;
    assert!(reasons.contains(&refused.reason));
}
