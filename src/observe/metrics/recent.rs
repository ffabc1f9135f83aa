//! The last requests, for the console and for `tap`: where each came from, what it was answered, and why.
//!
//! One push a request is all that the delivery path pays: a lock, and copies into buffers that are there already.
//! The memory is bounded in entries ([`KEPT`]) and in bytes (each text is cut). Readers poll by number, so that no
//! push knows of them.
//!
//! Half of the room is for what was refused and half for the rest: a flood of strangers leaves what was stored to be
//! seen. Of one kind (source and reason) [`A_SECOND`] are remembered in a second, and the others are counted.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

/// Of refused requests, and of others.
pub const KEPT: usize = 500;

/// Refused requests of one kind that are remembered in one second.
const A_SECOND: u64 = 20;

/// Addresses to open, of one source; each is as long as a small body at the most.
const CHALLENGES: usize = 5;

/// Bytes of an id, and of what one case adds to its reason.
const ID: usize = 64;
const DETAIL: usize = 256;

/// A request as its report describes it; nothing of it is a secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub source: &'a str,
    /// `request` or `connection`.
    pub what: &'static str,
    pub outcome: &'static str,
    /// 0 where none was sent.
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

/// One that is remembered.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Of this process, growing by one with each request; beginning with 1.
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
    /// So many of its kind came before it within its second, and were not remembered.
    pub left_out: u64,
}

/// When the last request of a source came, in milliseconds since 1970; 0 when none did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    pub request: u64,
    pub stored: u64,
}

/// Clones share what is remembered.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    last_number: u64,
    refused: Ring,
    others: Ring,
    /// Of announced sources.
    last: HashMap<String, Last>,
    /// By source and reason: bounded by what is announced, as the words of reasons are.
    kinds: HashMap<&'static str, HashMap<String, Kind>>,
    /// Addresses that Adobe I/O wants opened, by source, with when they came.
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
    /// Only announced sources have a last request, so that a stranger cannot make us remember names.
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

    /// Those that `wanted` takes with a number below `before`, newest first, at most `limit`.
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

    /// Those behind `after`, oldest first, at most `limit`; and the number of the last one that there is.
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

    /// Adobe I/O wants this address opened, by an operator.
    pub fn challenge(&self, source: &str, url: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut inner = self.0.lock();
        let all = inner.challenges.entry(source.to_owned()).or_default();
        all.push_back((url.to_owned(), u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
        if all.len() > CHALLENGES {
            all.pop_front();
        }
    }

    /// Those of `source`, with when they came.
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
    /// How many of its kind were left out before it, or `None` if it is left out itself.
    fn admit(&mut self, source: &str, reason: &'static str, second: u64) -> Option<u64> {
        let kinds = self.kinds.entry(reason).or_default();
        if !kinds.contains_key(source) {
            kinds.insert(source.to_owned(), Kind::default());
        }
        let kind = kinds.get_mut(source)?;
        if kind.second != second {
            (kind.second, kind.remembered) = (second, 0);
        }
        if kind.remembered >= A_SECOND {
            kind.left_out += 1;
            return None;
        }
        kind.remembered += 1;
        Some(std::mem::take(&mut kind.left_out))
    }
}

impl Ring {
    /// The place for the next entry: a new one, or the oldest one's.
    fn next(&mut self) -> &mut Remembered {
        let at = self.next;
        if at == self.entries.len() {
            self.entries.push(Remembered::default());
        }
        self.next = (at + 1) % KEPT;
        &mut self.entries[at]
    }
}

impl Remembered {
    fn write(&mut self, request: &Request<'_>) {
        set(&mut self.source, request.source, ID);
        self.what = request.what;
        self.outcome = request.outcome;
        self.status = request.status;
        self.reason = request.reason;
        set(&mut self.detail, request.detail, DETAIL);
        set(&mut self.key, request.key, DETAIL);
        self.client = request.client;
        set(&mut self.request_id, request.request_id, ID);
        set(&mut self.adobe_delivery_id, request.adobe_delivery_id, ID);
        set(&mut self.adobe_event_id, request.adobe_event_id, ID);
        self.position = request.position;
        self.bytes = request.bytes;
        self.took = request.took;
    }
}

/// Into a buffer that is there already.
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
        assert_eq!(all.len(), 2 * KEPT);
        assert!(all.iter().all(|it| it.detail.capacity() <= 2 * DETAIL));
        assert!(all.iter().all(|it| it.request_id.capacity() <= 2 * ID));
    }

    #[test]
    fn a_flood_of_strangers_leaves_what_was_stored_and_other_reasons_to_be_seen() {
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
        assert_eq!(all.len(), 3 + A_SECOND as usize);
        assert_eq!(all[0].left_out, 100_000 - A_SECOND);
    }

    #[test]
    fn a_push_takes_no_memory_once_there_are_buffers() {
        let recent = Recent::default();
        let request = Request { request_id: "5c1de8a1f0b2-17", ..stored(1) };
        for _ in 0..2 * KEPT {
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
