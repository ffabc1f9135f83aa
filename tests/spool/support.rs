//! What all of these tests need: a spool on a simulated disk, deliveries, and reading it all back.

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use millrace::{
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    observe::metrics::Metrics,
    source::SourceName,
    spool::{
        AppendError, Config, Damage, Folder, Next, OpenError, Reader, Spool, Writer,
        position::Position,
    },
};

use crate::simulated_disk::SimulatedDisk;

pub const SEGMENTS: &str = "/spool/leads/segments";

pub fn source() -> SourceName {
    SourceName::new("leads").unwrap()
}

/// Small segments, no limits, nothing removed.
pub fn config() -> Config {
    Config {
        directory: "/spool".into(),
        size_limit: u64::MAX,
        source_limits: Vec::new(),
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::MAX,
        keep_delivered_size: u64::MAX,
        segment_size: 1000,
    }
}

pub fn try_open(
    disk: &SimulatedDisk,
    config: &Config,
    low: Option<Position>,
) -> Result<(Writer, Spool), OpenError> {
    let folder = Folder::open(Arc::new(disk.clone()), config)?;
    folder.spool(&source(), None, &Metrics::new(), low.map(Into::into))
}

pub fn open(disk: &SimulatedDisk) -> (Writer, Spool) {
    try_open(disk, &config(), None).unwrap()
}

pub fn delivery(body: impl Into<Bytes>) -> Authenticated {
    let delivery = Delivery {
        source: source(),
        received_at: 1_770_000_000_000,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.into(),
    };
    Authenticated::new(delivery, Proof::by_operator())
}

/// The `n`th of a series of distinct bodies, `length` bytes long.
pub fn body(n: u64, length: usize) -> Bytes {
    let mut body = format!("{{\"n\":{n}}}").into_bytes();
    body.resize(length.max(body.len()), b' ');
    body.into()
}

pub fn append(writer: &mut Writer, body: impl Into<Bytes>) -> Result<u64, AppendError> {
    writer.append_group(&[delivery(body)]).map(|sequences| sequences[0])
}

/// Appends `body(n, length)` for each `n` and expects the numbers to be `n` too.
pub fn append_series(writer: &mut Writer, numbers: std::ops::Range<u64>, length: usize) {
    for n in numbers {
        assert_eq!(append(writer, body(n, length)).unwrap(), n);
    }
}

/// Reads until caught up: the sequences and bodies, and the damage on the way. Checks that together
/// they cover every sequence exactly once.
pub fn read_all(reader: &mut Reader) -> (Vec<(u64, Bytes)>, Vec<Damage>) {
    let (mut deliveries, mut damages) = (Vec::new(), Vec::new());
    let mut expected = None;
    loop {
        match reader.next().unwrap() {
            Next::Delivery(stored) => {
                assert_eq!(expected.unwrap_or(stored.sequence), stored.sequence);
                expected = Some(stored.sequence + 1);
                assert_eq!(stored.delivery.source, source());
                deliveries.push((stored.sequence, stored.delivery.body));
            }
            Next::Damage(damage) => {
                assert_eq!(expected.unwrap_or(damage.first_sequence), damage.first_sequence);
                expected = Some(damage.next_sequence);
                damages.push(damage);
            }
            Next::CaughtUp => return (deliveries, damages),
        }
        assert_eq!(Some(reader.next_sequence()), expected);
    }
}

/// Reads everything and expects the series `numbers` and no damage.
pub fn assert_reads_series(spool: &Spool, numbers: std::ops::Range<u64>, length: usize) {
    let (deliveries, damages) = read_all(&mut spool.reader(numbers.start));
    assert!(damages.is_empty(), "{damages:?}");
    let expected: Vec<_> = numbers.map(|n| (n, body(n, length))).collect();
    assert_eq!(deliveries, expected);
}

pub fn segment(generation: u64) -> PathBuf {
    Path::new(SEGMENTS).join(format!("{generation:020}.segment"))
}

/// The generations on the disk, in order.
pub fn segments(disk: &SimulatedDisk) -> Vec<u64> {
    use millrace::spool::disk::Disk;
    let mut names = disk.list(Path::new(SEGMENTS)).unwrap();
    names.sort();
    names.iter().map(|name| name.strip_suffix(".segment").unwrap().parse().unwrap()).collect()
}

/// Polls a fresh append once, which puts it into the queue (if there is room), and no more.
pub async fn enqueue(append: &mut Pin<Box<impl Future>>) {
    assert!(is_pending(append).await);
}

/// Polls once.
pub async fn is_pending(append: &mut Pin<Box<impl Future>>) -> bool {
    poll_fn(|context| Poll::Ready(append.as_mut().poll(context).is_pending())).await
}

/// A runtime for the asynchronous half; the writer's thread is its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
