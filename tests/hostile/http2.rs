//! Floods of HTTP/2 frames: each costs its sender a few bytes and would like to cost us more.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{frames::*, target::Target};

/// Connections of each flood at once.
const AT_ONCE: usize = 32;

/// Connections that fill their windows.
const HOARDERS: usize = 900;

/// Nothing takes longer to begin.
const LONG: Duration = Duration::from_secs(20);

/// Batches that were written of each flood, and connections that it took.
pub type Floods = Vec<(&'static str, u64, u64)>;

/// What is written over and over on one connection, the `n`th time.
type Batch = fn(n: u32) -> Vec<u8>;

/// All of them, one after the other, each for `length`.
pub async fn floods(target: &Target, length: Duration) -> Floods {
    let kinds: [(&'static str, Batch); 9] = [
        ("rapid resets", rapid_resets),
        ("resets provoked", provoked_resets),
        ("pings", |_| frame(PING, 0, 0, b"12345678").repeat(500)),
        ("settings", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(500)),
        ("window updates", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(500)),
        ("empty data", empty_data),
        ("endless heads", endless_head),
        ("heads of one byte a header", head_bomb),
        ("unknown frames", |_| frame(0xbe, 0, 0, &[0; 1000]).repeat(50)),
    ];
    let mut floods = Vec::new();
    for (name, batch) in kinds {
        let (batches, connections) = flood(target, batch, length).await;
        assert!(batches > 0, "{name}: nothing could be written");
        floods.push((name, batches, connections));
    }
    floods.push(("hoarded windows", hoard(target, length).await, HOARDERS as u64));
    floods
}

async fn flood(target: &Target, batch: Batch, length: Duration) -> (u64, u64) {
    let (batches, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut people = JoinSet::new();
    for n in 0..AT_ONCE {
        let (target, batches, connections) = (target.clone(), batches.clone(), connections.clone());
        people.spawn(async move {
            loop {
                connections.fetch_add(1, SeqCst);
                // It ends when the other side has had enough.
                let _ = one_flood(&target, n, batch, &batches).await;
            }
        });
    }
    // A busy machine may take longer to begin with it.
    let start = Instant::now();
    while start.elapsed() < length || (batches.load(SeqCst) == 0 && start.elapsed() < LONG) {
        sleep(length / 10).await;
    }
    people.shutdown().await;
    (batches.load(SeqCst), connections.load(SeqCst))
}

async fn one_flood(target: &Target, n: usize, batch: Batch, written: &AtomicU64) -> io::Result<()> {
    let mut stream = target.open(n).await?;
    stream.write_all(PREFACE).await?;
    for n in 0.. {
        // Nothing is ever read: who answers has to stop by himself.
        timeout(Duration::from_secs(1), stream.write_all(&batch(n))).await??;
        written.fetch_add(1, SeqCst);
    }
    Ok(())
}

/// Odd, and never the same on one connection.
fn streams(n: u32, many: u32) -> impl Iterator<Item = u32> {
    (n * many..(n + 1) * many).map(|n| (2 * n + 1) & 0x7fff_ffff)
}

fn rapid_resets(n: u32) -> Vec<u8> {
    let head = post("/v1/leads", &[]);
    let reset = |id| {
        [frame(HEADERS, END_HEADERS, id, &head), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    };
    streams(n, 200).flat_map(reset).collect()
}

/// Streams that the other side has to reset: an update of a window by nothing.
fn provoked_resets(n: u32) -> Vec<u8> {
    let head = post("/v1/leads", &[]);
    let wrong = |id| {
        [frame(HEADERS, END_HEADERS, id, &head), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
    };
    streams(n, 200).flat_map(wrong).collect()
}

const SIGNED: &[(&str, &str)] = &[
    ("x-adobe-digital-signature-1", "AAAA"),
    ("x-adobe-public-key1-path", "/prod/keys/pub-key-none.pem"),
];

fn empty_data(n: u32) -> Vec<u8> {
    let mut bytes = match n {
        0 => frame(HEADERS, END_HEADERS, 1, &post("/v1/events", SIGNED)),
        _ => Vec::new(),
    };
    bytes.extend(frame(DATA, 0, 1, &[]).repeat(500));
    bytes
}

fn endless_head(n: u32) -> Vec<u8> {
    let piece = post("/v1/leads", &[("x-more", &"x".repeat(900))]);
    match n {
        0 => frame(HEADERS, END_STREAM, 1, &piece),
        _ => frame(CONTINUATION, 0, 1, &piece[13..]).repeat(20),
    }
}

/// Four kilobytes once, and then as often as there are bytes.
fn head_bomb(n: u32) -> Vec<u8> {
    let mut block = post("/v1/leads", &[]);
    to_remember(&mut block, "x", &"x".repeat(4000));
    block.extend([REMEMBERED; 8000]);
    frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &block)
}

/// As many bytes as the windows allow, of bodies that end nowhere; how many could be written.
async fn hoard(target: &Target, length: Duration) -> u64 {
    let written = Arc::new(AtomicU64::new(0));
    let mut people = JoinSet::new();
    for n in 0..HOARDERS {
        let (target, written) = (target.clone(), written.clone());
        people.spawn(async move {
            let mut stream = target.open(n).await?;
            stream.write_all(PREFACE).await?;
            for id in [1, 3, 5, 7, 9, 11, 13, 15] {
                let head = frame(HEADERS, END_HEADERS, id, &post("/v1/events", SIGNED));
                // As much as a stream may have before anybody says more.
                let piece = frame(DATA, 0, id, &[b' '; 16_000]).repeat(4);
                let bytes = [head, piece].concat();
                timeout(Duration::from_secs(5), stream.write_all(&bytes)).await??;
                written.fetch_add(bytes.len() as u64, SeqCst);
            }
            sleep(Duration::from_secs(60)).await;
            io::Result::Ok(())
        });
    }
    let start = Instant::now();
    sleep(2 * length).await;
    people.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(30));
    written.load(SeqCst)
}
