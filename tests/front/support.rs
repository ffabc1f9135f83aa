//! A front with a store that can be held back, and clients that do as they are told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use millrace::{
    config::{Answer, HeaderScheme, Listen, Secret, TokenAuth},
    delivery::{Authenticated, Delivery},
    ingest::{
        authenticate::{Gate, oauth::token_endpoint::TokenEndpoint, token::Tokens},
        listen::{self, tls::Tls},
        receive::{Append, Receiver, Settles, Source, Store},
    },
    observe::metrics::Metrics,
    runtime::{reload::Reloader, shutdown::Shutdown},
    source::SourceName,
    spool::AppendError,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

pub const TOKEN: &str = "hunter2-of-leads";
pub const SECOND_TOKEN: &str = "00123";

/// Longer than anything here takes; a test that reaches it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub type Refusal = Arc<dyn Fn() -> AppendError + Send + Sync>;

/// Stores in memory, once its gate is open.
#[derive(Clone)]
pub struct Held {
    pub stored: Arc<Mutex<Vec<Delivery>>>,
    /// Appends that have begun.
    pub begun: Arc<watch::Sender<usize>>,
    pub open: Arc<watch::Sender<bool>>,
    pub refusal: Arc<Mutex<Option<Refusal>>>,
}

impl Held {
    fn new() -> Self {
        Self {
            stored: Arc::default(),
            begun: Arc::new(watch::Sender::new(0)),
            open: Arc::new(watch::Sender::new(true)),
            refusal: Arc::default(),
        }
    }

    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn release(&self) {
        self.open.send_replace(true);
    }

    pub fn refuse_with(&self, refusal: impl Fn() -> AppendError + Send + Sync + 'static) {
        *self.refusal.lock().unwrap() = Some(Arc::new(refusal));
    }

    pub async fn has_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        within(begun.wait_for(|n| *n >= count)).await.unwrap();
    }

    pub fn stored(&self) -> Vec<Delivery> {
        self.stored.lock().unwrap().clone()
    }

    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.stored().into_iter().map(|delivery| delivery.body.to_vec()).collect()
    }
}

impl Store for Held {
    fn append(&self, delivery: Authenticated) -> Append<'_> {
        Box::pin(async move {
            self.begun.send_modify(|n| *n += 1);
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            if let Some(refusal) = self.refusal.lock().unwrap().as_ref() {
                return Err(refusal());
            }
            let mut stored = self.stored.lock().unwrap();
            stored.push(delivery.into_delivery());
            Ok(stored.len() as u64)
        })
    }

    fn is_settled(&self, _: u64, _: Duration) -> Settles<'_> {
        Box::pin(async { false })
    }
}

pub fn auth(query_parameter: Option<&str>) -> TokenAuth {
    TokenAuth {
        tokens: [TOKEN, SECOND_TOKEN].map(|token| Secret::new(token).unwrap()).into(),
        header_scheme: HeaderScheme::Bearer,
        query_parameter: query_parameter.map(str::to_owned),
    }
}

pub struct Front {
    pub address: SocketAddr,
    pub store: Held,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub served: JoinHandle<()>,
    /// What a load balancer is told.
    pub ready: Arc<AtomicBool>,
}

impl Front {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One source, `leads`, that takes its tokens as `Bearer` or as the parameter `token`.
    pub async fn with(change: impl FnOnce(&mut Listen)) -> Self {
        Self::guarded(Gate::default(), change).await
    }

    /// As [`Front::with`], with more ways in.
    pub async fn guarded(gate: Gate, change: impl FnOnce(&mut Listen)) -> Self {
        let source = |store, _: &Metrics| Source {
            name: SourceName::new("leads").unwrap(),
            gate: Gate { tokens: Some(Tokens::new(&auth(Some("token")))), ..gate },
            adobe: None,
            store,
            answer: Answer::Stored,
        };
        Self::of(change, source).await
    }

    /// One source, `leads`, with this gate, and perhaps an endpoint that gives out tokens.
    pub async fn behind(
        gate: Gate,
        endpoint: Option<TokenEndpoint>,
        change: impl FnOnce(&mut Listen),
    ) -> Self {
        let source = |store, _: &Metrics| {
            let name = SourceName::new("leads").unwrap();
            Source { name, gate, adobe: None, store, answer: Answer::Stored }
        };
        Self::giving_tokens(endpoint, change, source).await
    }

