//! The real spool on a real disk behind it.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use millrace::{
    config::{Answer, Listen},
    ingest::{
        authenticate::{Gate, token::Tokens},
        listen,
        receive::{Receiver, Source},
    },
    observe::metrics::Metrics,
    runtime::shutdown::{Phase, Shutdown},
    source::SourceName,
    spool::{self, Folder, Next, Spool, disk::RealDisk},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::{Raw, auth, post, within};

/// Longer than any test waits.
pub const LONG: Duration = Duration::from_secs(50);

/// A server with one source, whose spool the test reads.
pub struct Rig {
    pub spool: Spool,
    pub metrics: Metrics,
    pub address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    writing: thread::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub async fn start(answer: Answer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = spool::Config {
            directory: folder.path().to_owned(),
            size_limit: 1 << 20,
            reserve: 0,
            reserve_held: 0,
            ..spool::Config::default()
        };
        let (metrics, shutdown) = (Metrics::new(), Shutdown::new());
        let name = SourceName::new("leads").unwrap();
        let opened = Folder::open(Arc::new(RealDisk), &config).unwrap();
        let (writer, spool) = opened.spool(&name, None, &metrics, None).unwrap();
        let writing = thread::spawn(move || writer.run());
        let source = Source {
            name,
            gate: Gate { tokens: Some(Tokens::new(&auth(None))), ..Gate::default() },
            adobe: None,
            store: Arc::new(spool.clone()),
            answer,
        };
        let listen = Listen { request_timeout: 2 * LONG, ..Listen::default() };
        let receiver = Arc::new(Receiver::new([source], &listen, &metrics));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let until = shutdown.clone();
        let serving =
            tokio::spawn(listen::serve(None, listener, listen, receiver, metrics.clone(), until));
        Self { spool, metrics, address, shutdown, serving, writing, _folder: folder }
    }

    pub async fn end(self) {
        self.shutdown.advance(Phase::Closing);
        within(self.serving).await.unwrap();
        self.spool.close();
        self.writing.join().unwrap();
    }
}

#[tokio::test]
async fn what_was_answered_200_is_read_from_the_spool_byte_for_byte() {
    let rig = Rig::start(Answer::Stored).await;
    let mut sender = Raw::connect(rig.address).await;
    let first = rig.spool.durable_end();
    let body = |n: u64| format!("{{\"n\":{n}}}");
    for n in 0..20 {
        sender.send(post(&body(n), "content-type: application/json\r\n")).await;
        assert_eq!(sender.reply().await.status, 200);
        assert_eq!(rig.spool.durable_end(), first + n + 1);
    }
    sender.send(post(&"x".repeat(2 << 20), "")).await;
    let full = sender.reply().await;
    assert_eq!((full.status, full.text()), (503, "the spool is full"));

    let mut reader = rig.spool.reader(first);
    for n in 0..20 {
        let Next::Delivery(stored) = reader.next().unwrap() else { panic!("delivery {n}") };
        assert_eq!(stored.delivery.body, body(n));
        assert_eq!(
            stored.delivery.headers[1..],
            [("content-type".to_owned(), "application/json".to_owned())]
        );
    }
    rig.end().await;
}
