//! A legacy activity becomes the form that Adobe I/O has for it, and nothing else changes.

use millrace::{
    deliver::decode::{LegacyValue, Rules, decode, recycle},
    event::Stream,
    source::SourceKind,
};

use crate::{decode_legacy, event, refused, value};

const PUSH: &str = include_str!("fixtures/push.json");

fn push(activity: &str) -> String {
    format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{activity}]}}"#)
}

/// The value that `activity` gets.
fn mapped(activity: &str) -> String {
    value(&event(&Rules::default(), &push(activity)))
}

#[test]
fn the_values_of_a_push_are_its_bytes_with_three_edits() {
    let rules = Rules::default();
    let values: Vec<_> = decode_legacy(&rules, PUSH.as_bytes())
        .unwrap()
        .into_iter()
        .map(|decoded| value(&decoded.unwrap()))
        .collect();
    let expected = [
        concat!(
            r#"{"munchkinId":"999-XYZ-000", "leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"#,
            "\n     ",
            r#""activityType":"Click Link","activityLogItemId":9001,"primaryAttributeValue":"https:\/\/e.test\/?a=1&b=\u00fc","#,
            "\n     ",
            r#""attributes":[{"name":"marketoGUID","dataType":"string","value":"not \"leadId\": 1"},{"name":"Score","value":1.50e+2}]}"#,
        ),
        r#"{"munchkinId":"999-XYZ-000","activityTypeId":"100001","lead\u0049d": "12" ,"note":"ünï","note":"twice"  }"#,
        r#"{"munchkinId":"999-XYZ-000","attributes":[],"activityType":"Fly Kite","activityTypeId":99998,"leadId":"L-7","activityDate":"2026-03-02 10:00:00"}"#,
        r#"{"munchkinId":"111-AAA-222","activityTypeId":30}"#,
    ];
    assert_eq!(values, expected);
}

