//! A signed JSON Web Token (RFC 7519), taken apart. Its claims can be read only with a key that has signed it.
//!
//! **The key decides the algorithm.** A [`Key`] has one, from its own type, and a token that names
//! another is refused before any cryptography: so a public key is never taken for a shared secret,
//! and `none` is the algorithm of no key. Headers that carry or point at keys (`jwk`, `jku`, `x5u`)
//! are not read, and critical headers are refused, as RFC 7515 demands of an implementation that does not know them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{Deserialize, de::IgnoredAny};

use super::{claims::Claims, flaw::Flaw};

/// A key that signatures are checked with, and the one algorithm that it is for.
pub(super) struct Key {
    pub id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

pub(super) struct Jwt<'a> {
    header: Header,
    /// The signed text: header and payload as they came.
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// Returns the algorithm with this name, if a key here can have it; `Ed25519` is the newer name (RFC 9864).
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        "HS256" => Some(Algorithm::HS256),
        _ => None,
    }
}

impl<'a> Jwt<'a> {
    /// Takes a token apart, without checking its signature; `None` if the text is no JWT.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok()?;
        let header = serde_json::from_slice(&header).ok()?;
        Some(Self { header, message, payload, signature })
    }

    pub fn algorithm(&self) -> Option<Algorithm> {
        algorithm_named(&self.header.alg)
    }

    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    pub fn kind(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// Returns the claims, if one of `keys` has signed them.
    pub fn claims<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Result<Claims, Flaw> {
        if self.header.crit.is_some() {
            return Err(Flaw::Critical);
        }
        if !keys.into_iter().any(|key| self.is_signed_by(key)) {
            return Err(Flaw::Signature);
        }
        let payload = BASE64_URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Flaw::Malformed)?;
        serde_json::from_slice(&payload).map_err(|_| Flaw::Malformed)
    }

    fn is_signed_by(&self, key: &Key) -> bool {
        let message = self.message.as_bytes();
        self.algorithm() == Some(key.algorithm)
            && crypto::verify(self.signature, message, &key.key, key.algorithm).unwrap_or(false)
    }
}
