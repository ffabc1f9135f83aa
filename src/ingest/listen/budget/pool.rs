//! Who gets which part of the budget, and who gives way. Everything here is done under one lock, and
//! nothing waits: a body that has to is put in line with the sending end of a channel.
//!
//! While there is room a body costs a few additions. Only where bodies wait is there more to do.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::ingest::listen::shares::{Ledger, Party};

/// A stranger's body that was begun just now has no rate yet, and gives way to none.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// The same for a body of a known sender.
pub(super) const GRACE_OF_SENDERS: Duration = Duration::from_secs(1);

/// A known sender that brings less than this a second is slow. While there is room that is fine.
pub(super) const SLOW: u64 = 32 * 1024;

/// Bodies of one party that may wait; their heads are in memory, and not yet paid for.
pub(super) const LINE: usize = 1024;

/// So many younger bodies of other sources may be served before the oldest.
const PASSES: u32 = 32;

/// A stranger's body of at most so many bytes is small: it waits behind no large one, and a slice of the
/// strangers' guarantee is for small ones alone. Where the budget is low, a 64th of that slice is small.
const SMALL: u64 = 64 * 1024;

/// Among strangers that wait a MiB counts as so much of age: less goes first, and what is old not last.
const AGE_OF_A_MIB: Duration = Duration::from_secs(8);

/// The least time between two looks for bodies that can give way, for each of both classes.
const PAUSE: Duration = Duration::from_millis(5);

/// How fast a body comes.
pub(super) struct Progress {
    began: Instant,
    came: AtomicU64,
    /// Milliseconds in which the body waited for us.
    waited: AtomicU64,
    complete: AtomicBool,
    evicted: Notify,
}

impl Progress {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            came: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            evicted: Notify::new(),
        }
    }

    pub fn came(&self, bytes: u64) {
        self.came.fetch_add(bytes, SeqCst);
    }

    pub fn waited(&self, time: Duration) {
        self.waited.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), SeqCst);
    }

    pub fn is_complete(&self) {
        self.complete.store(true, SeqCst);
    }

    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// For how long its sender could have sent.
    fn time(&self, now: Instant) -> Duration {
        let waited = Duration::from_millis(self.waited.load(SeqCst));
        now.saturating_duration_since(self.began).saturating_sub(waited)
    }

    fn has_begun_long_ago(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= GRACE
    }

    fn bytes_a_second(&self, now: Instant) -> u64 {
        let rate = u128::from(self.came.load(SeqCst)) * 1000 / self.time(now).as_millis().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// Strangers and known senders have a reserve each, for their oldest body that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Strangers,
    Senders,
}

fn class(party: Party) -> Class {
    if party == Party::STRANGERS { Class::Strangers } else { Class::Senders }
}

/// What only one body at a time uses.
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

/// When a stranger's body is served: small ones first, then by age and size, then by number.
type Turn = (bool, Instant, u64);

struct Body {
    party: Party,
    ordinary: u64,
    reserve: u64,
    /// Of the slice for small bodies: it moves out of it with the first byte that it takes elsewhere.
    slice: u64,
    /// Beyond the budget: only the oldest body has any, when all others wait for it.
    overdraft: u64,
    evicted: bool,
    progress: Arc<Progress>,
}

/// Where memory is taken from.
#[derive(Clone, Copy, Default)]
struct Parts {
    ordinary: u64,
    reserve: u64,
    slice: u64,
    overdraft: u64,
}

impl Body {
    fn holds(&self) -> u64 {
        self.ordinary + self.reserve + self.slice + self.overdraft
    }
}

struct Waiter {
    /// What it has in the slice is part of it.
    more: u64,
    /// What it would take of the slice.
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

/// What a body is told that asks for more.
pub(super) enum Asked {
    Granted,
    Waits(oneshot::Receiver<()>),
    Refused,
}

pub(super) struct Pool {
    ledger: Ledger,
    reserves: [Reserve; 2],
    slice: Slice,
    /// Those that hold something, by age.
    bodies: BTreeMap<u64, Body>,
    /// Those that wait: a line for each party, by age.
    lines: Vec<BTreeMap<u64, Waiter>>,
    /// The line of strangers in the order in which they are served.
    turns: BTreeSet<Turn>,
    waiting: [usize; 2],
    /// Those that hold something and don't wait: they give it back without help from others.
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

    /// What a body of `party` is asked to pay at most: one that needs more has everything else to itself.
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
        // A stranger that asks for more is not before one whose turn is earlier.
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

