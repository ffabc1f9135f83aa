//! Adobe I/O's digital signatures, over the body's bytes as they came over the wire.
//!
//! A delivery carries two pairs of a signature and the path of a key. They are independent, and either one
//! suffices: a cached key is tried first, and otherwise both pairs are checked at the same time, so that trouble
//! with one key does not delay a delivery that the other proves.
//!
//! Paths are a stranger's text. A request that names no known key waits for its turn to have one fetched
//! (`turns.rs`) before its body is read, so a waiting request holds no body. Each source has turns of its own.
//!
//! A signature is refused for good only under a key that is younger than [`FRESH_FOR`]: one that fails under an
//! older key has the key fetched once more. If the key cannot be fetched, the request is undecided. So it is for a
//! path of a form that no key is fetched from: Adobe may have begun to use that form, and a refusal for good would
//! lose the events.

use std::{
    fmt,
    pin::pin,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::OnceCell;

use super::{
    Proof, Refusal,
    caller::Caller,
    proof::Voucher,
    public_keys::{Asker, KeyPath, MAX_KEY_AGE, PublicKeys, Unavailable},
    reason::{Reason, Why},
    turns::Turns,
};

const PAIRS: [(&str, &str); 2] = [
    ("x-adobe-digital-signature-1", "x-adobe-public-key1-path"),
    ("x-adobe-digital-signature-2", "x-adobe-public-key2-path"),
];

/// Age up to which a key counts as just fetched.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// Fetches of unproven keys at the same time. With [`FETCH_TURN`], a flood of paths asks Adobe's host 64 times a
/// second at the most, each for an answer of a few bytes.
const FETCHES_AT_ONCE: usize = 16;
/// Shortest time of a turn to fetch.
const FETCH_TURN: Duration = Duration::from_millis(250);

/// Bytes in base64 of a signature by the largest key that is accepted, 8192 bits.
const MAX_SIGNATURE_BYTES: usize = 1368;

/// Larger bodies take more than a millisecond to digest: not on a thread that serves other requests.
const LARGE_BODY_BYTES: usize = 512 * 1024;

/// For `WWW-Authenticate`.
const CHALLENGE: &str = "Signature realm=\"millrace\"";

/// The way in for deliveries that Adobe I/O signs.
pub struct AdobeSignature {
    keys: PublicKeys,
    turns: Turns,
}

impl AdobeSignature {
    pub fn new(keys: PublicKeys) -> Self {
        Self { keys, turns: Turns::new(FETCHES_AT_ONCE, FETCH_TURN) }
    }

    /// Judges the head of a request. Without a signature its sender is not known, and without an available key its body
    /// need not be read.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        now: Instant,
    ) -> Result<Signed, Refusal> {
        let pairs = PAIRS.map(|names| Pair::of(headers, names));
        if pairs.iter().any(|pair| matches!(pair, Pair::Usable { .. })) {
            let keys = self.keys.clone();
            let turns = self.turns.clone();
            let signed = Signed { pairs, keys, turns, caller };
            signed.has_a_key(now).await?;
            return Ok(signed);
        }
        if pairs.iter().any(|pair| matches!(pair, Pair::ForeignPath)) {
            return Err(Refusal::undecided(
                Reason::KeyPathForeign,
                Unavailable::ForeignPath.to_string(),
            ));
        }
        let is_there =
            |(signature, path)| headers.contains_key(signature) || headers.contains_key(path);
        Err(bad(match PAIRS.into_iter().any(is_there) {
            true => Why::new(
                Reason::SignatureUnreadable,
                "no pair of a signature and a key's path can be read",
            ),
            false => Why::new(Reason::NoSignature, "no signature header"),
        }))
    }
}

/// One signature and the path of its key, as they were presented.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pair {
    /// Not there, twice, or not base64 of a signature.
    Useless,
    ForeignPath,
    Usable {
        signature: Vec<u8>,
        path: KeyPath,
    },
}

