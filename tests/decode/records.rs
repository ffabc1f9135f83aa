//! From a body to Kafka records.

use millrace::{
    decode::Rules, delivery::SourceName, encode::Encoder, route::Router, spool::position::Position,
};
use uuid::Uuid;

use crate::decode_legacy;

#[test]
fn a_push_becomes_one_record_an_event() {
    let body = include_bytes!("fixtures/push.json");
    let rules = Rules::default();
    let router = Router::new("marketo.{stream}.{type}").unwrap();
    let source = SourceName::new("leads").unwrap();
    let spool = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let (mut encoder, mut topic) = (Encoder::new(), String::new());
    let mut lines = Vec::new();
    for decoded in decode_legacy(&rules, body).unwrap() {
        let event = decoded.unwrap();
        let position = Position { sequence: 42, index: event.index };
        let topic = router.topic(&source, &event, &mut topic);
        let encoded = encoder.encode(topic, spool, position, &event);
        let record = encoded.record();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        lines.push(format!("{} {}", record.topic, text(record.key)));
        lines.extend(
            record.headers.iter().map(|(name, value)| format!("  {name}: {}", text(value))),
        );
        lines.push(format!("  {} bytes", record.value.len()));
    }
    let expected = "\
marketo.lead-activity.clicklink 999-XYZ-000:4711
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-1
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.standard.clicklink
  ce_time: 2026-03-02T09:59:58Z
  344 bytes
marketo.lead-activity.custom-100001 999-XYZ-000:12
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-2
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.custom
  107 bytes
marketo.lead-activity.flykite 999-XYZ-000:L-7
  content-type: application/json
  ce_specversion: 1.0
  ce_id: 01234567-89ab-cdef-0123-456789abcdef:42:2
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.standard.flykite
  145 bytes
marketo.lead-activity.sfdcactivityupdated 111-AAA-222
  content-type: application/json
  ce_specversion: 1.0
  ce_id: guid-4
  ce_source: urn:marketo_activity_stream
  ce_type: com.adobe.platform.marketo.activity.standard.sfdcactivityupdated
  48 bytes";
    assert_eq!(lines.join("\n"), expected);
}
