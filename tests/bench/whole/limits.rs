//! What nothing built on them can be faster than: the disk, hyper, librdkafka.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
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
    support::process::{self, Process},
};

/// A writer that syncs after each write to a file that grows.
pub struct Synced {
    /// Bytes a second.
    pub rate: f64,
    pub p99: Duration,
}

/// No more than this is written at a time.
const MOST: usize = 4 << 30;

pub fn synced_writes(folder: &Path, size: usize, time: Duration) -> Synced {
    let path = folder.join("synced-writes");
    let mut file = File::create(&path).unwrap();
    let bytes = vec![b'x'; size];
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time && times.len() * size < MOST {
        let before = Instant::now();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        times.push(before.elapsed());
    }
    let rate = (times.len() * size) as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    times.sort_unstable();
    Synced { rate, p99: times[times.len() * 99 / 100] }
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

/// The client library in a loop that does nothing else, told what the service tells it.
pub struct BareProducer(BaseProducer);

impl BareProducer {
    pub fn new(kafka: &str) -> Self {
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
                let message = BaseRecord::to(&record.topic)
                    .key(&record.key)
                    .payload(&record.value)
                    .headers(headers);
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
