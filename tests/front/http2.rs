//! HTTP/2 with prior knowledge, on the same port.

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::AsyncReadExt;

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

/// The client's preface, and SETTINGS without any.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// A HEADERS frame that is a whole `GET /v1/leads` with one more header, uncompressed.
fn head(stream: u8, value: &[u8]) -> Vec<u8> {
    let path = b"/v1/leads";
    let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
    block.extend(path);
    block.extend(b"\x00\x01x");
    // RFC 7541, 5.1: an integer with a prefix of seven bits.
    match value.len() {
        short @ 0..127 => block.push(short as u8),
        long => {
            let mut rest = long - 127;
            block.push(127);
            while rest >= 128 {
                block.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend(value);
    let [_, a, b, c] = (block.len() as u32).to_be_bytes();
    [&[a, b, c, 1, 5, 0, 0, 0, stream], &block[..]].concat()
}

/// The kinds and streams of the frames in `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let mut found = Vec::new();
    while let [a, b, c, kind, _, _, _, _, stream, ..] = *bytes {
        found.push((kind, stream));
        let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        bytes = &bytes[end.min(bytes.len())..];
    }
    found
}

#[tokio::test]
async fn a_head_over_the_limit_ends_the_connection_without_a_status() {
    const HEADERS: u8 = 1;
    let front = Front::with(|config| config.header_limit = 8 * 1024).await;
    let mut raw = Raw::connect(front.address).await;
    raw.send([PREFACE, &head(1, b"short")].concat()).await;
    eventually(|| front.deliveries("leads", "probe") == 1).await;
    raw.send(head(3, &[b'x'; 12_000])).await;
    let answers: Vec<_> =
        frames(&raw.rest().await).into_iter().filter(|(kind, _)| *kind == HEADERS).collect();
    assert_eq!(answers, [(HEADERS, 1)]);
    eventually(|| front.refused("head-too-large") == 1).await;
}

#[tokio::test]
async fn rapid_resets_and_pings_end_the_connection_and_others_are_served() {
    let front = Front::start().await;
    let mut raw = Raw::connect(front.address).await;
    raw.send(PREFACE).await;
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

/// What the other side says that it may be sent over HTTP/2 before it has read anything: by the connection in
/// all, and by a stream.
async fn windows(front: &Front) -> (u32, u32) {
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    let mut raw = front.connect().await;
    raw.send(PREFACE).await;
    let (mut connection, mut of_a_stream) = (65_535, None);
    loop {
        let mut head = [0; 9];
        raw.stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        raw.stream.read_exact(&mut payload).await.unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match (head[3], &head[5..]) {
            (SETTINGS, _) => {
                let settings = payload.chunks(6);
                let mut windows = settings.filter(|setting| setting[..2] == [0, 4]);
                let window = windows.next().map(|setting| number(&setting[2..]));
                of_a_stream = of_a_stream.or(window);
            }
            (WINDOW_UPDATE, [0, 0, 0, 0]) => {
                connection += number(&payload);
                return (connection, of_a_stream.unwrap_or(65_535));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_connection_has_no_more_unread_than_its_window_over_all_its_streams() {
    let front = Front::start().await;
    assert_eq!(within(windows(&front)).await, (128 * 1024, 128 * 1024));
}

#[tokio::test]
async fn the_largest_body_comes_through_a_window_that_is_smaller() {
    let front = Front::with(|config| config.body_limit = 16 << 20).await;
    let (mut client, _connection) = http2(front.address).await;
    let body = format!("{{{}}}", " ".repeat((16 << 20) - 2));
    let request = http2_post(front.address, TOKEN, body);
    assert_eq!(within(client.send_request(request)).await.unwrap().status(), 200);
}
