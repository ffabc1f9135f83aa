//! From a body to Kafka records, each shape in both modes.

use millrace::{
    deliver::{
        decode::{Rules, decode},
        encode::{Encoder, Mode},
        route::Router,
    },
    source::{
        SourceKind::{self, AdobeIo, MarketoLeadActivity},
        SourceName,
    },
    spool::position::Position,
};
use uuid::Uuid;

/// The records of a body as text, topic and key first. What is refused has its reason.
fn records(kind: SourceKind, mode: Mode, body: &str) -> String {
    let rules = Rules::default();
    let router = Router::new("marketo.{stream}.{type}").unwrap();
    let source = SourceName::new("source").unwrap();
    let spool = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let (mut encoder, mut topic, mut out) = (Encoder::new(mode), String::new(), Vec::new());
    decode(kind, &rules, body.as_bytes(), &[], &mut out).unwrap();
    let mut lines = Vec::new();
    for decoded in out {
        let event = match decoded {
            Ok(event) => event,
            Err(refused) => {
                lines.push(format!("refused: {}", refused.reason));
                continue;
            }
        };
        let position = Position { sequence: 42, index: event.index };
        let topic = router.topic(&source, &event, &mut topic);
        let encoded = encoder.encode(topic, spool, position, &event);
        let record = encoded.record();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let key = record.key.map_or("no key".into(), text);
        lines.push(format!("{} {key}", record.topic));
        let headers = record.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("  {name}: {}", text(value))));
        lines.push(format!("  {}", text(record.value.unwrap())));
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_push_becomes_one_record_an_event() {
    let body = r#"{"munchkinId":"999-XYZ-000","activities":[
        {"marketoGUID":"guid-1","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3},
        {"activityTypeId":"100001","leadId":"L-7", "note": 1.50}]}"#;
    let expected = r#"marketo.lead-activity.clicklink 999-XYZ-000:4711
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-1
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.standard.clicklink
  ce_time: 2026-03-02T09:59:58Z
  {"munchkinId":"999-XYZ-000","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":3}
marketo.lead-activity.custom-100001 999-XYZ-000:L-7
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 01234567-89ab-cdef-0123-456789abcdef:42:1
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.custom
  {"munchkinId":"999-XYZ-000","activityTypeId":"100001","leadId":"L-7", "note": 1.50}
"#;
    assert_eq!(records(MarketoLeadActivity, Mode::Binary, body), expected);
    let expected = r#"marketo.lead-activity.clicklink 999-XYZ-000:4711
  content-type: application/cloudevents+json; charset=UTF-8
  {"specversion":"1.0","id":"guid-1","source":"urn:marketo_activity_stream","type":"com.adobe.platform.marketo.activity.standard.clicklink","time":"2026-03-02T09:59:58Z","datacontenttype":"application/json","data":{"munchkinId":"999-XYZ-000","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":3}}
marketo.lead-activity.custom-100001 999-XYZ-000:L-7
  content-type: application/cloudevents+json; charset=UTF-8
  {"specversion":"1.0","id":"01234567-89ab-cdef-0123-456789abcdef:42:1","source":"urn:marketo_activity_stream","type":"com.adobe.platform.marketo.activity.custom","datacontenttype":"application/json","data":{"munchkinId":"999-XYZ-000","activityTypeId":"100001","leadId":"L-7", "note": 1.50}}
"#;
    assert_eq!(records(MarketoLeadActivity, Mode::Structured, body), expected);
}

#[test]
fn a_flat_event_of_adobe_is_one_record() {
    let body = include_str!("fixtures/adobe-flat.json");
    let expected = r#"marketo.lead-activity.openemail 999-XYZ-000:4711
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-b1
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.standard.openemail
  ce_time: 2026-03-02T10:00:01Z
  ce_eventid: 5d1c0a6e-0001
  ce_recipientclientid: client-1
  {"munchkinId":"999-XYZ-000","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":10,
   "activityType":"Open Email","activityLogItemId":9002,"attributes":[{"name":"recipientclientid","value":"nobody"}] }
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
    let expected = r#"marketo.lead-activity.openemail 999-XYZ-000:4711
  content-type: application/cloudevents+json; charset=UTF-8
  {"specversion":"1.0","id":"guid-b1","source":"urn:marketo_activity_stream","type":"com.adobe.platform.marketo.activity.standard.openemail","time":"2026-03-02T10:00:01Z","datacontenttype":"application/json","eventid":"5d1c0a6e-0001","recipientclientid":"client-1","data":{"munchkinId":"999-XYZ-000","leadId":"4711","activityDate":"2026-03-02T09:59:58Z","activityTypeId":10,
   "activityType":"Open Email","activityLogItemId":9002,"attributes":[{"name":"recipientclientid","value":"nobody"}] }}
"#;
    assert_eq!(records(AdobeIo, Mode::Structured, body), expected);
}