    /// When a stranger's body that asks for `more` is served.
    fn turn(&self, id: u64, more: u64, progress: &Progress) -> Turn {
        let bytes = self.bodies.get(&id).map_or(0, Body::holds).saturating_add(more);
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        (bytes > self.slice.limit, progress.began + AGE_OF_A_MIB / 1024 * kib, id)
    }

    /// What a body that asks for `more` takes outside of the slice: what it has in there as well.
    fn elsewhere(&self, id: u64, more: u64) -> u64 {
        more + self.bodies.get(&id).map_or(0, |body| body.slice)
    }

    /// Strangers come behind all others.
    fn others_are_first(&self, party: Party) -> bool {
        let [strangers, senders] = self.waiting;
        senders > 0 || (class(party) == Class::Strangers && strangers > 0)
    }

    fn add(&mut self, id: u64, party: Party, taken: Parts, progress: &Arc<Progress>) {
        let active = &mut self.active[class(party) as usize];
        let body = self.bodies.entry(id).or_insert_with(|| {
            *active += 1;
            let progress = progress.clone();
            let (ordinary, reserve, slice, overdraft) = (0, 0, 0, 0);
            Body { party, ordinary, reserve, slice, overdraft, evicted: false, progress }
        });
        if taken.slice == 0 {
            self.slice.used -= std::mem::take(&mut body.slice);
        }
        body.slice += taken.slice;
        self.slice.used += taken.slice;
        body.ordinary += taken.ordinary;
        body.reserve += taken.reserve;
        body.overdraft += taken.overdraft;
    }

    pub fn give_back(&mut self, id: u64, less: u64) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        let of_overdraft = less.min(body.overdraft);
        body.overdraft -= of_overdraft;
        let less = less - of_overdraft;
        let reserve = &mut self.reserves[class(body.party) as usize];
        let of_reserve = less.min(body.reserve);
        body.reserve -= of_reserve;
        reserve.used -= of_reserve;
        if of_reserve > 0 && body.reserve == 0 {
            reserve.by = None;
        }
        let less = less - of_reserve;
        let of_slice = less.min(body.slice);
        body.slice -= of_slice;
        self.slice.used -= of_slice;
        let ordinary = (less - of_slice).min(body.ordinary);
        body.ordinary -= ordinary;
        self.ledger.give_back(body.party, ordinary);
        self.serve();
    }

    /// The body is gone; it does not wait.
    pub fn leave(&mut self, id: u64) {
        let Some(body) = self.bodies.get(&id) else { return };
        let (party, all) = (body.party, body.holds());
        self.active[class(party) as usize] -= 1;
        self.give_back(id, all);
        self.bodies.remove(&id);
    }

    pub fn stop_waiting(&mut self, id: u64) {
        for party in self.ledger.parties() {
            if let Some(waiter) = self.lines[party.index()].remove(&id) {
                self.turns.remove(&waiter.turn);
                self.waiting[class(party) as usize] -= 1;
                if self.bodies.contains_key(&id) {
                    self.active[class(party) as usize] += 1;
                }
                drop(waiter);
                self.serve();
                return;
            }
        }
    }

    /// Books all that a stranger's body holds to `party`, if it has room.
    pub fn transfer(&mut self, id: u64, party: Party) -> bool {
        let Some(body) = self.bodies.get_mut(&id) else { return true };
        let all = body.holds();
        if !self.ledger.take(party, all) {
            return false;
        }
        self.ledger.give_back(body.party, body.ordinary);
        if body.reserve > 0 {
            let reserve = &mut self.reserves[class(body.party) as usize];
            reserve.used -= body.reserve;
            reserve.by = None;
        }
        self.slice.used -= std::mem::take(&mut body.slice);
        self.active[class(body.party) as usize] -= 1;
        self.active[class(party) as usize] += 1;
        (body.ordinary, body.reserve, body.overdraft) = (all, 0, 0);
        body.party = party;
        self.serve();
        true
    }

    /// Gives what is free to those that wait.
    fn serve(&mut self) {
        while self.waiting != [0, 0]
            && (self.serve_one(Class::Senders) || self.serve_one(Class::Strangers))
        {}
    }

    fn serve_one(&mut self, class: Class) -> bool {
        let heads = || self.parties(class).filter_map(|party| Some((party, self.first(party)?)));
        let is_guaranteed =
            |&(party, (_, more)): &(Party, (u64, u64))| more <= self.ledger.guaranteed(party);
        if let Some((party, (id, more))) = heads().find(is_guaranteed) {
            self.grant(id, party, Parts { ordinary: more, ..Parts::default() });
            return true;
        }
        if class == Class::Strangers && self.serve_from_slice() {
            return true;
        }
        // Known senders are first.
        let may_take_common = class == Class::Senders || self.waiting[Class::Senders as usize] == 0;
        if may_take_common
            && let Some((party, (id, more))) = self.next(class)
            && more <= self.ledger.free(party)
        {
            self.count_passed(class, id);
            self.grant(id, party, Parts { ordinary: more, ..Parts::default() });
            return true;
        }
        self.serve_from_reserve(class, may_take_common)
    }