impl Pair {
    fn of(headers: &HeaderMap, (signature, path): (&str, &str)) -> Self {
        let (Some(signature), Some(path)) = (single(headers, signature), single(headers, path))
        else {
            return Self::Useless;
        };
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Self::Useless;
        }
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return Self::Useless };
        let path = std::str::from_utf8(path).ok().and_then(KeyPath::new);
        path.map_or(Self::ForeignPath, |path| Self::Usable { signature, path })
    }
}

/// Returns the header's value without white space around it; `None` where there is none, or more than one.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().trim_ascii();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// A request with signatures, which prove nothing before they are checked against its body.
#[derive(Clone)]
pub struct Signed {
    pairs: [Pair; 2],
    keys: PublicKeys,
    turns: Turns,
    caller: Caller,
}

/// The key that proved a delivery, and the other path that it names. Both are trusted once it is known to be for us.
struct ProvenKey {
    keys: PublicKeys,
    proven: KeyPath,
    beside: Option<KeyPath>,
}

impl Voucher for ProvenKey {
    fn vouch(&self, now: Instant) {
        self.keys.vouch(&self.proven, self.beside.as_ref(), now);
    }
}

impl fmt::Debug for ProvenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenKey").field("proven", &self.proven).finish_non_exhaustive()
    }
}

/// Verdict of one pair on a body.
enum Verdict {
    Good,
    Bad,
    /// Not decided, for this reason.
    Unknown(Why),
}

impl Signed {
    /// Waits until one of the keys is there, or both are unavailable.
    async fn has_a_key(&self, now: Instant) -> Result<(), Refusal> {
        if self.keys.are_local() {
            return Ok(());
        }
        let [first, second] = &self.pairs;
        let mut first = pin!(self.look_up(first, now));
        let mut second = pin!(self.look_up(second, now));
        let (found, other) = tokio::select! {
            biased;
            found = &mut first => (found, second),
            found = &mut second => (found, first),
        };
        match found {
            Ok(()) => Ok(()),
            Err(why) => other.await.map_err(|other| {
                let why = why.or(other).unwrap_or_else(|| because(&Unavailable::NotThere));
                Refusal::Undecided { why }
            }),
        }
    }

    /// Fetches a pair's key into the cache, or returns why it is unavailable; a useless pair has no reason.
    async fn look_up(&self, pair: &Pair, now: Instant) -> Result<(), Option<Why>> {
        let path = match pair {
            Pair::Useless => return Err(None),
            Pair::ForeignPath => return Err(Some(because(&Unavailable::ForeignPath))),
            Pair::Usable { path, .. } => path,
        };
        let asker = Asker { turns: &self.turns, caller: self.caller, may_wait: true };
        let found = self.keys.key(path, MAX_KEY_AGE, now, &asker).await;
        found.map(|_key| ()).map_err(|why| Some(because_of(path, &why)))
    }

    /// Checks the signatures against the body's bytes as they came over the wire.
    pub async fn prove(&self, body: &Bytes, now: Instant) -> Result<Proof, Refusal> {
        let digest = OnceCell::new();
        let [first, second] = &self.pairs;
        // Cached keys first: a delivery that one proves must not cause a fetch of a path that a stranger added.
        let mut is_tried = [false; 2];
        for (pair, is_tried) in self.pairs.iter().zip(&mut is_tried) {
            let Pair::Usable { signature, path } = pair else { continue };
            let Some(key) = self.keys.cached(path, now) else { continue };
            if key.verifies(digest.get_or_init(|| digest_of(body)).await, signature) {
                return Ok(self.proof(pair));
            }
            *is_tried = true;
        }
        let mut judged_first = pin!(self.judge(first, is_tried[0], body, &digest, now));
        let mut judged_second = pin!(self.judge(second, is_tried[1], body, &digest, now));
        let (verdict, pair, other) = tokio::select! {
            biased;
            verdict = &mut judged_first => (verdict, first, (judged_second, second)),
            verdict = &mut judged_second => (verdict, second, (judged_first, first)),
        };
        let (verdict, pair) = match verdict {
            Verdict::Good => (verdict, pair),
            _ => (verdict.or(other.0.await), other.1),
        };
        match verdict {
            Verdict::Good => Ok(self.proof(pair)),
            Verdict::Unknown(why) => Err(Refusal::Undecided { why }),
            Verdict::Bad => Err(bad(self.mismatch())),
        }
    }