#[test]
fn a_batch_of_adobe_is_one_record_an_event_and_a_bad_element_is_refused_alone() {
    let body = include_str!("fixtures/adobe-batch.json");
    let expected = r#"marketo.lead-activity.custom-100001 999-XYZ-000:4712
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-b2
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.custom
  ce_time: 2026-03-02T10:00:02.500+01:00
  ce_eventid: 5d1c0a6e-0002
  ce_recipientclientid: client-1
  {"leadId":4712,"activityTypeId":100001,"munchkinId":"999-XYZ-000","note":"ünï \u00fc"}
refused: not-an-object
marketo.observability.metrics 111-AAA-222
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 01234567-89ab-cdef-0123-456789abcdef:42:2
  ce_source: urn:data_ingestion_service
  ce_type: com.adobe.platform.marketo.observability.metrics
  ce_time: 2026-03-02T10:00:03Z
  {"munchkinId":"111-AAA-222","counts":{"received":1.50e+2}}
marketo.other.invoice-sent no key
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 5d1c0a6e-0004
  ce_source: urn:new
  ce_type: com.adobe.platform.marketo.billing.Invoice Sent
  ce_subject: übung
  ce_traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
  ce_tries: 3
  ce_issample: true
  [1,2]
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
    let structured = records(AdobeIo, Mode::Structured, body);
    let last = r#"marketo.other.invoice-sent no key
  content-type: application/cloudevents+json; charset=UTF-8
  {"specversion":"1.0","id":"5d1c0a6e-0004","source":"urn:new","type":"com.adobe.platform.marketo.billing.Invoice Sent","datacontenttype":"application/json","subject":"übung","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tries":"3","issample":"true","data":[1,2]}
"#;
    assert!(structured.ends_with(last), "{structured}");
}

#[test]
fn a_wrapped_event_takes_the_envelopes_id_and_keeps_what_is_uncertain_as_plain_headers() {
    let body = include_str!("fixtures/adobe-wrapped.json");
    let expected = r#"marketo.user-audit.landingpage 999-XYZ-000:Landing Page:55
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 77aa0b11-0001
  ce_source: urn:mlm
  ce_type: com.adobe.platform.marketo.audit.user.landingpage
  ce_header: {"msgId":"m-1"}
  ce_recipientclientid: client-1
  millrace-time: 2026-03-02 10:00:02.118
  millrace-dataschema: V2.0
  {"componentId":55,"componentType":"Landing Page","eventAction":"approve","munchkinId":"999-XYZ-000","imsOrgId":"0123@AdobeOrg","userId":"a@example.com"}
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
    let expected = r#"marketo.user-audit.landingpage 999-XYZ-000:Landing Page:55
  content-type: application/cloudevents+json; charset=UTF-8
  millrace-time: 2026-03-02 10:00:02.118
  millrace-dataschema: V2.0
  {"specversion":"1.0","id":"77aa0b11-0001","source":"urn:mlm","type":"com.adobe.platform.marketo.audit.user.landingpage","datacontenttype":"application/json","header":"{\"msgId\":\"m-1\"}","recipientclientid":"client-1","millracetime":"2026-03-02 10:00:02.118","millracedataschema":"V2.0","data":{"componentId":55,"componentType":"Landing Page","eventAction":"approve","munchkinId":"999-XYZ-000","imsOrgId":"0123@AdobeOrg","userId":"a@example.com"}}
"#;
    assert_eq!(records(AdobeIo, Mode::Structured, body), expected);
}

#[test]
fn data_that_is_an_event_itself_does_not_make_its_record_one_of_structured_mode() {
    let body = r#"{"specversion":"1.0","type":"a.b","source":"urn:s","id":"1",
        "datacontenttype":"application/cloudevents+json; charset=UTF-8","data":{"id":"inner"}}"#;
    let expected = r#"marketo.other.b no key
  content-type: application/json; charset=UTF-8
  ce_specversion: 1.0
  ce_id: 1
  ce_source: urn:s
  ce_type: a.b
  millrace-datacontenttype: application/cloudevents+json; charset=UTF-8
  {"id":"inner"}
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
    let expected = r#"marketo.other.b no key
  content-type: application/cloudevents+json; charset=UTF-8
  {"specversion":"1.0","id":"1","source":"urn:s","type":"a.b","datacontenttype":"application/cloudevents+json; charset=UTF-8","data":{"id":"inner"}}
"#;
    assert_eq!(records(AdobeIo, Mode::Structured, body), expected);
}

