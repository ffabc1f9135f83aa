//! Adobe I/O's digital signatures, over the body's bytes as they came over the wire.
//!
//! A delivery carries two pairs of a signature and the path of a key. They are independent, and either
//! one suffices: both are looked at side by side, so that trouble with one key holds up nothing that
//! the other proves.
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
    KnownTo, Proof, Refusal,
    public_keys::{CACHED, KeyPath, PublicKeys, Unavailable},
};

const PAIRS: [(&str, &str); 2] = [
    ("x-adobe-digital-signature-1", "x-adobe-public-key1-path"),
    ("x-adobe-digital-signature-2", "x-adobe-public-key2-path"),
];

/// Within this time of its fetch a key counts as just fetched.
const FRESH: Duration = Duration::from_secs(60);

/// Of the largest key that is taken, 8192 bits, in base64.
const LONGEST_SIGNATURE: usize = 1368;

/// Larger bodies take more than a millisecond to digest: not on a thread that serves others.
const LARGE: usize = 512 * 1024;

/// For `WWW-Authenticate`.
const CHALLENGE: &str = "Signature realm=\"millrace\"";

const BAD: Refusal = Refusal::BadCredentials { challenge: CHALLENGE };

/// The way in for whoever Adobe I/O signs for.
pub struct AdobeSignature {
    keys: PublicKeys,
}

impl AdobeSignature {
    pub fn new(keys: PublicKeys) -> Self {
        Self { keys }
    }

    /// Judges the head of a request: without a signature it is nobody's.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Signed, Refusal> {
        let pairs = PAIRS.map(|names| Pair::of(headers, names));
        if pairs.iter().any(|pair| matches!(pair, Pair::Usable { .. })) {
            return Ok(Signed { pairs, keys: self.keys.clone() });
        }
        if pairs.iter().any(|pair| matches!(pair, Pair::ForeignPath)) {
            return Err(Refusal::undecided(&Unavailable::ForeignPath));
        }
        Err(BAD)
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
}

/// What one pair says about a body.
enum Verdict {
    Good,
    Bad,
    /// Why that can't be told.
    Unknown(String),
}

impl Signed {
    /// Holds the body against the signatures: its bytes as they came, before anything was taken off.
    pub async fn prove(&self, body: &Bytes, now: Instant) -> Result<Proof, Refusal> {
        let digest = OnceCell::new();
        let [first, second] = &self.pairs;
        let mut first = pin!(self.judge(first, body, &digest, now));
        let mut second = pin!(self.judge(second, body, &digest, now));
        let (verdict, other) = tokio::select! {
            biased;
            verdict = &mut first => (verdict, second),
            verdict = &mut second => (verdict, first),
        };
        let verdict = match verdict {
            Verdict::Good => verdict,
            _ => verdict.or(other.await),
        };
        match verdict {
            Verdict::Good => Ok(Proof(KnownTo::Everybody)),
            Verdict::Unknown(why) => Err(Refusal::undecided(&why)),
            Verdict::Bad => Err(BAD),
        }
    }

    async fn judge(
        &self,
        pair: &Pair,
        body: &Bytes,
        digest: &OnceCell<Digest>,
        now: Instant,
    ) -> Verdict {
        let (signature, path) = match pair {
            Pair::Useless => return Verdict::Bad,
            Pair::ForeignPath => return Verdict::Unknown(Unavailable::ForeignPath.to_string()),
            Pair::Usable { signature, path } => (signature, path),
        };
        for age in [CACHED, FRESH] {
            // The key first, so that nobody has a body digested for a key that isn't there.
            let key = match self.keys.key(path, age, now).await {
                Ok(key) => key,
                Err(why) => return Verdict::Unknown(format!("{path}: {why}")),
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
