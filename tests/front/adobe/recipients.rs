//! Whom events are meant for. Everything here is signed well.

use super::rig::{CLIENT_ID, EVENT, Rig, SECOND_CLIENT_ID};

fn event_for(recipient: &str) -> String {
    EVENT.replace(CLIENT_ID, recipient)
}

#[tokio::test]
async fn either_spelling_in_either_place_names_one_of_our_client_ids() {
    let rig = Rig::start().await;
    let inside = EVENT.replace(
        r#"}},"recipientclientid":"our-client-id"}"#,
        r#"},"recipientclientid":"our-client-id"}}"#,
    );
    assert_ne!(inside, EVENT);
    for body in [
        EVENT.to_owned(),
        event_for(SECOND_CLIENT_ID),
        EVENT.replace("recipientclientid", "recipient_client_id"),
        inside,
        EVENT.replace(
            r#""recipientclientid":"#,
            r#""recipient_client_id":"our-client-id","recipientclientid":"#,
        ),
        r#"{"specversion":"1.0","type":"t","source":"s","data":{},"recipientclientid":"our-client-id"}"#
            .into(),
        r#"{"specversion":"1.0","type":"t","source":"s","data":{},"recipient_client_id":"our-client-id"}"#
            .into(),
    ] {
        assert_eq!(rig.deliver(&body).await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn one_foreign_event_in_the_middle_of_a_batch_refuses_it_for_now_and_as_a_whole() {
    let rig = Rig::start().await;
    for foreign in [
        event_for("somebody-else"),
        event_for("OUR-CLIENT-ID"),
        event_for("our-client-id "),
        event_for(""),
        EVENT.replace(r#","recipientclientid":"our-client-id""#, ""),
        EVENT.replace(r#""our-client-id""#, r#"["our-client-id"]"#),
        EVENT.replace(
            r#""recipientclientid":"#,
            r#""recipient_client_id":"somebody-else","recipientclientid":"#,
        ),
    ] {
        for body in [foreign.clone(), format!("[{EVENT},{foreign},{EVENT}]")] {
            let reply = rig.deliver(&body).await;
            assert_eq!((reply.status, reply.text()), (503, "meant for somebody else"), "{body}");
            assert!(reply.header("retry-after").is_some());
        }
    }
    assert_eq!(rig.count("foreign-recipient"), 14);
    assert!(rig.front.store.stored().is_empty());
}

#[tokio::test]
async fn a_foreign_event_in_a_large_batch_is_found_too() {
    let rig = Rig::start().await;
    let mut events = vec![EVENT.to_owned(); 3000];
    events.push(event_for("somebody-else"));
    assert_eq!(rig.deliver(format!("[{}]", events.join(","))).await.status, 503);
    assert_eq!(rig.count("foreign-recipient"), 1);
}

#[tokio::test]
async fn observability_may_come_without_a_recipient_and_with_a_foreign_one_it_is_foreign() {
    let rig = Rig::start().await;
    let metrics = r#"{"specversion":"1.0","type":"com.adobe.platform.marketo.observability.metrics","source":"urn:data_ingestion_service","data":{"munchkinId":"999-XYZ-000"}}"#;
    assert_eq!(rig.deliver(metrics).await.status, 200);
    assert_eq!(rig.deliver(format!("[{metrics},{EVENT}]")).await.status, 200);
    let addressed = metrics.replace("\"data\"", "\"recipientclientid\":\"somebody\",\"data\"");
    assert_eq!(rig.deliver(addressed).await.status, 503);
}