#[test]
fn the_attributes_of_a_push_are_those_of_adobes_events() {
    let rules = Rules::default();
    let decoded = decode_legacy(&rules, PUSH.as_bytes()).unwrap();
    let events: Vec<_> = decoded.iter().map(|decoded| decoded.as_ref().unwrap()).collect();
    for (index, event) in (0..).zip(&events) {
        assert_eq!((event.index, event.stream), (index, Stream::LeadActivity));
        assert_eq!(event.attributes.source, "urn:marketo_activity_stream");
        assert_eq!(event.attributes.datacontenttype.as_deref(), Some("application/json"));
        assert!(event.headers.is_empty());
    }
    let ids: Vec<_> = events.iter().map(|event| event.attributes.id.as_deref()).collect();
    assert_eq!(ids, [Some("guid-1"), Some("guid-2"), None, Some("guid-4")]);
    let types: Vec<_> = events.iter().map(|event| &*event.attributes.r#type).collect();
    assert_eq!(
        types,
        [
            "com.adobe.platform.marketo.activity.standard.clicklink",
            "com.adobe.platform.marketo.activity.custom",
            "com.adobe.platform.marketo.activity.standard.flykite",
            "com.adobe.platform.marketo.activity.standard.sfdcactivityupdated",
        ]
    );
    let event_types: Vec<_> = events.iter().map(|event| &*event.event_type).collect();
    assert_eq!(event_types, ["clicklink", "custom-100001", "flykite", "sfdcactivityupdated"]);
    let times: Vec<_> = events.iter().map(|event| event.attributes.time.as_deref()).collect();
    assert_eq!(times, [Some("2026-03-02T09:59:58Z"), None, None, None]);
    let keys: Vec<_> = events.iter().filter_map(|event| event.key.as_deref()).collect();
    assert_eq!(keys, ["999-XYZ-000:4711", "999-XYZ-000:12", "999-XYZ-000:L-7", "111-AAA-222"]);
    let type_ids: Vec<_> = events.iter().map(|event| event.activity_type_id).collect();
    assert_eq!(type_ids, [Some(3), Some(100_001), Some(99_998), Some(30)]);
    assert_eq!(
        events[3].original,
        br#"{"marketoGUID":"guid-4","munchkinId":"111-AAA-222","activityTypeId":30}"#
    );
}

#[test]
fn the_time_of_an_activity_is_read_as_adobes_is() {
    let rules = Rules::default();
    let time = |date: &str| {
        let body = push(&format!(r#"{{"activityTypeId":3,"activityDate":"{date}"}}"#));
        event(&rules, &body).attributes.time.map(|time| time.into_owned())
    };
    for (date, expected) in [
        ("2026-03-02T09:59:58Z", Some("2026-03-02T09:59:58Z")),
        ("2026-03-02T09:59:58+0000", Some("2026-03-02T09:59:58+00:00")),
        ("2026-03-02 09:59:58-5:00", Some("2026-03-02T09:59:58-05:00")),
        ("2026-03-02T09:59:58", None),
        ("2026-03-02T09:59:60Z", None),
    ] {
        assert_eq!(time(date).as_deref(), expected, "{date}");
    }
}

#[test]
fn the_guid_goes_with_exactly_one_comma_wherever_it_stands() {
    let put_in = r#"{"munchkinId":"999-XYZ-000","#;
    for (activity, rest) in [
        (r#"{"marketoGUID":"g","activityTypeId":3}"#, r#""activityTypeId":3}"#),
        (r#"{ "marketoGUID" : "g" , "activityTypeId":3}"#, r#"  "activityTypeId":3}"#),
        (r#"{"activityTypeId":3,"marketoGUID":"g"}"#, r#""activityTypeId":3}"#),
        (r#"{"activityTypeId":3 , "marketoGUID":"g" }"#, r#""activityTypeId":3  }"#),
        (r#"{"a":1,"marketoGUID":"g","activityTypeId":3}"#, r#""a":1,"activityTypeId":3}"#),
        (r#"{"a":"}","marketoGUID":"g,\"","activityTypeId":3}"#, r#""a":"}","activityTypeId":3}"#),
        (r#"{"activityTypeId":3,"marketoGUID":null}"#, r#""activityTypeId":3}"#),
        (
            r#"{"leadId":1,"marketoGUID":"g","activityTypeId":3}"#,
            r#""leadId":"1","activityTypeId":3}"#,
        ),
        (
            r#"{"marketoGUID":"g","leadId":-1.0e5,"activityTypeId":3}"#,
            r#""leadId":"-1.0e5","activityTypeId":3}"#,
        ),
        (
            r#"{"marketoGUID":"g","leadId":4711.0 ,"activityTypeId":3}"#,
            r#""leadId":"4711" ,"activityTypeId":3}"#,
        ),
        (
            r#"{"activityTypeId":3,"leadId":1,"marketoGUID":"g"}"#,
            r#""activityTypeId":3,"leadId":"1"}"#,
        ),
    ] {
        assert_eq!(mapped(activity), format!("{put_in}{rest}"), "{activity}");
    }
}

#[test]
fn the_munchkin_id_is_put_in_as_it_is_spelled() {
    let body = r#"{"munchkinId":"9\"\u00e9\\","activities":[{"activityTypeId":3,"leadId":1}]}"#;
    let rules = Rules::default();
    let event = event(&rules, body);
    assert_eq!(value(&event), r#"{"munchkinId":"9\"\u00e9\\","activityTypeId":3,"leadId":"1"}"#);
    assert_eq!(event.munchkin_id.as_deref(), Some("9\"é\\"));
    assert_eq!(event.key.as_deref(), Some("9\"é\\:1"));
}

#[test]
fn a_munchkin_id_of_the_activity_is_not_joined_by_another() {
    let own = r#"{"activityTypeId":3,"munchkinId":"111-AAA-222"}"#;
    assert_eq!(mapped(own), own);
    let escaped = r#"{"activityTypeId":3,"\u006dunchkinId":"111-AAA-222"}"#;
    assert_eq!(mapped(escaped), escaped);
    let alone = r#"{"activities":[{"activityTypeId":3,"munchkinId":"111-AAA-222"}]}"#;
    assert_eq!(event(&Rules::default(), alone).munchkin_id.as_deref(), Some("111-AAA-222"));
    // Null says nothing: the body's id counts, and the value stays as it was.
    let null = push(r#"{"activityTypeId":3,"munchkinId":null}"#);
    let rules = Rules::default();
    let event = event(&rules, &null);
    assert_eq!(event.munchkin_id.as_deref(), Some("999-XYZ-000"));
    assert_eq!(value(&event), r#"{"activityTypeId":3,"munchkinId":null}"#);
}

#[test]
fn only_the_members_of_the_activity_itself_count() {
    let activity = r#"{"activityTypeId":3,"x":{"marketoGUID":"g","leadId":5,"munchkinId":"m"},"y":["marketoGUID"]}"#;
    let body = push(activity);
    let rules = Rules::default();
    let event = event(&rules, &body);
    assert_eq!(value(&event), format!(r#"{{"munchkinId":"999-XYZ-000",{}"#, &activity[1..]));
    assert_eq!((event.attributes.id, event.key.as_deref()), (None, Some("999-XYZ-000")));
}

#[test]
fn the_key_is_the_same_whether_the_lead_is_a_number_or_text() {
    let rules = Rules::default();
    let key = |lead: &str| {
        let body = push(&format!(r#"{{"activityTypeId":3,"leadId":{lead}}}"#));
        event(&rules, &body).key.unwrap().into_owned()
    };
    assert_eq!(key("4711"), key(r#""4711""#));
    assert_eq!(key(r#""47\u00311""#), "999-XYZ-000:4711");
    assert_eq!(key("123456789012345678901234567890"), "999-XYZ-000:123456789012345678901234567890");
    assert_eq!(key("4711.0"), key("4711"));
    assert_eq!(key("4711.00"), key("4711"));
    assert_eq!(key("4711.5"), "999-XYZ-000:4711.5");
    assert_eq!(key("null"), "999-XYZ-000");
    assert_eq!(key(r#""""#), "999-XYZ-000");
}

#[test]
fn a_value_stays_as_it_came_when_configured_so() {
    let rules = Rules { legacy_value: LegacyValue::AsReceived, ..Rules::default() };
    let activity = r#"{"marketoGUID":"g", "leadId":1,"activityTypeId":3}"#;
    let body = push(activity);
    let event = event(&rules, &body);
    assert_eq!(value(&event), activity);
    assert_eq!(event.attributes.id.as_deref(), Some("g"));
    assert_eq!(event.key.as_deref(), Some("999-XYZ-000:1"));
    assert_eq!(event.headers, [("millrace-munchkin-id", "999-XYZ-000".into())]);
}

#[test]
fn the_type_falls_back_from_the_id_to_the_name_to_the_number() {
    let rules = Rules::default();
    let event_type = |members: &str| {
        let body = push(&format!("{{{members}}}"));
        event(&rules, &body).event_type.into_owned()
    };
    assert_eq!(event_type(r#""activityTypeId":3,"activityType":"Something Else""#), "clicklink");
    assert_eq!(event_type(r#""activityTypeId":"3""#), "clicklink");
    assert_eq!(event_type(r#""activityTypeId":77,"activityType":"Fly Kite""#), "flykite");
    assert_eq!(event_type(r#""activityTypeId":77"#), "activity-77");
    assert_eq!(event_type(r#""activityTypeId":3.0,"activityType":"Fly Kite""#), "clicklink");
    assert_eq!(event_type(r#""activityTypeId":3.5,"activityType":"Fly Kite""#), "flykite");
    assert_eq!(event_type(r#""activityTypeId":null,"activityType":"Fly Kite""#), "flykite");
    assert_eq!(event_type(r#""activityTypeId":106"#), "enrichwithdata-com");
}

#[test]
fn a_push_without_activities_in_it_is_fine() {
    let rules = Rules::default();
    assert_eq!(decode_legacy(&rules, br#"{"activities":[]}"#), Ok(vec![]));
    assert_eq!(decode_legacy(&rules, b" \r\n\t{ \"activities\" : [ ] } "), Ok(vec![]));
}

#[test]
fn what_is_refused_keeps_its_bytes_its_place_and_its_key() {
    let rules = Rules::default();
    let body = push(r#" {"leadId":5} "#);
    let refused = refused(&rules, &body);
    assert_eq!((refused.index, refused.reason), (0, "missing-activity-type"));
    assert_eq!(refused.original, br#"{"leadId":5}"#);
    assert_eq!(refused.key.as_deref(), Some("999-XYZ-000:5"));
}

#[test]
fn the_output_is_cleared_and_its_memory_serves_the_next_body() {
    let rules = Rules::default();
    let mut out = Vec::new();
    decode(SourceKind::MarketoLeadActivity, &rules, PUSH.as_bytes(), &[], &mut out).unwrap();
    let (capacity, place) = (out.capacity(), out.as_ptr().addr());
    let mut out = recycle(out);
    assert_eq!((out.len(), out.capacity(), out.as_ptr().addr()), (0, capacity, place));
    let body = push(r#"{"activityTypeId":3}"#);
    decode(SourceKind::MarketoLeadActivity, &rules, body.as_bytes(), &[], &mut out).unwrap();
    assert_eq!((out.len(), out.as_ptr().addr()), (1, place));
    decode(SourceKind::MarketoLeadActivity, &rules, b"{", &[], &mut out).unwrap_err();
    assert!(out.is_empty());
}
