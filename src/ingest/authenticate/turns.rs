//! Turns for work that strangers can ask for: a key to be fetched, a token to be asked about, an address
//! to be logged. A stranger never takes the last turn of somebody else for long.
//!
//! - So many turns at a time; each lasts at least [`Turns::new`]'s `rest`, which bounds how many there
//!   are in a second.
//! - Requests that wait are not served in the order in which they came. A free turn goes to a random
//!   network among those that wait, in it to a random connection, and on it to a random request. So a
//!   crowd in one network has no more than one quiet client elsewhere, and a client that shares a network with
//!   the crowd still has a chance with every turn.
//! - Only a request whose client still waits takes part: a crowd that hangs up has no weight.
//! - At most [`LIMIT`] wait. Beyond that one of the network with the most requests loses its part. It is
//!   not answered earlier for that: an early answer would only make a crowd come again sooner.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::caller::{Caller, Network};

/// Requests that wait at once: as many as there are connections by default.
const LIMIT: usize = 1024;

/// Clones share their turns.
#[derive(Clone)]
pub(super) struct Turns(Arc<Shared>);

struct Shared {
    rest: Duration,
    queue: Mutex<Queue>,
}

/// A turn: it ends when this is dropped, and not before its rest.
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

/// A place among those that wait. Dropping it gives it up, or the turn that came too late.
struct QueuePlace<'a> {
    turns: &'a Turns,
    id: u64,
    granted: oneshot::Receiver<()>,
}

impl Turns {
    /// `at_once` at a time, each for at least `rest`.
    pub fn new(at_once: usize, rest: Duration) -> Self {
        let queue = Queue { free: at_once, waiting: Vec::new(), next: 0 };
        Self(Arc::new(Shared { rest, queue: Mutex::new(queue) }))
    }

    /// A turn, if one is free and no other request waits for it.
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
            let (network, connection) = (caller.network(), caller.connection);
            queue.waiting.push(Waiting { id, network, connection, granted: grant });
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
        // A turn that was granted and not taken up; after it was taken up there is nothing to receive.
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
            // Who is gone by now has not had a turn.
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

    /// Makes room where too many wait: in the network that most of them are of.
    fn push_out(&mut self) {
        if self.waiting.len() <= LIMIT {
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

/// One of the different `values`, each with the same chance.
fn one_of<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let different: BTreeSet<T> = values.collect();
    let mut random = [0; 8];
    // Without random numbers the first is as good as any; the next one has another set.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let count = u64::try_from(different.len()).ok().filter(|count| *count > 0)?;
    let index = usize::try_from(u64::from_le_bytes(random) % count).ok()?;
    different.into_iter().nth(index)
}

#[cfg(test)]
mod tests;
