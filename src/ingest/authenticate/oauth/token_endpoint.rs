//! The token endpoint: requests of clients for a token, and the answers (RFC 6749, sections 4.4 and 5).
//!
//! Only the client credentials grant is supported. Credentials come by HTTP Basic or in the form, not both ways
//! at once; a scope is accepted and has no effect. Every pair of id and secret is compared, always all of them, as
//! keyed digests: the time shows neither which clients there are nor how much of a secret was right.
//!
//! RFC 6749 has id and secret encoded as in forms before they are put into Basic, and many senders
//! do not do it: both readings are tried.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode;
use uuid::Uuid;

use super::built_in::BuiltIn;
use crate::{
    config::{self, Secret},
    ingest::authenticate::{
        digest::{Digest, is_among, sha256},
        moment::Moment,
    },
    runtime::reload::Current,
};

/// The secrets of each client, by its id.
type Clients = BTreeMap<String, Vec<Secret>>;

/// Parameters of a request; one with more is refused.
const MAX_PARAMETERS: usize = 32;

/// Gives tokens to configured clients. Clones share their secrets.
#[derive(Clone)]
pub struct TokenEndpoint {
    built_in: Arc<BuiltIn>,
    /// Key of the digests: random, of this process alone.
    key: [u8; 16],
    /// A digest for each secret of each client.
    accepted: Current<Arc<[Digest]>>,
}

/// An issued token.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub access_token: String,
    pub lifetime: Duration,
}

/// Refusal of a token; the text is RFC 6749's error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("invalid_request")]
    InvalidRequest,
    #[error("invalid_client")]
    InvalidClient,
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// Our own mistake.
    #[error("the token could not be signed")]
    NotSigned,
}

/// An id and a secret, in one of the possible readings.
type Credentials = (Vec<u8>, Vec<u8>);

impl TokenEndpoint {
    /// `None` where no client is configured.
    pub fn new(config: &config::OAuth, built_in: Option<&Arc<BuiltIn>>) -> Option<Self> {
        let built_in = built_in?.clone();
        let key = Uuid::new_v4().into_bytes();
        let accepted = digests(&key, &config.clients);
        let accepted = (!accepted.is_empty()).then(|| Current::new(accepted))?;
        Some(Self { built_in, key, accepted })
    }

    /// Replaces the accepted secrets.
    pub fn replace(&self, clients: &Clients) {
        self.accepted.set(digests(&self.key, clients));
    }

    /// Judges a request with this head and this body.
    pub fn grant(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Moment,
    ) -> Result<Granted, Rejected> {
        let form = Form::parse(body)?;
        let in_form = form.get("client_id").zip(form.get("client_secret"));
        let presented = match (in_basic(headers)?, in_form) {
            (Some(_), Some(_)) => return Err(Rejected::InvalidRequest),
            (Some(readings), None) => readings.into(),
            (None, Some((id, secret))) => vec![(id.to_vec(), secret.to_vec())],
            (None, None) => Vec::new(),
        };
        let known = presented.iter().find(|one| self.knows(one));
        let (client, _) = known.ok_or(Rejected::InvalidClient)?;
        match form.get("grant_type") {
            Some(b"client_credentials") => {}
            Some(_) => return Err(Rejected::UnsupportedGrantType),
            None => return Err(Rejected::InvalidRequest),
        }
        let client = std::str::from_utf8(client).map_err(|_| Rejected::InvalidClient)?;
        let issued = self.built_in.issue(client, now);
        let (access_token, lifetime) = issued.ok_or(Rejected::NotSigned)?;
        Ok(Granted { access_token, lifetime })
    }

    fn knows(&self, (id, secret): &Credentials) -> bool {
        // A NUL separates id and secret in the digested text, so an id with a NUL could imitate another pair.
        let presented = digest(&self.key, id, secret);
        (!id.contains(&0)) & is_among(&self.accepted.get(), &presented)
    }
}

fn digests(key: &[u8; 16], clients: &Clients) -> Arc<[Digest]> {
    let of_client = |(id, secrets): (&String, &Vec<Secret>)| {
        let of_secret = |secret: &Secret| digest(key, id.as_bytes(), secret.expose().as_bytes());
        secrets.iter().map(of_secret).collect::<Vec<_>>()
    };
    clients.iter().flat_map(of_client).collect()
}

fn digest(key: &[u8; 16], id: &[u8], secret: &[u8]) -> Digest {
    sha256(&[key, id, &[0], secret])
}

/// Returns both readings of `Basic` credentials, where a header has them.
fn in_basic(headers: &HeaderMap) -> Result<Option<[Credentials; 2]>, Rejected> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejected::InvalidRequest);
    }
    let decoded = value.as_bytes().split_at_checked(6).and_then(|(scheme, rest)| {
        let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
        is_basic.then(|| BASE64_STANDARD.decode(rest.trim_ascii()).ok()).flatten()
    });
    let decoded = decoded.ok_or(Rejected::InvalidClient)?;
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Rejected::InvalidClient)?;
    let id = &decoded[..colon];
    let secret = &decoded[colon + 1..];
    Ok(Some([(id.to_vec(), secret.to_vec()), (form_decoded(id), form_decoded(secret))]))
}

fn form_decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).collect()
}

/// A body in `application/x-www-form-urlencoded`. A parameter that stands twice is a mistake, one without a value
/// counts as absent (RFC 6749, section 3.2).
struct Form(Vec<(Vec<u8>, Vec<u8>)>);

impl Form {
    fn parse(body: &[u8]) -> Result<Self, Rejected> {
        let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for pair in body.trim_ascii_end().split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let equals = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let value = pair.get(equals + 1..).unwrap_or_default();
            let name = form_decoded(&pair[..equals]);
            let value = form_decoded(value);
            let is_twice = parameters.iter().any(|(known, _)| *known == name);
            if is_twice || parameters.len() == MAX_PARAMETERS {
                return Err(Rejected::InvalidRequest);
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_an_empty_value_is_none() {
        let form = Form::parse(b"&a=1+2%2B3&b&c=&%64=%zz=x&\r\n").unwrap();
        assert_eq!(form.get("a"), Some(&b"1 2+3"[..]));
        assert_eq!(form.get("d"), Some(&b"%zz=x"[..]));
        assert_eq!((form.get("b"), form.get("c"), form.get("e")), (None, None, None));
    }

    #[test]
    fn a_parameter_given_twice_is_a_mistake_however_it_is_written() {
        for twice in [&b"a=1&a=1"[..], b"a&a", b"a=1&%61=2"] {
            assert_eq!(Form::parse(twice).err(), Some(Rejected::InvalidRequest));
        }
    }

    #[test]
    fn a_service_without_clients_has_no_endpoint() {
        let key = Secret::new("a key of thirty-two bytes or more").unwrap();
        let built_in = BuiltIn::new(&[key], Duration::from_secs(60)).map(Arc::new);
        let config = config::OAuth::default();
        assert!(TokenEndpoint::new(&config, built_in.as_ref()).is_none());
        assert!(BuiltIn::new(&[], Duration::from_secs(60)).is_none());
    }
}
