//! The consumer that counts what is on the topics: a client of the broker like any other, which
//! reads every topic from its beginning and asks the service nothing.
//!
//! It reads along from the start, for the table of topics, and because the in-memory broker keeps
//! only the last 5 MB of a partition.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    config,
    kafka::{ReadError, ReadRecord, Reader, Select},
    runtime::readable,
};

use super::books::Books;

pub struct Consumer {
    /// Set when nothing more will be written to the topics.
    finish: Arc<AtomicBool>,
    finished: mpsc::Receiver<Result<(), ReadError>>,
    /// Not joined: it may be waiting for a broker that does not answer.
    _thread: JoinHandle<()>,
}

/// Records taken by one read.
const MAX_RECORDS: usize = 1000;
/// Longest wait for the first of them.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

impl Consumer {
    pub fn start(kafka: config::Kafka, prefix: &str, books: Arc<Books>) -> Result<Self, String> {
        let mut reader = Reader::open(&kafka, Select::Prefix(prefix.to_owned()))
            .map_err(|error| error.to_string())?;
        let finish = Arc::new(AtomicBool::new(false));
        let (done, finished) = mpsc::channel();
        let asked_to_finish = Arc::clone(&finish);
        let run = move || {
            let result = read(&mut reader, &books, &asked_to_finish);
            let _ = done.send(result); // Fails if `finish` gave up waiting.
        };
        let thread = thread::Builder::new().name("demo-consumer".into()).spawn(run);
        let thread = thread.map_err(|error| error.to_string())?;
        Ok(Self { finish, finished, _thread: thread })
    }

    /// Lets the thread read to the end of all topics. An error if that takes longer than `within`, or if reading
    /// failed.
    pub fn finish(self, within: Duration) -> Result<(), String> {
        self.finish.store(true, Ordering::Release);
        match self.finished.recv_timeout(within) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "The topics were not read to their ends within {}.",
                readable::length(within)
            )),
            Err(RecvTimeoutError::Disconnected) => Err("The consumer ended early.".into()),
        }
    }
}

fn read(reader: &mut Reader, books: &Books, finish: &AtomicBool) -> Result<(), ReadError> {
    loop {
        // Loaded before the read, so that the read sees every record that was written before `finish` was set.
        let finish = finish.load(Ordering::Acquire);
        let records = reader.read(MAX_RECORDS, READ_TIMEOUT)?;
        {
            let ledger = &mut books.lock().ledger;
            for record in &records {
                let key = record.key.as_deref().unwrap_or_default();
                ledger.read(&record.topic, key, id(record));
            }
        }
        // An error means that the broker is away: the next round asks again.
        if finish && records.is_empty() && reader.is_at_end().unwrap_or(false) {
            return Ok(());
        }
    }
}

fn id(record: &ReadRecord) -> Option<&str> {
    record.header("ce_id")
}
