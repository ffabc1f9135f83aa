//! Requests that two servers in a row would read differently, paths that try to be another one, heads
//! beyond all measure. Whatever they are answered: what is hidden in them is never served.

use crate::{
    rig::Rig,
    target::{batch, leads, say},
};

/// In every delivery that is hidden in another request.
const HIDDEN: &str = "hidden-delivery";

/// Whether a record comes of a hidden delivery.
pub fn is_hidden(value: &[u8]) -> bool {
    value.windows(HIDDEN.len()).any(|part| part == HIDDEN.as_bytes())
}

/// A whole delivery, which should not be one.
fn hidden() -> String {
    // A munchkin id is kept in the value, where a guid is not.
    let body = batch("hidden").replace("999-XYZ-000", HIDDEN);
    format!("{}content-length: {}\r\n\r\n{body}", leads(), body.len())
}

/// All of them, on a connection each; how many answers came.
pub async fn shapes(rig: &Rig) -> usize {
    let (mut answers, target) = (0, rig.target());
    let shapes = two_framings().into_iter().chain(one_framing()).chain(heads()).chain(paths());
    for (n, request) in shapes.enumerate() {
        let mut stream = target.connect(n).await.unwrap();
        let said = say(&mut stream, request.as_bytes()).await;
        let shown: String = request.chars().take(300).collect();
        let said = String::from_utf8_lossy(&said);
        let statuses: Vec<_> =
            said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
        // Silence is fine: the rest of a chunk or of a head may still come.
        assert!(statuses.len() <= 1, "{statuses:?} to {shown:?}");
        let is_refused = |status: &&str| matches!(*status, "401" | "404" | "405" | "503");
        assert!(statuses.iter().all(is_refused), "{statuses:?} to {shown:?}");
        answers += statuses.len();
    }
    assert_eq!(crowded_pipeline(rig).await, 500, "pipelined probes are all answered");
    answers
}

/// Behind a head without a token: the body is read by nobody, and what follows it must not be either.
fn two_framings() -> Vec<String> {
    let hidden = hidden();
    let length = hidden.len();
    [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        "content-length: 0\r\ncontent-length: 4\r\n".into(),
        format!("content-length: 0\r\ncontent-length: {length}\r\n"),
        "content-length: 0, 0\r\n".into(),
        format!("content-length: {length}\r\ntransfer-encoding: identity\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding:\tchunked\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: \x0bchunked\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding : chunked\r\n"),
        format!("content-length: {length}\r\n transfer-encoding: chunked\r\n"),
        format!("content-length: {length}\r\nx: y\r\n\tz\r\ntransfer-encoding: chunked\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked, identity\r\n"),
        format!(
            "content-length: {length}\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n"
        ),
        format!("content-length: {length}\ntransfer-encoding: chunked\n"),
        format!("content-length: {length}\rtransfer-encoding: chunked\r\n"),
        format!("content_length: 0\r\ncontent-length: {length}\r\n"),
        "transfer-encoding: chunked\r\nexpect: 100-continue\r\nupgrade: h2c\r\n".into(),
        "content-length: 0\r\nconnection: content-length\r\n".into(),
    ]
    .into_iter()
    .map(|framing| {
        format!("POST /v1/leads HTTP/1.1\r\nhost: here\r\n{framing}\r\n0\r\n\r\n{hidden}")
    })
    .collect()
}

/// Behind a token, where the body is read: the frames of chunks that can be read in two ways.
fn one_framing() -> Vec<String> {
    let hidden = hidden();
    [
        "0;\n\r\n\r\n",
        "00000000000000000000000000000000000000000\n\n",
        "0x0\r\n\r\n",
        "0 \t;a\n\r\n",
        "1\rZ\r\n0\r\n\r\n",
        "1\r\n\nZ\r\n0\r\n\r\n",
        "10000000000000000\r\n\r\n",
        "fffffffffffffffe\r\n\r\n",
        "2;a=\"\r\n0\r\n\r\n\"\r\nzz\r\n",
        "+0\r\n\r\n",
        "0_0\r\n\r\n",
    ]
    .into_iter()
    .map(|chunks| format!("{}transfer-encoding: chunked\r\n\r\n{chunks}\r\n{hidden}", leads()))
    .collect()
}

fn heads() -> Vec<String> {
    let (long, leads) = ("x".repeat(300_000), leads());
    let many = (0..5_000).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    let empty = "content-length: 0\r\n\r\n";
    vec![
        format!("{leads}x: {long}\r\n{empty}"),
        format!("{leads}{long}: x\r\n{empty}"),
        format!("{leads}{many}{empty}"),
        format!("{leads}cookie: {}\r\n{empty}", "a=b; ".repeat(20_000)),
        format!("{long} /v1/leads HTTP/1.1\r\nhost: here\r\n{empty}"),
        format!("GET /v1/{long} HTTP/1.1\r\nhost: here\r\n\r\n"),
        format!("GET /v1/leads?{long} HTTP/1.1\r\nhost: here\r\n\r\n"),
        format!("GET /v1/leads HTTP/1.{long}\r\nhost: here\r\n\r\n"),
        format!("{leads}x: \0\r\n{empty}"),
        format!("{}\r\n", long.replace('x', "\r\n")),
    ]
}

fn paths() -> Vec<String> {
    let deep = "/..".repeat(2_000);
    [
        "/v1/leads/../leads",
        "/v1/../v1/leads",
        "/v1/%2e%2e/v1/leads",
        "/v1/%6ceads",
        "/v1//leads",
        "//v1/leads",
        "/v1/leads%00",
        "/v1/leads%2f",
        "/v1/leads;a=b",
        "/v1/./leads",
        "/v1/leads/.",
        "/v1\\leads",
        "/%76%31/leads",
        "/v1/leads%0d%0aHost:%20x",
        "/v1/%c0%ae%c0%ae/leads",
        "/v1/leads/segments/00000000000000000001.segment",
        "/oauth/token",
        "/metrics",
        deep.as_str(),
    ]
    .map(|path| {
        let body = batch("hidden").replace("999-XYZ-000", HIDDEN);
        leads().replace("/v1/leads", path)
            + &format!("content-length: {}\r\n\r\n{body}", body.len())
    })
    .into()
}

/// Five hundred probes in one write, then silence; how many answers came.
async fn crowded_pipeline(rig: &Rig) -> usize {
    let mut stream = rig.target().connect(0).await.unwrap();
    let probe = "GET /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n";
    let said = say(&mut stream, probe.repeat(500).as_bytes()).await;
    String::from_utf8_lossy(&said).matches("HTTP/1.1 200 OK").count()
}
