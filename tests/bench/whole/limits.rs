//! What nothing built on them can be faster than: the disk, hyper, librdkafka.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode,
};

use crate::{
    backlog::OwnedRecord,
    machine,
    support::process::{self, Process},
};

/// No more than this is written at a time.
const MOST: usize = 4 << 30;

/// Bytes a second of a writer that syncs after each write to a file that grows.
pub fn synced_writes(folder: &Path, size: usize, time: Duration) -> f64 {
    let began = Instant::now();
    let mut count = 0;
    write_and_sync(folder, size, || {
        let goes_on = began.elapsed() < time && count * size < MOST;
        count += usize::from(goes_on);
        goes_on
    });
    (count * size) as f64 / began.elapsed().as_secs_f64()
}

/// The p99 of such writes on an open schedule, each from when it was due: a disk that stalls makes all of
/// those late that were due meanwhile, as it does with answers.
pub fn p99_of_synced_writes(folder: &Path, size: usize, rate: f64, time: Duration) -> Duration {
    let began = Instant::now();
    let mut due = began;
    let mut times = Vec::new();
    write_and_sync(folder, size, || {
        if due > began {
            times.push(due.elapsed());
        }
        due += Duration::from_secs_f64(1.0 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        began.elapsed() < time
    });
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Does `work` while each core has a thread of ours that never rests.
pub fn beside_busy_cores<T>(work: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let restless = || {
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    };
    thread::scope(|scope| {
        // Also if the work panics.
        let _over = Over(&over);
        (0..machine::cores()).for_each(|_| drop(scope.spawn(restless)));
        work()
    })
}

/// Writes and syncs for as long as `next` says so.
fn write_and_sync(folder: &Path, size: usize, mut next: impl FnMut() -> bool) {
    let path = folder.join("synced-writes");
    let mut file = File::create(&path).unwrap();
    let bytes = vec![b'x'; size];
    while next() {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    std::fs::remove_file(path).unwrap();
}

/// The argument by which this program becomes the bare endpoint.
pub const BARE_ENDPOINT: &str = "--bare-endpoint";

/// A process of its own that reads bodies with hyper, stores nothing and answers 200.
pub struct BareEndpoint {
    pub process: Process,
    pub url: String,
}

impl BareEndpoint {
    pub fn start() -> Self {
        let mut command = process::tied(std::env::current_exe().unwrap());
        command.arg(BARE_ENDPOINT).arg("--bench").stdout(Stdio::piped());
        let mut process = process::spawn(command);
        let mut line = String::new();
        let stdout = process.child().stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address: SocketAddr = line.trim().parse().unwrap();
        Self { process, url: format!("http://{address}/v1/leads") }
    }
}

/// What the process does until it is killed.
#[tokio::main]
pub async fn bare_endpoint() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let answer = service_fn(|mut request: Request<Incoming>| async move {
                while let Some(frame) = request.body_mut().frame().await {
                    std::hint::black_box(frame?);
                }
                Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

/// The client library in a loop that does nothing else, told what the service tells it but for the number
/// of requests under way.
pub struct BareProducer(BaseProducer);

impl BareProducer {
    /// As librdkafka does by itself: five requests at a time.
    pub fn new(kafka: &str) -> Self {
        Self::with_requests(kafka, 5)
    }

    pub fn with_requests(kafka: &str, at_a_time: u32) -> Self {
        let mut config = ClientConfig::new();
        for (name, value) in [
            ("bootstrap.servers", kafka),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "0"),
            ("partitioner", "murmur2_random"),
            ("linger.ms", "5"),
            ("batch.size", "1000000"),
            ("compression.codec", "none"),
            ("queue.buffering.max.messages", "10000000"),
            ("queue.buffering.max.kbytes", "65536"),
        ] {
            config.set(name, value);
        }
        config.set("max.in.flight.requests.per.connection", at_a_time.to_string());
        Self(config.create().unwrap())
    }

    /// Sends `count` records, `records` again and again, until all are acknowledged.
    pub fn send(&self, records: &[OwnedRecord], count: usize) {
        for record in records.iter().cycle().take(count) {
            loop {
                let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
                for (key, value) in &record.headers {
                    headers = headers.insert(Header { key, value: Some(value) });
                }
                let mut message =
                    BaseRecord::to(&record.topic).payload(&record.value).headers(headers);
                message.key = record.key.as_ref();
                match self.0.send(message) {
                    Ok(()) => break,
                    Err((error, _)) => {
                        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
                        self.0.poll(Duration::from_millis(1));
                    }
                }
            }
            self.0.poll(Duration::ZERO);
        }
        self.0.flush(Duration::from_secs(60)).unwrap();
    }
}
