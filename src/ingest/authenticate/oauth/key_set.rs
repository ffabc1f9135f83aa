//! A provider's public keys: the usable ones of a JSON Web Key Set (RFC 7517).
//!
//! RSA keys of 2048 bits and more are for RS256, keys on the curve P-256 for ES256, Ed25519 keys for
//! EdDSA. All other keys, shared secrets above all, keys for encryption and keys that name another
//! algorithm, are passed over: providers publish them side by side.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::jwt::{Jwt, Key, algorithm_named};

/// Keys in a set. Providers have two or three, the largest a dozen. A stranger's token can cause one check for each.
const MAX_KEYS: usize = 64;

const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("not a JSON Web Key Set")]
    NotASet,
    #[error("key set has more than {MAX_KEYS} keys")]
    TooMany,
    #[error("key set has no key for RS256, ES256 or EdDSA")]
    NoneOfUse,
}

pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct WrittenSet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: WrittenSet<'_> = serde_json::from_slice(json).map_err(|_| KeySetError::NotASet)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let written = set.keys.iter().filter_map(|key| serde_json::from_str(key.get()).ok());
        let keys: Vec<Key> = written.filter_map(usable).collect();
        if keys.is_empty() { Err(KeySetError::NoneOfUse) } else { Ok(Self(keys)) }
    }

    /// Returns the keys that may have signed a token: the ones that it names, or all if it names none.
    pub fn named_by<'a>(&'a self, jwt: &'a Jwt<'_>) -> impl Iterator<Item = &'a Key> {
        let id = jwt.key_id();
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

fn usable(key: Written) -> Option<Key> {
    let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
    if key.purpose.as_ref().is_some_and(|purpose| purpose != "sig")
        || key.key_ops.as_ref().is_some_and(|ops| !verifies(ops))
    {
        return None;
    }
    let decoded = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let (algorithm, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => {
            let n = decoded(&key.n)?;
            let e = decoded(&key.e)?;
            let length = n.iter().skip_while(|byte| **byte == 0).count();
            RSA_BYTES.contains(&length).then_some(())?;
            (Algorithm::RS256, DecodingKey::from_rsa_raw_components(&n, &e))
        }
        ("EC", Some("P-256")) => {
            let x = decoded(&key.x)?;
            let y = decoded(&key.y)?;
            (x.len() == 32 && y.len() == 32).then_some(())?;
            (Algorithm::ES256, DecodingKey::from_ec_der(&[&[4], &x[..], &y].concat()))
        }
        ("OKP", Some("Ed25519")) => {
            let x = decoded(&key.x)?;
            (x.len() == 32).then_some(())?;
            (Algorithm::EdDSA, DecodingKey::from_ed_der(&x))
        }
        _ => return None,
    };
    let fits = key.alg.is_none_or(|name| algorithm_named(&name) == Some(algorithm));
    fits.then_some(Key { id: key.kid, algorithm, key: decoding })
}
