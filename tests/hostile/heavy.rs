//! Bodies of somebody who has a token: small ones that would be large, and deep ones that go all the
//! way to the forwarder.

use std::io::Write;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use tokio::{io::AsyncWriteExt, task::JoinSet};

use crate::{
    rig::Rig,
    target::{batch, leads, status},
};

/// Bytes of a bomb once it is inflated: just over the limit.
const INFLATED: usize = (16 << 20) + 1;

const DEPTH: usize = 500_000;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Deliveries of these that end as dead letters: the deep ones, and bombs in bombs.
pub const UNDECODABLE: usize = 6 + 4;

pub async fn bodies(rig: &Rig) {
    let bomb = vec![b' '; INFLATED];
    let (gzipped, deflated) = (gzip(&bomb), deflate(&bomb));
    let mut bombs = JoinSet::new();
    for n in 0..12 {
        let (coding, body) = match n % 3 {
            0 => ("gzip", gzipped.clone()),
            1 => ("deflate", deflated.clone()),
            // A bomb in a bomb: two codings, of which none is taken off.
            _ => ("gzip, gzip", gzip(&gzipped)),
        };
        let target = rig.target();
        bombs.spawn(async move {
            let expected = if coding.contains(',') { 200 } else { 503 };
            let mut stream = target.connect(n).await.unwrap();
            let headers =
                format!("content-encoding: {coding}\r\ncontent-length: {}\r\n", body.len());
            stream.write_all(format!("{}{headers}\r\n", leads()).as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            assert_eq!(status(&mut stream).await.unwrap(), expected, "{coding}");
        });
    }
    while let Some(ended) = bombs.join_next().await {
        ended.unwrap();
    }
    for body in deep() {
        let mut stream = rig.target().connect(0).await.unwrap();
        let head = format!("{}content-length: {}\r\n\r\n", leads(), body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await.unwrap(), 200, "what it is, is seen later");
    }
}

/// Brackets that a parser which calls itself would not come back from.
fn deep() -> [String; 6] {
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = "{\"a\":".repeat(DEPTH / 5) + "1" + &"}".repeat(DEPTH / 5);
    [
        open.clone(),
        format!("{open}{close}"),
        objects.clone(),
        format!(r#"{{"munchkinId":"999-XYZ-000","activities":{open}{close}}}"#),
        format!(r#"{{"munchkinId":"999-XYZ-000","activities":[{objects}]}}"#),
        batch("deep-attribute")
            .replace(r#""attributes":[]"#, &format!(r#""attributes":{objects}"#)),
    ]
}
