//! The real spool on a real disk behind it.

use std::{sync::Arc, time::Duration};

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
    spool::{self, Folder, Next, disk::RealDisk},
};
use tokio::net::TcpListener;

use crate::support::{Raw, auth, post, within};

#[tokio::test]
async fn what_was_answered_200_is_read_from_the_spool_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let config = spool::Config {
        directory: directory.path().to_owned(),
        size_limit: 1 << 20,
        source_limits: Vec::new(),
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::ZERO,
        keep_delivered_size: 0,
        segment_size: spool::SEGMENT_SIZE,
    };
    let (metrics, shutdown) = (Metrics::new(), Shutdown::new());
    let name = SourceName::new("leads").unwrap();
    let folder = Folder::open(Arc::new(RealDisk), &config).unwrap();
    let (writer, spool) = folder.spool(&name, None, &metrics, None).unwrap();
    let writing = std::thread::spawn(move || writer.run());
    let source = Source {
        name,
        gate: Gate { tokens: Some(Tokens::new(&auth(None))), ..Gate::default() },
        adobe: None,
        store: Arc::new(spool.clone()),
        answer: Answer::Stored,
    };
    let receiver = Arc::new(Receiver::new([source], &Listen::default(), &metrics));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        listen::serve(None, listener, Listen::default(), receiver, metrics, shutdown.clone());
    let serving = tokio::spawn(serving);

    let mut sender = Raw::connect(address).await;
    let first = spool.durable_end();
    let body = |n: u64| format!("{{\"n\":{n}}}");
    for n in 0..20 {
        sender.send(post(&body(n), "content-type: application/json\r\n")).await;
        assert_eq!(sender.reply().await.status, 200);
        assert_eq!(spool.durable_end(), first + n + 1);
    }
    sender.send(post(&"x".repeat(2 << 20), "")).await;
    let full = sender.reply().await;
    assert_eq!((full.status, full.text()), (503, "the spool is full"));

    shutdown.advance(Phase::Closing);
    within(serving).await.unwrap();
    let mut reader = spool.reader(first);
    for n in 0..20 {
        let Next::Delivery(stored) = reader.next().unwrap() else { panic!("delivery {n}") };
        assert_eq!(stored.delivery.body, body(n));
        assert_eq!(
            stored.delivery.headers[1..],
            [("content-type".to_owned(), "application/json".to_owned())]
        );
    }
    spool.close();
    writing.join().unwrap();
}
