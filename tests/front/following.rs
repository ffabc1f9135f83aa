//! Following one delivery: what it is called in the answer is what the spool has beside it.

use crate::support::{Front, Reply, post};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn kept(front: &Front, name: &str) -> Option<String> {
    let delivery = front.store.stored().pop()?;
    delivery.headers.into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

fn id(reply: &Reply) -> String {
    reply.header("x-request-id").expect("each answer says what its request is called").to_owned()
}

#[tokio::test]
async fn a_request_is_called_what_its_sender_calls_it_or_by_a_name_of_its_own() {
    let front = Front::start().await;
    let named = front.ask(&post("{}", "x-request-id: of-the-sender.1\r\n")).await;
    assert_eq!(id(&named), "of-the-sender.1");
    assert_eq!(kept(&front, "x-request-id").as_deref(), Some("of-the-sender.1"));
    let mut known = vec![id(&named)];
    for headers in ["", "x-request-id: no harm; intended\r\n"] {
        let reply = front.ask(&post("{}", headers)).await;
        assert_eq!(kept(&front, "x-request-id"), Some(id(&reply)));
        assert!(!known.contains(&id(&reply)), "{known:?}");
        known.push(id(&reply));
    }
}

#[tokio::test]
async fn only_what_is_stored_has_a_position_and_refusals_have_a_name_too() {
    let front = Front::start().await;
    let first = front.deliver("{}").await;
    let second = front.deliver("{}").await;
    let position = |reply: &Reply| reply.header("millrace-position").map(str::to_owned);
    assert!(position(&first).is_some() && position(&first) != position(&second));
    for refused in [
        "POST /v1/leads HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n",
        "POST /v1/nobody HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n",
    ] {
        let reply = front.ask(refused).await;
        assert!(reply.status >= 400 && !id(&reply).is_empty());
        assert_eq!(position(&reply), None);
    }
}

#[tokio::test]
async fn the_trace_of_a_request_is_kept_with_its_delivery() {
    let front = Front::start().await;
    let headers = format!("traceparent: {PARENT}\r\ntracestate: a=1\r\ntracestate: b=2\r\n");
    assert_eq!(front.ask(&post("{}", &headers)).await.status, 200);
    assert_eq!(kept(&front, "traceparent").as_deref(), Some(PARENT));
    assert_eq!(kept(&front, "tracestate").as_deref(), Some("a=1, b=2"));
}
