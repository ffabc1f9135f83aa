//! Connections that take up a place and do as little as possible with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{rig::Rig, target::Target};

const HEADS: usize = 10_000;
const BODIES: usize = 2_000;
const HANDSHAKES: usize = 2_000;

/// How long a crowd goes on once all of it has come.
const STAY: Duration = Duration::from_secs(4);

#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
pub struct Crowd {
    /// Connections that were made in all: one that is shown out comes again.
    pub connections: usize,
    /// The most that the process had open at once.
    pub most_open: usize,
}

/// Ten thousand who begin a head and go on a byte a second.
pub async fn slow_heads(rig: &Rig) -> Crowd {
    let crowd = crowd(rig, HEADS, b"POST /v1/leads HTTP/1.1\r\nhost: h".to_vec()).await;
    assert!(crowd.connections >= HEADS, "{crowd:?}");
    crowd
}

/// Bodies of which a signature would have to prove something once they are whole, as large as a body
/// may be and never finished.
pub async fn slow_bodies(rig: &Rig) -> Crowd {
    let mut beginning = signed("content-length: 16777216\r\n").into_bytes();
    beginning.extend([b'['; 20_000]);
    crowd(rig, BODIES, beginning).await
}

/// The beginning of a TLS handshake, and no more.
pub async fn handshakes(rig: &Rig) -> Crowd {
    crowd(rig, HANDSHAKES, vec![0x16, 3, 1, 2, 0, 1, 0]).await
}

/// A head as Adobe I/O's, of a key that nobody has.
pub fn signed(framing: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: here\r\nx-adobe-digital-signature-1: AAAA\r\nx-adobe-public-key1-path: /prod/keys/pub-key-none.pem\r\n{framing}\r\n"
    )
}

async fn crowd(rig: &Rig, size: usize, beginning: Vec<u8>) -> Crowd {
    let (made, beginning) = (Arc::new(AtomicUsize::new(0)), Arc::new(beginning));
    let mut people = JoinSet::new();
    for n in 0..size {
        let (target, made, beginning) = (rig.target(), made.clone(), beginning.clone());
        people.spawn(async move {
            loop {
                if drip(&target, n, &beginning, &made).await.is_err() {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        });
    }
    let (mut most_open, start) = (0, Instant::now());
    let mut all_here = None;
    while all_here.is_none_or(|since: Instant| since.elapsed() < STAY) {
        assert!(start.elapsed() < Duration::from_secs(60), "only {made:?} of {size} could connect");
        most_open = most_open.max(rig.open_files());
        if made.load(SeqCst) >= size {
            all_here.get_or_insert_with(Instant::now);
        }
        sleep(Duration::from_millis(100)).await;
    }
    people.shutdown().await;
    let most = millrace::ingest::listen::sockets(1000) + 500;
    assert!(most_open < most, "{most_open} files and sockets are open");
    Crowd { connections: made.load(SeqCst), most_open }
}

/// One connection, until the other side ends it.
async fn drip(
    target: &Target,
    n: usize,
    beginning: &[u8],
    made: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = target.connect(n).await?;
    made.fetch_add(1, SeqCst);
    timeout(Duration::from_secs(5), stream.write_all(beginning)).await??;
    loop {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(b"x").await?;
    }
}
