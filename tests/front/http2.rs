//! HTTP/2 with prior knowledge, on the same port.

use bytes::Bytes;
use http_body_util::Full;

use crate::support::{Front, Raw, TOKEN, eventually, http2, http2_post, status_and_text, within};

#[tokio::test]
async fn many_deliveries_share_a_connection() {
    let front = Front::start().await;
    let (client, _connection) = http2(front.address).await;
    let requests = (0..40).map(|n| {
        let mut client = client.clone();
        let request = http2_post(front.address, TOKEN, format!("{{\"n\":{n}}}"));
        tokio::spawn(async move { client.send_request(request).await.unwrap().status().as_u16() })
    });
    for asked in requests.collect::<Vec<_>>() {
        assert_eq!(within(asked).await.unwrap(), 200);
    }
    assert_eq!(front.store.stored().len(), 40);
}

#[tokio::test]
async fn the_table_holds_for_http_2() {
    let front = Front::with(|config| config.body_limit = 1000).await;
    let (mut client, _connection) = http2(front.address).await;
    let mut ask = async |request: http::Request<Full<Bytes>>| {
        within(client.ready()).await.unwrap();
        status_and_text(within(client.send_request(request)).await.unwrap()).await
    };
    let large = vec![b'x'; 300_000];
    let unknown = || http::Request::post(format!("http://{}/v1/other", front.address));
    assert_eq!(ask(http2_post(front.address, TOKEN, "{}")).await.0, 200);
    assert_eq!(ask(http2_post(front.address, "wrong", "{}")).await.0, 401);
    assert_eq!(ask(http2_post(front.address, TOKEN, large.clone())).await.0, 503);
    assert_eq!(ask(http2_post(front.address, "wrong", large)).await.0, 401);
    assert_eq!(ask(unknown().body(Full::default()).unwrap()).await.0, 503);
    assert_eq!(
        ask(http2_post(front.address, TOKEN, "{}")).await.0,
        200,
        "the connection still lives"
    );
}

#[tokio::test]
async fn a_head_over_the_limit_ends_the_connection_without_a_status() {
    let front = Front::with(|config| config.header_limit = 8 * 1024).await;
    let (mut client, connection) = http2(front.address).await;
    let answer = client.send_request(http2_post(front.address, TOKEN, "{}")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let mut request = http2_post(front.address, TOKEN, "{}");
    // Larger than the limit however well it is compressed, smaller than what the client refuses.
    let noise: String = (0..60_000u32).map(|n| char::from(b'!' + (n * n % 89) as u8)).collect();
    for (n, piece) in noise.as_bytes().chunks(4000).enumerate() {
        let name: http::HeaderName = format!("x-{n}").parse().unwrap();
        request.headers_mut().insert(name, http::HeaderValue::from_bytes(piece).unwrap());
    }
    let answer = within(client.send_request(request)).await;
    assert!(answer.is_err(), "{answer:?}");
    let _ = within(connection).await;
    eventually(|| front.refused("head-too-large") == 1).await;
    assert_eq!(front.store.stored().len(), 1);
}

#[tokio::test]
async fn rapid_resets_and_pings_end_the_connection_and_others_are_served() {
    let front = Front::start().await;
    let mut raw = Raw::connect(front.address).await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    // HEADERS (GET, http, /) and RST_STREAM, over and over.
    let mut flood = Vec::new();
    for n in 0..20_000u32 {
        let id = (2 * n + 1).to_be_bytes();
        flood.extend([0, 0, 3, 1, 5]);
        flood.extend(id);
        flood.extend([0x82, 0x86, 0x84]);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(id);
        flood.extend([0, 0, 0, 8]);
    }
    // The other side may stop listening before all of it is written.
    let _ = within(tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &flood)).await;
    let said = raw.rest().await;
    let goaway = said.windows(5).any(|frame| frame[3..] == [7, 0]);
    assert!(goaway || said.len() < flood.len());
    assert_eq!(front.deliver("{}").await.status, 200);
}
