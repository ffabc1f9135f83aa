//! Whom a body of Adobe I/O is meant for, and which body asks whether the endpoint wants events.

use std::collections::HashSet;

use millrace::deliver::decode::{
    MAX_EVENTS,
    adobe::{CHALLENGE_LIMIT, NotOurs, Unnamed, check_recipients, validation_url},
};

use crate::adobe_event;

const OBSERVABILITY: &str = "com.adobe.platform.marketo.observability.metrics";

/// What the check says about `body` for the one client id `a`.
fn check(body: &str, unnamed: Unnamed) -> Result<(), NotOurs> {
    check_recipients(body.as_bytes(), &HashSet::from(["a".to_owned()]), unnamed)
}

fn foreign(index: u32, name: &str) -> Result<(), NotOurs> {
    Err(NotOurs::Foreign { index, name: name.into() })
}

fn unnamed(index: u32) -> Result<(), NotOurs> {
    Err(NotOurs::Unnamed { index })
}

/// Alone, and in the middle of a batch that is ours.
#[track_caller]
fn is(element: &str, expected: Result<(), NotOurs>) {
    assert_eq!(check(element, Unnamed::Refused), expected, "{element}");
    let ours = r#"{"recipientclientid":"a"}"#;
    let in_a_batch = expected.map_err(|not_ours| match not_ours {
        NotOurs::Foreign { name, .. } => NotOurs::Foreign { index: 1, name },
        NotOurs::Unnamed { .. } => NotOurs::Unnamed { index: 1 },
        unreadable @ NotOurs::Unreadable(_) => unreadable,
    });
    let batch = format!("[ {ours}, {element} ,{ours}]");
    assert_eq!(check(&batch, Unnamed::Refused), in_a_batch, "{batch}");
}

#[test]
fn a_recipient_is_found_in_either_spelling_and_in_any_place_of_the_envelope() {
    for element in [
        r#"{"type":"t","recipientclientid":"a"}"#,
        r#"{"type":"t","recipient_client_id":"a"}"#,
        r#"{"recipient\u0063lientid":"\u0061","type":"t"}"#,
        r#"{"event":{"body":{"type":"t"}},"recipientclientid":"a"}"#,
        r#"{"event":{"body":{"type":"t"},"recipientclientid":"a"}}"#,
        r#"{"event":{"body":{"type":"t","recipient_client_id":"a"}}}"#,
        r#"{"event":{"type":"t","recipientclientid":"a"}}"#,
        r#"{"recipientclientid":"a","recipient_client_id":"a","event":{"recipientclientid":"a"}}"#,
        r#"{"recipientclientid" : "a","recipient_client_id":null,"event":{"recipientclientid":""}}"#,
        r#"{"recipientclientid":"a","data":{"recipientclientid":"a"},"x":"\"recipientclientid\":"}"#,
    ] {
        is(element, Ok(()));
    }
    let numbers = HashSet::from(["17".to_owned()]);
    assert_eq!(check_recipients(b"{\"recipientclientid\":17}", &numbers, Unnamed::Refused), Ok(()));
}

