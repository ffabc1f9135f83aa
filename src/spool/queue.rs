//! The bounded queue between appends and the writer's thread, which makes groups of the waiting deliveries.
//!
//! While the disk syncs one group, the next gathers; so the more senders there are, the more
//! deliveries share a sync. A delivery in the queue will be stored even if its request no longer waits
//! for the answer.

use std::{io, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use super::{Spool, Writer, error::AppendError, frame, shared::Shared, writer::Active};
use crate::delivery::Authenticated;

/// Deliveries that may wait for the writer in the queue; further appends wait before it.
pub const QUEUE_DELIVERIES: usize = 1024;
/// Deliveries that a group may have.
pub const GROUP_DELIVERIES: usize = 1024;
/// Bytes that a group may have, except for a single delivery that is larger.
pub const GROUP_BYTES: u64 = 2 * 1024 * 1024;

/// The writer's end of the queue.
pub struct Queue {
    waiting: mpsc::Receiver<Waiting>,
    /// A delivery taken out of the queue that did not fit into the last group.
    held: Option<Waiting>,
}

/// A delivery, and the channel for its answer.
pub struct Waiting {
    pub delivery: Authenticated,
    pub answer: oneshot::Sender<Result<u64, AppendError>>,
}

pub fn connect(shared: Arc<Shared>, active: Option<Active>) -> (Writer, Spool) {
    let (sender, waiting) = mpsc::channel(QUEUE_DELIVERIES);
    let queue = Queue { waiting, held: None };
    (Writer::new(shared.clone(), queue, active), Spool::new(shared, sender))
}

impl Writer {
    /// Starts the writer's thread.
    pub fn spawn(self) -> io::Result<thread::JoinHandle<()>> {
        let name = format!("spool-{}", self.shared.source);
        thread::Builder::new().name(name).spawn(move || self.run())
    }

    /// Appends queued deliveries until the spool is closed and the queue is empty, or until the spool
    /// is poisoned. Blocks; not to be called on a thread of the async runtime.
    pub fn run(mut self) {
        while let Some((group, answers)) = self.gather() {
            self.commit(group, answers);
            if self.shared.check_not_poisoned().is_err() {
                return; // dropping the queue answers all waiting appends
            }
        }
        self.leave_in_place();
        self.shared.note_last_end();
    }

    fn commit(&mut self, mut group: Vec<Authenticated>, mut answers: Vec<Answer>) {
        match self.append_group(&group) {
            Ok(sequences) => {
                for (answer, sequence) in answers.into_iter().zip(sequences) {
                    // If the sender hung up, the delivery is stored all the same.
                    let _ = answer.send(Ok(sequence));
                }
            }
            // The group as a whole does not fit; some of its deliveries may.
            Err(AppendError::Full { .. }) if group.len() > 1 => {
                for (delivery, answer) in group.drain(..).zip(answers.drain(..)) {
                    self.commit(vec![delivery], vec![answer]);
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Waits for one delivery, and takes further waiting ones along.
    fn gather(&mut self) -> Option<(Vec<Authenticated>, Vec<Answer>)> {
        let most = GROUP_BYTES.min(self.shared.folder.config.segment_size);
        let queue = &mut self.queue;
        let first = queue.held.take().or_else(|| queue.waiting.blocking_recv())?;
        let mut bytes = weight(&first);
        let (mut group, mut answers) = (vec![first.delivery], vec![first.answer]);
        while group.len() < GROUP_DELIVERIES {
            let Ok(next) = queue.waiting.try_recv() else { break };
            bytes += weight(&next);
            if bytes > most {
                queue.held = Some(next);
                break;
            }
            group.push(next.delivery);
            answers.push(next.answer);
        }
        Some((group, answers))
    }
}

type Answer = oneshot::Sender<Result<u64, AppendError>>;

fn weight(waiting: &Waiting) -> u64 {
    frame::length(waiting.delivery.delivery()).unwrap_or(0)
}
