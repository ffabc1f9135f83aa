//! What one party takes of what several share, while a sender of each kind does its work beside it: with a
//! token as Marketo's, and with a signature as Adobe I/O's.
//!
//! Each case of [`CASES`] is a row of `src/SHARES.md`. A quiet time and a hostile one are measured right
//! after each other. A machine that others use as well disturbs either, so a case has three tries: a
//! resource that somebody really holds is held in all of them. A refusal fails it at once.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWriteExt, task::JoinSet, time::sleep};

use crate::{
    rig::Rig,
    signer,
    support::bridge::TOKEN,
    target::{Stream, Target, batch, status},
};

/// Of the source that is taken over.
pub const OTHER_TOKEN: &str = "a-token-that-somebody-stole";

pub const CLIENT_ID: &str = "0123456789abcdef0123456789abcdef";

/// Limit of connections in these cases.
pub const CONNECTIONS: usize = 200;

/// Deliveries of each kind that are measured at a time.
const DELIVERIES: usize = 100;

const PAUSE: Duration = Duration::from_millis(3);

const TRIES: usize = 3;

/// Begins an attack, which goes on until the tasks are ended.
type Attack = for<'a> fn(&'a Target, &'a mut JoinSet<()>) -> Begun<'a>;
type Begun<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A new row of the table gets its case here.
pub const CASES: &[(&str, Attack)] = &[
    ("idle connections with a stolen token", |target, tasks| {
        Box::pin(idle_connections(target, tasks, stolen("content-length: 2\r\n") + "{}"))
    }),
    ("idle connections with bodies for other customers of Adobe", |target, tasks| {
        Box::pin(idle_connections(target, tasks, signed(&adobe_event("somebody-else"))))
    }),
    ("heads that do not end", |target, tasks| {
        Box::pin(hold(target, tasks, 2 * CONNECTIONS, "POST /v1/leads HTTP/1.1\r\nhost: h".into()))
    }),
    ("bodies that were announced with a stolen token", |target, tasks| {
        Box::pin(hold(target, tasks, 100, stolen("content-length: 16777216\r\n") + "{"))
    }),
    ("bodies that stop half-way with a stolen token", |target, tasks| {
        let half = stolen("content-length: 1048576\r\n") + &" ".repeat(1 << 19);
        Box::pin(hold(target, tasks, 100, half))
    }),
    ("bodies that stop half-way and would be signed", |target, tasks| {
        let half = head_signed("AAAA", 1 << 20) + &" ".repeat(1 << 19);
        Box::pin(hold(target, tasks, 80, half))
    }),
    ("bodies that come quickly and would be signed wrongly", |target, tasks| {
        Box::pin(pour(target, tasks, 80, head_signed("AAAA", 15 << 20)))
    }),
    ("requests of HTTP/2 that do not end", |target, tasks| Box::pin(streams(target, tasks))),
];

/// The 99th percentiles of the quiet and of the hostile time.
#[derive(Clone, Copy)]
struct Measured {
    quiet: Duration,
    hostile: Duration,
}

impl Measured {
    fn is_fine(&self) -> bool {
        self.hostile <= 3 * self.quiet + Duration::from_millis(20)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.1?} {:>9.1?}", self.quiet, self.hostile)
    }
}

/// Runs all cases, prints the table, and gives back what was not within its limit.
pub async fn run(rig: &Rig) -> Vec<&'static str> {
    let mut senders = Senders::new(rig.target());
    senders.measure("before").await;
    println!("p99 of a sender with a token: quiet, hostile | with a signature: quiet, hostile");
    let mut late = Vec::new();
    for (name, attack) in CASES {
        let mut tries = Vec::new();
        while tries.len() < TRIES && !tries.last().is_some_and(is_fine) {
            let quiet = senders.measure("quiet").await;
            let (target, mut tasks) = (rig.target(), JoinSet::new());
            attack(&target, &mut tasks).await;
            let hostile = senders.measure(name).await;
            tasks.shutdown().await;
            let measured = |kind: usize| Measured { quiet: quiet[kind], hostile: hostile[kind] };
            tries.push([measured(0), measured(1)]);
            // The places and the memory of the attack come free before the next quiet time.
            sleep(Duration::from_millis(300)).await;
        }
        for [token, signature] in &tries {
            println!("{token} | {signature}  {name}");
        }
        if !tries.last().is_some_and(is_fine) {
            late.push(*name);
        }
    }
    late
}

fn is_fine(of: &[Measured; 2]) -> bool {
    of.iter().all(Measured::is_fine)
}

/// A sender of each kind.
struct Senders {
    target: Target,
    signed: String,
    kept: [Option<Box<dyn Stream>>; 2],
    sent: usize,
}

impl Senders {
    fn new(target: Target) -> Self {
        Self { target, signed: signed(&adobe_event(CLIENT_ID)), kept: [None, None], sent: 0 }
    }

    /// The 99th percentile of either; every delivery has to be taken.
    async fn measure(&mut self, phase: &str) -> [Duration; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for n in 0..DELIVERIES {
            for (kind, times) in times.iter_mut().enumerate() {
                // Every fourth on a connection of its own.
                if n % 4 == 0 {
                    self.kept[kind] = None;
                }
                let start = Instant::now();
                let answer = self.deliver(kind).await;
                times.push(start.elapsed());
                assert_eq!(answer.map_err(|e| e.to_string()), Ok(200), "{phase}, kind {kind}, {n}");
                sleep(PAUSE).await;
            }
        }
        times.map(|mut times| {
            times.sort_unstable();
            times[(times.len() - 1) * 99 / 100]
        })
    }

