//! The service's own tokens, for customers without an identity provider.
//!
//! They are signed by HMAC with a configured key, so they survive a restart and hold on every replica
//! that has the same key. The path that checks them knows no other key, and no other path knows this
//! one: a provider's key never checks HMAC. A token is for this service alone and names its client;
//! which sources the client may deliver to is configuration, and a change of it counts at once for
//! tokens that are out already.

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
const KIND: &str = "at+jwt";

/// Clocks of replicas may differ by as many seconds.
const LEEWAY: u64 = 30;

pub struct BuiltIn {
    keys: Current<Arc<Keys>>,
    lifetime: Duration,
}

struct Keys {
    signing: EncodingKey,
    /// That key, and those that it has replaced.
    checking: Vec<Key>,
}

impl Keys {
    /// The first signs, all of them check. `None` without any.
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

    /// From now on these sign and check, and no others; without any nothing changes.
    pub fn replace(&self, keys: &[Secret]) {
        if let Some(keys) = Keys::new(keys) {
            self.keys.set(keys);
        }
    }

    /// A token for `client`, and for how long. `None` is a defect of the cryptography.
    pub(super) fn issue(&self, client: &str, now: Moment) -> Option<(String, Duration)> {
        let header = Header { typ: Some(KIND.into()), ..Header::new(Algorithm::HS256) };
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

    /// What a source whose clients are `clients` expects of a token.
    pub(super) fn expected(clients: &[String]) -> Expected {
        Expected {
            issuer: Some(SELF.into()),
            audience: vec![SELF.into()],
            client_ids: clients.to_vec(),
            scopes: Vec::new(),
            leeway: LEEWAY,
        }
    }

    pub(super) fn check(
        &self,
        jwt: &Jwt<'_>,
        expected: &Expected,
        now: Moment,
    ) -> Result<(), Flaw> {
        if jwt.kind() != Some(KIND) {
            return Err(Flaw::Malformed);
        }
        let claims = jwt.claims(&self.keys.get().checking)?;
        expected.check(&claims, Voucher::Signature, now.unix_seconds)
    }
}
