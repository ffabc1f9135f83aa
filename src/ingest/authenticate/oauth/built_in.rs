//! The service's own tokens, for installations without an identity provider.
//!
//! They are signed by HMAC with a configured key, so they survive a restart and are valid on every replica
//! that has the same key. The code that checks them knows no other key, and no other code knows this
//! one: a provider's key never checks HMAC. A token is for this service alone and names its client; the
//! configuration names the sources of each client, and a change of it counts at once for tokens issued before.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use serde::Serialize;

use super::{
    claims::{Expected, Voucher},
    flaw::Flaw,
    jwt::{Jwt, Key},
};
use crate::{config::Secret, ingest::authenticate::moment::Moment, runtime::reload::Current};

/// Issuer and audience.
const SELF: &str = "millrace";

/// The `typ` of an access token (RFC 9068).
const TOKEN_TYPE: &str = "at+jwt";

/// Seconds by which clocks of replicas may differ.
const LEEWAY_SECONDS: u64 = 30;

pub struct BuiltIn {
    keys: Current<Arc<Keys>>,
    lifetime: Duration,
}

struct Keys {
    signing: EncodingKey,
    /// The signing key, and earlier ones.
    checking: Vec<Key>,
}

impl Keys {
    /// Makes the keys: the first signs, all of them check. `None` without any.
    fn new(keys: &[Secret]) -> Option<Arc<Self>> {
        let signing = EncodingKey::from_secret(keys.first()?.expose().as_bytes());
        let checking = keys.iter().map(|secret| Key {
            id: None,
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret.expose().as_bytes()),
        });
        Some(Arc::new(Self { signing, checking: checking.collect() }))
    }
}

#[derive(Serialize)]
struct Issued<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
}

impl BuiltIn {
    /// The first of `keys` signs, all of them check. `None` without any.
    pub fn new(keys: &[Secret], lifetime: Duration) -> Option<Self> {
        Some(Self { keys: Current::new(Keys::new(keys)?), lifetime })
    }

    /// Replaces the keys; without any nothing changes.
    pub fn replace(&self, keys: &[Secret]) {
        if let Some(keys) = Keys::new(keys) {
            self.keys.set(keys);
        }
    }

    /// Issues a token for `client`, and returns its lifetime too. `None` is a failure of the cryptography.
    pub(super) fn issue(&self, client: &str, now: Moment) -> Option<(String, Duration)> {
        let header = Header { typ: Some(TOKEN_TYPE.into()), ..Header::new(Algorithm::HS256) };
        let claims = Issued {
            iss: SELF,
            aud: SELF,
            sub: client,
            client_id: client,
            iat: now.unix_seconds,
            exp: now.unix_seconds + self.lifetime.as_secs(),
        };
        Some((encode(&header, &claims, &self.keys.get().signing).ok()?, self.lifetime))
    }

    /// Returns the claims that a source with these clients expects of a token.
    pub(super) fn expected(clients: &[String]) -> Expected {
        Expected {
            issuer: Some(SELF.into()),
            audience: vec![SELF.into()],
            client_ids: clients.to_vec(),
            scopes: Vec::new(),
            leeway: LEEWAY_SECONDS,
        }
    }

    pub(super) fn check(
        &self,
        jwt: &Jwt<'_>,
        expected: &Expected,
        now: Moment,
    ) -> Result<(), Flaw> {
        if jwt.kind() != Some(TOKEN_TYPE) {
            return Err(Flaw::Malformed);
        }
        let claims = jwt.claims(&self.keys.get().checking)?;
        expected.check(&claims, Voucher::Signature, now.unix_seconds)
    }
}
