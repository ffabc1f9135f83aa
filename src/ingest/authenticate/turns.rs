//! Turns for work that strangers can cause: the fetch of a key, a question about a token, a logged address. No
//! crowd keeps another client from its turn for long.
//!
//! - A limited number of turns at a time; each lasts at least [`Turns::new`]'s `rest`, which bounds the turns
//!   per second.
//! - Waiting requests are not served in the order in which they came. A free turn goes to a random network among
//!   the waiting ones, in it to a random connection, and on it to a random request. So a crowd in one network gets
//!   no more turns than one quiet client elsewhere, and a client that shares a network with the crowd still has a
//!   chance with every turn.
//! - Only a request whose client still waits takes part: a crowd that hangs up has no weight.
//! - At most [`MAX_WAITING`] requests wait. Beyond that a random one of the largest network can no longer get a turn.
//!   It is not answered earlier for that: an early answer would only make a crowd come again sooner.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::caller::{Caller, Network};

/// Requests that wait at once: as many as there are connections by default.
const MAX_WAITING: usize = 1024;

/// Clones share their turns.
#[derive(Clone)]
pub(super) struct Turns(Arc<Shared>);

struct Shared {
    rest: Duration,
    queue: Mutex<Queue>,
}

/// A turn: it ends when this is dropped, but lasts at least for its rest.
pub(super) struct Turn {
    turns: Turns,
    began: Instant,
}

struct Queue {
    free: usize,
    waiting: Vec<Waiting>,
    next: u64,
}

struct Waiting {
    id: u64,
    network: Network,
    connection: usize,
    granted: oneshot::Sender<()>,
}

/// A place among the waiting requests. Dropping it gives up the place, or a turn that was granted too late.
struct QueuePlace<'a> {
    turns: &'a Turns,
    id: u64,
    granted: oneshot::Receiver<()>,
}

impl Turns {
    /// Makes `at_once` turns at a time, each for at least `rest`.
    pub fn new(at_once: usize, rest: Duration) -> Self {
        let queue = Queue { free: at_once, waiting: Vec::new(), next: 0 };
        Self(Arc::new(Shared { rest, queue: Mutex::new(queue) }))
    }

    /// Takes a turn, if one is free and no other request waits for it.
    pub fn take(&self) -> Option<Turn> {
        let mut queue = self.0.queue.lock();
        let is_free = queue.free > 0 && queue.waiting.is_empty();
        queue.free -= usize::from(is_free);
        is_free.then(|| self.turn())
    }

    /// Waits for a turn, perhaps without an end: the caller has a deadline of its own.
    pub async fn wait(&self, caller: Caller) -> Turn {
        let mut place = {
            let mut queue = self.0.queue.lock();
            let id = queue.next;
            queue.next += 1;
            let (grant, granted) = oneshot::channel();
            queue.waiting.push(Waiting {
                id,
                network: caller.network(),
                connection: caller.connection,
                granted: grant,
            });
            queue.push_out();
            queue.grant();
            QueuePlace { turns: self, id, granted }
        };
        match (&mut place.granted).await {
            Ok(()) => self.turn(),
            Err(_pushed_out) => std::future::pending().await,
        }
    }

    fn turn(&self) -> Turn {
        Turn { turns: self.clone(), began: Instant::now() }
    }

    fn end(&self) {
        let mut queue = self.0.queue.lock();
        queue.free += 1;
        queue.grant();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let left = self.turns.0.rest.saturating_sub(self.began.elapsed());
        let turns = self.turns.clone();
        match Handle::try_current() {
            Ok(runtime) if !left.is_zero() => {
                runtime.spawn(async move {
                    tokio::time::sleep(left).await;
                    turns.end();
                });
            }
            _ => turns.end(),
        }
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.0.queue.lock();
        queue.waiting.retain(|waiting| waiting.id != self.id);
        drop(queue);
        // The turn was granted and not received. Once received, the channel is empty.
        if self.granted.try_recv().is_ok() {
            self.turns.end();
        }
    }
}

impl Queue {
    fn grant(&mut self) {
        while self.free > 0
            && let Some(chosen) = self.choose()
        {
            // If the request is gone by now, the turn stays free.
            self.free -= usize::from(chosen.granted.send(()).is_ok());
        }
    }

    fn choose(&mut self) -> Option<Waiting> {
        let network = one_of(self.waiting.iter().map(|it| it.network))?;
        let in_network = |it: &Waiting| it.network == network;
        let all = self.waiting.iter();
        let connection = one_of(all.filter(|it| in_network(it)).map(|it| it.connection))?;
        let on_connection = |it: &Waiting| in_network(it) && it.connection == connection;
        let all = self.waiting.iter().enumerate();
        let index = one_of(all.filter(|(_, it)| on_connection(it)).map(|(index, _)| index))?;
        Some(self.waiting.swap_remove(index))
    }

    /// Removes a random request of the largest network, where too many wait.
    fn push_out(&mut self) {
        if self.waiting.len() <= MAX_WAITING {
            return;
        }
        let mut crowds: BTreeMap<Network, usize> = BTreeMap::new();
        for waiting in &self.waiting {
            *crowds.entry(waiting.network).or_default() += 1;
        }
        let largest = crowds.into_iter().max_by_key(|(_, size)| *size).map(|(network, _)| network);
        let all = self.waiting.iter().enumerate();
        let of_it = all.filter(|(_, it)| Some(it.network) == largest).map(|(index, _)| index);
        if let Some(index) = one_of(of_it) {
            self.waiting.swap_remove(index);
        }
    }
}

/// Chooses one of the different `values`, each with the same chance.
fn one_of<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let different: BTreeSet<T> = values.collect();
    let mut random = [0; 8];
    // Without random numbers the first value is chosen, which is acceptable.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let count = u64::try_from(different.len()).ok().filter(|count| *count > 0)?;
    let index = usize::try_from(u64::from_le_bytes(random) % count).ok()?;
    different.into_iter().nth(index)
}

#[cfg(test)]
mod tests;