    /// Returns the reason that says which of the signatures do not fit the body.
    fn mismatch(&self) -> Why {
        let detail = match self.pairs.each_ref().map(|pair| matches!(pair, Pair::Usable { .. })) {
            [true, true] => "signature 1 and 2 do not fit the body",
            [true, false] => {
                "signature 1 does not fit the body, and there is no other that can be read"
            }
            _ => "signature 2 does not fit the body, and there is no other that can be read",
        };
        Why::new(Reason::SignatureMismatch, detail)
    }

    /// Makes the proof of a delivery that this pair proves.
    fn proof(&self, proving: &Pair) -> Proof {
        let path_of = |pair: &Pair| match pair {
            Pair::Usable { path, .. } => Some(path.clone()),
            _ => None,
        };
        let voucher = path_of(proving).map(|proven| {
            let others = self.pairs.iter().filter_map(path_of);
            let beside = others.into_iter().find(|path| *path != proven);
            Box::new(ProvenKey { keys: self.keys.clone(), proven, beside }) as Box<dyn Voucher>
        });
        Proof::by_key(voucher)
    }

    async fn judge(
        &self,
        pair: &Pair,
        is_tried: bool,
        body: &Bytes,
        digest: &OnceCell<Digest>,
        now: Instant,
    ) -> Verdict {
        let (signature, path) = match pair {
            Pair::Useless => return Verdict::Bad,
            Pair::ForeignPath => return Verdict::Unknown(because(&Unavailable::ForeignPath)),
            Pair::Usable { signature, path } => (signature, path),
        };
        let asker = Asker { turns: &self.turns, caller: self.caller, may_wait: false };
        let ages: &[Duration] = if is_tried { &[FRESH_FOR] } else { &[MAX_KEY_AGE, FRESH_FOR] };
        for age in ages {
            // The key first: without it the body need not be digested.
            let key = match self.keys.key(path, *age, now, &asker).await {
                Ok(key) => key,
                Err(why) => return Verdict::Unknown(because_of(path, &why)),
            };
            if key.verifies(digest.get_or_init(|| digest_of(body)).await, signature) {
                return Verdict::Good;
            }
        }
        Verdict::Bad
    }
}

impl Verdict {
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Good, _) | (_, Self::Good) => Self::Good,
            (Self::Unknown(why), _) | (_, Self::Unknown(why)) => Self::Unknown(why),
            (Self::Bad, Self::Bad) => Self::Bad,
        }
    }
}

fn bad(why: Why) -> Refusal {
    Refusal::BadCredentials { challenge: CHALLENGE, why }
}

/// Returns the reason for an unavailable key.
fn because(why: &Unavailable) -> Why {
    let reason = match why {
        Unavailable::ForeignPath => Reason::KeyPathForeign,
        Unavailable::TooManyUnknown => Reason::KeyTooMany,
        _ => Reason::KeyUnavailable,
    };
    Why::new(reason, why.to_string())
}

fn because_of(path: &KeyPath, why: &Unavailable) -> Why {
    Why { detail: format!("{path}: {why}"), ..because(why) }
}

async fn digest_of(body: &Bytes) -> Digest {
    if body.len() < LARGE_BODY_BYTES {
        return digest(&SHA256, body);
    }
    let moved = body.clone();
    match tokio::task::spawn_blocking(move || digest(&SHA256, &moved)).await {
        Ok(digest) => digest,
        // The runtime is shutting down.
        Err(_) => digest(&SHA256, body),
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("pairs", &self.pairs).finish_non_exhaustive()
    }
}
