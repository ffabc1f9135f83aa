//! The last requests, for the console and for `tap`: the client, the answer and the reason of each.
//!
//! One push a request is all that the delivery path pays: a lock, and copies into buffers that are there already.
//! The memory is bounded in entries ([`RING_CAPACITY`]) and in bytes (each text is cut). Readers poll by number, so
//! that a push never waits for them.
//!
//! One ring is for refused requests and one for all others: a flood of strangers does not push out stored deliveries.
//! Refused requests of one kind (source and reason) are remembered up to [`REMEMBERED_PER_SECOND`]; the rest is
//! counted.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

/// Requests in each of the two rings.
pub const RING_CAPACITY: usize = 500;

/// Refused requests of one kind that are remembered in one second.
const REMEMBERED_PER_SECOND: u64 = 20;

/// Validation addresses kept of one source; each is as long as a small body at the most.
const MAX_CHALLENGES: usize = 5;

/// Bytes kept of an id.
const MAX_ID_BYTES: usize = 64;
/// Bytes kept of a request's detail and of its configuration key.
const MAX_DETAIL_BYTES: usize = 256;

/// A request as its report describes it; nothing of it is a secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub source: &'a str,
    /// `request` or `connection`.
    pub what: &'static str,
    pub outcome: &'static str,
    /// 0 where no answer was sent.
    pub status: u16,
    pub reason: Option<&'static str>,
    pub detail: &'a str,
    pub key: &'a str,
    pub client: Option<IpAddr>,
    pub request_id: &'a str,
    pub adobe_delivery_id: &'a str,
    pub adobe_event_id: &'a str,
    pub position: Option<u64>,
    pub bytes: usize,
    pub took: Option<Duration>,
}

/// A request that is remembered.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Number of the request in this process, from 1 on.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    pub source: String,
    pub what: &'static str,
    pub outcome: &'static str,
    pub status: u16,
    pub reason: Option<&'static str>,
    pub detail: String,
    pub key: String,
    pub client: Option<IpAddr>,
    pub request_id: String,
    pub adobe_delivery_id: String,
    pub adobe_event_id: String,
    pub position: Option<u64>,
    pub bytes: usize,
    pub took: Option<Duration>,
    /// Requests of its kind that came just before it and were not remembered.
    pub left_out: u64,
}

/// When the last request of a source came, in milliseconds since 1970; 0 when none did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    pub request: u64,
    pub stored: u64,
}

/// The last requests. Clones share the memory.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    last_number: u64,
    refused: Ring,
    others: Ring,
    /// The last requests of announced sources.
    last: HashMap<String, Last>,
    /// Counts by reason and source: bounded, since both are words that are announced.
    kinds: HashMap<&'static str, HashMap<String, Kind>>,
    /// Addresses that Adobe I/O wants opened, by source, with the time at which they came.
    challenges: HashMap<String, VecDeque<(String, u64)>>,
}

#[derive(Default)]
struct Kind {
    second: u64,
    remembered: u64,
    left_out: u64,
}

#[derive(Default)]
struct Ring {
    entries: Vec<Remembered>,
    next: usize,
}

impl Recent {
    /// Begins to note the last request of a source. Other names have none, so that a stranger cannot fill the memory.
    pub(super) fn announce(&self, source: &str) {
        self.0.lock().last.entry(source.to_owned()).or_default();
    }

