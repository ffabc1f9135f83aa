//! The pool: decides which body gets which part of the budget, and which one gives way. Everything here is done
//! under one lock, and nothing waits: a body that has to wait is put in line with the sending end of a channel.
//!
//! While there is room a body costs a few additions. Only where bodies wait is there more to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::progress::Progress;
use crate::ingest::listen::shares::{Ledger, Party};

mod eviction;
mod line;

#[cfg(test)]
pub use self::eviction::{GRACE, GRACE_OF_SENDERS};

/// Bodies of one party that may wait; their heads are in memory, and not yet reserved.
pub(super) const LINE: usize = 1024;

/// A stranger's body of at most so many bytes is small: it waits behind no large one, and a slice of the
/// strangers' guarantee is for small ones alone. Where the budget is low, a 64th of that slice is small.
const SMALL: u64 = 64 * 1024;

/// Age by which a MiB counts among waiting strangers: smaller bodies go first, and an old one does not go last.
const AGE_OF_A_MIB: Duration = Duration::from_secs(8);

/// Strangers and known senders have a reserve each, for their oldest body that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Strangers,
    Senders,
}

fn class(party: Party) -> Class {
    if party == Party::STRANGERS { Class::Strangers } else { Class::Senders }
}

/// A reserve that only one body uses at a time.
#[derive(Default)]
struct Reserve {
    size: u64,
    used: u64,
    by: Option<u64>,
}

/// The part of the strangers' guarantee that only small bodies use.
struct Slice {
    size: u64,
    used: u64,
    /// The largest body that is small.
    limit: u64,
}

impl Slice {
    fn new(size: u64) -> Self {
        Self { size, used: 0, limit: SMALL.min(size / 64) }
    }

    fn has_room(&self, more: u64) -> bool {
        more <= self.size - self.used
    }
}

/// Order in which strangers' bodies are served: small ones first, then by age and size, then by number.
type Turn = (bool, Instant, u64);

struct Body {
    party: Party,
    held: Parts,
    evicted: bool,
    progress: Arc<Progress>,
}

/// Parts of the budget that a body's memory is taken from.
#[derive(Clone, Copy, Default)]
struct Parts {
    ordinary: u64,
    reserve: u64,
    /// Bytes of the slice for small bodies. A body moves out of the slice with the first byte that it takes elsewhere.
    slice: u64,
    /// Beyond the budget: only the oldest body has any, when all others wait for it.
    overdraft: u64,
}

impl Body {
    fn holds(&self) -> u64 {
        self.held.ordinary + self.held.reserve + self.held.slice + self.held.overdraft
    }
}

struct Waiter {
    /// Bytes that it waits for, outside of the slice; its present bytes in the slice are included.
    more: u64,
    /// Bytes that it would take of the slice.
    of_slice: u64,
    turn: Turn,
    /// How many younger bodies were served before this one.
    passed: u32,
    progress: Arc<Progress>,
    granted: oneshot::Sender<()>,
}

fn is_small((is_large, ..): Turn) -> bool {
    !is_large
}

/// Answer to a body that asks for more.
pub(super) enum Asked {
    Granted,
    Waits(oneshot::Receiver<()>),
    Refused,
}

pub(super) struct Pool {
    ledger: Ledger,
    reserves: [Reserve; 2],
    slice: Slice,
    /// Bodies that hold memory, by age.
    bodies: BTreeMap<u64, Body>,
    /// Waiting bodies: a line for each party, by age.
    lines: Vec<BTreeMap<u64, Waiter>>,
    /// The line of strangers in the order in which they are served.
    turns: BTreeSet<Turn>,
    waiting: [usize; 2],
    /// Bodies that hold memory and do not wait: they give it back without help from others.
    active: [usize; 2],
    looked: [Option<Instant>; 2],
}

impl Pool {
    /// An eighth is guaranteed to strangers, half of that to their small bodies, and one to the sources
    /// together; an eighth is each reserve, and half is common.
    pub fn new(total: u64, sources: usize) -> Self {
        let eighth = total / 8;
        let each = eighth.checked_div(sources as u64).unwrap_or(0);
        let senders = if sources == 0 { 0 } else { eighth };
        let common = total - 2 * eighth - senders - each * sources as u64;
        // Without known senders there are none to leave anything to.
        let of_common = if sources == 0 { common } else { common / 2 };
        let slice = Slice::new(eighth / 2);
        let strangers = eighth - slice.size;
        let reserve = |size| Reserve { size, ..Reserve::default() };
        Self {
            ledger: Ledger::new(sources, strangers, each, common, of_common),
            reserves: [reserve(eighth), reserve(senders)],
            slice,
            bodies: BTreeMap::new(),
            lines: (0..=sources).map(|_| BTreeMap::new()).collect(),
            turns: BTreeSet::new(),
            waiting: [0; 2],
            active: [0; 2],
            looked: [None; 2],
        }
    }

    /// Returns the most that a body of `party` reserves: one that needs more has everything else to itself.
    pub fn most(&self, party: Party) -> u64 {
        self.ledger.most(party) + self.reserves[class(party) as usize].size
    }