#[test]
fn json_of_a_media_type_that_readers_do_not_know_is_called_json_in_structured_mode_alone() {
    let body = r#"{"specversion":"1.0","type":"a.b","source":"urn:s","id":"1",
        "datacontenttype":"APPLICATION/JSON ;charset=utf-8","data":{"a":1.50}}"#;
    let expected = r#"marketo.other.b no key
  content-type: APPLICATION/JSON ;charset=utf-8
  ce_specversion: 1.0
  ce_id: 1
  ce_source: urn:s
  ce_type: a.b
  {"a":1.50}
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
    let expected = r#"marketo.other.b no key
  content-type: application/cloudevents+json; charset=UTF-8
  millrace-datacontenttype: APPLICATION/JSON ;charset=utf-8
  {"specversion":"1.0","id":"1","source":"urn:s","type":"a.b","datacontenttype":"application/json","millracedatacontenttype":"APPLICATION/JSON ;charset=utf-8","data":{"a":1.50}}
"#;
    assert_eq!(records(AdobeIo, Mode::Structured, body), expected);
}

#[test]
fn ids_in_data_that_is_coded_or_text_make_no_key_and_those_of_an_object_do() {
    let event = |version: &str, data: &str| {
        format!(
            r#"{{"specversion":"{version}","type":"a.b","source":"urn:s","id":"1","datacontenttype":"application/json",{data}}}"#
        )
    };
    let cases = [
        (event("1.0", r#""data":{"munchkinId":"m"}"#), "m"),
        (event("1.0", r#""data_base64":"eyJtdW5jaGtpbklkIjoibSJ9""#), "no key"),
        (
            event("0.3", r#""datacontentencoding":"base64","data":"eyJtdW5jaGtpbklkIjoibSJ9""#),
            "no key",
        ),
        (event("1.0", r#""data":"{\"munchkinId\":\"m\"}""#), "no key"),
    ];
    for (body, key) in cases {
        let records = records(AdobeIo, Mode::Binary, &body);
        assert_eq!(records.lines().next(), Some(&*format!("marketo.other.b {key}")), "{body}");
    }
}

#[test]
fn a_wrapped_event_may_stand_in_event_itself_and_its_certain_time_is_made_rfc_3339() {
    let body = include_str!("fixtures/adobe-wrapped-notification.json");
    let expected = r#"marketo.notification.campaign-abort 999-XYZ-000
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 77aa0b11-0002
  ce_source: urn:mlm
  ce_type: com.adobe.platform.marketo.notification.campaign_abort
  ce_time: 2026-03-02T05:00:02-05:00
  ce_dataschema: https://schema.example.com/notification/2
  ce_recipientclientid: client-1
  {"munchkinId":"999-XYZ-000","campaignId":7}
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
}

#[test]
fn the_older_form_keeps_both_of_its_ids_and_its_user() {
    let body = include_str!("fixtures/adobe-older.json");
    let expected = r#"marketo.user-audit.email 999-XYZ-000:Email:56
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-c3
  ce_source: urn:mlm
  ce_type: com.adobe.platform.marketo.audit.user.email
  ce_time: 2026-03-02T10:00:02.118Z
  ce_user: {"id":"a@example.com"}
  ce_eventid: 77aa0b11-0003
  ce_recipientclientid: client-1
  {"munchkinId":"999-XYZ-000","componentType":"Email","componentId":"56"}
"#;
    assert_eq!(records(AdobeIo, Mode::Binary, body), expected);
}

#[test]
fn data_that_is_no_json_is_its_bytes_in_binary_mode_and_base64_in_structured_mode() {
    let body = r#"[
        {"type":"a.text","source":"urn:s","id":"1","datacontenttype":"text/plain","data":"a \u00fc"},
        {"type":"a.bytes","source":"urn:s","id":"2","datacontenttype":"text/plain","data_base64":"aGVs\/bG8="},
        {"type":"a.nothing","source":"urn:s","id":"3"}]"#;
    let body = body.replace("aGVs\\/bG8=", "aGVsbG8=");
    let begin = |id: u8, name: &str, content_type: &str| {
        format!(
            "marketo.other.{name} no key\n{content_type}  ce_specversion: 1.0\n  ce_id: {id}\n  ce_source: urn:s\n  ce_type: a.{name}\n"
        )
    };
    let text = "  content-type: text/plain\n";
    let expected = begin(1, "text", text)
        + "  a ü\n"
        + &begin(2, "bytes", text)
        + "  hello\n"
        + &begin(3, "nothing", "")
        + "  \n";
    assert_eq!(records(AdobeIo, Mode::Binary, &body), expected);
    let begin = |id: u8, name: &str| {
        format!(
            "marketo.other.{name} no key\n  content-type: application/cloudevents+json; charset=UTF-8\n  {{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"urn:s\",\"type\":\"a.{name}\""
        )
    };
    let text = r#","datacontenttype":"text/plain""#;
    let expected = format!(
        "{}{text},\"data_base64\":\"YSDDvA==\"}}\n{}{text},\"data_base64\":\"aGVsbG8=\"}}\n{}}}\n",
        begin(1, "text"),
        begin(2, "bytes"),
        begin(3, "nothing")
    );
    assert_eq!(records(AdobeIo, Mode::Structured, &body), expected);
}