    /// One source of the test's own making. What `listen.tls` names is looked at all the time.
    pub async fn of(
        change: impl FnOnce(&mut Listen),
        source: impl FnOnce(Arc<dyn Store>, &Metrics) -> Source,
    ) -> Self {
        Self::giving_tokens(None, change, source).await
    }

    /// Two sources, `leads` and `other`, with the same tokens and the same store.
    pub async fn two(change: impl FnOnce(&mut Listen)) -> Self {
        let named = |name, store: Arc<dyn Store>| {
            let gate = Gate { tokens: Some(Tokens::new(&auth(None))), ..Gate::default() };
            Source {
                name: SourceName::new(name).unwrap(),
                gate,
                adobe: None,
                store,
                answer: Answer::Stored,
            }
        };
        let sources = |store: Arc<dyn Store>, _: &Metrics| {
            vec![named("leads", store.clone()), named("other", store)]
        };
        Self::with_sources(None, change, sources).await
    }

    async fn giving_tokens(
        endpoint: Option<TokenEndpoint>,
        change: impl FnOnce(&mut Listen),
        source: impl FnOnce(Arc<dyn Store>, &Metrics) -> Source,
    ) -> Self {
        let sources = |store, metrics: &Metrics| vec![source(store, metrics)];
        Self::with_sources(endpoint, change, sources).await
    }

    async fn with_sources(
        endpoint: Option<TokenEndpoint>,
        change: impl FnOnce(&mut Listen),
        sources: impl FnOnce(Arc<dyn Store>, &Metrics) -> Vec<Source>,
    ) -> Self {
        let mut config = Listen::default();
        change(&mut config);
        let (store, metrics, shutdown) = (Held::new(), Metrics::new(), Shutdown::new());
        let tls = config.tls.as_ref().map(|files| {
            let (tls, renewal) = Tls::open(files, &metrics).unwrap();
            let reloader = Reloader::new(vec![Box::new(renewal)], &metrics);
            reloader.spawn(Duration::from_millis(20), shutdown.clone()).unwrap();
            tls
        });
        let sources = sources(Arc::new(store.clone()), &metrics);
        let receiver = Receiver::new(sources, &config, &metrics).with_token_endpoint(endpoint);
        let ready = Arc::new(AtomicBool::new(true));
        let told = ready.clone();
        let receiver = Arc::new(receiver.telling(move || told.load(Ordering::SeqCst)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (counted, until) = (metrics.clone(), shutdown.clone());
        let serving = listen::serve(tls, listener, config, receiver, counted, until);
        Self { address, store, metrics, shutdown, served: tokio::spawn(serving), ready }
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Reply {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.reply().await
    }

    pub async fn deliver(&self, body: &str) -> Reply {
        self.ask(&post(body, "")).await
    }

    pub fn deliveries(&self, source: &str, outcome: &str) -> u64 {
        self.metrics.deliveries.with_label_values(&[source, outcome]).get()
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.metrics.connections_refused.with_label_values(&[reason]).get()
    }
}

/// A delivery to `leads` with more header lines (`name: value\r\n`).
pub fn post(body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/leads HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {TOKEN}\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Waits until `condition` holds.
pub async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// An answer as it came over a raw socket.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A socket.
pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next answer; panics when the connection ends first.
    pub async fn reply(&mut self) -> Reply {
        self.reply_to("POST").await
    }

    pub async fn reply_to(&mut self, method: &str) -> Reply {
        let head_end = loop {
            if let Some(at) = self.read.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await > 0, "closed without an answer: {:?}", self.read);
        };
        let head = String::from_utf8(self.read.drain(..head_end).collect()).unwrap();
        let mut reply = Reply { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |l| l.parse().unwrap());
        if method != "HEAD" {
            while self.read.len() < length {
                assert!(self.more().await > 0, "closed in the middle of an answer");
            }
            reply.body = self.read.drain(..length).collect();
        }
        reply
    }

    async fn more(&mut self) -> usize {
        within(self.stream.read_buf(&mut self.read)).await.unwrap_or(0)
    }

    /// Everything until the other side closes; a reset is an end, too.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }

    pub async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}

pub type Http2 = hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>>;

/// An HTTP/2 connection with prior knowledge; the handle ends with it.
pub async fn http2(address: SocketAddr) -> (Http2, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (client, tokio::spawn(connection))
}

pub fn http2_post(
    address: SocketAddr,
    token: &str,
    body: impl Into<bytes::Bytes>,
) -> http::Request<Full<bytes::Bytes>> {
    http::Request::post(format!("http://{address}/v1/leads"))
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(body.into()))
        .unwrap()
}

pub async fn status_and_text(response: http::Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
