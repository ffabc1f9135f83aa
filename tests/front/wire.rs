//! What only raw sockets do. The library's own 400, 414 and 431 never arrive.

use crate::support::{Front, TOKEN, post};

async fn refused_with_503(front: &Front, request: impl AsRef<[u8]>, reason: &str) {
    let before = front.refused(reason);
    let mut raw = front.connect().await;
    raw.send(&request).await;
    let shown =
        String::from_utf8_lossy(&request.as_ref()[..request.as_ref().len().min(200)]).into_owned();
    let reply = raw.reply().await;
    assert_eq!(reply.status, 503, "{shown}");
    assert!(reply.header("retry-after").is_some(), "{shown}");
    assert_eq!(raw.rest().await, b"", "{shown}");
    crate::support::eventually(|| front.refused(reason) == before + 1).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_503() {
    let front = Front::start().await;
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello \r\n\r\n"[..],
        b"nonsense\r\n\r\n",
        b"POST /v1/leads HTTP/9.9\r\n\r\n",
        b"POST /v1/leads HTTP/1.1\r\nhost here\r\n\r\n",
        b"POST /v1/leads HTTP/1.1\r\nho st: here\r\n\r\n",
        b"POST /v1/le\x00ads HTTP/1.1\r\nhost: here\r\n\r\n",
        b"POST /v1/leads HTTP/1.1\r\nhost: he\x00re\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ] {
        refused_with_503(&front, request, "unreadable").await;
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_503() {
    let front = Front::with(|config| config.header_limit = 16 * 1024).await;
    let long = "x".repeat(17_000);
    refused_with_503(&front, post("", &format!("x-long: {long}\r\n")), "head-too-large").await;
    let many: String = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect();
    refused_with_503(&front, post("", &many), "head-too-large").await;
    let target = format!("POST /v1/{long} HTTP/1.1\r\nhost: here\r\n\r\n");
    refused_with_503(&front, target, "head-too-large").await;
    let front = Front::with(|config| config.header_limit = 256 * 1024).await;
    let target = format!("POST /v1/{} HTTP/1.1\r\nhost: here\r\n\r\n", "x".repeat(70_000));
    refused_with_503(&front, target, "head-too-large").await;
}

#[tokio::test]
async fn as_many_headers_as_the_limit_of_bytes_has_room_for_are_taken() {
    let front = Front::start().await;
    for count in [100, 101, 500, 1500] {
        let many: String = (0..count).map(|n| format!("x-header-{n}: y\r\n")).collect();
        assert_eq!(front.ask(&post("{}", &many)).await.status, 200, "{count} headers");
    }
}

#[tokio::test]
async fn heads_that_other_servers_read_differently_are_refused() {
    let front = Front::start().await;
    let chunked = |coding: &str| {
        let framing = format!("transfer-encoding: {coding}\r\n");
        post("", &framing).replace("content-length: 0\r\n", "") + "2\r\n{}\r\n0\r\n\r\n"
    };
    assert_eq!(front.ask(&chunked("chunked")).await.status, 200);
    for coding in ["gzip, chunked", "deflate,chunked", "identity, chunked"] {
        refused_with_503(&front, chunked(coding), "unreadable").await;
    }
    for host in ["here", "there"] {
        refused_with_503(&front, post("{}", &format!("host: {host}\r\n")), "unreadable").await;
    }
    assert_eq!(front.store.bodies(), [b"{}"]);
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused() {
    let front = Front::start().await;
    let with = |headers: &str| {
        format!(
            "POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n{{}}"
        )
    };
    for headers in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2, 3\r\n",
        "content-length: +2\r\n",
        "content-length: -1\r\n",
        "content-length: 0x2\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length:\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: xchunked\r\n",
        "content-length : 2\r\n",
        "content-length: 2\r\n transfer-encoding: chunked\r\n",
    ] {
        refused_with_503(&front, with(headers), "unreadable").await;
    }
    let old = with("transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    refused_with_503(&front, old, "unreadable").await;
    assert_eq!(*front.store.begun.borrow(), 0);
}

#[tokio::test]
async fn a_request_hidden_behind_two_framings_is_never_served() {
    let front = Front::start().await;
    let hidden = post("smuggled", "");
    // Chunked wins over the length, as RFC 9112 has it, and the connection ends with the answer.
    for lengths in [
        "content-length: 400\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 400\r\n",
    ] {
        let mut raw = front.connect().await;
        raw.send(format!(
            "POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\n{lengths}\r\n0\r\n\r\n{hidden}"
        ))
        .await;
        assert_eq!(raw.reply().await.status, 200);
        assert_eq!(raw.rest().await, b"");
    }
    // Behind a body that nobody reads.
    let mut raw = front.connect().await;
    let length = hidden.len();
    raw.send(format!(
        "POST /v1/leads HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n{hidden}"
    ))
    .await;
    assert_eq!(raw.reply().await.status, 401);
    assert_eq!(raw.rest().await, b"");
    assert_eq!(front.store.bodies(), [b"", b""]);
}

#[tokio::test]
async fn broken_chunks_are_503() {
    let front = Front::start().await;
    for chunks in [
        "zz\r\n{}\r\n",
        "-1\r\n{}\r\n",
        "2\r\n{}x\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "2 2\r\n{}\r\n",
    ] {
        let head = post("", "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "");
        let mut raw = front.connect().await;
        raw.send(head + chunks).await;
        assert_eq!(raw.reply().await.status, 503, "{chunks:?}");
    }
    assert_eq!(front.deliveries("leads", "body-broken"), 5);
    assert_eq!(*front.store.begun.borrow(), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let front = Front::start().await;
    let mut raw = front.connect().await;
    let probe = "GET /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n";
    raw.send(post("one", "") + probe + &post("two", "") + probe).await;
    for expected in ["stored", "this source is configured", "stored", "this source is configured"] {
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.text()), (200, expected));
    }
    assert_eq!(front.store.bodies(), [b"one", b"two"]);
}

#[tokio::test]
async fn nonsense_behind_a_good_request_takes_nothing_from_its_answer() {
    let front = Front::start().await;
    let mut raw = front.connect().await;
    raw.send(post("{}", "") + "nonsense\r\n\r\n").await;
    assert_eq!(raw.reply().await.status, 200);
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.text()), (503, "not a request that can be read"));
    assert_eq!(raw.rest().await, b"");
    assert_eq!(front.store.bodies(), [b"{}"]);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let front = Front::start().await;
    let mut raw = front.connect().await;
    raw.send(post("{}", "").replace("HTTP/1.1", "HTTP/1.0")).await;
    assert_eq!(raw.reply().await.status, 200);
    assert!(raw.is_closed().await);
}
