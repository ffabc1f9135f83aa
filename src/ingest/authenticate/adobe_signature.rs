//! Adobe I/O's digital signatures, over the body's bytes as they came over the wire.
//!
//! A delivery carries two pairs of a signature and the path of a key. They are independent, and either
//! one suffices: a key that is at hand is tried first, and otherwise both are looked at side by side, so
//! that trouble with one key holds up nothing that the other proves.
//!
//! Paths are a stranger's text. A request that names no known key waits for its turn to have one fetched
//! (`turns.rs`) before its body is read: what waits holds no body. Each source has turns of its own.
//!
//! A signature is refused for good only under a key that is at most [`FRESH`]: one that fails under
//! an older key has the key fetched once more. Whatever keeps the key away leaves the matter
//! undecided. So does a path of a form that no key is fetched from: it may be a form that Adobe has
//! come to use, and then a refusal for good would lose the events.

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
    public_keys::{Asker, CACHED, KeyPath, PublicKeys, Unavailable},
    reason::{Reason, Why},
    turns::Turns,
};

const PAIRS: [(&str, &str); 2] = [
    ("x-adobe-digital-signature-1", "x-adobe-public-key1-path"),
    ("x-adobe-digital-signature-2", "x-adobe-public-key2-path"),
];

/// Within this time of its fetch a key counts as just fetched.
const FRESH: Duration = Duration::from_secs(60);

/// Fetches of keys that nothing speaks for: so many at once, each for at least so long. So a flood of
/// paths asks Adobe's host 64 times a second at the most, each for an answer of a few bytes.
const AT_ONCE: usize = 16;
const REST: Duration = Duration::from_millis(250);

/// Of the largest key that is taken, 8192 bits, in base64.
const LONGEST_SIGNATURE: usize = 1368;

/// Larger bodies take more than a millisecond to digest: not on a thread that serves others.
const LARGE: usize = 512 * 1024;

/// For `WWW-Authenticate`.
const CHALLENGE: &str = "Signature realm=\"millrace\"";

/// The way in for whoever Adobe I/O signs for.
pub struct AdobeSignature {
    keys: PublicKeys,
    turns: Turns,
}

impl AdobeSignature {
    pub fn new(keys: PublicKeys) -> Self {
        Self { keys, turns: Turns::new(AT_ONCE, REST) }
    }

    /// Judges the head of a request: without a signature its sender is not known, and without a key that can be
    /// had its body need not be read.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        now: Instant,
    ) -> Result<Signed, Refusal> {
        let pairs = PAIRS.map(|names| Pair::of(headers, names));
        if pairs.iter().any(|pair| matches!(pair, Pair::Usable { .. })) {
            let (keys, turns) = (self.keys.clone(), self.turns.clone());
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
        if signature.len() > LONGEST_SIGNATURE {
            return Self::Useless;
        }
        let Ok(signature) = BASE64_STANDARD.decode(signature) else { return Self::Useless };
        let path = std::str::from_utf8(path).ok().and_then(KeyPath::new);
        path.map_or(Self::ForeignPath, |path| Self::Usable { signature, path })
    }
}

/// The header's value without white space around it; `None` where it is ambiguous.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().trim_ascii();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// A request that carries signatures, which say nothing before its body was held against them.
#[derive(Clone)]
pub struct Signed {
    pairs: [Pair; 2],
    keys: PublicKeys,
    turns: Turns,
    caller: Caller,
}

/// What a delivery that turns out to be meant for us says about the paths that it names.
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

/// What one pair says about a body.
enum Verdict {
    Good,
    Bad,
    /// Why that cannot be told.
    Unknown(Why),
}

impl Signed {
    /// Waits until one of the keys is there, or none of them can be had.
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

    /// Has a pair's key ready, or says why not; a pair that is none has no reason.
    async fn look_up(&self, pair: &Pair, now: Instant) -> Result<(), Option<Why>> {
        let path = match pair {
            Pair::Useless => return Err(None),
            Pair::ForeignPath => return Err(Some(because(&Unavailable::ForeignPath))),
            Pair::Usable { path, .. } => path,
        };
        let asker = Asker { turns: &self.turns, caller: self.caller, may_wait: true };
        let found = self.keys.key(path, CACHED, now, &asker).await;
        found.map(|_key| ()).map_err(|why| Some(because_of(path, &why)))
    }

    /// Holds the body against the signatures: its bytes as they came, before anything was taken off.
    pub async fn prove(&self, body: &Bytes, now: Instant) -> Result<Proof, Refusal> {
        let digest = OnceCell::new();
        let [first, second] = &self.pairs;
        // A delivery that a known key proves has no stranger's path fetched.
        let mut is_tried = [false; 2];
        for (pair, is_tried) in self.pairs.iter().zip(&mut is_tried) {
            let Pair::Usable { signature, path } = pair else { continue };
            let Some(key) = self.keys.at_hand(path, now) else { continue };
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

    /// Which of the signatures do not fit the body.
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

    /// Of a delivery that this pair proves.
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
        let ages: &[Duration] = if is_tried { &[FRESH] } else { &[CACHED, FRESH] };
        for age in ages {
            // The key first, so that nobody has a body digested for a key that is not there.
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

/// Why a key is not to be had.
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
    if body.len() < LARGE {
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