#[test]
fn one_foreign_recipient_beside_ours_is_enough() {
    for element in [
        r#"{"recipientclientid":"a","recipient_client_id":"b"}"#,
        r#"{"recipient_client_id":"b","recipientclientid":"a"}"#,
        r#"{"recipientclientid":"a","event":{"recipientclientid":"b"}}"#,
        r#"{"event":{"body":{"recipient_client_id":"b"}},"recipientclientid":"a"}"#,
        r#"{"recipientclientid":"a","recipientclientid":"b"}"#,
        r#"{"recipientclientid":"a","recipient\u0063lientid":"\u0062"}"#,
        r#"{"event":{"recipientclientid":"a"},"body":{"recipientclientid":"b"}}"#,
        r#"{"event":{"recipientclientid":"a"},"event":{"recipientclientid":"b"}}"#,
    ] {
        is(element, foreign(0, "b"));
    }
    is(r#"{"recipientclientid":"a","recipient_client_id":"a "}"#, foreign(0, "a "));
}

#[test]
fn a_foreign_recipient_is_found_at_any_depth() {
    for (before, behind) in [
        (r#""data":{"#, "}"),
        (r#""data":{"x":[1,{"#, "}]}"),
        (r#""data":[{"#, "}]"),
        (r#""x":{"\u0079":{"#, "}}"),
        (r#""event":[{"#, "}]"),
        (r#""event":{"other":{"#, "}}"),
        (r#""event":{"body":{"event":{"body":{"#, "}}}}"),
        (r#""recipientclientid":null,"\ud800":{"#, "}"),
    ] {
        for name in ["recipientclientid", "recipient_client_id", "\\u0072ecipientclientid"] {
            let inside = format!(r#"{{{before}"{name}":"b"{behind}}}"#);
            let beside = inside.replacen('{', r#"{"recipientclientid":"a","#, 1);
            is(&inside, foreign(0, "b"));
            is(&beside, foreign(0, "b"));
            is(&beside.replace(r#":"b""#, r#":"a""#), Ok(()));
        }
    }
    let deep = format!("{}{{\"recipientclientid\":\"b\"}}{}", "[".repeat(120), "]".repeat(120));
    is(&format!(r#"{{"recipientclientid":"a","x":{deep}}}"#), foreign(0, "b"));
    is(&deep, foreign(0, "b"));
}

#[test]
fn what_is_no_id_is_none_of_ours() {
    is(r#"{"recipientclientid":["a"]}"#, foreign(0, "[…]"));
    is(r#"{"recipientclientid":{"recipientclientid":"a"}}"#, foreign(0, "{…}"));
    is(r#"{"recipientclientid":true,"recipient_client_id":"a"}"#, foreign(0, "true"));
    is(r#"{"recipientclientid":"\ud800"}"#, foreign(0, r#""\ud800""#));
    is(r#"{"recipientclientid":1e1}"#, foreign(0, "1e1"));
}

#[test]
fn a_foreign_name_is_shown_without_control_characters_and_not_at_any_length() {
    let long = format!("b\\n{}", "x".repeat(1000));
    let shown = format!("b{}", "x".repeat(63));
    is(&format!(r#"{{"recipientclientid":"{long}"}}"#), foreign(0, &shown));
}

#[test]
fn no_number_of_others_hides_a_foreign_recipient() {
    let members =
        |count: usize| -> String { (0..count).map(|n| format!(r#""x{n}":1,"#)).collect() };
    let ours = |count: usize| r#""recipientclientid":"a","#.repeat(count);
    for before in [
        members(1000),
        ours(3),
        ours(4),
        ours(5),
        ours(1000),
        r#""recipientclientid":"\u0061","#.repeat(50),
        r#""recipient_client_id":"a","data":{"recipientclientid":"a"},"#.repeat(50),
    ] {
        let (b, event) = (r#""recipientclientid":"b""#, r#""event":{"recipientclientid":"b"}"#);
        is(&format!("{{{before}{b}}}"), foreign(0, "b"));
        is(&format!("{{{before}{event}}}"), foreign(0, "b"));
    }
}

#[test]
fn four_of_our_ids_hide_no_fifth_one() {
    let ids: HashSet<_> = (1..=5).map(|n| format!("a{n}")).collect();
    let decoys = r#"{"recipient_client_id":"a1","event":{"recipientclientid":"a2","body":{
        "recipientclientid":"a3","recipient_client_id":"a4"}},"recipientclientid":"NAME"}"#;
    let check = |name: &str| {
        check_recipients(decoys.replace("NAME", name).as_bytes(), &ids, Unnamed::Refused)
    };
    assert_eq!(check("a5"), Ok(()));
    assert_eq!(check("b"), foreign(0, "b"));
}

#[test]
fn the_envelope_itself_has_to_name_us() {
    for element in [
        "{}",
        r#"{"recipientclientid":null,"recipient_client_id":""}"#,
        r#"{"data":{"recipientclientid":"a"},"type":"t"}"#,
        r#"{"event":[{"recipientclientid":"a"}]}"#,
        r#"{"event":{"other":{"recipientclientid":"a"}}}"#,
        r#"{"event":{"body":"{\"recipientclientid\":\"a\"}"}}"#,
        r#"{"event":{"body":"eyJyZWNpcGllbnRjbGllbnRpZCI6ImEifQ=="}}"#,
        r#"{"RecipientClientId":"a"}"#,
        // What is inside of the event, or beside the layer with the event, is no envelope of it.
        r#"{"type":"t","event":{"recipientclientid":"a"}}"#,
        r#"{"specversion":"1.0","event":{"type":"t","body":{"recipient_client_id":"a"}}}"#,
        r#"{"event":{"type":"t"},"body":{"recipientclientid":"a"}}"#,
        r#"{"recipientclientid\ud800":"a"}"#,
    ] {
        is(element, unnamed(0));
        assert_eq!(check(element, Unnamed::Allowed), Ok(()), "from our journal: {element}");
    }
    let event = r#"{"event":{"recipientclientid":"b"}}"#;
    assert_eq!(check(event, Unnamed::Allowed), foreign(0, "b"), "also from our journal");
}

#[test]
fn what_is_no_object_has_to_stand_beside_an_event_of_ours() {
    assert_eq!(check(r#"[7,{"recipientclientid":"a"},[null]]"#, Unnamed::Refused), Ok(()));
    assert_eq!(check(r#"[7]"#, Unnamed::Refused), unnamed(0));
    assert_eq!(check(r#"[[{"recipientclientid":"a"}]]"#, Unnamed::Refused), unnamed(0));
    let observability = format!(r#"[{{"type":"{OBSERVABILITY}"}},7]"#);
    assert_eq!(check(&observability, Unnamed::Refused), unnamed(1));
    assert_eq!(check("[]", Unnamed::Refused), Ok(()), "it holds no event of anybody's");
}

#[test]
fn observability_may_name_no_recipient_and_is_told_by_the_type_of_the_event_itself() {
    let is =
        |element: &str, expected| is(&element.replace("OBSERVABILITY", OBSERVABILITY), expected);
    is(r#"{"type":"OBSERVABILITY"}"#, Ok(()));
    is(r#"{"event":{"body":{"type":"OBSERVABILITY"}}}"#, Ok(()));
    is(r#"{"type":"OBSERVABILITY","recipientclientid":"b"}"#, foreign(0, "b"));
    is(r#"{"type":"OBSERVABILITY","data":{"recipientclientid":"b"}}"#, foreign(0, "b"));
    is(r#"{"subtype":"OBSERVABILITY","type":"t"}"#, unnamed(0));
    is(r#"{"data":{"type":"OBSERVABILITY"},"type":"t"}"#, unnamed(0));
    is(r#"{"type":"com.adobe.platform.marketo.observabilityx.metrics"}"#, unnamed(0));
    // The outer object is the event.
    is(r#"{"event":{"type":"OBSERVABILITY"},"specversion":"1.0","type":"t"}"#, unnamed(0));
    // Which of two counts is in doubt.
    is(r#"{"type":"OBSERVABILITY","type":"t"}"#, unnamed(0));
    is(r#"{"type":"t","type":"OBSERVABILITY"}"#, unnamed(0));
    is(r#"{"event":{"type":"OBSERVABILITY"},"event":{"type":"t"}}"#, unnamed(0));
}

#[test]
fn a_byte_order_mark_hides_no_recipient() {
    let body = |name: &str| format!("\u{feff}[{{\"recipientclientid\":\"{name}\"}}]");
    assert_eq!(check(&body("a"), Unnamed::Refused), Ok(()));
    assert_eq!(check(&body("b"), Unnamed::Refused), foreign(0, "b"));
}

#[test]
fn what_can_not_be_decoded_has_no_recipients() {
    let reason = |body: &str| match check(body, Unnamed::Allowed) {
        Err(NotOurs::Unreadable(error)) => error.reason,
        other => panic!("{other:?}"),
    };
    let ours = r#"{"recipientclientid":"a"}"#;
    assert_eq!(reason("[{}"), "not-json");
    assert_eq!(reason("hello"), "not-json");
    assert_eq!(reason(""), "empty-body");
    assert_eq!(reason("1"), "not-an-object");
    assert_eq!(reason(&format!("{ours} {ours}")), "not-json");
    assert_eq!(reason(&format!("[{}", "[".repeat(100_000))), "not-json");
    assert_eq!(reason(&format!("[{}{{}}]", "{},".repeat(MAX_EVENTS))), "too-many-events");
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    assert_eq!(reason(&format!(r#"{{"recipientclientid":"a","z":{deep}}}"#)), "nested-too-deep");
    let none = HashSet::new();
    let error = check_recipients(b"\xff{}", &none, Unnamed::Refused).unwrap_err();
    assert_eq!(error.reason(), "recipient-unreadable");
    // UTF-16, whatever a charset says.
    let wide: Vec<u8> = ours.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = check_recipients(&wide, &none, Unnamed::Refused).unwrap_err();
    assert_eq!(error.reason(), "recipient-unreadable");
}

#[test]
fn only_a_name_that_was_checked_becomes_the_extension() {
    let body = r#"{"type":"t","source":"s","RecipientClientId":"b","recipient-client-id":"b","#;
    for name in ["recipient_client_id", "recipientclientid"] {
        let body = format!(r#"{body}"{name}":"a"}}"#);
        assert_eq!(check(&body, Unnamed::Refused), Ok(()));
        let event = adobe_event(&body);
        let extensions: Vec<_> = event.attributes.extensions.iter().collect();
        let [(name, id)] = extensions[..] else { panic!("{extensions:?}") };
        assert_eq!((&**name, &**id), ("recipientclientid", "a"));
    }
}

#[test]
fn a_challenge_is_an_object_with_a_url_to_be_fetched() {
    let url = "https://csm.adobe.io/csm/registrations/validate?id=1&challenge=2";
    let is =
        |body: &str| assert_eq!(validation_url(body.as_bytes()).as_deref(), Some(url), "{body}");
    is(&format!(r#"{{"validationUrl":"{url}"}}"#));
    is(&format!(" \r\n{{ \"validationUrl\" : \"{}\" }}\n", url.replace('/', "\\/")));
    is(&format!(r#"{{"validationUrl":"{url}","challenge":"2","registration":{{"name":"r"}}}}"#));
    is(&format!("\u{feff} {{\"validationUrl\":\"{url}\"}}"));
}

#[test]
fn an_event_never_passes_for_a_challenge() {
    for body in [
        "",
        "{}",
        "{",
        "null",
        r#""validationUrl""#,
        r#"["validationUrl"]"#,
        r#"[{"validationUrl":"https://x.test"}]"#,
        r#"{"validationUrl":null}"#,
        r#"{"validationUrl":""}"#,
        r#"{"validationUrl":["https://x.test"]}"#,
        r#"{"validationurl":"https://x.test"}"#,
        r#"{"validationUrl":"https://x.test"} x"#,
        r#"{"validationUrl":"https://x.test","validationUrl":"https://y.test"}"#,
        r#"{"validationUrl":"https://x.test","type":"t"}"#,
        r#"{"validationUrl":"https://x.test","event":{"body":{"type":"t"}}}"#,
        r#"{"validationUrl":"https://x.test","eventid":"e"}"#,
        r#"{"data":{"validationUrl":"https://x.test"}}"#,
        "\u{feff}{\"validationUrl\":\"https://x.test\",\"type\":\"t\"}",
    ] {
        assert_eq!(validation_url(body.as_bytes()), None, "{body}");
    }
    assert_eq!(validation_url(b"{\"validationUrl\":\"\xff\"}"), None);
    let padding = " ".repeat(CHALLENGE_LIMIT);
    assert_eq!(validation_url(format!(r#"{{"validationUrl":"x"{padding}}}"#).as_bytes()), None);
}
