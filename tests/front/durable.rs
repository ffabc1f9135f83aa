//! 200 means stored, and nothing that was handed over is dropped.

use millrace::spool::AppendError;
use tokio::io::AsyncWriteExt;

use crate::support::{Front, TOKEN, eventually, http2, http2_post, post, status_and_text};

#[tokio::test]
async fn no_answer_comes_before_the_append_is_done() {
    let front = Front::start().await;
    front.store.hold();
    let mut sender = front.connect().await;
    sender.send(post("{}", "")).await;
    front.store.has_begun(1).await;
    let mut byte = [0];
    let early = sender.stream.try_read(&mut byte);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(front.deliveries("leads", "stored"), 0);
    front.store.release();
    assert_eq!(sender.reply().await.status, 200);
}

#[tokio::test]
async fn a_failed_append_is_never_answered_200_however_late_it_fails() {
    let front = Front::start().await;
    front.store.hold();
    let mut sender = front.connect().await;
    sender.send(post("{}", "")).await;
    front.store.has_begun(1).await;
    let spool = millrace::source::SourceName::new("leads").unwrap();
    front.store.refuse_with(move || AppendError::Poisoned { spool: spool.clone() });
    front.store.release();
    assert_eq!(sender.reply().await.status, 503);
}

#[tokio::test]
async fn a_sender_that_hangs_up_after_the_body_cancels_nothing() {
    let front = Front::start().await;
    front.store.hold();
    let mut sender = front.connect().await;
    sender.send(post("{\"n\":1}", "")).await;
    front.store.has_begun(1).await;
    drop(sender);
    let (mut client, connection) = http2(front.address).await;
    let asking = tokio::spawn(client.send_request(http2_post(front.address, TOKEN, "{\"n\":2}")));
    front.store.has_begun(2).await;
    asking.abort();
    connection.abort();
    drop(client);
    eventually(|| front.deliveries("leads", "client-gone") >= 1).await;
    front.store.release();
    eventually(|| front.store.stored().len() == 2).await;
}

#[tokio::test]
async fn half_a_body_is_not_stored() {
    let front = Front::start().await;
    for request in [
        post("{}", "").replace("length: 2", "length: 3"),
        post("", "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "")
            + "5\r\nhello\r\n",
    ] {
        let mut sender = front.connect().await;
        sender.send(request).await;
        sender.stream.shutdown().await.unwrap();
        let rest = String::from_utf8(sender.rest().await).unwrap();
        assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    }
    assert_eq!(front.deliveries("leads", "body-broken"), 2);
    assert_eq!(*front.store.begun.borrow(), 0);
}

#[tokio::test]
async fn a_sender_that_closes_its_half_after_the_request_gets_its_answer() {
    let front = Front::start().await;
    front.store.hold();
    let mut sender = front.connect().await;
    sender.send(post("{}", "")).await;
    sender.stream.shutdown().await.unwrap();
    front.store.has_begun(1).await;
    // Whoever takes the end of one half for the end of all would give up here.
    assert_eq!(front.ask("GET /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n").await.status, 200);
    front.store.release();
    assert_eq!(sender.reply().await.status, 200);
}

#[tokio::test]
async fn a_connection_is_used_for_many_deliveries() {
    let front = Front::start().await;
    let mut sender = front.connect().await;
    for n in 0..50 {
        sender.send(post(&format!("{{\"n\":{n}}}"), "")).await;
        assert_eq!(sender.reply().await.status, 200);
    }
    assert_eq!(front.store.stored().len(), 50);
    let (mut client, _connection) = http2(front.address).await;
    let answer = client.send_request(http2_post(front.address, TOKEN, "{}")).await.unwrap();
    assert_eq!(status_and_text(answer).await, (200, "stored".into()));
}
