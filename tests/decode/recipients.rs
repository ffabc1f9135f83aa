//! Whom a body of Adobe I/O is meant for, and which body asks whether the endpoint wants events.

use millrace::decode::{
    MAX_EVENTS,
    adobe::{CHALLENGE_LIMIT, recipients, validation_url},
};

const OBSERVABILITY: &str = "com.adobe.platform.marketo.observability.metrics";

/// What each event of `body` names, and whether it is observability.
fn addressed(body: &str) -> Vec<(Vec<String>, bool)> {
    let addressed = recipients(body.as_bytes()).unwrap().into_iter();
    addressed
        .map(|one| {
            let ids = one.recipients.into_iter().map(|id| id.into_owned()).collect();
            (ids, one.is_observability)
        })
        .collect()
}

#[track_caller]
fn names(element: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(addressed(element), [(expected.clone(), false)], "{element}");
    assert_eq!(addressed(&format!("[ {element} ]")), [(expected, false)], "{element}");
}

#[test]
fn a_recipient_is_found_in_either_spelling_and_in_any_place() {
    names(r#"{"type":"t","recipientclientid":"a"}"#, &["a"]);
    names(r#"{"type":"t","recipient_client_id":"a"}"#, &["a"]);
    names(r#"{"recipient\u0063lientid":"\u0061","type":"t"}"#, &["a"]);
    names(r#"{"event":{"body":{"type":"t"}},"recipientclientid":"a"}"#, &["a"]);
    names(r#"{"event":{"body":{"type":"t"},"recipientclientid":"a"}}"#, &["a"]);
    names(r#"{"event":{"body":{"type":"t","recipient_client_id":"a"}}}"#, &["a"]);
    names(r#"{"event":{"type":"t","recipientclientid":"a"}}"#, &["a"]);
    names(
        r#"{"recipientclientid":"a","recipient_client_id":"a","event":{"recipientclientid":"a"}}"#,
        &["a"],
    );
    names(r#"{"recipientclientid":17}"#, &["17"]);
}

#[test]
fn recipients_that_disagree_are_all_named() {
    names(r#"{"recipientclientid":"a","recipient_client_id":"b"}"#, &["a", "b"]);
    names(r#"{"recipientclientid":"a","event":{"recipientclientid":"b"}}"#, &["a", "b"]);
    names(r#"{"event":{"body":{"recipient_client_id":"b"}},"recipientclientid":"a"}"#, &["b", "a"]);
    names(r#"{"recipientclientid":"a","recipientclientid":"b"}"#, &["a", "b"]);
    names(r#"{"event":{"recipientclientid":"a"},"body":{"recipientclientid":"b"}}"#, &["a", "b"]);
    names(r#"{"event":{"recipientclientid":"a"},"event":{"recipientclientid":"b"}}"#, &["a", "b"]);
    // What is no id is nobody's id.
    names(r#"{"recipientclientid":["a"]}"#, &[r#"["a"]"#]);
    names(r#"{"recipientclientid":true,"recipient_client_id":"a"}"#, &["true", "a"]);
    names(r#"{"recipientclientid":"\ud800"}"#, &[r#""\ud800""#]);
}

#[test]
fn nobody_hides_a_recipient_behind_many_others() {
    let members =
        |count: usize| -> String { (0..count).map(|n| format!(r#""x{n}":1,"#)).collect() };
    names(&format!(r#"{{{}"recipientclientid":"b"}}"#, members(1000)), &["b"]);
    names(&format!(r#"{{{}"event":{{"recipientclientid":"b"}}}}"#, members(1000)), &["b"]);
    let same = r#""recipientclientid":"a","#.repeat(1000);
    names(&format!(r#"{{{same}"recipientclientid":"b"}}"#), &["a", "b"]);
    let escaped: String =
        (0..50).map(|n| format!(r#""recipientclientid":"\u0061{}","#, " ".repeat(n % 2))).collect();
    names(&format!(r#"{{{escaped}"recipientclientid":"b"}}"#), &["a", "a ", "b"]);
    let others: String = (0..1000).map(|n| format!(r#""recipientclientid":"{n}","#)).collect();
    let found = addressed(&format!(r#"{{{others}"recipientclientid":"b"}}"#));
    assert!((2..10).contains(&found[0].0.len()), "enough to see that they disagree: {found:?}");
}

#[test]
fn nobody_is_named_where_nothing_is_said() {
    names("{}", &[]);
    names(r#"{"recipientclientid":null,"recipient_client_id":""}"#, &[]);
    names(r#"{"data":{"recipientclientid":"a"},"type":"t"}"#, &[]);
    names(r#"{"event":[{"recipientclientid":"a"}]}"#, &[]);
    names(r#"{"event":{"other":{"recipientclientid":"a"}}}"#, &[]);
    assert_eq!(addressed("[]"), []);
    assert_eq!(addressed("[1,null,[{}]]"), [], "no object, no event");
}

#[test]
fn observability_is_told_by_the_type_of_the_event_itself() {
    let is = |element: String| addressed(&element)[0].1;
    assert!(is(format!(r#"{{"type":"{OBSERVABILITY}"}}"#)));
    assert!(is(format!(r#"{{"event":{{"body":{{"type":"{OBSERVABILITY}"}}}}}}"#)));
    assert!(!is(format!(r#"{{"subtype":"{OBSERVABILITY}","type":"t"}}"#)));
    assert!(!is(format!(r#"{{"data":{{"type":"{OBSERVABILITY}"}},"type":"t"}}"#)));
    let inside =
        format!(r#"{{"event":{{"type":"{OBSERVABILITY}"}},"specversion":"1.0","type":"t"}}"#);
    assert!(!is(inside), "the outer object is the event");
    assert!(!is(r#"{"type":"com.adobe.platform.marketo.observabilityx.metrics"}"#.into()));
}

#[test]
fn a_batch_is_answered_in_its_order() {
    let body = format!(
        r#"[{{"recipientclientid":"a"}}, 7, {{"type":"{OBSERVABILITY}"}},{{"event":{{"recipient_client_id":"b"}}}}]"#
    );
    let expected = [(vec!["a".into()], false), (vec![], true), (vec!["b".into()], false)];
    assert_eq!(addressed(&body), expected);
}

#[test]
fn a_byte_order_mark_hides_no_recipient() {
    let body = format!(r#"[{{"recipientclientid":"a"}},{{"type":"{OBSERVABILITY}"}}]"#);
    assert_eq!(addressed(&format!("\u{feff}{body}")), addressed(&body));
    assert_eq!(addressed(&body), [(vec!["a".into()], false), (vec![], true)]);
}

#[test]
fn what_can_not_be_decoded_has_no_recipients() {
    let reason = |body: &str| recipients(body.as_bytes()).unwrap_err().reason;
    assert_eq!(reason("[{}"), "not-json");
    assert_eq!(reason("hello"), "not-json");
    assert_eq!(reason(""), "empty-body");
    assert_eq!(reason("1"), "not-an-object");
    assert_eq!(reason(&format!("[{}", "[".repeat(100_000))), "not-json");
    assert_eq!(reason(&format!("[{}{{}}]", "{},".repeat(MAX_EVENTS))), "too-many-events");
    assert_eq!(recipients(b"\xff{}").unwrap_err().reason, "not-utf8");
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