    pub fn push(&self, request: &Request<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.push_at(request, u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    }

    fn push_at(&self, request: &Request<'_>, now: u64) {
        let mut inner = self.0.lock();
        if let Some(last) = inner.last.get_mut(request.source) {
            last.request = now;
            if request.outcome == "stored" {
                last.stored = now;
            }
        }
        let left_out = match request.reason {
            Some(reason) => inner.admit(request.source, reason, now / 1000),
            None => Some(0),
        };
        let Some(left_out) = left_out else { return };
        inner.last_number += 1;
        let number = inner.last_number;
        let ring = if request.reason.is_some() { &mut inner.refused } else { &mut inner.others };
        let entry = ring.next();
        entry.number = number;
        entry.at = now;
        entry.left_out = left_out;
        entry.write(request);
    }

    /// Returns the requests that `wanted` takes with a number below `before`, newest first, at most `limit`.
    pub fn before(
        &self,
        before: u64,
        limit: usize,
        wanted: &dyn Fn(&Remembered) -> bool,
    ) -> Vec<Remembered> {
        let inner = self.0.lock();
        let all = inner.refused.entries.iter().chain(&inner.others.entries);
        let mut found: Vec<_> = all.filter(|it| it.number < before && wanted(it)).collect();
        found.sort_unstable_by_key(|it| std::cmp::Reverse(it.number));
        found.truncate(limit);
        found.into_iter().cloned().collect()
    }

    /// Returns the newest `limit` requests behind `after` that `wanted` takes, oldest first, and the last number of
    /// all.
    pub fn after(
        &self,
        after: u64,
        limit: usize,
        wanted: &dyn Fn(&Remembered) -> bool,
    ) -> (Vec<Remembered>, u64) {
        let inner = self.0.lock();
        if inner.last_number == after {
            return (Vec::new(), after);
        }
        let all = inner.refused.entries.iter().chain(&inner.others.entries);
        let mut found: Vec<_> = all.filter(|it| it.number > after && wanted(it)).collect();
        found.sort_unstable_by_key(|it| it.number);
        let too_many = found.len().saturating_sub(limit);
        (found.drain(too_many..).cloned().collect(), inner.last_number)
    }

    /// Keeps an address that Adobe I/O wants an operator to open.
    pub fn challenge(&self, source: &str, url: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut inner = self.0.lock();
        let all = inner.challenges.entry(source.to_owned()).or_default();
        all.push_back((url.to_owned(), u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
        if all.len() > MAX_CHALLENGES {
            all.pop_front();
        }
    }

    /// Returns the addresses of `source` to open, with the time at which they came.
    pub fn challenges(&self, source: &str) -> Vec<(String, u64)> {
        let inner = self.0.lock();
        inner.challenges.get(source).into_iter().flatten().cloned().collect()
    }

    pub fn last_number(&self) -> u64 {
        self.0.lock().last_number
    }

    pub fn len(&self) -> usize {
        let inner = self.0.lock();
        inner.refused.entries.len() + inner.others.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn last(&self, source: &str) -> Last {
        self.0.lock().last.get(source).copied().unwrap_or_default()
    }
}

impl Inner {
    /// Returns how many requests of its kind were left out before it, or `None` if it is left out itself.
    fn admit(&mut self, source: &str, reason: &'static str, second: u64) -> Option<u64> {
        let kinds = self.kinds.entry(reason).or_default();
        if !kinds.contains_key(source) {
            kinds.insert(source.to_owned(), Kind::default());
        }
        let kind = kinds.get_mut(source)?;
        if kind.second != second {
            (kind.second, kind.remembered) = (second, 0);
        }
        if kind.remembered >= REMEMBERED_PER_SECOND {
            kind.left_out += 1;
            return None;
        }
        kind.remembered += 1;
        Some(std::mem::take(&mut kind.left_out))
    }
}

impl Ring {
    /// Returns the next entry to write: a new one, or the oldest.
    fn next(&mut self) -> &mut Remembered {
        let at = self.next;
        if at == self.entries.len() {
            self.entries.push(Remembered::default());
        }
        self.next = (at + 1) % RING_CAPACITY;
        &mut self.entries[at]
    }
}

impl Remembered {
    fn write(&mut self, request: &Request<'_>) {
        set(&mut self.source, request.source, MAX_ID_BYTES);
        self.what = request.what;
        self.outcome = request.outcome;
        self.status = request.status;
        self.reason = request.reason;
        set(&mut self.detail, request.detail, MAX_DETAIL_BYTES);
        set(&mut self.key, request.key, MAX_DETAIL_BYTES);
        self.client = request.client;
        set(&mut self.request_id, request.request_id, MAX_ID_BYTES);
        set(&mut self.adobe_delivery_id, request.adobe_delivery_id, MAX_ID_BYTES);
        set(&mut self.adobe_event_id, request.adobe_event_id, MAX_ID_BYTES);
        self.position = request.position;
        self.bytes = request.bytes;
        self.took = request.took;
    }
}

/// Copies at most `limit` bytes of `text` into a buffer that is there already.
fn set(buffer: &mut String, text: &str, limit: usize) {
    buffer.clear();
    let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    buffer.push_str(&text[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(position: u64) -> Request<'static> {
        Request {
            source: "leads",
            outcome: "stored",
            position: Some(position),
            ..Request::default()
        }
    }

    fn refused(reason: &'static str) -> Request<'static> {
        Request {
            source: "leads",
            outcome: "bad-credentials",
            reason: Some(reason),
            ..Request::default()
        }
    }

    fn all(recent: &Recent) -> Vec<Remembered> {
        recent.before(u64::MAX, usize::MAX, &|_| true)
    }

    #[test]
    fn the_ring_is_bounded_in_entries_and_in_bytes() {
        let recent = Recent::default();
        let long = "x".repeat(1 << 20);
        for second in 0..3000 {
            let request = Request { detail: &long, request_id: &long, ..refused("token-unknown") };
            recent.push_at(&request, second * 1000);
            recent.push_at(&Request { request_id: &long, ..stored(second) }, second * 1000);
        }
        let all = all(&recent);
        assert_eq!(all.len(), 2 * RING_CAPACITY);
        assert!(all.iter().all(|it| it.detail.capacity() <= 2 * MAX_DETAIL_BYTES));
        assert!(all.iter().all(|it| it.request_id.capacity() <= 2 * MAX_ID_BYTES));
    }

    #[test]
    fn a_flood_of_strangers_pushes_out_neither_stored_requests_nor_other_reasons() {
        let recent = Recent::default();
        recent.push_at(&stored(7), 0);
        recent.push_at(&refused("no-signature"), 0);
        for _ in 0..100_000 {
            recent.push_at(&refused("token-unknown"), 500);
        }
        recent.push_at(&refused("token-unknown"), 1500);
        let all = all(&recent);
        assert!(all.iter().any(|it| it.position == Some(7)));
        assert!(all.iter().any(|it| it.reason == Some("no-signature")));
        assert_eq!(all.len(), 3 + REMEMBERED_PER_SECOND as usize);
        assert_eq!(all[0].left_out, 100_000 - REMEMBERED_PER_SECOND);
    }

    #[test]
    fn a_push_takes_no_memory_once_there_are_buffers() {
        let recent = Recent::default();
        let request = Request { request_id: "5c1de8a1f0b2-17", ..stored(1) };
        for _ in 0..2 * RING_CAPACITY {
            recent.push_at(&request, 1);
        }
        let counted = allocation_counter::measure(|| recent.push_at(&request, 1));
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn readers_go_on_behind_a_number_and_page_before_one() {
        let recent = Recent::default();
        (0..10).for_each(|position| recent.push_at(&stored(position), position));
        let (found, last) = recent.after(7, 100, &|_| true);
        assert_eq!((found.len(), last), (3, 10));
        assert_eq!(found[0].number, 8);
        let (found, last) = recent.after(0, 2, &|_| true);
        assert_eq!((found[0].number, last), (9, 10), "the newest, if there are too many");
        let page = recent.before(9, 3, &|it| it.position != Some(6));
        assert_eq!(page.iter().map(|it| it.number).collect::<Vec<_>>(), [8, 6, 5]);
    }

    #[test]
    fn only_announced_sources_have_a_last_request() {
        let recent = Recent::default();
        recent.push_at(&stored(1), 5);
        assert_eq!(recent.last("leads"), Last::default());
        recent.announce("leads");
        recent.push_at(&stored(2), 6);
        recent.push_at(&refused("no-signature"), 7);
        assert_eq!(recent.last("leads"), Last { request: 7, stored: 6 });
    }
}