    /// Gives `more` now, or puts the body in line.
    pub fn ask(&mut self, id: u64, party: Party, more: u64, progress: &Arc<Progress>) -> Asked {
        if self.take_now(id, party, more, progress) {
            return Asked::Granted;
        }
        if self.lines[party.index()].len() >= LINE
            || self.bodies.get(&id).is_some_and(|body| body.evicted)
        {
            return Asked::Refused;
        }
        let (granted, receiver) = oneshot::channel();
        let turn = self.turn(id, more, progress);
        if party == Party::STRANGERS {
            self.turns.insert(turn);
        }
        let waiter = Waiter {
            more: self.elsewhere(id, more),
            of_slice: more,
            turn,
            passed: 0,
            progress: progress.clone(),
            granted,
        };
        self.lines[party.index()].insert(id, waiter);
        self.waiting[class(party) as usize] += 1;
        if self.bodies.contains_key(&id) {
            self.active[class(party) as usize] -= 1;
        }
        self.serve();
        Asked::Waits(receiver)
    }

    /// Gives `more` if there is room that no other body waits for.
    pub fn take_now(&mut self, id: u64, party: Party, more: u64, progress: &Arc<Progress>) -> bool {
        if self.bodies.get(&id).is_some_and(|body| body.evicted) {
            return false;
        }
        let ordinary = self.elsewhere(id, more);
        // A stranger that asks for more must not overtake one whose turn is earlier.
        let turn = self.turn(id, more, progress);
        let is_next = party != Party::STRANGERS || self.turns.first().is_none_or(|it| turn < *it);
        let may_take_common = !self.others_are_first(party);
        let parts = if is_next && ordinary <= self.ledger.guaranteed(party)
            || may_take_common && ordinary <= self.ledger.free(party)
        {
            Parts { ordinary, ..Parts::default() }
        } else if party == Party::STRANGERS && is_small(turn) && self.slice.has_room(more) {
            Parts { slice: more, ..Parts::default() }
        } else {
            return false;
        };
        self.ledger.take(party, parts.ordinary);
        self.add(id, party, parts, progress);
        true
    }

    /// Returns the turn of a stranger's body that asks for `more`.
    fn turn(&self, id: u64, more: u64, progress: &Progress) -> Turn {
        let bytes = self.bodies.get(&id).map_or(0, Body::holds).saturating_add(more);
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        (bytes > self.slice.limit, progress.began + AGE_OF_A_MIB / 1024 * kib, id)
    }

    /// Returns how much a body that asks for `more` takes outside of the slice: its bytes in the slice move along.
    fn elsewhere(&self, id: u64, more: u64) -> u64 {
        more + self.bodies.get(&id).map_or(0, |body| body.held.slice)
    }

    /// Returns whether other waiting bodies come first: senders before strangers.
    fn others_are_first(&self, party: Party) -> bool {
        let [strangers, senders] = self.waiting;
        senders > 0 || (class(party) == Class::Strangers && strangers > 0)
    }

    fn add(&mut self, id: u64, party: Party, taken: Parts, progress: &Arc<Progress>) {
        let active = &mut self.active[class(party) as usize];
        let body = self.bodies.entry(id).or_insert_with(|| {
            *active += 1;
            Body { party, held: Parts::default(), evicted: false, progress: progress.clone() }
        });
        if taken.slice == 0 {
            self.slice.used -= std::mem::take(&mut body.held.slice);
        }
        body.held.slice += taken.slice;
        self.slice.used += taken.slice;
        body.held.ordinary += taken.ordinary;
        body.held.reserve += taken.reserve;
        body.held.overdraft += taken.overdraft;
    }

    pub fn give_back(&mut self, id: u64, less: u64) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        // In this order: overdraft, reserve, slice, and at last the ordinary part, which others can take.
        let mut rest = less;
        let mut take_of = |part: &mut u64| {
            let amount = rest.min(*part);
            *part -= amount;
            rest -= amount;
            amount
        };
        take_of(&mut body.held.overdraft);
        let of_reserve = take_of(&mut body.held.reserve);
        let of_slice = take_of(&mut body.held.slice);
        let ordinary = take_of(&mut body.held.ordinary);
        let reserve = &mut self.reserves[class(body.party) as usize];
        reserve.used -= of_reserve;
        if of_reserve > 0 && body.held.reserve == 0 {
            reserve.by = None;
        }
        self.slice.used -= of_slice;
        self.ledger.give_back(body.party, ordinary);
        self.serve();
    }

    /// Removes a body, which does not wait, and gives back its memory.
    pub fn leave(&mut self, id: u64) {
        let Some(body) = self.bodies.get(&id) else { return };
        let party = body.party;
        let all = body.holds();
        self.active[class(party) as usize] -= 1;
        self.give_back(id, all);
        self.bodies.remove(&id);
    }

    /// Books all that a stranger's body holds to `party`, if it has room.
    pub fn transfer(&mut self, id: u64, party: Party) -> bool {
        let Some(body) = self.bodies.get_mut(&id) else { return true };
        let all = body.holds();
        if !self.ledger.take(party, all) {
            return false;
        }
        self.ledger.give_back(body.party, body.held.ordinary);
        if body.held.reserve > 0 {
            let reserve = &mut self.reserves[class(body.party) as usize];
            reserve.used -= body.held.reserve;
            reserve.by = None;
        }
        self.slice.used -= body.held.slice;
        self.active[class(body.party) as usize] -= 1;
        self.active[class(party) as usize] += 1;
        body.held = Parts { ordinary: all, ..Parts::default() };
        body.party = party;
        self.serve();
        true
    }

    /// Returns whether nothing is held or promised, for tests.
    #[cfg(test)]
    pub fn is_unused(&self) -> bool {
        self.bodies.is_empty()
            && self.waiting == [0, 0]
            && self.active == [0, 0]
            && self.turns.is_empty()
            && self.slice.used == 0
            && self.reserves.iter().all(|reserve| reserve.used == 0 && reserve.by.is_none())
            && self.ledger.parties().all(|party| self.ledger.free(party) == self.ledger.most(party))
    }
}
