//! Whom events are meant for. Everything here is signed well.

use super::rig::{CLIENT_ID, EVENT, Rig, SECOND_CLIENT_ID, gzip, signed};

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

#[track_caller]
fn is_unreadable(reply: &crate::support::Reply, body: &[u8]) {
    let expected = (503, "the recipient cannot be read, so the delivery was not stored");
    assert_eq!((reply.status, reply.text()), expected, "{}", String::from_utf8_lossy(body));
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn a_signed_body_whose_recipients_can_not_be_read_is_not_stored() {
    let rig = Rig::start().await;
    let nested = |depth| format!(r#","z":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let with = |more: &str| format!("{}{more}", &EVENT[..EVENT.len() - 1]).into_bytes();
    let wide: Vec<u8> = EVENT.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let bodies = [
        b"not json".to_vec(),
        b"".to_vec(),
        b"[1,".to_vec(),
        b"{\"a\":}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"5".to_vec(),
        with(&nested(127)),
        wide,
        format!("{EVENT}{EVENT}").into_bytes(),
        format!("{EVENT}\0").into_bytes(),
        gzip(EVENT.as_bytes()),
    ];
    for body in &bodies {
        is_unreadable(&rig.deliver(body).await, body);
    }
    assert_eq!(rig.deliver(with(&nested(126))).await.status, 200, "as deep as it may be");
    assert_eq!(rig.count("recipient-unreadable"), bodies.len() as u64);
    assert_eq!(rig.front.store.stored().len(), 1);
}

#[tokio::test]
async fn a_header_that_is_not_signed_hides_no_recipient() {
    let rig = Rig::start().await;
    let (ours, foreign) = (EVENT.to_owned(), event_for("somebody-else"));
    let (zipped, foreign_zipped) = (gzip(ours.as_bytes()), gzip(foreign.as_bytes()));
    let cut = &zipped[..zipped.len() - 1];
    for coding in ["br", "gzip", "deflate", "zstd", "gzip, gzip", "gzip\r\ncontent-encoding: br"] {
        for body in [ours.as_bytes(), foreign.as_bytes(), cut] {
            let headers = [signed(body), vec![format!("content-encoding: {coding}")]].concat();
            is_unreadable(&rig.post(&headers, body).await, body);
        }
    }
    let inflates = |body| [signed(body), vec!["content-encoding: gzip".into()]].concat();
    assert_eq!(rig.post(&inflates(&foreign_zipped), &foreign_zipped).await.status, 503);
    assert_eq!(rig.count("foreign-recipient"), 1, "it was looked into");
    assert!(rig.front.store.stored().is_empty());
    assert_eq!(rig.post(&inflates(&zipped), &zipped).await.status, 200);
    for header in ["content-type: application/json; charset=utf-16", "content-encoding: identity"] {
        let headers = [signed(ours.as_bytes()), vec![header.into()]].concat();
        assert_eq!(rig.post(&headers, ours.as_bytes()).await.status, 200, "{header}");
    }
    assert_eq!(rig.front.store.bodies(), [ours.as_bytes(); 3]);
}

#[tokio::test]
async fn a_signed_delivery_does_not_pass_for_one_from_the_journal() {
    let rig = Rig::start().await;
    let journal = || vec!["millrace-origin: journal".to_owned()];
    let unnamed = EVENT.replace(r#","recipientclientid":"our-client-id""#, "");
    let headers = [signed(unnamed.as_bytes()), journal()].concat();
    assert_eq!(rig.post(&headers, unnamed.as_bytes()).await.status, 503);
    let headers = [signed(EVENT.as_bytes()), journal()].concat();
    assert_eq!(rig.post(&headers, EVENT.as_bytes()).await.status, 200);
    let stored = rig.front.store.stored();
    let [delivery] = &stored[..] else { panic!("{stored:?}") };
    assert!(!delivery.headers.iter().any(|(name, _)| name == "millrace-origin"), "{delivery:?}");
}

#[tokio::test]
async fn many_of_our_ids_hide_no_foreign_one_at_any_depth() {
    let rig = Rig::start().await;
    let ours =
        format!(r#""recipientclientid":"{CLIENT_ID}","recipient_client_id":"{SECOND_CLIENT_ID}","#);
    let foreign = r#""recipient\u0063lientid":"somebody-else""#;
    for body in [
        format!(r#"{{{ours}"event":{{{ours}"body":{{{ours}"type":"t"}}}},{foreign}}}"#),
        format!("{{{}{foreign}}}", ours.repeat(500)),
        format!(r#"{{{ours}"data":{{"deep":[{{{foreign}}}]}}}}"#),
        format!(r#"{{{ours}"event":{{"body":{{"event":{{"body":{{{foreign}}}}}}}}}}}"#),
        format!(r#"[{EVENT},[{{{foreign}}}]]"#),
        format!(r#"[[{{{ours}"type":"t"}}]]"#),
        "[5]".to_owned(),
    ] {
        let reply = rig.deliver(&body).await;
        assert_eq!((reply.status, reply.text()), (503, "meant for somebody else"), "{body}");
    }
    assert!(rig.front.store.stored().is_empty());
    assert_eq!(rig.deliver(format!("[5,{EVENT}]")).await.status, 200, "one of ours beside it");
}
