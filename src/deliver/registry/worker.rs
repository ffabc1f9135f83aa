//! The thread that asks the registry, and reports the answers in log and metrics.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Shared,
    ask::{NoId, NoIdKind},
    kept::{IdFile, MAX_IDS},
    table::Change,
};
use crate::{
    deliver::schema::{SchemaId, Wanted},
    observe::metrics::Metrics,
};

/// Sleep while no question is due; a new question wakes the thread.
const IDLE_WAKEUP: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    shared: Arc<Shared>,
    file: IdFile,
    metrics: Metrics,
}

/// The answer to a question.
type Answered = (Wanted, Result<SchemaId, NoId>);

impl Worker {
    pub fn new(shared: Arc<Shared>, file: IdFile, metrics: &Metrics) -> Self {
        for outcome in NoIdKind::ALL.map(NoIdKind::as_str).into_iter().chain(["found"]) {
            metrics.schema_requests.with_label_values(&[outcome]);
        }
        Self { shared, file, metrics: metrics.clone() }
    }

    pub async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut asked: JoinSet<Answered> = JoinSet::new();
        while !shared.closing.load(Ordering::Relaxed) {
            self.ask(&mut asked);
            let due = shared.table.lock().next_due();
            let until = due.unwrap_or_else(|| Instant::now() + IDLE_WAKEUP);
            tokio::select! {
                () = shared.wake.notified() => {}
                () = tokio::time::sleep_until(until.into()) => {}
                Some(answered) = asked.join_next() => self.take_all(answered.ok(), &mut asked),
            }
        }
    }

    fn ask(&self, asked: &mut JoinSet<Answered>) {
        while let Some(wanted) = self.shared.table.lock().next(Instant::now()) {
            let asker = self.shared.asker.get();
            asked.spawn(async move {
                let answer = asker.ask(&wanted).await;
                (wanted, answer)
            });
        }
    }

    /// Handles all answers that have come in, with one write to the disk.
    fn take_all(&mut self, first: Option<Answered>, asked: &mut JoinSet<Answered>) {
        let mut must_save = false;
        let mut next = first;
        while let Some((wanted, answer)) = next {
            let outcome = answer.as_ref().map_or_else(|no_id| no_id.kind.as_str(), |_| "found");
            self.metrics.schema_requests.with_label_values(&[outcome]).inc();
            let reason = answer.as_ref().err().map(|no_id| no_id.text.clone());
            let change = self.shared.table.lock().answered(&wanted, answer, Instant::now());
            must_save |= change.must_save;
            report(&wanted, reason.as_deref(), &change);
            next = asked.try_join_next().and_then(Result::ok);
        }
        if must_save {
            let ids = self.shared.table.lock().to_keep(MAX_IDS);
            self.file.write(&ids);
        }
    }
}

fn report(wanted: &Wanted, reason: Option<&str>, change: &Change) {
    let subject = &*wanted.subject;
    match change.is_away {
        Some(true) => tracing::warn!(
            subject,
            reason = reason.unwrap_or_default(),
            "schema registry does not answer; topics whose schema has no id yet are held"
        ),
        Some(false) => tracing::info!("schema registry answers again"),
        None => {}
    }
    if let Some((refusal, is_known)) = &change.refusal {
        let reason = &*refusal.text;
        match is_known {
            false => tracing::warn!(
                subject,
                reason,
                "schema registry refuses a schema; its topic is held"
            ),
            true => tracing::warn!(
                subject,
                reason,
                "schema registry refuses a schema; its cached id stays in use"
            ),
        }
    }
    if change.is_well_again {
        tracing::info!(subject, "schema registry accepts the schema now");
    }
    if let Some((before, now)) = change.replaced {
        tracing::warn!(
            subject,
            before = before.number,
            now = now.number,
            "schema has another id than the cached one; records from before may have an id that the registry does \
             not know"
        );
    }
}