    /// For the stranger that is next, if it is small.
    fn serve_from_slice(&mut self) -> bool {
        let Some(&turn) = self.turns.first().filter(|turn| is_small(**turn)) else { return false };
        let (_, _, id) = turn;
        let line = &self.lines[Party::STRANGERS.index()];
        let more = line.get(&id).map_or(0, |waiter| waiter.of_slice);
        let has_room = self.slice.has_room(more);
        if has_room {
            self.grant(id, Party::STRANGERS, Parts { slice: more, ..Parts::default() });
        }
        has_room
    }

    /// Who is next to have of the common part: the party that has least of it, unless too many younger
    /// bodies have passed the oldest already.
    fn next(&self, class: Class) -> Option<(Party, (u64, u64))> {
        let heads = || self.parties(class).filter_map(|party| Some((party, self.first(party)?)));
        let (party, oldest) = heads().min_by_key(|(_, (id, _))| *id)?;
        let passed = self.lines[party.index()].get(&oldest.0).map_or(0, |waiter| waiter.passed);
        if passed >= PASSES {
            return Some((party, oldest));
        }
        heads().min_by_key(|(party, (id, _))| (self.ledger.beyond(*party), *id))
    }

    fn count_passed(&mut self, class: Class, by: u64) {
        for party in self.parties(class) {
            if let Some(mut first) = self.lines[party.index()].first_entry()
                && *first.key() < by
            {
                first.get_mut().passed += 1;
            }
        }
    }

    /// For the body that has the reserve already, or else the oldest.
    fn serve_from_reserve(&mut self, class: Class, may_take_common: bool) -> bool {
        let reserve = &self.reserves[class as usize];
        let first = |party: Party| Some((*self.lines[party.index()].keys().next()?, party));
        let oldest = || self.parties(class).filter_map(first).min_by_key(|(id, _)| *id);
        let has_it = reserve.by.and_then(|id| Some((id, self.bodies.get(&id)?.party)));
        let Some((id, party)) = has_it.or_else(oldest) else { return false };
        let Some(waiter) = self.lines[party.index()].get(&id) else { return false };
        let ordinary = match may_take_common {
            true => self.ledger.free(party),
            false => self.ledger.guaranteed(party),
        };
        let ordinary = ordinary.min(waiter.more);
        let of_reserve = (waiter.more - ordinary).min(reserve.size - reserve.used);
        let overdraft = waiter.more - ordinary - of_reserve;
        // All that others hold they hold while they wait: they would wait for each other. What strangers
        // have beyond their guarantee comes back without that.
        let others_end = self.active[class as usize] > 0
            || (class == Class::Senders && self.ledger.beyond(Party::STRANGERS) > 0);
        if overdraft > 0 && others_end {
            return false;
        }
        self.grant(id, party, Parts { ordinary, reserve: of_reserve, slice: 0, overdraft });
        true
    }

    fn parties(&self, class: Class) -> impl Iterator<Item = Party> + use<> {
        self.ledger.parties().filter(move |party| self::class(*party) == class)
    }

    /// The first of a line, and what it waits for: the oldest, and of strangers the one whose turn it is.
    fn first(&self, party: Party) -> Option<(u64, u64)> {
        let line = &self.lines[party.index()];
        if party == Party::STRANGERS {
            let (_, _, id) = self.turns.first()?;
            return line.get(id).map(|waiter| (*id, waiter.more));
        }
        line.first_key_value().map(|(id, waiter)| (*id, waiter.more))
    }

    fn grant(&mut self, id: u64, party: Party, taken: Parts) {
        let Some(waiter) = self.lines[party.index()].remove(&id) else { return };
        self.turns.remove(&waiter.turn);
        self.waiting[class(party) as usize] -= 1;
        self.ledger.take(party, taken.ordinary);
        if taken.reserve > 0 {
            let reserve = &mut self.reserves[class(party) as usize];
            reserve.used += taken.reserve;
            reserve.by = Some(id);
        }
        if self.bodies.contains_key(&id) {
            self.active[class(party) as usize] += 1;
        }
        self.add(id, party, taken, &waiter.progress);
        // Where it does not arrive the body is about to leave, with what it holds.
        let _ = waiter.granted.send(());
    }