    async fn deliver(&mut self, kind: usize) -> io::Result<u16> {
        self.sent += 1;
        let request = if kind == 0 {
            let body = batch(&format!("share-{}", self.sent));
            let head =
                format!("POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}");
            format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        } else {
            self.signed.clone()
        };
        // A connection that was idle may have ended: as any client, this one opens another then.
        if let Some(mut stream) = self.kept[kind].take()
            && let Ok(status) = exchange(&mut stream, &request).await
        {
            self.kept[kind] = Some(stream);
            return Ok(status);
        }
        let mut stream = self.target.open(0).await?;
        let status = exchange(&mut stream, &request).await?;
        self.kept[kind] = Some(stream);
        Ok(status)
    }
}

async fn exchange(stream: &mut Box<dyn Stream>, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    status(stream).await
}

/// A delivery with the stolen token, up to what comes behind its framing.
fn stolen(framing: &str) -> String {
    format!(
        "POST /v1/other HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {OTHER_TOKEN}\r\n{framing}\r\n"
    )
}

fn adobe_event(recipient: &str) -> String {
    format!(
        r#"{{"eventid":"e","specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.clicklink","source":"urn:marketo_activity_stream","id":"signed","time":"2026-03-02T10:00:01Z","data":{{"munchkinId":"999-XYZ-000","leadId":"1","activityTypeId":3}},"recipientclientid":"{recipient}"}}"#
    )
}

/// A whole delivery as Adobe I/O's.
fn signed(body: &str) -> String {
    head_signed(&signer::FIRST.sign(body.as_bytes()), body.len()) + body
}

fn head_signed(signature: &str, length: usize) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: here\r\nx-adobe-digital-signature-1: {signature}\r\nx-adobe-public-key1-path: /prod/keys/pub-key-a.pem\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// When connection `n` that was ended comes again: not all at once, so that it is what they hold that is
/// measured, and not how quickly they can be counted.
fn again(n: usize) -> Duration {
    Duration::from_millis(2000 + (n as u64 * 37) % 2000)
}

/// Connections with an answered request each, which then stay; one that is ended is opened again.
async fn idle_connections(target: &Target, tasks: &mut JoinSet<()>, request: String) {
    let (begun, mut all) = tokio::sync::mpsc::channel(2 * CONNECTIONS);
    for n in 0..2 * CONNECTIONS {
        let (target, request, begun) = (target.clone(), request.clone(), begun.clone());
        tasks.spawn(async move {
            loop {
                if let Ok(mut stream) = target.open(n).await
                    && exchange(&mut stream, &request).await.is_ok()
                {
                    let _ = begun.try_send(());
                    // Until the other side ends it.
                    let _ = status(&mut stream).await;
                }
                let _ = begun.try_send(());
                sleep(again(n)).await;
            }
        });
    }
    for _ in 0..2 * CONNECTIONS {
        let _ = all.recv().await;
    }
}

/// Connections that say so much and then nothing, again as soon as they are ended.
async fn hold(target: &Target, tasks: &mut JoinSet<()>, count: usize, beginning: String) {
    let (begun, mut all) = tokio::sync::mpsc::channel(count);
    for n in 0..count {
        let (target, beginning, begun) = (target.clone(), beginning.clone(), begun.clone());
        tasks.spawn(async move {
            loop {
                if let Ok(mut stream) = target.open(n).await {
                    // What is not taken yet is a hold as well.
                    let writes = stream.write_all(beginning.as_bytes());
                    let _ = tokio::time::timeout(Duration::from_millis(500), writes).await;
                    let _ = begun.try_send(());
                    let _ = status(&mut stream).await;
                }
                let _ = begun.try_send(());
                sleep(again(n)).await;
            }
        });
    }
    for _ in 0..count {
        let _ = all.recv().await;
    }
}

/// Connections with bodies of 15 MiB that come at about a MB a second, again as soon as they are ended.
async fn pour(target: &Target, tasks: &mut JoinSet<()>, count: usize, head: String) {
    for n in 0..count {
        let (target, head) = (target.clone(), head.clone());
        tasks.spawn(async move {
            let piece = [b' '; 60_000];
            loop {
                if let Ok(mut stream) = target.open(n).await {
                    let mut written = stream.write_all(head.as_bytes()).await;
                    while written.is_ok() {
                        sleep(Duration::from_millis(50)).await;
                        written = stream.write_all(&piece).await;
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    // By then they hold what strangers can have.
    sleep(Duration::from_secs(1)).await;
}

/// As many requests on a few connections as those take, whose bodies never come.
async fn streams(target: &Target, tasks: &mut JoinSet<()>) {
    for n in 0..20 {
        let stream = target.open(n).await.expect("there is room for a connection");
        let client =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut client, connection) = client.await.expect("HTTP/2 is spoken");
        tasks.spawn(async move {
            let _ = connection.await;
        });
        for _ in 0..64 {
            let request = http::Request::post("http://here/v1/other")
                .header("authorization", format!("Bearer {OTHER_TOKEN}"))
                .body(Never)
                .expect("a request");
            let answer = client.send_request(request);
            tasks.spawn(async move {
                let _ = answer.await;
            });
        }
        // The handle keeps the connection.
        tasks.spawn(async move {
            let _client = client;
            std::future::pending().await
        });
    }
}

/// A body of which nothing ever comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Pending
    }
}
