//! A malformed body is one dead letter with a reason and a place; a strange element in a good body
//! is refused alone.

use millrace::{
    deliver::decode::{MAX_DEPTH, MAX_EVENTS, Rules, decode},
    source::SourceKind,
};

use crate::decode_legacy;

/// Asserts the reason, and that the error names the byte.
#[track_caller]
fn undecodable(body: impl AsRef<[u8]>, reason: &str, at: Option<usize>) {
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    let error = match decode_legacy(&Rules::default(), body) {
        Ok(events) => panic!("{shown}: {} events", events.len()),
        Err(error) => error,
    };
    assert_eq!(error.reason, reason, "{shown}: {error}");
    if let Some(at) = at {
        let place = format!("at byte {at}");
        let names_it = error.error.split(':').any(|part| part.ends_with(&place))
            || error.error.contains(&format!("{place} "));
        assert!(names_it, "{shown}: {error}, expected {place}");
    }
}

const ACTIVITY: &str = r#"{"activityTypeId":3,"leadId":1}"#;

fn with_activities(activities: &str) -> String {
    format!(r#"{{"munchkinId":"m","activities":{activities}}}"#)
}

#[test]
fn a_body_that_is_empty_is_undecodable() {
    undecodable("", "empty-body", Some(0));
    undecodable(" \r\n\t", "empty-body", Some(0));
}

#[test]
fn a_body_that_is_truncated_anywhere_is_undecodable() {
    let body = with_activities(&format!("[{ACTIVITY},{ACTIVITY}]"));
    for end in 1..body.len() {
        undecodable(&body[..end], "not-json", None);
    }
    undecodable(&body[..body.len() - 1], "not-json", Some(body.len() - 1));
}

#[test]
fn commas_and_brackets_of_the_activities_are_checked() {
    let e = ACTIVITY;
    // The list begins at byte 31, an activity is 31 long.
    for (list, at) in [
        (format!("[{e} {e}]"), Some(31 + 33)),
        (format!("[{e},,{e}]"), None),
        (format!("[{e},]"), None),
        (format!("[,{e}]"), None),
        (format!("[{e}}}"), Some(31 + 32)),
        (format!("[{e}"), Some(31 + 32)),
        ("[,]".into(), None),
        ("[1 2]".into(), Some(31 + 3)),
        ("[1x]".into(), None),
        ("[truefalse]".into(), None),
        ("[\"a\"\"b\"]".into(), Some(31 + 4)),
        ("]".into(), None),
    ] {
        undecodable(with_activities(&list), "not-json", at);
    }
}

#[test]
fn commas_and_colons_of_the_body_are_checked() {
    for body in [
        r#"{"activities":[],}"#,
        r#"{,"activities":[]}"#,
        r#"{"activities":[],,"a":1}"#,
        r#"{"activities":[]"a":1}"#,
        r#"{"activities" []}"#,
        r#"{"activities"::[]}"#,
        r#"{activities:[]}"#,
        r#"{'activities':[]}"#,
        r#"{"activities":[],1:2}"#,
        r#"{"activities":[],"a"}"#,
        r#"{"activities":[],"a":}"#,
        r#"{"activities":[]]"#,
        r#"{"a":[}],"activities":[]}"#,
        r#"{"a":[1},"activities":[]}"#,
        r#"{"a":{"b":1],"activities":[]}"#,
        r#"{"a":[1,],"activities":[]}"#,
        r#"{"a":[1 2],"activities":[]}"#,
        r#"{"a":{"b":1,},"activities":[]}"#,
        r#"{"a":{"b" 1},"activities":[]}"#,
        r#"{"a":{1:1},"activities":[]}"#,
        r#"{"a":01,"activities":[]}"#,
        r#"{"a":1.,"activities":[]}"#,
        r#"{"a":.5,"activities":[]}"#,
        r#"{"a":+1,"activities":[]}"#,
        r#"{"a":NaN,"activities":[]}"#,
        r#"{"a":nul,"activities":[]}"#,
        r#"{"a":"\x41","activities":[]}"#,
        r#"{"a":"\u00g0","activities":[]}"#,
        "{\"a\":\"\n\",\"activities\":[]}",
        "{\"a\":\"\0\",\"activities\":[]}",
        "\0{\"activities\":[]}",
        "\u{a0}{\"activities\":[]}",
        r#"{/* */"activities":[]}"#,
    ] {
        undecodable(body, "not-json", None);
    }
}

#[test]
fn an_activity_that_is_malformed_inside_spoils_the_body() {
    for activity in [
        r#"{"activityTypeId":3,}"#,
        r#"{"activityTypeId":3 "leadId":1}"#,
        r#"{"activityTypeId":03}"#,
        r#"{"leadId":[1,]}"#,
        r#"{"leadId" 1}"#,
        r#"{"marketoGUID":"a}"#,
        r#"{"attributes":[{"name":"a" "value":1}]}"#,
    ] {
        undecodable(with_activities(&format!("[{ACTIVITY},{activity}]")), "not-json", None);
    }
}

#[test]
fn trailing_text_is_undecodable() {
    let body = with_activities(&format!("[{ACTIVITY}]"));
    for more in ["x", "{}", "]", ",", "\0", &body] {
        undecodable(format!("{body}{more}"), "not-json", Some(body.len()));
    }
    undecodable("[] x", "not-json", Some(3));
}

#[test]
fn only_one_byte_order_mark_is_passed_over_and_only_before_the_body() {
    undecodable(format!("\u{feff}\u{feff}{}", with_activities("[]")), "not-json", None);
    undecodable(format!(" \u{feff}{}", with_activities("[]")), "not-json", None);
    undecodable(format!("{}\u{feff}", with_activities("[]")), "not-json", None);
    undecodable("\u{feff}", "empty-body", Some(0));
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_activity() {
    let body = with_activities(&format!("[{ACTIVITY}, 1]"));
    let marked = format!("\u{feff}{body}");
    let rules = Rules::default();
    let decoded = decode_legacy(&rules, marked.as_bytes()).unwrap();
    assert_eq!(decoded, decode_legacy(&rules, body.as_bytes()).unwrap());
    assert_eq!(decoded[0].as_ref().unwrap().original, ACTIVITY.as_bytes());
    // The place of what is wrong is counted from behind the mark.
    undecodable("\u{feff}{x", "not-json", Some(1));
}

#[test]
fn a_body_that_is_not_utf_8_is_undecodable_wherever_the_byte_is() {
    for (body, at) in [
        (&b"\xff\xfe{\0}\0"[..], 0),
        (b"{\"activities\":[],\"a\":\"\xe9\"}", 22),
        (b"{\"activities\":[{\"activityTypeId\":3,\"x\":\"\xc3(\"}]}", 40),
        (b"{\"activities\":[],\"\xed\xa0\x80\":1}", 18),
    ] {
        undecodable(body, "not-utf8", Some(at));
    }
}

#[test]
fn what_is_no_object_with_a_list_of_activities_is_undecodable() {
    for body in ["[]", "[{\"activityTypeId\":3}]", "1", "null", "\"activities\"", " [1] "] {
        undecodable(body, "not-an-object", Some(0));
    }
    undecodable("{}", "no-activities", None);
    undecodable(r#"{"data":{"activities":[]}}"#, "no-activities", None);
    undecodable(r#"{"Activities":[]}"#, "no-activities", None);
    undecodable(r#"{"validationUrl":"https://x.test"}"#, "no-activities", None);
    for value in ["{}", "null", "1", "\"[]\"", "{\"0\":{}}"] {
        undecodable(with_activities(value), "no-activities", Some(31));
        // Malformed text behind it is the graver flaw.
        undecodable(with_activities(value) + "x", "not-json", None);
    }
}

#[test]
fn a_body_that_says_two_things_is_undecodable() {
    undecodable(r#"{"activities":[],"activities":[]}"#, "duplicate-member", Some(17));
    undecodable(r#"{"activities":[],"\u0061ctivities":[]}"#, "duplicate-member", Some(17));
    undecodable(
        r#"{"munchkinId":"a","munchkinId":"a","activities":[]}"#,
        "duplicate-member",
        Some(18),
    );
    assert!(decode_legacy(&Rules::default(), br#"{"a":1,"a":1,"activities":[]}"#).is_ok());
}

#[test]
fn nesting_ends_where_parsers_of_consumers_end_it_and_no_stack_overflows() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    // Inside the body, the list and the activity three levels are taken.
    let in_activity =
        |depth| with_activities(&format!(r#"[{{"activityTypeId":3,"x":{}}}]"#, nested(depth)));
    assert!(decode_legacy(&Rules::default(), in_activity(MAX_DEPTH - 3).as_bytes()).is_ok());
    undecodable(in_activity(MAX_DEPTH - 2), "nested-too-deep", None);
    let in_body = |depth| format!(r#"{{"activities":[],"x":{}}}"#, nested(depth));
    assert!(decode_legacy(&Rules::default(), in_body(MAX_DEPTH - 1).as_bytes()).is_ok());
    undecodable(in_body(MAX_DEPTH), "nested-too-deep", None);
    for (depth, is_fine) in [(MAX_DEPTH - 3, true), (MAX_DEPTH - 2, false)] {
        let read = serde_json::from_str::<serde_json::Value>(&in_activity(depth));
        assert_eq!(read.is_ok(), is_fine, "serde_json agrees at {depth}");
    }
    for deep in [nested(1_000_000), "[".repeat(1_000_000), "{\"a\":".repeat(1_000_000)] {
        for body in [deep.clone(), with_activities(&deep), with_activities(&format!("[{deep}]"))] {
            let error = decode_legacy(&Rules::default(), body.as_bytes()).unwrap_err();
            assert!(["not-json", "nested-too-deep"].contains(&error.reason), "{error}");
        }
    }
    undecodable(nested(1_000_000), "nested-too-deep", None);
    // Many brackets side by side are not deep.
    let wide =
        with_activities(&format!(r#"[{{"activityTypeId":3,"x":[{}1]}}]"#, "[],".repeat(5_000)));
    assert!(decode_legacy(&Rules::default(), wide.as_bytes()).is_ok());
}

#[test]
fn a_body_of_far_too_many_elements_is_undecodable() {
    let zeros = |count: usize| with_activities(&format!("[{}0]", "0,".repeat(count - 1)));
    let rules = Rules::default();
    assert_eq!(decode_legacy(&rules, zeros(MAX_EVENTS).as_bytes()).unwrap().len(), MAX_EVENTS);
    undecodable(zeros(MAX_EVENTS + 1), "too-many-events", None);
}

#[test]
fn a_body_that_is_still_encoded_is_undecodable() {
    let headers = [("content-encoding".to_string(), "br".to_string())];
    let (rules, mut out) = (Rules::default(), Vec::new());
    let body = br#"{"activities":[]}"#;
    let error =
        decode(SourceKind::MarketoLeadActivity, &rules, body, &headers, &mut out).unwrap_err();
    assert_eq!(error.reason, "content-coding");
    assert!(error.error.contains("\"br\""), "{error}");
}

#[test]
fn a_content_encoding_that_changes_no_byte_is_none() {
    let (rules, mut out) = (Rules::default(), Vec::new());
    let body = with_activities(&format!("[{ACTIVITY}]"));
    for value in ["utf-8", "UTF-8", "none", "identity", "", "identity, utf-8"] {
        let headers = [("content-encoding".to_string(), value.to_string())];
        let kind = SourceKind::MarketoLeadActivity;
        decode(kind, &rules, body.as_bytes(), &headers, &mut out).unwrap();
        assert_eq!(out.len(), 1, "{value}");
    }
}

#[test]
fn an_element_that_is_not_understood_is_refused_and_the_others_go_on() {
    let strange = [
        ("1", "not-an-object", "m"),
        ("null", "not-an-object", "m"),
        ("[{\"activityTypeId\":3}]", "not-an-object", "m"),
        ("\"text\"", "not-an-object", "m"),
        ("{}", "missing-activity-type", "m"),
        (r#"{"leadId":1}"#, "missing-activity-type", "m:1"),
        (r#"{"activityTypeId":"x","leadId":"1"}"#, "missing-activity-type", "m:1"),
        (r#"{"activityTypeId":-3,"activityType":" "}"#, "missing-activity-type", "m"),
        (r#"{"activityTypeId":true,"activityType":3}"#, "missing-activity-type", "m"),
        (r#"{"activityTypeId":3,"leadId":[1]}"#, "unusable-lead-id", "m"),
        (r#"{"activityTypeId":3,"leadId":true}"#, "unusable-lead-id", "m"),
        (r#"{"activityTypeId":3,"leadId":"\ud800"}"#, "unusable-lead-id", "m"),
        (r#"{"activityTypeId":3,"leadId":1,"marketoGUID":{"a":1}}"#, "unusable-guid", "m:1"),
        (r#"{"activityTypeId":3,"leadId":1,"leadId":2}"#, "duplicate-member", "m:2"),
        (
            r#"{"activityTypeId":3,"marketoGUID":"a","marketoGU\u0049D":"a"}"#,
            "duplicate-member",
            "m",
        ),
    ];
    let list = strange.map(|(element, _, _)| format!("{ACTIVITY} , {element}")).join(" ,\n");
    let body = with_activities(&format!("[{list}]"));
    let rules = Rules::default();
    let decoded = decode_legacy(&rules, body.as_bytes()).unwrap();
    assert_eq!(decoded.len(), 2 * strange.len());
    for (n, (element, reason, key)) in strange.iter().enumerate() {
        let event = decoded[2 * n].as_ref().unwrap();
        assert_eq!((event.index as usize, event.original), (2 * n, ACTIVITY.as_bytes()));
        let refused = decoded[2 * n + 1].as_ref().unwrap_err();
        assert_eq!((refused.reason, refused.key.as_deref()), (*reason, Some(*key)), "{element}");
        assert_eq!((refused.index as usize, refused.original), (2 * n + 1, element.as_bytes()));
        assert!(
            refused.error.starts_with(&format!("activity {}: ", 2 * n + 1)),
            "{}",
            refused.error
        );
    }
}

#[test]
fn without_any_munchkin_id_an_activity_is_refused() {
    for munchkin_id in ["", r#""munchkinId":null,"#, r#""munchkinId":"","#, r#""munchkinId":7,"#] {
        let body = format!(
            r#"{{{munchkin_id}"activities":[{ACTIVITY},{{"munchkinId":"m","activityTypeId":3}}]}}"#
        );
        let rules = Rules::default();
        let decoded = decode_legacy(&rules, body.as_bytes()).unwrap();
        let refused = decoded[0].as_ref().unwrap_err();
        assert_eq!((refused.reason, refused.key.as_deref()), ("missing-munchkin-id", None));
        assert_eq!(decoded[1].as_ref().unwrap().key.as_deref(), Some("m"));
    }
}

#[test]
fn text_that_is_no_unicode_passes_where_nobody_needs_to_read_it() {
    let activity = r#"{"activityTypeId":3,"\ud800":"\udfff","activityDate":"\ud800"}"#;
    let body = with_activities(&format!("[{activity}]"));
    let rules = Rules::default();
    let decoded = decode_legacy(&rules, body.as_bytes()).unwrap();
    assert_eq!(decoded[0].as_ref().unwrap().original, activity.as_bytes());
}