    /// On behalf of the bodies of the class of `party` that wait: those that are slow give way.
    pub fn make_room(&mut self, party: Party, now: Instant) {
        let class = class(party);
        let looked = &mut self.looked[class as usize];
        let too_soon = looked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if too_soon || self.waiting[class as usize] == 0 {
            return;
        }
        *looked = Some(now);
        let lines = self.parties(class).map(|party| &self.lines[party.index()]);
        let wanted: u64 = lines.flat_map(BTreeMap::values).map(|waiter| waiter.more).sum();
        match class {
            Class::Strangers => {
                let freed = self.evict_large_strangers(now);
                self.evict_strangers(wanted.saturating_sub(freed), now);
            }
            Class::Senders => self.make_room_for_senders(wanted, now),
        }
    }

    fn make_room_for_senders(&mut self, wanted: u64, now: Instant) {
        let too_much = self.ledger.beyond(Party::STRANGERS);
        let freed = self.evict_strangers(wanted.min(too_much), now);
        self.evict_slow_senders(wanted.saturating_sub(freed), now);
    }

    /// The largest first, for the small ones that wait; what was evicted already is about to come free.
    fn evict_large_strangers(&mut self, now: Instant) -> u64 {
        let line = &self.lines[Party::STRANGERS.index()];
        let small = line.values().filter(|waiter| is_small(waiter.turn));
        let wanted: u64 = small.map(|waiter| waiter.of_slice).sum();
        let mut freed = self.bodies.values().filter(|it| it.evicted).map(Body::holds).sum::<u64>();
        let mut present = self.evictable(|party| party == Party::STRANGERS);
        // Large ones that wait for each other have no more time to send in: what counts is their age.
        present.retain(|(_, body)| {
            body.holds() > self.slice.limit && body.progress.has_begun_long_ago(now)
        });
        present.sort_unstable_by_key(|(_, body)| Reverse(body.holds()));
        let before = freed;
        let mut victims = Vec::new();
        for (id, body) in present {
            if freed >= wanted {
                break;
            }
            freed += body.holds();
            victims.push(id);
        }
        self.evict_all(victims);
        freed - before
    }

    /// The slowest first, until `wanted` bytes come free by it.
    fn evict_strangers(&mut self, wanted: u64, now: Instant) -> u64 {
        let mut present: Vec<_> = self.evictable(|party| party == Party::STRANGERS);
        present.retain(|(_, body)| body.progress.time(now) >= GRACE);
        present.sort_unstable_by_key(|(_, body)| body.progress.bytes_a_second(now));
        let mut wanted = wanted;
        let mut victims = Vec::new();
        let mut freed = 0;
        for (id, body) in present {
            if freed >= wanted {
                break;
            }
            freed += body.holds();
            // What the victim itself waits for is not wanted any more.
            let waits_for = self.lines[body.party.index()].get(&id).map_or(0, |waiter| waiter.more);
            wanted = wanted.saturating_sub(waits_for);
            victims.push(id);
        }
        self.evict_all(victims);
        freed
    }

    /// Those of the source that is furthest beyond its guarantee first.
    fn evict_slow_senders(&mut self, wanted: u64, now: Instant) {
        let mut present: Vec<_> =
            self.evictable(|party| class(party) == Class::Senders && self.ledger.beyond(party) > 0);
        present.retain(|(id, body)| {
            body.progress.time(now) >= GRACE_OF_SENDERS
                && body.progress.bytes_a_second(now) < SLOW
                && !self.lines[body.party.index()].contains_key(id)
        });
        let order = |body: &Body| {
            (u64::MAX - self.ledger.beyond(body.party), body.progress.bytes_a_second(now))
        };
        present.sort_unstable_by_key(|(_, body)| order(body));
        let mut freed = 0;
        let mut victims = Vec::new();
        for (id, body) in present {
            if freed >= wanted {
                break;
            }
            freed += body.holds();
            victims.push(id);
        }
        self.evict_all(victims);
    }

    fn evictable(&self, of: impl Fn(Party) -> bool) -> Vec<(u64, &Body)> {
        let present = self.bodies.iter().filter(|(_, body)| {
            of(body.party) && !body.evicted && !body.progress.complete.load(SeqCst)
        });
        present.map(|(id, body)| (*id, body)).collect()
    }

    fn evict_all(&mut self, victims: Vec<u64>) {
        for id in victims {
            if let Some(body) = self.bodies.get_mut(&id) {
                body.evicted = true;
                body.progress.evicted.notify_one();
            }
            self.stop_waiting(id);
        }
    }

    /// What is neither held nor promised, for tests.
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
