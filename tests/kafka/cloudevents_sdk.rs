//! What a consumer with a CloudEvents SDK that is not ours finds on a topic.

use std::time::Duration;

use serde_json::json;

use crate::{
    broker,
    consumers::read_topic,
    support::{
        bridge::{Bridge, LEADS, Settings, TOKEN},
        cloudevents::{self, Message},
    },
};

const BODY: &[u8] = br#"{"munchkinId":"999-XYZ-000","activities":[{"marketoGUID":"g-1","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link","attributes":[ ]}]}"#;

#[test]
fn the_sdk_reads_the_same_event_from_a_topic_in_both_modes() {
    let address = broker::shared();
    let understood = ["binary", "structured"].map(|mode| {
        let prefix = broker::own_prefix(&format!("sdk-{mode}"));
        let bridge = Bridge::start(Settings::new(&address, &prefix).set("TOPICS__MODE", mode));
        assert_eq!(bridge.client().deliver(LEADS, TOKEN, BODY).unwrap().status, 200);
        bridge.wait_until_drained(Duration::from_secs(60));
        let records = read_topic(&address, &format!("{prefix}.lead-activity.clicklink"));
        let [record] = records.as_slice() else { panic!("one record, not {records:?}") };
        let headers = record.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
        let message = Message::new(record.key.as_deref(), record.value_bytes(), headers);
        cloudevents::read(&[message]).remove(0)
    });
    let [binary, structured] = &understood;
    assert_eq!(binary, structured);
    assert_eq!(
        json!(binary.attributes),
        json!({
            "specversion": "1.0",
            "id": "g-1",
            "source": "urn:marketo_activity_stream",
            "type": "com.adobe.platform.marketo.activity.standard.clicklink",
            "time": "2026-03-02T09:59:58+00:00",
            "datacontenttype": "application/json",
            "partitionkey": "999-XYZ-000:4711",
        })
    );
    assert_eq!(
        binary.data,
        json!({
            "munchkinId": "999-XYZ-000", "leadId": "4711", "activityDate": "2026-03-02T09:59:58Z",
            "activityTypeId": 3, "activityType": "Click Link", "attributes": [],
        })
    );
}
