//! Whatever a connection brings: heads, bodies and chunks as the listener reads them, up to the spool's door. The front

//! half is on a real socket, with a store in memory, in one thread.

use std::{
    cell::Cell,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use millrace::{
    config::{Answer, HeaderScheme, Listen, Secret, TokenAuth},
    delivery::{Authenticated, Delivery},
    ingest::{
        authenticate::{
            Gate, adobe_signature::AdobeSignature, public_keys::PublicKeys, token::Tokens,
            validation::Validation,
        },
        listen,
        receive::{AdobeIo, Append, Receiver, Settles, Source, Store},
    },
    observe::metrics::Metrics,
    runtime::shutdown::Shutdown,
    source::SourceName,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
    time::timeout,
};

const TOKEN: &str = "hunter2-of-leads";

/// Longer than any limit of the listener's.
const PATIENCE: Duration = Duration::from_secs(20);

/// The statuses that a sender may see.
const STATUSES: [&str; 6] = ["100", "200", "401", "404", "405", "503"];

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Delivery>>>);

impl Store for Memory {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(async move {
            let mut stored = self.0.lock().expect("one thread");
            stored.push(delivery.into_delivery());
            Ok(stored.len() as u64)
        })
    }

    fn is_settled(&self, _: u64, _: Duration) -> Settles<'_> {
        Box::pin(async { false })
    }
}

thread_local! {
    static FRONT: Front = Front::start();
}

pub fn run(bytes: &[u8]) {
    FRONT.with(|front| front.is_sent(bytes));
}

struct Front {
    runtime: Runtime,
    address: SocketAddr,
    store: Memory,
    /// Each connection has a port of its own, whatever state the last one's is in.
    connections: Cell<u64>,
}

impl Front {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("there are file descriptors");
        let (store, metrics) = (Memory::default(), Metrics::new());
        let networks = ["127.0.0.0/8", "10.0.0.0/8"].map(|it| it.parse().expect("a network"));
        let config = Listen {
            trusted_proxies: networks.into(),
            body_limit: 64 * 1024,
            body_limit_inflated: 256 * 1024,
            body_budget: 1 << 20,
            // What is left open after an answer is not waited for.
            header_timeout: Duration::from_millis(200),
            idle_timeout: Duration::from_millis(200),
            request_timeout: Duration::from_millis(500),
            ..Listen::default()
        };
        let receiver = Receiver::new(sources(&store, &metrics), &config, &metrics);
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let shutdown = Shutdown::new();
        runtime.spawn(listen::serve(None, listener, config, Arc::new(receiver), metrics, shutdown));
        Self { runtime, address, store, connections: Cell::new(0) }
    }

    /// Sends this and nothing more, and reads what is said to it.
    fn is_sent(&self, bytes: &[u8]) {
        let number = self.connections.replace(self.connections.get() + 1);
        let conversation = async { timeout(PATIENCE, self.converse(number, bytes)).await };
        let answered = self.runtime.block_on(conversation);
        let answered = answered.expect("each connection ends");
        let stored = std::mem::take(&mut *self.store.0.lock().expect("one thread"));
        if bytes.starts_with(b"PRI ") {
            return; // HTTP/2, where heads are compressed
        }
        if let Some(first) = answered.split(|byte| *byte == b'\n').next()
            && !first.is_empty()
        {
            let first = String::from_utf8_lossy(first);
            let status = first.strip_prefix("HTTP/1.1 ").or(first.strip_prefix("HTTP/1.0 "));
            let status = status.and_then(|rest| rest.split(' ').next());
            assert!(status.is_some_and(|status| STATUSES.contains(&status)), "{first:?}");
        }
        for delivery in stored {
            assert!(has(bytes, TOKEN.as_bytes()), "stored without a token: {delivery:?}");
            let is_coded = has(&bytes.to_ascii_lowercase(), b"content-encoding");
            assert!(is_coded || is_within(bytes, &delivery.body), "{delivery:?}");
            for (name, value) in &delivery.headers {
                assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
            }
        }
    }

    async fn converse(&self, number: u64, bytes: &[u8]) -> Vec<u8> {
        let socket = TcpSocket::new_v4().expect("there are file descriptors");
        // Another address each time, so that ports do not run out.
        let [.., high, low] = number.to_be_bytes();
        let from = SocketAddr::from(([127, 1, high, low.max(1)], 0));
        socket.bind(from).expect("it is an address of this machine");
        let mut stream = socket.connect(self.address).await.expect("it listens");
        let mut answer = Vec::new();
        let (mut reading, mut writing) = stream.split();
        // A listener that has said its last word need not read the rest.
        let write = async {
            let _ = writing.write_all(bytes).await;
            let _ = writing.shutdown().await;
        };
        let read = async {
            let _ = reading.read_to_end(&mut answer).await;
        };
        tokio::join!(write, read);
        answer
    }
}

fn sources(store: &Memory, metrics: &Metrics) -> [Source; 2] {
    let auth = TokenAuth {
        tokens: vec![Secret::new(TOKEN).expect("it is one")],
        header_scheme: HeaderScheme::Bearer,
        query_parameter: None,
    };
    let name = |name| SourceName::new(name).expect("it is a name");
    let leads = Source {
        name: name("leads"),
        gate: Gate { tokens: Some(Tokens::new(&auth)), ..Gate::default() },
        adobe: None,
        store: Arc::new(store.clone()),
        answer: Answer::Stored,
    };
    let keys = PublicKeys::in_folder(PathBuf::from("/nonexistent"), metrics);
    let validation = Validation::new(name("adobe"), None, metrics);
    let adobe = Source {
        name: name("adobe"),
        gate: Gate { signature: Some(AdobeSignature::new(keys)), ..Gate::default() },
        adobe: Some(AdobeIo::new(["client-id".to_owned()], validation)),
        store: Arc::new(store.clone()),
        answer: Answer::Stored,
    };
    [leads, adobe]
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|it| it == what)
}

/// Whether the body is there, whatever stands between its chunks.
fn is_within(bytes: &[u8], body: &[u8]) -> bool {
    let mut bytes = bytes.iter();
    body.iter().all(|byte| bytes.any(|it| it == byte))
}
